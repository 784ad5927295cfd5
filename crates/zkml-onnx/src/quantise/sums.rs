//! One sum: how large it can be, and its integers at a given factor.

use assay_zkml::program::MAX_INTEGER;

use super::scales::Quantum;
use crate::draft::{DraftTensor, Sum, SumConv, SumTerm, Unit};
use crate::error::Refusal;

/// The tensors that sums read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tensors<'a> {
    pub(super) drafts: &'a [DraftTensor],
    pub(super) quanta: &'a [Quantum],
}

/// What a sum of reals can reach, whatever the cells of its tensors.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Largest real weight of a convolution, in output for each stored input.
    pub(super) weight: f64,
    /// Of each channel: the largest sum.
    largest: Vec<f64>,
    /// Of each channel: what rounding each coefficient adds to an accumulator at most.
    rounding: Vec<f64>,
    /// Most products of convolutions for one output.
    pub(super) products: u64,
    /// The largest stored value that a convolution reads.
    pub(super) cell: u32,
}

/// The integers of a sum.
#[derive(Debug, Default)]
pub(super) struct Integers {
    /// For each convolution its weights, in the kernel's order; nothing for other terms.
    pub(super) weights: Vec<Vec<i16>>,
    /// For each other term its factor; 0 for convolutions.
    pub(super) factors: Vec<i32>,
    pub(super) bias: Vec<i64>,
    /// N1's `acc_max`, the largest of all channels.
    pub(super) acc_max: u64,
}

impl Tensors<'_> {
    fn amax(&self, tensor: usize) -> u32 {
        self.quanta.get(tensor).map_or(0, |quantum| quantum.interval.amax())
    }

    fn scale(&self, tensor: usize) -> f64 {
        self.quanta.get(tensor).map_or(1.0, |quantum| quantum.scale)
    }

    /// Returns the largest absolute real value that a tensor holds.
    fn largest(&self, tensor: usize) -> f64 {
        self.scale(tensor) * f64::from(self.amax(tensor).max(1))
    }

    fn channels(&self, tensor: usize) -> u32 {
        self.drafts.get(tensor).map_or(0, |tensor| tensor.shape.c)
    }

    /// For each channel of a convolution's row, its scale and its largest stored value.
    fn row(&self, conv: &SumConv) -> Vec<(f64, u32)> {
        let mut row = Vec::new();
        for &part in &conv.parts {
            let Some(quantum) = self.quanta.get(part) else { continue };
            let scales = quantum.scales();
            let scales = scales.iter().cycle().take(self.channels(part) as usize);
            row.extend(scales.map(|&scale| (scale, quantum.interval.amax())));
        }
        row.truncate(conv.kernel.channels as usize);
        row
    }

    /// Returns the sum's tensors and their taps, of a term that has one factor for all.
    fn factor(&self, term: &SumTerm) -> Option<(f64, f64)> {
        let (tensor, factor, taps) = match term {
            SumTerm::Conv(_) => return None,
            SumTerm::Local { tensor, factor } => (*tensor, *factor, 1),
            SumTerm::Scaled { tensor, factor, unit } => {
                let unit = match unit {
                    Unit::Share => self.largest(*tensor).recip(),
                    Unit::Product(of) => of.iter().map(|&tensor| self.largest(tensor)).product(),
                };
                (*tensor, factor * unit, 1)
            }
            SumTerm::Pick { pick, factor } => (pick.tensor as usize, *factor, pick.taps()),
        };
        // Taps are at most 2^24: exact.
        let taps = f64::from(u32::try_from(taps).unwrap_or(u32::MAX));
        Some((factor * self.scale(tensor), taps * f64::from(self.amax(tensor))))
    }

    /// Returns what `sum` can reach in `channels` channels.
    pub(super) fn reach(&self, sum: &Sum, channels: u32) -> Reach {
        let mut reach = Reach {
            weight: 0.0,
            largest: vec![0.0; channels as usize],
            rounding: vec![1.0; channels as usize],
            products: 0,
            cell: 0,
        };
        for term in &sum.terms {
            match term {
                SumTerm::Conv(conv) => self.reach_of_conv(conv, &mut reach),
                other => {
                    let (factor, cells) = self.factor(other).unwrap_or_default();
                    reach.largest.iter_mut().for_each(|sum| *sum += factor.abs() * cells);
                    reach.rounding.iter_mut().for_each(|sum| *sum += 0.5 * cells);
                }
            }
        }
        for (sum, bias) in reach.largest.iter_mut().zip(&sum.bias) {
            *sum += bias.abs();
        }
        if !sum.bias.is_empty() {
            // `|low| + 2^15 |high|` is at most that much above the bias.
            let more = f64::from(1_u32 << HIGH_BITS);
            reach.rounding.iter_mut().for_each(|sum| *sum += more);
        }
        reach
    }

    fn reach_of_conv(&self, conv: &SumConv, reach: &mut Reach) {
        let kernel = &conv.kernel;
        let row = self.row(conv);
        let added: f64 = row.iter().map(|(_, amax)| 0.5 * f64::from(*amax)).sum();
        let outputs = kernel.outputs as usize;
        for (index, weights) in kernel.weights.chunks_exact(row.len().max(1)).enumerate() {
            let mut sum = 0.0;
            for (&weight, (scale, amax)) in weights.iter().zip(&row) {
                let weight = f64::from(weight).abs() * scale;
                reach.weight = reach.weight.max(weight);
                sum += weight * f64::from(*amax);
            }
            let output = index % outputs.max(1);
            if let Some(largest) = reach.largest.get_mut(output) {
                *largest += sum;
            }
            if let Some(rounding) = reach.rounding.get_mut(output) {
                *rounding += added;
            }
        }
        reach.cell = row.iter().map(|(_, amax)| *amax).fold(reach.cell, u32::max);
        reach.products += u64::from(kernel.taps) * u64::from(kernel.channels);
    }

    /// Returns the integers of `sum` when a real 1 is `factor` accumulator steps.
    pub(super) fn integers(
        &self,
        sum: &Sum,
        factor: f64,
        channels: u32,
    ) -> Result<Integers, Refusal> {
        let mut integers = Integers::default();
        let mut acc_max = vec![0_u64; channels as usize];
        for term in &sum.terms {
            let (weights, m) = match (term, self.factor(term)) {
                (SumTerm::Conv(conv), _) => (self.conv_integers(conv, factor, &mut acc_max)?, 0),
                (_, real) => {
                    let (real, cells) = real.unwrap_or_default();
                    let m = integer(real * factor)?;
                    // Exact: taps times amax is an integer below 2^33.
                    let added = unsigned(cells).saturating_mul(m.unsigned_abs());
                    acc_max.iter_mut().for_each(|max| *max = max.saturating_add(added));
                    (Vec::new(), i32::try_from(m).unwrap_or(0))
                }
            };
            integers.weights.push(weights);
            integers.factors.push(m);
        }
        let bias: Result<_, Refusal> = sum.bias.iter().map(|bias| integer(bias * factor)).collect();
        integers.bias = bias?;
        let parts = split_bias(&integers.bias);
        for ((low, high), max) in parts.iter().zip(&mut acc_max) {
            let high = u64::from(high.unsigned_abs()) << HIGH_BITS;
            *max = max.saturating_add(u64::from(low.unsigned_abs()) + high);
        }
        integers.acc_max = acc_max.into_iter().max().unwrap_or(0);
        Ok(integers)
    }

    fn conv_integers(
        &self,
        conv: &SumConv,
        factor: f64,
        acc_max: &mut [u64],
    ) -> Result<Vec<i16>, Refusal> {
        let kernel = &conv.kernel;
        let row: Vec<(f64, u64)> =
            self.row(conv).iter().map(|(scale, amax)| (scale * factor, u64::from(*amax))).collect();
        let outputs = (kernel.outputs as usize).max(1);
        let mut integers = Vec::with_capacity(kernel.weights.len());
        for (index, weights) in kernel.weights.chunks_exact(row.len().max(1)).enumerate() {
            let mut sum = 0;
            for (&weight, (factor, amax)) in weights.iter().zip(&row) {
                let integer = weight_of(f64::from(weight) * factor)?;
                sum += u64::from(integer.unsigned_abs()) * amax;
                integers.push(integer);
            }
            if let Some(max) = acc_max.get_mut(index % outputs) {
                *max = max.saturating_add(sum);
            }
        }
        Ok(integers)
    }
}

