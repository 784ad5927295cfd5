//! The program in integers (section 2): what is served, and the witness of what is proven.
//!
//! Bit-exact: no float, and an accumulator that would leave `[-(p-1)/2, (p-1)/2]`, or a `q` that
//! would leave its table, is an error that names the site. N1 and N2
//! ([`CheckedProgram::check_weights`]) exclude both for every input in its interval. Sums run in 64
//! bits, so nothing wraps unseen where N1 was not checked.
//!
//! A batch is one run for each instance: see [`execute_batch`].

mod conv;
mod form;

use p3_maybe_rayon::prelude::*;
use thiserror::Error;

use self::form::evaluate_form;
use crate::multilinear::{ArityError, same_length};
use crate::program::{
    CheckedProgram, Form, MAX_INTEGER, Program, Site, Table, Tensor, half, limb_widths,
};

/// Why a program cannot be run on an input.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The input has another length than its tensor.
    #[error("input has {got} values, its tensor has {expected}")]
    InputLength {
        /// Real cells of the tensor.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// An input value is outside its interval.
    #[error("input value {index} is {got}, outside {low}..={high}")]
    InputValue {
        /// Index of the value.
        index: usize,
        /// Low end of the interval.
        low: i32,
        /// High end of the interval.
        high: i32,
        /// The value.
        got: i32,
    },
    /// There are more weights than the matrix has places.
    #[error("{got} weights do not fit the {capacity} places of the matrix")]
    TooManyWeights {
        /// Places.
        capacity: usize,
        /// Weights given.
        got: usize,
    },
    /// An accumulator could wrap modulo `p`.
    #[error("site {site}, cell {cell}: accumulator {got} has more than {MAX_INTEGER} absolute")]
    Accumulator {
        /// Index of the site.
        site: usize,
        /// Index of the cell.
        cell: usize,
        /// The accumulator, held inside `i64`.
        got: i64,
    },
    /// A shifted accumulator is not a row of the site's table.
    #[error("site {site}, cell {cell}: q = {got} is outside -{bq}..={bq}")]
    OutsideTable {
        /// Index of the site.
        site: usize,
        /// Index of the cell.
        cell: usize,
        /// `Bq` of the table.
        bq: u32,
        /// `q`.
        got: i64,
    },
}

/// Every tensor that a run computed, with the remainders of its requantisations.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Tensor by tensor, real cells in the order `[y][x][c]`.
    tensors: Vec<Vec<i32>>,
    /// For each `Requant`, its `q`; empty otherwise.
    quotients: Vec<Vec<i32>>,
    /// For each `Requant` with a shift, its remainders; empty otherwise.
    remainders: Vec<Vec<u32>>,
    /// For each `Max2`, its operands; empty otherwise.
    operands: Vec<[Vec<i32>; 2]>,
}

/// Runs `program` with `weights` on `input`, whose cells are in the order `[y][x][c]`.
///
/// Places of the weight vector behind the end of `weights` are zero.
///
/// # Errors
///
/// Returns [`ExecuteError`] that names the value, or the site and the cell.
pub fn execute(
    program: &CheckedProgram,
    weights: &[i16],
    input: &[i32],
) -> Result<Execution, ExecuteError> {
    let program = program.program();
    let (capacity, got) = (program.weights.capacity(), weights.len());
    if got > capacity {
        return Err(ExecuteError::TooManyWeights { capacity, got });
    }
    check_input(program, input)?;
    let mut run = Execution {
        tensors: vec![input.to_vec()],
        quotients: Vec::new(),
        remainders: Vec::new(),
        operands: Vec::new(),
    };
    for (index, site) in program.sites.iter().enumerate() {
        run.step(program, weights, index, site)?;
    }
    Ok(run)
}

/// Runs `program` on every input, and on the zero input until there are `2^lb` runs (section 1).
///
/// # Errors
///
/// Returns [`ExecuteError`] of the first input that cannot be run.
pub fn execute_batch(
    program: &CheckedProgram,
    weights: &[i16],
    lb: u32,
    inputs: &[Vec<i32>],
) -> Result<Vec<Execution>, ExecuteError> {
    let run = |input: &Vec<i32>| execute(program, weights, input);
    let mut runs: Vec<Execution> = inputs.par_iter().map(run).collect::<Result<_, _>>()?;
    let places = 1_usize.checked_shl(lb).unwrap_or(0);
    if runs.len() < places {
        let cells = program.program().tensors.first().map_or(0, |tensor| tensor.shape.cells());
        let unused = execute(program, weights, &vec![0; cells])?;
        runs.resize(places, unused);
    }
    Ok(runs)
}

