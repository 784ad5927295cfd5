//! The program before its numbers are chosen: sites, and forms with real coefficients.

use assay_zkml::program::{Interval, Pick, TensorShape, Window};

use crate::error::{CompileError, Refusal};
use crate::function::Function;

/// Tensors and sites as [`assay_zkml::program::Program`] has them: tensor 0 is the input, and site
/// `i` gives tensor `i + 1`.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) tensors: Vec<DraftTensor>,
    pub(crate) sites: Vec<DraftSite>,
    /// How the values of the input stand in tensor 0.
    pub(crate) input: Order,
    /// How the values of the last tensor make the output.
    pub(crate) output: Order,
}

/// An order of values: `extents` row-major outside, and inside with the axes as `axes` says.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Extents of the axes in the model's order, row-major.
    pub(crate) extents: Vec<u32>,
    /// For each axis of the program's order, the outermost first, its place in `extents`.
    pub(crate) axes: Vec<usize>,
    /// The dimensions that the model states.
    pub(crate) dims: Vec<u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct DraftTensor {
    pub(crate) shape: TensorShape,
    pub(crate) scale: Scale,
}

/// Where the scale and the interval of a tensor come from.
#[derive(Clone, Debug)]
pub(crate) enum Scale {
    /// The range of a value of the float model on the samples, cut to `clamp`.
    Calibrated { value: String, clamp: Clamp },
    /// Given by the model: real values are `scale` times the stored ones.
    Given { scale: f64, interval: Interval, clamp: Clamp },
    /// That of another tensor.
    Same { tensor: usize },
    /// The output's: chosen with its weights.
    Raw,
}

/// The interval of real values to which an activation function cuts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Clamp {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Clamp {
    pub(crate) const NONE: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// What is left of `self` after `then`.
    pub(crate) fn then(self, then: Self) -> Self {
        Self {
            low: self.low.max(then.low).min(then.high),
            high: self.high.min(then.high).max(then.low),
        }
    }
}

/// The node that a site computes, for errors and for the report.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Label {
    pub(crate) node: String,
    pub(crate) operator: String,
}

impl Label {
    /// Returns the error of the node.
    pub(crate) fn refuse(&self, refusal: Refusal) -> CompileError {
        CompileError::Node { node: self.node.clone(), operator: self.operator.clone(), refusal }
    }
}

impl DraftSite {
    /// Returns the error of the site's node.
    pub(crate) fn refuse(&self, refusal: Refusal) -> CompileError {
        self.label.refuse(refusal)
    }
}

#[derive(Debug)]
pub(crate) struct DraftSite {
    pub(crate) label: Label,
    pub(crate) step: Step,
}

#[derive(Debug)]
pub(crate) enum Step {
    /// The sum, clamped; or a function of it.
    Requant {
        sum: Sum,
        function: Option<Function>,
    },
    Max2 {
        a: Read,
        b: Read,
    },
    Copy {
        pick: Pick,
    },
    Output {
        sum: Sum,
    },
}

impl Step {
    /// Returns the number of weights and of values of the bias.
    pub(crate) fn weights(&self) -> u64 {
        match self {
            Self::Requant { sum, .. } | Self::Output { sum } => sum.weights(),
            Self::Max2 { .. } | Self::Copy { .. } => 0,
        }
    }
}

/// An operand of `Max2`.
#[derive(Debug)]
pub(crate) enum Read {
    Local { tensor: usize },
    Pick(Pick),
}

/// A sum of real multiples of tensors, and a bias.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) terms: Vec<SumTerm>,
    /// One for each channel, or none.
    pub(crate) bias: Vec<f64>,
}

#[derive(Clone, Debug)]
pub(crate) enum SumTerm {
    Conv(SumConv),
    Local {
        tensor: usize,
        factor: f64,
    },
    /// A tensor whose real values are `factor` times `unit`, which its scale and others decide on.
    Scaled {
        tensor: usize,
        factor: f64,
        unit: Unit,
    },
    /// The `m` of `pick` is 1.
    Pick {
        pick: Pick,
        factor: f64,
    },
}

