//! The scheme `upto` on EVM chains: a permit of Permit2 for the most, which x402's proxy carries out for
//! what is charged in the end. Permits name who may settle them.

mod check;
mod payload;
mod refusal;
mod sign;
#[cfg(test)]
mod tests;
mod token_permit;

pub use payload::{PermittedAmount, SignedPermit, UptoPayload, UptoPermit, UptoWitness};
pub use refusal::UptoRefusal;
pub use sign::{permit_hash, token_permit_hash};
pub use token_permit::{
    EIP2612_GAS_SPONSORING, Permit2Standing, TokenPermit, eip2612_gas_sponsoring,
};

pub(crate) use check::{FACILITATOR_ADDRESS, Recipient, examine};
