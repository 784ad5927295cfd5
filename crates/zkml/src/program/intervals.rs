//! The interval of a form without weights (section 11, `Max2`).

use std::collections::BTreeMap;

use super::Program;
use super::form::{AxisMap, Form, Outside, Term};
use super::tensor::{Tensor, TensorShape};

/// Returns the smallest interval known to hold every real cell of the form of site `index`, or
/// `None` if it leaves `i64`.
///
/// Parts of a concatenation stand on different channels and are not added up.
pub(crate) fn form_interval(program: &Program, index: usize, form: &Form) -> Option<(i64, i64)> {
    let output = program.tensors.get(index + 1)?.shape;
    let channels = output.c;
    // What the interval changes by from a channel on.
    let mut changes = BTreeMap::from([(0_u32, (0_i64, 0_i64))]);
    let mut change = |at: u32, (low, high): (i64, i64)| -> Option<()> {
        let sum = changes.entry(at).or_default();
        *sum = (sum.0.checked_add(low)?, sum.1.checked_add(high)?);
        Some(())
    };
    for term in &form.terms {
        let (low, high) = term_interval(program, term, output)?;
        let (start, end) = term_channels(program, term, channels)?;
        change(start, (low, high))?;
        if end < channels {
            change(end, (low.checked_neg()?, high.checked_neg()?))?;
        }
    }
    let (mut low, mut high) = (0_i64, 0_i64);
    let mut hull: Option<(i64, i64)> = None;
    for (change_low, change_high) in changes.into_values() {
        low = low.checked_add(change_low)?;
        high = high.checked_add(change_high)?;
        hull = Some(hull.map_or((low, high), |(least, most)| (least.min(low), most.max(high))));
    }
    hull
}

fn term_interval(program: &Program, term: &Term, output: TensorShape) -> Option<(i64, i64)> {
    if let Term::Const { v } = term {
        return Some((i64::from(*v), i64::from(*v)));
    }
    let Tensor { shape, interval } = *program.tensors.get(term.tensor()? as usize)?;
    let factor = match term {
        Term::Local { m, .. } => i64::from(*m),
        Term::Pick(pick) => {
            let cells = pick.most_inside(shape, output);
            i64::from(pick.m).checked_mul(i64::try_from(cells).ok()?)?
        }
        Term::Conv(_) | Term::Bias { .. } | Term::Const { .. } => return None,
    };
    let ends = [interval.lo, interval.hi].map(|end| factor.checked_mul(i64::from(end)));
    let [Some(one), Some(other)] = ends else { return None };
    Some((one.min(other), one.max(other)))
}

/// Returns the channels of the output on which a term is not 0.
pub(crate) fn term_channels(program: &Program, term: &Term, channels: u32) -> Option<(u32, u32)> {
    let Term::Pick(pick) = term else { return Some((0, channels)) };
    let ([_, _, axis], [_, _, AxisMap::IntoOutput { start }], Outside::Zero) =
        (pick.order, &pick.axes, pick.outside)
    else {
        return Some((0, channels));
    };
    let extents = program.tensors.get(pick.tensor as usize)?.shape.extents();
    let end = start.checked_add(*extents.get(axis.position())?)?;
    Some((*start, end.min(channels)))
}
