//! Add, Sub, Mul and Div by constants, BatchNormalization, Relu, Clip, and functions of one value.

use assay_zkml::program::Window;

use super::{Activation, Lowering, Pending, Source, Value, label, layout};
use crate::constant::{Constant, element_count};
use crate::draft::{Clamp, Kernel, Scale, Step, Sum, SumConv, SumTerm};
use crate::error::Refusal;
use crate::function::Function;
use crate::graph::Node;
use crate::view::C;

impl Lowering {
    /// `Add`, or `Sub` with `sign = -1`.
    pub(super) fn add(&mut self, node: &Node, sign: f64) -> Result<Activation, Refusal> {
        let first = self.value(node, 0)?;
        let second = self.value(node, 1)?;
        match (first, second) {
            (Some(Value::Activation(first)), Some(Value::Activation(second))) => {
                self.add_activations(node, *first, *second, sign)
            }
            (Some(Value::Activation(activation)), Some(Value::Constant(constant))) => {
                let (activation, values) = self.per_channel(node, *activation, &constant)?;
                let shift: Vec<f64> = values.iter().map(|value| sign * value).collect();
                self.affine(node, activation, &[1.0], &shift)
            }
            (Some(Value::Constant(constant)), Some(Value::Activation(activation))) => {
                let (activation, values) = self.per_channel(node, *activation, &constant)?;
                self.affine(node, activation, &[sign], &values)
            }
            _ => Err(Refusal::mismatch("number of inputs", 2, node.inputs.len())),
        }
    }

    fn add_activations(
        &mut self,
        node: &Node,
        first: Activation,
        second: Activation,
        sign: f64,
    ) -> Result<Activation, Refusal> {
        let (first_sizes, second_sizes) = (first.view.sizes(), second.view.sizes());
        if first_sizes != second_sizes {
            let (expected, got) = (format!("{first_sizes:?}"), format!("{second_sizes:?}"));
            return Err(Refusal::mismatch("shape of the second operand", expected, got));
        }
        let first = self.laid_out(node, first)?;
        let (mut first, shape, view) = self.open(first, label(node))?;
        let second = self.laid_out(node, second)?;
        let second = if second.view == view { second } else { self.like(node, second, &view)? };
        let (mut second, ..) = self.open(second, label(node))?;
        if !second.sum.scale(&[sign]) {
            return Err(Refusal::unsupported("this subtraction"));
        }
        first.sum.add(second.sum, shape.c);
        Ok(Activation::pending(first, shape, view))
    }

    /// Returns the activation once the input, if it is that, is laid out.
    pub(super) fn laid_out(
        &mut self,
        node: &Node,
        activation: Activation,
    ) -> Result<Activation, Refusal> {
        match activation.source {
            Source::Input => self.fix_input(activation, None),
            Source::Pending(_) | Source::Tensor(_) => Ok(activation),
            Source::Parts(ref parts) => {
                // Not computed on its own: its parts are terms of the sum.
                let sum = self.joined(parts, C);
                let pending = Pending { sum, clamp: Clamp::NONE, given: None, label: label(node) };
                Ok(Activation { source: Source::Pending(pending), ..activation })
            }
            Source::Padded { .. } => self.settle(activation),
        }
    }

    /// Returns the activation with its dimensions on the axes of `view`.
    fn like(
        &mut self,
        node: &Node,
        activation: Activation,
        view: &crate::view::View,
    ) -> Result<Activation, Refusal> {
        let layout = (0..view.rank()).map(|index| match view.dim(index) {
            [] => Ok(None),
            [axis] => Ok(Some(*axis)),
            _ => Err(Refusal::unsupported("adding tensors that are laid out differently")),
        });
        let layout = layout.collect::<Result<Vec<_>, _>>()?;
        self.canonical(activation, &layout, node)
    }

    /// `Mul`, or `Div` by a constant.
    pub(super) fn multiply(&mut self, node: &Node, divide: bool) -> Result<Activation, Refusal> {
        let first = self.value(node, 0)?;
        let second = self.value(node, 1)?;
        let (activation, constant) = match (first, second) {
            (Some(Value::Activation(activation)), Some(Value::Constant(constant))) => {
                (activation, constant)
            }
            (Some(Value::Constant(constant)), Some(Value::Activation(activation))) if !divide => {
                (activation, constant)
            }
            (Some(Value::Activation(first)), Some(Value::Activation(second))) if !divide => {
                return self.product(node, *first, *second);
            }
            (Some(_), Some(_)) => {
                return Err(Refusal::unsupported("division by a value that depends on the input"));
            }
            _ => return Err(Refusal::mismatch("number of inputs", 2, node.inputs.len())),
        };
        let (activation, mut factors) = self.per_channel(node, *activation, &constant)?;
        if divide {
            factors.iter_mut().for_each(|factor| *factor = factor.recip());
        }
        self.affine(node, activation, &factors, &[0.0])
    }

    pub(super) fn negate(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let activation = self.take(node, 0)?;
        let activation = self.laid_out(node, activation)?;
        self.affine(node, activation, &[-1.0], &[0.0])
    }

