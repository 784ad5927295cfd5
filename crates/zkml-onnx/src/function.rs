//! Functions of one value, which the table of a requantisation computes.

use crate::draft::Clamp;
use crate::error::Refusal;
use crate::graph::Node;

/// A function of one real value that no clamp is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function {
    Abs,
    Elu {
        alpha: f64,
    },
    /// The exponential, no larger than `most`. No node is it alone.
    Exp {
        most: f64,
    },
    HardSigmoid {
        alpha: f64,
        beta: f64,
    },
    HardSwish,
    LeakyRelu {
        alpha: f64,
    },
    /// The logarithm, of nothing below `least`, which is at most 1. No node is it alone.
    Ln {
        least: f64,
    },
    Selu {
        alpha: f64,
        gamma: f64,
    },
    Sigmoid,
    Softplus,
    Softsign,
    /// The square of what lies within 2. No node is it alone.
    Square,
    Tanh,
}

impl Function {
    /// Returns the function that a node computes, if it is one, with ONNX's defaults.
    pub(crate) fn of(node: &Node) -> Result<Option<Self>, Refusal> {
        let number = |name, default| -> Result<f64, Refusal> {
            let value = f64::from(node.float(name, default)?);
            if value.is_finite() {
                return Ok(value);
            }
            Err(Refusal::unsupported(format!("{name} = {value}")))
        };
        Ok(Some(match node.operator.as_str() {
            "Abs" => Self::Abs,
            "Elu" => Self::Elu { alpha: number("alpha", 1.0)? },
            "HardSigmoid" => {
                Self::HardSigmoid { alpha: number("alpha", 0.2)?, beta: number("beta", 0.5)? }
            }
            "HardSwish" => Self::HardSwish,
            "LeakyRelu" => Self::LeakyRelu { alpha: number("alpha", 0.01)? },
            "Selu" => Self::Selu {
                alpha: number("alpha", 1.673_263_2)?,
                gamma: number("gamma", 1.050_701)?,
            },
            "Sigmoid" => Self::Sigmoid,
            "Softplus" => Self::Softplus,
            "Softsign" => Self::Softsign,
            "Tanh" => Self::Tanh,
            _ => return Ok(None),
        }))
    }

    /// Returns its value.
    pub(crate) fn apply(self, x: f64) -> f64 {
        match self {
            Self::Abs => x.abs(),
            Self::Elu { alpha } if x < 0.0 => alpha * x.exp_m1(),
            Self::Exp { most } => x.exp().min(most),
            Self::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::LeakyRelu { alpha } if x < 0.0 => alpha * x,
            Self::Ln { least } => x.max(least).ln(),
            Self::Selu { alpha, gamma } if x < 0.0 => gamma * alpha * x.exp_m1(),
            Self::Selu { gamma, .. } => gamma * x,
            Self::Elu { .. } | Self::LeakyRelu { .. } => x,
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            // Without an exponential that overflows.
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Square => x.abs().min(2.0).powi(2),
            Self::Tanh => x.tanh(),
        }
    }

    /// Returns an interval that all its values lie in, and 0.
    pub(crate) fn range(self) -> Clamp {
        let (low, high) = match self {
            Self::Abs | Self::Softplus => (0.0, f64::INFINITY),
            Self::Sigmoid | Self::HardSigmoid { .. } => (0.0, 1.0),
            Self::Softsign | Self::Tanh => (-1.0, 1.0),
            Self::Square => (0.0, 4.0),
            Self::Exp { most } => (0.0, most),
            Self::Ln { least } => (least.ln(), f64::INFINITY),
            // Its least value is at -1.5.
            Self::HardSwish => (-0.375, f64::INFINITY),
            Self::Elu { .. } | Self::LeakyRelu { .. } | Self::Selu { .. } => return Clamp::NONE,
        };
        Clamp { low, high }
    }

    /// Returns its greatest slope, up or down: how much finer its argument has to be known than its
    /// value.
    pub(crate) fn steepest(self) -> f64 {
        match self {
            Self::Abs | Self::Softplus | Self::Softsign | Self::Tanh => 1.0,
            Self::Elu { alpha } | Self::LeakyRelu { alpha } => alpha.abs().max(1.0),
            Self::Exp { most } => most,
            Self::HardSigmoid { alpha, .. } => alpha.abs(),
            Self::Ln { least } => least.recip(),
            Self::HardSwish => 1.5,
            Self::Selu { alpha, gamma } => gamma.abs() * alpha.abs().max(1.0),
            Self::Sigmoid => 0.25,
            Self::Square => 4.0,
        }
    }
}

impl Function {
    /// Returns how much coarser than its value its argument may be looked up, so that what any input
    /// could reach has a row. An exponential is small wherever it reaches far.
    pub(crate) const fn coarsest(self) -> f64 {
        match self {
            Self::Exp { .. } => 16.0,
            _ => 4.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Function; 14] = [
        Function::Abs,
        Function::Elu { alpha: 1.5 },
        Function::Exp { most: 1.0625 },
        Function::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Function::HardSigmoid { alpha: -0.5, beta: 0.1 },
        Function::HardSwish,
        Function::LeakyRelu { alpha: 0.1 },
        Function::LeakyRelu { alpha: -2.0 },
        Function::Ln { least: 0.5 },
        Function::Selu { alpha: 1.673, gamma: 1.05 },
        Function::Sigmoid,
        Function::Softplus,
        Function::Softsign,
        Function::Square,
    ];

    #[test]
    fn values_lie_in_the_range_and_rise_no_faster_than_it_says() {
        for function in ALL.into_iter().chain([Function::Tanh]) {
            let Clamp { low, high } = function.range();
            assert!(low <= 0.0 && high >= 0.0, "{function:?}");
            let step = 1.0 / 64.0;
            for at in -2_000..2_000 {
                let x = f64::from(at) * step;
                let (one, next) = (function.apply(x), function.apply(x + step));
                assert!((low..=high).contains(&one), "{function:?} of {x} is {one}");
                let slope = (next - one).abs() / step;
                assert!(slope <= function.steepest() + 1e-9, "{function:?} at {x}: {slope}");
            }
        }
    }

    #[test]
    fn functions_are_those_of_onnx() {
        let close = |function: Function, x: f64, expected: f64| {
            let got = function.apply(x);
            assert!((got - expected).abs() < 1e-6, "{function:?} of {x} is {got}");
        };
        close(Function::Elu { alpha: 1.5 }, -1.0, -0.948_180_8);
        close(Function::Exp { most: 1.0 }, -1.0, 0.367_879_4);
        close(Function::Exp { most: 1.0 }, 3.0, 1.0);
        close(Function::Ln { least: 0.5 }, 3.0, 1.098_612_3);
        close(Function::Ln { least: 0.5 }, -2.0, -std::f64::consts::LN_2);
        close(Function::HardSwish, 1.0, 0.666_666_7);
        close(Function::HardSwish, 9.0, 9.0);
        close(Function::LeakyRelu { alpha: 0.1 }, -3.0, -0.3);
        close(Function::Selu { alpha: 1.673_263_2, gamma: 1.050_701 }, -1.0, -1.111_330_7);
        close(Function::Sigmoid, 0.0, 0.5);
        close(Function::Sigmoid, -800.0, 0.0);
        close(Function::Softplus, 800.0, 800.0);
        close(Function::Softplus, 0.0, std::f64::consts::LN_2);
        close(Function::Softsign, -3.0, -0.75);
        close(Function::Square, -1.5, 2.25);
        close(Function::Tanh, 0.5, 0.462_117_2);
    }
}
