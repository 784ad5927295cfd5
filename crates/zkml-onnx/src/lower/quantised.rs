//! Quantised models: scales and zero points as they are given (section 2, "Zero points").

use std::rc::Rc;

use assay_zkml::program::Interval;

use super::{Activation, Lowering, Pending, Source, label};
use crate::constant::{Constant, Data, Integer, narrow};
use crate::draft::{Clamp, Scale, Sum};
use crate::error::Refusal;
use crate::graph::Node;
use crate::view::C;

/// Scale and interval of a quantised tensor: `real = scale * stored`, `stored = q - zero_point`.
type Given = (f64, Interval);

impl Lowering {
    pub(super) fn quantize(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let activation = self.take(node, 0)?;
        let given = self.scale(node, 1)?;
        self.give(node, activation, given)
    }

    pub(super) fn dequantize(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let activation = self.take(node, 0)?;
        let given = self.scale(node, 1)?;
        self.expect_given(&activation, given)?;
        Ok(activation)
    }

    /// Reads the scale at input `index` and the zero point behind it.
    fn scale(&mut self, node: &Node, index: usize) -> Result<Given, Refusal> {
        let scale = self.required(node, index, "the scale")?;
        let zero = self.constant(node, index + 1, "the zero point")?;
        let [scale] = scale.as_floats("the scale")? else {
            return Err(Refusal::unsupported("a scale for each channel of an activation"));
        };
        let (kind, zero) = match zero.as_deref() {
            None => (Integer::Uint8, 0),
            Some(Constant { data: Data::Int(kind, values), .. }) => match values.as_slice() {
                [zero] => (*kind, *zero),
                _ => return Err(Refusal::mismatch("zero points", 1, values.len())),
            },
            Some(_) => return Err(Refusal::mismatch("the zero point", "an integer", "a float")),
        };
        let (low, high) = match kind {
            Integer::Int8 => (-128, 127),
            Integer::Uint8 => (0, 255),
            Integer::Other => {
                return Err(Refusal::unsupported("a quantised type but int8 and uint8"));
            }
        };
        let zero = i32::try_from(zero).ok().filter(|zero| (low..=high).contains(zero));
        let zero = zero
            .ok_or_else(|| Refusal::mismatch("the zero point", "of the type's range", "another"))?;
        if *scale <= 0.0 {
            return Err(Refusal::mismatch("the scale", "above 0", scale));
        }
        Ok((f64::from(*scale), Interval::new(low - zero, high - zero)))
    }

    /// Quantises an activation to a scale.
    fn give(
        &mut self,
        node: &Node,
        mut activation: Activation,
        given: Given,
    ) -> Result<Activation, Refusal> {
        if self.given(&activation) == Some(given) {
            return Ok(activation);
        }
        let (scale, interval) = given;
        match &mut activation.source {
            Source::Input => {
                if let Some(tensor) = self.tensors.first_mut() {
                    tensor.scale = Scale::Given { scale, interval, clamp: Clamp::NONE };
                }
                Ok(activation)
            }
            Source::Pending(pending) if pending.given.is_none() => {
                pending.given = Some(given);
                Ok(activation)
            }
            Source::Parts(parts) => {
                let sum = self.joined(parts, C);
                let pending =
                    Pending { sum, clamp: Clamp::NONE, given: Some(given), label: label(node) };
                Ok(Activation { source: Source::Pending(pending), ..activation })
            }
            Source::Tensor(_) | Source::Padded { .. } | Source::Pending(_) => {
                let (tensor, activation) = self.settled(activation)?;
                let sum = Sum::local(tensor, 1.0);
                let pending =
                    Pending { sum, clamp: Clamp::NONE, given: Some(given), label: label(node) };
                Ok(Activation { source: Source::Pending(pending), ..activation })
            }
        }
    }

    /// Returns the scale that a QuantizeLinear has given to an activation.
    fn given(&self, activation: &Activation) -> Option<Given> {
        match &activation.source {
            Source::Input => self.tensor_scale(0),
            Source::Pending(pending) => pending.given,
            Source::Tensor(tensor) | Source::Padded { tensor, .. } => self.tensor_scale(*tensor),
            Source::Parts(parts) => {
                let (first, rest) = parts.split_first()?;
                let given = self.tensor_scale(*first)?;
                let same = rest.iter().all(|part| self.tensor_scale(*part) == Some(given));
                same.then_some(given)
            }
        }
    }

    fn tensor_scale(&self, tensor: usize) -> Option<Given> {
        match self.tensors.get(tensor)?.scale {
            Scale::Given { scale, interval, .. } => Some((scale, interval)),
            Scale::Same { tensor: earlier } if earlier < tensor => self.tensor_scale(earlier),
            Scale::Same { .. } | Scale::Calibrated { .. } | Scale::Raw => None,
        }
    }

