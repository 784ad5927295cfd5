//! Where the columns stand in the stacked vector, and what is made of them there (section 7).
//!
//! p3 plans the places: cell `i` of a column of arity `a` is cell `i 2^s + selector` of the vector
//! of `2^(a + s)` cells, so the first variables of the vector are those of every column. Folding the
//! first `k` of them leaves row `l` of each column, `l < 2^(a - k)`, at row `l 2^s + selector`; the
//! message of the first code has one row for each of these, with the `2^k` cells that fold to it.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;
use p3_sumcheck::layout::plan_stacked_layout;
use p3_sumcheck::{OpeningProtocol, TableShape};

use super::schedule::Class;
use crate::field::{F, K};
use crate::packed::{LANES, Packed, Weight, combine_rows};

/// The places of all columns.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    log_cells: usize,
    /// Variables of the first fold.
    folds: usize,
    places: Vec<Place>,
}

/// Where one column stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Its index in the order of the schedule.
    pub(super) column: usize,
    /// Its class, and its index in there.
    pub(super) in_class: (usize, usize),
    pub(super) arity: usize,
    /// Its selector, of `log_cells - arity` bits.
    pub(super) selector: usize,
}

impl Stack {
    pub(super) fn new(classes: &[Class], protocol: &OpeningProtocol, folds: usize) -> Self {
        let shapes: Vec<TableShape> = protocol.table_shapes();
        let (log_cells, planned) = plan_stacked_layout(&shapes);
        let mut places = Vec::new();
        for mut placement in planned {
            placement.reverse_selectors();
            let table = placement.idx();
            let Some(class) = classes.get(table) else { continue };
            let columns = class.columns.iter().zip(placement.selectors());
            places.extend(columns.enumerate().map(|(index, (&column, selector))| Place {
                column,
                in_class: (table, index),
                arity: class.arity,
                selector: selector.index(),
            }));
        }
        Self { log_cells, folds, places }
    }

    pub(super) const fn log_cells(&self) -> usize {
        self.log_cells
    }

    pub(super) const fn folds(&self) -> usize {
        self.folds
    }

    /// Returns the columns' places, those of the largest class first.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Writes the message of the first code into zeros.
    pub(super) fn write_message(&self, columns: &[&[F]], message: &mut [F]) {
        let width = 1 << self.folds;
        let rows = BLOCK / width;
        message.par_chunks_mut(rows * width).enumerate().for_each(|(block, message)| {
            let mut tile = vec![F::ZERO; TILE * width];
            for place in &self.places {
                let Some(column) = columns.get(place.column) else { continue };
                let own = place.rows(self.log_cells, block * rows, message.len() / width);
                for (own, count) in own.tiles() {
                    // Cells are read where they stand together, and so written.
                    for (index, cells) in column.chunks(1 << (place.arity - self.folds)).enumerate()
                    {
                        let cells = cells.iter().skip(own.local).take(count);
                        let tile = tile.iter_mut().skip(index).step_by(width);
                        tile.zip(cells).for_each(|(tile, &cell)| *tile = cell);
                    }
                    let rows = message.chunks_exact_mut(width).skip(own.row).step_by(own.step);
                    let tile = tile.chunks_exact(width).take(count);
                    rows.zip(tile).for_each(|(row, tile)| row.copy_from_slice(tile));
                }
            }
        });
    }

    /// Folds the first variables at the point whose `eq` is `weights`.
    pub(super) fn fold(&self, columns: &[&[F]], weights: &[K]) -> Vec<K> {
        let words: Vec<Weight> = weights.iter().copied().map(Weight::new).collect();
        let fold = |place: &Place| {
            let cells = columns.get(place.column).copied().unwrap_or_default();
            let rows = 1 << (place.arity - self.folds);
            if rows < LANES {
                fold_few(cells, weights, rows)
            } else {
                fold_many(cells, &words, rows)
            }
        };
        let parts: Vec<Vec<K>> = self.places.par_iter().map(fold).collect();
        self.interleave(&parts)
    }

    /// Puts the rows of each column, in the order of the places, where they stand once the first
    /// variables are folded.
    pub(super) fn interleave(&self, parts: &[Vec<K>]) -> Vec<K> {
        let mut rows = vec![K::ZERO; 1 << (self.log_cells - self.folds)];
        rows.par_chunks_mut(BLOCK).enumerate().for_each(|(block, rows)| {
            for (place, part) in self.places.iter().zip(parts) {
                let own = place.rows(self.log_cells, block * BLOCK, rows.len());
                let part = part.iter().skip(own.local).take(own.count);
                let rows = rows.iter_mut().skip(own.row).step_by(own.step);
                rows.zip(part).for_each(|(row, &value)| *row = value);
            }
        });
        rows
    }
}

/// A column's rows among some that follow one another.
#[derive(Clone, Copy, Debug)]
struct OwnRows {
    /// The column's own index of the first.
    local: usize,
    count: usize,
    /// Where the first stands, and from one to the next.
    row: usize,
    step: usize,
}

impl OwnRows {
    /// Splits the rows into tiles and says how many rows each has.
    fn tiles(self) -> impl Iterator<Item = (Self, usize)> {
        (0..self.count).step_by(TILE).map(move |done| {
            let (local, row) = (self.local + done, self.row + done * self.step);
            (Self { local, row, ..self }, (self.count - done).min(TILE))
        })
    }
}

impl Place {
    /// Returns which of the `count` rows from `first` on are the column's, `count` a power of two
    /// that divides `first`.
    const fn rows(&self, log_cells: usize, first: usize, count: usize) -> OwnRows {
        let bits = log_cells - self.arity;
        let (local, step) = (first >> bits, 1 << bits);
        let at = (local << bits) | self.selector;
        if at < first || at >= first + count {
            return OwnRows { local, count: 0, row: 0, step };
        }
        let count = if count < step { 1 } else { count >> bits };
        OwnRows { local, count, row: at - first, step }
    }
}

fn fold_few(cells: &[F], weights: &[K], rows: usize) -> Vec<K> {
    let mut folded = vec![K::ZERO; rows];
    for (&weight, cells) in weights.iter().zip(cells.chunks(rows)) {
        folded.iter_mut().zip(cells).for_each(|(sum, &cell)| *sum += weight * cell);
    }
    folded
}

fn fold_many(cells: &[F], weights: &[Weight], rows: usize) -> Vec<K> {
    let mut folded = vec![K::ZERO; rows];
    let width = rows.min(TILE);
    folded.par_chunks_mut(FOLDED).enumerate().for_each(|(task, folded)| {
        let mut tile = vec![F::ZERO; width * weights.len()];
        for (index, folded) in folded.chunks_mut(width).enumerate() {
            // The cells of a row stand so far apart that they share few sets of the caches.
            let first = task * FOLDED + index * width;
            for (tile, cells) in tile.chunks_exact_mut(width).zip(cells.chunks(rows)) {
                if let Some(cells) = cells.get(first..first + width) {
                    tile.copy_from_slice(cells);
                }
            }
            let mut packs = vec![Packed::default(); width / LANES];
            combine_rows(weights, (&tile, width), &mut packs);
            let (out, _) = folded.as_chunks_mut::<LANES>();
            out.iter_mut().zip(&packs).for_each(|(out, pack)| *out = pack.unpack());
        }
    });
    folded
}

/// Cells that one task writes.
const BLOCK: usize = 1 << 16;

/// Rows that are turned at a time: their cells fill a line of the cache.
const TILE: usize = 16;

/// Rows that one task folds.
const FOLDED: usize = 256;