    pub(super) fn batch_norm(&mut self, node: &Node) -> Result<Activation, Refusal> {
        if node.int("training_mode", 0)? != 0 {
            return Err(Refusal::unsupported("training_mode"));
        }
        if node.int("spatial", 1)? != 1 {
            return Err(Refusal::unsupported("spatial = 0"));
        }
        let activation = self.take(node, 0)?;
        let wanted = layout::spatial(&activation.view)?;
        let activation = self.canonical(activation, &wanted, node)?;
        let channels = activation.shape.c as usize;
        let mut read = |index: usize, what: &'static str| -> Result<Vec<f64>, Refusal> {
            let constant = self.required(node, index, what)?;
            let values = constant.as_floats(what)?;
            if values.len() == channels {
                Ok(values.iter().map(|&value| f64::from(value)).collect())
            } else {
                Err(Refusal::mismatch(what, format!("{channels} values"), values.len()))
            }
        };
        let (gain, bias) = (read(1, "scale")?, read(2, "B")?);
        let (mean, variance) = (read(3, "mean")?, read(4, "var")?);
        let epsilon = f64::from(node.float("epsilon", 1e-5)?);
        let factors: Vec<f64> = gain
            .iter()
            .zip(&variance)
            .map(|(gain, variance)| gain / (variance + epsilon).sqrt())
            .collect();
        let shifts = bias.iter().zip(&mean).zip(&factors);
        let shifts: Vec<f64> = shifts.map(|((bias, mean), factor)| bias - mean * factor).collect();
        self.affine(node, activation, &factors, &shifts)
    }

    /// Multiplies each channel and adds to it; by one number for all if there is only one.
    fn affine(
        &mut self,
        node: &Node,
        activation: Activation,
        factors: &[f64],
        shifts: &[f64],
    ) -> Result<Activation, Refusal> {
        if let Some((index, value)) =
            factors.iter().chain(shifts).enumerate().find(|(_, value)| !value.is_finite())
        {
            return Err(Refusal::NotFinite { index, value: value.to_string() });
        }
        let name = activation.name.clone();
        let (mut pending, shape, view) = self.open(activation, label(node))?;
        if !pending.sum.scale(factors) {
            let tensor = match pending.sum.tensor() {
                Some(tensor) => tensor,
                None => {
                    let sum = Activation::pending(pending, shape, view.clone());
                    self.settled(Activation { name, ..sum })?.0
                }
            };
            pending = depthwise(node, tensor, shape.c, factors);
        }
        if shifts.iter().any(|&shift| shift != 0.0) {
            pending.sum.add_bias(shifts, shape.c);
        }
        Ok(Activation::pending(pending, shape, view))
    }

    /// Returns the values of a constant that differs along the channels only, one for each channel
    /// or one for all, and the activation laid out for them.
    fn per_channel(
        &mut self,
        node: &Node,
        activation: Activation,
        constant: &Constant,
    ) -> Result<(Activation, Vec<f64>), Refusal> {
        let values = constant.as_floats("the constant")?;
        let sizes = activation.view.sizes();
        let refuse = || {
            let dims = &constant.dims;
            Refusal::unsupported(format!(
                "a constant of shape {dims:?} beside a value of shape {sizes:?}"
            ))
        };
        let offset = sizes.len().checked_sub(constant.dims.len()).ok_or_else(refuse)?;
        let mut along = None;
        for (index, &size) in (offset..).zip(&constant.dims) {
            match size {
                1 => {}
                size if along.is_none() && sizes.get(index) == Some(&size) => along = Some(index),
                _ => return Err(refuse()),
            }
        }
        if element_count(&constant.dims) != Some(values.len() as u64) || values.is_empty() {
            return Err(refuse());
        }
        let values = values.iter().map(|&value| f64::from(value)).collect();
        let Some(along) = along else { return Ok((self.laid_out(node, activation)?, values)) };
        let activation = match activation.source {
            Source::Input => {
                let rows = layout::rows(&activation.view, along)?;
                self.fix_input(activation, Some(rows))?
            }
            _ => self.laid_out(node, activation)?,
        };
        match activation.view.dim(along) {
            [C] => Ok((activation, values)),
            [_] => {
                let rows = layout::rows(&activation.view, along)?;
                Ok((self.canonical(activation, &rows, node)?, values))
            }
            _ => Err(refuse()),
        }
    }

    pub(super) fn relu(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let activation = self.take(node, 0)?;
        self.clamp(node, activation, Clamp { low: 0.0, high: f64::INFINITY })
    }

    pub(super) fn clip(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let activation = self.take(node, 0)?;
        let mut bound = |index: usize, name: &'static str, open: f32| -> Result<f32, Refusal> {
            match self.constant(node, index, name)? {
                None => node.float(name, open),
                Some(constant) => match constant.as_floats(name)? {
                    [value] => Ok(*value),
                    values => Err(Refusal::mismatch(name, "1 value", values.len())),
                },
            }
        };
        let low = bound(1, "min", f32::NEG_INFINITY)?;
        let high = bound(2, "max", f32::INFINITY)?;
        // The interval of a tensor holds 0 (section 2).
        if low > 0.0 || high < 0.0 || low > high {
            return Err(Refusal::unsupported(format!("the range {low} to {high}, without 0,")));
        }
        self.clamp(node, activation, Clamp { low: f64::from(low), high: f64::from(high) })
    }

    /// A function of each value: a requantisation whose table it is.
    pub(super) fn function(
        &mut self,
        node: &Node,
        function: Function,
    ) -> Result<Activation, Refusal> {
        let activation = self.take(node, 0)?;
        self.apply(node, activation, function)
    }

    fn apply(
        &mut self,
        node: &Node,
        activation: Activation,
        function: Function,
    ) -> Result<Activation, Refusal> {
        let activation = self.laid_out(node, activation)?;
        let (pending, shape, view) = self.open(activation, label(node))?;
        let value = node.outputs.first().cloned().unwrap_or_default();
        let scale = Scale::Calibrated { value, clamp: function.range() };
        let step = Step::Requant { sum: pending.sum, function: Some(function) };
        let source = Source::Tensor(self.push(pending.label, shape, scale, step));
        Ok(Activation { name: String::new(), source, shape, view })
    }

    /// A slope for negative values, one for all or one for each channel.
    pub(super) fn prelu(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let activation = self.take(node, 0)?;
        let slopes = self.required(node, 1, "slope")?;
        let (activation, slopes) = self.per_channel(node, activation, &slopes)?;
        match slopes.as_slice() {
            [alpha] => self.apply(node, activation, Function::LeakyRelu { alpha: *alpha }),
            slopes => self.prelu_by_channel(node, activation, slopes),
        }
    }

    /// `max(x, 0) - slope * max(-x, 0)`: no one table has the slopes of all channels.
    fn prelu_by_channel(
        &mut self,
        node: &Node,
        activation: Activation,
        slopes: &[f64],
    ) -> Result<Activation, Refusal> {
        let name = activation.name.clone();
        let (pending, shape, view) = self.open(activation, label(node))?;
        let (above, mut below) = (pending.sum.clone(), pending.sum);
        if !below.scale(&[-1.0]) {
            return Err(Refusal::unsupported("slopes of channels in this place"));
        }
        let clamp = Clamp { low: 0.0, high: f64::INFINITY };
        let [above, below] = [above, below].map(|sum| {
            // What lies above 0 and what lies below are both as far as the value reaches.
            let scale = Scale::Calibrated { value: name.clone(), clamp };
            self.push(label(node), shape, scale, Step::Requant { sum, function: None })
        });
        let factors: Vec<f64> = slopes.iter().map(|slope| -slope).collect();
        let mut pending = depthwise(node, below, shape.c, &factors);
        pending.sum.add(Sum::local(above, 1.0), shape.c);
        Ok(Activation::pending(pending, shape, view))
    }

    fn clamp(
        &mut self,
        node: &Node,
        activation: Activation,
        clamp: Clamp,
    ) -> Result<Activation, Refusal> {
        let activation = self.laid_out(node, activation)?;
        if let Source::Pending(Pending { given: None, .. }) = activation.source {
            let Activation { name, source, shape, view } = activation;
            let Source::Pending(mut pending) = source else {
                return Err(Refusal::unsupported("a value that is not pending"));
            };
            pending.clamp = pending.clamp.then(clamp);
            pending.label = label(node);
            return Ok(Activation { name, source: Source::Pending(pending), shape, view });
        }
        let (tensor, activation) = self.settled(activation)?;
        if self.lies_within(tensor, clamp) || self.clamp_before_maximum(tensor, clamp) {
            return Ok(activation);
        }
        let sum = Sum::local(tensor, 1.0);
        let pending = Pending { sum, clamp, given: None, label: label(node) };
        Ok(Activation::pending(pending, activation.shape, activation.view))
    }
}

impl Lowering {
    /// Clamps what a maximum is taken of instead of the maximum, which is the same and needs no
    /// requantisation of its own.
    fn clamp_before_maximum(&mut self, tensor: usize, clamp: Clamp) -> bool {
        let base = self.maxima.get(&tensor).and_then(|&base| self.tensors.get_mut(base));
        match base.map(|base| &mut base.scale) {
            Some(Scale::Calibrated { clamp: before, .. }) => {
                *before = before.then(clamp);
                true
            }
            _ => false,
        }
    }
}

/// A convolution of each channel with itself, with one tap.
fn depthwise(node: &Node, tensor: usize, channels: u32, factors: &[f64]) -> Pending {
    let weights = factors.iter().cycle().take(channels as usize);
    let weights = weights.map(|&factor| crate::constant::narrow(factor)).collect();
    let kernel = Kernel { taps: 1, outputs: channels, channels: 1, weights };
    let conv =
        SumConv { parts: vec![tensor], kernel, y: Window::UNIT, x: Window::UNIT, groups: channels };
    let sum = Sum { terms: vec![SumTerm::Conv(conv)], bias: Vec::new() };
    Pending { sum, clamp: Clamp::NONE, given: None, label: label(node) }
}
