//! The prover's `A_T` as a sum of products of one vector over `y` and one over `(x, c)`
//! (sections 4.3 to 4.5).
//!
//! A convolution of `kh` rows of taps gives `kh` of them, so nothing costs `kh kw` for each cell.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use super::axis::{AxisPair, Reads};
use super::kernel::BoundKernel;
use super::statement::LayerStatement;
use super::terms::{AxisPoint, ConvTerm, PickTerm, convs, picks};
use crate::field::{F, K};
use crate::multilinear::{ArityError, eq_table};
use crate::product::Factor;
use crate::program::{Axis, TensorShape};

/// `rows[y] cells[x, c]`.
#[derive(Clone, Debug)]
pub(super) struct Product {
    /// Over the padded `y`.
    pub(super) rows: Vec<K>,
    /// Over the padded `(x, c)`.
    pub(super) cells: Vec<K>,
}

/// Returns the products whose sum is `A_T` for tensor number `tensor`; `powers` are those of
/// `lambda_f`, one for each form.
pub(super) fn functional(
    statement: &LayerStatement<'_>,
    tensor: usize,
    kernels: &[BoundKernel],
    powers: &[K],
) -> Result<Vec<Product>, ArityError> {
    let program = statement.program();
    let power = |form: usize| powers.get(form).copied().unwrap_or(K::ZERO);
    let mut products = Vec::new();
    for (term, kernel) in convs(program).zip(kernels) {
        if term.conv.tensor as usize == tensor {
            products.extend(conv(statement, &term, kernel, power(term.form))?);
        }
    }
    for term in picks(program).filter(|term| term.pick.tensor as usize == tensor) {
        products.push(pick(statement, &term, power(term.form))?);
    }
    Ok(products)
}

/// `sum_dy e_dy[y] (power sum_dx f_dx[x] W_r[dy, dx, c])`.
fn conv(
    statement: &LayerStatement<'_>,
    term: &ConvTerm<'_>,
    kernel: &BoundKernel,
    power: K,
) -> Result<Vec<Product>, ArityError> {
    let lb = statement.sizes.lb;
    let rho = AxisPoint::of_batch(statement.rho, term.output, lb)?;
    let arities = term.input.arities(lb);
    let along = |axis: Axis, reads: &Reads, scale: K| {
        let pair = AxisPair {
            rho: rho.along(axis),
            outputs: term.output.extent(axis),
            extent: term.input.extent(axis),
        };
        spread(&pair, reads, cells_along(arities, axis), scale)
    };
    let rows = along(Axis::Y, &Reads::from(&term.conv.y), K::ONE);
    let columns = along(Axis::X, &Reads::from(&term.conv.x), power);
    let taps: Vec<&[K]> = kernel.taps().collect();
    let channels = cells_along(arities, Axis::C);
    let products = rows.into_iter().zip(taps.chunks(columns.len().max(1)));
    Ok(products
        .map(|(rows, taps)| {
            let mut cells = vec![K::ZERO; cells_along(arities, Axis::X) * channels];
            cells.par_chunks_mut(channels).enumerate().for_each(|(x, cells)| {
                for (column, tap) in columns.iter().zip(taps) {
                    let factor = column.get(x).copied().unwrap_or(K::ZERO);
                    add_scaled(cells, tap, factor);
                }
            });
            Product { rows, cells }
        })
        .collect())
}

/// `power m e_y[y] e_x[x] e_c[c]`, each the sum over the taps of the axis that reads it.
fn pick(
    statement: &LayerStatement<'_>,
    term: &PickTerm<'_>,
    power: K,
) -> Result<Product, ArityError> {
    let lb = statement.sizes.lb;
    let rho = AxisPoint::of_batch(statement.rho, term.output, lb)?;
    let shape = term.input.shape;
    let arities = shape.arities(lb);
    let mut vectors =
        [Axis::Y, Axis::X, Axis::C].map(|axis| vec![K::ZERO; cells_along(arities, axis)]);
    let axes = [Axis::Y, Axis::X, Axis::C].into_iter().zip(term.pick.order).zip(&term.pick.axes);
    for ((to, from), map) in axes {
        let pair = AxisPair {
            rho: rho.along(to),
            outputs: term.output.extent(to),
            extent: shape.extent(from),
        };
        if let Some(vector) = vectors.get_mut(from.position()) {
            let (reads, weights) = (Reads::from(map), eq_table(pair.rho));
            for &offset in &reads.offsets {
                add_spread(&pair, [reads.stride.into(), offset], &weights, vector);
            }
        }
    }
    let [rows, columns, channels] = vectors;
    let power = power * F::from_i32(term.pick.m);
    let mut cells = vec![K::ZERO; columns.len() * channels.len()];
    for (cells, &column) in cells.chunks_mut(channels.len()).zip(&columns) {
        add_scaled(cells, &channels, column * power);
    }
    Ok(Product { rows, cells })
}

/// `sums += factor values`.
pub(super) fn add_scaled(sums: &mut [K], values: &[K], factor: K) {
    if factor != K::ZERO {
        let factor = Factor::new(factor);
        sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += factor.times(value));
    }
}

/// Returns `scale e_d` for each tap: `e_d[i] = sum_{o inside, o stride + offset_d = i} eq(rho, o)`.
fn spread(pair: &AxisPair<'_>, reads: &Reads, cells: usize, scale: K) -> Vec<Vec<K>> {
    let weights: Vec<K> = eq_table(pair.rho).into_iter().map(|weight| weight * scale).collect();
    let spread_tap = |&offset: &i64| {
        let mut vector = vec![K::ZERO; cells];
        add_spread(pair, [reads.stride.into(), offset], &weights, &mut vector);
        vector
    };
    reads.offsets.iter().map(spread_tap).collect()
}

/// Adds the weight of each output inside to the cell that it reads, `o stride + offset`.
fn add_spread(pair: &AxisPair<'_>, [stride, offset]: [i64; 2], weights: &[K], cells: &mut [K]) {
    for o in pair.inside(u32::try_from(stride).unwrap_or(u32::MAX), offset) {
        let at = usize::try_from(i64::from(o) * stride + offset).ok();
        let slot = at.and_then(|at| cells.get_mut(at));
        if let Some((slot, &weight)) = slot.zip(weights.get(o as usize)) {
            *slot += weight;
        }
    }
}

/// Padded cells along an axis.
fn cells_along(arities: [u32; 3], axis: Axis) -> usize {
    arities.get(axis.position()).map_or(1, |&arity| 1 << arity)
}

/// Padded cells of `shape` behind each `y`, without the batch.
pub(super) fn cells_per_row(shape: TensorShape, lb: u32) -> usize {
    let arities = shape.arities(lb);
    cells_along(arities, Axis::X) * cells_along(arities, Axis::C)
}
