//! N1, N2 and the first half of N3, with the weights at hand (section 2.2): what the compiler proves of a program.

use super::check::CheckedProgram;
use super::error::{Place, ProgramError, Rule};
use super::form::{Conv, Form, Term};
use super::intervals::term_channels;
use super::segment::weight_run;
use super::{MAX_INTEGER, Program, Site, half};

/// The largest accumulators of one site.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SiteBounds {
    /// For each form, `acc_max` of each output channel.
    pub acc_max: Vec<Vec<u64>>,
    /// For a `Requant`, the least `Bq` that N2 allows.
    pub bq: Option<u64>,
}

impl CheckedProgram {
    /// Checks N1, N2 and `|w'| <= 32767` of N3.
    ///
    /// `weights` is the weight vector; places behind its end are zero.
    ///
    /// # Errors
    ///
    /// Returns [`ProgramError`] that names the first site whose accumulators could wrap, or leave
    /// their table, or with which there are more than `2^32` sums to make.
    pub fn check_weights(&self, weights: &[i16]) -> Result<(), ProgramError> {
        let program = self.program();
        check_counts(program, weights)?;
        let mut sites = program.sites.iter().enumerate();
        sites.try_for_each(|(index, site)| check_site(program, index, site, weights).map(drop))
    }

    /// Checks what [`check_weights`](Self::check_weights) does, and returns each site's bounds.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn weight_bounds(&self, weights: &[i16]) -> Result<Vec<SiteBounds>, ProgramError> {
        let program = self.program();
        check_counts(program, weights)?;
        let sites = program.sites.iter().enumerate();
        sites.map(|(index, site)| check_site(program, index, site, weights)).collect()
    }
}

/// Most sums over weights and channels: a program of few bytes may name the same ones again and again.
const MAX_SUMS: u64 = 1 << 32;

fn check_counts(program: &Program, weights: &[i16]) -> Result<(), ProgramError> {
    let capacity = program.weights.capacity();
    Place::Program.at_most(Rule::WeightCount, capacity, weights.len())?;
    let largest = weights.iter().map(|weight| weight.unsigned_abs()).max().unwrap_or(0);
    Place::Program.at_most(Rule::Weight, i64::from(i16::MAX), u32::from(largest))?;
    let mut sums = 0_u64;
    for (index, site) in program.sites.iter().enumerate() {
        let channels = program.tensors.get(index + 1).map_or(0, |tensor| u64::from(tensor.shape.c));
        for form in site.forms() {
            sums = sums.saturating_add(channels);
            for term in &form.terms {
                let of = match term {
                    Term::Conv(conv) => conv_sums(program, conv),
                    _ => channels,
                };
                sums = sums.saturating_add(of);
            }
        }
        Place::Site(index).at_most(Rule::WeightSums, MAX_SUMS, sums)?;
    }
    Ok(())
}

/// Weights of a convolution.
fn conv_sums(program: &Program, conv: &Conv) -> u64 {
    let segment = program.segments.get(conv.segment as usize);
    segment.map_or(0, |segment| {
        let rows = u64::from(segment.outputs).saturating_mul(u64::from(segment.taps));
        rows.saturating_mul(u64::from(segment.channels))
    })
}

fn check_site(
    program: &Program,
    index: usize,
    site: &Site,
    weights: &[i16],
) -> Result<SiteBounds, ProgramError> {
    let place = Place::Site(index);
    let acc_max: Vec<_> =
        site.forms().map(|form| form_bounds(program, index, form, weights)).collect();
    let largest = acc_max.iter().flatten().copied().max().unwrap_or(0);
    let Site::Requant { shift, table, .. } = site else {
        place.at_most(Rule::Accumulator, MAX_INTEGER, largest)?;
        return Ok(SiteBounds { acc_max, bq: None });
    };
    let added = u64::try_from(half(*shift)).unwrap_or(0);
    place.at_most(Rule::Accumulator, MAX_INTEGER, largest.saturating_add(added))?;
    let bq = largest.div_ceil(1 << shift) + 1;
    let table = program.tables.get(*table as usize).and_then(super::Table::bq).unwrap_or(0);
    place.at_least(Rule::TableCovers, bq, table)?;
    Ok(SiteBounds { acc_max, bq: Some(bq) })
}

fn form_bounds(program: &Program, index: usize, form: &Form, weights: &[i16]) -> Vec<u64> {
    let shape = program.tensors.get(index + 1).map(|tensor| tensor.shape);
    let channels = shape.map_or(0, |shape| shape.c);
    let mut bounds = vec![0_u64; channels as usize];
    for term in &form.terms {
        let amax = term
            .tensor()
            .and_then(|tensor| program.tensors.get(tensor as usize))
            .map_or(0, |tensor| u64::from(tensor.interval.amax()));
        let whole = match term {
            Term::Conv(conv) => {
                add_conv(program, conv, amax, weights, &mut bounds);
                continue;
            }
            Term::Bias { segment, m } => {
                add_bias(program, *segment, *m, weights, &mut bounds);
                continue;
            }
            Term::Local { m, .. } => u64::from(m.unsigned_abs()).saturating_mul(amax),
            Term::Pick(pick) => {
                let input = program.tensors.get(pick.tensor as usize).map(|tensor| tensor.shape);
                let cells = input.zip(shape).map(|(input, output)| pick.most_inside(input, output));
                let cells = cells.unwrap_or_else(|| pick.taps());
                u64::from(pick.m.unsigned_abs()).saturating_mul(cells).saturating_mul(amax)
            }
            Term::Const { v } => u64::from(v.unsigned_abs()),
        };
        let (start, end) = term_channels(program, term, channels).unwrap_or((0, channels));
        for bound in bounds.get_mut(start as usize..end as usize).unwrap_or_default() {
            *bound = bound.saturating_add(whole);
        }
    }
    bounds
}

fn add_conv(program: &Program, conv: &Conv, amax: u64, weights: &[i16], bounds: &mut [u64]) {
    let Some(segment) = program.segments.get(conv.segment as usize) else { return };
    let Some(input) = program.tensors.get(conv.tensor as usize) else { return };
    let length = (input.shape.c / conv.groups.max(1)) as usize;
    for (output, bound) in (0..segment.outputs).zip(bounds) {
        for tap in 0..segment.taps {
            let start = segment.index(output, tap, conv.c_off);
            let row = weight_run(weights, start, length);
            let sum: u64 = row.iter().map(|weight| u64::from(weight.unsigned_abs())).sum();
            *bound = bound.saturating_add(sum.saturating_mul(amax));
        }
    }
}

fn add_bias(program: &Program, segment: u32, m: i32, weights: &[i16], bounds: &mut [u64]) {
    let Some(segment) = program.segments.get(segment as usize) else { return };
    let row = weight_run(weights, segment.off, segment.outputs as usize);
    for (bound, bias) in bounds.iter_mut().zip(row) {
        *bound = bound.saturating_add(u64::from(bias.unsigned_abs()) * u64::from(m.unsigned_abs()));
    }
}
