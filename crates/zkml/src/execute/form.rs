//! Values of a form, term by term (section 2.3).

use crate::program::{
    AxisMap, Conv, Form, Outside, Pick, Program, Segment, Tensor, TensorShape, Term, Window,
    weight_run,
};

/// A tensor with its type.
#[derive(Clone, Copy)]
struct Operand<'a> {
    tensor: Tensor,
    values: &'a [i32],
}

impl<'a> Operand<'a> {
    /// The channels of cell `(y, x)`, which is inside.
    fn pixel(&self, y: usize, x: usize) -> &'a [i32] {
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
                    add_conv(conv, segment, weights, input, output, &mut sums);
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
const fn add(sum: &mut i64, value: i64) {
    *sum = sum.saturating_add(value);
}

fn add_conv(
    conv: &Conv,
    segment: &Segment,
    weights: &[i16],
    input: Operand<'_>,
    output: TensorShape,
    sums: &mut [i64],
) {
    let rows = reads(&conv.y, output.y, input.tensor.shape.y);
    let columns = reads(&conv.x, output.x, input.tensor.shape.x);
    let groups = conv.groups as usize;
    let group_inputs = input.tensor.shape.c as usize / groups;
    let group_outputs = output.c as usize / groups;
    let pixels = sums.chunks_exact_mut(output.c as usize);
    let places = rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
    for (pixel, (row, column)) in pixels.zip(places) {
        for (dy, y) in row {
            for (dx, x) in column {
                let cells = input.pixel(*y, *x);
                let tap = dy * conv.x.taps + dx;
                let first = segment.index(0, tap, conv.c_off);
                let step = 1_usize << segment.log_channels;
                let kernel = weight_run(weights, first, step * segment.outputs as usize);
                let by_group = pixel.chunks_mut(group_outputs);
                let kernels = kernel.chunks(step * group_outputs);
                let groups = by_group.zip(cells.chunks(group_inputs)).zip(kernels);
                for ((sums, cells), kernel) in groups {
                    for (sum, row) in sums.iter_mut().zip(kernel.chunks(step)) {
                        add(sum, dot(row, cells));
                    }
                }
            }
        }
    }
}

/// At most `2^20` products below `2^15 2^9`: no overflow.
fn dot(weights: &[i16], cells: &[i32]) -> i64 {
    weights.iter().zip(cells).map(|(&w, &x)| i64::from(w) * i64::from(x)).sum()
}

/// For each output index along an axis, its taps that are inside, with the index that they read.
fn reads(window: &Window, outputs: u32, extent: u32) -> Vec<Vec<(u32, usize)>> {
    let inside = |o: u32| {
        (0..window.taps).filter_map(move |tap| {
            let step = i64::from(o) * i64::from(window.stride);
            let at = step + i64::from(tap) * i64::from(window.dilation) - i64::from(window.pad);
            Some((tap, inside(at, extent)?))
        })
    };
    (0..outputs).map(|o| inside(o).collect()).collect()
}

fn inside(at: i64, extent: u32) -> Option<usize> {
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
        (0..outputs).map(|o| offsets(map, o, extent, stride)).collect()
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
