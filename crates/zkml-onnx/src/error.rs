use assay_zkml::execute::ExecuteError;
use assay_zkml::model::{CutError, OrderError, QuantiseError, ScaleError};
use assay_zkml::program::ProgramError;
use thiserror::Error;

/// Why a model cannot be compiled, in one sentence.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum CompileError {
    /// A count or a size is above what is read.
    #[error("model: {what} must be at most {limit}, got {got}")]
    Limit {
        /// What is counted.
        what: &'static str,
        /// The most that is allowed.
        limit: usize,
        /// The number found.
        got: usize,
    },
    /// The bytes are not an ONNX model.
    #[error("model: not an ONNX file: {reason}")]
    Decode {
        /// What the protobuf reader found.
        reason: String,
    },
    /// The graph has other inputs or outputs than one of each.
    #[error("model: expected 1 {what}, got {got}")]
    Ends {
        /// `input` or `output`.
        what: &'static str,
        /// How many there are.
        got: usize,
    },
    /// A tensor of the file cannot be read, or is not what it has to be.
    #[error("tensor `{name}`: {refusal}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What is wrong.
        refusal: Refusal,
    },
    /// A node cannot be compiled.
    #[error("node `{node}` ({operator}): {refusal}")]
    Node {
        /// The node's name, or its first output's.
        node: String,
        /// Its operator.
        operator: String,
        /// What is wrong.
        refusal: Refusal,
    },
    /// A sample input has the wrong length, or holds what is not a number.
    #[error("sample {index}: {refusal}")]
    Sample {
        /// Index of the sample.
        index: usize,
        /// What is wrong.
        refusal: Refusal,
    },
    /// The float model could not be run.
    #[error("float model: {reason}")]
    Float {
        /// What the engine said.
        reason: String,
    },
    /// A rule of the program does not hold at a node.
    #[error("node `{node}` ({operator}): {error}")]
    Rule {
        /// The node's name.
        node: String,
        /// Its operator.
        operator: String,
        /// The rule.
        error: ProgramError,
    },
    /// A scale of the input or the output is none.
    #[error("model: {0}")]
    Scale(#[from] ScaleError),
    /// A cut of the input is none.
    #[error("model: {0}")]
    Cut(#[from] CutError),
    /// The input or the output cannot be laid out.
    #[error("model: {0}")]
    Order(#[from] OrderError),
    /// An input is none of the model's.
    #[error("input: {0}")]
    Input(#[from] QuantiseError),
    /// The program is not one that a verifier loads.
    #[error("program: {0}")]
    Program(#[from] ProgramError),
    /// The program failed on a sample.
    #[error("program: {0}")]
    Execute(#[from] ExecuteError),
}

/// What is wrong with one node, tensor or sample.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The compiler has no such operator.
    #[error("the operator is not supported")]
    Operator,
    /// Something that the operator allows and the compiler does not.
    #[error("{what} is not supported")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// A size differs from what it has to be.
    #[error("{what} must be {expected}, got {got}")]
    Mismatch {
        /// What was compared.
        what: &'static str,
        /// The value that it has to have.
        expected: String,
        /// The value found.
        got: String,
    },
    /// A number is above its limit.
    #[error("{what} must be at most {limit}, got {got}")]
    TooLarge {
        /// What was compared.
        what: &'static str,
        /// The most that is allowed.
        limit: u64,
        /// The value found.
        got: u64,
    },
    /// An input that nothing gives.
    #[error("reads `{name}`, which no earlier node gives")]
    Missing {
        /// The name of the value.
        name: String,
    },
    /// A value that must be known when compiling is not.
    #[error("{what} must be a constant")]
    NotConstant {
        /// Which value.
        what: &'static str,
    },
    /// A dimension other than the batch is not fixed.
    #[error("dimension {axis} (`{dimension}`) must be fixed when compiling")]
    Dynamic {
        /// Its index.
        axis: usize,
        /// Its name.
        dimension: String,
    },
    /// NaN or infinite.
    #[error("value {index} is {value}, not a finite number")]
    NotFinite {
        /// Index of the value.
        index: usize,
        /// What it is.
        value: String,
    },
    /// An accumulator that could leave the field, whatever the shift.
    #[error("the accumulator of channel {channel} could reach {got}, at most {limit} is allowed")]
    Accumulator {
        /// The output channel.
        channel: usize,
        /// The most that is allowed.
        limit: i64,
        /// What it could reach.
        got: String,
    },
}

impl Refusal {
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    pub(crate) fn mismatch(
        what: &'static str,
        expected: impl std::fmt::Display,
        got: impl std::fmt::Display,
    ) -> Self {
        Self::Mismatch { what, expected: expected.to_string(), got: got.to_string() }
    }
}
