//! The prover's side (section 4.2).

use std::borrow::Cow;

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use super::error::LayerError;
use super::kernel::BoundKernel;
use super::statement::{LayerEnds, LayerStatement, remote_tensors};
use super::summand::Summand;
use super::terms::{AxisPoint, ConvTerm, NumberedForm, convs, forms};
use crate::field::{F, K};
use crate::multilinear::{ArityError, eq_table, inner_product, same_length};
use crate::program::{Axis, weight_run};
use crate::sumcheck::{Walk, add};
use crate::transcript::{Label, Transcript};

/// The messages of step 5, the point that they fix, and the values of step 6.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProvedLayers {
    /// `g(0), g(2)` of each of the `nS` rounds.
    pub rounds: Vec<[K; 2]>,
    /// `tau`.
    pub tau: Vec<K>,
    /// What the rounds end in.
    pub ends: LayerEnds,
}

/// Proves every form at once (step 5).
///
/// `claims` are those of [`form_claims`](super::form_claims); `tensors[t]` is the padded column of
/// tensor `t`, in the order `[y][x][c][b]`, and is looked at only for the
/// [`remote_tensors`]. Weights behind the end of `weights` are 0. The caller has
/// absorbed all claims; whether they are true is not checked: a proof that they are not is refused.
///
/// # Errors
///
/// Returns [`LayerError::Arity`] unless there are a claim for each form, a column for each tensor,
/// and no more weights than the matrix holds.
pub fn prove(
    statement: &LayerStatement<'_>,
    claims: &[K],
    tensors: &[Vec<F>],
    weights: &[i16],
    transcript: &mut Transcript,
) -> Result<ProvedLayers, LayerError> {
    statement.check(claims)?;
    let program = statement.program();
    same_length("columns of tensors", program.tensors.len(), tensors.len())?;
    let weights = whole_matrix(weights, program.weights.capacity())?;
    let kernels = bind_kernels(statement, &weights)?;
    let biases = biases(statement, &weights)?;

    let powers = statement.powers();
    let remote = remote_tensors(statement.program, statement.sizes.lb);
    let summands = remote.into_par_iter().map(|tensor| {
        let column = tensors.get(tensor).map(Vec::as_slice).unwrap_or_default();
        Summand::new(statement, tensor, column, &kernels, &powers)
    });
    let mut summands: Vec<Summand<'_>> = summands.collect::<Result<_, _>>()?;
    let mut constants = masked_biases(statement, &biases, &powers)?;
    let mut walk = Walk::new(Label::LayerRound, statement.batched(claims));
    let mut rounds = Vec::new();
    for left in (1..=statement.sizes.layer_arity).rev() {
        // A term without this variable has half of its sum at 0 and at 1, hence at 2.
        constants = constants.halve();
        let messages = summands.par_iter().map(|summand| summand.message(left));
        let message = messages.reduce(|| [K::ZERO; 2], add);
        let message = add(message, [constants; 2]);
        rounds.push(message);
        let challenge = walk.step(message, transcript);
        for summand in &mut summands {
            summand.bind(left, challenge)?;
        }
    }
    let (_, tau) = walk.end();
    let ends = LayerEnds {
        tensors: summands.iter().map(Summand::value).collect(),
        convs: conv_values(statement, &kernels, &tau)?,
        biases,
    };
    Ok(ProvedLayers { rounds, tau, ends })
}

/// The weights with the absent ones as zeros.
pub(crate) fn whole_matrix(weights: &[i16], capacity: usize) -> Result<Cow<'_, [i16]>, ArityError> {
    let (what, got) = ("weights, at most the places of the matrix", weights.len());
    match got.cmp(&capacity) {
        std::cmp::Ordering::Equal => Ok(Cow::Borrowed(weights)),
        std::cmp::Ordering::Greater => Err(ArityError { what, expected: capacity, got }),
        std::cmp::Ordering::Less => {
            let mut whole = weights.to_vec();
            whole.resize(capacity, 0);
            Ok(Cow::Owned(whole))
        }
    }
}

fn bind_kernels(
    statement: &LayerStatement<'_>,
    weights: &[i16],
) -> Result<Vec<BoundKernel>, ArityError> {
    let terms: Vec<ConvTerm<'_>> = convs(statement.program()).collect();
    let kernels = terms.into_par_iter().map(|term| {
        let rho = AxisPoint::of_batch(statement.rho, term.output, statement.sizes.lb)?;
        Ok(BoundKernel::bind(&term, rho.along(Axis::C), weights))
    });
    kernels.collect()
}

/// `beta_l` of every form with Bias terms.
fn biases(statement: &LayerStatement<'_>, weights: &[i16]) -> Result<Vec<K>, ArityError> {
    let program = statement.program();
    let biased = forms(program).filter(NumberedForm::has_bias);
    let values = biased.map(|form| {
        let rho = AxisPoint::of_batch(statement.rho, form.output, statement.sizes.lb)?;
        let outputs = eq_table(rho.along(Axis::C));
        let terms = form.biases(program).map(|(segment, m)| {
            let run = weight_run(weights, segment.off, segment.outputs as usize);
            let sum: K = outputs.iter().zip(run).map(|(&eq, &b)| eq * F::from_i16(b)).sum();
            sum * F::from_i32(m)
        });
        Ok(terms.sum())
    });
    values.collect()
}

/// `sum_l lambda_f^l mask_l beta_l`.
fn masked_biases(
    statement: &LayerStatement<'_>,
    biases: &[K],
    powers: &[K],
) -> Result<K, ArityError> {
    let biased = forms(statement.program()).filter(NumberedForm::has_bias);
    let terms = biased.zip(biases).map(|(form, &value)| {
        let point = AxisPoint::of_batch(statement.rho, form.output, statement.sizes.lb)?;
        let power = powers.get(form.number).copied().unwrap_or(K::ZERO);
        Ok(power * point.mask_yx(form.output) * value)
    });
    terms.sum()
}

fn conv_values(
    statement: &LayerStatement<'_>,
    kernels: &[BoundKernel],
    tau: &[K],
) -> Result<Vec<K>, ArityError> {
    let lb = statement.sizes.lb;
    let values = convs(statement.program()).zip(kernels).map(|(term, kernel)| {
        let taps = term.tap_sums(statement.rho, tau, lb)?;
        let channels = AxisPoint::of_one(tau, term.input, lb)?;
        let mut channels = eq_table(channels.along(Axis::C));
        channels.truncate(term.input.c as usize);
        let values = taps.iter().zip(kernel.taps());
        values.map(|(&tap, row)| Ok(tap * inner_product(&channels, row)?)).sum()
    });
    values.collect()
}
