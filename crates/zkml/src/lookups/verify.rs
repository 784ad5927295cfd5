//! The verifier's side (sections 3 and 5). It shares the layout, the tables and the encoding with
//! the prover, and no computation.

use p3_field::{Field, PrimeCharacteristicRing};
use thiserror::Error;

use super::Challenges;
use super::layout::{Layout, Slot, Source};
use super::proof::{DecodeError, LevelProof, LookupProof};
use crate::field::{F, K};
use crate::multilinear::{ArityError, eq_index, eq_points, same_length};
use crate::program::Table;
use crate::transcript::{Label, Transcript};

/// A check of the verifier that failed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum LookupError {
    /// The bytes are no proof.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A list does not have the length that the layout fixes.
    #[error(transparent)]
    Arity(#[from] ArityError),
    /// `d_root = 0`: a leaf may be a pole.
    #[error("denominator at the root of the lookup tree: expected other than 0, got {got}")]
    ZeroRoot {
        /// The value sent.
        got: K,
    },
    /// The fractions do not add up to 0 (level 0).
    #[error("numerator at the root of the lookup tree: expected 0, got {got}")]
    RootNumerator {
        /// `n0 d1 + n1 d0`.
        got: K,
    },
    /// `d0 d1` is not `d_root` (level 0).
    #[error("denominator at the root of the lookup tree: sent {sent}, computed {computed}")]
    RootDenominator {
        /// `d_root`.
        sent: K,
        /// `d0 d1`.
        computed: K,
    },
    /// The rounds of a level do not end at the values of its children.
    #[error("end of level {level} of the lookup tree: rounds give {claimed}, children {computed}")]
    Level {
        /// The level, counted from the root.
        level: usize,
        /// What the rounds ask for.
        claimed: K,
        /// What the children's values give.
        computed: K,
    },
    /// The leaves' numerators are not those of the tree's end.
    #[error("numerators of the lookup leaves: tree gives {claimed}, columns {computed}")]
    LeafNumerator {
        /// `n~(r)` by the tree.
        claimed: K,
        /// `n~(r)` by the columns.
        computed: K,
    },
    /// The leaves' denominators are not those of the tree's end.
    #[error("denominators of the lookup leaves: tree gives {claimed}, columns {computed}")]
    LeafDenominator {
        /// `d~(r)` by the tree.
        claimed: K,
        /// `d~(r)` by the columns.
        computed: K,
    },
}

/// The values of step 4 that the lookups speak of: each column at `rho|n`, `n` its arity.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the values of the leaf identity and no others")]
pub struct LeafValues {
    /// For each lookup, the value of each column of its tuples.
    pub lookups: Vec<Vec<K>>,
    /// For each table, the value of its multiplicities.
    pub multiplicities: Vec<K>,
}

/// Where a tree ends: what it demands of its leaves at one point. Only [`verify`] makes one.
#[derive(Clone, Debug)]
#[must_use]
pub struct LeafClaim {
    challenges: Challenges,
    point: Vec<K>,
    numerator: K,
    denominator: K,
}

/// Follows the tree of a proof from its root to its leaves (steps 2 and 3 of section 3).
///
/// The transcript stands where the prover's stood: it has absorbed the commitment to all columns.
///
/// # Errors
///
/// Returns the first check that fails. The transcript is then of no further use.
pub fn verify(
    layout: &Layout,
    proof: &LookupProof,
    transcript: &mut Transcript,
) -> Result<LeafClaim, LookupError> {
    same_length("levels of the lookup tree", layout.log_leaves(), proof.levels.len())?;
    for (level, messages) in proof.levels.iter().enumerate() {
        same_length("rounds of a level of the lookup tree", level, messages.rounds.len())?;
    }
    let challenges = Challenges::draw(transcript);
    let root = proof.root_denominator;
    if root.is_zero() {
        return Err(LookupError::ZeroRoot { got: root });
    }
    transcript.absorb_k(Label::LookupRoot, &[root]);
    let mut claims = Claims { point: Vec::new(), numerator: K::ZERO, denominator: root };
    for (level, messages) in proof.levels.iter().enumerate() {
        let end = if level == 0 {
            check_root(&claims, messages.children)?;
            Vec::new()
        } else {
            check_level(level, &claims, messages, transcript)?
        };
        transcript.absorb_k(Label::LookupChildren, &messages.children);
        claims = claims_at_children(transcript.sample_k(), end, messages.children);
    }
    let Claims { point, numerator, denominator } = claims;
    Ok(LeafClaim { challenges, point, numerator, denominator })
}

/// Draws the coordinates that columns larger than the tree need, and puts them in front of the
/// tree's point: returns `rho`, of `arity` coordinates or as many as the tree's (section 3).
#[must_use]
pub fn extend_point(tree: &[K], arity: usize, transcript: &mut Transcript) -> Vec<K> {
    let mut rho = transcript.sample_point(arity.saturating_sub(tree.len()));
    rho.extend_from_slice(tree);
    rho
}

/// `n~(r)` and `d~(r)` of one level.
struct Claims {
    point: Vec<K>,
    numerator: K,
    denominator: K,
}

fn claims_at_children(mu: K, end: Vec<K>, [n0, n1, d0, d1]: [K; 4]) -> Claims {
    let mut point = vec![mu];
    point.extend(end);
    Claims { point, numerator: n0 + mu * (n1 - n0), denominator: d0 + mu * (d1 - d0) }
}

fn check_root(root: &Claims, [n0, n1, d0, d1]: [K; 4]) -> Result<(), LookupError> {
    let got = n0 * d1 + n1 * d0;
    if got != root.numerator {
        return Err(LookupError::RootNumerator { got });
    }
    let (sent, computed) = (root.denominator, d0 * d1);
    if sent == computed { Ok(()) } else { Err(LookupError::RootDenominator { sent, computed }) }
}

