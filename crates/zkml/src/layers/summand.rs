//! One tensor's share of the sum: `2^-(nS-d) sum_z X_T(z) A_T(z)` (section 4.2).
//!
//! `A_T` is a sum of products `e(y) V(x, c)`. While the variables of `y` are bound, the vectors are
//! `e` and `P[y] = sum_{x,c,b} T[y,x,c,b] V(x,c) eq(rho_b,b)`: one integer pass over the tensor for
//! each product, no element of `K` for each cell. After them `T` is bound at `tau_y` in one more
//! pass, and what is left has the size of one row.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use super::cells::Cells;
use super::functional::{Product, add_scaled, cells_per_row, functional};
use super::kernel::BoundKernel;
use super::statement::{LayerStatement, inverse_power};
use crate::field::{F, K};
use crate::multilinear::{ArityError, eq_table, inner_product, same_length, suffix};
use crate::product::Factor;
use crate::program::TensorShape;
use crate::sumcheck::{Pair, add};

/// A tensor with its functional, somewhere between the first round and the last.
#[derive(Debug)]
pub(super) struct Summand<'a> {
    /// `d_T`.
    arity: u32,
    /// `2^-(nS-d)`.
    scale: F,
    /// The sum that is left while rounds pass that it has no variable in.
    idle: K,
    stage: Stage<'a>,
}

#[derive(Debug)]
enum Stage<'a> {
    Rows(Rows<'a>),
    Cells(Pair),
}

/// Variables of `y` left to bind.
#[derive(Debug)]
struct Rows<'a> {
    cells: Cells<'a>,
    /// `eq(rho_b, .)`.
    batch: Vec<K>,
    /// `V` of each product.
    products: Vec<Vec<K>>,
    /// `e` and `P` of each product.
    pairs: Vec<Pair>,
    /// Padded `(x, c)` of a row.
    width: usize,
    /// The coordinates bound so far.
    bound: Vec<K>,
    /// How many are left.
    left: u32,
}

impl<'a> Summand<'a> {
    pub(super) fn new(
        statement: &LayerStatement<'_>,
        tensor: usize,
        column: &'a [F],
        kernels: &[BoundKernel],
        powers: &[K],
    ) -> Result<Self, ArityError> {
        let lb = statement.sizes.lb;
        let tensors = &statement.program().tensors;
        let shape = tensors.get(tensor).map_or(TensorShape::vector(1), |tensor| tensor.shape);
        same_length("cells of a tensor's column", 1 << shape.arity(lb), column.len())?;
        let [left, _, _] = shape.arities(lb);
        let batch = eq_table(suffix(statement.rho, lb as usize)?);
        let functional = functional(statement, tensor, kernels, powers)?;
        let cells = Cells::new(column);
        let stage = if functional.len() > MAX_PASSES || batch.len() >= MIN_BATCH_IN_FULL {
            Stage::Cells(in_full(&cells, &batch, &functional))
        } else {
            Rows::new(cells, batch, functional, cells_per_row(shape, lb), left).into_stage()?
        };
        let arity = shape.arity(lb).saturating_sub(lb);
        let rounds = statement.sizes.layer_arity;
        let scale = inverse_power(rounds.saturating_sub(arity));
        let idle = if arity < rounds { stage.sum() } else { K::ZERO };
        Ok(Self { arity, scale, idle, stage })
    }

    /// Returns `g(0), g(2)` with `left` rounds to go, this one included.
    pub(super) fn message(&self, left: u32) -> [K; 2] {
        if left > self.arity {
            // Without this variable: half of the sum at 0 and at 1, hence at 2.
            return [self.idle.halve(); 2];
        }
        let message = match &self.stage {
            Stage::Rows(rows) => rows.pairs.iter().map(Pair::message).fold([K::ZERO; 2], add),
            Stage::Cells(pair) => pair.message(),
        };
        message.map(|value| value * self.scale)
    }

