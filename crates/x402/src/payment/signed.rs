use alloy_primitives::{Address, B256, U256};
use assay_chain::PERMIT2;
use assay_primitives::Timestamp;

use super::PaymentRefusal;
use crate::{Authorization, ExactPayload, SignedPermit};

/// What a payer signed, by the scheme.
#[derive(Clone, Debug, PartialEq)]
pub enum Signed {
    /// An EIP-3009 authorisation, of the scheme `exact`.
    Exact(ExactPayload),
    /// A permit of Permit2, of the scheme `upto`.
    Upto(Box<SignedPermit>),
}

impl Signed {
    /// Returns who pays.
    #[must_use]
    pub const fn payer(&self) -> Address {
        match self {
            Self::Exact(exact) => exact.authorization.from,
            Self::Upto(upto) => upto.permit().from,
        }
    }

    /// Returns who is paid.
    #[must_use]
    pub const fn pay_to(&self) -> Address {
        match self {
            Self::Exact(exact) => exact.authorization.to,
            Self::Upto(upto) => upto.permit().witness.to,
        }
    }

    /// Returns the most that is paid, in atomic units.
    #[must_use]
    pub const fn amount(&self) -> U256 {
        match self {
            Self::Exact(exact) => exact.authorization.value,
            Self::Upto(upto) => upto.permit().permitted.amount,
        }
    }

    /// Returns the nonce, a number of Permit2 as its bytes.
    #[must_use]
    pub fn nonce(&self) -> B256 {
        match self {
            Self::Exact(exact) => exact.authorization.nonce,
            Self::Upto(upto) => upto.permit().nonce.into(),
        }
    }

    /// Returns the first second in which it cannot be carried out any more; the year 9999 where it is
    /// later. A permit is good in the second of its deadline, an authorisation before `validBefore`.
    #[must_use]
    pub fn valid_before(&self) -> Timestamp {
        let end = match self {
            Self::Exact(exact) => exact.authorization.valid_before,
            Self::Upto(upto) => upto.permit().deadline.saturating_add(U256::ONE),
        };
        Timestamp::from_seconds(end.saturating_to())
    }

    /// Returns the authorisation of the scheme `exact`.
    #[must_use]
    pub const fn authorization(&self) -> Option<&Authorization> {
        match self {
            Self::Exact(exact) => Some(&exact.authorization),
            Self::Upto(_) => None,
        }
    }

    /// Returns the contract that keeps which nonces are used: the token, or Permit2 for all tokens.
    pub(crate) const fn nonce_keeper(&self, token: Address) -> Address {
        match self {
            Self::Exact(_) => token,
            Self::Upto(_) => PERMIT2,
        }
    }

    pub(crate) fn signature(&self) -> &[u8] {
        match self {
            Self::Exact(exact) => &exact.signature,
            Self::Upto(upto) => &upto.payload.signature,
        }
    }

    pub(crate) fn check_time(&self, now: Timestamp) -> Result<(), PaymentRefusal> {
        match self {
            Self::Exact(exact) => exact.authorization.check_time(now),
            Self::Upto(upto) => Ok(upto.check_time(now)?),
        }
    }

    pub(crate) fn check_time_left(
        &self,
        seconds: u64,
        now: Timestamp,
    ) -> Result<(), PaymentRefusal> {
        match self {
            Self::Exact(exact) => exact.authorization.check_time_left(seconds, now),
            Self::Upto(upto) => Ok(upto.check_time_left(seconds, now)?),
        }
    }
}