    fn expect_given(&self, activation: &Activation, expected: Given) -> Result<(), Refusal> {
        match self.given(activation) {
            Some(got) if got == expected => Ok(()),
            Some((got, _)) if got != expected.0 => {
                Err(Refusal::mismatch("the scale of the quantised value", expected.0, got))
            }
            Some((_, Interval { lo, .. })) => {
                Err(Refusal::mismatch("the stored minimum", expected.1.lo, lo))
            }
            None => Err(Refusal::unsupported("integers that no QuantizeLinear gave")),
        }
    }

    /// `QLinearConv`: x, its scale and zero point; w, its; those of y; the bias in units of both.
    pub(super) fn qlinear_conv(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let activation = self.take(node, 0)?;
        let input = self.scale(node, 1)?;
        self.expect_given(&activation, input)?;
        let (weights, scales) = self.weights(node, 3, 0)?;
        let given = self.scale(node, 6)?;
        let bias = self.constant(node, 8, "the bias")?;
        let mut product = self.convolve(node, activation, &weights)?;
        if let (Some(bias), Source::Pending(pending)) = (bias, &mut product.source) {
            let values = bias.as_integers("the bias")?;
            if values.len() != product.shape.c as usize {
                return Err(Refusal::mismatch("values of the bias", product.shape.c, values.len()));
            }
            let scales = scales.iter().cycle();
            let values = values.iter().zip(scales).map(|(&value, scale)| {
                // An int32 in the file: exact.
                f64::from(i32::try_from(value).unwrap_or(i32::MAX)) * scale * input.0
            });
            pending.sum.add_bias(&values.collect::<Vec<_>>(), product.shape.c);
        }
        self.give(node, product, given)
    }

    /// `QLinearMatMul`: a, its scale and zero point; b, its; those of y.
    pub(super) fn qlinear_matmul(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let activation = self.take(node, 0)?;
        let input = self.scale(node, 1)?;
        self.expect_given(&activation, input)?;
        let (weights, _) = self.weights(node, 3, 1)?;
        let given = self.scale(node, 6)?;
        let matrix = super::linear::Matrix::read(&weights, true)?;
        let product = self.linear(node, activation, matrix)?;
        self.give(node, product, given)
    }

    /// Reads integer weights at input `index`, with the scale and zero point behind them, as reals;
    /// also the scale of each output, or one for all.
    fn weights(
        &mut self,
        node: &Node,
        index: usize,
        axis: usize,
    ) -> Result<(Constant, Vec<f64>), Refusal> {
        let weights = self.required(node, index, "the weights")?;
        let scales = self.required(node, index + 1, "the weights' scale")?;
        let zeros = self.constant(node, index + 2, "the weights' zero point")?;
        let reals = dequantized(&weights, &scales, zeros.as_deref(), axis)?;
        let scales = scales.as_floats("the weights' scale")?;
        Ok((reals, scales.iter().map(|&scale| f64::from(scale)).collect()))
    }
}

/// `DequantizeLinear` of a constant.
pub(super) fn dequantized(
    integers: &Rc<Constant>,
    scales: &Constant,
    zeros: Option<&Constant>,
    axis: usize,
) -> Result<Constant, Refusal> {
    let values = integers.as_integers("the quantised values")?;
    let scales = scales.as_floats("the scale")?;
    let zeros = zeros.map(|zeros| zeros.as_integers("the zero point")).transpose()?.unwrap_or(&[0]);
    let along = integers.dims.get(axis).copied().unwrap_or(1) as usize;
    for (what, count) in [("scales", scales.len()), ("zero points", zeros.len())] {
        if count != 1 && count != along {
            return Err(Refusal::mismatch(what, format!("1 or {along}"), count));
        }
    }
    let behind = integers.dims.iter().skip(axis + 1);
    let inner = behind.fold(1_usize, |inner, &dim| inner.saturating_mul(dim as usize));
    let per =
        |values: &[f32], place: usize| values.get(place % values.len()).copied().unwrap_or(1.0);
    let reals = values.iter().enumerate().map(|(index, &value)| {
        let place = (index / inner.max(1)) % along.max(1);
        let zero = zeros.get(place % zeros.len()).copied().unwrap_or(0);
        let stored = i32::try_from(value.saturating_sub(zero)).unwrap_or(i32::MAX);
        narrow(f64::from(stored) * f64::from(per(scales, place)))
    });
    Ok(Constant::floats(integers.dims.clone(), reals.collect()))
}
