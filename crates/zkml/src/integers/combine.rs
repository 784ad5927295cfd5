//! A combination of the rows of a matrix, as the opening's `u = sum_row eq(zeta, row) M[row]`
//! (section 6.4).

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use super::{MAX_TERMS, SHIFT, reduced, shifted, words};
use crate::field::{DEGREE, F, K};

/// Returns `sum_row row_weights[row] matrix[row * columns ..][.. columns]`.
///
/// `matrix` holds whole rows; rows without a counterpart in `row_weights` do not count, and neither
/// do weights without a row.
pub(crate) fn combine_rows(matrix: &[i16], columns: usize, row_weights: &[K]) -> Vec<K> {
    let rows: Vec<&[i16]> = matrix.chunks_exact(columns.max(1)).take(row_weights.len()).collect();
    combine(&rows, columns, row_weights)
}

/// Returns `sum_row row_weights[row] rows[row]`, for rows of `columns` cells.
pub(crate) fn combine(rows: &[&[i16]], columns: usize, row_weights: &[K]) -> Vec<K> {
    let mut combined = vec![K::ZERO; columns];
    for (rows, row_weights) in rows.chunks(MAX_TERMS).zip(row_weights.chunks(MAX_TERMS)) {
        let count = rows.len().min(row_weights.len());
        let words: Vec<[u32; DEGREE]> = row_weights.iter().take(count).map(words).collect();
        add_combined(&mut combined, rows, &words);
    }
    combined
}

/// Adds at most [`MAX_TERMS`] rows.
fn add_combined(combined: &mut [K], rows: &[&[i16]], words: &[[u32; DEGREE]]) {
    if combined.len() <= NARROW_BLOCK {
        add_blocks::<NARROW_BLOCK>(combined, rows, words);
    } else {
        add_blocks::<BLOCK>(combined, rows, words);
    }
}

fn add_blocks<const N: usize>(combined: &mut [K], rows: &[&[i16]], words: &[[u32; DEGREE]]) {
    let offset = offsets(words);
    let arch = pulp::Arch::new();
    combined.par_chunks_mut(N).enumerate().for_each(|(block, out)| {
        let (first, width) = (block * N, out.len());
        let sums: Sums<N> = arch.dispatch(Block { rows, first, width, words });
        for (column, out) in out.iter_mut().enumerate() {
            *out += reduce(&sums, &offset, column);
        }
    });
}

/// Sums of up to `N` columns, one list for each coefficient of the extension.
type Sums<const N: usize> = [[u64; N]; DEGREE];

/// One block of the sum, compiled once for each vector width that the processor may have.
#[derive(Clone, Copy)]
struct Block<'a, const N: usize> {
    rows: &'a [&'a [i16]],
    first: usize,
    width: usize,
    words: &'a [[u32; DEGREE]],
}

impl<const N: usize> pulp::WithSimd for Block<'_, N> {
    type Output = Sums<N>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Sums<N> {
        block_sums(self)
    }
}

/// Combines the columns from `first` on, with every weight shifted by `2^15`.
#[inline(always)]
fn block_sums<'a, const N: usize>(block: Block<'a, N>) -> Sums<N> {
    let Block { rows, first, width, words } = block;
    let mut sums = [[0; N]; DEGREE];
    let part = |row: &&'a [i16]| row.get(first..first + width).unwrap_or_default();
    let rows: Vec<&[i16]> = rows.iter().map(part).collect();
    let (row_groups, row_rest) = rows.as_chunks::<GROUP>();
    let (word_groups, word_rest) = words.as_chunks::<GROUP>();
    for (rows, words) in row_groups.iter().zip(word_groups) {
        add_rows(&mut sums, *rows, words);
    }
    for (&row, words) in row_rest.iter().zip(word_rest) {
        add_rows(&mut sums, [row; 1], &[*words]);
    }
    sums
}

