//! The coefficients by rows of the weight matrix (section 6.2).
//!
//! On aligned segments the coefficients of a row are `U v` with one of very few vectors `v`: all
//! channel points are suffixes of `rho` and `tau`, so `v` is fixed by a [`Class`]. Column rounds then
//! run on one pair of vectors for each class, and no element of `K` is made for a weight. The other
//! segments are written out for the rows that they touch.

use std::collections::BTreeMap;

use p3_field::PrimeCharacteristicRing;

use super::statement::{Term, TermChannels};
use crate::field::K;
use crate::multilinear::eq_table;
use crate::product::Factor;
use crate::tensor_code::Shape;

/// What fixes the vector `v` of a row.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Class {
    /// A row of several outputs, `k < kappa`. As `O 2^k >= 2^kappa`, exactly `kappa - k` coordinates
    /// of `rho_o` belong to the outputs of a row.
    Outputs {
        log_channels: u32,
        /// Outputs of the row that are real.
        real: u32,
        channels: ClassChannels,
    },
    /// A part of one output, `k >= kappa`.
    Channels {
        /// `min(lg C_T, kappa)`: how many coordinates of `tau_c` belong to the columns.
        coordinates: usize,
        /// Columns of the row that are real.
        real: u32,
    },
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum ClassChannels {
    Window { first: u32, count: u32 },
    Depthwise,
}

/// Rows with one `v`.
#[derive(Clone, Debug)]
pub(super) struct ClassRows {
    /// `v`, over the columns.
    pub(super) vector: Vec<K>,
    /// The rows, each with its `U`. A row may be there twice, as a segment may be in two terms.
    pub(super) rows: Vec<(usize, K)>,
}

/// All coefficients.
#[derive(Clone, Debug, Default)]
pub(super) struct Coefficients {
    classes: BTreeMap<Class, ClassRows>,
    /// Rows that are written out.
    written: BTreeMap<usize, Vec<K>>,
}

impl Coefficients {
    pub(super) fn new(shape: &Shape, terms: &[Term<'_>]) -> Self {
        let mut coefficients = Self::default();
        for term in terms {
            if !coefficients.add_aligned(shape, term) {
                coefficients.write_out(shape, term);
            }
        }
        coefficients
    }

    pub(super) fn classes(&self) -> impl Iterator<Item = &ClassRows> {
        self.classes.values()
    }

    pub(super) fn written(&self) -> impl Iterator<Item = (usize, &[K])> {
        self.written.iter().map(|(&row, values)| (row, values.as_slice()))
    }
}

impl Coefficients {
    /// Adds the rows of a term whose segment is aligned; `false` if it is not.
    fn add_aligned(&mut self, shape: &Shape, term: &Term<'_>) -> bool {
        let (segment, columns) = (&term.segment, shape.columns() as u64);
        let low = shape.log_columns().saturating_sub(segment.log_channels as usize);
        if !segment.off.is_multiple_of(columns) {
            return false;
        }
        if low == 0 {
            let TermChannels::Window { first, count } = term.channels else { return false };
            let aligned = u64::from(first).is_multiple_of(columns);
            if aligned {
                self.add_channels(shape, term, first, count);
            }
            return aligned;
        }
        let channels = match term.channels {
            TermChannels::Window { first, count } => ClassChannels::Window { first, count },
            TermChannels::Depthwise => ClassChannels::Depthwise,
            TermChannels::Groups { .. } => return false,
        };
        let padded = u64::from(segment.outputs_padded).is_multiple_of(1 << low);
        let full = u64::from(segment.outputs) << segment.log_channels >= columns;
        if padded && full {
            self.add_outputs(shape, term, channels, low);
        }
        padded && full
    }

    /// `k < kappa`: `U = taps[t] eq(rho_o high, block)`, for a depthwise term also `eq(tau_c high,
    /// block)`.
    fn add_outputs(&mut self, shape: &Shape, term: &Term<'_>, channels: ClassChannels, low: usize) {
        let segment = &term.segment;
        let (rho_high, rho_low) = split(term.rho, low);
        let mut blocks = eq_table(rho_high);
        let (tau_high, tau_low) = split(term.tau, low);
        let tau = if channels == ClassChannels::Depthwise {
            blocks.iter_mut().zip(eq_table(tau_high)).for_each(|(block, tau)| *block *= tau);
            tau_low
        } else {
            term.tau
        };
        for (&tap, t) in term.taps.iter().zip(0_u32..) {
            let outputs = (0..segment.outputs).step_by(1 << low);
            for (first, &block) in outputs.zip(&blocks) {
                let real = (segment.outputs - first).min(1 << low);
                let class = Class::Outputs { log_channels: segment.log_channels, real, channels };
                let row = row_of(shape, segment.index(first, t, 0));
                self.add_row(class, row, tap * block, || {
                    outputs_vector(shape.columns(), class, &eq_table(rho_low), &eq_table(tau))
                });
            }
        }
    }

