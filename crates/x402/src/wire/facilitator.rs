use std::collections::BTreeMap;

use assay_primitives::Network;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::lenient;
use super::{PaymentPayload, PaymentRequirements};
use crate::upto::FACILITATOR_ADDRESS;
use crate::{EIP2612_GAS_SPONSORING, ErrorReason, UPTO, X402_VERSION};

/// The body of `POST /verify`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyRequest {
    /// The protocol version: 2.
    pub x402_version: u64,
    /// The payment.
    pub payment_payload: PaymentPayload,
    /// The seller's offer.
    pub payment_requirements: PaymentRequirements,
}

/// The body of `POST /settle`: the same as of `POST /verify`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleRequest {
    /// The protocol version: 2.
    pub x402_version: u64,
    /// The payment.
    pub payment_payload: PaymentPayload,
    /// The seller's offer, with the amount to settle.
    pub payment_requirements: PaymentRequirements,
}

/// A facilitator's answer to `POST /verify`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyResponse {
    /// Whether the payment would settle now.
    pub is_valid: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_reason: Option<ErrorReason>,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_message: Option<String>,
    /// Who pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// Protocol extensions by key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Map<String, Value>>,
    /// What the scheme adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Map<String, Value>>,
}

/// A facilitator's answer to `POST /settle`, and what a seller sends in `PAYMENT-RESPONSE`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleResponse {
    /// Whether the money was moved. HTTP 200 with `false` is legal.
    pub success: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<ErrorReason>,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Who pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// The transaction hash; empty when nothing was broadcast.
    pub transaction: String,
    /// The network.
    pub network: String,
    /// The amount that was moved, where it may differ from the one authorised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Protocol extensions by key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Map<String, Value>>,
    /// What the scheme adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Map<String, Value>>,
}

/// A facilitator's answer to `GET /supported`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SupportedResponse {
    /// The kinds of payment it settles.
    pub kinds: Vec<SupportedKind>,
    /// The keys of the extensions it knows.
    #[serde(default, deserialize_with = "lenient::list")]
    pub extensions: Vec<String>,
    /// Its accounts by CAIP-2 pattern, such as `eip155:*`.
    #[serde(default, deserialize_with = "lenient::list")]
    pub signers: BTreeMap<String, Vec<String>>,
}

/// How permits of the scheme `upto` are settled.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UptoSupport {
    /// Who settles them: an offer's `extra.facilitatorAddress`.
    pub facilitator: String,
    /// Whether a token's own permit for Permit2 is handed in with them (`eip2612GasSponsoring`).
    pub sponsors_gas: bool,
}

impl SupportedResponse {
    /// Returns how permits of the scheme `upto` are settled on a network, if they are.
    #[must_use]
    pub fn upto(&self, network: &Network) -> Option<UptoSupport> {
        let is_upto = |kind: &&SupportedKind| {
            kind.x402_version == X402_VERSION
                && kind.scheme == UPTO
                && kind.network == network.as_str()
        };
        let extra = self.kinds.iter().find(is_upto)?.extra.as_ref()?;
        let facilitator = extra.get(FACILITATOR_ADDRESS)?.as_str()?.to_owned();
        let sponsors_gas = self.extensions.iter().any(|key| key == EIP2612_GAS_SPONSORING);
        Some(UptoSupport { facilitator, sponsors_gas })
    }
}

/// A kind of payment.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SupportedKind {
    /// The protocol version.
    pub x402_version: u64,
    /// The scheme.
    pub scheme: String,
    /// The network.
    pub network: String,
    /// What the scheme adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Map<String, Value>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_answers_are_read() {
        let text = r#"{"success":false,"errorReason":"settlement_pending","errorMessage":null,
            "payer":null,"transaction":"0x12","network":"eip155:1","amount":null,"later":1}"#;
        let response: SettleResponse = serde_json::from_str(text).unwrap();
        assert_eq!(response.error_reason, Some(ErrorReason::SettlementPending));
        let text = r#"{"kinds":[{"x402Version":2,"scheme":"exact","network":"eip155:1","extra":null}],
            "extensions":null}"#;
        let response: SupportedResponse = serde_json::from_str(text).unwrap();
        assert_eq!(response.kinds.len(), 1);
        assert!(response.signers.is_empty());
    }
}
