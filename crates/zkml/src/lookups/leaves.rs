//! The leaves of the tree, made when they are needed and never stored (section 5).

use std::ops::Range;

use p3_field::PrimeCharacteristicRing;

use super::Challenges;
use super::layout::{Layout, Source};
use crate::field::{F, K};
use crate::packed::{LANES, Packed, PackedBase};

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

/// Some consecutive leaves, eight at a time.
pub(super) struct Block {
    pub(super) numerators: Vec<PackedBase>,
    pub(super) denominators: Vec<Packed>,
    /// Whether every numerator is 1: no leaf of a table or of the gap is among them.
    pub(super) ones: bool,
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

    /// Makes the leaves `range`, which starts and ends at multiples of [`LANES`].
    pub(super) fn block(&self, range: Range<usize>) -> Block {
        let packs = range.len() / LANES;
        let (numerator, denominator) = self.gap;
        let mut block = Block {
            numerators: vec![PackedBase::splat(numerator); packs],
            denominators: vec![Packed::splat(denominator); packs],
            ones: false,
        };
        let first = self.slots.partition_point(|slot| slot.range.end <= range.start);
        let overlapping = self.slots.iter().skip(first);
        let mut lookups = 0;
        for slot in overlapping.take_while(|slot| slot.range.start < range.end) {
            let start = slot.range.start.max(range.start);
            let end = slot.range.end.min(range.end);
            if slot.counts.is_none() {
                lookups += end - start;
            }
            let (out, cells) = (
                start - range.start..end - range.start,
                start - slot.range.start..end - slot.range.start,
            );
            // A slot is aligned to its size.
            if slot.range.len() < LANES {
                slot.fill_lanes(cells, out, &mut block);
            } else {
                slot.fill_packs(cells, out.start / LANES..out.end / LANES, &mut block);
            }
        }
        block.ones = lookups == range.len();
        block
    }
}

impl SlotLeaves<'_> {
    fn fill_packs(&self, cells: Range<usize>, out: Range<usize>, block: &mut Block) {
        if let Some(out) = block.numerators.get_mut(out.clone()) {
            match self.counts {
                None => out.fill(PackedBase::splat(F::ONE)),
                Some(counts) => {
                    let counts = counts.get(cells.clone()).unwrap_or_default();
                    for (out, counts) in out.iter_mut().zip(counts.chunks(LANES)) {
                        *out = PackedBase::default().sub(PackedBase::new(counts));
                    }
                }
            }
        }
        if let Some(out) = block.denominators.get_mut(out) {
            let column = |&(power, column): &(K, _)| {
                let column = <[F]>::get(column, cells.clone()).unwrap_or_default();
                (Packed::splat(power), column.as_chunks().0)
            };
            let columns: Vec<_> = self.columns.iter().map(column).collect();
            let base = Packed::splat(self.base);
            pulp::Arch::new().dispatch(Denominators { base, columns: &columns, out });
        }
    }

    /// The same for a slot smaller than a pack.
    fn fill_lanes(&self, cells: Range<usize>, out: Range<usize>, block: &mut Block) {
        for (cell, leaf) in cells.zip(out) {
            let at = |column: &[F]| column.get(cell).copied().unwrap_or(F::ZERO);
            let denominator = self
                .columns
                .iter()
                .fold(self.base, |rest, &(power, column)| rest - power * at(column));
            let numerator = self.counts.map_or(F::ONE, |counts| -at(counts));
            let (pack, lane) = (leaf / LANES, leaf % LANES);
            if let Some(pack) = block.numerators.get_mut(pack) {
                pack.set(lane, numerator);
            }
            if let Some(pack) = block.denominators.get_mut(pack) {
                pack.set(lane, denominator);
            }
        }
    }
}

/// `base - sum_i beta^i column_i`, compiled once for each vector width that the processor may have.
struct Denominators<'a> {
    base: Packed,
    columns: &'a [(Packed, &'a [[F; LANES]])],
    out: &'a mut [Packed],
}

impl pulp::WithSimd for Denominators<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        self.out.fill(self.base);
        for &(power, column) in self.columns {
            for (out, cells) in self.out.iter_mut().zip(column) {
                *out = out.sub(power.scale(PackedBase::new(cells)));
            }
        }
    }
}

#[cfg(test)]
impl Block {
    pub(super) fn iter(&self) -> impl Iterator<Item = Leaf> {
        let numerators = self.numerators.iter().map(|&pack| Packed::default().add_base(pack));
        let numerators = numerators.flat_map(|pack| pack.unpack());
        let numerators = numerators.map(|value| crate::field::coefficients(&value)[0]);
        numerators.zip(self.denominators.iter().flat_map(Packed::unpack))
    }
}
