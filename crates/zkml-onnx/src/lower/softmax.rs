//! Softmax and LogSoftmax over the last dimension: `exp(x - m - ln(sum of exp(x - m)))`, `m` about the
//! largest `x`. So no two values are multiplied: exponentials and the logarithm are tables.

use assay_zkml::program::{Interval, Window};

use super::layout::{self, axis_index};
use super::{Activation, Lowering, Pending, Source, label};
use crate::draft::{Clamp, Kernel, Scale, Step, Sum, SumConv, SumTerm};
use crate::error::Refusal;
use crate::function::Function;
use crate::graph::Node;
use crate::view::C;

/// The steps of a probability and of an exponential; `quantise::refine` has more for int16 activations.
const STEPS: i32 = 510;
/// `m` is the largest of values that were rounded, by up to half a step: what `x` is more than `m` by
/// has room for steps of 0.8.
const MOST: f64 = 1.5;
/// Steps of the logarithm above 0, and below, where the sum is less than 1 for the same reason.
const LOG_STEPS: i32 = 360;
const LOG_BELOW: i32 = 150;
/// Most weights behind a Softmax that are committed to once for each table.
const MANY_WEIGHTS: usize = 1 << 16;
/// The least sum that the logarithm is taken of.
const LEAST: f64 = 0.5;

impl Lowering {
    pub(super) fn softmax(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let (logarithm, activation) = self.log_softmax(node)?;
        let Activation { shape, view, .. } = activation;
        let scale = given(1.0 / f64::from(STEPS), 0, STEPS);
        let function = Some(Function::Exp { most: 1.0 });
        let step = Step::Requant { sum: logarithm, function };
        let source = Source::Tensor(self.push(label(node), shape, scale, step));
        Ok(Activation { name: String::new(), source, shape, view })
    }

    pub(super) fn logarithm_of_softmax(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let (sum, Activation { shape, view, .. }) = self.log_softmax(node)?;
        let pending = Pending { sum, clamp: Clamp::NONE, given: None, label: label(node) };
        Ok(Activation::pending(pending, shape, view))
    }

    /// Returns `x - m - ln(sum of exp(x - m))`, and `x` for its shape and view.
    fn log_softmax(&mut self, node: &Node) -> Result<(Sum, Activation), Refusal> {
        let activation = self.take(node, 0)?;
        let activation = self.over_channels(node, activation)?;
        let name = activation.name.clone();
        let (pending, shape, view) = self.open(activation, label(node))?;
        let values = pending.sum;
        let channels = shape.c;
        let rounded = match values.tensor() {
            Some(tensor) => tensor,
            None => {
                let scale = Scale::Calibrated { value: name, clamp: Clamp::NONE };
                let step = Step::Requant { sum: values.clone(), function: None };
                self.push(pending.label, shape, scale, step)
            }
        };
        let largest = self.max_by_halves(node, rounded, C, channels);
        let mut below = if few_weights(&values) { values } else { Sum::local(rounded, 1.0) };
        below.terms.push(matrix(largest, [1, channels], -1.0));
        let step =
            Step::Requant { sum: below.clone(), function: Some(Function::Exp { most: MOST }) };
        let scale = given(MOST / f64::from(STEPS), 0, STEPS);
        let exponentials = self.push(label(node), shape, scale, step);
        let sum = Sum { terms: vec![matrix(exponentials, [channels, 1], 1.0)], bias: Vec::new() };
        let step = Step::Requant { sum, function: Some(Function::Ln { least: LEAST }) };
        let one = self.shape(largest);
        let scale = (1.6 * f64::from(channels)).ln() / f64::from(LOG_STEPS);
        let logarithm = self.push(label(node), one, given(scale, -LOG_BELOW, LOG_STEPS), step);
        below.terms.push(matrix(logarithm, [1, channels], -1.0));
        let source = Source::Tensor(rounded);
        Ok((below, Activation { name: String::new(), source, shape, view }))
    }

    /// Returns the activation with its last dimension, along which the node works, on the channels.
    fn over_channels(
        &mut self,
        node: &Node,
        activation: Activation,
    ) -> Result<Activation, Refusal> {
        let rank = activation.view.rank();
        let last = rank.checked_sub(1);
        let last = last.ok_or_else(|| Refusal::mismatch("rank of the input", "1 or more", 0))?;
        // Without the attribute it is dimension 1 before operator set 13, and the last from there on.
        if !node.has("axis") && rank > 2 {
            return Err(Refusal::unsupported(format!("no axis beside {rank} dimensions")));
        }
        let axis = node.int("axis", -1)?;
        if axis_index(axis, rank)? != last {
            return Err(Refusal::unsupported(format!("axis {axis} of {rank} dimensions")));
        }
        if activation.view.dim(last).is_empty() {
            return Err(Refusal::unsupported("this over one value"));
        }
        let rows = layout::rows(&activation.view, last)?;
        match activation.source {
            Source::Input => self.fix_input(activation, Some(rows)),
            _ => {
                let activation = self.laid_out(node, activation)?;
                match activation.view.dim(last) {
                    [C] => Ok(activation),
                    _ => self.canonical(activation, &rows, node),
                }
            }
        }
    }
}

/// Whether a sum has so few weights that it may be computed three times, to the last bit in the
/// exponentials, rather than once and rounded.
fn few_weights(sum: &Sum) -> bool {
    let weights = sum.terms.iter().map(|term| match term {
        SumTerm::Conv(conv) => conv.kernel.weights.len(),
        SumTerm::Local { .. } | SumTerm::Scaled { .. } | SumTerm::Pick { .. } => 0,
    });
    weights.fold(0, usize::saturating_add) <= MANY_WEIGHTS
}

const fn given(scale: f64, low: i32, high: i32) -> Scale {
    Scale::Given { scale, interval: Interval::new(low, high), clamp: Clamp::NONE }
}

/// A matrix of equal weights over the channels: their sum, or one value for all of them.
fn matrix(tensor: usize, [channels, outputs]: [u32; 2], weight: f32) -> SumTerm {
    let weights = vec![weight; channels as usize * outputs as usize];
    let kernel = Kernel { taps: 1, outputs, channels, weights };
    let (y, x) = (Window::UNIT, Window::UNIT);
    SumTerm::Conv(SumConv { parts: vec![tensor], kernel, y, x, groups: 1 })
}
