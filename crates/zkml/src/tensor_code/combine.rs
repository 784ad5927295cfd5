//! The prover's pass over the weights: `u = sum_row eq(zeta, row) M[row]` (section 6.4).
//!
//! Weights are 16-bit integers, so the sum is taken in integers and reduced modulo `p` once per
//! column: a coefficient of `eq(zeta, row)` is below `2^31`, a weight shifted by `2^15` is below
//! `2^16`, and `2^16` rows of products stay below `2^63`. Unsigned operands let the compiler use
//! the 32 x 32 to 64 bit multiply that every x86-64 and AArch64 machine has in vector form, and
//! `pulp` picks the widest one of the processor at run time, whatever the build was told.

use p3_field::{PrimeCharacteristicRing, PrimeField32};
use p3_maybe_rayon::prelude::*;

use crate::field::{DEGREE, F, K, coefficients};

/// Returns `sum_row row_weights[row] weights[row * columns ..][.. columns]`.
///
/// `weights` holds whole rows, at most `2^16` of them, by [`Shape`](super::Shape); rows without a
/// counterpart in `row_weights` do not count.
pub(crate) fn combine_rows(weights: &[i16], columns: usize, row_weights: &[K]) -> Vec<K> {
    let words: Vec<[u32; DEGREE]> = row_weights.iter().map(words).collect();
    let offset = offsets(&words);
    let arch = pulp::Arch::new();
    let mut combined = vec![K::ZERO; columns];
    combined.par_chunks_mut(BLOCK).enumerate().for_each(|(block, out)| {
        let sums = arch.dispatch(Block { weights, columns, first: block * BLOCK, words: &words });
        for (column, out) in out.iter_mut().enumerate() {
            *out = reduce(&sums, &offset, column);
        }
    });
    combined
}

/// Sums of up to [`BLOCK`] columns, one list for each coefficient of the extension.
type Sums = [[u64; BLOCK]; DEGREE];

/// One block of the sum, compiled once for each vector width that the processor may have.
struct Block<'a> {
    weights: &'a [i16],
    columns: usize,
    first: usize,
    words: &'a [[u32; DEGREE]],
}

impl pulp::WithSimd for Block<'_> {
    type Output = Sums;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Sums {
        block_sums(self.weights, self.columns, self.first, self.words)
    }
}

/// Combines the columns from `first` on, with every weight shifted by `2^15`.
#[inline(always)]
fn block_sums(weights: &[i16], columns: usize, first: usize, words: &[[u32; DEGREE]]) -> Sums {
    let mut sums = [[0; BLOCK]; DEGREE];
    let width = columns.saturating_sub(first).min(BLOCK);
    let rows: Vec<&[i16]> = weights
        .chunks(columns)
        .map(|row| row.get(first..first + width).unwrap_or_default())
        .collect();
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
fn add_rows<const N: usize>(sums: &mut Sums, rows: [&[i16]; N], words: &[[u32; DEGREE]; N]) {
    let mut shifted_rows = [[0_u32; BLOCK]; N];
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

fn reduce(sums: &Sums, offset: &[F; DEGREE], column: usize) -> K {
    let mut coefficients = *offset;
    for (coefficient, sums) in coefficients.iter_mut().zip(sums) {
        *coefficient = F::from_u64(sums.get(column).copied().unwrap_or(0)) - *coefficient;
    }
    K::new(coefficients)
}

/// `weight + 2^15`, which is not negative.
#[inline(always)]
const fn shifted(weight: i16) -> u16 {
    weight.cast_unsigned() ^ (1 << 15)
}

fn words(value: &K) -> [u32; DEGREE] {
    let mut words = [0; DEGREE];
    for (word, coefficient) in words.iter_mut().zip(coefficients(value)) {
        *word = coefficient.as_canonical_u32();
    }
    words
}

/// Turns a weight into a number that is not negative.
const SHIFT: u64 = 1 << 15;

/// Columns per block: five lists of this many 64-bit sums stay in the first-level cache.
const BLOCK: usize = 256;

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
        for (rows, columns) in [(1, 1), (3, 2), (4, 256), (5, 512), (9, 64), (513, 8)] {
            let row_weights = rng.sample_point(rows);
            let weights: Vec<i16> =
                (0..rows * columns).map(|i| (i as i16).wrapping_mul(12_345)).collect();
            assert_eq!(
                combine_rows(&weights, columns, &row_weights),
                by_definition(&weights, columns, &row_weights),
                "{rows} x {columns}"
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
