//! Polynomials evaluated on two-adic groups, many at once: the Reed-Solomon codes of sections 6.1
//! and 7.
//!
//! A message of `m` coefficients is encoded at rate `1/c` as its evaluations on the group of order
//! `n = cm`. With `g` its generator, place `ck + b` is `sum_i (f_i g^(bi)) g^(cki)`: place `k` of
//! the transform of length `m` of the message scaled by the powers of `g^b`. So `c` transforms of
//! length `m` are the whole code. All of them happen in the memory of the result, part `b` where the
//! reversed bits of `b` say; what they leave is the code with the bits of all its places reversed.
//!
//! The arithmetic library chooses its vectors when it is compiled, so a plain build multiplies one
//! element after the other. Here all loops are along the rows of the matrix of polynomials, and
//! `pulp` compiles them for the widest vectors of the processor.

use p3_field::{PrimeCharacteristicRing, TwoAdicField};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;
use p3_matrix::util::reverse_matrix_index_bits;
use p3_maybe_rayon::prelude::*;

use crate::field::F;

/// Evaluates the polynomials whose coefficients are the columns of the first
/// `height / 2^log_cosets` rows of `matrix` at the powers of the generator of order `height`; what
/// stands in the other rows is not looked at.
///
/// The height is a power of two, and not below `2^log_cosets`.
pub(crate) fn encode(mut matrix: RowMajorMatrix<F>, log_cosets: usize) -> RowMajorMatrix<F> {
    let (height, width) = (matrix.height(), matrix.width());
    let rows = height >> log_cosets;
    if rows == 0 || width == 0 {
        return matrix;
    }
    let (message, parts) = matrix.values.split_at_mut(rows * width);
    let generator = F::two_adic_generator(height.trailing_zeros() as usize);
    // Small parts share a task.
    let together = (TASK / (rows * width)).max(1);
    let parts = parts.par_chunks_mut(rows * width).with_min_len(together);
    parts.enumerate().for_each(|(part, out)| {
        let coset = reversed(part + 1, log_cosets);
        scale(message, out, width, generator.exp_u64(coset as u64));
    });
    let layers = layers(rows);
    let parts = matrix.values.par_chunks_mut(rows * width).with_min_len(together);
    parts.for_each(|part| transform(part, width, &layers));
    reverse_matrix_index_bits(&mut matrix);
    matrix
}

/// Reverses the last `bits` bits of a number that has no others.
const fn reversed(index: usize, bits: usize) -> usize {
    if bits == 0 { 0 } else { index.reverse_bits() >> (usize::BITS as usize - bits) }
}

/// Multiplies row `i` by `shift^i`.
fn scale(message: &[F], out: &mut [F], width: usize, shift: F) {
    let block = (TASK / width).max(1);
    let step = shift.exp_u64(block as u64);
    let firsts: Vec<F> = step.powers().take(message.len().div_ceil(block * width)).collect();
    let blocks = out.par_chunks_mut(block * width).zip(message.par_chunks(block * width));
    let arch = pulp::Arch::new();
    blocks.zip(firsts).for_each(|((out, message), first)| {
        arch.dispatch(Scale { message, out, width, first, shift });
    });
}

/// `w^j, w^(2j), w^(3j)` for a quarter of the powers of `w`.
type Layer = Vec<[F; 3]>;

/// Two layers of butterflies at a time: of blocks of `rows` rows, then of a quarter of these.
fn layers(rows: usize) -> Vec<Layer> {
    let generator = F::two_adic_generator(rows.trailing_zeros() as usize);
    let powers: Vec<F> = generator.powers().take(rows).collect();
    let at = |index: usize| powers.get(index).copied().unwrap_or(F::ONE);
    let mut layers = Vec::new();
    let mut step = 1;
    while rows / step >= 4 {
        let quarter = rows / step / 4;
        layers.push((0..quarter).map(|j| [1, 2, 3].map(|times| at(times * step * j))).collect());
        step *= 4;
    }
    layers
}

/// Transforms the columns of `values`; the places of the result have their bits reversed.
fn transform(values: &mut [F], width: usize, layers: &[Layer]) {
    let arch = pulp::Arch::new();
    let Some((layer, rest)) = layers.split_first().filter(|_| values.len() > TASK) else {
        return arch.dispatch(Small { values, width, layers });
    };
    let quarter = layer.len() * width;
    let (low, high) = values.split_at_mut(2 * quarter);
    let ((a, b), (c, d)) = (low.split_at_mut(quarter), high.split_at_mut(quarter));
    let block = (TASK / 4 / width).max(1);
    let chunk = block * width;
    let (a, b) = (a.par_chunks_mut(chunk), b.par_chunks_mut(chunk));
    let (c, d) = (c.par_chunks_mut(chunk), d.par_chunks_mut(chunk));
    let blocks = a.zip(b).zip(c.zip(d)).zip(layer.par_chunks(block));
    blocks.for_each(|(((a, b), (c, d)), powers)| {
        arch.dispatch(Quads { rows: [a, b, c, d], width, powers });
    });
    values.par_chunks_mut(quarter).for_each(|part| transform(part, width, rest));
}

