//! The values of a level's children on the cube, and their sums in a round.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use super::eq::SplitEq;
use super::leaves::Leaves;
use super::tree::{BLOCK, Level, above_leaves, fresh, of_pairs};
use crate::field::K;
use crate::packed::{LANES, Packed};
use crate::product::{Factor, mul};

/// `m0, n1, d0, d1` at one point of the cube.
pub(super) type Row = [K; 4];

/// `q(0)` and the leading coefficient of `q`.
pub(super) type Sums = [K; 2];

/// The rows of all points that are left.
pub(super) enum Rows {
    /// At least two packs.
    Long(Vec<[Packed; 4]>),
    Short(Vec<Row>),
}

impl Rows {
    /// Takes at least one pack.
    pub(super) fn new(mut packs: Vec<[Packed; 4]>) -> Self {
        if packs.len() > 1 {
            return Self::Long(packs);
        }
        let [m0, n1, d0, d1] = packs.pop().unwrap_or_default().map(|pack| pack.unpack());
        let rows = m0.into_iter().zip(n1).zip(d0.into_iter().zip(d1));
        Self::Short(rows.map(|((m0, n1), (d0, d1))| [m0, n1, d0, d1]).collect())
    }

    /// Takes the children of a level.
    pub(super) fn of_level(level: &Level, lambda: K) -> Self {
        match level {
            Level::Short(nodes) => {
                let (left, right) = nodes.split_at(nodes.len() / 2);
                let lambda = Factor::new(lambda);
                let pairs = left.iter().zip(right);
                let row = |(&[n0, d0], &[n1, d1]): (&[K; 2], &[K; 2])| {
                    [n0 + lambda.times(d0), n1, d0, d1]
                };
                Self::Short(pairs.map(row).collect())
            }
            Level::Long(nodes) => {
                let (lambda, arch) = (Packed::splat(lambda), pulp::Arch::new());
                Self::new(of_pairs(nodes, |left, right, rows| {
                    arch.dispatch(Pair { left, right, lambda, rows });
                }))
            }
        }
    }

    /// Takes the nodes right above the leaves, which are not stored.
    pub(super) fn above_leaves(leaves: &Leaves<'_>, lambda: K) -> Self {
        let quarter = 1 << (leaves.log_leaves() - 2);
        let mut rows = fresh(quarter / LANES);
        let (lambda, arch) = (Packed::splat(lambda), pulp::Arch::new());
        rows.par_chunks_mut(BLOCK).enumerate().for_each(|(index, rows)| {
            let first = index * BLOCK * LANES;
            let [left, right] =
                [first, quarter + first].map(|first| above_leaves(leaves, first, rows.len()));
            arch.dispatch(Pair { left: &left, right: &right, lambda, rows });
        });
        Self::new(rows)
    }

    /// Returns the only row, if no other is left.
    pub(super) fn last(&self) -> Option<Row> {
        match self {
            Self::Short(rows) if rows.len() > 1 => None,
            Self::Short(rows) => Some(rows.first().copied().unwrap_or_default()),
            Self::Long(_) => None,
        }
    }

    pub(super) fn sums(&self, eq: &SplitEq) -> Sums {
        match self {
            Self::Short(rows) => sum_short(rows, eq),
            Self::Long(rows) => {
                let (left, right) = rows.split_at(rows.len() / 2);
                let width = eq.packs.len();
                let blocks = left.par_chunks(width).zip(right.par_chunks(width)).zip(&eq.high);
                let arch = pulp::Arch::new();
                let sums = blocks.map(|((left, right), &high)| {
                    let sums = arch.dispatch(Sum { left, right, weights: &eq.packs });
                    scale(sums.map(|pack| pack.sum()), high)
                });
                sums.reduce(|| [K::ZERO; 2], add)
            }
        }
    }

    /// Binds the first variable and returns the sums of the next round, whose coordinates `eq` has.
    pub(super) fn fold(self, challenge: K, eq: &SplitEq) -> (Self, Sums) {
        match self {
            Self::Short(mut rows) => {
                fold_short(&mut rows, challenge);
                let sums = sum_short(&rows, eq);
                (Self::Short(rows), sums)
            }
            Self::Long(mut rows) if rows.len() > 2 => {
                let half = rows.len() / 2;
                let sums = fold_long(&mut rows, challenge, eq);
                rows.truncate(half);
                (Self::Long(rows), sums)
            }
            Self::Long(mut rows) => {
                let challenge = Packed::splat(challenge);
                if let [left, right] = rows.as_mut_slice() {
                    fold_pack(left, right, challenge);
                }
                rows.truncate(1);
                let rows = Self::new(rows);
                let sums = rows.sums(eq);
                (rows, sums)
            }
        }
    }
}

