//! The prover's pass over the weights of a convolution: `W_r[t, c] = sum_o eq(rho_o, o) w'[o, t, c]`
//! (sections 4.3 and 4.4).

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use super::terms::{Channels, ConvTerm};
use crate::field::{F, K};
use crate::integers::combine_rows;
use crate::multilinear::eq_table;
use crate::program::weight_run;

/// A convolution with its output channels bound: one element for each tap and channel of the input.
#[derive(Clone, Debug)]
pub(super) struct BoundKernel {
    /// Channels of the tensor that it reads.
    channels: usize,
    /// `W_r[t, c]` at `t channels + c`.
    values: Vec<K>,
}

impl BoundKernel {
    /// Binds the outputs of `term` at `rho_o`. `weights` fill the whole matrix.
    pub(super) fn bind(term: &ConvTerm<'_>, rho: &[K], weights: &[i16]) -> Self {
        let outputs = eq_table(rho);
        let channels = term.input.c as usize;
        let mut values = vec![K::ZERO; term.segment.taps as usize * channels];
        values.par_chunks_mut(channels.max(1)).zip(0..term.segment.taps).for_each(|(row, tap)| {
            bind_tap(term, tap, &outputs, weights, row);
        });
        Self { channels, values }
    }

    /// Returns `W_r[t, .]` for each tap `t`.
    pub(super) fn taps(&self) -> impl Iterator<Item = &[K]> {
        self.values.chunks(self.channels.max(1))
    }
}

fn bind_tap(term: &ConvTerm<'_>, tap: u32, outputs: &[K], weights: &[i16], row: &mut [K]) {
    let (segment, offset) = (&term.segment, term.conv.c_off as usize);
    match term.channels() {
        Channels::All => {
            let bound = bind_outputs(term, tap, 0, segment.outputs, outputs, weights);
            row.iter_mut().zip(bound.into_iter().skip(offset)).for_each(|(slot, sum)| *slot = sum);
        }
        Channels::Depthwise => {
            let run = weight_run(weights, segment.index(0, tap, 0), row.len());
            for ((slot, &weight), &output) in row.iter_mut().zip(run).zip(outputs) {
                *slot = output * F::from_i16(weight);
            }
        }
        Channels::Groups { outputs: size, inputs, .. } => {
            for (group, slots) in (0_u32..).zip(row.chunks_mut(inputs.max(1) as usize)) {
                let bound = bind_outputs(term, tap, group * size, size, outputs, weights);
                slots.iter_mut().zip(bound).for_each(|(slot, sum)| *slot = sum);
            }
        }
    }
}

/// `sum_{first <= o < first + count} eq(rho_o, o) w'[o, tap, .]`.
fn bind_outputs(
    term: &ConvTerm<'_>,
    tap: u32,
    first: u32,
    count: u32,
    outputs: &[K],
    weights: &[i16],
) -> Vec<K> {
    let width = 1_usize << term.segment.log_channels;
    let (first_output, count) = (first as usize, count as usize);
    let run = weight_run(weights, term.segment.index(first, tap, 0), count * width);
    let outputs = outputs.get(first_output..first_output + count).unwrap_or_default();
    combine_rows(run, width, outputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Conv, Segment, TensorShape, Window};
    use crate::transcript::Transcript;

    fn check(groups: u32, inputs: u32, outputs: u32, c_off: u32, spare: u32) {
        let conv = Conv { tensor: 0, segment: 0, y: Window::UNIT, x: Window::UNIT, groups, c_off };
        let group_inputs = inputs / groups;
        let mut segment = Segment::new(32, 3, outputs, group_inputs + c_off + spare);
        segment.outputs_padded = outputs + 2;
        let (output, input) = (TensorShape::vector(outputs), TensorShape::vector(inputs));
        let term = ConvTerm { form: 0, output, conv: &conv, segment, input };
        let end = i16::try_from(segment.end().unwrap()).unwrap();
        let weights: Vec<i16> = (0..end).map(|i| i.wrapping_mul(12_345)).collect();
        let rho = Transcript::new().sample_point(5);
        let eq = eq_table(&rho);
        let bound = BoundKernel::bind(&term, &rho, &weights);
        let group_outputs = outputs / groups;
        for (tap, row) in (0..3).zip(bound.taps()) {
            for (channel, &value) in (0..inputs).zip(row) {
                let readers = (0..outputs).filter(|o| o / group_outputs == channel / group_inputs);
                let weight = |o| {
                    let at = segment.index(o, tap, c_off + channel % group_inputs);
                    eq[o as usize] * F::from_i16(weights[usize::try_from(at).unwrap()])
                };
                assert_eq!(value, readers.map(weight).sum::<K>(), "{term:?}");
            }
        }
    }

    #[test]
    fn kernels_are_bound_as_defined() {
        check(1, 5, 7, 0, 0);
        check(1, 3, 4, 2, 1);
        check(6, 6, 6, 0, 0);
        check(3, 6, 12, 0, 0);
        check(1, 1, 1, 0, 0);
    }
}
