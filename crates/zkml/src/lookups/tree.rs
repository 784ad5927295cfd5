//! The tree of fractions above the leaves (section 5).
//!
//! Node `i` of a level of `2^k` nodes has children `i` and `i + 2^k`: a level's first half are the
//! left children, its second half the right ones. The level right above the leaves would be as large
//! as all others together: in a large tree it is made when it is needed, like the leaves, and not
//! stored.

use p3_maybe_rayon::prelude::*;

use super::leaves::{Block, Leaves};
use crate::field::K;
use crate::packed::{LANES, Packed};
use crate::product::{Factor, mul};

/// A fraction: numerator, denominator.
pub(super) type Fraction = [K; 2];

/// Nodes worked on at a time, in packs.
pub(super) const BLOCK: usize = 128;

/// The nodes of a level.
pub(super) enum Level {
    /// At least two packs.
    Long(Vec<[Packed; 2]>),
    Short(Vec<Fraction>),
}

/// Returns the levels of `2^(nL-1)`, unless that is not stored, `2^(nL-2)`, ..., 2 and 1 nodes, in this
/// order.
pub(super) fn build(leaves: &Leaves<'_>) -> Vec<Level> {
    let mut level = lowest(leaves, leaves.log_leaves() <= MAX_STORED);
    let mut levels = Vec::with_capacity(leaves.log_leaves());
    while let Some(above) = level.above() {
        levels.push(level);
        level = above;
    }
    levels.push(level);
    levels
}

impl Level {
    /// Takes at least one pack.
    fn new(packs: Vec<[Packed; 2]>) -> Self {
        match packs.as_slice() {
            [[numerators, denominators]] => {
                let pairs = numerators.unpack().into_iter().zip(denominators.unpack());
                Self::Short(pairs.map(|(n, d)| [n, d]).collect())
            }
            _ => Self::Long(packs),
        }
    }

    /// Returns the single node of the root's level.
    pub(super) fn root(&self) -> Fraction {
        self.node(0)
    }

    /// Returns a node of a level of at most eight.
    pub(super) fn node(&self, index: usize) -> Fraction {
        match self {
            Self::Short(nodes) => nodes.get(index).copied().unwrap_or_default(),
            Self::Long(_) => Fraction::default(),
        }
    }

    fn above(&self) -> Option<Self> {
        match self {
            Self::Short(nodes) if nodes.len() < 2 => None,
            Self::Short(nodes) => {
                let (left, right) = nodes.split_at(nodes.len() / 2);
                Some(Self::Short(left.iter().zip(right).map(add).collect()))
            }
            Self::Long(nodes) => {
                let arch = pulp::Arch::new();
                let above = of_pairs(nodes, |left, right, nodes| {
                    arch.dispatch(Add { left, right, nodes });
                });
                Some(Self::new(above))
            }
        }
    }
}

/// Makes something of each left child and its right one, block by block.
pub(super) fn of_pairs<const N: usize>(
    nodes: &[[Packed; 2]],
    make: impl Fn(&[[Packed; 2]], &[[Packed; 2]], &mut [[Packed; N]]) + Send + Sync,
) -> Vec<[Packed; N]> {
    let (left, right) = nodes.split_at(nodes.len() / 2);
    let mut made = fresh(left.len());
    let children = left.par_chunks(BLOCK).zip(right.par_chunks(BLOCK));
    made.par_chunks_mut(BLOCK)
        .zip(children)
        .for_each(|(made, (left, right))| make(left, right, made));
    made
}

fn add((&[n0, d0], &[n1, d1]): (&Fraction, &Fraction)) -> Fraction {
    let right = Factor::new(d1);
    [right.times(n0) + mul(n1, d0), right.times(d0)]
}

/// The level of `2^(nL-1)` nodes, or of half as many.
fn lowest(leaves: &Leaves<'_>, all: bool) -> Level {
    let count = 1 << (leaves.log_leaves() - if all { 1 } else { 2 });
    let mut level = fresh(count / LANES);
    let arch = pulp::Arch::new();
    level.par_chunks_mut(BLOCK).enumerate().for_each(|(index, nodes)| {
        let first = index * BLOCK * LANES;
        if all {
            return fill_above_leaves(leaves, first, nodes);
        }
        let [left, right] =
            [first, count + first].map(|first| above_leaves(leaves, first, nodes.len()));
        arch.dispatch(Add { left: &left, right: &right, nodes });
    });
    Level::new(level)
}

/// Returns zeros. The first touch of each page of a large list costs about what is computed into it, so
/// the cores share it.
pub(super) fn fresh<const N: usize>(packs: usize) -> Vec<[Packed; N]> {
    let zero = [Packed::default(); N];
    if packs <= 4 * BLOCK {
        return vec![zero; packs];
    }
    (0..packs).into_par_iter().with_min_len(BLOCK).map(|_| zero).collect()
}

/// Makes some packs of nodes of the level above the leaves, from node `first` on.
pub(super) fn above_leaves(leaves: &Leaves<'_>, first: usize, packs: usize) -> Vec<[Packed; 2]> {
    let mut nodes = vec![[Packed::default(); 2]; packs];
    fill_above_leaves(leaves, first, &mut nodes);
    nodes
}

fn fill_above_leaves(leaves: &Leaves<'_>, first: usize, nodes: &mut [[Packed; 2]]) {
    let (half, count) = (1 << (leaves.log_leaves() - 1), nodes.len() * LANES);
    let left = leaves.block(first..first + count);
    let right = leaves.block(half + first..half + first + count);
    pulp::Arch::new().dispatch(AddLeaves { left, right, nodes });
}

/// `lg` of the leaves of the largest tree whose levels are all stored: they stay in the caches.
pub(super) const MAX_STORED: usize = 16;

// Each of these is compiled once for each vector width that the processor may have.

struct Add<'a> {
    left: &'a [[Packed; 2]],
    right: &'a [[Packed; 2]],
    nodes: &'a mut [[Packed; 2]],
}

impl pulp::WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        for (node, (&[n0, d0], &[n1, d1])) in
            self.nodes.iter_mut().zip(self.left.iter().zip(self.right))
        {
            *node = [Packed::mul_two([n0, d1], [n1, d0]), d0.mul(d1)];
        }
    }
}

struct AddLeaves<'a> {
    left: Block,
    right: Block,
    nodes: &'a mut [[Packed; 2]],
}

impl pulp::WithSimd for AddLeaves<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let ones = self.left.ones && self.right.ones;
        let denominators = self.left.denominators.iter().zip(&self.right.denominators);
        let numerators = self.left.numerators.iter().zip(&self.right.numerators);
        for ((node, (&d0, &d1)), (&n0, &n1)) in
            self.nodes.iter_mut().zip(denominators).zip(numerators)
        {
            let numerator = if ones { d0.add(d1) } else { Packed::scale_two((d1, n0), (d0, n1)) };
            *node = [numerator, d0.mul(d1)];
        }
    }
}
