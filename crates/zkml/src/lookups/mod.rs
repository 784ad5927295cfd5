//! The lookups of a program, proven by one tree of fractions, logup-GKR (section 5; Haböck, eprint
//! 2022/1530; Papini and Haböck, eprint 2023/1284).
//!
//! Every lookup is a column of tuples that must all be rows of one [`Table`](crate::program::Table).
//! The prover commits to how often each row is used, the challenges `alpha, beta` turn each tuple
//! into one fraction `1 / (alpha - h)` and each row into `-mult / (alpha - h)`, and a tree of
//! fractions proves that all of them add up to 0.
//!
//! | file | is |
//! |---|---|
//! | `table` | the rows of a table, and the verifier's evaluation of them |
//! | `layout` | which leaf of the tree belongs to what |
//! | `multiplicity` | how often each row is used |
//! | `leaves`, `tree` | the fractions, from the leaves to the root |
//! | `rounds`, `rows`, `quads`, `eq`, `prove` | the prover's way back |
//! | `proof` | the messages and their one encoding |
//! | `verify` | the verifier, which uses nothing of the prover |
//!
//! The caller absorbs the commitment to all columns and multiplicities first; [`prove()`] and
//! [`verify()`] then draw `alpha, beta` from the transcript.

mod eq;
mod layout;
mod leaves;
mod multiplicity;
mod proof;
mod prove;
mod quads;
mod rounds;
mod rows;
mod table;
mod tree;
mod verify;

#[cfg(test)]
mod tests;

pub use self::layout::{Layout, LayoutError, Lookup, Slot, Source};
pub use self::multiplicity::{CountError, multiplicities};
pub use self::proof::{DecodeError, LevelProof, LookupProof};
pub use self::prove::{ProveError, ProvedLookups, leaf_values, prove};
pub use self::table::TableError;
pub use self::verify::{LeafClaim, LeafValues, LookupError, extend_point, verify};

use crate::field::K;
use crate::transcript::Transcript;

/// `alpha` and `beta`, drawn after everything that they compress was committed (section 3, step 1).
#[derive(Clone, Copy, Debug)]
struct Challenges {
    alpha: K,
    beta: K,
}

impl Challenges {
    fn draw(transcript: &mut Transcript) -> Self {
        Self { alpha: transcript.sample_k(), beta: transcript.sample_k() }
    }
}
