//! Scales and intervals of tensors.

use assay_zkml::program::Interval;

use super::sums::Tensors;
use crate::draft::{Clamp, Draft, DraftSite, DraftTensor, Read, Scale, Step, SumTerm};
use crate::float::{Calibration, Range};
use crate::function::Function;

/// Real values are `scale` times the stored integers, which lie in `interval`.
#[derive(Clone, Debug)]
pub(crate) struct Quantum {
    pub(crate) scale: f64,
    /// A scale for each channel instead, of a tensor that only convolutions read.
    pub(crate) channels: Vec<f64>,
    pub(crate) interval: Interval,
}

/// How much farther than on the samples a value between sites may reach before it is clamped. The
/// greatest error on the 360 digits, calibrated on 64, is 1.14 without, 0.32 with this, 0.38 with half
/// as much again.
const HEADROOM: f64 = 1.2;
/// The same for measurements, of which a few samples show less.
const INPUT_HEADROOM: f64 = 2.0;
/// A table is made smaller than `2^16` rows, if that takes no more than two bits of a tensor.
pub(super) const WANTED_BQ: f64 = 32_000.0;
const COARSEST: f64 = 4.0;

/// How finely values are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolution {
    /// The largest stored value of a tensor between sites.
    largest: i32,
    /// Steps of the input.
    input: i32,
    /// How much coarser a tensor between sites may be for its table's sake.
    coarsest: f64,
}

impl Resolution {
    /// 8 bits: `largest` is that of a tensor between sites. The input is an uint8 where it is never
    /// negative.
    pub(crate) fn narrow(largest: u8) -> Self {
        Self { largest: i32::from(largest.max(1)), input: 255, coarsest: COARSEST }
    }

    /// Up to 16 bits. The steps of the input are a multiple of those of 8 bits.
    pub(super) const fn wide(largest: i32, input: i32) -> Self {
        Self { largest, input: 255 * input, coarsest: 1.0 }
    }
}

/// What decides on the steps of a tensor between sites, beside its range on the samples.
#[derive(Clone, Copy, Debug)]
struct Steps {
    /// The largest stored value.
    largest: i32,
    /// The largest real value that any input could give.
    worst: f64,
    /// How much coarser it may be.
    coarsest: f64,
}

/// Returns the scale of each tensor; the output's comes with its weights. `input` has the range of
/// each channel of the input.
pub(crate) fn scales(
    draft: &Draft,
    calibration: &Calibration,
    input: &[Range],
    resolution: Resolution,
) -> Vec<Quantum> {
    let Resolution { largest, input: input_steps, coarsest } = resolution;
    let mut quanta: Vec<Quantum> = Vec::with_capacity(draft.tensors.len());
    for (index, tensor) in draft.tensors.iter().enumerate() {
        let own =
            if index == 0 && has_channels(draft) { by_channel(input, input_steps) } else { None };
        let tensors = Tensors { drafts: &draft.tensors, quanta: &quanta };
        let steps = index.checked_sub(1).and_then(|site| draft.sites.get(site)).map(|site| {
            let worst = match &site.step {
                Step::Requant { sum, function: None } => tensors.reach(sum, tensor.shape.c).worst(),
                // Its table has steps of its own.
                Step::Requant { function: Some(_), .. } => 0.0,
                Step::Max2 { .. } | Step::Copy { .. } | Step::Output { .. } => 0.0,
            };
            Steps { largest, worst, coarsest }
        });
        let shared = || quantum(tensor, steps.ok_or(input_steps), calibration, &quanta);
        let quantum = own.unwrap_or_else(shared);
        quanta.push(quantum);
    }
    quanta
}

fn quantum(
    tensor: &DraftTensor,
    steps: Result<Steps, i32>,
    calibration: &Calibration,
    earlier: &[Quantum],
) -> Quantum {
    match &tensor.scale {
        Scale::Raw => Quantum::new(1.0, Interval::RAW),
        Scale::Same { tensor } => {
            // Earlier tensors have theirs.
            let missing = || Quantum::new(1.0, Interval::new(0, 0));
            earlier.get(*tensor).cloned().unwrap_or_else(missing)
        }
        Scale::Given { scale, interval, clamp } => {
            Quantum::new(*scale, cut(*interval, *scale, *clamp))
        }
        Scale::Calibrated { value, clamp } => {
            let range = calibration.ranges.get(value).copied();
            let range = range.unwrap_or(Range { low: -1.0, high: 1.0 });
            let within = |end: f64| end.clamp(clamp.low, clamp.high);
            match steps {
                Err(input) => asymmetric(range.low.min(0.0), range.high.max(0.0), input),
                Ok(steps) => {
                    let low = within(range.low.min(0.0) * HEADROOM);
                    let high = within(range.high.max(0.0) * HEADROOM);
                    symmetric(low, high, *clamp, steps)
                }
            }
        }
    }
}

