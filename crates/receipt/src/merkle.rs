//! The Merkle tree over a transaction's items: SHA-256, leaf prefix 0x00, node prefix 0x01, split at
//! the largest power of two (RFC 6962 section 2.1; inclusion as in RFC 9162 section 2.1.3.2).
//!
//! A leaf is salted: `SHA-256(0x00 || salt || item bytes)`, so that nobody can guess an item from its
//! hash.

use assay_primitives::Digest;

use crate::Salt;

/// The most items one tree may have.
pub const MAX_LEAVES: u32 = 1 << 20;

/// Returns the hash of a salted leaf.
#[must_use]
pub fn leaf_hash(salt: &Salt, item: &[u8]) -> Digest {
    Digest::of_parts(&[&[0x00], salt.as_bytes(), item])
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts(&[&[0x01], left.as_bytes(), right.as_bytes()])
}

/// Returns the root over leaf hashes; of no leaves, the SHA-256 of nothing.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// Returns the root, and for every leaf its siblings from the bottom up.
#[must_use]
pub fn root_and_paths(leaves: &[Digest]) -> (Digest, Vec<Vec<Digest>>) {
    let mut paths = vec![Vec::new(); leaves.len()];
    let root = collect_paths(leaves, &mut paths);
    (root, paths)
}

fn collect_paths(leaves: &[Digest], paths: &mut [Vec<Digest>]) -> Digest {
    if leaves.len() < 2 {
        return root(leaves);
    }
    let at = split(leaves.len());
    let ((left, right), (left_paths, right_paths)) = (leaves.split_at(at), paths.split_at_mut(at));
    let left = collect_paths(left, left_paths);
    let right = collect_paths(right, right_paths);
    left_paths.iter_mut().for_each(|path| path.push(right));
    right_paths.iter_mut().for_each(|path| path.push(left));
    node_hash(&left, &right)
}

/// Returns the root that leaf `index` of `count` has with this path, or `None` when a path of this
/// length cannot belong to that place.
#[must_use]
pub fn root_from_path(index: u32, count: u32, leaf: Digest, path: &[Digest]) -> Option<Digest> {
    if index >= count || count > MAX_LEAVES {
        return None;
    }
    let (mut node, mut last) = (index, count - 1);
    let mut hash = leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// Returns the largest power of two below `count`, which is at least 2.
const fn split(count: usize) -> usize {
    1 << (count - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u32) -> Vec<Digest> {
        (0..count).map(|i| Digest::of(&i.to_be_bytes())).collect()
    }

    #[test]
    fn every_leaf_of_every_size_is_included_and_nothing_else_is() {
        for count in 1..=33 {
            let leaves = leaves(count);
            let (root, paths) = root_and_paths(&leaves);
            assert_eq!(root, super::root(&leaves));
            for (index, path) in (0..count).zip(paths) {
                let leaf = leaves[index as usize];
                assert_eq!(root_from_path(index, count, leaf, &path), Some(root));
                for other in (0..count).filter(|other| *other != index) {
                    assert_ne!(root_from_path(other, count, leaf, &path), Some(root));
                }
                let longer = [path.clone(), vec![Digest::ZERO]].concat();
                assert_eq!(root_from_path(index, count, leaf, &longer), None);
                if let Some((_, shorter)) = path.split_last() {
                    assert_eq!(root_from_path(index, count, leaf, shorter), None);
                }
            }
        }
    }

    #[test]
    fn a_node_is_no_leaf() {
        let leaves = leaves(4);
        let (whole, paths) = root_and_paths(&leaves);
        // The node over the first two, passed off as a leaf of a tree of two.
        let node = root(&leaves[..2]);
        assert_eq!(root_from_path(0, 2, node, &paths[0][1..]), Some(whole));
        // It cannot be: a leaf's hash begins with another byte than a node's.
        let salt = Salt::from(leaves[0].0);
        assert_ne!(leaf_hash(&salt, leaves[1].as_bytes()), node);
    }

    #[test]
    fn places_outside_the_tree_have_no_root() {
        assert_eq!(root_from_path(0, 0, Digest::ZERO, &[]), None);
        assert_eq!(root_from_path(1, 1, Digest::ZERO, &[]), None);
        assert_eq!(root_from_path(0, MAX_LEAVES + 1, Digest::ZERO, &[]), None);
    }

    #[test]
    fn roots_are_those_of_rfc_6962() {
        // Certificate Transparency's test data: leaves "", 00 (unsalted there), hashed as given.
        let hash = |data: &[u8]| Digest::of_parts(&[&[0x00], data]);
        let leaves = [hash(b""), hash(&[0x00]), hash(&[0x10])];
        assert_eq!(
            root(&leaves).to_string(),
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
        );
        assert_eq!(
            root(&[]).to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
