//! The verifier's side (sections 6.2 and 6.3). It shares the order of the claims and the factors of
//! their coefficients with the prover, and no computation on weights.

use super::error::WeightError;
use super::statement::{WeightStatement, split};
use crate::field::K;
use crate::layers::LayerEnds;
use crate::multilinear::{ArityError, same_length};
use crate::sumcheck::Walk;
use crate::tensor_code::Point;
use crate::transcript::{Label, Transcript};

/// What the rounds leave to be checked: the value of the weights at one point.
#[derive(Clone, Debug)]
#[must_use = "the rounds prove nothing until their end is checked"]
pub struct WeightClaim {
    point: Point,
    claim: K,
}

/// Follows the rounds (step 7).
///
/// # Errors
///
/// Returns [`WeightError::Arity`] unless both points and the values have the lengths of the program,
/// and there are `n_w` rounds.
pub fn verify(
    statement: &WeightStatement<'_>,
    ends: &LayerEnds,
    rounds: &[[K; 2]],
    transcript: &mut Transcript,
) -> Result<WeightClaim, WeightError> {
    statement.check()?;
    let shape = statement.program.program().weights;
    same_length("rounds of the weight sumcheck", shape.log_weights(), rounds.len())?;
    let mut walk = Walk::new(Label::WeightRound, statement.batched(ends)?);
    for &round in rounds {
        let _ = walk.step(round, transcript);
    }
    let (claim, challenges) = walk.end();
    Ok(WeightClaim { point: split(&shape, &challenges), claim })
}

impl WeightClaim {
    /// Returns the point at which the weights are opened.
    #[must_use]
    pub const fn point(&self) -> &Point {
        &self.point
    }

    /// Checks `v_w F~(zeta, chi) = claim` for the value that the weights are opened to.
    ///
    /// # Errors
    ///
    /// Returns [`WeightError`] if the value is not the one that the rounds end in.
    pub fn check_value(self, statement: &WeightStatement<'_>, value: K) -> Result<(), WeightError> {
        statement.check()?;
        let z = self.point.whole();
        let coefficients = statement.terms()?.into_iter().map(|term| term.at(&z));
        let coefficient: K = coefficients.sum::<Result<K, ArityError>>()?;
        let (claimed, computed) = (self.claim, value * coefficient);
        if claimed == computed { Ok(()) } else { Err(WeightError::End { claimed, computed }) }
    }
}
