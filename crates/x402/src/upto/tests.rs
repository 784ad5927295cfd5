//! Every field of the offer and of the permit, changed one at a time.

use alloy_primitives::{Address, U256, hex};
use assay_chain::{PERMIT2, UPTO_PROXY};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::fixture::{Fixed, NOW, PAYER, SELLER, USDC, offer, payer, required};
use crate::{
    ChosenOffer, ErrorReason, OfferRefusal, PayError, PaymentPayload, PaymentRefusal,
    PaymentRequirements, Preferences, ReservationKey, SignatureCheck, check_exact, check_payment,
    check_upto, choose_offer, pay, pay_upto,
};

const FACILITATOR: &str = "0xFa41ddD0311F7Ae7d85F11e364a35bd71d52317E";

fn own() -> PaymentRequirements {
    let mut own = PaymentRequirements { scheme: "upto".to_owned(), ..offer() };
    let extra = own.extra.as_mut().unwrap();
    extra.insert("assetTransferMethod".to_owned(), json!("permit2"));
    extra.insert("facilitatorAddress".to_owned(), json!(FACILITATOR));
    own
}

fn payment() -> PaymentPayload {
    let own = own();
    let (all, chosen) = (required(vec![own.clone()]), ChosenOffer { index: 0, offer: &own });
    pay(&all, chosen, &Map::new(), &payer(), NOW, &Fixed(7)).unwrap().payload
}

/// Signs a permit as it is and wraps it in a payment.
fn signed(permit: UptoPermit) -> PaymentPayload {
    let signature = payer().sign_hash(&permit_hash(&permit, 84_532)).to_vec().into();
    let payload = UptoPayload { signature, permit2_authorization: permit }.to_json();
    PaymentPayload { payload, ..payment() }
}

fn permit() -> UptoPermit {
    UptoPayload::from_json(&payment().payload).unwrap().permit2_authorization
}

fn refusal(payload: &PaymentPayload) -> PaymentRefusal {
    check_upto(payload, &own(), NOW).unwrap_err()
}

fn edited(pointer: &str, value: Value) -> PaymentPayload {
    let mut json = serde_json::to_value(payment()).unwrap();
    *json.pointer_mut(pointer).unwrap() = value;
    serde_json::from_value(json).unwrap()
}

/// A payment with a token's own permit, of which one field may be changed.
fn sponsored(edit: Option<(&str, Value)>) -> PaymentPayload {
    let own = own();
    let mut all = required(vec![own.clone()]);
    let declared = [(EIP2612_GAS_SPONSORING.to_owned(), eip2612_gas_sponsoring())];
    all.extensions = Some(declared.into_iter().collect());
    let standing = Permit2Standing { allowance: U256::from(999), permit_nonce: Some(U256::ZERO) };
    let chosen = ChosenOffer { index: 0, offer: &own };
    let randomness: &dyn assay_primitives::Randomness = &Fixed(7);
    let payment =
        pay_upto(&all, chosen, &Map::new(), &payer(), (NOW, randomness), &standing).unwrap();
    let mut payload = payment.payload;
    if let Some((field, value)) = edit {
        let extension = &mut payload.extensions.as_mut().unwrap()[EIP2612_GAS_SPONSORING];
        extension["info"][field] = value;
    }
    payload
}

#[test]
fn a_good_payment_passes() {
    let checked = check_payment(&payment(), &own(), NOW).unwrap();
    assert_eq!(checked.signature_check(), SignatureCheck::Recovered);
    assert_eq!((checked.notes(), checked.exact()), (&[][..], None));
    let terms = checked.terms();
    assert_eq!((terms.scheme.as_str(), terms.amount.0), ("upto", 1_000));
    assert_eq!((terms.payer.as_str(), terms.pay_to.as_str()), (PAYER, SELLER));
    // It is good in the second of its deadline.
    assert_eq!(terms.valid_before.as_seconds(), NOW.as_seconds() + 61);
    for (amount, is_good) in [(0, true), (1_000, true), (1_001, false)] {
        let checked = checked.check_amount(assay_primitives::Amount(amount));
        assert_eq!(checked.is_ok(), is_good, "{amount}");
    }
    let refusal = check_exact(&payment(), &own(), NOW).unwrap_err();
    assert_eq!(refusal.reason(), ErrorReason::UnsupportedScheme);
}

