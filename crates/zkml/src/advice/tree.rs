//! The codes that WHIR commits to, with the trees over their rows (section 7).

use p3_commit::Mmcs;
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use p3_matrix::dense::RowMajorMatrix;
use p3_maybe_rayon::prelude::*;

use super::proof::{Openings, Rows};
use crate::field::{DEGREE, F, K, coefficients};
use crate::tensor_code::{ColumnTree, Digest, column_tree};
use crate::transform::encode;

/// A committed code: one row for each place, of elements of `F` or of the coefficients of `K`.
#[derive(Clone, Debug)]
pub(super) struct CodeTree {
    tree: <ColumnTree as Mmcs<F>>::ProverData<RowMajorMatrix<F>>,
    root: Digest,
    base: bool,
}

impl CodeTree {
    /// Commits to the code of `2^log_cells` cells, the rows of whose message are `2^folds` cells
    /// that `write` puts into zeros.
    pub(super) fn of_cells(
        log_cells: usize,
        folds: usize,
        log_inverse_rate: usize,
        write: impl FnOnce(&mut [F]),
    ) -> Self {
        let mut values = F::zero_vec(1 << (log_cells + log_inverse_rate));
        write(values.get_mut(..1 << log_cells).unwrap_or_default());
        Self::new(RowMajorMatrix::new(values, 1 << folds), log_inverse_rate, true)
    }

    /// Commits to the code of a folded vector, the next `folds` variables of which make a row.
    pub(super) fn of_values(values: &[K], folds: usize, log_inverse_rate: usize) -> Self {
        let (rows, width) = (values.len() >> folds, DEGREE << folds);
        let mut message = F::zero_vec((rows * width) << log_inverse_rate);
        let out = message.par_chunks_mut(width).with_min_len(ROWS).take(rows);
        out.enumerate().for_each(|(row, out)| {
            let own = values.iter().skip(row).step_by(rows.max(1));
            let (out, _) = out.as_chunks_mut::<DEGREE>();
            for (out, value) in out.iter_mut().zip(own) {
                out.copy_from_slice(coefficients(value));
            }
        });
        Self::new(RowMajorMatrix::new(message, width), log_inverse_rate, false)
    }

    fn new(message: RowMajorMatrix<F>, log_inverse_rate: usize, base: bool) -> Self {
        let code = encode(message, log_inverse_rate);
        let (commitment, tree) = column_tree().commit_matrix(code);
        let root = Digest::from(commitment.roots().first().copied().unwrap_or_default());
        Self { tree, root, base }
    }

    pub(super) const fn root(&self) -> Digest {
        self.root
    }

    /// Opens the rows at `indices`, in that order.
    pub(super) fn open(&self, indices: &[usize]) -> Openings {
        let (rows, proof) = column_tree().open_multi_batch(indices, &self.tree);
        let rows = rows.into_iter().map(|row| row.into_iter().next().unwrap_or_default());
        let rows = if self.base {
            Rows::Base(rows.collect())
        } else {
            Rows::Extension(rows.map(K::reconstitute_from_base).collect())
        };
        let siblings = proof.sibling_hashes.into_iter().map(Digest::from).collect();
        Openings { rows, siblings }
    }
}

/// Fewest rows that one task writes.
const ROWS: usize = 64;
