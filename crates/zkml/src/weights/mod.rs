//! All claims on weights, reduced to one value of the weight matrix by one sumcheck (sections 6.2
//! and 6.3).
//!
//! Each `a_j` of a convolution and each `beta_l` of a bias is a linear functional of the weight
//! vector whose coefficients both sides know. They are batched by powers of `lambda_w`, and
//! `sum M F` is summed over the columns first (`chi`), then the rows (`zeta`), by the sumcheck of
//! Lund, Fortnow, Karloff and Nisan.
//!
//! | file | is |
//! |---|---|
//! | `statement` | what both sides are given; the claims, in order, with their coefficients |
//! | `coefficient` | the verifier's `F~(zeta, chi)` |
//! | `rows`, `prove` | the prover |
//! | `verify` | the verifier, which uses nothing of the prover |
//!
//! The caller absorbs the values at the end of the layers, draws `lambda_w`, and opens the weights.

mod coefficient;
mod error;
mod prove;
mod rows;
mod statement;
mod verify;

#[cfg(test)]
mod tests;

pub use self::error::WeightError;
pub use self::prove::{ProvedWeights, prove};
pub use self::statement::WeightStatement;
pub use self::verify::{WeightClaim, verify};
