//! The prover's sumcheck of one level (section 5).
//!
//! With `m0 = n0 + lambda d0` the summand is `eq(r,x) (m0 d1 + n1 d0)(x)`. In round `j` the factor
//! `eq(r,x)` is one number for the coordinates that are bound, `eq(r_j, t)` for the current one, and
//! a table for the rest; so `g(t) = prefix eq(r_j, t) q(t)` with `q` of degree 2. The prover sums
//! `q(0)` and the leading coefficient of `q`, and `q(1)` follows from the claim.

use p3_field::{Field, PrimeCharacteristicRing};
use p3_maybe_rayon::prelude::*;

use super::leaves::{Block, Leaf, Leaves};
use super::proof::LevelProof;
use super::prove::ProveError;
use super::tree::{BLOCK, Fraction};
use crate::field::K;
use crate::multilinear::eq_table;
use crate::product::{Factor, mul};
use crate::transcript::{Label, Transcript};

/// `m0, n1, d0, d1` at one point of the cube.
type Row = [K; 4];

/// `q(0)` and the leading coefficient of `q`.
type Sums = [K; 2];

/// Proves level `k` over nodes that are stored; returns the messages and the point.
pub(super) fn prove_stored(
    level: &[Fraction],
    start: Start<'_>,
    transcript: &mut Transcript,
) -> Result<(LevelProof, Vec<K>), ProveError> {
    let (left, right) = level.split_at(level.len() / 2);
    let lambda = Factor::new(start.lambda);
    let row = |(&[n0, d0], &[n1, d1]): (&Fraction, &Fraction)| [n0 + lambda.times(d0), n1, d0, d1];
    let rows = left.par_iter().zip(right).with_min_len(BLOCK).map(row).collect();
    Rounds::new(start).finish(rows, transcript)
}

/// Proves the last level, whose children are the leaves: the first round makes them twice.
pub(super) fn prove_leaves(
    leaves: &Leaves<'_>,
    start: Start<'_>,
    transcript: &mut Transcript,
) -> Result<(LevelProof, Vec<K>), ProveError> {
    let lambda = start.lambda;
    let mut rounds = Rounds::new(start);
    let quarter = 1 << (leaves.log_leaves() - 2);
    let width = rounds.eq.low.len();
    let sums = rounds.eq.high.par_iter().enumerate().map(|(index, &high)| {
        let quads = LeafQuads::new(leaves, quarter, index * width, width);
        scale(quads.sums(&rounds.eq.low, lambda), high)
    });
    let sums = sums.reduce(|| [K::ZERO; 2], add);
    let challenge = rounds.next(sums, transcript)?;
    let mut rows = vec![[K::ZERO; 4]; quarter];
    rows.par_chunks_mut(BLOCK).enumerate().for_each(|(index, rows)| {
        let quads = LeafQuads::new(leaves, quarter, index * BLOCK, rows.len());
        quads.fold(lambda, challenge, rows);
    });
    rounds.finish(rows, transcript)
}

/// The claim that a level starts from.
#[derive(Clone, Copy)]
pub(super) struct Start<'a> {
    /// The point of the claims.
    pub(super) r: &'a [K],
    pub(super) lambda: K,
    /// `n~(r) + lambda d~(r)`.
    pub(super) claim: K,
}

struct Rounds<'a> {
    /// Coordinates of the claim's point that no round has bound yet.
    rest: std::slice::Iter<'a, K>,
    lambda: K,
    /// `eq` over the coordinates after the current one.
    eq: SplitEq,
    /// `eq` over the bound ones.
    prefix: K,
    /// The claim divided by `prefix`.
    claim: K,
    proof: LevelProof,
    point: Vec<K>,
}

impl<'a> Rounds<'a> {
    fn new(start: Start<'a>) -> Self {
        Self {
            rest: start.r.iter(),
            lambda: start.lambda,
            eq: SplitEq::new(start.r.get(1..).unwrap_or_default()),
            prefix: K::ONE,
            claim: start.claim,
            proof: LevelProof::default(),
            point: Vec::with_capacity(start.r.len()),
        }
    }

    /// Runs the rounds that are left over `rows` and sends the children's values.
    fn finish(
        mut self,
        mut rows: Vec<Row>,
        transcript: &mut Transcript,
    ) -> Result<(LevelProof, Vec<K>), ProveError> {
        while rows.len() > 1 {
            let challenge = self.next(sum_rows(&rows, &self.eq), transcript)?;
            fold_rows(&mut rows, challenge);
        }
        let [m0, n1, d0, d1] = rows.first().copied().unwrap_or_default();
        self.proof.children = [m0 - self.lambda * d0, n1, d0, d1];
        transcript.absorb_k(Label::LookupChildren, &self.proof.children);
        Ok((self.proof, self.point))
    }

    /// Sends `g(0), g(2), g(3)` and returns the challenge.
    fn next(&mut self, sums: Sums, transcript: &mut Transcript) -> Result<K, ProveError> {
        let r = self.rest.next().copied().unwrap_or_default();
        let [q0, leading] = sums;
        let inverse = r.try_inverse().ok_or(ProveError::ZeroCoordinate)?;
        let q1 = (self.claim - (K::ONE - r) * q0) * inverse;
        let q = |t: K| q0 + t * (q1 - q0 - leading + t * leading);
        let eq = |t: K| (r * t).double() - r - t + K::ONE;
        let g = |t: u32| self.prefix * eq(K::from_u32(t)) * q(K::from_u32(t));
        let message = [g(0), g(2), g(3)];
        self.proof.rounds.push(message);
        transcript.absorb_k(Label::LookupRound, &message);
        let challenge = transcript.sample_k();
        self.prefix *= eq(challenge);
        self.claim = q(challenge);
        self.point.push(challenge);
        self.eq.drop_first();
        Ok(challenge)
    }
}

