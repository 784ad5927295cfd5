//! The prover's walk from the root of the tree to its leaves (section 5).

use thiserror::Error;

use super::Challenges;
use super::layout::Layout;
use super::leaves::Leaves;
use super::multiplicity::check_tuples;
use super::proof::{LevelProof, LookupProof};
use super::rounds::{Start, prove_above_leaves, prove_leaves, prove_stored};
use super::tree::build;
use super::verify::LeafValues;
use crate::field::{F, K};
use crate::multilinear::{ArityError, evaluate, same_length};
use crate::program::Table;
use crate::transcript::{Label, Transcript};

/// Why no proof was made.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ProveError {
    /// The witness does not have the layout's shape.
    #[error(transparent)]
    Arity(#[from] ArityError),
    /// A challenge was 0, which has probability `2^-154`; another transcript has another.
    #[error("a challenge of the lookup tree was 0, from which no round message can be made")]
    ZeroCoordinate,
}

/// A proof, and the point at which its columns are to be opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProvedLookups {
    /// The messages of steps 2 and 3.
    pub proof: LookupProof,
    /// The tree's point `rho|nL`.
    pub point: Vec<K>,
}

/// Proves that every tuple is a row of its table (steps 2 and 3 of section 3).
///
/// `tuples[l]` are the columns of lookup `l`, `counts[t]` the multiplicities of table `t`, as from
/// [`multiplicities`](super::multiplicities()). The transcript has absorbed a commitment to all of
/// them. Whether the tuples are rows is not checked: a proof that they are not is refused.
///
/// Holds about 20 bytes for each leaf.
///
/// # Errors
///
/// Returns [`ProveError`] unless columns and multiplicities have the layout's lengths.
pub fn prove(
    layout: &Layout,
    tuples: &[Vec<&[F]>],
    counts: &[Vec<F>],
    transcript: &mut Transcript,
) -> Result<ProvedLookups, ProveError> {
    check_tuples(layout, tuples)?;
    check_counts(layout, counts)?;
    let challenges = Challenges::draw(transcript);
    let tables: Vec<Vec<Vec<F>>> = layout.tables().iter().map(Table::columns).collect();
    prove_tree(&Leaves::new(layout, tuples, counts, &tables, challenges), transcript)
}

/// Returns what the verifier is told about the leaves: each column at its suffix of `point`.
///
/// # Errors
///
/// Returns [`ArityError`] unless columns, multiplicities and point have the layout's lengths.
pub fn leaf_values(
    layout: &Layout,
    tuples: &[Vec<&[F]>],
    counts: &[Vec<F>],
    point: &[K],
) -> Result<LeafValues, ArityError> {
    check_tuples(layout, tuples)?;
    check_counts(layout, counts)?;
    same_length("coordinates of the tree's point", layout.log_leaves(), point.len())?;
    let at = |column: &[F], arity: usize| {
        evaluate(column, point.get(point.len().saturating_sub(arity)..).unwrap_or_default())
    };
    let lookups = layout.lookups().iter().zip(tuples).map(|(lookup, columns)| {
        columns.iter().map(|column| at(column, lookup.arity)).collect::<Result<Vec<_>, _>>()
    });
    let counts =
        layout.tables().iter().zip(counts).map(|(table, counts)| at(counts, table.variables()));
    Ok(LeafValues {
        lookups: lookups.collect::<Result<_, _>>()?,
        multiplicities: counts.collect::<Result<_, _>>()?,
    })
}

fn check_counts(layout: &Layout, counts: &[Vec<F>]) -> Result<(), ArityError> {
    same_length("tables with multiplicities", layout.tables().len(), counts.len())?;
    let mut pairs = layout.tables().iter().zip(counts);
    pairs.try_for_each(|(table, counts)| {
        same_length("multiplicities of a table", 1 << table.variables(), counts.len())
    })
}

/// Builds the tree and proves its levels.
pub(super) fn prove_tree(
    leaves: &Leaves<'_>,
    transcript: &mut Transcript,
) -> Result<ProvedLookups, ProveError> {
    let mut levels = build(leaves);
    let [_, root_denominator] = levels.pop().map(|level| level.root()).unwrap_or_default();
    transcript.absorb_k(Label::LookupRoot, &[root_denominator]);
    let top = levels.pop();
    let node = |index| top.as_ref().map(|level| level.node(index)).unwrap_or_default();
    let ([n0, d0], [n1, d1]) = (node(0), node(1));
    let children = [n0, n1, d0, d1];
    transcript.absorb_k(Label::LookupChildren, &children);
    let mut proofs = vec![LevelProof { rounds: Vec::new(), children }];
    let (mut claims, mut point) = descend(children, Vec::new(), transcript);
    for level in 1..leaves.log_leaves() {
        let lambda = transcript.sample_k();
        let [numerator, denominator] = claims;
        let start = Start { r: &point, lambda, claim: numerator + lambda * denominator };
        // The leaves, the children of the last level, are not stored; nor, in a large tree, are the
        // nodes right above.
        let (proof, end) = match levels.pop() {
            Some(level) => prove_stored(level, start, transcript)?,
            None if level + 1 < leaves.log_leaves() => {
                prove_above_leaves(leaves, start, transcript)?
            }
            None => prove_leaves(leaves, start, transcript)?,
        };
        (claims, point) = descend(proof.children, end, transcript);
        proofs.push(proof);
    }
    Ok(ProvedLookups { proof: LookupProof { root_denominator, levels: proofs }, point })
}

/// Draws `mu`: the claims of the next level and the point that they are at.
fn descend([n0, n1, d0, d1]: [K; 4], end: Vec<K>, transcript: &mut Transcript) -> ([K; 2], Vec<K>) {
    let mu = transcript.sample_k();
    let claims = [n0 + mu * (n1 - n0), d0 + mu * (d1 - d0)];
    (claims, [vec![mu], end].concat())
}
