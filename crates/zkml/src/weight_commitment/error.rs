//! What can fail when weights are committed to.

use thiserror::Error;

use crate::tensor_code;

/// Weights that cannot be committed to.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum CommitError {
    /// There are more weights than places.
    #[error(transparent)]
    Places(#[from] tensor_code::CommitError),
    /// WHIR does not commit to a vector of this size. Does not happen for a checked program.
    #[error("a small program has 2^{low} to 2^{high} places for weights, got 2^{got}")]
    Size {
        /// Smallest `n_w`.
        low: usize,
        /// Largest `n_w`.
        high: usize,
        /// `n_w`.
        got: usize,
    },
}