impl Quantum {
    const fn new(scale: f64, interval: Interval) -> Self {
        Self { scale, channels: Vec::new(), interval }
    }

    /// Returns the scales: one, or one for each channel.
    pub(crate) fn scales(&self) -> Vec<f64> {
        if self.channels.is_empty() { vec![self.scale] } else { self.channels.clone() }
    }
}

/// A channel reaches far less than another if it reaches less than this part of it.
const FAR_LESS: f64 = 1.0 / 16.0;

/// Measurements of different units: each channel of a vector with its own scale, which the weights of
/// its readers absorb.
///
/// `None` if most channels reach about as far as the farthest: they are of one unit, such as grey
/// levels, and a scale of its own would only clamp a channel that the samples happen not to show.
fn by_channel(ranges: &[Range], steps: i32) -> Option<Quantum> {
    let reach = |range: &Range| range.high.max(-range.low);
    let mut live: Vec<f64> = ranges.iter().map(reach).filter(|reach| *reach > 0.0).collect();
    live.sort_by(f64::total_cmp);
    let median = *live.get(live.len().saturating_sub(1) / 2)?;
    let most = *live.last()?;
    if median >= most * FAR_LESS {
        return None;
    }
    let negative = ranges.iter().any(|range| range.low < 0.0);
    let interval = Interval::new(if negative { -steps } else { 0 }, steps);
    let scale = |range: &Range| {
        // A channel that was always 0 is taken for one of the middle.
        let reach = if reach(range) > 0.0 { reach(range) } else { median };
        usable(reach * INPUT_HEADROOM / f64::from(steps))
    };
    Some(Quantum { scale: 1.0, channels: ranges.iter().map(scale).collect(), interval })
}

/// Whether only convolutions read the input, and it is a vector.
fn has_channels(draft: &Draft) -> bool {
    let vector =
        draft.tensors.first().is_some_and(|input| input.shape.y == 1 && input.shape.x == 1);
    let sums = |site: &DraftSite| match &site.step {
        Step::Requant { sum, .. } | Step::Output { sum } => {
            sum.terms.iter().all(|term| match term {
                SumTerm::Conv(conv) => !conv.parts.contains(&0) || conv.groups == 1,
                SumTerm::Local { tensor, .. } | SumTerm::Scaled { tensor, .. } => *tensor != 0,
                SumTerm::Pick { pick, .. } => pick.tensor != 0,
            })
        }
        Step::Max2 { a, b } => [a, b].iter().all(|read| match read {
            Read::Local { tensor } => *tensor != 0,
            Read::Pick(pick) => pick.tensor != 0,
        }),
        Step::Copy { pick } => pick.tensor != 0,
    };
    let free =
        draft.tensors.first().is_some_and(|input| matches!(input.scale, Scale::Calibrated { .. }));
    vector && free && draft.sites.iter().all(sums)
}

/// `steps` over exactly the range, with 0 stored as 0. Where both ends lie halfway between two steps,
/// one step more: no sample is out of range.
fn asymmetric(low: f64, high: f64, steps: i32) -> Quantum {
    let scale = usable((high - low) / f64::from(steps));
    let lo = rounded(low / scale, -steps, 0);
    let hi = rounded(high / scale, 0, steps);
    Quantum::new(scale, Interval::new(lo, hi.max(lo + steps)))
}

/// `-127..=127`, or `0..=127` behind a ReLU, if 127 is the largest.
///
/// The table of a site has a row for each step that any input could reach. Where the samples show far
/// less than that, up to two bits are given up for a table of `2^16` rows.
fn symmetric(low: f64, high: f64, clamp: Clamp, steps: Steps) -> Quantum {
    let Steps { largest, worst, coarsest } = steps;
    let most = if clamp.low >= 0.0 { high } else { high.max(-low) };
    let fine = match most / f64::from(largest) {
        fine if fine.is_normal() => fine,
        // 0 on every sample: as far as with 8 bits.
        _ => f64::from(largest.min(255)) / f64::from(largest),
    };
    let scale = (worst / WANTED_BQ).clamp(fine, fine * coarsest);
    let whole = Interval::new(-largest, largest);
    Quantum::new(scale, cut(whole, scale, clamp))
}

