//! What can fail on either side of the weight sumcheck.

use thiserror::Error;

use crate::field::K;
use crate::multilinear::ArityError;

/// A check of the weight sumcheck that failed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum WeightError {
    /// A list does not have the length that the program and the batch fix.
    #[error(transparent)]
    Arity(#[from] ArityError),
    /// The rounds do not end at the value of the weights (section 6.2).
    #[error(
        "end of the weight sumcheck: rounds give {claimed}, the value of the weights {computed}"
    )]
    End {
        /// What the rounds ask for.
        claimed: K,
        /// `v_w F~(zeta, chi)`.
        computed: K,
    },
}