/// `eq(r, x)` as `high[x / low.len()] low[x % low.len()]`.
struct SplitEq {
    high: Vec<K>,
    low: Vec<K>,
}

impl SplitEq {
    fn new(r: &[K]) -> Self {
        let (high, low) = r.split_at(r.len().saturating_sub(BLOCK.ilog2() as usize));
        Self { high: eq_table(high), low: eq_table(low) }
    }

    /// Drops the first coordinate: `eq` summed over it is 1.
    fn drop_first(&mut self) {
        let table = if self.high.len() > 1 { &mut self.high } else { &mut self.low };
        let half = table.len() / 2;
        let (left, right) = table.split_at_mut(half);
        left.iter_mut().zip(right).for_each(|(left, right)| *left += *right);
        table.truncate(half.max(1));
    }
}

fn sum_rows(rows: &[Row], eq: &SplitEq) -> Sums {
    let (left, right) = rows.split_at(rows.len() / 2);
    let width = eq.low.len();
    let blocks = left.par_chunks(width).zip(right.par_chunks(width)).zip(&eq.high);
    let sums = blocks.map(|((left, right), &high)| {
        let mut sums = [K::ZERO; 2];
        for ((left, right), &weight) in left.iter().zip(right).zip(&eq.low) {
            let [m0, n1, d0, d1] = *left;
            let [m0_next, n1_next, d0_next, d1_next] = *right;
            let slope = [m0_next - m0, n1_next - n1, d0_next - d0, d1_next - d1];
            sums = add(sums, scale([product(*left), product(slope)], weight));
        }
        scale(sums, high)
    });
    sums.reduce(|| [K::ZERO; 2], add)
}

fn fold_rows(rows: &mut Vec<Row>, challenge: K) {
    let half = rows.len() / 2;
    let challenge = Factor::new(challenge);
    let (left, right) = rows.split_at_mut(half);
    left.par_iter_mut().zip(right).with_min_len(BLOCK).for_each(|(left, right)| {
        for (left, right) in left.iter_mut().zip(right) {
            *left += challenge.times(*right - *left);
        }
    });
    rows.truncate(half);
}

/// The leaves under some consecutive points of the first round: at `x` and `x + quarter`, each with
/// its left and its right child.
struct LeafQuads {
    blocks: [Block; 4],
}

impl LeafQuads {
    fn new(leaves: &Leaves<'_>, quarter: usize, first: usize, count: usize) -> Self {
        let block = |part: usize| {
            let first = part * quarter + first;
            leaves.block(first..first + count)
        };
        Self { blocks: [block(0), block(1), block(2), block(3)] }
    }

    /// The numerators and denominators of `n0, n1, d0, d1` at `x`, and at `x + quarter`.
    fn iter(&self) -> impl Iterator<Item = ([Leaf; 2], [Leaf; 2])> {
        let [left, left_next, right, right_next] = &self.blocks;
        left.iter().zip(right.iter()).zip(left_next.iter().zip(right_next.iter())).map(
            |((left, right), (left_next, right_next))| ([left, right], [left_next, right_next]),
        )
    }

    fn sums(&self, weights: &[K], lambda: K) -> Sums {
        let lambda = &Factor::new(lambda);
        let mut sums = [K::ZERO; 2];
        for ((here, next), &weight) in self.iter().zip(weights) {
            let [(n0, d0), (n1, d1)] = here;
            let [(n0_next, d0_next), (n1_next, d1_next)] = next;
            let slope = [(n0_next - n0, d0_next - d0), (n1_next - n1, d1_next - d1)];
            let values = [leaf_product(here, lambda), leaf_product(slope, lambda)];
            sums = add(sums, scale(values, weight));
        }
        sums
    }

    fn fold(&self, lambda: K, challenge: K, rows: &mut [Row]) {
        let (lambda, factor) = (Factor::new(lambda), Factor::new(challenge));
        for ((here, next), row) in self.iter().zip(rows) {
            let [(n0, d0), (n1, d1)] = here;
            let [(n0_next, d0_next), (n1_next, d1_next)] = next;
            let n0 = challenge * (n0_next - n0) + n0;
            let n1 = challenge * (n1_next - n1) + n1;
            let d0 = d0 + factor.times(d0_next - d0);
            let d1 = d1 + factor.times(d1_next - d1);
            *row = [n0 + lambda.times(d0), n1, d0, d1];
        }
    }
}

/// `m0 d1 + n1 d0`.
fn product([m0, n1, d0, d1]: Row) -> K {
    mul(m0, d1) + mul(n1, d0)
}

/// The same with numerators in `F`: `n0 d1 + n1 d0 + lambda d0 d1`.
fn leaf_product([(n0, d0), (n1, d1)]: [Leaf; 2], lambda: &Factor) -> K {
    mul(lambda.times(d0) + n0, d1) + d0 * n1
}

fn add([a, b]: Sums, [c, d]: Sums) -> Sums {
    [a + c, b + d]
}

fn scale([a, b]: Sums, by: K) -> Sums {
    let by = Factor::new(by);
    [by.times(a), by.times(b)]
}
