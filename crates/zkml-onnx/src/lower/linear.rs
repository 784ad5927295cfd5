//! Gemm and MatMul by weights: convolutions whose kernel is what they sum over (section 2.3).

use assay_zkml::program::{TensorShape, Window};

use super::{Activation, Lowering, Pending, Source, label, layout};
use crate::constant::Constant;
use crate::draft::{Clamp, Kernel, Sum, SumConv, SumTerm};
use crate::error::Refusal;
use crate::graph::Node;
use crate::view::{C, View, X, Y};

/// A matrix of weights, `[output][input]`.
pub(super) struct Matrix {
    pub(super) outputs: u32,
    pub(super) inputs: u32,
    pub(super) weights: Vec<f32>,
}

impl Matrix {
    /// Reads a matrix; `transposed` if it is stored as `[input][output]`.
    pub(super) fn read(constant: &Constant, transposed: bool) -> Result<Self, Refusal> {
        let [rows, columns] = constant.dims.as_slice() else {
            return Err(Refusal::mismatch("rank of the weights", 2, constant.dims.len()));
        };
        let values = constant.as_floats("the weights")?;
        if values.is_empty() {
            return Err(Refusal::mismatch("number of weights", "above 0", 0));
        }
        if !transposed {
            return Ok(Self { outputs: *rows, inputs: *columns, weights: values.to_vec() });
        }
        let mut weights = Vec::with_capacity(values.len());
        for column in 0..*columns as usize {
            weights.extend(values.iter().skip(column).step_by(*columns as usize));
        }
        Ok(Self { outputs: *columns, inputs: *rows, weights })
    }
}

impl Lowering {
    pub(super) fn gemm(&mut self, node: &Node) -> Result<Activation, Refusal> {
        if node.int("transA", 0)? != 0 {
            return Err(Refusal::unsupported("transA"));
        }
        let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
        let activation = self.take(node, 0)?;
        if activation.view.rank() != 2 {
            return Err(Refusal::mismatch("rank of the input", 2, activation.view.rank()));
        }
        let weights = self.required(node, 1, "the matrix of weights")?;
        let mut matrix = Matrix::read(&weights, node.int("transB", 0)? == 0)?;
        drop(weights);
        if alpha != 1.0 {
            matrix.weights.iter_mut().for_each(|weight| *weight *= alpha);
        }
        let outputs = matrix.outputs;
        let mut product = self.linear(node, activation, matrix)?;
        if let Some(bias) = self.constant(node, 2, "the bias")? {
            let values = bias.as_floats("the bias")?;
            let per_output = bias.dims.last() == Some(&outputs) && values.len() == outputs as usize;
            if !per_output && values.len() != 1 {
                let expected = format!("{outputs} values");
                return Err(Refusal::mismatch("the bias", expected, format!("{:?}", bias.dims)));
            }
            let values: Vec<f64> = values.iter().map(|&value| f64::from(value * beta)).collect();
            if let Source::Pending(pending) = &mut product.source {
                pending.sum.add_bias(&values, outputs);
            }
        }
        Ok(product)
    }

    pub(super) fn matmul(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let activation = self.take(node, 0)?;
        let weights = self.required(node, 1, "the matrix of weights")?;
        let matrix = Matrix::read(&weights, true)?;
        drop(weights);
        self.linear(node, activation, matrix)
    }

    /// Multiplies the last dimension by a matrix.
    pub(super) fn linear(
        &mut self,
        node: &Node,
        activation: Activation,
        matrix: Matrix,
    ) -> Result<Activation, Refusal> {
        let last = activation.view.rank().checked_sub(1);
        let last = last.ok_or_else(|| Refusal::mismatch("rank of the input", "1 or more", 0))?;
        let activation = self.summed(node, activation, last)?;
        let Activation { source, shape, view, .. } = activation;
        let parts = match source {
            Source::Tensor(tensor) => vec![tensor],
            Source::Parts(parts) => parts,
            _ => return Err(Refusal::unsupported("a value that is no tensor")),
        };
        let summed = view.dim(last);
        let got = view.product(summed);
        if got != matrix.inputs {
            return Err(Refusal::mismatch("last dimension of the input", matrix.inputs, got));
        }
        let whole = |axis: usize| {
            let taps = if summed.contains(&axis) { view.extent(axis) } else { 1 };
            Window::new(taps, 1, 0)
        };
        let (y, x) = (whole(Y), whole(X));
        let left = |axis: usize| if summed.contains(&axis) { 1 } else { view.extent(axis) };
        let outputs = matrix.outputs;
        let shape_out = TensorShape::new(left(Y), left(X), outputs);
        let kernel = kernel(&view, summed, shape.c, matrix);
        let conv = SumConv { parts, kernel, y, x, groups: 1 };
        let sum = Sum { terms: vec![SumTerm::Conv(conv)], bias: Vec::new() };
        let pending = Pending { sum, clamp: Clamp::NONE, given: None, label: label(node) };
        let view = view.with(&shape_out.extents(), last, &[C]);
        Ok(Activation::pending(pending, shape_out, view))
    }

    /// Returns the activation as tensors in which dimension `last` has the channels, if any has.
    fn summed(
        &mut self,
        node: &Node,
        activation: Activation,
        last: usize,
    ) -> Result<Activation, Refusal> {
        let activation = match activation.source {
            Source::Input => {
                let rows = layout::rows(&activation.view, last)?;
                self.fix_input(activation, Some(rows))?
            }
            Source::Tensor(_) | Source::Parts(_) => activation,
            Source::Padded { .. } | Source::Pending(_) => self.settle(activation)?,
        };
        let view = &activation.view;
        if view.dim(last).contains(&C) || view.extent(C) == 1 {
            return Ok(activation);
        }
        let rows = layout::rows(view, last)?;
        self.canonical(activation, &rows, node)
    }
}

/// Puts weights `[output][input]`, whose inputs are the cells of `axes` row-major, in the order
/// `[tap][output][channel]`.
fn kernel(view: &View, axes: &[usize], channels: u32, matrix: Matrix) -> Kernel {
    let Matrix { outputs, inputs, weights } = matrix;
    let taps = inputs / channels.max(1);
    if taps == 1 {
        return Kernel { taps, outputs, channels, weights };
    }
    // For each axis, the step between its cells in the inputs' order.
    let mut steps = [0_usize; 3];
    let mut step = 1_usize;
    for &axis in axes.iter().rev() {
        if let Some(place) = steps.get_mut(axis) {
            *place = step;
        }
        step *= view.extent(axis) as usize;
    }
    let [step_y, step_x, step_c] = steps;
    let count = |axis: usize| if axes.contains(&axis) { view.extent(axis) as usize } else { 1 };
    let mut ordered = Vec::with_capacity(weights.len());
    for y in 0..count(Y) {
        for x in 0..count(X) {
            for row in weights.chunks_exact((inputs as usize).max(1)) {
                let first = y * step_y + x * step_x;
                let channel = |c: usize| row.get(first + c * step_c).copied().unwrap_or(0.0);
                ordered.extend((0..channels as usize).map(channel));
            }
        }
    }
    Kernel { taps, outputs, channels, weights: ordered }
}