/// Checks the rounds of a level; returns the point where they end.
fn check_level(
    level: usize,
    claims: &Claims,
    messages: &LevelProof,
    transcript: &mut Transcript,
) -> Result<Vec<K>, LookupError> {
    let lambda = transcript.sample_k();
    let mut claimed = claims.numerator + lambda * claims.denominator;
    let mut end = Vec::with_capacity(level);
    for message in &messages.rounds {
        transcript.absorb_k(Label::LookupRound, message);
        let challenge = transcript.sample_k();
        claimed = interpolate(claimed, *message, challenge);
        end.push(challenge);
    }
    let [n0, n1, d0, d1] = messages.children;
    let node = n0 * d1 + n1 * d0 + lambda * d0 * d1;
    let computed = eq_points(&claims.point, &end)? * node;
    if claimed == computed { Ok(end) } else { Err(LookupError::Level { level, claimed, computed }) }
}

/// Returns `g(t)` for `g` of degree 3 with `g(0) + g(1) = claim` and the given `g(0), g(2), g(3)`.
fn interpolate(claim: K, [g0, g2, g3]: [K; 3], t: K) -> K {
    let g1 = claim - g0;
    let half = F::TWO.inverse();
    let sixth = (F::TWO + F::ONE).inverse() * half;
    let (t1, t2, t3) = (t - F::ONE, t - F::TWO, t - F::TWO - F::ONE);
    let outer = (g3 * t * t2 - g0 * t2 * t3) * t1 * sixth;
    outer + (g1 * t2 - g2 * t1) * t * t3 * half
}

impl LeafClaim {
    /// Returns the tree's point `rho|nL`.
    pub fn point(&self) -> &[K] {
        &self.point
    }

    /// Checks the leaf identity of section 5: slots by the values given, tables by their own rows,
    /// `(0, 1)` elsewhere.
    ///
    /// # Errors
    ///
    /// Returns [`LookupError`] if the values are not those that the tree ends in.
    pub fn check_leaves(self, layout: &Layout, values: &LeafValues) -> Result<(), LookupError> {
        check_value_lengths(layout, values)?;
        same_length("coordinates of the tree's point", layout.log_leaves(), self.point.len())?;
        let (mut numerator, mut denominator, mut covered) = (K::ZERO, K::ZERO, K::ZERO);
        for slot in layout.slots() {
            let (prefix, suffix) = self.point.split_at(self.point.len().saturating_sub(slot.arity));
            let selector = eq_index(prefix, (slot.offset >> slot.arity) as u64);
            let (count, tuple) = slot_values(layout, slot, values, suffix)?;
            numerator += selector * count;
            denominator += selector * (self.challenges.alpha - self.hash(slot.tag(), &tuple));
            covered += selector;
        }
        denominator += K::ONE - covered;
        if self.numerator != numerator {
            let (claimed, computed) = (self.numerator, numerator);
            return Err(LookupError::LeafNumerator { claimed, computed });
        }
        if self.denominator != denominator {
            let (claimed, computed) = (self.denominator, denominator);
            return Err(LookupError::LeafDenominator { claimed, computed });
        }
        Ok(())
    }

    /// `h(tag; v) = tag + beta v_1 + ... + beta^w v_w`.
    fn hash(&self, tag: usize, tuple: &[K]) -> K {
        let beta = self.challenges.beta;
        tuple.iter().rev().fold(K::ZERO, |sum, &value| (sum + value) * beta) + F::from_usize(tag)
    }
}

/// The numerator and the tuple of a slot at `rho|n`.
fn slot_values(
    layout: &Layout,
    slot: &Slot,
    values: &LeafValues,
    suffix: &[K],
) -> Result<(K, Vec<K>), LookupError> {
    match slot.source {
        Source::Lookup(index) => {
            Ok((K::ONE, values.lookups.get(index).cloned().unwrap_or_default()))
        }
        Source::Table(index) => {
            let count = values.multiplicities.get(index).copied().unwrap_or_default();
            let rows = layout.tables().get(index).map(|table| table.evaluate(suffix));
            Ok((-count, rows.transpose()?.unwrap_or_default()))
        }
    }
}

fn check_value_lengths(layout: &Layout, values: &LeafValues) -> Result<(), ArityError> {
    let tables = layout.tables();
    same_length("values of multiplicities", tables.len(), values.multiplicities.len())?;
    same_length("lookups with values", layout.lookups().len(), values.lookups.len())?;
    layout.lookups().iter().zip(&values.lookups).try_for_each(|(lookup, values)| {
        let width = tables.get(lookup.table).map_or(0, Table::width);
        same_length("values of a lookup", width, values.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_message_is_the_polynomial_it_was_made_from() {
        let mut rng = Transcript::new();
        for _ in 0..10 {
            let c = rng.sample_point(4);
            let g = |t: K| c.iter().rev().fold(K::ZERO, |sum, &c| sum * t + c);
            let at = |t: u32| g(K::from_u32(t));
            let claim = at(0) + at(1);
            for t in (0..5).map(K::from_u32).chain(rng.sample_point(3)) {
                assert_eq!(interpolate(claim, [at(0), at(2), at(3)], t), g(t));
            }
        }
    }

    #[test]
    fn selectors_are_big_endian() {
        let bits = [K::ONE, K::ZERO, K::ONE];
        for index in 0..8 {
            assert_eq!(eq_index(&bits, index), K::from_bool(index == 5));
        }
    }
}
