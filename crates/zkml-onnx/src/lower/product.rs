//! Mul of two values that depend on the input: `a b = ((a + b)^2 - (a - b)^2) / 4`, and a square is a
//! table. No step of the program multiplies two tensors.

use assay_zkml::program::Interval;

use super::layout;
use super::{Activation, Lowering, Pending, label};
use crate::draft::{Clamp, Scale, Step, Sum, SumTerm, Unit};
use crate::error::Refusal;
use crate::function::Function;
use crate::graph::Node;
use crate::view::{View, X, Y};

/// The steps of a square; `quantise::refine` has more for int16 activations.
const STEPS: i32 = 510;

impl Lowering {
    /// Each is taken as a part of the largest that its tensor holds, so that a square is at most 4. Half
    /// a step of what is squared and half a step of the square are each off by 4/1020: the product is by
    /// at most a 255th of the largest.
    pub(super) fn product(
        &mut self,
        node: &Node,
        first: Activation,
        second: Activation,
    ) -> Result<Activation, Refusal> {
        let cells = |activation: &Activation| {
            activation.view.sizes().iter().map(|&size| u64::from(size)).product::<u64>()
        };
        let (large, small) =
            if cells(&first) >= cells(&second) { (first, second) } else { (second, first) };
        let large = self.laid_out(node, large)?;
        let (a, large) = self.settled(large)?;
        let small = self.laid_out(node, small)?;
        let b = self.repeated(node, small, &large.view)?;
        let [sum, difference] = [1.0, -1.0].map(|sign| {
            let share = |tensor, factor| SumTerm::Scaled { tensor, factor, unit: Unit::Share };
            let sum = Sum { terms: vec![share(a, 1.0), share(b, sign)], bias: Vec::new() };
            let (scale, interval) = (4.0 / f64::from(STEPS), Interval::new(0, STEPS));
            let scale = Scale::Given { scale, interval, clamp: Clamp::NONE };
            let step = Step::Requant { sum, function: Some(Function::Square) };
            self.push(label(node), large.shape, scale, step)
        });
        let part = |tensor, factor| SumTerm::Scaled { tensor, factor, unit: Unit::Product([a, b]) };
        let sum = Sum { terms: vec![part(sum, 0.25), part(difference, -0.25)], bias: Vec::new() };
        let pending = Pending { sum, clamp: Clamp::NONE, given: None, label: label(node) };
        Ok(Activation::pending(pending, large.shape, large.view))
    }

    /// Returns a tensor of the shape that `view` has: rows and columns that there is only one of are
    /// repeated.
    fn repeated(
        &mut self,
        node: &Node,
        activation: Activation,
        view: &View,
    ) -> Result<usize, Refusal> {
        let (sizes, wanted) = (activation.view.sizes(), view.sizes());
        let refuse = || {
            Refusal::unsupported(format!("a product of values of shape {wanted:?} and {sizes:?}"))
        };
        let fits = sizes.iter().zip(&wanted).all(|(size, wanted)| size == wanted || *size == 1);
        if sizes.len() != wanted.len() || !fits {
            return Err(refuse());
        }
        if activation.view == *view {
            return Ok(self.settled(activation)?.0);
        }
        let axes = (0..view.rank()).map(|index| match view.dim(index) {
            [] => Ok(None),
            [axis] => Ok(Some(*axis)),
            _ => Err(refuse()),
        });
        let axes: layout::Layout = axes.collect::<Result<_, _>>()?;
        let activation = self.canonical(activation, &axes, node)?;
        let mut tensor = self.settled(activation)?.0;
        for (axis, on) in [Y, X].into_iter().zip(self.shape(tensor).extents()) {
            let outputs = view.extent(axis);
            if on == 1 && outputs > 1 {
                let cells = vec![Some(0); outputs as usize];
                tensor = self.copy_cells(label(node), tensor, [axis, axis], &cells)?;
            }
        }
        let extents = self.shape(tensor).extents();
        let same = [0, 1, 2].iter().zip(extents).all(|(&axis, extent)| view.extent(axis) == extent);
        if same { Ok(tensor) } else { Err(refuse()) }
    }
}