    /// Binds a variable, or lets one pass that the tensor does not have.
    pub(super) fn bind(&mut self, left: u32, challenge: K) -> Result<(), ArityError> {
        if left > self.arity {
            self.idle = self.idle.halve();
            return Ok(());
        }
        match &mut self.stage {
            Stage::Cells(pair) => pair.bind(challenge),
            Stage::Rows(rows) => {
                rows.bind(challenge);
                if rows.left == 0 {
                    self.stage = Stage::Cells(rows.finish()?);
                }
            }
        }
        Ok(())
    }

    /// Returns `X_T~(tau|d_T, rho_b)` once everything is bound.
    pub(super) fn value(&self) -> K {
        match &self.stage {
            Stage::Rows(_) => K::ZERO,
            Stage::Cells(pair) => pair.first()[0],
        }
    }
}

impl Stage<'_> {
    fn sum(&self) -> K {
        match self {
            Self::Rows(rows) => rows.pairs.iter().map(Pair::sum).sum(),
            Self::Cells(pair) => pair.sum(),
        }
    }
}

impl<'a> Rows<'a> {
    fn new(
        cells: Cells<'a>,
        batch: Vec<K>,
        functional: Vec<Product>,
        width: usize,
        left: u32,
    ) -> Self {
        let sums = if left > 0 {
            row_sums(&cells, &batch, &functional, width)
        } else {
            vec![vec![K::ZERO]; functional.len()]
        };
        let (mut products, mut pairs) = (Vec::new(), Vec::new());
        for (product, sums) in functional.into_iter().zip(sums) {
            pairs.push(Pair::new(sums, product.rows));
            products.push(product.cells);
        }
        Self { cells, batch, products, pairs, width, bound: Vec::new(), left }
    }

    fn into_stage(self) -> Result<Stage<'a>, ArityError> {
        Ok(if self.left == 0 { Stage::Cells(self.finish()?) } else { Stage::Rows(self) })
    }

    fn bind(&mut self, challenge: K) {
        self.pairs.iter_mut().for_each(|pair| pair.bind(challenge));
        self.bound.push(challenge);
        self.left -= 1;
    }

    /// Returns what is left of both vectors behind the variables of `y`.
    fn finish(&self) -> Result<Pair, ArityError> {
        let columns = self.width * self.batch.len();
        let mut x = self.cells.combine(columns, &eq_table(&self.bound));
        if self.batch.len() > 1 {
            let instances = x.par_chunks(self.batch.len());
            let bound = instances.map(|instances| inner_product(&self.batch, instances));
            x = bound.collect::<Result<_, _>>()?;
        }
        let mut a = vec![K::ZERO; self.width];
        for (product, pair) in self.products.iter().zip(&self.pairs) {
            let [_, factor] = pair.first();
            add_scaled(&mut a, product, factor);
        }
        Ok(Pair::new(x, a))
    }
}

/// Returns `P[y] = sum_{x,c,b} T[y,x,c,b] V(x,c) eq(rho_b,b)` of each product, for every padded `y`.
fn row_sums(cells: &Cells<'_>, batch: &[K], functional: &[Product], width: usize) -> Vec<Vec<K>> {
    let vectors: Vec<Vec<K>> =
        functional.par_iter().map(|product| with_batch(&product.cells, batch)).collect();
    let lists: Vec<&[K]> = vectors.iter().map(Vec::as_slice).collect();
    let products = cells.products(width * batch.len(), &lists);
    let count = lists.len();
    (0..count).map(|v| products.iter().skip(v).step_by(count).copied().collect()).collect()
}

/// `V(x,c) eq(rho_b,b)`.
fn with_batch(cells: &[K], batch: &[K]) -> Vec<K> {
    if batch.len() <= 1 {
        return cells.to_vec();
    }
    let batch: Vec<Factor> = batch.iter().map(|&weight| Factor::new(weight)).collect();
    let mut weights = vec![K::ZERO; cells.len() * batch.len()];
    weights.par_chunks_mut(batch.len()).zip(cells).for_each(|(weights, &cell)| {
        for (weight, factor) in weights.iter_mut().zip(&batch) {
            *weight = factor.times(cell);
        }
    });
    weights
}

