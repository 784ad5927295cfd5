//! Why an opening is refused. Each error names the check and the values that disagree.

use thiserror::Error;

use super::merkle::Digest;
use crate::field::{K, NonCanonical};
use crate::multilinear::ArityError;

/// Bytes that are not the one encoding of an opening of the expected shape.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The encoding as a whole is longer than any opening of the shape.
    #[error("encoded opening has {got} bytes, at most {max} are possible")]
    TooLong {
        /// The computed maximum.
        max: usize,
        /// The bytes given.
        got: usize,
    },
    /// The bytes end inside a field.
    #[error("encoded opening ends in {part}: {needed} more bytes needed, {left} left")]
    Truncated {
        /// The field that was being read.
        part: &'static str,
        /// Bytes of the field.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// Bytes follow the last field.
    #[error("{extra} bytes follow the encoded opening of {expected} bytes")]
    Trailing {
        /// Bytes that the opening takes.
        expected: usize,
        /// Bytes after it.
        extra: usize,
    },
    /// A length is above what the shape allows; refused before anything is allocated for it.
    #[error("encoded opening claims {got} {part}, at most {max} are possible")]
    TooMany {
        /// What is counted.
        part: &'static str,
        /// The computed maximum.
        max: usize,
        /// The length claimed.
        got: usize,
    },
    /// A field element has another encoding than its canonical one.
    #[error("element {index} of {part}: {source}")]
    Element {
        /// The list that the element is in.
        part: &'static str,
        /// Its position there.
        index: usize,
        /// The word read.
        source: NonCanonical,
    },
}

/// A check of the verifier that failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpeningError {
    /// The proof is not well-formed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
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
