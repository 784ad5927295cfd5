//! What loading a key checks (section 11, and N3 of section 2.2).

use super::error::{Place, ProgramError, Relation, Rule};
use super::form::{Form, Term};
use super::intervals::form_interval;
use super::sizes::Sizes;
use super::table::Table;
use super::terms::check_term;
use super::{Interval, MAX_INTEGER, Mode, Program, Site, limb_widths};
use crate::field::MODULUS;

/// N4: sites.
pub const MAX_SITES: usize = 4096;
/// N4: terms of all forms.
const MAX_TERMS: u64 = 1 << 15;
/// N4: Conv, Pick and Bias terms of all forms.
pub const MAX_REMOTE_TERMS: u64 = 1 << 14;
/// N4: rows of all tables, padded.
pub const MAX_TABLE_ROWS: u64 = 1 << 18;
/// N4: taps of one kernel.
pub const MAX_KERNEL_TAPS: u64 = 1 << 14;
/// N4: one real extent, which also bounds strides, dilations and paddings.
pub const MAX_EXTENT: u32 = 1 << 20;

const MAX_LIMB_BITS: u32 = 16;
const MAX_SHIFT: u32 = 16;
/// A cell is a 16-bit integer.
const CELL: [i32; 2] = [i16::MIN as i32, i16::MAX as i32];

/// A program that satisfies N3, N4 for a batch of one, and the rules of section 11 for loading a
/// key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CheckedProgram {
    program: Program,
}

impl CheckedProgram {
    /// Returns the program.
    #[must_use]
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// Returns the sizes for batches of `2^lb`, after checking the caps of N4 for them.
    ///
    /// # Errors
    ///
    /// Returns [`ProgramError`] with the first cap that does not hold.
    pub fn sizes(&self, lb: u32) -> Result<Sizes, ProgramError> {
        Sizes::new(&self.program, lb)
    }

    /// Returns the index of the RANGE table for limbs of `width` bits.
    pub(crate) fn range_table(&self, width: u32) -> Option<usize> {
        let wanted = Table::Range { bits: width };
        self.program.tables.iter().position(|table| *table == wanted)
    }

    /// Returns the index of the program's MAX2 table.
    pub(crate) fn max2_table(&self) -> Option<usize> {
        self.program.tables.iter().position(is_max2)
    }
}

impl Program {
    /// Checks every rule for loading a key, and N4 for a batch of one.
    ///
    /// # Errors
    ///
    /// Returns [`ProgramError`] with the first rule that does not hold.
    pub fn check(self) -> Result<CheckedProgram, ProgramError> {
        self.check_counts()?;
        self.check_tensors()?;
        self.check_tables()?;
        self.check_segments()?;
        for (index, site) in self.sites.iter().enumerate() {
            self.check_site(index, site)?;
        }
        self.check_tables_used()?;
        Sizes::new(&self, 0)?;
        Ok(CheckedProgram { program: self })
    }

    fn check_counts(&self) -> Result<(), ProgramError> {
        let place = Place::Program;
        place.within(Rule::Sites, 1, MAX_SITES, self.sites.len())?;
        place.equal(Rule::Tensors, self.sites.len() + 1, self.tensors.len())?;
        place.within(Rule::LimbBits, 1, MAX_LIMB_BITS, self.limb_bits)?;
        self.check_places()?;
        for (index, site) in self.sites.iter().enumerate() {
            let outputs = usize::from(matches!(site, Site::Output { .. }));
            let required = usize::from(index + 1 == self.sites.len());
            Place::Site(index).equal(Rule::OneOutput, required, outputs)?;
        }
        let terms = || self.sites.iter().flat_map(Site::forms).flat_map(|form| &form.terms);
        place.at_most(Rule::Terms, MAX_TERMS, terms().count())?;
        let remote =
            terms().filter(|term| !matches!(term, Term::Local { .. } | Term::Const { .. }));
        place.at_most(Rule::RemoteTerms, MAX_REMOTE_TERMS, remote.count())
    }