/// Returns the steps in which a function's argument is looked up, for values in steps of `scale`: so
/// fine that a step of the argument is at most one of the value, but no finer than a table of `2^16`
/// rows, for what any input could reach, within two bits of that, or what the function says.
pub(super) fn argument_step(function: Function, scale: f64, worst: f64) -> f64 {
    let fine = usable(scale / function.steepest());
    (worst / WANTED_BQ).clamp(fine, fine * function.coarsest())
}

/// A tensor that is 0 on every sample has any scale.
fn usable(scale: f64) -> f64 {
    if scale.is_normal() { scale } else { 1.0 }
}

/// The part of an interval that a clamp leaves.
fn cut(interval: Interval, scale: f64, clamp: Clamp) -> Interval {
    let Interval { lo, hi } = interval;
    Interval::new(
        rounded((clamp.low / scale).max(f64::from(lo)), lo, 0),
        rounded((clamp.high / scale).min(f64::from(hi)), 0, hi),
    )
}

/// The nearest integer, between two.
#[expect(clippy::cast_possible_truncation, reason = "between two i32")]
fn rounded(value: f64, low: i32, high: i32) -> i32 {
    value.round().clamp(f64::from(low), f64::from(high)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(ends: &[(f64, f64)]) -> Vec<Range> {
        ends.iter().map(|&(low, high)| Range { low, high }).collect()
    }

    #[test]
    fn channels_of_different_units_have_their_own_scales() {
        let ends = [(0.0, 2550.0), (0.0, 2.55), (0.0, 0.0)];
        let quantum = by_channel(&ranges(&ends), 255).unwrap();
        assert_eq!(quantum.interval, Interval::new(0, 255));
        assert_eq!(quantum.channels.len(), 3);
        // One that was always 0 counts for neither, and is taken for one of the middle.
        assert!((quantum.channels[2] - 0.02).abs() < 1e-12);
        let ends = [(0.0, 255.0), (-2.55, 0.0), (0.0, 1.0)];
        let signed = by_channel(&ranges(&ends), 255).unwrap();
        assert_eq!(signed.interval, Interval::new(-255, 255));
        assert!((signed.channels[1] - 0.02).abs() < 1e-12);
    }

    #[test]
    fn channels_of_one_unit_share_a_scale_though_some_are_dark() {
        let grey = [(0.0, 16.0), (0.0, 0.0), (0.0, 12.0), (0.0, 0.5)];
        assert!(by_channel(&ranges(&grey), 255).is_none());
        assert!(by_channel(&ranges(&[(0.0, 0.0); 3]), 255).is_none());
    }

    #[test]
    fn an_input_has_8_bits_over_its_range() {
        let grey = asymmetric(0.0, 16.0, 255);
        assert_eq!((grey.scale, grey.interval), (16.0 / 255.0, Interval::new(0, 255)));
        let normalised = asymmetric(-1.0, 3.0, 255);
        assert_eq!(normalised.interval, Interval::new(-64, 191));
        // Half a step at both ends.
        assert_eq!(asymmetric(-1.0, 1.0, 255).interval, Interval::new(-128, 128));
        let dead = asymmetric(0.0, 0.0, 255);
        assert_eq!(dead.scale, 1.0);
    }

    #[test]
    fn a_clamp_narrows_the_interval() {
        let clamp = |low, high| Clamp { low, high };
        let steps = |worst| Steps { largest: 127, worst, coarsest: COARSEST };
        let relu = symmetric(-3.0, 12.7, clamp(0.0, f64::INFINITY), steps(0.0));
        assert_eq!(relu.interval, Interval::new(0, 127));
        assert!((relu.scale - 0.1).abs() < 1e-12);
        let clip = symmetric(-1.0, 12.7, clamp(-1.0, 20.0), steps(0.0));
        assert_eq!(clip.interval, Interval::new(-10, 127));
        // 12.7 in steps of 0.1, but any input could give 64 000 of them; or twice, or far more.
        for (worst, scale) in [(3100.0, 0.1), (6400.0, 0.2), (1e9, 0.4)] {
            let coarse = symmetric(-3.0, 12.7, clamp(0.0, f64::INFINITY), steps(worst));
            assert!((coarse.scale - scale).abs() < 1e-9, "{worst}: {coarse:?}");
        }
        let given = cut(Interval::new(-128, 127), 0.1, clamp(0.0, 6.0));
        assert_eq!(given, Interval::new(0, 60));
    }
}
