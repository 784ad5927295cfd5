//! What the scheme signs, and how it is spelt: addresses and bytes in hexadecimal with `0x`, numbers
//! in decimal.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::PaymentRefusal;
use crate::PaymentRequirements;
use crate::wire::shown;

/// The longest signature read, in bytes: contract wallets send certificates and several signatures.
const MAX_SIGNATURE: usize = 4 * 1024;

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
        if !payload.contains_key("authorization") {
            let keys: Vec<_> = payload.keys().map(String::as_str).collect();
            return Err(PaymentRefusal::PayloadType { got: shown(&keys.join(", ")) });
        }
        serde_json::from_value(Value::Object(payload.clone()))
            .map_err(|error| PaymentRefusal::Payload { detail: shown(&error.to_string()) })
    }

    /// Writes the `payload` of a payment.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            // A struct of texts always is an object.
            _ => Map::new(),
        }
    }
}

/// Says whether an offer asks for EIP-3009: by saying so, or by saying nothing.
pub(crate) fn uses_eip3009(offer: &PaymentRequirements) -> bool {
    matches!(offer.extra_text("assetTransferMethod"), None | Some("eip3009"))
        && offer.extra.as_ref().is_none_or(|extra| {
            extra.get("assetTransferMethod").is_none_or(|method| method.is_string())
        })
}

/// Reads an address: `0x` and 40 hexadecimal digits in any case.
pub(crate) fn address(text: &str) -> Option<Address> {
    fixed(text).map(Address::new)
}

fn fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.strip_prefix("0x")?;
    (digits.len() == 2 * N).then_some(())?;
    alloy_primitives::hex::decode_to_array(digits).ok()
}

mod checksummed {
    use super::{Address, address, shown};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &Address, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&value.to_checksum(None))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Address, D::Error> {
        let text = String::deserialize(from)?;
        address(&text)
            .ok_or_else(|| D::Error::custom(format!("not an address: `{}`", shown(&text))))
    }
}

mod word {
    use super::{B256, fixed, shown};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &B256, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{value:#x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<B256, D::Error> {
        let text = String::deserialize(from)?;
        fixed(&text).map(B256::new).ok_or_else(|| {
            D::Error::custom(format!("not 32 bytes in hexadecimal: `{}`", shown(&text)))
        })
    }
}

mod bytes {
    use super::{Bytes, MAX_SIGNATURE};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        let digits = text
            .strip_prefix("0x")
            .filter(|digits| digits.len() <= 2 * MAX_SIGNATURE)
            .ok_or_else(|| {
                D::Error::custom(format!(
                    "not a signature: expected `0x` and at most {MAX_SIGNATURE} bytes, got {} characters",
                    text.len()
                ))
            })?;
        alloy_primitives::hex::decode(digits)
            .map(Bytes::from)
            .map_err(|_| D::Error::custom("not a signature: not hexadecimal"))
    }
}

mod decimal {
    use super::{U256, shown};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    /// The digits of 2^256 - 1.
    const MAX_DIGITS: usize = 78;

    pub(super) fn serialize<S: Serializer>(value: &U256, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<U256, D::Error> {
        let text = String::deserialize(from)?;
        let canonical = (1..=MAX_DIGITS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        canonical.then(|| U256::from_str_radix(&text, 10).ok()).flatten().ok_or_else(|| {
            D::Error::custom(format!("not a decimal number of 256 bits: `{}`", shown(&text)))
        })
    }
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
