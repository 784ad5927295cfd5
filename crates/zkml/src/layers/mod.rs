//! All linear layers, proven by one batched sumcheck of degree 2 (section 4). That a matrix product
//! costs one sumcheck over its inner dimension is Thaler's (CRYPTO 2013).
//!
//! Each form has a claim at its suffix of `rho`. [`form_claims`] subtracts what the verifier knows;
//! what is left are inner products of tensors with known functionals, and masked biases. One run of
//! `nS` rounds reduces all of them to one value of each tensor at its suffix of `tau`, one value of
//! each convolution, and one of each bias: the [`LayerEnds`].
//!
//! | file | is |
//! |---|---|
//! | `terms` | forms and their terms in order, coordinates by axis |
//! | `axis` | the closed forms of one axis |
//! | `claims` | claims in |
//! | `statement` | what both sides are given, and the values at the end |
//! | `cells`, `kernel`, `functional`, `summand`, `prove` | the prover |
//! | `verify` | the verifier, which uses nothing of the prover |
//!
//! The caller absorbs the claims, draws `lambda_f`, and absorbs the values at the end.

mod axis;
mod cells;
mod claims;
mod error;
mod functional;
mod kernel;
mod prove;
mod statement;
mod summand;
mod terms;
mod verify;

pub use self::claims::form_claims;
pub use self::error::LayerError;
pub(crate) use self::prove::whole_matrix;
pub use self::prove::{ProvedLayers, prove};
pub use self::statement::{LayerEnds, LayerStatement, remote_tensors};
pub(crate) use self::terms::{AxisPoint, Channels, ConvTerm, NumberedForm, convs, forms};
pub use self::verify::{LayerClaim, verify};
