//! in-toto Statement v1 (github.com/in-toto/attestation, spec/v1/statement.md), with the predicates
//! of a receipt and of a settlement record.

use assay_primitives::json::{self, StrictJsonError};
use assay_primitives::{
    Account, Amount, Digest, KeyId, Network, OperatorId, Timestamp, TransactionId,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{DsseError, Envelope, PublicKey, SigningKey};

/// The DSSE payload type of an in-toto statement.
pub const IN_TOTO_PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The predicate type of a receipt.
pub const RECEIPT_PREDICATE_TYPE: &str = "urn:assay:receipt:v1";
/// The predicate type of a settlement record.
pub const SETTLEMENT_PREDICATE_TYPE: &str = "urn:assay:settlement:v1";
/// Where in a receipt's payload the 64 hexadecimal characters of the Merkle root begin.
pub const ROOT_OFFSET: usize = 96;

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The most bytes a statement may have.
const MAX_BYTES: usize = 1 << 20;

/// What is wrong with a statement.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StatementError {
    /// Longer than any statement.
    #[error("statement has {got} bytes: expected at most {MAX_BYTES}")]
    Length {
        /// How many bytes there are.
        got: usize,
    },
    /// Not the JSON of a statement with this predicate.
    #[error("statement: {0}")]
    Json(#[from] StrictJsonError),
    /// A fixed field has another value.
    #[error("{field}: expected `{expected}`, got `{got}`")]
    Field {
        /// Which field.
        field: &'static str,
        /// Its fixed value.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// Not exactly one subject.
    #[error("subjects: expected 1, got {0}")]
    SubjectCount(usize),
    /// The envelope is not signed as it should be.
    #[error(transparent)]
    Envelope(#[from] DsseError),
}

/// What a predicate says about its statement's fixed fields.
pub trait Predicate: Serialize + DeserializeOwned {
    /// The `predicateType`.
    const TYPE: &'static str;
    /// The name of the one subject.
    const SUBJECT: &'static str;
}

/// An in-toto Statement v1 with one subject. Fields stand in this order in the JSON.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Statement<P> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: P,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: DigestSet,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct DigestSet {
    sha256: Digest,
}

impl<P: Predicate> Statement<P> {
    /// Makes a statement about a subject.
    #[must_use]
    pub fn new(subject: Digest, predicate: P) -> Self {
        let digest = DigestSet { sha256: subject };
        Self {
            kind: STATEMENT_TYPE.to_owned(),
            subject: vec![Subject { name: P::SUBJECT.to_owned(), digest }],
            predicate_type: P::TYPE.to_owned(),
            predicate,
        }
    }

    /// Reads a statement with this predicate from an envelope's payload. Checks no signature.
    ///
    /// # Errors
    /// When it is another JSON, or a fixed field has another value.
    pub fn from_bytes(payload: &[u8]) -> Result<Self, StatementError> {
        if payload.len() > MAX_BYTES {
            return Err(StatementError::Length { got: payload.len() });
        }
        let statement: Self = json::from_slice(payload)?;
        let [subject] = statement.subject.as_slice() else {
            return Err(StatementError::SubjectCount(statement.subject.len()));
        };
        for (field, expected, got) in [
            ("_type", STATEMENT_TYPE, &statement.kind),
            ("predicateType", P::TYPE, &statement.predicate_type),
            ("subject name", P::SUBJECT, &subject.name),
        ] {
            if got != expected {
                return Err(StatementError::Field { field, expected, got: got.clone() });
            }
        }
        Ok(statement)
    }

    /// Signs the statement.
    ///
    /// # Errors
    /// When the predicate cannot be written as JSON.
    pub fn sign(&self, key: &SigningKey) -> Result<Envelope, StatementError> {
        Ok(Envelope::sign(IN_TOTO_PAYLOAD_TYPE, json::to_vec(self)?, key))
    }

    /// Checks an envelope's signature and reads the statement in it.
    ///
    /// # Errors
    /// Names the first check that fails.
    pub fn open(envelope: &Envelope, key: &PublicKey) -> Result<Self, StatementError> {
        Self::from_bytes(envelope.verify(IN_TOTO_PAYLOAD_TYPE, key)?)
    }

    /// Returns the subject's digest.
    #[must_use]
    pub fn subject(&self) -> Digest {
        self.subject.first().map_or(Digest::ZERO, |subject| subject.digest.sha256)
    }

    /// Returns the predicate.
    #[must_use]
    pub const fn predicate(&self) -> &P {
        &self.predicate
    }
}

/// A receipt: the statement about a transaction. Its subject is the Merkle root over the items.
pub type Receipt = Statement<ReceiptPredicate>;

impl Predicate for ReceiptPredicate {
    const TYPE: &'static str = RECEIPT_PREDICATE_TYPE;
    const SUBJECT: &'static str = "transaction";
}

/// What a receipt says about its transaction. Nothing about single items.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ReceiptPredicate {
    /// The transaction.
    pub transaction_id: TransactionId,
    /// Who sold it.
    pub operator: OperatorId,
    /// The key that signs this.
    pub receipt_key: KeyId,
    /// How many items there are.
    pub item_count: u32,
    /// When it was signed, by the operator's clock.
    pub issued_at: Timestamp,
    /// What the client sent to know the receipt is fresh: up to 64 characters.
    pub nonce: Option<String>,
    /// Where and by when it is to be found in the ledger.
    pub ledger: Option<LedgerPromise>,
    /// The payment that was authorised for it.
    pub authorization: Authorization,
}

/// The ledger that a receipt is promised to be in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LedgerPromise {
    /// The ledger's key.
    pub key: KeyId,
    /// Seconds from `issuedAt` until it is in.
    pub maximum_merge_delay: u64,
}

/// A payment as its payer authorised it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Authorization {
    /// The x402 scheme.
    pub scheme: String,
    /// The network.
    pub network: Network,
    /// The asset on it.
    pub asset: Account,
    /// Who pays.
    pub payer: Account,
    /// Who is paid.
    pub pay_to: Account,
    /// What is to be settled, in atomic units.
    pub amount: Amount,
    /// The authorisation's nonce, as the scheme spells it.
    pub nonce: String,
    /// Until when it can be settled.
    pub valid_before: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_stands_at_a_fixed_place() {
        let authorization = Authorization {
            scheme: "exact".into(),
            network: Network::eip155(31_337),
            asset: "0xa".parse().unwrap(),
            payer: "0xb".parse().unwrap(),
            pay_to: "0xc".parse().unwrap(),
            amount: Amount(1),
            nonce: "0x0".into(),
            valid_before: Timestamp::from_seconds(2),
        };
        let predicate = ReceiptPredicate {
            transaction_id: "01938c2e-7b00-7000-8000-000000000000".parse().unwrap(),
            operator: OperatorId(Digest::of(b"o")),
            receipt_key: KeyId(Digest::of(b"k")),
            item_count: 1,
            issued_at: Timestamp::from_seconds(1),
            nonce: None,
            ledger: None,
            authorization,
        };
        let root = Digest::of(b"root");
        let bytes = json::to_vec(&Receipt::new(root, predicate)).unwrap();
        assert_eq!(&bytes[ROOT_OFFSET..ROOT_OFFSET + 64], root.to_string().as_bytes());
    }
}
