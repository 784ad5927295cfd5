//! Makes documents as a Nitro Secure Module does.

use ring::error::Unspecified;
use ring::rand::SecureRandom;
use ring::signature::EcdsaKeyPair;

use super::cbor::{put_bytes, put_head};
use super::cose::{ES384, LABEL_ALGORITHM, sig_structure};
use super::document::{DIGEST, Document};

/// Returns a document, signed with a key of P-384 that is made for
/// [`ring::signature::ECDSA_P384_SHA384_FIXED_SIGNING`].
pub(super) fn sign(
    document: &Document<'_>,
    key: &EcdsaKeyPair,
    random: &dyn SecureRandom,
) -> Result<Vec<u8>, Unspecified> {
    let payload = map(&fields(document));
    let protected = protected(ES384);
    let signature = key.sign(random, &sig_structure(&protected, &payload))?;
    Ok(sign1(&[&bytes(&protected), &map(&[]), &bytes(&payload), &bytes(signature.as_ref())]))
}

/// Returns an array, as a COSE_Sign1 is one of four items.
pub(super) fn sign1(items: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    put_head(&mut out, 4, length(items));
    items.iter().for_each(|item| out.extend_from_slice(item));
    out
}

/// Returns a protected header that names an algorithm.
pub(super) fn protected(algorithm: i64) -> Vec<u8> {
    map(&[(integer(LABEL_ALGORITHM), integer(algorithm))])
}

/// Returns the fields of a document and their values, in AWS's order.
pub(super) fn fields(document: &Document<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pcrs: Vec<_> =
        document.pcrs.iter().map(|(index, pcr)| (head(0, *index), bytes(pcr))).collect();
    let mut cabundle = head(4, length(&document.cabundle));
    document.cabundle.iter().for_each(|der| put_bytes(&mut cabundle, der));
    let optional = |value: Option<&[u8]>| value.map_or_else(|| vec![NULL], bytes);
    vec![
        (text("module_id"), text(document.module_id)),
        (text("digest"), text(DIGEST)),
        (text("timestamp"), head(0, document.timestamp.as_millis())),
        (text("pcrs"), map(&pcrs)),
        (text("certificate"), bytes(document.certificate)),
        (text("cabundle"), cabundle),
        (text("public_key"), optional(document.public_key)),
        (text("user_data"), optional(document.user_data)),
        (text("nonce"), optional(document.nonce)),
    ]
}

/// Null, in CBOR.
const NULL: u8 = 0xf6;

/// Returns a map of pairs that are CBOR already.
pub(super) fn map(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut out = head(5, length(pairs));
    pairs.iter().for_each(|(key, value)| out.extend([key.as_slice(), value].concat()));
    out
}

/// Returns a byte string.
pub(super) fn bytes(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 3);
    put_bytes(&mut out, bytes);
    out
}

/// Returns a text string.
pub(super) fn text(text: &str) -> Vec<u8> {
    let mut out = head(3, length(text.as_bytes()));
    out.extend_from_slice(text.as_bytes());
    out
}

/// Returns an integer.
pub(super) fn integer(value: i64) -> Vec<u8> {
    match u64::try_from(value) {
        Ok(value) => head(0, value),
        Err(_) => head(1, (!value).unsigned_abs()),
    }
}

/// Returns a head.
pub(super) fn head(major: u8, argument: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_head(&mut out, major, argument);
    out
}

fn length<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}
