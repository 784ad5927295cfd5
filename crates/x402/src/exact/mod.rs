//! The scheme `exact` on EVM chains, by EIP-3009 `transferWithAuthorization`.

mod check;
mod payload;
mod sign;
#[cfg(test)]
mod tests;

pub use payload::{Authorization, ExactPayload};
pub use sign::authorization_hash;

pub(crate) use check::examine;
pub(crate) use payload::uses_eip3009;