impl Reach {
    /// Returns the largest absolute real value of any channel.
    pub(super) fn worst(&self) -> f64 {
        self.largest.iter().copied().fold(0.0, f64::max)
    }

    /// Returns the channel that reaches most when a real 1 is `factor` accumulator steps, and a
    /// bound of its accumulator.
    pub(super) fn most(&self, factor: f64) -> (usize, f64) {
        let sums = self.largest.iter().zip(&self.rounding).map(|(sum, added)| sum * factor + added);
        let most = sums.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        most.unwrap_or((0, 0.0))
    }
}

/// The second of two terms of a bias counts `2^15`.
pub(crate) const HIGH_BITS: u32 = 15;

/// Returns a bias as `low + 2^15 high`; `high` is 0 for all if every value fits 16 bits.
pub(crate) fn split_bias(bias: &[i64]) -> Vec<(i16, i16)> {
    let fits = bias.iter().all(|bias| bias.abs() <= i64::from(i16::MAX));
    // Below MAX_INTEGER: both halves fit.
    let narrow = |value: i64| i16::try_from(value).unwrap_or(i16::MAX);
    let split = |&bias: &i64| {
        let high = if fits { 0 } else { (bias + (1 << (HIGH_BITS - 1))) >> HIGH_BITS };
        (narrow(bias - (high << HIGH_BITS)), narrow(high))
    };
    bias.iter().map(split).collect()
}

/// The nearest integer, half away from zero.
#[expect(clippy::cast_possible_truncation, reason = "inside MAX_INTEGER")]
fn integer(value: f64) -> Result<i64, Refusal> {
    let rounded = value.round();
    // Exact: MAX_INTEGER is below 2^30.
    if rounded.abs() <= MAX_INTEGER as f64 {
        Ok(rounded as i64)
    } else {
        let (expected, got) = (MAX_INTEGER, rounded);
        Err(Refusal::mismatch("a coefficient's absolute", format!("at most {expected}"), got))
    }
}

/// The nearest integer, half away from zero, of at most 32767 (N3).
#[expect(clippy::cast_possible_truncation, reason = "inside an i16")]
fn weight_of(value: f64) -> Result<i16, Refusal> {
    let rounded = value.round();
    if rounded.abs() <= f64::from(i16::MAX) {
        Ok(rounded as i16)
    } else {
        Err(Refusal::mismatch("a weight's absolute", format!("at most {}", i16::MAX), rounded))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative: a number of cells times their largest value, or an accumulator"
)]
pub(super) const fn unsigned(value: f64) -> u64 {
    value as u64
}
