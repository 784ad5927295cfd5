//! Columns of a batch of runs, and forms from section 2.3 as it is written.

use assay_zkml::field::{F, K};
use assay_zkml::multilinear::evaluate;
use assay_zkml::program::{Conv, Form, Outside, Pick, Program, Site, TensorShape, Term, Window};
use p3_field::PrimeCharacteristicRing;

use crate::network::Net;

pub(crate) fn widened(values: &[i32]) -> Vec<i64> {
    values.iter().map(|&value| value.into()).collect()
}

/// The value at the suffix of `point` that the column has variables for.
pub(crate) fn at(column: &[F], point: &[K]) -> K {
    let arity = column.len().trailing_zeros() as usize;
    evaluate(column, &point[point.len() - arity..]).unwrap()
}

/// As [`at`]; 0 for a public input that is larger than everything else.
pub(crate) fn at_if_shorter(column: &[F], point: &[K]) -> K {
    if column.len() > 1 << point.len() { K::ZERO } else { at(column, point) }
}

/// What padded cells hold: `F(0)` after a requantisation.
pub(crate) fn pad_value(program: &Program, tensor: usize) -> i64 {
    match tensor.checked_sub(1).map(|site| &program.sites[site]) {
        Some(Site::Requant { table, .. }) => {
            program.tables[*table as usize].look_up(0).unwrap().1.into()
        }
        _ => 0,
    }
}

/// The padded column `[y][x][c][b]` of some instances' real cells.
pub(crate) fn padded(shape: TensorShape, lb: u32, instances: &[Vec<i64>], pad: i64) -> Vec<F> {
    let [_, x, c] = shape.arities(lb);
    let mut column = vec![F::from_i64(pad); 1 << shape.arity(lb)];
    for (b, cells) in instances.iter().enumerate() {
        let mut cells = cells.iter();
        for y in 0..shape.y as usize {
            for x_at in 0..shape.x as usize {
                for c_at in 0..shape.c as usize {
                    let place = ((((y << x) + x_at) << c) + c_at) << lb;
                    column[place + b] = F::from_i64(*cells.next().unwrap());
                }
            }
        }
    }
    column
}

/// A form at every real cell.
pub(crate) fn form_by_definition(
    net: &Net,
    shape: TensorShape,
    form: &Form,
    tensors: &[&[i64]],
) -> Vec<i64> {
    let mut values = Vec::new();
    for o in (0..shape.y)
        .flat_map(|y| (0..shape.x).flat_map(move |x| (0..shape.c).map(move |c| [y, x, c])))
    {
        let terms = form.terms.iter().map(|term| match term {
            Term::Local { tensor, m } => i64::from(*m) * tensors[*tensor as usize][values.len()],
            Term::Conv(conv) => conv_by_definition(net, conv, shape, o, tensors),
            Term::Pick(pick) => pick_by_definition(net, pick, o, tensors),
            Term::Bias { segment, m } => {
                i64::from(*m) * net.weight(*segment as usize, o[2] as usize, 0, 0)
            }
            Term::Const { v } => i64::from(*v),
        });
        let value = terms.sum();
        values.push(value);
    }
    values
}

fn cell(net: &Net, tensor: u32, at: [i64; 3], tensors: &[&[i64]]) -> Option<i64> {
    let extents = net.program.tensors[tensor as usize].shape.extents().map(i64::from);
    let inside = at.iter().zip(extents).all(|(&at, extent)| (0..extent).contains(&at));
    let place = (at[0] * extents[1] + at[1]) * extents[2] + at[2];
    inside.then(|| tensors[tensor as usize][place as usize])
}

fn conv_by_definition(
    net: &Net,
    conv: &Conv,
    shape: TensorShape,
    [y, x, o]: [u32; 3],
    tensors: &[&[i64]],
) -> i64 {
    let input = net.program.tensors[conv.tensor as usize].shape;
    let (inputs, outputs) = (input.c / conv.groups, shape.c / conv.groups);
    let read = |window: &Window, at: u32, d: u32| {
        i64::from(at * window.stride) + i64::from(d * window.dilation) - i64::from(window.pad)
    };
    let mut sum = 0;
    for (dy, dx) in (0..conv.y.taps).flat_map(|dy| (0..conv.x.taps).map(move |dx| (dy, dx))) {
        for c in 0..inputs {
            let place =
                [read(&conv.y, y, dy), read(&conv.x, x, dx), (o / outputs * inputs + c).into()];
            let tap = (dy * conv.x.taps + dx) as usize;
            let channel = (conv.c_off + c) as usize;
            let weight = net.weight(conv.segment as usize, o as usize, tap, channel);
            sum += weight * cell(net, conv.tensor, place, tensors).unwrap_or(0);
        }
    }
    sum
}

fn pick_by_definition(net: &Net, pick: &Pick, o: [u32; 3], tensors: &[&[i64]]) -> i64 {
    let outside = match pick.outside {
        Outside::Zero => 0,
        Outside::Lowest => net.program.tensors[pick.tensor as usize].interval.lo.into(),
    };
    let mut sum = 0;
    for y in pick.axes[0].indices(o[0]) {
        for x in pick.axes[1].indices(o[1]) {
            for c in pick.axes[2].indices(o[2]) {
                let mut place = [0; 3];
                for (axis, index) in pick.order.iter().zip([y, x, c]) {
                    place[axis.position()] = index;
                }
                sum += cell(net, pick.tensor, place, tensors).unwrap_or(outside);
            }
        }
    }
    i64::from(pick.m) * sum
}