/// What one of a [`SumTerm::Scaled`] is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// The largest absolute real value that the tensor holds, taken for 1.
    Share,
    /// The product of the largest absolute real values that two tensors hold.
    Product([usize; 2]),
}

/// A convolution over the channels of one tensor, or of several that stand one behind another.
#[derive(Clone, Debug)]
pub(crate) struct SumConv {
    pub(crate) parts: Vec<usize>,
    pub(crate) kernel: Kernel,
    pub(crate) y: Window,
    pub(crate) x: Window,
    pub(crate) groups: u32,
}

/// Real weights in the order `[tap][output][channel of the group]`.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) taps: u32,
    pub(crate) outputs: u32,
    pub(crate) channels: u32,
    pub(crate) weights: Vec<f32>,
}

impl Kernel {
    /// Multiplies the weights of output `o` by `factors[o]`, or all by the only one.
    pub(crate) fn scale(&mut self, factors: &[f64]) {
        let rows = self.weights.chunks_exact_mut(self.channels.max(1) as usize);
        for (row, factor) in rows.zip(factors.iter().cycle()) {
            for weight in row {
                *weight = crate::constant::narrow(f64::from(*weight) * factor);
            }
        }
    }
}

impl Sum {
    /// Returns the number of weights and of values of the bias.
    pub(crate) fn weights(&self) -> u64 {
        let of = |term: &SumTerm| match term {
            SumTerm::Conv(conv) => conv.kernel.weights.len(),
            SumTerm::Local { .. } | SumTerm::Scaled { .. } | SumTerm::Pick { .. } => 0,
        };
        self.terms.iter().map(of).chain([self.bias.len()]).map(|count| count as u64).sum()
    }

    pub(crate) fn local(tensor: usize, factor: f64) -> Self {
        Self { terms: vec![SumTerm::Local { tensor, factor }], bias: Vec::new() }
    }

    /// Returns the tensor that the sum is, if it is just that.
    pub(crate) fn tensor(&self) -> Option<usize> {
        match self.terms.as_slice() {
            [SumTerm::Local { tensor, factor }] if *factor == 1.0 && self.bias.is_empty() => {
                Some(*tensor)
            }
            _ => None,
        }
    }

    /// Adds `bias` of each channel, or one for all `channels`.
    pub(crate) fn add_bias(&mut self, bias: &[f64], channels: u32) {
        self.bias.resize(channels as usize, 0.0);
        for (sum, bias) in self.bias.iter_mut().zip(bias.iter().cycle()) {
            *sum += bias;
        }
    }

    /// Multiplies by `factors` of each channel, or by one for all; `false` and no change if that is
    /// not a sum of the same kind.
    pub(crate) fn scale(&mut self, factors: &[f64]) -> bool {
        let conv = |term: &SumTerm| matches!(term, SumTerm::Conv(_));
        let [first, rest @ ..] = factors else { return false };
        let uniform = rest.iter().all(|factor| factor == first);
        if !uniform && !self.terms.iter().all(conv) {
            return false;
        }
        for term in &mut self.terms {
            match term {
                SumTerm::Conv(conv) => conv.kernel.scale(factors),
                SumTerm::Local { factor, .. }
                | SumTerm::Scaled { factor, .. }
                | SumTerm::Pick { factor, .. } => *factor *= first,
            }
        }
        for (bias, factor) in self.bias.iter_mut().zip(factors.iter().cycle()) {
            *bias *= factor;
        }
        true
    }

    /// Adds the terms and the bias of another sum of the same shape.
    pub(crate) fn add(&mut self, other: Self, channels: u32) {
        self.terms.extend(other.terms);
        if !other.bias.is_empty() {
            self.add_bias(&other.bias, channels);
        }
    }
}
