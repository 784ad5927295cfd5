//! What can fail on either side of the layer sumcheck.

use thiserror::Error;

use crate::field::K;
use crate::multilinear::ArityError;

/// A check of the layer sumcheck that failed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum LayerError {
    /// A list does not have the length that the program and the batch fix.
    #[error(transparent)]
    Arity(#[from] ArityError),
    /// The rounds do not end at the values of tensors, convolutions and biases (section 4.2).
    #[error("end of the layer sumcheck: rounds give {claimed}, values {computed}")]
    End {
        /// What the rounds ask for.
        claimed: K,
        /// What the values give.
        computed: K,
    },
}