impl Execution {
    /// Returns the raw output, real cells in the order `[y][x][c]`.
    #[must_use]
    pub fn output(&self) -> &[i32] {
        self.tensors.last().map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns a tensor: 0 is the input, `i + 1` that of site `i`.
    #[must_use]
    pub fn tensor(&self, index: usize) -> Option<&[i32]> {
        self.tensors.get(index).map(Vec::as_slice)
    }

    /// Returns the `q` of a `Requant` site, real cells; empty for other sites.
    #[must_use]
    pub fn quotients(&self, site: usize) -> Option<&[i32]> {
        self.quotients.get(site).map(Vec::as_slice)
    }

    /// Returns the values of the two forms of a `Max2` site, real cells; empty for other sites.
    #[must_use]
    pub fn operands(&self, site: usize) -> Option<&[Vec<i32>; 2]> {
        self.operands.get(site)
    }

    /// A tensor, empty if there is none.
    pub(crate) fn values(&self, tensor: usize) -> &[i32] {
        self.tensors.get(tensor).map(Vec::as_slice).unwrap_or_default()
    }

    /// The remainders of a `Requant` site with a shift, real cells; empty for other sites.
    pub(crate) fn remainders(&self, site: usize) -> &[u32] {
        self.remainders.get(site).map(Vec::as_slice).unwrap_or_default()
    }

    /// Checks that this is a run of a program with these tensors.
    pub(crate) fn check_shapes(&self, program: &Program) -> Result<(), ArityError> {
        same_length("tensors of a run", program.tensors.len(), self.tensors.len())?;
        let mut pairs = program.tensors.iter().zip(&self.tensors);
        pairs.try_for_each(|(tensor, values)| {
            same_length("cells of a run's tensor", tensor.shape.cells(), values.len())
        })
    }

    fn step(
        &mut self,
        program: &Program,
        weights: &[i16],
        index: usize,
        site: &Site,
    ) -> Result<(), ExecuteError> {
        let form = |form: &Form| accumulate(program, weights, &self.tensors, index, form);
        let mut parts = Parts::default();
        let mut operands = [Vec::new(), Vec::new()];
        let values = match site {
            Site::Requant { form: accumulator, shift, table } => {
                let accumulators = form(accumulator)?;
                let table = program.tables.get(*table as usize);
                requantise(index, &accumulators, *shift, table, &mut parts)?
            }
            Site::Max2 { a, b } => {
                operands = [form(a)?, form(b)?];
                let [a, b] = &operands;
                a.iter().zip(b).map(|(a, b)| *a.max(b)).collect()
            }
            Site::Copy { form: values } | Site::Output { form: values } => form(values)?,
        };
        self.tensors.push(values);
        self.quotients.push(parts.quotients);
        self.remainders.push(parts.remainders);
        self.operands.push(operands);
        Ok(())
    }
}

fn check_input(program: &Program, input: &[i32]) -> Result<(), ExecuteError> {
    let Some(Tensor { shape, interval }) = program.tensors.first() else { return Ok(()) };
    let (expected, got) = (shape.cells(), input.len());
    if expected != got {
        return Err(ExecuteError::InputLength { expected, got });
    }
    match input.iter().enumerate().find(|(_, value)| !interval.contains(**value)) {
        None => Ok(()),
        Some((index, &got)) => {
            Err(ExecuteError::InputValue { index, low: interval.lo, high: interval.hi, got })
        }
    }
}

/// Evaluates a form and checks that no value would wrap.
fn accumulate(
    program: &Program,
    weights: &[i16],
    tensors: &[Vec<i32>],
    site: usize,
    form: &Form,
) -> Result<Vec<i32>, ExecuteError> {
    let sums = evaluate_form(program, weights, tensors, site, form);
    let checked = sums.into_iter().enumerate().map(|(cell, got)| {
        let fits = (-MAX_INTEGER..=MAX_INTEGER).contains(&got);
        let value = i32::try_from(got).ok().filter(|_| fits);
        value.ok_or(ExecuteError::Accumulator { site, cell, got })
    });
    checked.collect()
}

/// `q` and `rem` of a requantisation, cell by cell.
#[derive(Default)]
struct Parts {
    quotients: Vec<i32>,
    remainders: Vec<u32>,
}

/// Section 2.1: `t = acc + half(s)`, `q = t >> s`, `rem = t - 2^s q`, `y = Tab[q]`.
fn requantise(
    site: usize,
    accumulators: &[i32],
    shift: u32,
    table: Option<&Table>,
    parts: &mut Parts,
) -> Result<Vec<i32>, ExecuteError> {
    let mask = (1_i64 << shift) - 1;
    let bq = table.and_then(Table::bq).unwrap_or(0);
    let cells = accumulators.iter().enumerate().map(|(cell, &accumulator)| {
        let t = i64::from(accumulator) + half(shift);
        let got = t >> shift;
        if shift > 0 {
            parts.remainders.push(u32::try_from(t & mask).unwrap_or(0));
        }
        // Below the accumulator's range, which is checked: fits.
        parts.quotients.push(i32::try_from(got).unwrap_or(0));
        let found = table.and_then(|table| table.look_up(got));
        let outside = ExecuteError::OutsideTable { site, cell, bq, got };
        found.map(|(_, value)| value).ok_or(outside)
    });
    cells.collect()
}

/// Splits a remainder below `2^shift` into its limbs, the low one first (section 5).
pub(crate) fn limbs(remainder: u32, shift: u32, limb_bits: u32) -> impl Iterator<Item = u32> {
    let mut rest = remainder;
    limb_widths(shift, limb_bits).map(move |width| {
        let limb = rest & ((1 << width) - 1);
        rest >>= width;
        limb
    })
}