/// Both vectors in full: for a functional of so many products, or a batch so large, that passes over
/// the tensor would cost more.
fn in_full(cells: &Cells<'_>, batch: &[K], functional: &[Product]) -> Pair {
    let x = cells.products(batch.len(), &[batch]);
    let rows = functional.first().map_or(1, |product| product.rows.len());
    let width = x.len() / rows;
    let mut a = vec![K::ZERO; x.len()];
    a.par_chunks_mut(width).enumerate().for_each(|(y, cells)| {
        for product in functional {
            let factor = product.rows.get(y).copied().unwrap_or(K::ZERO);
            add_scaled(cells, &product.cells, factor);
        }
    });
    Pair::new(x, a)
}

/// Passes over a tensor that cost about as much as its vectors in full.
const MAX_PASSES: usize = 16;

/// Instances over which the vectors in full, which have no batch, cost less than a pass.
const MIN_BATCH_IN_FULL: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multilinear::evaluate;
    use crate::transcript::Transcript;

    fn column(cells: usize) -> Vec<F> {
        let cell = |i: usize| F::from_i32(i32::try_from(i * 7919 % 511).unwrap() - 255);
        (0..cells).map(cell).collect()
    }

    /// `sum_z X(z) A(z)` with `sum_{x,c,b}` left for later gives the messages of the vectors in full.
    #[test]
    fn both_ways_send_the_same_messages() {
        for (log_rows, log_width, lb, count) in
            [(0, 6, 0, 2), (3, 3, 0, 1), (3, 4, 2, 3), (5, 0, 1, 2), (2, 4, 0, 0)]
        {
            let mut rng = Transcript::new();
            let (rows, width) = (1 << log_rows, 1 << log_width);
            let rho = rng.sample_point(lb);
            let batch = eq_table(&rho);
            let column = column((rows * width) << lb);
            let product =
                |_| Product { rows: rng.sample_point(rows), cells: rng.sample_point(width) };
            let functional: Vec<Product> = (0..count).map(product).collect();
            let cells = Cells::new(&column);
            let mut full = in_full(&cells, &batch, &functional);
            let left = u32::try_from(log_rows).unwrap();
            let rows = Rows::new(cells, batch, functional, width, left);
            let mut point = rng.sample_point(log_rows + log_width);
            let arity = u32::try_from(point.len()).unwrap();
            let mut summand =
                Summand { arity, scale: F::ONE, idle: K::ZERO, stage: rows.into_stage().unwrap() };
            assert_eq!(summand.stage.sum(), full.sum());
            for (&challenge, left) in point.iter().zip((1..=arity).rev()) {
                assert_eq!(summand.message(left), full.message());
                summand.bind(left, challenge).unwrap();
                full.bind(challenge);
            }
            assert_eq!(summand.value(), full.first()[0]);
            point.extend(rho);
            assert_eq!(evaluate(&column, &point), Ok(summand.value()));
        }
    }

    #[test]
    fn rounds_without_a_variable_halve_the_sum() {
        let mut rng = Transcript::new();
        let pair = Pair::new(rng.sample_point(4), rng.sample_point(4));
        let sum = pair.sum();
        let mut summand =
            Summand { arity: 2, scale: inverse_power(2), idle: sum, stage: Stage::Cells(pair) };
        assert_eq!(summand.message(4), [sum.halve(); 2]);
        summand.bind(4, rng.sample_k()).unwrap();
        assert_eq!(summand.message(3), [sum.halve().halve(); 2]);
        summand.bind(3, rng.sample_k()).unwrap();
        let Stage::Cells(pair) = &summand.stage else { panic!("nothing was bound") };
        let quarter = F::ONE.halve().halve();
        assert_eq!(summand.message(2), pair.message().map(|value| value * quarter));
    }
}