/// Adds some rows at once: each sum is then loaded and stored once for all of them.
#[inline(always)]
fn add_rows<const N: usize, const R: usize>(
    sums: &mut Sums<N>,
    rows: [&[i16]; R],
    words: &[[u32; DEGREE]; R],
) {
    let mut shifted_rows = [[0_u32; N]; R];
    for (shifted_row, row) in shifted_rows.iter_mut().zip(rows) {
        for (slot, &weight) in shifted_row.iter_mut().zip(row) {
            *slot = u32::from(shifted(weight));
        }
    }
    for (coefficient, sums) in sums.iter_mut().enumerate() {
        let words = words.map(|words| words.into_iter().nth(coefficient).unwrap_or(0));
        for (column, sum) in sums.iter_mut().enumerate() {
            let mut total = 0;
            for (row, word) in shifted_rows.iter().zip(words) {
                total += u64::from(row.get(column).copied().unwrap_or(0)) * u64::from(word);
            }
            *sum += total;
        }
    }
}

/// What the shift by `2^15` added to each column, modulo `p`.
fn offsets(words: &[[u32; DEGREE]]) -> [F; DEGREE] {
    let mut totals = [0_u64; DEGREE];
    for words in words {
        for (total, &word) in totals.iter_mut().zip(words) {
            *total += u64::from(word);
        }
    }
    totals.map(|total| F::from_u64(total) * F::from_u64(SHIFT))
}

fn reduce<const N: usize>(sums: &Sums<N>, offset: &[F; DEGREE], column: usize) -> K {
    let mut coefficients = *offset;
    for (coefficient, sums) in coefficients.iter_mut().zip(sums) {
        *coefficient = reduced(sums.get(column).copied().unwrap_or(0)) - *coefficient;
    }
    K::new(coefficients)
}

/// Columns per block: five lists of this many 64-bit sums stay in the first-level cache.
const BLOCK: usize = 256;

/// Columns per block where there are no more: a convolution's channels are often few.
const NARROW_BLOCK: usize = 64;

/// Rows added at once.
const GROUP: usize = 4;

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers made here")]
mod tests {
    use super::*;
    use crate::transcript::Transcript;

    fn by_definition(weights: &[i16], columns: usize, row_weights: &[K]) -> Vec<K> {
        let mut out = vec![K::ZERO; columns];
        for (row, &row_weight) in weights.chunks(columns).zip(row_weights) {
            for (sum, &weight) in out.iter_mut().zip(row) {
                *sum += row_weight * F::from_i16(weight);
            }
        }
        out
    }

    #[test]
    fn integer_sums_agree_with_field_sums() {
        let mut rng = Transcript::new();
        for (rows, columns) in
            [(1, 1), (3, 2), (6, 65), (4, 256), (5, 512), (9, 64), (513, 8), (70_000, 1)]
        {
            let row_weights = rng.sample_point(rows);
            let weights: Vec<i16> =
                (0..rows * columns).map(|i| (i as i16).wrapping_mul(12_345)).collect();
            assert_eq!(
                combine_rows(&weights, columns, &row_weights),
                by_definition(&weights, columns, &row_weights),
                "{rows} x {columns}"
            );
            // What has no counterpart does not count.
            let more = [row_weights.clone(), rng.sample_point(3)].concat();
            assert_eq!(
                combine_rows(&weights, columns, &more),
                by_definition(&weights, columns, &row_weights),
            );
            assert_eq!(
                combine_rows(&weights, columns, &row_weights[1..]),
                by_definition(&weights, columns, &row_weights[1..]),
            );
        }
    }

    #[test]
    fn the_largest_sums_do_not_wrap() {
        let largest = K::new([F::NEG_ONE; DEGREE]);
        for weight in [i16::MIN, i16::MAX] {
            let rows = 1 << 16;
            let combined = combine_rows(&vec![weight; rows], 1, &vec![largest; rows]);
            assert_eq!(combined, [largest * F::from_i32(i32::from(weight) << 16)]);
        }
    }
}
