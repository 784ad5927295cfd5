//! The commitment to the weights and its opening, in the mode that a program was compiled for
//! (sections 6.4 and 6.6).
//!
//! | mode | the key has | a proof has | for |
//! |---|---|---|---|
//! | `fast` | the root of the [tensor code](crate::tensor_code) | a combined row and 152 columns | a prover who is fast |
//! | `small` | the root of WHIR's tree, and the value at a point that the root fixes | an opening by WHIR | proofs that are small |
//!
//! The mode is in the program, so the model's id fixes it: a proof is of one mode, and nobody chooses
//! when it is made.

mod error;
mod small;

use std::fmt;

pub use self::error::CommitError;
pub use self::small::SmallWeights;
pub(crate) use self::small::verify;
use crate::advice::{AdviceProof, MAX_LOG_CELLS, MIN_ARITY};
use crate::field::K;
use crate::tensor_code::{self, Digest, OpeningProof, Shape};

/// How the weights are committed to and opened.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the weight schemes of the descriptor")]
pub enum Mode {
    /// By the tensor code: one pass over the weights for each proof.
    #[default]
    Fast,
    /// By WHIR: a proof half to a fifth as large, for which the prover works longer.
    Small,
}

/// What a key holds of the weights.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "one commitment for each mode")]
pub enum WeightCommitment {
    /// The tensor code is opened within unique decoding, so its root stands for one matrix.
    Fast {
        /// The root of the tree over the code's columns.
        root: Digest,
    },
    /// WHIR's root may stand for several vectors: the sample picks one of them.
    Small {
        /// The root of WHIR's tree.
        root: Digest,
        /// The value of the weights' extension at the point that the root fixes.
        sample: K,
    },
}

/// Weights that were committed to.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "one commitment for each mode")]
pub enum CommittedWeights {
    /// By the tensor code.
    Fast(tensor_code::CommittedWeights),
    /// By WHIR.
    Small(Box<SmallWeights>),
}

/// The message of step 9.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "one opening for each mode")]
pub enum WeightOpening {
    /// A combined row and columns of the code (section 6.4).
    Fast(OpeningProof),
    /// WHIR's messages (section 6.6).
    Small(AdviceProof),
}

impl Mode {
    /// Returns the mode's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Small => "small",
        }
    }

    /// Returns the matrix that weights laid out in `shape` are committed in: WHIR commits to
    /// `2^6` places at least.
    #[must_use]
    pub fn shape(self, shape: Shape) -> Shape {
        match self {
            Self::Fast => shape,
            Self::Small => shape.with_log_weights(shape.log_weights().max(MIN_ARITY as usize)),
        }
    }

    /// Returns the least and the largest `n_w`.
    pub(crate) const fn log_weights(self) -> [usize; 2] {
        match self {
            Self::Fast => [0, tensor_code::MAX_WEIGHTS.ilog2() as usize],
            Self::Small => [MIN_ARITY as usize, MAX_LOG_CELLS as usize],
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl WeightCommitment {
    /// Returns the mode.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        match self {
            Self::Fast { .. } => Mode::Fast,
            Self::Small { .. } => Mode::Small,
        }
    }

    /// Returns the root.
    #[must_use]
    pub const fn root(&self) -> Digest {
        match self {
            Self::Fast { root } | Self::Small { root, .. } => *root,
        }
    }
}

impl From<Digest> for WeightCommitment {
    fn from(root: Digest) -> Self {
        Self::Fast { root }
    }
}

impl fmt::Display for WeightCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fast { root } => write!(f, "{root}"),
            Self::Small { root, sample } => write!(f, "{root} with the sample {sample}"),
        }
    }
}

impl CommittedWeights {
    /// Commits to `weights`; places after the last one are zero.
    ///
    /// # Errors
    ///
    /// Returns [`CommitError`] if there are more weights than places, or the mode does not commit to
    /// so many.
    pub fn commit(mode: Mode, shape: Shape, weights: Vec<i16>) -> Result<Self, CommitError> {
        Ok(match mode {
            Mode::Fast => Self::Fast(tensor_code::CommittedWeights::commit(shape, weights)?),
            Mode::Small => Self::Small(Box::new(SmallWeights::commit(shape, weights)?)),
        })
    }

    /// Returns what the key holds.
    #[must_use]
    pub const fn commitment(&self) -> WeightCommitment {
        match self {
            Self::Fast(weights) => WeightCommitment::Fast { root: weights.root() },
            Self::Small(weights) => weights.commitment(),
        }
    }

    /// Returns the weights, zeros to the end of the last row in use included.
    #[must_use]
    pub fn weights(&self) -> &[i16] {
        match self {
            Self::Fast(weights) => weights.weights(),
            Self::Small(weights) => weights.weights(),
        }
    }

    /// Gives the weights back, zeros to the end of the last row in use included.
    #[must_use]
    pub fn into_weights(self) -> Vec<i16> {
        match self {
            Self::Fast(weights) => weights.into_weights(),
            Self::Small(weights) => weights.into_weights(),
        }
    }
}

impl WeightOpening {
    /// Returns the mode that it is of.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        match self {
            Self::Fast(_) => Mode::Fast,
            Self::Small(_) => Mode::Small,
        }
    }

    /// Returns the encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Fast(proof) => proof.encode(),
            Self::Small(proof) => proof.encode(),
        }
    }
}