/// Permit2 counts nonces for all tokens together: two tokens do not make two payments of one nonce.
#[test]
fn a_nonce_is_reserved_whatever_the_token() {
    let checked = check_upto(&payment(), &own(), NOW).unwrap();
    let key = checked.reservation_key();
    assert_eq!(key.contract, PERMIT2);
    let other = PaymentRequirements { asset: SELLER.parse().unwrap(), ..own() };
    let mut twin = permit();
    twin.permitted.token = SELLER.parse().unwrap();
    let twin = PaymentPayload { accepted: other.clone(), ..signed(twin) };
    assert_eq!(check_upto(&twin, &other, NOW).unwrap().reservation_key(), key);
    // Also when it has expired since.
    assert_eq!(ReservationKey::of(&payment(), &own()).unwrap(), key);
}

#[test]
fn every_field_of_the_accepted_offer_counts() {
    for (field, value, reason) in [
        ("scheme", json!("exact"), ErrorReason::InvalidUptoScheme),
        ("network", json!("eip155:8453"), ErrorReason::UptoNetworkMismatch),
        ("amount", json!("999"), ErrorReason::Permit2AmountMismatch),
        ("asset", json!(SELLER), ErrorReason::InvalidPaymentRequirements),
        ("payTo", json!(PAYER), ErrorReason::Permit2RecipientMismatch),
        ("maxTimeoutSeconds", json!(61), ErrorReason::InvalidPaymentRequirements),
        ("extra", json!(null), ErrorReason::InvalidPaymentRequirements),
    ] {
        let refusal = refusal(&edited(&format!("/accepted/{field}"), value));
        assert_eq!(refusal.reason(), reason, "{field}");
    }
}

#[test]
fn every_field_of_the_permit_counts_however_signed() {
    let (now, good) = (U256::from(NOW.as_seconds()), permit());
    let other = Address::repeat_byte(9);
    let with = |edit: &dyn Fn(&mut UptoPermit)| {
        let mut permit = good;
        edit(&mut permit);
        refusal(&signed(permit)).reason()
    };
    let spender = with(&|permit| permit.spender = other);
    assert_eq!(spender, ErrorReason::InvalidPermit2Spender);
    assert_eq!(with(&|p| p.witness.to = other), ErrorReason::Permit2RecipientMismatch);
    assert_eq!(with(&|p| p.witness.facilitator = other), ErrorReason::UptoFacilitatorMismatch);
    assert_eq!(with(&|p| p.permitted.token = other), ErrorReason::Permit2TokenMismatch);
    for amount in [U256::from(999), U256::from(1_001), U256::from(1_000) + (U256::ONE << 128)] {
        let reason = with(&|permit| permit.permitted.amount = amount);
        assert_eq!(reason, ErrorReason::Permit2AmountMismatch, "{amount}");
    }
    let early = with(&|permit| permit.witness.valid_after = now + U256::ONE);
    assert_eq!(early, ErrorReason::Permit2NotYetValid);
    for deadline in [now + U256::from(5), U256::ZERO] {
        let late = with(&|permit| permit.deadline = deadline);
        assert_eq!(late, ErrorReason::Permit2DeadlineExpired);
    }
    // At the bounds it is good, as the contracts have it.
    let mut tight = good;
    (tight.witness.valid_after, tight.deadline) = (now, now + U256::from(6));
    let checked = check_upto(&signed(tight), &own(), NOW).unwrap();
    let refusal = checked.check_time(NOW.plus(std::time::Duration::from_secs(1))).unwrap_err();
    assert!(refusal.is_expired(), "{refusal}");
}

