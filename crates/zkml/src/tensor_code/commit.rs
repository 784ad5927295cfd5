//! The prover's side: committing once, opening once per proof.

use std::fmt;

use p3_commit::Mmcs;
use p3_merkle_tree::MerkleTree;
use thiserror::Error;

use super::code::{CodeMatrix, encode_rows};
use super::merkle::{Digest, column_tree};
use super::proof::OpeningProof;
use super::queries::draw_indices;
use super::shape::{Point, Shape};
use crate::field::{F, K};
use crate::integers::combine_rows;
use crate::multilinear::{ArityError, evaluate};
use crate::transcript::Transcript;

/// Weights with their code and the Merkle tree over its columns.
///
/// Resident: 2 bytes per weight, 16 for the code, and 64 bytes per column of the code.
pub struct CommittedWeights {
    shape: Shape,
    weights: Vec<i16>,
    root: Digest,
    tree: MerkleTree<F, u8, CodeMatrix, 2, 32>,
}

/// What an opening sends: the value of step 8 and the proof of step 9.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "steps 8 and 9 of the protocol")]
pub struct Opening {
    /// `v_w`, the extension of the weights at the point.
    pub value: K,
    /// The row and the columns.
    pub proof: OpeningProof,
}

/// Weights that do not fit their shape.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum CommitError {
    /// There are more weights than the rows in use hold.
    #[error("{got} weights do not fit the {capacity} places of the matrix")]
    TooMany {
        /// Rows in use times columns.
        capacity: usize,
        /// Number of weights.
        got: usize,
    },
    /// A hash of the tree could not be read. Does not happen for a valid [`Shape`].
    #[error("Merkle tree has {got} roots, expected {expected}")]
    Roots {
        /// Roots of a tree without a cap.
        expected: usize,
        /// Roots found.
        got: usize,
    },
}

impl CommittedWeights {
    /// Encodes `weights`, row after row, and hashes the columns of the code.
    ///
    /// Places after the last weight are zero.
    ///
    /// # Errors
    ///
    /// Returns [`CommitError`] if there are more weights than places.
    pub fn commit(shape: Shape, mut weights: Vec<i16>) -> Result<Self, CommitError> {
        let (capacity, got) = (shape.capacity(), weights.len());
        if got > capacity {
            return Err(CommitError::TooMany { capacity, got });
        }
        weights.resize(capacity, 0);
        let code = encode_rows(&shape, &weights);
        Self::hash_columns(shape, weights, code)
    }

    fn hash_columns(
        shape: Shape,
        weights: Vec<i16>,
        code: CodeMatrix,
    ) -> Result<Self, CommitError> {
        let (cap, tree) = column_tree().commit_matrix(code);
        let &[root] = cap.roots() else {
            return Err(CommitError::Roots { expected: 1, got: cap.num_roots() });
        };
        Ok(Self { shape, weights, root: Digest::from(root), tree })
    }

    /// Returns the commitment, `weight_root` of the verifying key.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// Returns the weights, zeros to the end of the last row in use included.
    #[must_use]
    pub fn weights(&self) -> &[i16] {
        &self.weights
    }

    /// Gives the weights back, zeros to the end of the last row in use included.
    #[must_use]
    pub fn into_weights(self) -> Vec<i16> {
        self.weights
    }

    /// Returns the sizes of the commitment.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Opens the weights at `point`, which the transcript has just fixed (steps 8 and 9).
    ///
    /// # Errors
    ///
    /// Returns [`ArityError`] if the point is not of the shape's arity.
    pub fn open(&self, transcript: &mut Transcript, point: &Point) -> Result<Opening, ArityError> {
        let (value, row) = self.combine(point)?;
        let proof = self.open_columns(transcript, value, row);
        Ok(Opening { value, proof })
    }

    /// Returns `v_w` and `u`: one pass over the weights.
    ///
    /// # Errors
    ///
    /// Returns [`ArityError`] if the point is not of the shape's arity.
    pub fn combine(&self, point: &Point) -> Result<(K, Vec<K>), ArityError> {
        combine(&self.shape, &self.weights, point)
    }

    /// Sends `value` and `row` and opens the columns that the transcript then asks for.
    ///
    /// The two are taken as they are; a verifier accepts those of [`combine`](Self::combine).
    #[must_use]
    pub fn open_columns(&self, transcript: &mut Transcript, value: K, row: Vec<K>) -> OpeningProof {
        let indices = draw_indices(&self.shape, transcript, value, &row);
        let (columns, multiproof) = column_tree().open_multi_batch(&indices, &self.tree);
        OpeningProof {
            row,
            columns: columns.into_iter().flatten().collect(),
            siblings: multiproof.sibling_hashes.into_iter().map(Digest::from).collect(),
        }
    }
}

/// Returns the value of `weights` at `point`, and the combination of their rows that it is of.
///
/// # Errors
///
/// Returns [`ArityError`] if the point is not of the shape's arity.
pub(crate) fn combine(
    shape: &Shape,
    weights: &[i16],
    point: &Point,
) -> Result<(K, Vec<K>), ArityError> {
    point.check(shape)?;
    let row = combine_rows(weights, shape.columns(), &point.row_weights(shape));
    Ok((evaluate(&row, &point.columns)?, row))
}

#[cfg(test)]
impl CommittedWeights {
    /// Commits to a word that is not a codeword: a cheating registrant.
    pub(super) fn commit_spoiled(
        shape: Shape,
        weights: Vec<i16>,
        spoil: impl Fn(usize, &mut [F]),
    ) -> Self {
        let mut code = encode_rows(&shape, &weights);
        code.rows_mut().enumerate().for_each(|(index, column)| spoil(index, column));
        Self::hash_columns(shape, weights, code).unwrap()
    }
}

impl fmt::Debug for CommittedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommittedWeights")
            .field("shape", &self.shape)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}
