//! int16 activations: how finely the tables let a program store the values between its sites
//! (`docs/design/0007-int16.md`).

use assay_zkml::program::{MAX_INTEGER, MAX_TABLE_ROWS};

use super::rows_for;
use super::scales::{Quantum, Resolution, scales};
use super::shifts::{Fixed, plan};
use super::sums::{Tensors, unsigned};
use crate::draft::{Draft, Scale, Step, Sum, SumTerm};
use crate::error::{CompileError, Refusal};
use crate::float::{Calibration, Range};
use crate::function::Function;

/// The finest steps that are tried, 16 bits with the sign.
const FINEST: i32 = 32_767;
/// The coarsest: 8 bits have half as many.
const LEAST: i32 = 255;
/// Steps that any input could reach: a table of `2^16` rows, with something left for what rounding adds.
const REACH: f64 = 31_000.0;
/// How many times more steps than 8 bits the input has, the finest first.
const INPUTS: [i32; 5] = [FINEST_INPUT, 8, 4, 2, 1];
const FINEST_INPUT: i32 = 16;
/// How much finer the tables of a Softmax and of a product are than with int8 activations.
const FINER: i32 = 8;

/// Makes the scales finer that operators state for themselves; `input` is the input's name.
///
/// # Errors
///
/// Returns [`CompileError`] that names the first node or input with a scale of the model's own.
pub(crate) fn refine(draft: &mut Draft, input: &str) -> Result<(), CompileError> {
    let own = || Refusal::unsupported("a scale of the model's own with int16 activations");
    let Draft { tensors, sites, .. } = draft;
    for (index, tensor) in tensors.iter_mut().enumerate() {
        let Scale::Given { scale, interval, .. } = &mut tensor.scale else { continue };
        let Some(site) = index.checked_sub(1).and_then(|index| sites.get(index)) else {
            return Err(CompileError::Tensor { name: input.to_owned(), refusal: own() });
        };
        let Step::Requant {
            function: Some(Function::Exp { .. } | Function::Ln { .. } | Function::Square),
            ..
        } = site.step
        else {
            return Err(site.refuse(own()));
        };
        *scale /= f64::from(FINER);
        interval.lo *= FINER;
        interval.hi *= FINER;
    }
    Ok(())
}

/// Returns the scales with the most steps between sites that tables and weights leave room for: the same
/// number at each, so that sites share tables.
///
/// # Errors
///
/// Returns [`CompileError`] if these are hardly more than with int8 activations, and names the node
/// that leaves the least room.
pub(crate) fn finest(
    draft: &Draft,
    calibration: &Calibration,
    input: &[Range],
) -> Result<Vec<Quantum>, CompileError> {
    let of = |largest, steps| scales(draft, calibration, input, Resolution::wide(largest, steps));
    let quanta = of(FINEST, FINEST_INPUT);
    let Room { largest, site, input } = room(draft, &quanta);
    let mut largest = within(largest);
    let cell = quanta.first().map_or(1.0, |input| f64::from(input.interval.amax()));
    let room_for = |steps: &i32| cell * f64::from(*steps) <= input * f64::from(FINEST_INPUT);
    let steps = INPUTS.into_iter().find(room_for).unwrap_or(1);
    let what = "largest stored value that int16 activations leave room for";
    let too_few = Refusal::mismatch(what, format!("at least {LEAST}"), largest);
    let mut refused = refuse(draft, site, too_few);
    while largest >= LEAST {
        let quanta = of(largest, steps);
        refused = match rows(draft, &quanta) {
            Ok((rows, _)) if rows <= MAX_TABLE_ROWS => return Ok(quanta),
            Ok((got, site)) => {
                let (what, limit) = ("number of rows of all lookup tables", MAX_TABLE_ROWS);
                refuse(draft, site, Refusal::TooLarge { what, limit, got })
            }
            Err(error) => error,
        };
        largest -= largest / 4;
    }
    Err(refused)
}

/// The largest stored values that there is room for.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Between sites.
    largest: f64,
    /// The site that leaves no more.
    site: usize,
    /// Of the input.
    input: f64,
}