/// Binds the first variable of at least four packs, whose first half takes the result.
fn fold_long(rows: &mut [[Packed; 4]], challenge: K, eq: &SplitEq) -> Sums {
    let (challenge, arch) = (Packed::splat(challenge), pulp::Arch::new());
    let quarter = rows.len() / 4;
    let width = eq.packs.len();
    let (low, high) = rows.split_at_mut(2 * quarter);
    let (left, right) = low.split_at_mut(quarter);
    let left = left.par_chunks_mut(width).zip(right.par_chunks_mut(width));
    let (next_left, next_right) = high.split_at(quarter);
    let next = next_left.par_chunks(width).zip(next_right.par_chunks(width));
    let sums = left.zip(next).zip(&eq.high).map(|((low, high), &weight)| {
        let sums = arch.dispatch(Fold {
            low: low.into(),
            high: high.into(),
            challenge,
            weights: &eq.packs,
        });
        scale(sums.map(|pack| pack.sum()), weight)
    });
    sums.reduce(|| [K::ZERO; 2], add)
}

/// 0 for the last row.
fn sum_short(rows: &[Row], eq: &SplitEq) -> Sums {
    let (left, right) = rows.split_at(rows.len() / 2);
    let mut sums = [K::ZERO; 2];
    for ((left, right), &weight) in left.iter().zip(right).zip(&eq.low) {
        let [m0, n1, d0, d1] = *left;
        let [m0_next, n1_next, d0_next, d1_next] = *right;
        let slope = [m0_next - m0, n1_next - n1, d0_next - d0, d1_next - d1];
        let values = [*left, slope].map(|[m0, n1, d0, d1]| mul(m0, d1) + mul(n1, d0));
        sums = add(sums, scale(values, weight));
    }
    sums
}

fn fold_short(rows: &mut Vec<Row>, challenge: K) {
    let half = rows.len() / 2;
    let challenge = Factor::new(challenge);
    let (left, right) = rows.split_at_mut(half);
    for (left, right) in left.iter_mut().zip(right) {
        for (left, right) in left.iter_mut().zip(right) {
            *left += challenge.times(*right - *left);
        }
    }
    rows.truncate(half);
}

pub(super) fn add([a, b]: Sums, [c, d]: Sums) -> Sums {
    [a + c, b + d]
}

pub(super) fn scale([a, b]: Sums, by: K) -> Sums {
    let by = Factor::new(by);
    [by.times(a), by.times(b)]
}

// Each of these is compiled once for each vector width that the processor may have.

struct Pair<'a> {
    left: &'a [[Packed; 2]],
    right: &'a [[Packed; 2]],
    lambda: Packed,
    rows: &'a mut [[Packed; 4]],
}

impl pulp::WithSimd for Pair<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        for (row, (&[n0, d0], &[n1, d1])) in
            self.rows.iter_mut().zip(self.left.iter().zip(self.right))
        {
            *row = [d0.mul(self.lambda).add(n0), n1, d0, d1];
        }
    }
}

struct Sum<'a> {
    left: &'a [[Packed; 4]],
    right: &'a [[Packed; 4]],
    weights: &'a [Packed],
}

impl pulp::WithSimd for Sum<'_> {
    type Output = [Packed; 2];

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> [Packed; 2] {
        let mut sums = [Packed::default(); 2];
        for ((left, right), &weight) in self.left.iter().zip(self.right).zip(self.weights) {
            sums = add_terms(sums, left, right, weight);
        }
        sums
    }
}

#[inline(always)]
fn add_terms(
    [at_0, leading]: [Packed; 2],
    &[m0, n1, d0, d1]: &[Packed; 4],
    &[m0_next, n1_next, d0_next, d1_next]: &[Packed; 4],
    weight: Packed,
) -> [Packed; 2] {
    let value = Packed::mul_two([m0, d1], [n1, d0]).mul(weight);
    let m = [m0_next.sub(m0), d1_next.sub(d1)];
    let n = [n1_next.sub(n1), d0_next.sub(d0)];
    [at_0.add(value), leading.add(Packed::mul_two(m, n).mul(weight))]
}

/// The first and the second quarter, which take the result, and the third and the fourth.
struct Fold<'a> {
    low: [&'a mut [[Packed; 4]]; 2],
    high: [&'a [[Packed; 4]]; 2],
    challenge: Packed,
    weights: &'a [Packed],
}

impl pulp::WithSimd for Fold<'_> {
    type Output = [Packed; 2];

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> [Packed; 2] {
        let mut sums = [Packed::default(); 2];
        let ([left, right], [next_left, next_right]) = (self.low, self.high);
        let left = left.iter_mut().zip(next_left);
        let right = right.iter_mut().zip(next_right);
        for (((left, next_left), (right, next_right)), &weight) in left.zip(right).zip(self.weights)
        {
            fold_pack(left, next_left, self.challenge);
            fold_pack(right, next_right, self.challenge);
            sums = add_terms(sums, left, right, weight);
        }
        sums
    }
}

#[inline(always)]
fn fold_pack(left: &mut [Packed; 4], right: &[Packed; 4], challenge: Packed) {
    for (left, &right) in left.iter_mut().zip(right) {
        *left = left.add(right.sub(*left).mul(challenge));
    }
}
