//! The shift of each requantisation, and the unit of the raw output.

use assay_zkml::field::MODULUS;
use assay_zkml::program::{MAX_INTEGER, half};

use super::scales::argument_step;
use super::sums::{Reach, Tensors};
use crate::draft::{DraftSite, Step};
use crate::error::{CompileError, Refusal};

/// Most different shifts in a model: each has RANGE tables of its own (section 2.1).
const MAX_DISTINCT: usize = 3;
const MAX_SHIFT: u32 = 16;
/// Bits of a cell of 8 bits, with its sign or its zero point.
const NARROW_BITS: u32 = 9;
/// The shift of sites without weights in a model without weights.
const DEFAULT_SHIFT: u32 = 12;
/// The finest unit of a raw output is `2^-30`, the coarsest `2^30`.
const UNITS: std::ops::RangeInclusive<i32> = -30..=30;

/// The numbers of one site.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fixed {
    /// `s`, and the accumulator steps of a real 1.
    Requant { shift: u32, factor: f64 },
    /// The accumulator steps of a real 1.
    Output { factor: f64 },
    /// Nothing to choose.
    Plain,
}

/// A site before the shifts of the model are known.
enum Open {
    Requant { reach: Reach, scale: f64, weighted: bool, most: u32 },
    Fixed(Fixed),
}

/// Chooses the shifts: each the largest that section 2.1 wants and 2.2 allows, of at most three.
pub(super) fn plan(sites: &[DraftSite], tensors: Tensors<'_>) -> Result<Vec<Fixed>, CompileError> {
    let mut open = Vec::with_capacity(sites.len());
    for (index, site) in sites.iter().enumerate() {
        let channels = tensors.drafts.get(index + 1).map_or(0, |tensor| tensor.shape.c);
        let scale = tensors.quanta.get(index + 1).map_or(1.0, |quantum| quantum.scale);
        open.push(match &site.step {
            Step::Requant { sum, function } => {
                let reach = tensors.reach(sum, channels);
                let scale = match function {
                    Some(function) => argument_step(*function, scale, reach.worst()),
                    None => scale,
                };
                let weighted = reach.products > 0;
                let wanted =
                    if weighted { wanted_shift(reach.products, reach.cell) } else { MAX_SHIFT };
                let most = largest_shift(&reach, scale, wanted);
                let most = most.map_err(|refusal| site.refuse(refusal))?;
                Open::Requant { reach, scale, weighted, most }
            }
            Step::Output { sum } => {
                let factor = match sum.tensor() {
                    // The tensor itself.
                    Some(tensor) => tensors.quanta.get(tensor).map_or(1.0, |q| q.scale).recip(),
                    None => output_factor(&tensors.reach(sum, channels))
                        .map_err(|refusal| site.refuse(refusal))?,
                };
                Open::Fixed(Fixed::Output { factor })
            }
            Step::Max2 { .. } | Step::Copy { .. } => Open::Fixed(Fixed::Plain),
        });
    }
    let shifts = distinct_shifts(&open);
    open.into_iter()
        .zip(sites)
        .map(|(open, site)| match open {
            Open::Fixed(fixed) => Ok(fixed),
            Open::Requant { reach, scale, most, .. } => {
                let shift = shifts.iter().copied().filter(|shift| *shift <= most).max();
                let shift = shift.unwrap_or(most);
                let factor = factor(shift, scale);
                check(&reach, shift, factor).map_err(|refusal| site.refuse(refusal))?;
                Ok(Fixed::Requant { shift, factor })
            }
        })
        .collect()
}

/// `clamp(ceil(log2(Nin) / 2) + 8, 8, 16)`, and a bit more for each that cells have above 9: what
/// rounding its weights adds to a sum grows with them.
fn wanted_shift(products: u64, cell: u32) -> u32 {
    let log = products.checked_next_power_of_two().map_or(64, u64::trailing_zeros);
    let more = (u32::BITS - cell.leading_zeros()).saturating_sub(NARROW_BITS);
    (log.div_ceil(2) + 8 + more).clamp(8, MAX_SHIFT)
}

fn factor(shift: u32, scale: f64) -> f64 {
    f64::from(1_u32 << shift) / scale
}

fn largest_shift(reach: &Reach, scale: f64, wanted: u32) -> Result<u32, Refusal> {
    let holds = |shift: &u32| check(reach, *shift, factor(*shift, scale)).is_ok();
    match (0..=wanted).rev().find(holds) {
        Some(shift) => Ok(shift),
        None => check(reach, 0, factor(0, scale)).map(|()| 0),
    }
}

