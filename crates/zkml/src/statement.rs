//! What a proof says, and the digest of inputs and outputs under which it says so (sections 3, 10).
//!
//! Instance `i` of a batch has the leaf
//! `BLAKE3("assay-zkml/1/io" || 0 || salt || BLAKE3(x) || BLAKE3(y) || context)`, with `x` and `y`
//! as 32-bit little-endian integers without padding. The leaves of unused instances are 32 zero
//! bytes. `io_root` is the root of the binary tree over `2^lb` leaves, with
//! `node = BLAKE3("assay-zkml/1/io" || 1 || left || right)`; for one instance it is the leaf.

use thiserror::Error;

use crate::program::{MAX_LB, ModelId};

const DOMAIN: &[u8] = b"assay-zkml/1/io";

/// 32 bytes of BLAKE3.
pub type Hash = [u8; 32];

/// One inference: its input and output, and what binds it to its request.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the leaf of section 10")]
pub struct Instance<'a> {
    /// The caller's digest of request, parameters, key id and nonce.
    pub context: Hash,
    /// 32 random bytes that hide the rest.
    pub salt: Hash,
    /// `x_i`, real cells in the order `[y][x][c]`.
    pub input: &'a [i32],
    /// `y_i`, likewise.
    pub output: &'a [i32],
}

impl Instance<'_> {
    /// Returns `leaf_i`.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(DOMAIN).update(&[0]).update(&self.salt);
        hasher.update(&digest(self.input)).update(&digest(self.output));
        hasher.update(&self.context).finalize().into()
    }
}

/// An instance with its place in a batch.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an instance with its place, section 10")]
pub struct Claim<'a> {
    /// `i`, below `2^lb`.
    pub index: u32,
    /// The inference.
    pub instance: Instance<'a>,
    /// The siblings of its leaf, from the leaf up: `lb` of them.
    pub path: Vec<Hash>,
}

/// The tree over the instances of a batch.
#[derive(Clone, Debug)]
pub struct IoTree {
    /// From the leaves to the root.
    levels: Vec<Vec<Hash>>,
}

/// More instances than a batch has places.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("{got} instances do not fit a batch of {capacity}")]
#[non_exhaustive]
pub struct TooManyInstances {
    /// `2^lb`.
    pub capacity: usize,
    /// Instances given.
    pub got: usize,
}

impl IoTree {
    /// Returns the tree of `instances` in a batch of `2^lb`, `lb` at most 10.
    ///
    /// # Errors
    ///
    /// Returns [`TooManyInstances`] if they do not fit.
    pub fn new(lb: u32, instances: &[Instance<'_>]) -> Result<Self, TooManyInstances> {
        let (capacity, got) = (1_usize.checked_shl(lb.min(MAX_LB)).unwrap_or(0), instances.len());
        if got > capacity {
            return Err(TooManyInstances { capacity, got });
        }
        let mut leaves: Vec<Hash> = instances.iter().map(Instance::leaf).collect();
        leaves.resize(capacity, [0; 32]);
        let mut levels = vec![leaves];
        while let Some(last) = levels.last().filter(|last| last.len() > 1) {
            let above = last.as_chunks::<2>().0.iter().map(|[left, right]| node(left, right));
            levels.push(above.collect());
        }
        Ok(Self { levels })
    }

    /// Returns `io_root`.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or([0; 32])
    }

    /// Returns the siblings of leaf `index`, from the leaf up.
    #[must_use]
    pub fn path(&self, index: usize) -> Vec<Hash> {
        let below_root = self.levels.iter().take(self.levels.len().saturating_sub(1));
        let sibling =
            |(height, level): (usize, &Vec<Hash>)| level.get((index >> height) ^ 1).copied();
        below_root.enumerate().filter_map(sibling).collect()
    }
}

/// Returns the root that a leaf and its path lead to.
#[must_use]
pub fn root_of(leaf: Hash, index: u32, path: &[Hash]) -> Hash {
    path.iter().enumerate().fold(leaf, |hash, (height, sibling)| {
        if index >> height & 1 == 1 { node(sibling, &hash) } else { node(&hash, sibling) }
    })
}

/// The first message (step 0): which model, which batch, which inputs and outputs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "step 0 of section 3")]
pub struct Statement {
    /// The model.
    pub model: ModelId,
    /// The instance's context, or zeros in a batch, where each instance has its own.
    pub context: Hash,
    /// `lb`.
    pub lb: u32,
    /// The root over inputs and outputs.
    pub io_root: Hash,
}

impl Statement {
    /// Returns `model_id || ctx || lb || io_root`, `lb` as one byte.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let lb = u8::try_from(self.lb).unwrap_or(u8::MAX);
        [self.model.as_bytes().as_slice(), &self.context, &[lb], &self.io_root].concat()
    }
}

fn digest(values: &[i32]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for chunk in values.chunks(1 << 12) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    hasher.finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    blake3::Hasher::new().update(DOMAIN).update(&[1]).update(left).update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(value: &[i32]) -> Instance<'_> {
        Instance { context: [1; 32], salt: [2; 32], input: value, output: value }
    }

    #[test]
    fn a_leaf_is_the_hash_of_its_parts() {
        let word = blake3::hash(&[254, 255, 255, 255]);
        let mut bytes = b"assay-zkml/1/io\0".to_vec();
        for part in [&[2; 32], word.as_bytes(), word.as_bytes(), &[1; 32]] {
            bytes.extend_from_slice(part);
        }
        assert_eq!(instance(&[-2]).leaf(), *blake3::hash(&bytes).as_bytes());
    }

    #[test]
    fn every_path_leads_to_the_root_from_its_own_place_only() {
        let values: Vec<[i32; 1]> = (0..6).map(|i| [i]).collect();
        let instances: Vec<_> = values.iter().map(|value| instance(value)).collect();
        let tree = IoTree::new(3, &instances).unwrap();
        for (i, instance) in (0_u32..).zip(&instances) {
            let path = tree.path(i as usize);
            assert_eq!(path.len(), 3);
            for index in 0..8 {
                let root = root_of(instance.leaf(), index, &path);
                assert_eq!(root == tree.root(), index == i);
            }
        }
        assert_eq!(root_of([0; 32], 7, &tree.path(7)), tree.root(), "unused instances are zeros");
        let alone = IoTree::new(0, &instances[..1]).unwrap();
        assert_eq!((alone.root(), alone.path(0)), (instances[0].leaf(), Vec::new()));
        let error = IoTree::new(2, &instances).unwrap_err();
        assert_eq!((error.capacity, error.got), (4, 6));
    }
}
