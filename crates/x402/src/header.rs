//! The headers of x402 version 2: standard base64 of JSON.

use assay_primitives::encoding;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::wire::shown;
use crate::{PaymentPayload, PaymentRequired, SettleResponse, SignIn, X402_VERSION};

/// The header of a 402 response that asks for payment.
pub const PAYMENT_REQUIRED: &str = "payment-required";
/// The header of a request that pays.
pub const PAYMENT_SIGNATURE: &str = "payment-signature";
/// The header of a response that says what became of the payment.
pub const PAYMENT_RESPONSE: &str = "payment-response";

/// The header of a request by a payer who shows that he is one.
pub const SIGN_IN_WITH_X: &str = "sign-in-with-x";

/// The longest header value that is written, in bytes: proxies commonly allow 8 KiB for all.
pub const MAX_OUTBOUND_HEADER: usize = 6 * 1024;
/// The longest header value that is read, in bytes.
pub const MAX_INBOUND_HEADER: usize = 16 * 1024;

/// A header value that cannot be read, or would be too long. It answers as 400.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum HeaderError {
    /// Not standard base64 with padding.
    #[error("{header}: {detail}")]
    Base64 {
        /// The header.
        header: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// Not the JSON that belongs there.
    #[error("{header}: not the expected JSON: {detail}")]
    Json {
        /// The header.
        header: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// Too long.
    #[error("{header}: {got} bytes, the limit is {limit}")]
    Length {
        /// The header.
        header: &'static str,
        /// The length in bytes.
        got: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Another protocol version.
    #[error("{header}: expected x402 version {X402_VERSION}, got {got}")]
    Version {
        /// The header.
        header: &'static str,
        /// The version found.
        got: u64,
    },
}

impl HeaderError {
    /// Returns the x402 error code.
    #[must_use]
    pub const fn reason(&self) -> crate::ErrorReason {
        match self {
            Self::Version { .. } => crate::ErrorReason::InvalidX402Version,
            _ => crate::ErrorReason::InvalidPayload,
        }
    }
}

/// Writes `PAYMENT-REQUIRED`.
///
/// # Errors
/// When it would be longer than [`MAX_OUTBOUND_HEADER`]: a long quote belongs in the body.
pub fn encode_payment_required(required: &PaymentRequired) -> Result<String, HeaderError> {
    encode(PAYMENT_REQUIRED, required)
}

/// Writes `PAYMENT-SIGNATURE`.
///
/// # Errors
/// When it would be longer than [`MAX_OUTBOUND_HEADER`].
pub fn encode_payment_signature(payload: &PaymentPayload) -> Result<String, HeaderError> {
    encode(PAYMENT_SIGNATURE, payload)
}

/// Writes `PAYMENT-RESPONSE`. What a facilitator told the seller alone (`EXTENSION-RESPONSES`) is no
/// part of [`SettleResponse`] and cannot leak here.
///
/// # Errors
/// When it would be longer than [`MAX_OUTBOUND_HEADER`].
pub fn encode_payment_response(response: &SettleResponse) -> Result<String, HeaderError> {
    encode(PAYMENT_RESPONSE, response)
}

/// Writes `SIGN-IN-WITH-X`.
///
/// # Errors
/// When it would be longer than [`MAX_OUTBOUND_HEADER`].
pub fn encode_sign_in(sign_in: &SignIn) -> Result<String, HeaderError> {
    encode(SIGN_IN_WITH_X, sign_in)
}

/// Reads `SIGN-IN-WITH-X`.
///
/// # Errors
/// When it is too long, not canonical base64, or not such JSON.
pub fn decode_sign_in(value: &str) -> Result<SignIn, HeaderError> {
    decode(SIGN_IN_WITH_X, value)
}

/// Reads `PAYMENT-REQUIRED`.
///
/// # Errors
/// When it is too long, not canonical base64, not such JSON, or of another version.
pub fn decode_payment_required(value: &str) -> Result<PaymentRequired, HeaderError> {
    let header = PAYMENT_REQUIRED;
    let required: PaymentRequired = decode(header, value)?;
    at_version(header, required.x402_version).map(|()| required)
}

/// Reads `PAYMENT-SIGNATURE`.
///
/// # Errors
/// When it is too long, not canonical base64, not such JSON, or of another version.
pub fn decode_payment_signature(value: &str) -> Result<PaymentPayload, HeaderError> {
    let header = PAYMENT_SIGNATURE;
    let payload: PaymentPayload = decode(header, value)?;
    at_version(header, payload.x402_version).map(|()| payload)
}

/// Reads `PAYMENT-RESPONSE`.
///
/// # Errors
/// When it is too long, not canonical base64, or not such JSON.
pub fn decode_payment_response(value: &str) -> Result<SettleResponse, HeaderError> {
    decode(PAYMENT_RESPONSE, value)
}

fn encode<T: Serialize>(header: &'static str, value: &T) -> Result<String, HeaderError> {
    let json = serde_json::to_vec(value).map_err(|error| not_json(header, &error))?;
    let text = encoding::base64(&json);
    within(header, text.len(), MAX_OUTBOUND_HEADER).map(|()| text)
}

fn decode<T: DeserializeOwned>(header: &'static str, value: &str) -> Result<T, HeaderError> {
    within(header, value.len(), MAX_INBOUND_HEADER)?;
    let json = encoding::from_base64(value)
        .map_err(|error| HeaderError::Base64 { header, detail: error.to_string() })?;
    match serde_json::from_slice(&json) {
        Ok(value) => Ok(value),
        Err(error) => Err(other_version(header, &json).unwrap_or_else(|| not_json(header, &error))),
    }
}

/// A payload of version 1 has another shape: say so instead of naming the first missing field.
fn other_version(header: &'static str, json: &[u8]) -> Option<HeaderError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Versioned {
        x402_version: u64,
    }

    let got = serde_json::from_slice::<Versioned>(json).ok()?.x402_version;
    at_version(header, got).err()
}

fn at_version(header: &'static str, got: u64) -> Result<(), HeaderError> {
    if got == X402_VERSION { Ok(()) } else { Err(HeaderError::Version { header, got }) }
}

fn within(header: &'static str, got: usize, limit: usize) -> Result<(), HeaderError> {
    if got <= limit { Ok(()) } else { Err(HeaderError::Length { header, got, limit }) }
}

fn not_json(header: &'static str, error: &serde_json::Error) -> HeaderError {
    HeaderError::Json { header, detail: shown(&error.to_string()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn header(value: &serde_json::Value) -> String {
        encoding::base64(value.to_string().as_bytes())
    }

    #[test]
    fn versions_are_told_apart() {
        let v1 = json!({"x402Version": 1, "scheme": "exact", "network": "base", "payload": {}});
        let error = decode_payment_signature(&header(&v1)).unwrap_err();
        assert_eq!(error, HeaderError::Version { header: PAYMENT_SIGNATURE, got: 1 });
        assert_eq!(error.reason().status(), 400);
        let v2 = json!({"x402Version": 2, "payload": {}});
        let error = decode_payment_signature(&header(&v2)).unwrap_err();
        assert!(matches!(&error, HeaderError::Json { detail, .. } if detail.contains("accepted")));
    }

    #[test]
    fn lengths_are_bounded_both_ways() {
        let error = decode_payment_signature(&"A".repeat(MAX_INBOUND_HEADER + 4)).unwrap_err();
        assert!(matches!(error, HeaderError::Length { limit: MAX_INBOUND_HEADER, .. }), "{error}");
        let response =
            SettleResponse { transaction: "x".repeat(MAX_OUTBOUND_HEADER), ..Default::default() };
        let error = encode_payment_response(&response).unwrap_err();
        assert!(matches!(error, HeaderError::Length { limit: MAX_OUTBOUND_HEADER, .. }), "{error}");
    }

    #[test]
    fn base64_is_strict() {
        for wrong in ["e30", "e30=\n", " e30=", "e3-_", "=", "e30=e30="] {
            let error = decode_payment_response(wrong).unwrap_err();
            assert!(matches!(error, HeaderError::Base64 { .. }), "{wrong:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes: Vec<u8>, text in "\\PC{0,64}") {
            let encoded = encoding::base64(&bytes);
            for value in [text.as_str(), encoded.as_str()] {
                let _ = decode_payment_required(value);
                let _ = decode_payment_signature(value);
                let _ = decode_payment_response(value);
            }
        }

        #[test]
        fn near_misses_are_read_or_refused(cut in 0_usize..400, flip in any::<u8>(), at in 0_usize..400) {
            let value = json!({
                "x402Version": 2,
                "accepted": {
                    "scheme": "exact", "network": "eip155:1", "amount": "1", "asset": "0x1",
                    "payTo": "0x2", "maxTimeoutSeconds": 1, "extra": {"name": "n", "version": "1"},
                },
                "payload": {"signature": "0x", "authorization": {}},
            });
            let mut bytes = value.to_string().into_bytes();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= flip;
            }
            bytes.truncate(bytes.len().saturating_sub(cut % 2));
            let _ = decode_payment_signature(&encoding::base64(&bytes));
        }
    }
}
