//! A model around its program: how real inputs become integers and raw outputs real, and its files.

mod claim_file;
mod file;
mod order;
mod proof_file;
mod quantisation;
mod report;

pub use self::claim_file::{ClaimFile, MAX_CLAIM_BYTES, statement_of};
/// The media type of a verifying file.
pub const VERIFYING_MEDIA_TYPE: &str = "application/vnd.assay.zkml-verifying.v1";
/// The media type of a proof file without salts: of a batch whose instances are claimed one by one.
pub const PROOF_MEDIA_TYPE: &str = "application/vnd.assay.zkml-proof.v1";
/// The media type of a claim file.
pub const CLAIM_MEDIA_TYPE: &str = "application/vnd.assay.zkml-claim.v1";

pub use self::file::{
    CLAIM_MAGIC, FileError, KEY_MAGIC, MAX_KEY_BYTES, MAX_MODEL_BYTES, MODEL_MAGIC, ModelFile,
    PROOF_MAGIC, VerifyingFile,
};
pub use self::order::{Order, OrderError};
pub use self::proof_file::{MAX_PROOF_BYTES, ProofFile, batch_bits, context, statement};
pub use self::quantisation::{
    Cut, CutError, Dequantisation, Quantisation, QuantiseError, Quantised, ScaleError,
};
pub use self::report::{Agreement, NodeName, Report, argmax};
