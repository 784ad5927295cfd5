//! Why a schedule, a commitment or an opening is refused.

use p3_whir::{VerifierError, WhirConfigError};
use thiserror::Error;

use crate::field::K;
use crate::multilinear::ArityError;

/// A schedule that the protocol does not allow.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// There is nothing to commit to, or nothing to open.
    #[error("advice schedule has no {what}")]
    Empty {
        /// What is missing.
        what: &'static str,
    },
    /// A column is smaller or larger than the protocol allows.
    #[error("advice column {column}: arity must be between {low} and {high}, got {got}")]
    Arity {
        /// The column.
        column: usize,
        /// Smallest arity.
        low: u32,
        /// Largest arity.
        high: u32,
        /// Its arity.
        got: u32,
    },
    /// All columns together have more cells than N4 allows.
    #[error("advice has {got} cells, at most {max} are allowed")]
    Cells {
        /// The cap.
        max: usize,
        /// The cells of all columns.
        got: usize,
    },
    /// There are more columns, or more values to open, than any program asks for.
    #[error("advice schedule has {got} {what}, at most {max} are allowed")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// The cap.
        max: usize,
        /// How many there are.
        got: usize,
    },
    /// A batch names a column that is not there.
    #[error("opening batch {batch} names column {column} of {columns}")]
    NoSuchColumn {
        /// The batch.
        batch: usize,
        /// The column that it names.
        column: usize,
        /// Number of columns.
        columns: usize,
    },
    /// A batch names a column twice.
    #[error("opening batch {batch} names column {column} twice")]
    Repeated {
        /// The batch.
        batch: usize,
        /// The column.
        column: usize,
    },
    /// The columns of a batch differ in arity, so no point fits them all.
    #[error("opening batch {batch}: column {column} has arity {got}, the first has {expected}")]
    Mixed {
        /// The batch.
        batch: usize,
        /// The column that differs.
        column: usize,
        /// Arity of the batch's first column.
        expected: u32,
        /// Arity of this one.
        got: u32,
    },
    /// WHIR's parameters do not fit the number of cells.
    #[error("WHIR parameters: {0}")]
    Config(#[from] WhirConfigError),
    /// The opening has no price: its error is not known.
    #[error("no proven bound on the error of the advice opening")]
    Unpriced,
    /// The opening has fewer bits than are required of it.
    #[error("advice opening has {got:.2} bits of proven security, {required} are required")]
    Security {
        /// Bits asked for.
        required: f64,
        /// Bits of the schedule.
        got: f64,
    },
}

/// A check of a commitment or of an opening that failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AdviceError {
    /// A list does not have the length that the schedule gives it.
    #[error("{what} {index}: expected {expected}, got {got}")]
    Length {
        /// What was counted.
        what: &'static str,
        /// Which of them.
        index: usize,
        /// The length that the schedule asks for.
        expected: usize,
        /// The length found.
        got: usize,
    },
    /// A point of another arity than the weights'.
    #[error(transparent)]
    Arity(#[from] ArityError),
    /// The prover's parameters do not fit. A [`Schedule`](super::Schedule) excludes it.
    #[error("WHIR parameters: {0}")]
    Config(#[from] WhirConfigError),
    /// WHIR refuses the opening (step 10).
    #[error("WHIR opening: {0}")]
    Whir(#[from] VerifierError),
    /// WHIR proved other values than those of steps 4 and 6.
    #[error("batch {batch}: claimed values {claimed:?}, opened {opened:?}")]
    Values {
        /// The batch.
        batch: usize,
        /// The values of steps 4 and 6.
        claimed: Vec<K>,
        /// The values proven.
        opened: Vec<K>,
    },
}

/// Checks one length.
pub(super) const fn length(
    what: &'static str,
    index: usize,
    expected: usize,
    got: usize,
) -> Result<(), AdviceError> {
    if expected == got { Ok(()) } else { Err(AdviceError::Length { what, index, expected, got }) }
}
