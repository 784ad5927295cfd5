//! Values of a form, term by term (section 2.3).

use super::conv::Reader;
use crate::program::{
    AxisMap, Form, Outside, Pick, Program, Tensor, TensorShape, Term, weight_run,
};

/// A tensor with its type.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    pub(super) tensor: Tensor,
    pub(super) values: &'a [i32],
}

impl<'a> Operand<'a> {
    /// The channels of cell `(y, x)`, which is inside.
    pub(super) fn pixel(&self, y: usize, x: usize) -> &'a [i32] {
        let TensorShape { x: width, c, .. } = self.tensor.shape;
        let start = (y * width as usize + x) * c as usize;
        self.values.get(start..start + c as usize).unwrap_or_default()
    }
}

/// Returns the form of site `site` at every real cell, in the order `[y][x][c]`, held inside `i64`.
pub(super) fn evaluate_form(
    program: &Program,
    weights: &[i16],
    tensors: &[Vec<i32>],
    site: usize,
    form: &Form,
) -> Vec<i64> {
    let Some(output) = program.tensors.get(site + 1).map(|tensor| tensor.shape) else {
        return Vec::new();
    };
    let mut sums = vec![0_i64; output.cells()];
    let operand = |index: u32| {
        let tensor = *program.tensors.get(index as usize)?;
        Some(Operand { tensor, values: tensors.get(index as usize)? })
    };
    for term in &form.terms {
        let read = term.tensor().and_then(operand);
        match (term, read) {
            (Term::Local { m, .. }, Some(input)) => {
                for (sum, &value) in sums.iter_mut().zip(input.values) {
                    add(sum, i64::from(*m) * i64::from(value));
                }
            }
            (Term::Conv(conv), Some(input)) => {
                let segment = program.segments.get(conv.segment as usize);
                if let Some(segment) = segment {
                    Reader { conv, segment, weights, input, output }.add_to(&mut sums);
                }
            }
            (Term::Pick(pick), Some(input)) => add_pick(pick, input, output, &mut sums),
            (Term::Bias { segment, m }, _) => {
                let segment = program.segments.get(*segment as usize);
                let start = segment.map_or(0, |segment| segment.off);
                let row = weight_run(weights, start, output.c as usize);
                for pixel in sums.chunks_exact_mut(output.c as usize) {
                    for (sum, &bias) in pixel.iter_mut().zip(row) {
                        add(sum, i64::from(*m) * i64::from(bias));
                    }
                }
            }
            (Term::Const { v }, _) => sums.iter_mut().for_each(|sum| add(sum, i64::from(*v))),
            (Term::Local { .. } | Term::Conv(_) | Term::Pick(_), None) => {}
        }
    }
    sums
}

/// Adds within `i64`: a sum held at its end is far outside what an accumulator may be.
pub(super) const fn add(sum: &mut i64, value: i64) {
    *sum = sum.saturating_add(value);
}

pub(super) fn inside(at: i64, extent: u32) -> Option<usize> {
    usize::try_from(at).ok().filter(|at| *at < extent as usize)
}

fn add_pick(pick: &Pick, input: Operand<'_>, output: TensorShape, sums: &mut [i64]) {
    let [_, width, channels] = input.tensor.shape.extents();
    let strides = [width as usize * channels as usize, channels as usize, 1];
    let extents = input.tensor.shape.extents();
    let along = |axis: usize, outputs: u32| -> Vec<Vec<Option<usize>>> {
        let (Some(from), Some(map)) = (pick.order.get(axis), pick.axes.get(axis)) else {
            return Vec::new();
        };
        let stride = strides.get(from.position()).copied().unwrap_or(0);
        let extent = extents.get(from.position()).copied().unwrap_or(0);
        let mut offsets: Vec<_> = (0..outputs).map(|o| offsets(map, o, extent, stride)).collect();
        if pick.outside == Outside::Zero {
            offsets.iter_mut().for_each(|read| read.retain(Option::is_some));
        }
        offsets
    };
    let (rows, columns, channels) = (along(0, output.y), along(1, output.x), along(2, output.c));
    let lowest = match pick.outside {
        Outside::Zero => 0,
        Outside::Lowest => i64::from(input.tensor.interval.lo),
    };
    let mut sums = sums.iter_mut();
    for row in &rows {
        for column in &columns {
            for (channel, sum) in channels.iter().zip(&mut sums) {
                let mut picked = 0_i64;
                for &y in row {
                    for &x in column {
                        for &c in channel {
                            let at = y.zip(x).zip(c).map(|((y, x), c)| y + x + c);
                            let value = at.and_then(|at| input.values.get(at));
                            picked += value.map_or(lowest, |&value| i64::from(value));
                        }
                    }
                }
                add(sum, i64::from(pick.m) * picked);
            }
        }
    }
}

/// The offsets that one output index reads along an axis; `None` outside the tensor.
fn offsets(map: &AxisMap, o: u32, extent: u32, stride: usize) -> Vec<Option<usize>> {
    map.indices(o).map(|at| inside(at, extent).map(|at| at * stride)).collect()
}
