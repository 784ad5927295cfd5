//! The first round of the last level, whose children are the leaves.
//!
//! Where all numerators are 1 the summand is `lambda d0 d1 + d0 + d1`, which is
//! `lambda (d0 + 1 / lambda) (d1 + 1 / lambda) - 1 / lambda`: one product, and the rest is known.

use p3_field::{Field, PrimeCharacteristicRing};
use p3_maybe_rayon::prelude::*;

use super::eq::SplitEq;
use super::leaves::{Block, Leaves};
use super::rows::{Rows, Sums, add, scale};
use super::tree::{BLOCK, fresh};
use crate::field::{F, K};
use crate::packed::{LANES, Packed, PackedBase};

/// The leaves under the points of the first round: at `x` and `x + quarter`, each with its left and
/// its right child.
pub(super) struct LeafRound<'a> {
    leaves: &'a Leaves<'a>,
    quarter: usize,
    lambda: K,
    /// `1 / lambda`; 0 if there is none.
    inverse: K,
}

impl<'a> LeafRound<'a> {
    pub(super) fn new(leaves: &'a Leaves<'a>, lambda: K) -> Self {
        let quarter = 1 << (leaves.log_leaves() - 2);
        Self { leaves, quarter, lambda, inverse: lambda.try_inverse().unwrap_or(K::ZERO) }
    }

    pub(super) fn sums(&self, eq: &SplitEq) -> Sums {
        let (width, total) = (eq.low.len(), eq.low.iter().copied().sum::<K>());
        let arch = pulp::Arch::new();
        let sums = eq.high.par_iter().enumerate().map(|(index, &high)| {
            let blocks = self.blocks(index * width, width);
            let sums = if self.all_ones(&blocks) {
                let shift = Packed::splat(self.inverse);
                let sums = arch.dispatch(SumOnes { blocks: &blocks, shift, weights: &eq.packs });
                let [at_0, leading] = scale(sums.map(|pack| pack.sum()), self.lambda);
                [at_0 - self.inverse * total, leading]
            } else {
                let lambda = Packed::splat(self.lambda);
                let sums = arch.dispatch(Sum { blocks: &blocks, lambda, weights: &eq.packs });
                sums.map(|pack| pack.sum())
            };
            scale(sums, high)
        });
        sums.reduce(|| [K::ZERO; 2], add)
    }

    /// Binds the first variable.
    pub(super) fn fold(&self, challenge: K) -> Rows {
        let mut rows = fresh(self.quarter / LANES);
        let [lambda, challenge] = [self.lambda, challenge].map(Packed::splat);
        let arch = pulp::Arch::new();
        rows.par_chunks_mut(BLOCK).enumerate().for_each(|(index, rows)| {
            let blocks = self.blocks(index * BLOCK * LANES, rows.len() * LANES);
            let ones = self.all_ones(&blocks);
            arch.dispatch(Fold { blocks: &blocks, ones, lambda, challenge, rows });
        });
        Rows::new(rows)
    }

    /// The left children at `x` and at `x + quarter`, then the right ones.
    fn blocks(&self, first: usize, count: usize) -> [Block; 4] {
        [0, 1, 2, 3].map(|part| {
            let first = part * self.quarter + first;
            self.leaves.block(first..first + count)
        })
    }

    fn all_ones(&self, blocks: &[Block; 4]) -> bool {
        self.inverse != K::ZERO && blocks.iter().all(|block| block.ones)
    }
}

/// A pack of each block.
type Quad<T> = [T; 4];

#[inline(always)]
fn denominators(blocks: &[Block; 4]) -> impl Iterator<Item = Quad<Packed>> {
    quads(blocks.each_ref().map(|block| block.denominators.as_slice()))
}

#[inline(always)]
fn numerators(blocks: &[Block; 4]) -> impl Iterator<Item = Quad<PackedBase>> {
    quads(blocks.each_ref().map(|block| block.numerators.as_slice()))
}

#[inline(always)]
fn quads<T: Copy>(parts: [&[T]; 4]) -> impl Iterator<Item = Quad<T>> {
    let [left, left_next, right, right_next] = parts;
    let (left, right) = (left.iter().zip(left_next), right.iter().zip(right_next));
    left.zip(right).map(|((&a, &b), (&c, &d))| [a, b, c, d])
}

// Each of these is compiled once for each vector width that the processor may have.

struct SumOnes<'a> {
    blocks: &'a [Block; 4],
    /// `1 / lambda`.
    shift: Packed,
    weights: &'a [Packed],
}

impl pulp::WithSimd for SumOnes<'_> {
    type Output = [Packed; 2];

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> [Packed; 2] {
        let (mut at_0, mut leading) = (Packed::default(), Packed::default());
        for ([d0, d0_next, d1, d1_next], &weight) in denominators(self.blocks).zip(self.weights) {
            let product = d0.add(self.shift).mul(d1.add(self.shift));
            at_0 = at_0.add(product.mul(weight));
            leading = leading.add(d0_next.sub(d0).mul(d1_next.sub(d1)).mul(weight));
        }
        [at_0, leading]
    }
}

struct Sum<'a> {
    blocks: &'a [Block; 4],
    lambda: Packed,
    weights: &'a [Packed],
}

impl Sum<'_> {
    /// `n0 d1 + n1 d0 + lambda d0 d1`, numerators in `F`.
    #[inline(always)]
    fn product(&self, [n0, n1]: [PackedBase; 2], [d0, d1]: [Packed; 2]) -> Packed {
        let product = d0.mul(self.lambda).mul(d1);
        product.add(Packed::scale_two((d1, n0), (d0, n1)))
    }
}

impl pulp::WithSimd for Sum<'_> {
    type Output = [Packed; 2];

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> [Packed; 2] {
        let (mut at_0, mut leading) = (Packed::default(), Packed::default());
        let quads = numerators(self.blocks).zip(denominators(self.blocks));
        for ((n, d), &weight) in quads.zip(self.weights) {
            let ([n0, n0_next, n1, n1_next], [d0, d0_next, d1, d1_next]) = (n, d);
            at_0 = at_0.add(self.product([n0, n1], [d0, d1]).mul(weight));
            let n = [n0_next.sub(n0), n1_next.sub(n1)];
            let d = [d0_next.sub(d0), d1_next.sub(d1)];
            leading = leading.add(self.product(n, d).mul(weight));
        }
        [at_0, leading]
    }
}

struct Fold<'a> {
    blocks: &'a [Block; 4],
    ones: bool,
    lambda: Packed,
    challenge: Packed,
    rows: &'a mut [[Packed; 4]],
}

impl pulp::WithSimd for Fold<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        for (row, [d0, d0_next, d1, d1_next]) in self.rows.iter_mut().zip(denominators(self.blocks))
        {
            let d0 = d0.add(d0_next.sub(d0).mul(self.challenge));
            let d1 = d1.add(d1_next.sub(d1).mul(self.challenge));
            *row = [d0.mul(self.lambda), Packed::default(), d0, d1];
        }
        // Loops of their own: a body that is too long is not compiled to vectors.
        if self.ones {
            let one = PackedBase::splat(F::ONE);
            for [m0, n1, ..] in self.rows {
                *m0 = m0.add_base(one);
                *n1 = n1.add_base(one);
            }
            return;
        }
        for ([m0, n1, ..], [n0, n0_next, n, n_next]) in
            self.rows.iter_mut().zip(numerators(self.blocks))
        {
            *m0 = m0.add(self.challenge.scale(n0_next.sub(n0)).add_base(n0));
            *n1 = self.challenge.scale(n_next.sub(n)).add_base(n);
        }
    }
}
