//! What the scheme signs, and how it is spelt: addresses and bytes in hexadecimal with `0x`, numbers
//! in decimal.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::evm::text::{bytes, checksummed, decimal, word};
use crate::payment::{read_payload, write_payload};
use crate::{PaymentRefusal, PaymentRequirements};

/// An EIP-3009 authorisation: `from` pays `to`, once, between two times.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    /// Who pays.
    #[serde(with = "checksummed")]
    pub from: Address,
    /// Who is paid.
    #[serde(with = "checksummed")]
    pub to: Address,
    /// How much, in atomic units.
    #[serde(with = "decimal")]
    pub value: U256,
    /// The Unix time after which it is valid.
    #[serde(with = "decimal")]
    pub valid_after: U256,
    /// The Unix time before which it is valid.
    #[serde(with = "decimal")]
    pub valid_before: U256,
    /// The payer's nonce: random, and used up by one transfer.
    #[serde(with = "word")]
    pub nonce: B256,
}

/// The `payload` of a payment by EIP-3009.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExactPayload {
    /// The payer's signature: `r || s || v`, or whatever his contract wallet takes.
    #[serde(with = "bytes")]
    pub signature: Bytes,
    /// What is signed.
    pub authorization: Authorization,
}

impl ExactPayload {
    /// Reads the `payload` of a payment.
    ///
    /// # Errors
    /// When it is of another kind, such as Permit2, or malformed.
    pub fn from_json(payload: &Map<String, Value>) -> Result<Self, PaymentRefusal> {
        read_payload(payload, "authorization", "signature and authorization")
    }

    /// Writes the `payload` of a payment.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        write_payload(self)
    }
}

/// Says whether an offer asks for EIP-3009: by saying so, or by saying nothing.
pub(crate) fn uses_eip3009(offer: &PaymentRequirements) -> bool {
    matches!(offer.extra_text("assetTransferMethod"), None | Some("eip3009"))
        && offer.extra.as_ref().is_none_or(|extra| {
            extra.get("assetTransferMethod").is_none_or(|method| method.is_string())
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload() -> Value {
        json!({
            "signature": format!("0x{}", "ab".repeat(65)),
            "authorization": {
                "from": "0x43630AAe77454A8b3AFFD1b83441E9Ad8f799464",
                "to": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
                "value": "1000",
                "validAfter": "0",
                "validBefore": "1795253460",
                "nonce": format!("0x{}", "11".repeat(32)),
            },
        })
    }

    #[test]
    fn round_trips() {
        let value = payload();
        let read = ExactPayload::from_json(value.as_object().unwrap()).unwrap();
        assert_eq!(Value::Object(read.to_json()), value);
    }

    #[test]
    fn numbers_and_bytes_have_one_form() {
        for (field, wrong) in [
            ("from", json!("43630AAe77454A8b3AFFD1b83441E9Ad8f799464")),
            ("to", json!("0x209693")),
            ("value", json!("0x3e8")),
            ("value", json!(1000)),
            ("value", json!("01000")),
            ("value", json!("-1")),
            ("value", json!("")),
            ("validBefore", json!("9".repeat(78))),
            ("validAfter", json!("1".repeat(500))),
            ("nonce", json!("0x11")),
        ] {
            let mut value = payload();
            value["authorization"][field] = wrong.clone();
            let error = ExactPayload::from_json(value.as_object().unwrap()).unwrap_err();
            assert!(matches!(error, PaymentRefusal::Payload { .. }), "{field} {wrong}: {error}");
        }
        for wrong in
            [json!("ab"), json!("0xabc"), json!(null), json!(format!("0x{}", "00".repeat(5_000)))]
        {
            let mut value = payload();
            value["signature"] = wrong.clone();
            let error = ExactPayload::from_json(value.as_object().unwrap()).unwrap_err();
            assert!(matches!(error, PaymentRefusal::Payload { .. }), "{wrong}: {error}");
        }
    }

    #[test]
    fn permit2_is_named() {
        let permit = json!({"signature": "0x", "permit2Authorization": {}});
        let error = ExactPayload::from_json(permit.as_object().unwrap()).unwrap_err();
        assert!(error.to_string().contains("permit2Authorization"), "{error}");
        assert_eq!(error.reason(), crate::ErrorReason::UnsupportedPayloadType);
    }
}