// Each of these is compiled once for each vector width that the processor may have.

/// Rows multiplied by `first`, `first shift`, and so on.
struct Scale<'a> {
    message: &'a [F],
    out: &'a mut [F],
    width: usize,
    first: F,
    shift: F,
}

impl pulp::WithSimd for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let mut power = self.first;
        let rows = self.out.chunks_exact_mut(self.width);
        for (out, message) in rows.zip(self.message.chunks_exact(self.width)) {
            for (out, &value) in out.iter_mut().zip(message) {
                *out = value * power;
            }
            power *= self.shift;
        }
    }
}

/// The butterflies of some rows in each quarter of a block.
struct Quads<'a> {
    rows: [&'a mut [F]; 4],
    width: usize,
    powers: &'a [[F; 3]],
}

impl pulp::WithSimd for Quads<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        quads(self.rows, self.width, self.powers);
    }
}

/// All layers of values that stay in the cache.
struct Small<'a> {
    values: &'a mut [F],
    width: usize,
    layers: &'a [Layer],
}

impl pulp::WithSimd for Small<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let mut left = self.values.len() / self.width;
        for powers in self.layers {
            let quarter = powers.len() * self.width;
            for block in self.values.chunks_exact_mut(4 * quarter) {
                let (low, high) = block.split_at_mut(2 * quarter);
                let ((a, b), (c, d)) = (low.split_at_mut(quarter), high.split_at_mut(quarter));
                quads([a, b, c, d], self.width, powers);
            }
            left /= 4;
        }
        if left == 2 {
            for block in self.values.chunks_exact_mut(2 * self.width) {
                let (low, high) = block.split_at_mut(self.width);
                for (low, high) in low.iter_mut().zip(high) {
                    (*low, *high) = (*low + *high, *low - *high);
                }
            }
        }
    }
}

/// Two layers at once of decimation in frequency (Gentleman and Sande 1966).
#[inline(always)]
fn quads([a, b, c, d]: [&mut [F]; 4], width: usize, powers: &[[F; 3]]) {
    let (a, b) = (a.chunks_exact_mut(width), b.chunks_exact_mut(width));
    let (c, d) = (c.chunks_exact_mut(width), d.chunks_exact_mut(width));
    for (((a, b), (c, d)), &powers) in a.zip(b).zip(c.zip(d)).zip(powers) {
        quad([a, b, c, d], powers);
    }
}

#[inline(always)]
fn quad([a, b, c, d]: [&mut [F]; 4], [once, twice, thrice]: [F; 3]) {
    let cells = a.iter_mut().zip(b).zip(c.iter_mut().zip(d));
    for ((a, b), (c, d)) in cells {
        let (even, odd) = (*a + *c, *a - *c);
        let (even_next, odd_next) = (*b + *d, (*b - *d) * FOURTH_ROOT);
        *a = even + even_next;
        *b = (even - even_next) * twice;
        *c = (odd + odd_next) * once;
        *d = (odd - odd_next) * thrice;
    }
}

/// The generator of order 4, `w^(n/4)` of every `w` of order `n`.
const FOURTH_ROOT: F = F::new(0x7e01_0002);

/// Cells that one task works on: they stay in the second-level cache.
const TASK: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use p3_dft::{Radix2DFTSmallBatch, TwoAdicSubgroupDft};
    use p3_field::PrimeField32;

    use super::*;

    #[test]
    fn the_code_is_the_transform_of_the_message_with_zeros() {
        // Odd and even numbers of layers, widths that fill no vector, and parts above one task.
        for (log_height, log_cosets, width) in [
            (0, 0, 3),
            (1, 0, 2),
            (1, 1, 5),
            (2, 0, 1),
            (3, 3, 2),
            (6, 4, 3),
            (7, 1, 8),
            (8, 2, 70),
            (12, 1, 40),
            (13, 0, 17),
        ] {
            let rows = 1_usize << (log_height - log_cosets);
            let cells = (1_u32..).map(|i| F::from_u32(i.wrapping_mul(0x9e37_79b1) >> 1));
            let mut message: Vec<F> = cells.take(rows * width).collect();
            message[0] = F::NEG_ONE;
            let padded = |rest: F| {
                let mut values = message.clone();
                values.resize(width << log_height, rest);
                RowMajorMatrix::new(values, width)
            };
            let expected = Radix2DFTSmallBatch::default().dft_batch(padded(F::ZERO));
            // What stood behind the message does not matter.
            let got = encode(padded(F::TWO), log_cosets);
            assert!(got == expected, "2^{log_height} at 1/2^{log_cosets}, {width} wide");
        }
    }

    #[test]
    fn the_root_of_order_four_is_that_of_the_library() {
        assert_eq!(F::two_adic_generator(2).as_canonical_u32(), FOURTH_ROOT.as_canonical_u32());
    }

    #[test]
    fn bits_are_reversed() {
        assert_eq!([0, 1, 2, 3].map(|index| reversed(index, 2)), [0, 2, 1, 3]);
        assert_eq!(reversed(0, 0), 0);
    }
}