    /// A `small` program commits to all `2^n_w` places: no more than its rows ask for.
    fn check_places(&self) -> Result<(), ProgramError> {
        let (place, shape) = (Place::Program, &self.weights);
        let [low, high] = self.mode.log_weights();
        place.within(Rule::WeightPlaces, low, high, shape.log_weights())?;
        if self.mode == Mode::Small && shape.log_weights() > low {
            place.at_least(Rule::RowsUsed, shape.places() / 2 + 1, shape.capacity())?;
        }
        Ok(())
    }

    fn check_tensors(&self) -> Result<(), ProgramError> {
        for (index, tensor) in self.tensors.iter().enumerate() {
            let place = Place::Tensor(index);
            for extent in tensor.shape.extents() {
                place.within(Rule::Extent, 1, MAX_EXTENT, extent)?;
            }
            let Interval { lo, hi } = tensor.interval;
            if index == self.sites.len() {
                place.equal(Rule::RawInterval, Interval::RAW.lo, lo)?;
                place.equal(Rule::RawInterval, Interval::RAW.hi, hi)?;
                continue;
            }
            let [least, most] = CELL;
            place.within(Rule::IntervalLow, least, 0, lo)?;
            place.within(Rule::IntervalHigh, 0, most, hi)?;
        }
        Ok(())
    }

    fn check_tables(&self) -> Result<(), ProgramError> {
        let mut rows = 0_u64;
        for (index, table) in self.tables.iter().enumerate() {
            let place = Place::Table(index);
            self.check_table(place, table)?;
            rows = rows.saturating_add(1_u64.checked_shl(table.arity()).unwrap_or(u64::MAX));
            place.at_most(Rule::TableRows, MAX_TABLE_ROWS, rows)?;
            // Rows are bounded by now: at least 64 for each table, so the tables are few.
            let earlier = self.tables.iter().take(index);
            place.equal(
                Rule::DistinctTables,
                0,
                earlier.filter(|other| *other == table).count(),
            )?;
        }
        let max2 = self.tables.iter().filter(|table| is_max2(table)).count();
        Place::Program.at_most(Rule::Max2Table, 1, max2)
    }

    fn check_table(&self, place: Place, table: &Table) -> Result<(), ProgramError> {
        match table {
            Table::Range { bits } => place.within(Rule::RangeBits, 1, self.limb_bits, *bits),
            Table::Max2 { kmax } => check_integer(place, *kmax),
            Table::Clamp { bq, lo, hi } => {
                check_integer(place, *bq)?;
                check_integer(place, *lo)?;
                check_integer(place, *hi)?;
                place.at_most(Rule::ClampLow, 0, *lo)?;
                place.at_least(Rule::ClampHigh, 0, *hi)
            }
            Table::Function { bq, values } => {
                check_integer(place, *bq)?;
                place.equal(Rule::FunctionValues, 2 * u64::from(*bq) + 1, values.len())?;
                values.iter().try_for_each(|value| check_integer(place, *value))
            }
        }
    }

    fn check_segments(&self) -> Result<(), ProgramError> {
        let capacity = self.weights.capacity();
        for (index, segment) in self.segments.iter().enumerate() {
            let place = Place::Segment(index);
            for size in [segment.taps, segment.outputs, segment.channels] {
                place.within(Rule::SegmentSize, 1, MAX_EXTENT, size)?;
            }
            place.equal(
                Rule::SegmentLog,
                super::tensor::lg(segment.channels),
                segment.log_channels,
            )?;
            let step = 1_u64 << segment.log_channels;
            place.require(
                segment.off.is_multiple_of(step),
                Rule::SegmentAlignment,
                Relation::MultipleOf,
                1_i64 << segment.log_channels,
                i64::try_from(segment.off).unwrap_or(i64::MAX),
            )?;
            place.at_least(Rule::SegmentPadding, segment.outputs, segment.outputs_padded)?;
            place.at_most(Rule::SegmentEnd, capacity, segment.end().unwrap_or(u64::MAX))?;
        }
        Ok(())
    }

    fn check_site(&self, index: usize, site: &Site) -> Result<(), ProgramError> {
        for form in site.forms() {
            for term in &form.terms {
                check_term(self, index, term)?;
            }
        }
        match site {
            Site::Requant { shift, table, .. } => self.check_requant(index, *shift, *table),
            Site::Max2 { a, b } => self.check_max2(index, a, b),
            Site::Copy { form } => self.check_form_range(index, form).map(|_| ()),
            Site::Output { .. } => Ok(()),
        }
    }

