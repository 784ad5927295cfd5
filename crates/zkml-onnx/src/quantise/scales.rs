//! Scales and intervals of tensors.

use assay_zkml::program::Interval;

use crate::draft::{Clamp, Draft, DraftSite, DraftTensor, Read, Scale, Step, SumTerm};
use crate::float::{Calibration, Range};

/// Real values are `scale` times the stored integers, which lie in `interval`.
#[derive(Clone, Debug)]
pub(crate) struct Quantum {
    pub(crate) scale: f64,
    /// A scale for each channel instead, of a tensor that only convolutions read.
    pub(crate) channels: Vec<f64>,
    pub(crate) interval: Interval,
}

/// Steps of the input, which is an uint8 where it is never negative.
const INPUT_STEPS: i32 = 255;

/// Returns the scale of each tensor; the output's comes with its weights. `input` has the range of
/// each channel of the input; `largest` is the largest stored value of a tensor between sites.
pub(crate) fn scales(
    draft: &Draft,
    calibration: &Calibration,
    input: &[Range],
    largest: u8,
) -> Vec<Quantum> {
    let largest = i32::from(largest.max(1));
    let mut quanta: Vec<Quantum> = Vec::with_capacity(draft.tensors.len());
    for (index, tensor) in draft.tensors.iter().enumerate() {
        let quantum = if index == 0 && has_channels(draft) {
            by_channel(input)
        } else {
            quantum(tensor, (index > 0).then_some(largest), calibration, &quanta)
        };
        quanta.push(quantum);
    }
    quanta
}

fn quantum(
    tensor: &DraftTensor,
    largest: Option<i32>,
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
            let low = range.low.clamp(clamp.low, clamp.high).min(0.0);
            let high = range.high.clamp(clamp.low, clamp.high).max(0.0);
            match largest {
                None => asymmetric(low, high),
                Some(largest) => symmetric(low, high, *clamp, largest),
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

/// Measurements of different units: each channel of a vector with its own scale, which the weights of
/// its readers absorb.
fn by_channel(ranges: &[Range]) -> Quantum {
    let negative = ranges.iter().any(|range| range.low < 0.0);
    let interval = Interval::new(if negative { -INPUT_STEPS } else { 0 }, INPUT_STEPS);
    let scale = |range: &Range| usable(range.high.max(-range.low) / f64::from(INPUT_STEPS));
    Quantum { scale: 1.0, channels: ranges.iter().map(scale).collect(), interval }
}

/// Whether only convolutions read the input, and it is a vector.
fn has_channels(draft: &Draft) -> bool {
    let vector =
        draft.tensors.first().is_some_and(|input| input.shape.y == 1 && input.shape.x == 1);
    let sums = |site: &DraftSite| match &site.step {
        Step::Requant { sum } | Step::Output { sum } => sum.terms.iter().all(|term| match term {
            SumTerm::Conv(conv) => !conv.parts.contains(&0) || conv.groups == 1,
            SumTerm::Local { tensor, .. } => *tensor != 0,
            SumTerm::Pick { pick, .. } => pick.tensor != 0,
        }),
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

/// 8 bits over exactly the range, with 0 stored as 0.
fn asymmetric(low: f64, high: f64) -> Quantum {
    let scale = usable((high - low) / f64::from(INPUT_STEPS));
    let lo = rounded(low / scale, -INPUT_STEPS, 0);
    Quantum::new(scale, Interval::new(lo, lo + INPUT_STEPS))
}

/// `-127..=127`, or `0..=127` behind a ReLU, if 127 is the largest.
fn symmetric(low: f64, high: f64, clamp: Clamp, largest: i32) -> Quantum {
    let most = if clamp.low >= 0.0 { high } else { high.max(-low) };
    let scale = usable(most / f64::from(largest));
    let whole = Interval::new(-largest, largest);
    Quantum::new(scale, cut(whole, scale, clamp))
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
