use assay_primitives::{Account, Amount, Network};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::lenient;

/// What a seller asks for: the contents of a 402 response, in `PAYMENT-REQUIRED` and its body.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// The protocol version: 2.
    pub x402_version: u64,
    /// Why payment is (still) required; a code when a payment was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is sold.
    pub resource: ResourceInfo,
    /// The offers, in the seller's order. Offers in a form unknown here are left out on reading.
    #[serde(deserialize_with = "lenient::readable")]
    pub accepts: Vec<PaymentRequirements>,
    /// Protocol extensions by key, each with `info` and `schema`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Map<String, Value>>,
}

/// What is sold.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInfo {
    /// Its URL.
    pub url: String,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The media type of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// The service's name: 1 to 32 printable ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// At most five tags of 1 to 32 printable ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The URL of an icon, at most 2048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
}

/// One offer: how, where and how much to pay.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// The payment scheme, such as [`EXACT`](super::EXACT).
    pub scheme: String,
    /// The network, a CAIP-2 id.
    pub network: Network,
    /// The price in atomic units of the asset; for usage-priced schemes the most it can be.
    pub amount: Amount,
    /// The asset: on EVM chains the token's address.
    pub asset: Account,
    /// Who is paid.
    pub pay_to: Account,
    /// How long the payment has to stay valid, in seconds from when it is signed.
    #[serde(deserialize_with = "lenient::seconds")]
    pub max_timeout_seconds: u64,
    /// What the scheme and the seller add: for `exact` with EIP-3009 the token's EIP-712 `name` and
    /// `version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Map<String, Value>>,
    /// Fields of other implementations, so that an accepted offer is echoed as it was made.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A payment: what a buyer sends in `PAYMENT-SIGNATURE`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload {
    /// The protocol version: 2.
    pub x402_version: u64,
    /// What is bought, as the seller described it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceInfo>,
    /// The offer that the buyer accepts, as the seller made it.
    pub accepted: PaymentRequirements,
    /// What the scheme signs.
    pub payload: Map<String, Value>,
    /// The seller's extensions, with what the buyer adds to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Map<String, Value>>,
}

impl ResourceInfo {
    /// Returns the description of a URL and nothing else.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }
}

impl PaymentRequirements {
    /// Returns a text from `extra`.
    #[must_use]
    pub fn extra_text(&self, key: &str) -> Option<&str> {
        self.extra.as_ref()?.get(key)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn offer() -> Value {
        json!({
            "scheme": "exact",
            "network": "eip155:84532",
            "amount": "1000",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
            "maxTimeoutSeconds": 60,
            "extra": { "name": "USDC", "version": "2" },
        })
    }

    #[test]
    fn offers_are_echoed_as_made() {
        let mut value = offer();
        value["outputSchema"] = json!({ "type": "object" });
        let read: PaymentRequirements = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), value);
        assert_eq!(read.extra_text("name"), Some("USDC"));
    }

    #[test]
    fn null_is_absent() {
        let required: PaymentRequired = serde_json::from_value(json!({
            "x402Version": 2,
            "error": null,
            "resource": { "url": "https://x.example/", "description": null, "tags": null },
            "accepts": [offer()],
            "extensions": null,
        }))
        .unwrap();
        assert_eq!(required.resource, ResourceInfo::new("https://x.example/"));
        let payload: PaymentPayload = serde_json::from_value(json!({
            "x402Version": 2,
            "resource": null,
            "accepted": offer(),
            "payload": {},
            "extensions": null,
        }))
        .unwrap();
        assert_eq!((payload.resource, payload.extensions), (None, None));
    }

    #[test]
    fn strange_offers_hide_no_others() {
        let mut strange = offer();
        strange["network"] = json!("base");
        let required: PaymentRequired = serde_json::from_value(json!({
            "x402Version": 2,
            "resource": { "url": "https://x.example/" },
            "accepts": [strange, offer()],
        }))
        .unwrap();
        assert_eq!(required.accepts.len(), 1);
    }

    #[test]
    fn seconds_are_positive_and_whole() {
        for (seconds, expected) in [
            (json!(60), Some(60)),
            (json!(60.0), Some(60)),
            (json!(0), None),
            (json!(-1), None),
            (json!(0.5), None),
            (json!(1e300), None),
            (json!("60"), None),
        ] {
            let mut value = offer();
            value["maxTimeoutSeconds"] = seconds.clone();
            let read = serde_json::from_value::<PaymentRequirements>(value);
            assert_eq!(read.ok().map(|offer| offer.max_timeout_seconds), expected, "{seconds}");
        }
    }
}
