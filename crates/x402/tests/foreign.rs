//! Payments that other implementations signed, for an offer of the development token: the values of
//! `PAYMENT-SIGNATURE` as they sent them.

use assay_primitives::Timestamp;
use assay_x402::{
    ErrorReason, SignatureCheck, check_exact, check_extensions_echo, decode_payment_signature,
    match_offer,
};
use serde_json::json;

use crate::support::{BUYER, address, offer};

/// npm `@x402/fetch` with `@x402/evm`, 2.27.0.
const FETCH: &str = include_str!("foreign/fetch-2.27.0.txt");
/// PyPI `x402` 2.25.0.
const PYPI: &str = include_str!("foreign/pypi-2.25.0.txt");

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
