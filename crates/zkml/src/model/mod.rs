//! A model around its program: how real inputs become integers and raw outputs real, and its files.

mod file;
mod order;
mod proof_file;
mod quantisation;
mod report;

pub use self::file::{
    FileError, KEY_MAGIC, MAX_KEY_BYTES, MAX_MODEL_BYTES, MODEL_MAGIC, ModelFile, PROOF_MAGIC,
    VerifyingFile,
};
pub use self::order::{Order, OrderError};
pub use self::proof_file::{MAX_PROOF_BYTES, ProofFile, batch_bits, context, statement};
pub use self::quantisation::{Dequantisation, Quantisation, QuantiseError, Quantised, ScaleError};
pub use self::report::{Agreement, NodeName, Report, argmax};
