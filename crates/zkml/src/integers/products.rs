//! Inner products of the rows of a matrix with vectors over `K`.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use super::{SHIFT, shifted, words};
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
    let rows = matrix.par_chunks(ROWS * columns);
    products.par_chunks_mut(ROWS * planes.len()).zip(rows).for_each(|(products, rows)| {
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
        let mut cells = [[0_u32; BLOCK]; ROWS];
        let blocks = self.columns.div_ceil(BLOCK);
        for block in 0..blocks {
            let first = block * BLOCK;
            for (cells, row) in cells.iter_mut().zip(self.rows.chunks(self.columns)) {
                let row = row.get(first..).unwrap_or_default();
                for (cell, &value) in cells.iter_mut().zip(row) {
                    *cell = u32::from(shifted(value));
                }
            }
            let products = self.products.chunks_mut(self.planes.len());
            for (cells, products) in cells.iter().zip(products) {
                for (planes, product) in self.planes.iter().zip(products) {
                    *product += block_product(cells, planes, first);
                }
            }
        }
        for products in self.products.chunks_mut(self.planes.len()) {
            for (planes, product) in self.planes.iter().zip(products) {
                *product -= K::new(planes.offsets);
            }
        }
    }
}

#[inline(always)]
fn block_product(cells: &[u32; BLOCK], planes: &Planes, first: usize) -> K {
    let mut sums = [F::ZERO; DEGREE];
    for (sum, words) in sums.iter_mut().zip(&planes.words) {
        let words = words.get(first..).unwrap_or_default();
        let mut total = 0_u64;
        for (&cell, &word) in cells.iter().zip(words) {
            total += u64::from(cell) * u64::from(word);
        }
        *sum = F::from_u64(total);
    }
    K::new(sums)
}

/// Columns whose products are added up before a reduction: far below what would wrap, and five
/// lists of words with a list of cells stay in the first-level cache.
const BLOCK: usize = 1024;
const _: () = assert!(BLOCK <= super::MAX_TERMS);

/// Rows that share the words in the cache.
const ROWS: usize = 4;

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers made here")]
mod tests {
    use super::*;
    use crate::transcript::Transcript;

    #[test]
    fn integer_products_agree_with_field_products() {
        let mut rng = Transcript::new();
        for (rows, columns, count) in [(1, 1, 1), (3, 2, 2), (5, 1500, 3), (9, 64, 1), (2, 3, 0)] {
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
