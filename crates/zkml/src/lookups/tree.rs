//! The tree of fractions from the level above the leaves to the root (section 5).
//!
//! Node `i` of a level of `2^k` nodes has children `i` and `i + 2^k`: a level's first half are the
//! left children, its second half the right ones.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use super::leaves::Leaves;
use crate::field::K;
use crate::product::{Factor, mul};

/// A fraction: numerator, denominator.
pub(super) type Fraction = [K; 2];

/// Nodes worked on at a time.
pub(super) const BLOCK: usize = 1 << 10;

/// Returns the levels of `2^(nL-1)`, ..., 2 and 1 nodes, in this order.
pub(super) fn build(leaves: &Leaves<'_>) -> Vec<Vec<Fraction>> {
    let mut levels = vec![above_leaves(leaves)];
    while let Some(last) = levels.last().filter(|last| last.len() > 1) {
        let above = above(last);
        levels.push(above);
    }
    levels
}

fn above_leaves(leaves: &Leaves<'_>) -> Vec<Fraction> {
    let half = 1 << (leaves.log_leaves() - 1);
    let mut level = vec![[K::ZERO; 2]; half];
    level.par_chunks_mut(BLOCK).enumerate().for_each(|(index, nodes)| {
        let start = index * BLOCK;
        let left = leaves.block(start..start + nodes.len());
        let right = leaves.block(half + start..half + start + nodes.len());
        for (node, ((n0, d0), (n1, d1))) in nodes.iter_mut().zip(left.iter().zip(right.iter())) {
            // Numerators are in F: no product of two elements of K for them.
            *node = [d1 * n0 + d0 * n1, mul(d0, d1)];
        }
    });
    level
}

fn above(level: &[Fraction]) -> Vec<Fraction> {
    let (left, right) = level.split_at(level.len() / 2);
    let add = |(&[n0, d0], &[n1, d1]): (&Fraction, &Fraction)| {
        let right = Factor::new(d1);
        [right.times(n0) + mul(n1, d0), right.times(d0)]
    };
    if left.len() < BLOCK {
        return left.iter().zip(right).map(add).collect();
    }
    left.par_iter().zip(right).map(add).collect()
}
