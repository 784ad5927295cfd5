//! The scheme `exact` on EVM chains, by EIP-3009 `transferWithAuthorization`.

mod check;
mod payload;
mod refusal;
mod sign;
#[cfg(test)]
mod tests;

pub use check::{
    CheckedPayment, MIN_REMAINING_SECONDS, Note, PaymentTerms, SignatureCheck, check_exact,
};
pub use payload::{Authorization, ExactPayload};
pub use refusal::PaymentRefusal;
pub use sign::{PaymentSigner, SigningError, authorization_hash};

pub(crate) use check::{ERC6492_SUFFIX, HALF_ORDER, check_untimed, split_signature};
pub(crate) use payload::{address, uses_eip3009};