/// A signature over other fields is not the key's; whether a contract wallet takes it only the chain can
/// say.
#[test]
fn what_is_signed_is_what_is_paid() {
    let good = permit();
    let signature = UptoPayload::from_json(&payment().payload).unwrap().signature;
    for other in [
        UptoPermit { from: Address::repeat_byte(1), ..good },
        UptoPermit { nonce: good.nonce + U256::ONE, ..good },
        UptoPermit { deadline: good.deadline + U256::ONE, ..good },
    ] {
        let signature = signature.clone();
        let payload = UptoPayload { signature, permit2_authorization: other }.to_json();
        let checked = check_upto(&PaymentPayload { payload, ..payment() }, &own(), NOW).unwrap();
        assert_eq!(checked.signature_check(), SignatureCheck::NeedsChain, "{other:?}");
    }
    let refused = |bytes: Vec<u8>| {
        let pointer = "/payload/signature";
        refusal(&edited(pointer, json!(format!("0x{}", hex::encode(bytes))))).reason()
    };
    assert_eq!(refused(Vec::new()), ErrorReason::InvalidPermit2Signature);
    let mut wrapped = vec![0; 96];
    wrapped.extend([0x64, 0x92].repeat(16));
    assert_eq!(refused(wrapped), ErrorReason::FactoryNotAllowed);
}

#[test]
fn offers_that_cannot_be_paid_are_named() {
    let with = |key: &str, value: Value| {
        let mut own = own();
        own.extra.as_mut().unwrap().insert(key.to_owned(), value);
        let payload = PaymentPayload { accepted: own.clone(), ..payment() };
        let refusal = check_upto(&payload, &own, NOW).unwrap_err();
        assert!(refusal.to_string().contains(&format!("extra.{key}")), "{refusal}");
        assert_eq!(refusal.reason(), ErrorReason::InvalidPaymentRequirements);
    };
    with("assetTransferMethod", json!("eip3009"));
    with("facilitatorAddress", json!("0x1234"));
    with("facilitatorAddress", json!(null));
    let exact = crate::fixture::payment(&offer()).payload.payload;
    let refusal = refusal(&PaymentPayload { payload: exact, ..payment() });
    assert_eq!(refusal.reason(), ErrorReason::UnsupportedPayloadType);
}

#[test]
fn the_tokens_own_permit_has_to_fit() {
    let checked = check_upto(&sponsored(None), &own(), NOW).unwrap();
    let token_permit = checked.upto().unwrap().token_permit.clone().unwrap();
    assert_eq!(token_permit.amount, U256::from(1_000));
    let soon = (NOW.as_seconds() + 5).to_string();
    for (field, value, reason) in [
        ("from", json!(SELLER), ErrorReason::Eip2612FromMismatch),
        ("asset", json!(SELLER), ErrorReason::Eip2612AssetMismatch),
        ("spender", json!(UPTO_PROXY.to_string()), ErrorReason::Eip2612SpenderNotPermit2),
        ("amount", json!("1001"), ErrorReason::Permit2612AmountMismatch),
        ("deadline", json!(soon), ErrorReason::Eip2612DeadlineExpired),
        ("signature", json!("0x11"), ErrorReason::InvalidEip2612Extension),
        ("nonce", json!("0x1"), ErrorReason::InvalidEip2612Extension),
        ("version", json!(1), ErrorReason::InvalidEip2612Extension),
    ] {
        let refusal = refusal(&sponsored(Some((field, value))));
        assert_eq!(refusal.reason(), reason, "{field}: {refusal}");
    }
    // A declaration that is only echoed is none.
    let checked = check_upto(&sponsored(Some(("signature", Value::Null))), &own(), NOW).unwrap();
    assert_eq!(checked.upto().unwrap().token_permit, None);
}

