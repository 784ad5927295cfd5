//! Inner products of the rows of a matrix with vectors over `K`.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use super::{SHIFT, reduced, shifted, words};
use crate::field::{DEGREE, F, K};

/// Returns `sum_column vectors[v][column] matrix[row * columns + column]` for each row, and for each
/// vector `v` of it: the result for `(row, v)` is at `row * vectors.len() + v`.
///
/// `matrix` holds whole rows of `columns`; columns behind the end of a vector count as 0, and what a
/// vector has more does not count.
pub(crate) fn row_products(matrix: &[i16], columns: usize, vectors: &[&[K]]) -> Vec<K> {
    let columns = columns.max(1);
    let planes: Vec<Planes> = vectors.iter().map(|vector| Planes::new(vector, columns)).collect();
    let mut products = vec![K::ZERO; (matrix.len() / columns) * planes.len()];
    if planes.is_empty() {
        return products;
    }
    let arch = pulp::Arch::new();
    // Pairs of rows, as many as make a task worth starting.
    let task = 2 * (TASK / (2 * columns)).max(1);
    let rows = matrix.par_chunks(task * columns);
    products.par_chunks_mut(task * planes.len()).zip(rows).for_each(|(products, rows)| {
        arch.dispatch(Group { rows, columns, planes: &planes, products });
    });
    products
}

/// The coefficients of a vector, each in a list of its own, with their sums.
struct Planes {
    words: [Vec<u32>; DEGREE],
    /// What the shift by `2^15` adds to each coefficient, modulo `p`.
    offsets: [F; DEGREE],
}

impl Planes {
    /// Returns the words from column `first` on.
    #[inline(always)]
    fn block(&self, first: usize) -> [&[u32]; DEGREE] {
        let [a, b, c, d, e] = &self.words;
        [a, b, c, d, e].map(|words| words.get(first..).unwrap_or_default())
    }

    fn new(vector: &[K], columns: usize) -> Self {
        let vector = vector.get(..columns).unwrap_or(vector);
        let mut lists: [Vec<u32>; DEGREE] = Default::default();
        let mut totals = [0_u64; DEGREE];
        for list in &mut lists {
            list.reserve_exact(vector.len());
        }
        for value in vector {
            for ((list, total), word) in lists.iter_mut().zip(&mut totals).zip(words(value)) {
                list.push(word);
                *total += u64::from(word);
            }
        }
        let offsets = totals.map(|total| F::from_u64(total) * F::from_u64(SHIFT));
        Self { words: lists, offsets }
    }
}

/// Some rows, compiled once for each vector width that the processor may have.
struct Group<'a> {
    rows: &'a [i16],
    columns: usize,
    planes: &'a [Planes],
    products: &'a mut [K],
}

impl pulp::WithSimd for Group<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let count = self.planes.len();
        let rows = self.rows.chunks(2 * self.columns);
        for (rows, products) in rows.zip(self.products.chunks_mut(2 * count)) {
            let (left, right) = rows.split_at(self.columns.min(rows.len()));
            let (left_products, right_products) = products.split_at_mut(count.min(products.len()));
            let mut cells = [[0_u32; BLOCK]; 2];
            for first in (0..self.columns).step_by(BLOCK) {
                let [left_cells, right_cells] = &mut cells;
                let left_cells = shift_block(left, first, left_cells);
                let right_cells = shift_block(right, first, right_cells);
                let mut right_products = right_products.iter_mut();
                for (planes, product) in self.planes.iter().zip(left_products.iter_mut()) {
                    let words = planes.block(first);
                    let other = right_products.next();
                    let [left, right] = if other.is_some() {
                        two_rows(left_cells, right_cells, words)
                    } else {
                        [one_row(left_cells, words), K::ZERO]
                    };
                    *product += left;
                    if let Some(product) = other {
                        *product += right;
                    }
                }
            }
        }
        for products in self.products.chunks_mut(count) {
            for (planes, product) in self.planes.iter().zip(products) {
                *product -= K::new(planes.offsets);
            }
        }
    }
}

/// Up to [`BLOCK`] cells from `first` on, each shifted by `2^15`.
#[inline(always)]
fn shift_block<'a>(row: &[i16], first: usize, cells: &'a mut [u32; BLOCK]) -> &'a [u32] {
    let row = row.get(first..).unwrap_or_default();
    for (cell, &value) in cells.iter_mut().zip(row) {
        *cell = u32::from(shifted(value));
    }
    cells.get(..row.len().min(BLOCK)).unwrap_or_default()
}

/// Both rows by the same words: each word is loaded once for both.
#[inline(always)]
fn two_rows(left: &[u32], right: &[u32], [a, b, c, d, e]: [&[u32]; DEGREE]) -> [K; 2] {
    let mut sums = [[0_u64; DEGREE]; 2];
    let words = a.iter().zip(b).zip(c).zip(d).zip(e);
    for (((((&a, &b), &c), &d), &e), (&left, &right)) in words.zip(left.iter().zip(right)) {
        let words = [a, b, c, d, e].map(u64::from);
        for (sums, cell) in sums.iter_mut().zip([left, right].map(u64::from)) {
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum += cell * word;
            }
        }
    }
    sums.map(|sums| K::new(sums.map(reduced)))
}

#[inline(always)]
fn one_row(cells: &[u32], words: [&[u32]; DEGREE]) -> K {
    let sums = words.map(|words| {
        let terms = cells.iter().zip(words).map(|(&cell, &word)| u64::from(cell) * u64::from(word));
        reduced(terms.sum())
    });
    K::new(sums)
}

/// Columns whose products are added up before a reduction: far below what would wrap, and five
/// lists of words with a list of cells stay in the first-level cache.
const BLOCK: usize = 1024;
const _: () = assert!(BLOCK <= super::MAX_TERMS);

/// Cells of one task.
const TASK: usize = 1 << 15;

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers made here")]
mod tests {
    use super::*;
    use crate::transcript::Transcript;

    #[test]
    fn integer_products_agree_with_field_products() {
        let mut rng = Transcript::new();
        for (rows, columns, count) in
            [(1, 1, 1), (3, 2, 2), (5, 1500, 3), (9, 64, 1), (2, 3, 0), (3000, 12, 2)]
        {
            let matrix: Vec<i16> =
                (0..rows * columns).map(|i| (i as i16).wrapping_mul(12_345)).collect();
            let vectors: Vec<Vec<K>> = (0..count).map(|_| rng.sample_point(columns)).collect();
            let mut lists: Vec<&[K]> = vectors.iter().map(Vec::as_slice).collect();
            if let Some(short) = lists.last_mut() {
                *short = &short[..columns.div_ceil(2)];
            }
            let mut wanted = Vec::new();
            for row in matrix.chunks(columns) {
                for list in &lists {
                    let terms = row.iter().zip(*list);
                    wanted.push(terms.map(|(&v, &k)| k * F::from_i16(v)).sum::<K>());
                }
            }
            assert_eq!(row_products(&matrix, columns, &lists), wanted, "{rows} x {columns}");
        }
    }

    #[test]
    fn the_largest_sums_do_not_wrap() {
        let largest = K::new([F::NEG_ONE; DEGREE]);
        for value in [i16::MIN, i16::MAX] {
            let columns = 1 << 17;
            let product = row_products(&vec![value; columns], columns, &[&vec![largest; columns]]);
            assert_eq!(product, [largest * F::from_i64(i64::from(value) << 17)]);
        }
    }
}
