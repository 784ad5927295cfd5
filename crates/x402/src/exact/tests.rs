//! Every field of the offer and of the authorisation, changed one at a time.

use alloy_primitives::{Address, B256, U256, hex};
use assay_primitives::Network;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{
    NOW, SELLER, account, authorization, offer, payer, payment, signed, with_signature,
};
use crate::{
    ErrorReason, MIN_REMAINING_SECONDS, Note, PaymentPayload, PaymentRefusal, PaymentRequirements,
    SignatureCheck, check_exact,
};

fn refusal(payload: &PaymentPayload) -> PaymentRefusal {
    check_exact(payload, &offer(), NOW).unwrap_err()
}

/// Changes one field of a payment's JSON and reads it again.
fn edited(pointer: &str, value: Value) -> PaymentPayload {
    let mut json = serde_json::to_value(payment(&offer()).payload).unwrap();
    *json.pointer_mut(pointer).unwrap() = value;
    serde_json::from_value(json).unwrap()
}

#[test]
fn a_good_payment_passes() {
    let checked = check_exact(&payment(&offer()).payload, &offer(), NOW).unwrap();
    assert_eq!(checked.signature_check(), SignatureCheck::Recovered);
    assert_eq!(checked.notes(), []);
    let terms = checked.terms();
    assert_eq!(terms.pay_to.as_str(), SELLER);
    assert_eq!(terms.amount.0, 1_000);
    assert_eq!(terms.valid_before.as_seconds(), NOW.as_seconds() + 60);
    let key = checked.reservation_key().to_string();
    assert_eq!(key, key.to_lowercase());
}

