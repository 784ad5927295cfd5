//! The leaves of the tree, made when they are needed and never stored (section 5).

use std::ops::Range;

use p3_field::PrimeCharacteristicRing;

use super::Challenges;
use super::layout::{Layout, Source};
use crate::field::{F, K};

/// What every leaf is made from: columns in `F`, and `alpha, beta`.
pub(super) struct Leaves<'a> {
    slots: Vec<SlotLeaves<'a>>,
    /// The leaf after the last slot, `(0, 1)`.
    pub(super) gap: Leaf,
    log_leaves: usize,
}

struct SlotLeaves<'a> {
    range: Range<usize>,
    /// The multiplicities of a table; a lookup's numerators are 1.
    counts: Option<&'a [F]>,
    /// `alpha - tag`.
    base: K,
    /// `beta^i` with column `i`.
    columns: Vec<(K, &'a [F])>,
}

/// A numerator and a denominator.
pub(super) type Leaf = (F, K);

/// Some consecutive leaves.
pub(super) struct Block {
    numerators: Vec<F>,
    denominators: Vec<K>,
}

impl<'a> Leaves<'a> {
    /// `tuples`, `counts` and `tables` are checked to have the layout's shape.
    pub(super) fn new(
        layout: &Layout,
        tuples: &[Vec<&'a [F]>],
        counts: &'a [Vec<F>],
        tables: &'a [Vec<Vec<F>>],
        challenges: Challenges,
    ) -> Self {
        let slots = layout.slots().iter().map(|slot| {
            let (columns, counts): (Vec<&[F]>, _) = match slot.source {
                Source::Lookup(index) => (tuples.get(index).cloned().unwrap_or_default(), None),
                Source::Table(index) => {
                    let columns = tables.get(index).into_iter().flatten().map(Vec::as_slice);
                    (columns.collect(), counts.get(index).map(Vec::as_slice))
                }
            };
            SlotLeaves {
                range: slot.offset..slot.offset + slot.leaves(),
                counts,
                base: challenges.alpha - F::from_usize(slot.tag()),
                columns: challenges.beta.powers().skip(1).zip(columns).collect(),
            }
        });
        Self { slots: slots.collect(), gap: (F::ZERO, K::ONE), log_leaves: layout.log_leaves() }
    }

    pub(super) const fn log_leaves(&self) -> usize {
        self.log_leaves
    }

    /// Makes the leaves `range`.
    pub(super) fn block(&self, range: Range<usize>) -> Block {
        let (numerator, denominator) = self.gap;
        let mut block = Block {
            numerators: vec![numerator; range.len()],
            denominators: vec![denominator; range.len()],
        };
        let first = self.slots.partition_point(|slot| slot.range.end <= range.start);
        let overlapping = self.slots.iter().skip(first);
        for slot in overlapping.take_while(|slot| slot.range.start < range.end) {
            let start = slot.range.start.max(range.start);
            let end = slot.range.end.min(range.end);
            let (out, input) = (
                start - range.start..end - range.start,
                start - slot.range.start..end - slot.range.start,
            );
            if let Some(numerators) = block.numerators.get_mut(out.clone()) {
                slot.fill_numerators(input.clone(), numerators);
            }
            if let Some(denominators) = block.denominators.get_mut(out) {
                slot.fill_denominators(input, denominators);
            }
        }
        block
    }
}

impl Block {
    pub(super) fn iter(&self) -> impl Iterator<Item = Leaf> {
        self.numerators.iter().copied().zip(self.denominators.iter().copied())
    }
}

impl SlotLeaves<'_> {
    fn fill_numerators(&self, cells: Range<usize>, out: &mut [F]) {
        match self.counts {
            None => out.fill(F::ONE),
            Some(counts) => {
                let counts = counts.get(cells).unwrap_or_default();
                for (out, &count) in out.iter_mut().zip(counts) {
                    *out = -count;
                }
            }
        }
    }

    fn fill_denominators(&self, cells: Range<usize>, out: &mut [K]) {
        out.fill(self.base);
        for &(power, column) in &self.columns {
            let column = column.get(cells.clone()).unwrap_or_default();
            for (out, &value) in out.iter_mut().zip(column) {
                *out -= power * value;
            }
        }
    }
}