#[test]
fn an_allowance_is_asked_for_before_signing() {
    let own = own();
    let chosen = ChosenOffer { index: 0, offer: &own };
    let sign = |allowance: u64, declared: bool, permit_nonce| {
        let mut all = required(vec![own.clone()]);
        let extension = [(EIP2612_GAS_SPONSORING.to_owned(), eip2612_gas_sponsoring())];
        all.extensions = declared.then(|| extension.into_iter().collect());
        let standing = Permit2Standing { allowance: U256::from(allowance), permit_nonce };
        let randomness: &dyn assay_primitives::Randomness = &Fixed(7);
        pay_upto(&all, chosen, &Map::new(), &payer(), (NOW, randomness), &standing)
    };
    let carries = |payment: crate::Payment| {
        TokenPermit::of(payment.payload.extensions.as_ref()).unwrap().is_some()
    };
    assert!(!carries(sign(1_000, true, Some(U256::ZERO)).unwrap()));
    assert!(carries(sign(999, true, Some(U256::ZERO)).unwrap()));
    for (declared, nonce) in [(false, Some(U256::ZERO)), (true, None)] {
        let error = sign(999, declared, nonce).unwrap_err();
        assert!(matches!(error, PayError::Allowance { .. }), "{error}");
        assert!(error.to_string().contains("may move 999, the most is 1000"), "{error}");
    }
}

#[test]
fn the_cap_holds_against_the_most() {
    let all = required(vec![own()]);
    let cap = |amount| {
        Preferences::new().with_cap(crate::fixture::asset(), assay_primitives::Amount(amount))
    };
    let unasked = choose_offer(&all, &cap(1_000)).unwrap_err().refusals.remove(0);
    assert!(matches!(unasked, OfferRefusal::Field { field: "scheme", .. }), "{unasked}");
    assert_eq!(choose_offer(&all, &cap(1_000).with_upto()).unwrap().index, 0);
    let dear = choose_offer(&all, &cap(999).with_upto()).unwrap_err().refusals.remove(0);
    assert!(matches!(dear, OfferRefusal::OverCap { .. }), "{dear}");
    let mut nobody = own();
    nobody.extra.as_mut().unwrap().remove("facilitatorAddress");
    let all = required(vec![nobody]);
    let refused = choose_offer(&all, &cap(1_000).with_upto()).unwrap_err().refusals.remove(0);
    let named = matches!(refused, OfferRefusal::Field { field: "extra.facilitatorAddress", .. });
    assert!(named, "{refused}");
}

#[test]
fn a_payload_has_one_form() {
    let expected = json!({
        "from": PAYER,
        "permitted": { "token": USDC, "amount": "1000" },
        "spender": "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002",
        "nonce": U256::from_be_bytes([7; 32]).to_string(),
        "deadline": "1795253460",
        "witness": { "to": SELLER, "facilitator": FACILITATOR, "validAfter": "0" },
    });
    assert_eq!(payment().payload["permit2Authorization"], expected);
}

proptest! {
    #[test]
    fn strange_payloads_never_panic(text in "\\PC{0,80}", number: u64) {
        let mut json = serde_json::to_value(sponsored(None)).unwrap();
        for pointer in [
            "/payload/signature",
            "/payload/permit2Authorization",
            "/payload/permit2Authorization/nonce",
            "/payload/permit2Authorization/witness",
            "/extensions/eip2612GasSponsoring",
            "/extensions/eip2612GasSponsoring/info",
            "/extensions/eip2612GasSponsoring/info/amount",
        ] {
            for value in [json!(text), json!(number), json!(null), json!([text])] {
                let before = json.pointer(pointer).unwrap().clone();
                *json.pointer_mut(pointer).unwrap() = value;
                let payload: PaymentPayload = serde_json::from_value(json.clone()).unwrap_or(payment());
                let _ = check_upto(&payload, &own(), NOW);
                *json.pointer_mut(pointer).unwrap() = before;
            }
        }
    }
}
