use alloy_primitives::{Address, B256};
use assay_chain::AccountKey;
use assay_primitives::RandomnessError;
use thiserror::Error;

/// Somebody who can sign payments: a key in memory ([`AccountKey`]), or a device.
pub trait PaymentSigner: std::fmt::Debug + Send + Sync {
    /// Returns the account that pays.
    fn address(&self) -> Address;

    /// Signs an EIP-712 hash: `r || s || v`, with `v` 27 or 28 and a low `s`.
    ///
    /// # Errors
    /// When the holder of the key declines or does not answer.
    fn sign_hash(&self, hash: &B256) -> Result<[u8; 65], SigningError>;
}

/// A payment that was not signed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SigningError {
    /// The holder of the key said no, or nothing.
    #[error("the signer declined: {0}")]
    Declined(String),
    /// No randomness for the nonce.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

impl PaymentSigner for AccountKey {
    fn address(&self) -> Address {
        Self::address(self)
    }

    fn sign_hash(&self, hash: &B256) -> Result<[u8; 65], SigningError> {
        Ok(Self::sign_hash(self, hash))
    }
}