/// Returns the room that the sums leave, with scales of the finest steps. Where all accumulators are cut
/// to 30 bits, finer cells leave coarser weights: they are in balance where the largest weight is half
/// the largest cell.
fn room(draft: &Draft, quanta: &[Quantum]) -> Room {
    let tensors = Tensors { drafts: &draft.tensors, quanta };
    let finest = f64::from(FINEST);
    let mut room = Room { largest: finest, site: 0, input: f64::INFINITY };
    let outputs = draft.tensors.iter().zip(quanta).skip(1);
    for (index, (site, (tensor, quantum))) in draft.sites.iter().zip(outputs).enumerate() {
        let (Step::Requant { sum, .. } | Step::Output { sum }) = &site.step else { continue };
        let reach = tensors.reach(sum, tensor.shape.c);
        let mut least = finest;
        if matches!(site.step, Step::Requant { function: None, .. }) {
            least = least.min(finest * REACH * quantum.scale / reach.worst());
        }
        if reach.products > 0 {
            let weight = reach.weight * MAX_INTEGER as f64 / reach.worst();
            let balanced = (2.0 * f64::from(reach.cell) * weight).sqrt();
            if reads_input(sum) {
                room.input = room.input.min(balanced);
            } else {
                least = least.min(balanced);
            }
        }
        if least < room.largest {
            (room.largest, room.site) = (least, index);
        }
    }
    room
}

fn reads_input(sum: &Sum) -> bool {
    let reads = |term: &SumTerm| matches!(term, SumTerm::Conv(conv) if conv.parts.contains(&0));
    sum.terms.iter().any(reads)
}

fn refuse(draft: &Draft, site: usize, refusal: Refusal) -> CompileError {
    let label = draft.sites.get(site).map(|site| site.label.clone());
    label.unwrap_or_default().refuse(refusal)
}

/// Returns a bound of the rows of all tables, padded, and the site that takes most of them.
fn rows(draft: &Draft, quanta: &[Quantum]) -> Result<(u64, usize), CompileError> {
    let tensors = Tensors { drafts: &draft.tensors, quanta };
    let mut clamps: Vec<(i32, i32, u64)> = Vec::new();
    let (mut all, mut shifts, mut kmax) = (0_u64, Vec::new(), None);
    let mut most = (0, 0);
    let outputs = draft.tensors.iter().zip(quanta).skip(1);
    let fixed = plan(&draft.sites, tensors)?;
    let sites = draft.sites.iter().enumerate().zip(fixed);
    for (((index, site), fixed), (tensor, quantum)) in sites.zip(outputs) {
        let (lo, hi) = (quantum.interval.lo, quantum.interval.hi);
        match (&site.step, fixed) {
            (Step::Requant { sum, function }, Fixed::Requant { shift, factor }) => {
                let (_, bound) = tensors.reach(sum, tensor.shape.c).most(factor);
                let bq = rows_for(unsigned(bound).saturating_add(1), shift);
                let bq = u64::from(bq.map_err(|refusal| site.refuse(refusal))?);
                most = most.max((bq, index));
                let shared = clamps.iter_mut().find(|(l, h, _)| (*l, *h) == (lo, hi));
                match (function, shared) {
                    (Some(_), _) => all += padded(bq),
                    (None, Some((_, _, rows))) => *rows = bq.max(*rows),
                    (None, None) => clamps.push((lo, hi, bq)),
                }
                shifts.push(shift);
            }
            (Step::Max2 { .. }, _) => kmax = kmax.max(Some(u64::from(hi.abs_diff(lo)))),
            _ => {}
        }
    }
    shifts.sort_unstable();
    shifts.dedup();
    all += clamps.iter().map(|(_, _, bq)| padded(*bq)).sum::<u64>();
    all += shifts.iter().map(|&shift| 1_u64 << shift.max(6)).sum::<u64>();
    Ok((all + kmax.map_or(0, padded), most.1))
}

/// Rows of a table of `2 n + 1`, padded.
const fn padded(n: u64) -> u64 {
    (2 * n + 1).next_power_of_two()
}

/// The integer below, of one between 0 and [`FINEST`].
#[expect(clippy::cast_possible_truncation, reason = "below 2^15")]
fn within(value: f64) -> i32 {
    value.clamp(0.0, f64::from(FINEST)) as i32
}
