//! The Reed-Solomon row code (section 6.1): coefficients in, evaluations on the subgroup out.
//!
//! Column `j` of the code is the evaluation at `g^j`, with `g` p3's generator of order
//! `2^(kappa+2)`, in natural order.

use p3_dft::{Radix2DFTSmallBatch, TwoAdicSubgroupDft};
use p3_field::{PrimeCharacteristicRing, TwoAdicField};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;
use p3_maybe_rayon::prelude::*;

use super::shape::Shape;
use crate::field::{F, K};
use crate::transform::encode;

/// The code of all rows, transposed: row `j` of this matrix is column `j` of the code.
pub(crate) type CodeMatrix = RowMajorMatrix<F>;

/// Encodes every row of `weights`, which holds `rows_used` whole rows.
///
/// Works on blocks of rows, so the only memory beside the result is the code of one block.
pub(crate) fn encode_rows(shape: &Shape, weights: &[i16]) -> CodeMatrix {
    let rows = shape.rows_used();
    let log_cosets = shape.log_code_length() - shape.log_columns();
    if rows <= 2 * BLOCK_ROWS {
        return encode(transposed_block(shape, weights, Vec::new()), log_cosets);
    }
    let mut code = F::zero_vec(rows * shape.code_length());
    let mut buffer = Vec::new();
    for (block, weights) in weights.chunks(shape.columns() * BLOCK_ROWS).enumerate() {
        let encoded = encode(transposed_block(shape, weights, buffer), log_cosets);
        let (first, width) = (block * BLOCK_ROWS, encoded.width());
        let columns = code.par_chunks_mut(rows).zip(encoded.values.par_chunks(width));
        columns.for_each(|(column, values)| {
            let slots = column.iter_mut().skip(first);
            slots.zip(values).for_each(|(slot, &value)| *slot = value);
        });
        buffer = encoded.values;
    }
    RowMajorMatrix::new(code, rows)
}

/// The code of one row over the extension field, of which few places are read.
///
/// With `x = g^j`, the polynomial is `sum_{i < 2^a} x^i P_i(x^(2^a))`, where `P_i` has every
/// `2^a`-th coefficient from `i` on. The points `x^(2^a)` form a group of order `n / 2^a`: one
/// transform of that length gives all `P_i` on it, and a place costs `2^a` products. For 152 places
/// this saves a third of a whole transform, and the large tables of roots.
pub(crate) struct EncodedRow {
    /// Row `k` holds all `P_i` at the `k`-th point.
    parts: RowMajorMatrix<K>,
    /// `g`, of the order of the code's length.
    generator: F,
}

impl EncodedRow {
    /// Prepares the code of `row`, of `2^kappa` coefficients.
    pub(crate) fn new(shape: &Shape, row: &[K]) -> Self {
        let log_parts = shape.log_columns().min(MAX_LOG_PARTS);
        let log_points = shape.log_code_length() - log_parts;
        let mut coefficients = row.to_vec();
        coefficients.resize(shape.code_length(), K::ZERO);
        let coefficients = RowMajorMatrix::new(coefficients, 1 << log_parts);
        let dft = Radix2DFTSmallBatch::<F>::new(1 << log_points);
        let generator = F::two_adic_generator(shape.log_code_length());
        Self { parts: dft.dft_algebra_batch(coefficients), generator }
    }

    /// Returns place `index` of the code.
    pub(crate) fn at(&self, index: usize) -> K {
        let point = self.generator.exp_u64(index as u64);
        let parts = self.parts.row_slice(index % self.parts.height());
        parts.map_or(K::ZERO, |parts| parts.iter().rev().fold(K::ZERO, |sum, &p| sum * point + p))
    }
}

/// Turns some rows of weights into columns of field elements, with room for their code, in the memory
/// of `values`.
fn transposed_block(shape: &Shape, weights: &[i16], mut values: Vec<F>) -> RowMajorMatrix<F> {
    let columns = shape.columns();
    let width = weights.len() / columns;
    values.resize(width * shape.code_length(), F::ZERO);
    let tiles = values.par_chunks_mut(width * TILE_COLUMNS).take(columns.div_ceil(TILE_COLUMNS));
    tiles.enumerate().for_each(|(tile, out)| {
        for (row, source) in weights.chunks(columns).enumerate() {
            let source = source.iter().skip(tile * TILE_COLUMNS);
            let slots = out.iter_mut().skip(row).step_by(width);
            slots.zip(source).for_each(|(slot, &weight)| *slot = F::from_i16(weight));
        }
    });
    RowMajorMatrix::new(values, width)
}

/// Rows that are encoded at once.
const BLOCK_ROWS: usize = 32;

/// Columns that are transposed at once: each cache line read is then used while it is there.
const TILE_COLUMNS: usize = 16;

/// Largest `a` in [`EncodedRow`]: the fastest measured, 5 to 7 being alike.
const MAX_LOG_PARTS: usize = 6;

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers made here")]
mod tests {
    use super::*;
    use crate::tensor_code::CodeProfile;

    /// Horner's rule at `g^index`.
    fn evaluate_at(shape: &Shape, coefficients: &[K], index: usize) -> K {
        let point = F::two_adic_generator(shape.log_code_length()).exp_u64(index as u64);
        coefficients.iter().rev().fold(K::ZERO, |sum, &c| sum * point + c)
    }

    #[test]
    fn column_j_holds_the_evaluations_at_the_jth_power() {
        for (log_columns, rows) in [(0, 1_usize), (1, 3), (3, 2), (5, 5), (6, 17), (9, 2), (5, 150)]
        {
            let log_weights = log_columns + rows.next_power_of_two().ilog2() as usize;
            let shape = Shape::new(CodeProfile::default(), log_weights, log_columns, rows).unwrap();
            let weights: Vec<i16> = (0..shape.capacity())
                .map(|i| (i as i16).wrapping_mul(2741).wrapping_sub(99))
                .collect();
            let code = encode_rows(&shape, &weights);
            assert_eq!((code.height(), code.width()), (shape.code_length(), rows));
            for (row, weights) in weights.chunks(shape.columns()).enumerate() {
                let coefficients: Vec<K> =
                    weights.iter().map(|&w| K::from(F::from_i16(w))).collect();
                let encoded = EncodedRow::new(&shape, &coefficients);
                for index in 0..shape.code_length() {
                    let expected = evaluate_at(&shape, &coefficients, index);
                    assert_eq!(K::from(code.get(index, row).unwrap()), expected);
                    assert_eq!(encoded.at(index), expected);
                }
            }
        }
    }
}