/// N1, N2 and N3 of section 2.2, from a bound of what rounding can add.
fn check(reach: &Reach, shift: u32, factor: f64) -> Result<(), Refusal> {
    let (channel, bound) = reach.most(factor);
    let unit = f64::from(1_u32 << shift);
    let limit = MAX_INTEGER - half(shift);
    let accumulator = || Refusal::Accumulator { channel, limit, got: format!("{bound:.0}") };
    // Both below 2^31: exact as f64.
    if bound > limit as f64 || unit * (2.0 * ((bound / unit).ceil() + 1.0) + 1.0) > MODULUS as f64 {
        return Err(accumulator());
    }
    let weight = reach.weight * factor;
    if weight + 0.5 > f64::from(i16::MAX) {
        let (expected, got) = (format!("at most {}", i16::MAX), format!("{weight:.0}"));
        return Err(Refusal::mismatch("a weight in units of the accumulator", expected, got));
    }
    Ok(())
}

/// The finest power of two at which weights fit 16 bits and accumulators the field.
fn output_factor(reach: &Reach) -> Result<f64, Refusal> {
    let factors = UNITS.rev().map(|log| 2_f64.powi(log));
    let mut refusal = None;
    for factor in factors {
        match check(reach, 0, factor) {
            Ok(()) => return Ok(factor),
            Err(error) => refusal = Some(error),
        }
    }
    Err(refusal.unwrap_or(Refusal::Operator))
}

/// Returns at most three shifts, of which every site takes the largest that it allows.
fn distinct_shifts(open: &[Open]) -> Vec<u32> {
    let mut most: Vec<(u32, bool)> = open
        .iter()
        .filter_map(|open| match open {
            Open::Requant { most, weighted, .. } => Some((*most, *weighted)),
            Open::Fixed(_) => None,
        })
        .collect();
    // Sites without weights are exact enough with the largest shift that others use.
    let weighted = most.iter().filter(|(_, weighted)| *weighted).map(|(shift, _)| *shift);
    let largest = weighted.max().unwrap_or(DEFAULT_SHIFT).max(DEFAULT_SHIFT);
    most.iter_mut().for_each(|(shift, _)| *shift = (*shift).min(largest));
    let mut values: Vec<u32> = most.iter().map(|(shift, _)| *shift).collect();
    values.sort_unstable();
    values.dedup();
    while values.len() > MAX_DISTINCT {
        // Leave out the one whose sites lose least by going to the next below.
        let losses = values.windows(2).enumerate().map(|(index, pair)| {
            let [below, shift] = pair else { return (usize::MAX, index + 1) };
            let sites = most.iter().filter(|(most, _)| most == shift).count();
            (sites.saturating_mul((shift - below) as usize), index + 1)
        });
        let least = losses.min().map_or(1, |(_, index)| index);
        let (Some(&gone), Some(&below)) = (values.get(least), values.get(least - 1)) else { break };
        most.iter_mut().filter(|(most, _)| *most == gone).for_each(|(most, _)| *most = below);
        values.remove(least);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_follow_the_number_of_products() {
        let wanted = [1, 2, 4, 5, 400, 1024, 1 << 16, 1 << 20];
        let narrow = wanted.map(|products| wanted_shift(products, 510));
        assert_eq!(narrow, [8, 9, 9, 10, 13, 13, 16, 16]);
        let wide = wanted.map(|products| wanted_shift(products, 4080));
        assert_eq!(wide, [11, 12, 12, 13, 16, 16, 16, 16]);
    }

    #[test]
    fn a_model_has_three_shifts_at_most_and_no_site_a_larger_one() {
        let site =
            |most, weighted| Open::Requant { reach: Reach::default(), scale: 1.0, weighted, most };
        let few = [site(9, true), site(12, true), site(16, false)];
        assert_eq!(distinct_shifts(&few), [9, 12]);
        let many: Vec<Open> =
            [4, 9, 9, 9, 10, 12, 12, 13].into_iter().map(|most| site(most, true)).collect();
        assert_eq!(distinct_shifts(&many), [4, 9, 12]);
        assert_eq!(distinct_shifts(&[site(16, false)]), [12]);
        assert_eq!(distinct_shifts(&[]), [0; 0]);
    }
}
