//! Payments that other implementations signed, for an offer of the development token: the values of
//! `PAYMENT-SIGNATURE` as they sent them.

use alloy_primitives::U256;
use assay_primitives::{Randomness, RandomnessError, Timestamp};
use assay_x402::{
    ChosenOffer, EIP2612_GAS_SPONSORING, ErrorReason, PaymentPayload, Permit2Standing,
    SignatureCheck, check_exact, check_extensions_echo, check_upto, decode_payment_signature,
    match_offer, pay_upto,
};
use serde_json::{Map, Value, json};

use crate::support::{BUYER, address, key, offer, required};
use crate::upto::upto_offer;

/// npm `@x402/fetch` with `@x402/evm`, 2.27.0.
const FETCH: &str = include_str!("foreign/fetch-2.27.0.txt");
/// PyPI `x402` 2.25.0.
const PYPI: &str = include_str!("foreign/pypi-2.25.0.txt");
/// npm `@x402/evm` 2.27.0, by `interop/node/golden.mjs`.
const UPTO: &str = include_str!("foreign/upto-2.27.0.txt");
/// The same with the token's own permit.
const UPTO_SPONSORED: &str = include_str!("foreign/upto-sponsored-2.27.0.txt");

#[test]
fn other_implementations_payments_pass() {
    let mut own = offer();
    own.extra.as_mut().unwrap().insert("method".to_owned(), json!("zkml"));
    let declared = json!({ "verified-inference": { "info": { "a": 1 }, "schema": {} } });
    let offers = [offer(), own];
    for (header, valid_before) in [(FETCH, 1_795_231_271), (PYPI, 1_795_231_304)] {
        let payload = decode_payment_signature(header.trim()).unwrap();
        let found = match_offer(&offers, &payload).unwrap();
        assert_eq!(*found, offers[1]);
        let echoed = payload.extensions.as_ref();
        assert_eq!(check_extensions_echo(declared.as_object().unwrap(), echoed), Ok(()));
        let now = Timestamp::from_seconds(valid_before - 60);
        let checked = check_exact(&payload, found, now).unwrap();
        assert_eq!(checked.signature_check(), SignatureCheck::Recovered);
        assert_eq!(checked.terms().payer.as_str(), address(BUYER).to_checksum(None));
        let refusal =
            check_exact(&payload, found, Timestamp::from_seconds(valid_before)).unwrap_err();
        assert_eq!(refusal.reason(), ErrorReason::ValidBefore);
    }
}

#[derive(Debug)]
struct Sevens;

impl Randomness for Sevens {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        bytes.fill(7);
        Ok(())
    }
}

/// What we sign for the same offer, by the same key, at the same time and with the same randomness.
fn own_upto(allowance: u64) -> PaymentPayload {
    let own = upto_offer();
    let mut all = required(&own);
    if allowance == 0 {
        let declared =
            json!({ EIP2612_GAS_SPONSORING: { "info": { "version": "1" }, "schema": {} } });
        all.extensions = declared.as_object().cloned();
    }
    let standing =
        Permit2Standing { allowance: U256::from(allowance), permit_nonce: Some(U256::ZERO) };
    let chosen = ChosenOffer { index: 0, offer: &own };
    let when = (Timestamp::from_seconds(1_795_231_211), &Sevens as &dyn Randomness);
    pay_upto(&all, chosen, &Map::new(), &key(BUYER), when, &standing).unwrap().payload
}

#[test]
fn payments_by_upto_are_the_same_as_others() {
    for (header, allowance) in [(UPTO, 1_000), (UPTO_SPONSORED, 0)] {
        let payload = decode_payment_signature(header.trim()).unwrap();
        let own = own_upto(allowance);
        let json = |payload: &PaymentPayload| -> Value { serde_json::to_value(payload).unwrap() };
        assert_eq!(json(&payload), json(&own));
        let now = Timestamp::from_seconds(1_795_231_211);
        let checked = check_upto(&payload, &upto_offer(), now).unwrap();
        assert_eq!(checked.signature_check(), SignatureCheck::Recovered);
        assert_eq!(checked.upto().unwrap().token_permit.is_some(), allowance == 0);
    }
}
