//! Why an opening is refused. Each error names the check and the values that disagree.

use thiserror::Error;

use super::merkle::Digest;
use crate::field::K;
use crate::multilinear::ArityError;

/// A check of the verifier that failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpeningError {
    /// The point, or the row `u`, is not of the shape's size.
    #[error(transparent)]
    Arity(#[from] ArityError),
    /// `<u, eq(chi)>` is not the claimed value (step 9).
    #[error("value of the combined row: claimed {claimed}, computed {computed}")]
    Value {
        /// The value `v_w` that the caller was promised.
        claimed: K,
        /// The value that the row gives.
        computed: K,
    },
    /// The columns opened are not one for each distinct index.
    #[error("opened columns: expected {expected}, one for each distinct index, got {got}")]
    ColumnCount {
        /// Number of distinct indices drawn.
        expected: usize,
        /// Columns in the proof.
        got: usize,
    },
    /// A column does not have one element for each row in use.
    #[error("column {column}: expected {expected} elements, got {got}")]
    ColumnLength {
        /// Index of the column in the code.
        column: usize,
        /// Rows in use.
        expected: usize,
        /// Elements in the proof.
        got: usize,
    },
    /// The number of Merkle siblings is not the one that the indices imply.
    #[error("Merkle siblings: expected {expected} for the indices drawn, got {got}")]
    SiblingCount {
        /// Siblings that the distinct indices need.
        expected: usize,
        /// Siblings in the proof.
        got: usize,
    },
    /// The opened columns and siblings do not hash to the committed root.
    #[error("Merkle root of the opened columns: committed {committed}, computed {computed}")]
    Root {
        /// The root in the verifying key.
        committed: Digest,
        /// The root that the proof gives.
        computed: Digest,
    },
    /// `Enc(u)[j]` is not the combination of column `j`.
    #[error("column {column} of the code: row u encodes to {encoded}, column gives {combined}")]
    Column {
        /// Index of the column in the code.
        column: usize,
        /// `Enc(u)[j]`.
        encoded: K,
        /// `sum_row eq(zeta, row) M^[row][j]`.
        combined: K,
    },
}
