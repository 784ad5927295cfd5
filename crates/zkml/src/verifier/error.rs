//! What a verifier says when it refuses.

use thiserror::Error;

use crate::advice::AdviceError;
use crate::field::K;
use crate::layers::LayerError;
use crate::lookups::LookupError;
use crate::multilinear::ArityError;
use crate::program::ModelId;
use crate::proof::DecodeError;
use crate::statement::Hash;
use crate::tensor_code::OpeningError;
use crate::weight_commitment::Mode;
use crate::weights::WeightError;

/// A check that failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bytes are no proof for this model and batch.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The statement is about another model.
    #[error("statement is about model {got}, the key is of {expected}")]
    Model {
        /// The key's.
        expected: ModelId,
        /// The statement's.
        got: ModelId,
    },
    /// The statement is about another batch size.
    #[error("statement is about a batch of 2^{got}, the circuit is of 2^{expected}")]
    Batch {
        /// The circuit's.
        expected: u32,
        /// The statement's.
        got: u32,
    },
    /// A proof about no instance says nothing; one without batch is about exactly one.
    #[error("{got} instances were given, {least} to {most} can be checked")]
    Instances {
        /// At least.
        least: usize,
        /// At most.
        most: usize,
        /// Given.
        got: usize,
    },
    /// An instance's index is not in the batch.
    #[error("instance {got} is not in a batch of {count}")]
    Index {
        /// `2^lb`.
        count: u32,
        /// The index.
        got: u32,
    },
    /// The context of the statement is not that of its only instance, or not zero in a batch.
    #[error("context of the statement: expected {expected:02x?}, got {got:02x?}")]
    Context {
        /// What section 10 asks for.
        expected: Hash,
        /// The statement's.
        got: Hash,
    },
    /// A path has another length than `lb`.
    #[error("path of instance {index}: expected {expected} siblings, got {got}")]
    PathLength {
        /// The instance.
        index: u32,
        /// `lb`.
        expected: u32,
        /// Siblings given.
        got: usize,
    },
    /// An input, output, context or salt is not the one under the statement.
    #[error("instance {index} is not under io_root: expected {expected:02x?}, got {got:02x?}")]
    IoRoot {
        /// The instance.
        index: u32,
        /// The statement's root.
        expected: Hash,
        /// The root that the instance leads to.
        got: Hash,
    },
    /// An input or output has another length than its tensor.
    #[error("{what} of instance {index} has {got} values, its tensor has {expected}")]
    Length {
        /// Input or output.
        what: &'static str,
        /// The instance.
        index: u32,
        /// Cells of the tensor.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// A value is outside its tensor's interval.
    #[error("{what} of instance {index}: value {position} is {got}, outside {low}..={high}")]
    Value {
        /// Input or output.
        what: &'static str,
        /// The instance.
        index: u32,
        /// Position of the value.
        position: usize,
        /// Smallest allowed.
        low: i32,
        /// Largest allowed.
        high: i32,
        /// The value.
        got: i32,
    },
    /// The extension of an instance's input or output is not the one that the proof speaks of.
    #[error(
        "extension of the {what} of instance {index}: proof has {claimed}, computed {computed}"
    )]
    Extension {
        /// Input or output.
        what: &'static str,
        /// The instance.
        index: u32,
        /// `e_i` or `o_i` of the proof.
        claimed: K,
        /// The verifier's own.
        computed: K,
    },
    /// The outputs of a batch do not combine to the column's value.
    #[error("outputs of the batch at rho: column has {claimed}, instances give {computed}")]
    Outputs {
        /// The column's value at `rho`.
        claimed: K,
        /// `sum_i eq(rho_b, i) o_i`.
        computed: K,
    },
    /// The lookups.
    #[error(transparent)]
    Lookups(#[from] LookupError),
    /// The layers.
    #[error(transparent)]
    Layers(#[from] LayerError),
    /// The sumcheck over the weights.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The opening of the weights of a `fast` program.
    #[error("weights: {0}")]
    Opening(#[from] OpeningError),
    /// The opening of the weights of a `small` program.
    #[error("weights: {0}")]
    SmallOpening(#[source] AdviceError),
    /// The weights are opened in another mode than the key's.
    #[error("weights are opened in mode {got}, the key is of mode {expected}")]
    Mode {
        /// The key's.
        expected: Mode,
        /// The proof's.
        got: Mode,
    },
    /// The opening of the advice.
    #[error("advice: {0}")]
    Advice(#[from] AdviceError),
    /// A list has another length than the circuit's.
    #[error(transparent)]
    Arity(#[from] ArityError),
}
