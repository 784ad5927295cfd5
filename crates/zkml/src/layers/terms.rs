//! Forms and their terms in the order of section 4.1, and a point's coordinates by axis.

use super::axis::{AxisPair, Reads};
use crate::field::K;
use crate::multilinear::{ArityError, mask, suffix};
use crate::program::{Axis, Conv, Form, Pick, Program, Segment, Tensor, TensorShape, Term, Window};

/// A form with its number `l`, counted from 0 in site order, `a` before `b` in a `Max2`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumberedForm<'a> {
    pub(crate) number: usize,
    pub(crate) form: &'a Form,
    /// Shape of the site's tensor.
    pub(crate) output: TensorShape,
}

/// A convolution in a form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvTerm<'a> {
    pub(crate) form: usize,
    pub(crate) output: TensorShape,
    pub(crate) conv: &'a Conv,
    pub(crate) segment: Segment,
    /// Shape of the tensor that it reads.
    pub(crate) input: TensorShape,
}

/// A pick in a form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PickTerm<'a> {
    pub(crate) form: usize,
    pub(crate) output: TensorShape,
    pub(crate) pick: &'a Pick,
    /// Type of the tensor that it reads.
    pub(crate) input: Tensor,
}

/// How the channels of a convolution meet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Channels {
    /// Every output reads every channel.
    All,
    /// Output `o` reads channel `o` alone.
    Depthwise,
    /// `groups` of `outputs` and `inputs` channels, both powers of two.
    Groups { groups: u32, outputs: u32, inputs: u32 },
}

/// Returns every form, also those without remote terms.
pub(crate) fn forms(program: &Program) -> impl Iterator<Item = NumberedForm<'_>> {
    let sites = program.sites.iter().zip(program.tensors.iter().skip(1));
    let forms = sites.flat_map(|(site, tensor)| site.forms().map(|form| (form, tensor.shape)));
    forms.enumerate().map(|(number, (form, output))| NumberedForm { number, form, output })
}

/// Returns the Conv terms of all forms, in their order.
pub(crate) fn convs(program: &Program) -> impl Iterator<Item = ConvTerm<'_>> {
    forms(program).flat_map(move |form| form.convs(program))
}

/// Returns the Pick terms of all forms, in their order.
pub(crate) fn picks(program: &Program) -> impl Iterator<Item = PickTerm<'_>> {
    forms(program).flat_map(move |form| form.picks(program))
}

impl<'a> NumberedForm<'a> {
    pub(crate) fn convs(self, program: &'a Program) -> impl Iterator<Item = ConvTerm<'a>> {
        self.form.terms.iter().filter_map(move |term| {
            let Term::Conv(conv) = term else { return None };
            let segment = *program.segments.get(conv.segment as usize)?;
            let input = program.tensors.get(conv.tensor as usize)?.shape;
            Some(ConvTerm { form: self.number, output: self.output, conv, segment, input })
        })
    }

    pub(crate) fn picks(self, program: &'a Program) -> impl Iterator<Item = PickTerm<'a>> {
        self.form.terms.iter().filter_map(move |term| {
            let Term::Pick(pick) = term else { return None };
            let input = *program.tensors.get(pick.tensor as usize)?;
            Some(PickTerm { form: self.number, output: self.output, pick, input })
        })
    }

    /// Returns the Bias terms, each as its segment and factor.
    pub(crate) fn biases(self, program: &'a Program) -> impl Iterator<Item = (Segment, i32)> {
        self.form.terms.iter().filter_map(move |term| {
            let Term::Bias { segment, m } = term else { return None };
            Some((*program.segments.get(*segment as usize)?, *m))
        })
    }

    pub(crate) fn has_bias(&self) -> bool {
        self.form.terms.iter().any(|term| matches!(term, Term::Bias { .. }))
    }
}

impl ConvTerm<'_> {
    /// Returns `S_y[dy] S_x[dx]` for each tap `dy kw + dx` (section 4.4).
    pub(crate) fn tap_sums(&self, rho: &[K], tau: &[K], lb: u32) -> Result<Vec<K>, ArityError> {
        let rho = AxisPoint::of_batch(rho, self.output, lb)?;
        let tau = AxisPoint::of_one(tau, self.input, lb)?;
        let along = |axis: Axis, window: &Window| {
            let pair = AxisPair {
                rho: rho.along(axis),
                outputs: self.output.extent(axis),
                extent: self.input.extent(axis),
            };
            pair.sums(&Reads::from(window), tau.along(axis))
        };
        let (y, x) = (along(Axis::Y, &self.conv.y)?, along(Axis::X, &self.conv.x)?);
        Ok(y.iter().flat_map(|&y| x.iter().map(move |&x| y * x)).collect())
    }

    pub(crate) const fn channels(&self) -> Channels {
        let (groups, inputs, outputs) = (self.conv.groups, self.input.c, self.output.c);
        if groups <= 1 {
            Channels::All
        } else if groups == inputs && groups == outputs {
            Channels::Depthwise
        } else {
            Channels::Groups { groups, outputs: outputs / groups, inputs: inputs / groups }
        }
    }
}

/// The coordinates of a point by axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AxisPoint<'a> {
    y: &'a [K],
    x: &'a [K],
    c: &'a [K],
}

impl<'a> AxisPoint<'a> {
    /// Returns `rho_y, rho_x, rho_c` of `rho|n` for a tensor of `2^lb` instances: what stands before
    /// `rho_b`.
    pub(crate) fn of_batch(rho: &'a [K], shape: TensorShape, lb: u32) -> Result<Self, ArityError> {
        Self::split(before(suffix(rho, shape.arity(lb) as usize)?, lb as usize)?, shape, lb)
    }

    /// Returns `tau_y, tau_x, tau_c` of `tau|d` for such a tensor: `tau` has no batch.
    pub(crate) fn of_one(tau: &'a [K], shape: TensorShape, lb: u32) -> Result<Self, ArityError> {
        Self::split(suffix(tau, shape.arity(lb).saturating_sub(lb) as usize)?, shape, lb)
    }

    fn split(point: &'a [K], shape: TensorShape, lb: u32) -> Result<Self, ArityError> {
        let [_, x, c] = shape.arities(lb).map(|arity| arity as usize);
        let (yx, c) = (before(point, c)?, suffix(point, c)?);
        Ok(Self { y: before(yx, x)?, x: suffix(yx, x)?, c })
    }

    pub(crate) const fn along(&self, axis: Axis) -> &'a [K] {
        match axis {
            Axis::Y => self.y,
            Axis::X => self.x,
            Axis::C => self.c,
        }
    }

    /// Returns `mask_yx = LT(y, Y) LT(x, X)` for the real extents of `shape`.
    pub(crate) fn mask_yx(&self, shape: TensorShape) -> K {
        mask(&[(self.y, shape.y.into()), (self.x, shape.x.into())])
    }

    /// Returns `mask = LT(y, Y) LT(x, X) LT(c, C)`.
    pub(crate) fn mask(&self, shape: TensorShape) -> K {
        self.mask_yx(shape) * mask(&[(self.c, shape.c.into())])
    }
}

/// What stands before the last `arity` coordinates.
fn before(point: &[K], arity: usize) -> Result<&[K], ArityError> {
    let last = suffix(point, arity)?;
    Ok(point.get(..point.len() - last.len()).unwrap_or_default())
}
