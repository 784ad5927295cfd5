//! The verifier's side (section 4.2). It shares the order of terms, the closed forms and the values
//! at the end with the prover, and nothing that reads a tensor.

use p3_field::PrimeCharacteristicRing;

use super::axis::{AxisPair, Reads};
use super::error::LayerError;
use super::statement::{LayerEnds, LayerStatement, inverse_power, remote_tensors};
use super::terms::{AxisPoint, NumberedForm, PickTerm, convs, forms, picks};
use crate::field::{F, K};
use crate::multilinear::{ArityError, same_length};
use crate::program::{Axis, TensorShape};
use crate::sumcheck::Walk;
use crate::transcript::{Label, Transcript};

/// What the rounds leave to be checked: a claim at `tau`.
#[derive(Clone, Debug)]
#[must_use = "the rounds prove nothing until their end is checked"]
pub struct LayerClaim {
    tau: Vec<K>,
    claim: K,
}

/// Follows the rounds (step 5).
///
/// `claims` are those of [`form_claims`](super::form_claims).
///
/// # Errors
///
/// Returns [`LayerError::Arity`] unless there are a claim for each form and `nS` rounds.
pub fn verify(
    statement: &LayerStatement<'_>,
    claims: &[K],
    rounds: &[[K; 2]],
    transcript: &mut Transcript,
) -> Result<LayerClaim, LayerError> {
    statement.check(claims)?;
    let expected = statement.sizes.layer_arity as usize;
    same_length("rounds of the layer sumcheck", expected, rounds.len())?;
    let mut walk = Walk::new(Label::LayerRound, statement.batched(claims));
    for &round in rounds {
        let _ = walk.step(round, transcript);
    }
    let (claim, tau) = walk.end();
    Ok(LayerClaim { tau, claim })
}

impl LayerClaim {
    /// Returns `tau`.
    pub fn tau(&self) -> &[K] {
        &self.tau
    }

    /// Checks the end of section 4.2.
    ///
    /// # Errors
    ///
    /// Returns [`LayerError`] if there are more or fewer values than the program has, or they are
    /// not those that the rounds end in.
    pub fn check_ends(
        self,
        statement: &LayerStatement<'_>,
        ends: &LayerEnds,
    ) -> Result<(), LayerError> {
        let (claimed, computed) = (self.claim, end(statement, &self.tau, ends)?);
        if claimed == computed { Ok(()) } else { Err(LayerError::End { claimed, computed }) }
    }
}

/// `sum_T 2^-(nS-d_T) X_T A_T~(tau_T) + 2^-nS sum_l lambda_f^l mask_l beta_l`.
fn end(statement: &LayerStatement<'_>, tau: &[K], ends: &LayerEnds) -> Result<K, ArityError> {
    let (program, lb, rounds) =
        (statement.program(), statement.sizes.lb, statement.sizes.layer_arity);
    ends.check_lengths(statement.program, lb)?;
    same_length("coordinates of tau", rounds as usize, tau.len())?;
    let powers = statement.powers();
    let power = |form: usize| powers.get(form).copied().unwrap_or(K::ZERO);

    let mut functionals = vec![K::ZERO; program.tensors.len()];
    for (term, &value) in convs(program).zip(&ends.convs) {
        if let Some(functional) = functionals.get_mut(term.conv.tensor as usize) {
            *functional += power(term.form) * value;
        }
    }
    for term in picks(program) {
        let value = pick_at(&term, statement, tau)?;
        if let Some(functional) = functionals.get_mut(term.pick.tensor as usize) {
            *functional += power(term.form) * value;
        }
    }

    let mut sum = K::ZERO;
    for (tensor, &value) in remote_tensors(statement.program, lb).into_iter().zip(&ends.tensors) {
        let functional = functionals.get(tensor).copied().unwrap_or(K::ZERO);
        let shape = program.tensors.get(tensor).map_or(TensorShape::vector(1), |t| t.shape);
        let idle = rounds.saturating_sub(shape.arity(lb).saturating_sub(lb));
        sum += value * functional * inverse_power(idle);
    }
    let biased = forms(program).filter(NumberedForm::has_bias);
    for (form, &value) in biased.zip(&ends.biases) {
        let point = AxisPoint::of_batch(statement.rho, form.output, lb)?;
        let masked = point.mask_yx(form.output) * value;
        sum += power(form.number) * masked * inverse_power(rounds);
    }
    Ok(sum)
}

/// `m prod_axes S_axis`.
fn pick_at(
    term: &PickTerm<'_>,
    statement: &LayerStatement<'_>,
    tau: &[K],
) -> Result<K, ArityError> {
    let lb = statement.sizes.lb;
    let rho = AxisPoint::of_batch(statement.rho, term.output, lb)?;
    let tau = AxisPoint::of_one(tau, term.input.shape, lb)?;
    let mut product = K::from(F::from_i32(term.pick.m));
    let axes = [Axis::Y, Axis::X, Axis::C].into_iter().zip(term.pick.order).zip(&term.pick.axes);
    for ((to, from), map) in axes {
        let pair = AxisPair {
            rho: rho.along(to),
            outputs: term.output.extent(to),
            extent: term.input.shape.extent(from),
        };
        product *= pair.sums(&Reads::from(map), tau.along(from))?.into_iter().sum::<K>();
    }
    Ok(product)
}
