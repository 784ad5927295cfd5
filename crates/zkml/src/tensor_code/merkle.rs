//! The Merkle tree over the columns of the code (section 6.1).
//!
//! Leaf `j` is BLAKE3 over the column's elements, each as 4 bytes little-endian of its Montgomery
//! form `v * 2^32 mod p`: a fact of p3's `SerializingHasher`, fixed by a golden test. A node is
//! BLAKE3 over its two children. The depth is fixed by the key, so a leaf cannot pass for a node.

use std::fmt;

use p3_blake3::Blake3;
use p3_merkle_tree::MerkleTreeMmcs;
use p3_symmetric::SerializingHasher;
use p3_symmetric::{CompressionFunctionFromHasher, CryptographicHasher, PseudoCompressionFunction};

use crate::field::F;

/// The commitment scheme for columns.
pub(crate) type ColumnTree = MerkleTreeMmcs<F, u8, SerializingHasher<Blake3>, NodeHasher, 2, 32>;

type NodeHasher = CompressionFunctionFromHasher<Blake3, 2, 32>;

/// A BLAKE3 digest: the root of a column tree, or a node of it.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the bytes of the digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Returns the tree's hash functions with the root as the commitment.
pub(crate) const fn column_tree() -> ColumnTree {
    ColumnTree::new(SerializingHasher::new(Blake3), NodeHasher::new(Blake3), 0)
}

/// Returns the number of siblings that opening the `sorted` distinct leaves takes.
pub(crate) fn sibling_count(sorted: &[usize], depth: usize) -> usize {
    let mut nodes = sorted.to_vec();
    let mut count = 0;
    for _ in 0..depth {
        let children = nodes.len();
        nodes.iter_mut().for_each(|node| *node >>= 1);
        nodes.dedup();
        count += 2 * nodes.len() - children;
    }
    count
}

/// Returns the root that `columns`, at the `sorted` distinct leaves, give with `siblings`.
///
/// Siblings are level by level from the leaves, within a level from the left: the order of p3's
/// pruned paths. Returns `None` if they run out or the lists disagree, which [`sibling_count`] and
/// the caller's check of the columns exclude.
pub(crate) fn root_of(
    sorted: &[usize],
    columns: &[Vec<F>],
    siblings: &[Digest],
    depth: usize,
) -> Option<Digest> {
    let mut level: Vec<_> = sorted.iter().copied().zip(leaf_digests(columns)?).collect();
    let mut siblings = siblings.iter().map(|sibling| sibling.0);
    for _ in 0..depth {
        level = parents(level, &mut siblings)?;
    }
    match (level.as_slice(), siblings.next()) {
        (&[(0, root)], None) => Some(Digest(root)),
        _ => None,
    }
}

/// Hashes columns, several at a time. Returns `None` unless they are of one length.
fn leaf_digests(columns: &[Vec<F>]) -> Option<Vec<[u8; 32]>> {
    let length = columns.first()?.len();
    if columns.iter().any(|column| column.len() != length) {
        return None;
    }
    let mut digests = vec![[0; 32]; columns.len()];
    SerializingHasher::new(Blake3).hash_many(&columns.concat(), &mut digests);
    Some(digests)
}

/// Hashes one level of (index, digest) pairs, in order of index, into the level above.
fn parents(
    level: Vec<(usize, [u8; 32])>,
    siblings: &mut impl Iterator<Item = [u8; 32]>,
) -> Option<Vec<(usize, [u8; 32])>> {
    let node_hasher = NodeHasher::new(Blake3);
    let mut above = Vec::with_capacity(level.len());
    let mut nodes = level.into_iter().peekable();
    while let Some((index, digest)) = nodes.next() {
        let pair = if index & 1 == 1 {
            [siblings.next()?, digest]
        } else if let Some((_, right)) = nodes.next_if(|&(next, _)| next == index + 1) {
            [digest, right]
        } else {
            [digest, siblings.next()?]
        };
        above.push((index >> 1, node_hasher.compress(pair)));
    }
    Some(above)
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers made here")]
mod tests {
    use p3_commit::Mmcs;
    use p3_field::PrimeField32;
    use p3_matrix::Dimensions;
    use p3_matrix::dense::RowMajorMatrix;
    use p3_merkle_tree::PrunedMerklePaths;

    use super::*;
    use crate::field::MODULUS;
    use crate::transcript::Transcript;

    const WIDTH: usize = 3;

    fn matrix(height: usize) -> RowMajorMatrix<F> {
        let values = (0..height * WIDTH).map(|i| F::new(i as u32 * 77 + 1)).collect();
        RowMajorMatrix::new(values, WIDTH)
    }

    /// The tree by hand, from the words of section 6.1.
    fn root_by_hand(matrix: &RowMajorMatrix<F>) -> [u8; 32] {
        let leaf = |row: &[F]| {
            let montgomery =
                |v: &F| ((u64::from(v.as_canonical_u32()) << 32) % u64::from(MODULUS)) as u32;
            let bytes: Vec<u8> = row.iter().flat_map(|v| montgomery(v).to_le_bytes()).collect();
            *blake3::hash(&bytes).as_bytes()
        };
        let mut level: Vec<[u8; 32]> = matrix.row_slices().map(leaf).collect();
        while level.len() > 1 {
            level = level.chunks(2).map(|pair| *blake3::hash(&pair.concat()).as_bytes()).collect();
        }
        level[0]
    }

    #[test]
    fn leaves_are_montgomery_words_and_nodes_hash_two_children() {
        for depth in 0..6 {
            let matrix = matrix(1 << depth);
            let by_hand = root_by_hand(&matrix);
            let (cap, _) = column_tree().commit_matrix(matrix);
            assert_eq!(cap.roots(), [by_hand]);
        }
    }

    /// Our walk and p3's own verifier, on random sets of leaves.
    #[test]
    fn multiproofs_agree_with_p3() {
        let tree = column_tree();
        let mut rng = Transcript::new();
        for depth in 0..7 {
            let height = 1 << depth;
            let (cap, data) = tree.commit_matrix(matrix(height));
            let root = Digest::from(cap.roots()[0]);
            for count in 1..20 {
                let mut leaves = rng.sample_indices(depth, count);
                leaves.sort_unstable();
                leaves.dedup();
                let (opened, proof) = tree.open_multi_batch(&leaves, &data);
                let dimensions = [Dimensions { width: WIDTH, height }];
                tree.verify_multi_batch(&cap, &dimensions, &leaves, &opened, &proof).unwrap();

                let columns: Vec<Vec<F>> = opened.into_iter().flatten().collect();
                let PrunedMerklePaths { sibling_hashes } = proof;
                let mut siblings: Vec<_> = sibling_hashes.into_iter().map(Digest).collect();
                assert_eq!(sibling_count(&leaves, depth), siblings.len());
                assert_eq!(root_of(&leaves, &columns, &siblings, depth), Some(root));

                if siblings.pop().is_some() {
                    assert_eq!(root_of(&leaves, &columns, &siblings, depth), None);
                }
                siblings.extend([root; 2]);
                assert_eq!(root_of(&leaves, &columns, &siblings, depth), None);
            }
        }
    }

    #[test]
    fn no_leaves_have_no_root() {
        assert_eq!(root_of(&[], &[], &[], 3), None);
        assert_eq!(sibling_count(&[], 3), 0);
    }
}
