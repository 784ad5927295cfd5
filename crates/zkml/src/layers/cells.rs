//! The cells of a tensor's column as a matrix of integers.

use p3_field::{PrimeCharacteristicRing, PrimeField32};
use p3_maybe_rayon::prelude::*;

use crate::field::{F, K, MODULUS};
use crate::integers::{combine_rows, row_products};

/// A column as the prover reads it. Cells of an honest run have 16 bits; a column with others is
/// summed in the field, so that what it proves is still the column.
#[derive(Clone, Debug)]
pub(super) enum Cells<'a> {
    /// Every cell is a 16-bit integer.
    Integers(Vec<i16>),
    /// Some cell is not.
    Elements(&'a [F]),
}

impl<'a> Cells<'a> {
    pub(super) fn new(column: &'a [F]) -> Self {
        let mut integers = vec![0; column.len()];
        let parts = integers.par_chunks_mut(PART).zip(column.par_chunks(PART));
        let arch = pulp::Arch::new();
        let fits = parts.map(|(integers, cells)| arch.dispatch(Part { integers, cells }));
        if fits.reduce(|| true, |a, b| a & b) {
            Self::Integers(integers)
        } else {
            Self::Elements(column)
        }
    }

    /// Returns `sum_row row_weights[row] cells[row]`, rows being of `columns` cells.
    pub(super) fn combine(&self, columns: usize, row_weights: &[K]) -> Vec<K> {
        match self {
            Self::Integers(cells) => combine_rows(cells, columns, row_weights),
            Self::Elements(cells) => {
                let mut sums = vec![K::ZERO; columns];
                for (row, &weight) in cells.chunks(columns.max(1)).zip(row_weights) {
                    sums.iter_mut().zip(row).for_each(|(sum, &cell)| *sum += weight * cell);
                }
                sums
            }
        }
    }

    /// Returns the inner products of each row with each vector: that of `(row, v)` is at
    /// `row * vectors.len() + v`.
    pub(super) fn products(&self, columns: usize, vectors: &[&[K]]) -> Vec<K> {
        match self {
            Self::Integers(cells) => row_products(cells, columns, vectors),
            Self::Elements(cells) => {
                let rows = cells.chunks(columns.max(1));
                let product = |row: &[F], vector: &[K]| -> K {
                    row.iter().zip(vector).map(|(&cell, &weight)| weight * cell).sum()
                };
                rows.flat_map(|row| vectors.iter().map(move |vector| product(row, vector)))
                    .collect()
            }
        }
    }
}

/// Some cells to convert, compiled once for each vector width that the processor may have.
struct Part<'a> {
    integers: &'a mut [i16],
    cells: &'a [F],
}

impl pulp::WithSimd for Part<'_> {
    type Output = bool;

    /// Returns whether every cell is a 16-bit integer.
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> bool {
        let mut all = 0;
        for (slot, cell) in self.integers.iter_mut().zip(self.cells) {
            // Below p + 2^15, hence inside 32 bits.
            let shifted = cell.as_canonical_u32() + (1 << 15);
            let shifted = if shifted >= MODULUS { shifted - MODULUS } else { shifted };
            all |= shifted;
            let word = u16::try_from(shifted & 0xffff).unwrap_or(0);
            *slot = (word ^ (1 << 15)).cast_signed();
        }
        all < 1 << 16
    }
}

/// Cells that one task reads.
const PART: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::Transcript;

    #[test]
    fn both_kinds_agree() {
        let column: Vec<F> = (-600..600).map(|v| F::from_i32(v * 54)).collect();
        let cells = Cells::new(&column);
        let Cells::Integers(integers) = &cells else { panic!("integers expected") };
        assert!(integers.iter().zip(-600..).all(|(&v, i)| i32::from(v) == i * 54));
        let elements = Cells::Elements(&column);
        let mut rng = Transcript::new();
        let (rows, vectors) = (rng.sample_point(60), [rng.sample_point(20), rng.sample_point(20)]);
        assert_eq!(cells.combine(20, &rows), elements.combine(20, &rows));
        let vectors = [vectors[0].as_slice(), vectors[1].as_slice()];
        let [left, right] = [cells, elements].map(|cells| cells.products(20, &vectors));
        assert_eq!((left.len(), left), (120, right));
    }

    #[test]
    fn cells_outside_16_bits_are_kept_as_elements() {
        for (value, inside) in [
            (i32::from(i16::MIN), true),
            (i16::MAX.into(), true),
            (1 << 15, false),
            (-40_000, false),
        ] {
            let column = [F::ZERO, F::from_i32(value)];
            assert_eq!(matches!(Cells::new(&column), Cells::Integers(_)), inside, "{value}");
        }
    }
}