#[test]
fn every_field_of_the_accepted_offer_counts() {
    for (field, value, reason) in [
        ("scheme", json!("upto"), ErrorReason::InvalidExactScheme),
        ("network", json!("eip155:8453"), ErrorReason::NetworkMismatch),
        ("amount", json!("999"), ErrorReason::ValueMismatch),
        ("amount", json!("1001"), ErrorReason::ValueMismatch),
        (
            "asset",
            json!("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
            ErrorReason::InvalidPaymentRequirements,
        ),
        (
            "payTo",
            json!("0x43630AAe77454A8b3AFFD1b83441E9Ad8f799464"),
            ErrorReason::RecipientMismatch,
        ),
        ("maxTimeoutSeconds", json!(61), ErrorReason::InvalidPaymentRequirements),
        ("extra", json!(null), ErrorReason::InvalidPaymentRequirements),
    ] {
        let refusal = refusal(&edited(&format!("/accepted/{field}"), value.clone()));
        assert!(
            matches!(&refusal, PaymentRefusal::Offer { field: f, .. } if *f == field),
            "{refusal}"
        );
        assert_eq!(refusal.reason(), reason, "{field} {value}");
        assert_eq!(refusal.status(), 402);
    }
    for key in ["name", "version", "method"] {
        let refusal = refusal(&edited(&format!("/accepted/extra/{key}"), json!("other")));
        assert!(matches!(refusal, PaymentRefusal::Offer { field: "extra", .. }), "{refusal}");
    }
}

#[test]
fn nothing_is_added_to_the_accepted_offer() {
    let mut payload = payment(&offer()).payload;
    payload.accepted.extra.as_mut().unwrap().insert("discount".into(), json!(true));
    assert!(matches!(refusal(&payload), PaymentRefusal::Offer { field: "extra", .. }));
    let mut payload = payment(&offer()).payload;
    payload.accepted.other.insert("discount".into(), json!(true));
    assert!(matches!(refusal(&payload), PaymentRefusal::Offer { field: "other fields", .. }));
    let mut payload = payment(&offer()).payload;
    payload.x402_version = 1;
    assert_eq!(refusal(&payload), PaymentRefusal::Version { got: 1 });
}

#[test]
fn recipient_value_and_time_count_however_signed() {
    let now = NOW.as_seconds();
    let good = authorization();
    let cases = [
        (Authorization { to: Address::ZERO, ..good }, ErrorReason::RecipientMismatch),
        (Authorization { value: U256::from(999), ..good }, ErrorReason::ValueMismatch),
        (Authorization { value: U256::from(1_001), ..good }, ErrorReason::ValueMismatch),
        // 2^128 + 1000: what a conversion to 128 bits would let pass.
        (
            Authorization { value: U256::from(1_000) + (U256::ONE << 128), ..good },
            ErrorReason::ValueMismatch,
        ),
        (Authorization { valid_after: U256::from(now + 1), ..good }, ErrorReason::ValidAfter),
        (Authorization { valid_after: U256::MAX, ..good }, ErrorReason::ValidAfter),
        (Authorization { valid_before: U256::from(now + 5), ..good }, ErrorReason::ValidBefore),
        (Authorization { valid_before: U256::ZERO, ..good }, ErrorReason::ValidBefore),
    ];
    for (authorization, reason) in cases {
        let refusal = refusal(&signed(&offer(), authorization));
        assert_eq!(refusal.reason(), reason, "{refusal}");
    }
}

#[test]
fn the_bounds_of_time_are_those_of_the_token() {
    let now = U256::from(NOW.as_seconds());
    let early = Authorization { valid_after: now, ..authorization() };
    assert_eq!(refusal(&signed(&offer(), early)).reason(), ErrorReason::ValidAfter);
    let tight = Authorization {
        valid_after: now - U256::ONE,
        valid_before: now + U256::from(MIN_REMAINING_SECONDS),
        ..authorization()
    };
    let checked = check_exact(&signed(&offer(), tight), &offer(), NOW).unwrap();
    let later = NOW.plus(std::time::Duration::from_secs(1));
    assert!(checked.check_time(NOW).is_ok());
    assert!(checked.check_time_left(MIN_REMAINING_SECONDS, NOW).is_ok());
    assert!(checked.check_time_left(MIN_REMAINING_SECONDS + 1, NOW).is_err());
    let refusal = checked.check_time(later).unwrap_err();
    assert_eq!(refusal.reason(), ErrorReason::ValidBefore);
    let forever = Authorization { valid_before: U256::MAX, ..authorization() };
    let checked = check_exact(&signed(&offer(), forever), &offer(), NOW).unwrap();
    assert!(matches!(checked.notes(), [Note::LongValidity { asked: 60, .. }]));
}

/// A signature over other fields is not the key's; whether a contract wallet takes it only the
/// chain can say. Fields that the offer fixes are refused before.
#[test]
fn what_is_signed_is_what_is_paid() {
    let good = authorization();
    let signature =
        hex::encode(ExactPayload::from_json(&payment(&offer()).payload.payload).unwrap().signature);
    for other in [
        Authorization { from: Address::repeat_byte(1), ..good },
        Authorization { valid_after: U256::from(1), ..good },
        Authorization { valid_before: good.valid_before + U256::from(1), ..good },
        Authorization { nonce: B256::repeat_byte(8), ..good },
    ] {
        let payload = with_signature(&offer(), other, &signature);
        let checked = check_exact(&payload, &offer(), NOW).unwrap();
        assert_eq!(checked.signature_check(), SignatureCheck::NeedsChain, "{other:?}");
    }
    // The domain is signed too.
    for (key, value) in [("name", json!("USD Coin")), ("version", json!("1"))] {
        let mut own = offer();
        own.extra.as_mut().unwrap().insert(key.into(), value);
        let payload = PaymentPayload { accepted: own.clone(), ..payment(&offer()).payload };
        let checked = check_exact(&payload, &own, NOW).unwrap();
        assert_eq!(checked.signature_check(), SignatureCheck::NeedsChain, "{key}");
    }
    for own in [
        PaymentRequirements { network: Network::eip155(1), ..offer() },
        PaymentRequirements { asset: account(SELLER), ..offer() },
    ] {
        let payload = PaymentPayload { accepted: own.clone(), ..payment(&offer()).payload };
        let checked = check_exact(&payload, &own, NOW).unwrap();
        assert_eq!(checked.signature_check(), SignatureCheck::NeedsChain);
    }
}

#[test]
fn signatures_have_one_form() {
    let good = authorization();
    let hash = check_exact(&payment(&offer()).payload, &offer(), NOW).unwrap().hash();
    let signature = payer().sign_hash(&hash);
    let check = |bytes: &[u8]| {
        let payload = with_signature(&offer(), good, &hex::encode(bytes));
        check_exact(&payload, &offer(), NOW).map(|checked| checked.signature_check())
    };
    // Some devices say 0 and 1 for 27 and 28.
    let mut short_v = signature;
    short_v[64] -= 27;
    assert_eq!(check(&short_v), Ok(SignatureCheck::Recovered));
    let refusal = check(&high_s(&signature)).unwrap_err();
    assert!(matches!(refusal, PaymentRefusal::SignatureForm { .. }), "{refusal}");
    assert_eq!(refusal.reason(), ErrorReason::InvalidSignature);
    for (at, xor) in [(0, 1), (33, 1), (64, 1), (64, 7)] {
        let mut wrong = signature;
        wrong[at] ^= xor;
        assert_ne!(check(&wrong), Ok(SignatureCheck::Recovered), "byte {at}");
    }
    for length in [1, 64, 66, 130] {
        let mut other = signature.to_vec();
        other.resize(length, 0);
        assert_eq!(check(&other), Ok(SignatureCheck::NeedsChain), "{length} bytes");
    }
    assert!(matches!(check(&[]), Err(PaymentRefusal::SignatureEmpty { .. })));
}

#[test]
fn counterfactual_wallets_are_refused_by_their_code() {
    let mut wrapped = vec![0; 12];
    wrapped.extend([0xfa; 20]);
    wrapped.extend([0; 64]);
    wrapped.extend(hex!("6492649264926492649264926492649264926492649264926492649264926492"));
    let payload = with_signature(&offer(), authorization(), &hex::encode(wrapped));
    let refusal = refusal(&payload);
    assert_eq!(refusal, PaymentRefusal::Deployment { factory: Address::repeat_byte(0xfa) });
    assert_eq!(refusal.reason(), ErrorReason::FactoryNotAllowed);
}

#[test]
fn offers_that_cannot_be_paid_are_named() {
    let with = |edit: &dyn Fn(&mut PaymentRequirements)| {
        let mut own = offer();
        edit(&mut own);
        let payload = PaymentPayload { accepted: own.clone(), ..payment(&offer()).payload };
        check_exact(&payload, &own, NOW).unwrap_err().reason()
    };
    let extra = |own: &mut PaymentRequirements, key: &str, value: Value| {
        own.extra.as_mut().unwrap().insert(key.into(), value);
    };
    assert_eq!(with(&|own| own.scheme = "upto".into()), ErrorReason::UnsupportedScheme);
    assert_eq!(with(&|own| own.network = "solana:x".parse().unwrap()), ErrorReason::InvalidNetwork);
    assert_eq!(with(&|own| extra(own, "name", json!(""))), ErrorReason::MissingEip712Domain);
    assert_eq!(with(&|own| own.extra = None), ErrorReason::MissingEip712Domain);
    let permit2 = with(&|own| extra(own, "assetTransferMethod", json!("permit2")));
    assert_eq!(permit2, ErrorReason::InvalidPaymentRequirements);
    let asset = with(&|own| own.asset = "0x1234".parse().unwrap());
    assert_eq!(asset, ErrorReason::InvalidPaymentRequirements);
}

/// n - s with the other v: the same signature, as anyone could rewrite it.
fn high_s(signature: &[u8; 65]) -> [u8; 65] {
    const ORDER: U256 = U256::from_limbs([
        0xbfd2_5e8c_d036_4141,
        0xbaae_dce6_af48_a03b,
        0xffff_ffff_ffff_fffe,
        0xffff_ffff_ffff_ffff,
    ]);
    let mut high = *signature;
    let s = U256::from_be_slice(&signature[32..64]);
    high[32..64].copy_from_slice(&(ORDER - s).to_be_bytes::<32>());
    high[64] = if signature[64] == 27 { 28 } else { 27 };
    high
}

proptest! {
    #[test]
    fn strange_payloads_never_panic(text in "\\PC{0,80}", number: u64, signature: Vec<u8>) {
        for pointer in ["/payload/signature", "/payload/authorization/value", "/payload/authorization"] {
            for value in [json!(text), json!(number), json!(null), json!([text]), json!({"from": text})] {
                let _ = check_exact(&edited(pointer, value), &offer(), NOW);
            }
        }
        let payload = with_signature(&offer(), authorization(), &hex::encode(signature));
        let _ = check_exact(&payload, &offer(), NOW);
    }
}
