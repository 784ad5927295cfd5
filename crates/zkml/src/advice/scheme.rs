//! p3-whir over the protocol's fields, trees and transcript.

use p3_merkle_tree::PrunedMerklePaths;
use p3_sumcheck::layout::PrefixProver;
use p3_symmetric::MerkleCap;
use p3_whir::{PcsProof, QueryOpenings, WhirConfig, WhirProof, WhirProver, WhirRoundProof};

use super::code::SubgroupCode;
use crate::field::{F, K};
use crate::tensor_code::{ColumnTree, Digest};
use crate::transcript::Challenger;

/// Where the columns stand in the stacked vector, and the order in which its variables are bound.
pub(super) type Layout = PrefixProver<F, K>;

/// The commitment scheme: p3 has one type for both sides.
pub(super) type Pcs = WhirProver<K, F, SubgroupCode, ColumnTree, Challenger, Layout>;

pub(super) type Config = WhirConfig<K, F, Challenger>;
pub(super) type P3Proof = PcsProof<F, K, ColumnTree>;
pub(super) type P3Whir = WhirProof<F, K, ColumnTree>;
pub(super) type P3Round = WhirRoundProof<F, K, ColumnTree>;
pub(super) type P3Openings = QueryOpenings<F, K, P3Paths>;
pub(super) type P3Paths = PrunedMerklePaths<u8, 32>;
pub(super) type Commitment = MerkleCap<F, [u8; 32]>;

/// Returns p3's form of a root: a cap of one digest.
pub(super) fn to_commitment(root: &Digest) -> Commitment {
    Commitment::new(vec![*root.as_bytes()])
}
