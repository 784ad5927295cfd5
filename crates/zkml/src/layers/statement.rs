//! What both sides of the layer sumcheck are given, and what it ends in (section 4.2).

use p3_field::PrimeCharacteristicRing;

use super::error::LayerError;
use super::terms::{NumberedForm, convs, forms, picks};
use crate::field::{F, K};
use crate::multilinear::{ArityError, same_length};
use crate::program::{CheckedProgram, Program, Sizes};

/// The program, the point of its claims, and the challenge that batches them.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of section 4.2")]
pub struct LayerStatement<'a> {
    /// The program.
    pub program: &'a CheckedProgram,
    /// Its sizes for this batch.
    pub sizes: Sizes,
    /// `rho`, of `nR` coordinates.
    pub rho: &'a [K],
    /// `lambda_f`.
    pub lambda: K,
}

/// The values that the layer sumcheck ends in (step 6).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the values of the end and no others")]
pub struct LayerEnds {
    /// `X_T~(tau|d_T, rho_b)` for each of [`remote_tensors`].
    pub tensors: Vec<K>,
    /// `a_j` for each Conv term, in the order of sites, forms and terms.
    pub convs: Vec<K>,
    /// `beta_l = sum_i m_i <eq(rho_o), b_i>` for each form with Bias terms.
    pub biases: Vec<K>,
}

/// Returns the tensors that a Conv or Pick reads, and the input if `lb > 0`; ascending.
#[must_use]
pub fn remote_tensors(program: &CheckedProgram, lb: u32) -> Vec<usize> {
    let program = program.program();
    let convs = convs(program).map(|term| term.conv.tensor as usize);
    let picks = picks(program).map(|term| term.pick.tensor as usize);
    let mut tensors: Vec<usize> = convs.chain(picks).chain((lb > 0).then_some(0)).collect();
    tensors.sort_unstable();
    tensors.dedup();
    tensors
}

impl LayerStatement<'_> {
    pub(super) const fn program(&self) -> &Program {
        self.program.program()
    }

    /// Checks the lengths of `rho` and of the claims.
    pub(super) fn check(&self, claims: &[K]) -> Result<(), LayerError> {
        let expected = self.sizes.claim_arity as usize;
        same_length("coordinates of rho", expected, self.rho.len())?;
        same_length("claims on forms", forms(self.program()).count(), claims.len())?;
        Ok(())
    }

    /// Returns `sum_l lambda_f^l C_l`.
    pub(super) fn batched(&self, claims: &[K]) -> K {
        claims.iter().rev().fold(K::ZERO, |sum, &claim| sum * self.lambda + claim)
    }

    /// Returns `lambda_f^l` for every form.
    pub(super) fn powers(&self) -> Vec<K> {
        let next = |power: &K| Some(*power * self.lambda);
        let powers = std::iter::successors(Some(K::ONE), next);
        powers.take(forms(self.program()).count()).collect()
    }
}

impl LayerEnds {
    /// Checks that there is a value for each tensor, term and bias of the program.
    ///
    /// # Errors
    ///
    /// Returns [`ArityError`] with the list that has another length.
    pub fn check_lengths(&self, program: &CheckedProgram, lb: u32) -> Result<(), ArityError> {
        let tensors = remote_tensors(program, lb).len();
        let program = program.program();
        let biases = forms(program).filter(NumberedForm::has_bias).count();
        same_length("values of remote tensors", tensors, self.tensors.len())?;
        same_length("values of convolutions", convs(program).count(), self.convs.len())?;
        same_length("values of biases", biases, self.biases.len())
    }
}

/// `2^-n`.
pub(super) fn inverse_power(n: u32) -> F {
    (0..n).fold(F::ONE, |power, _| power.halve())
}
