//! The receipt format of Assay: what is signed, how it is laid out, and how it is read back.
//!
//! | part | is | module |
//! |---|---|---|
//! | [`Envelope`] | DSSE: signed bytes with their type and signature | `dsse` |
//! | [`Receipt`] | in-toto Statement v1 over the Merkle root of a transaction's items | `statement` |
//! | [`SettlementRecord`] | in-toto Statement v1 about what became of a receipt's money | `settlement` |
//! | [`ItemStatement`] | one inference: a Merkle leaf with a fixed header and JSON | `item` |
//! | [`EnclaveStatement`] | what an enclave signs of an item that it ran | `enclave` |
//! | [`KeyManifest`] | the operator's signed list of its keys | `manifest` |
//! | [`Bundle`] | the file with all that a verifier needs | `bundle` |
//!
//! Building takes keys, time and secrets as arguments ([`issue`]); reading checks form and nothing
//! else. Whether what was read is to be believed is the business of `assay-verify`.
//!
//! The formats are written down in `docs/receipt-format.md`; the golden files of `assay-verify` pin them.

mod bundle;
mod commitment;
mod dsse;
mod enclave;
mod issue;
mod item;
mod keys;
mod manifest;
pub mod merkle;
mod settlement;
mod statement;

pub use bundle::{BUNDLE_MEDIA_TYPE, Bundle, BundleItem, ERASE_STATEMENT, EvidenceBlob, ItemSalts};
pub use commitment::{Salt, TransactionSecret, commit_output, commit_request};
pub use dsse::{DsseError, DsseSignature, Envelope};
pub use enclave::{
    DSSE_MEDIA_TYPE, ENCLAVE_STATEMENT_PAYLOAD_TYPE, EnclaveStatement, SignedEnclaveStatement,
};
pub use issue::{IssueError, IssuedItem, IssuedTransaction, NewItem, NewTransaction, issue};
pub use item::{
    CANCELLED, EngineUsed, EvidenceReference, EvidenceScope, ItemDetails, ItemError, ItemStatement,
    ModelUsed, Outcome, Price, Reference, TIMEOUT_BELOW_FLOOR, Usage,
};
pub use keys::{
    KeyError, PublicKey, SignatureError, SigningKey, signature_from_raw, signature_to_raw,
};
pub use manifest::{
    KeyManifest, KeyPurpose, KeyRevocation, MANIFEST_PAYLOAD_TYPE, ManifestContent, ManifestError,
    ManifestKey, SettlementAddress,
};
pub use settlement::{SettlementBlock, SettlementPredicate, SettlementRecord, SettlementStatus};
pub use statement::{
    Authorization, IN_TOTO_PAYLOAD_TYPE, LedgerPromise, OutcomePolicy, Predicate,
    RECEIPT_PREDICATE_TYPE, ROOT_OFFSET, Receipt, ReceiptPredicate, SETTLEMENT_PREDICATE_TYPE,
    Statement, StatementError,
};
