//! in-toto Statement v1 (github.com/in-toto/attestation, spec/v1/statement.md), with the predicates
//! of a receipt and of a settlement record.

use assay_primitives::json::{self, StrictJsonError};
use assay_primitives::{
    Account, Amount, Digest, KeyId, Network, OperatorId, Timestamp, TransactionId, printable,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::merkle::MAX_LEAVES;
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
/// The most characters a client's nonce may have.
const MAX_NONCE: usize = 64;

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
    /// A field has a value that it cannot have.
    #[error("{field}: expected {expected}, got `{got}`")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it can be.
        expected: String,
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

    /// Checks what the types of the fields leave open.
    ///
    /// # Errors
    /// Names the field that has a value it cannot have.
    fn check(&self) -> Result<(), StatementError> {
        Ok(())
    }
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
                let (expected, got) = (format!("`{expected}`"), printable(got, 128));
                return Err(StatementError::Field { field, expected, got });
            }
        }
        statement.predicate.check()?;
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

    fn check(&self) -> Result<(), StatementError> {
        let wrong = |field, expected: String, got: &str| {
            Err(StatementError::Field { field, expected, got: printable(got, 128) })
        };
        if !(1..=MAX_LEAVES).contains(&self.item_count) {
            let expected = format!("1 to {MAX_LEAVES}");
            return wrong("itemCount", expected, &self.item_count.to_string());
        }
        match &self.nonce {
            Some(nonce) if !is_nonce(nonce) => {
                let expected = format!("1 to {MAX_NONCE} characters of A-Z a-z 0-9 - _");
                wrong("nonce", expected, nonce)
            }
            _ => Ok(()),
        }
    }
}

fn is_nonce(text: &str) -> bool {
    (1..=MAX_NONCE).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
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
    /// How many items there are: 1 to 2^20.
    pub item_count: u32,
    /// When it was signed, by the operator's clock.
    pub issued_at: Timestamp,
    /// What the client sent to know the receipt is fresh: 1 to 64 characters of `A-Z a-z 0-9 - _`.
    pub nonce: Option<String>,
    /// Where and by when it is to be found in the ledger.
    pub ledger: Option<LedgerPromise>,
    /// What becomes of the whole if an item fails; `all` where it is not named.
    #[serde(default, skip_serializing_if = "OutcomePolicy::is_all")]
    pub outcome_policy: OutcomePolicy,
    /// The payment that was authorised for it.
    pub authorization: Authorization,
}

/// What becomes of a transaction one of whose items fails, as its buyer chose.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomePolicy {
    /// Nothing is charged and nothing is released.
    #[default]
    All,
    /// What failed is not charged, the rest is charged and released. What the buyer himself ended is
    /// charged.
    Each,
}

impl OutcomePolicy {
    /// Returns its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Each => "each",
        }
    }

    /// Says whether it is `all`.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
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
    /// What is to be settled, in atomic units: under `upto` the most.
    pub amount: Amount,
    /// The authorisation's nonce, as the scheme spells it.
    pub nonce: String,
    /// Until when it can be settled.
    pub valid_before: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predicate() -> ReceiptPredicate {
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
        ReceiptPredicate {
            transaction_id: "01938c2e-7b00-7000-8000-000000000000".parse().unwrap(),
            operator: OperatorId(Digest::of(b"o")),
            receipt_key: KeyId(Digest::of(b"k")),
            item_count: 1,
            issued_at: Timestamp::from_seconds(1),
            nonce: None,
            ledger: None,
            outcome_policy: OutcomePolicy::All,
            authorization,
        }
    }

    fn written(predicate: ReceiptPredicate) -> Vec<u8> {
        json::to_vec(&Receipt::new(Digest::of(b"root"), predicate)).unwrap()
    }

    #[test]
    fn the_root_stands_at_a_fixed_place() {
        let bytes = written(predicate());
        let (head, rest) = bytes.split_at(ROOT_OFFSET);
        assert_eq!(
            str::from_utf8(head).unwrap(),
            r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"transaction","digest":{"sha256":""#
        );
        assert_eq!(&rest[..64], Digest::of(b"root").to_string().as_bytes());
        assert!(rest[64..].starts_with(br#""}}],"predicateType":"urn:assay:receipt:v1","#));
    }

    #[test]
    fn a_field_with_a_value_it_cannot_have_is_named() {
        assert!(Receipt::from_bytes(&written(predicate())).is_ok());
        let none = ReceiptPredicate { item_count: 0, ..predicate() };
        let many = ReceiptPredicate { item_count: MAX_LEAVES + 1, ..predicate() };
        for (wrong, field) in [(none, "itemCount"), (many, "itemCount")] {
            let error = Receipt::from_bytes(&written(wrong)).unwrap_err();
            assert!(error.to_string().starts_with(field), "{error}");
        }
        let long = "a".repeat(65);
        for wrong in ["", "a b", "\u{1b}", long.as_str()] {
            let wrong = ReceiptPredicate { nonce: Some(wrong.to_owned()), ..predicate() };
            let error = Receipt::from_bytes(&written(wrong)).unwrap_err();
            assert!(error.to_string().starts_with("nonce"), "{error}");
        }
    }

    #[test]
    fn fixed_fields_and_the_one_subject_are_checked() {
        let text = String::from_utf8(written(predicate())).unwrap();
        let subject =
            format!(r#"{{"name":"transaction","digest":{{"sha256":"{}"}}}}"#, Digest::of(b"root"));
        for (from, to, message) in [
            ("Statement/v1", "Statement/v2", "_type: expected"),
            ("receipt:v1", "receipt:v2", "predicateType: expected"),
            ("\"transaction\"", "\"receipt\"", "subject name: expected"),
            (&subject, "", "subjects: expected 1, got 0"),
            (&subject, &format!("{subject},{subject}"), "subjects: expected 1, got 2"),
        ] {
            let error = Receipt::from_bytes(text.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with(message), "{error}");
        }
        let long = [text.as_bytes(), &vec![b' '; MAX_BYTES]].concat();
        assert!(matches!(Receipt::from_bytes(&long), Err(StatementError::Length { .. })));
    }
}
