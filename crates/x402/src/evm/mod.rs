//! What the schemes on EVM chains share: spellings, signatures, and who signs.

mod signature;
mod signer;
pub(crate) mod text;

pub use signature::SignatureCheck;
pub use signer::{PaymentSigner, SigningError};

pub(crate) use signature::{
    ERC6492_SUFFIX, HALF_ORDER, SignatureFault, check_signature, split_signature, v_r_s,
};
pub(crate) use text::address;
