//! The prover's side (section 6.2).

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use super::error::WeightError;
use super::rows::Coefficients;
use super::statement::{WeightStatement, split};
use crate::field::{F, K};
use crate::integers::{combine, row_products};
use crate::layers::{LayerEnds, whole_matrix};
use crate::multilinear::eq_table;
use crate::sumcheck::{Pair, Walk, add};
use crate::tensor_code::{Point, Shape};
use crate::transcript::{Label, Transcript};

/// The messages of step 7 and the point that they fix.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProvedWeights {
    /// `g(0), g(2)` of each of the `n_w` rounds.
    pub rounds: Vec<[K; 2]>,
    /// `(zeta, chi)`.
    pub point: Point,
}

/// Proves the values at the end of the layers against the weights (step 7).
///
/// Weights behind the end of `weights` are 0. The caller has absorbed `ends`; whether they are true
/// is not checked: a proof that they are not is refused.
///
/// # Errors
///
/// Returns [`WeightError::Arity`] unless both points and the values have the lengths of the program,
/// and there are no more weights than the matrix holds.
pub fn prove(
    statement: &WeightStatement<'_>,
    ends: &LayerEnds,
    weights: &[i16],
    transcript: &mut Transcript,
) -> Result<ProvedWeights, WeightError> {
    statement.check()?;
    let shape = statement.program.program().weights;
    let weights = whole_matrix(weights, shape.capacity())?;
    let matrix: Vec<&[i16]> = weights.chunks_exact(shape.columns()).collect();
    let coefficients = Coefficients::new(&shape, &statement.terms()?);

    let mut walk = Walk::new(Label::WeightRound, statement.batched(ends)?);
    let mut rounds = Vec::new();
    let mut pairs = column_pairs(&matrix, &coefficients);
    for _ in 0..shape.log_columns() {
        let message = pairs.par_iter().map(Pair::message).reduce(|| [K::ZERO; 2], add);
        rounds.push(message);
        let challenge = walk.step(message, transcript);
        pairs.par_iter_mut().for_each(|pair| pair.bind(challenge));
    }
    let columns = walk.point().to_vec();
    let mut pair = row_pair(&shape, &weights, &coefficients, &pairs, &columns);
    for _ in 0..shape.log_rows() {
        let message = pair.message();
        rounds.push(message);
        let challenge = walk.step(message, transcript);
        pair.bind(challenge);
    }
    let (_, challenges) = walk.end();
    Ok(ProvedWeights { rounds, point: split(&shape, &challenges) })
}

/// `sum_rows U M[row]` and `v` for each class, then the rows that are written out.
pub(super) fn column_pairs(matrix: &[&[i16]], coefficients: &Coefficients) -> Vec<Pair> {
    let row = |index: usize| matrix.get(index).copied().unwrap_or_default();
    let classes = coefficients.classes().map(|class| {
        let rows: Vec<&[i16]> = class.rows.iter().map(|&(index, _)| row(index)).collect();
        let factors: Vec<K> = class.rows.iter().map(|&(_, factor)| factor).collect();
        Pair::new(combine(&rows, class.vector.len(), &factors), class.vector.clone())
    });
    let written = coefficients.written().map(|(index, values)| {
        let weights = row(index).iter().map(|&weight| F::from_i16(weight).into());
        Pair::new(weights.collect(), values.to_vec())
    });
    classes.chain(written).collect()
}

/// `M[row](chi)` and the coefficients of the rows, once the columns are bound.
pub(super) fn row_pair(
    shape: &Shape,
    weights: &[i16],
    coefficients: &Coefficients,
    pairs: &[Pair],
    chi: &[K],
) -> Pair {
    let mut values = row_products(weights, shape.columns(), &[&eq_table(chi)]);
    values.resize(1 << shape.log_rows(), K::ZERO);
    let mut factors = vec![K::ZERO; values.len()];
    let mut add_to = |row: usize, value: K| {
        if let Some(factor) = factors.get_mut(row) {
            *factor += value;
        }
    };
    let mut bound = pairs.iter().map(|pair| pair.first()[1]);
    for (class, vector) in coefficients.classes().zip(&mut bound) {
        class.rows.iter().for_each(|&(row, factor)| add_to(row, factor * vector));
    }
    coefficients.written().zip(bound).for_each(|((row, _), value)| add_to(row, value));
    Pair::new(values, factors)
}