    fn check_requant(&self, index: usize, shift: u32, table: u32) -> Result<(), ProgramError> {
        let place = Place::Site(index);
        place.at_most(Rule::Shift, MAX_SHIFT.min(2 * self.limb_bits), shift)?;
        let Some(named) = self.tables.get(table as usize) else {
            let last = self.tables.len().saturating_sub(1);
            return place.require(
                false,
                Rule::TableIndex,
                Relation::AtMost,
                i64::try_from(last).unwrap_or(i64::MAX),
                i64::from(table),
            );
        };
        place.equal(Rule::RequantTable, 1, usize::from(named.bq().is_some()))?;
        let covered = (2 * u64::from(named.bq().unwrap_or(0)) + 1) << shift;
        place.at_most(Rule::UniqueRemainder, MODULUS, covered)?;
        for width in limb_widths(shift, self.limb_bits) {
            let wanted = Table::Range { bits: width };
            let count = self.tables.iter().filter(|table| **table == wanted).count();
            place.equal(Rule::LimbTable, 1, count)?;
        }
        let Some(tensor) = self.tensors.get(index + 1) else { return Ok(()) };
        let (low, high) = named.value_range().unwrap_or((i32::MIN, i32::MAX));
        place.at_least(Rule::TableLow, tensor.interval.lo, low)?;
        place.at_most(Rule::TableHigh, tensor.interval.hi, high)
    }

    fn check_max2(&self, index: usize, a: &Form, b: &Form) -> Result<(), ProgramError> {
        let place = Place::Site(index);
        let (a_low, a_high) = self.check_form_range(index, a)?;
        let (b_low, b_high) = self.check_form_range(index, b)?;
        let kmax = self.tables.iter().find_map(|table| match table {
            Table::Max2 { kmax } => Some(*kmax),
            _ => None,
        });
        place.equal(Rule::Max2Table, 1, usize::from(kmax.is_some()))?;
        let reach = a_high.max(b_high) - a_low.min(b_low);
        place.at_least(Rule::Max2Range, reach, kmax.unwrap_or(0))
    }

    /// Checks that a form without weights stays in the interval of the site's tensor, and returns
    /// its own.
    fn check_form_range(&self, index: usize, form: &Form) -> Result<(i64, i64), ProgramError> {
        let place = Place::Site(index);
        let weighted =
            form.terms.iter().filter(|term| matches!(term, Term::Conv(_) | Term::Bias { .. }));
        place.equal(Rule::Max2Terms, 0, weighted.count())?;
        let (low, high) = form_interval(self, index, form).unwrap_or((i64::MIN, i64::MAX));
        if let Some(tensor) = self.tensors.get(index + 1) {
            place.at_least(Rule::FormLow, tensor.interval.lo, low)?;
            place.at_most(Rule::FormHigh, tensor.interval.hi, high)?;
        }
        Ok((low, high))
    }

    fn check_tables_used(&self) -> Result<(), ProgramError> {
        let mut used = vec![false; self.tables.len()];
        for site in &self.sites {
            for (index, table) in self.tables.iter().enumerate() {
                let named = match (site, table) {
                    (Site::Requant { shift, .. }, Table::Range { bits }) => {
                        limb_widths(*shift, self.limb_bits).any(|width| width == *bits)
                    }
                    (Site::Requant { table, .. }, _) => *table as usize == index,
                    (Site::Max2 { .. }, Table::Max2 { .. }) => true,
                    _ => false,
                };
                if let Some(used) = used.get_mut(index) {
                    *used |= named;
                }
            }
        }
        let unused = used.iter().position(|used| !used);
        unused.map_or(Ok(()), |index| Place::Table(index).at_least(Rule::TableUsed, 1, 0))
    }
}

/// Refuses an integer outside `[-(p-1)/2, (p-1)/2]`.
pub(crate) fn check_integer(place: Place, value: impl Into<i64>) -> Result<(), ProgramError> {
    let value: i64 = value.into();
    place.at_most(Rule::Integer, MAX_INTEGER, value.abs())
}

const fn is_max2(table: &Table) -> bool {
    matches!(table, Table::Max2 { .. })
}
