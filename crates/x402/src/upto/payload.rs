use alloy_primitives::{Address, Bytes, U256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::TokenPermit;
use crate::PaymentRefusal;
use crate::evm::text::{bytes, checksummed, decimal};
use crate::payment::{read_payload, write_payload};

/// A permit of Permit2 with the witness of `upto`: its facilitator may have `from` pay `witness.to`,
/// once, until the deadline, at most the permitted amount.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UptoPermit {
    /// Who pays.
    #[serde(with = "checksummed")]
    pub from: Address,
    /// What, and how much at most.
    pub permitted: PermittedAmount,
    /// Who carries it out: the proxy of `upto`.
    #[serde(with = "checksummed")]
    pub spender: Address,
    /// The payer's nonce at Permit2: random, and used up by one settlement.
    #[serde(with = "decimal")]
    pub nonce: U256,
    /// The Unix time until which it is valid.
    #[serde(with = "decimal")]
    pub deadline: U256,
    /// What the proxy makes of it.
    pub witness: UptoWitness,
}

/// A token and the most of it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PermittedAmount {
    /// The token.
    #[serde(with = "checksummed")]
    pub token: Address,
    /// The most, in atomic units.
    #[serde(with = "decimal")]
    pub amount: U256,
}

/// What is signed for the proxy beside the permit.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UptoWitness {
    /// Who is paid.
    #[serde(with = "checksummed")]
    pub to: Address,
    /// Who may settle.
    #[serde(with = "checksummed")]
    pub facilitator: Address,
    /// The Unix time from which it is valid.
    #[serde(with = "decimal")]
    pub valid_after: U256,
}

/// The `payload` of a payment by `upto`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UptoPayload {
    /// The payer's signature: `r || s || v`, or whatever his contract wallet takes.
    #[serde(with = "bytes")]
    pub signature: Bytes,
    /// What is signed.
    pub permit2_authorization: UptoPermit,
}

/// What a payer signed: the permit, and the token's own permit that gives Permit2 its allowance, where
/// one comes along.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedPermit {
    /// The permit and its signature.
    pub payload: UptoPayload,
    /// The token's own permit (EIP-2612).
    pub token_permit: Option<TokenPermit>,
}

impl UptoPayload {
    /// Reads the `payload` of a payment.
    ///
    /// # Errors
    /// When it is of another kind, such as EIP-3009, or malformed.
    pub fn from_json(payload: &Map<String, Value>) -> Result<Self, PaymentRefusal> {
        read_payload(payload, "permit2Authorization", "signature and permit2Authorization")
    }

    /// Writes the `payload` of a payment.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        write_payload(self)
    }
}

impl SignedPermit {
    /// Returns the permit.
    #[must_use]
    pub const fn permit(&self) -> &UptoPermit {
        &self.payload.permit2_authorization
    }
}
