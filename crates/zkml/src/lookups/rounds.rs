//! The prover's sumcheck of one level (section 5).
//!
//! With `m0 = n0 + lambda d0` the summand is `eq(r,x) (m0 d1 + n1 d0)(x)`. In round `j` the factor
//! `eq(r,x)` is one number for the coordinates that are bound, `eq(r_j, t)` for the current one, and
//! a table for the rest; so `g(t) = prefix eq(r_j, t) q(t)` with `q` of degree 2. The prover sums
//! `q(0)` and the leading coefficient of `q`, and `q(1)` follows from the claim.

use p3_field::{Field, PrimeCharacteristicRing};

use super::eq::SplitEq;
use super::leaves::Leaves;
use super::proof::LevelProof;
use super::prove::ProveError;
use super::quads::LeafRound;
use super::rows::{Rows, Sums};
use super::tree::Level;
use crate::field::K;
use crate::transcript::{Label, Transcript};

/// Proves a level over nodes that are stored; returns the messages and the point.
pub(super) fn prove_stored(
    level: Level,
    start: Start<'_>,
    transcript: &mut Transcript,
) -> Result<(LevelProof, Vec<K>), ProveError> {
    let rows = Rows::of_level(&level, start.lambda);
    drop(level);
    Rounds::new(start).finish(rows, transcript)
}

/// Proves the level over the nodes right above the leaves, which are made here.
pub(super) fn prove_above_leaves(
    leaves: &Leaves<'_>,
    start: Start<'_>,
    transcript: &mut Transcript,
) -> Result<(LevelProof, Vec<K>), ProveError> {
    Rounds::new(start).finish(Rows::above_leaves(leaves, start.lambda), transcript)
}

/// Proves the last level, whose children are the leaves: the first round makes them twice.
pub(super) fn prove_leaves(
    leaves: &Leaves<'_>,
    start: Start<'_>,
    transcript: &mut Transcript,
) -> Result<(LevelProof, Vec<K>), ProveError> {
    let mut rounds = Rounds::new(start);
    let first = LeafRound::new(leaves, start.lambda);
    let challenge = rounds.next(first.sums(&rounds.eq), transcript)?;
    rounds.finish(first.fold(challenge), transcript)
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
        mut rows: Rows,
        transcript: &mut Transcript,
    ) -> Result<(LevelProof, Vec<K>), ProveError> {
        let mut sums = rows.sums(&self.eq);
        let [m0, n1, d0, d1] = loop {
            if let Some(row) = rows.last() {
                break row;
            }
            let challenge = self.next(sums, transcript)?;
            (rows, sums) = rows.fold(challenge, &self.eq);
        };
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