    /// `k >= kappa`: `U = taps[t] eq(rho_o, o) eq(tau_c high, part)`.
    fn add_channels(&mut self, shape: &Shape, term: &Term<'_>, first: u32, count: u32) {
        let (segment, columns) = (&term.segment, shape.columns());
        let (tau_high, tau_low) = split(term.tau, shape.log_columns());
        let (outputs, parts) = (eq_table(term.rho), eq_table(tau_high));
        for (&tap, t) in term.taps.iter().zip(0_u32..) {
            for (&output, o) in outputs.iter().zip(0..segment.outputs) {
                for (&part, start) in parts.iter().zip((0..count).step_by(columns)) {
                    let real = (count - start).min(u32::try_from(columns).unwrap_or(u32::MAX));
                    let class = Class::Channels { coordinates: tau_low.len(), real };
                    let row = row_of(shape, segment.index(o, t, first + start));
                    self.add_row(class, row, tap * output * part, || {
                        let mut vector = eq_table(tau_low);
                        vector.truncate(real as usize);
                        vector.resize(columns, K::ZERO);
                        vector
                    });
                }
            }
        }
    }

    fn add_row(&mut self, class: Class, row: usize, factor: K, vector: impl FnOnce() -> Vec<K>) {
        let entry = self.classes.entry(class);
        let class = entry.or_insert_with(|| ClassRows { vector: vector(), rows: Vec::new() });
        class.rows.push((row, factor));
    }

    /// Adds every coefficient of a term to the rows that it lies in.
    fn write_out(&mut self, shape: &Shape, term: &Term<'_>) {
        let (segment, columns) = (&term.segment, shape.columns());
        let outputs = eq_table(term.rho);
        let channels = eq_table(term.tau);
        for (&tap, t) in term.taps.iter().zip(0_u32..) {
            for (&output, o) in outputs.iter().zip(0..segment.outputs) {
                let factor = Factor::new(tap * output);
                let (first, channels) = term.channels_of(o, &channels);
                for (&channel, c) in channels.iter().zip(first..) {
                    let at = segment.index(o, t, c);
                    let row = self.written.entry(row_of(shape, at));
                    let row = row.or_insert_with(|| vec![K::ZERO; columns]);
                    let column = at & (columns as u64 - 1);
                    let slot = usize::try_from(column).ok().and_then(|at| row.get_mut(at));
                    if let Some(slot) = slot {
                        *slot += factor.times(channel);
                    }
                }
            }
        }
    }
}

impl Term<'_> {
    /// The first channel of the segment that output `o` reads, and the factors from there on.
    fn channels_of<'a>(&self, output: u32, channels: &'a [K]) -> (u32, &'a [K]) {
        let window = |from: u32, count: u32| {
            channels.get(from as usize..from as usize + count as usize).unwrap_or_default()
        };
        match self.channels {
            TermChannels::Window { first, count } => (first, window(0, count)),
            TermChannels::Depthwise => (0, window(output, 1)),
            TermChannels::Groups { outputs, inputs, .. } => {
                (0, window(output / outputs.max(1) * inputs, inputs))
            }
        }
    }
}

/// `v` of [`Class::Outputs`]: `eq(rho_o low, o) eq(tau_c, c - first)`, or `eq(rho_o low, o) eq(tau_c
/// low, o)`.
fn outputs_vector(columns: usize, class: Class, outputs: &[K], channels: &[K]) -> Vec<K> {
    let mut vector = vec![K::ZERO; columns];
    let Class::Outputs { log_channels, real, channels: kind } = class else { return vector };
    let rows = vector.chunks_mut(1 << log_channels).zip(outputs);
    for ((row, &output), o) in rows.zip(0..real as usize) {
        let (first, range) = match kind {
            ClassChannels::Window { first, count } => (first as usize, 0..count as usize),
            ClassChannels::Depthwise => (0, o..o + 1),
        };
        let factors = channels.get(range).unwrap_or_default();
        for (slot, &factor) in row.iter_mut().skip(first).zip(factors) {
            *slot = output * factor;
        }
    }
    vector
}

/// The last `low` coordinates, and those before them.
fn split(point: &[K], low: usize) -> (&[K], &[K]) {
    point.split_at(point.len().saturating_sub(low))
}

/// The row of a place; the program's check keeps places inside the matrix.
fn row_of(shape: &Shape, place: u64) -> usize {
    usize::try_from(place >> shape.log_columns()).unwrap_or(usize::MAX)
}
