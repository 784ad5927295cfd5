use alloy_primitives::{Address, U256};
use assay_primitives::Amount;
use thiserror::Error;

use crate::ErrorReason;
use crate::evm::SignatureFault;

/// Why a permit is refused without asking the chain.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum UptoRefusal {
    /// The permit is for another amount than the offer's most.
    #[error("permitted.amount: expected {expected}, got {got}")]
    Amount {
        /// The offer's amount.
        expected: U256,
        /// The amount found.
        got: U256,
    },
    /// More is to be settled than is permitted.
    #[error("amount to settle: at most {permitted} is permitted, got {actual}")]
    Exceeds {
        /// What is permitted.
        permitted: Amount,
        /// What is to be settled.
        actual: Amount,
    },
    /// The permit has expired, or will before it can be settled.
    #[error("deadline: {deadline} is less than {needed} seconds after now, {now}")]
    Expired {
        /// The Unix time found.
        deadline: U256,
        /// How many seconds have to be left.
        needed: u64,
        /// The Unix time of the check.
        now: u64,
    },
    /// The permit is for somebody else to settle.
    #[error("witness.facilitator: expected {expected}, got {got}")]
    Facilitator {
        /// The offer's facilitatorAddress.
        expected: Address,
        /// The facilitator found.
        got: Address,
    },
    /// The permit is not valid yet.
    #[error("witness.validAfter: {valid_after} is later than now, {now}")]
    NotYetValid {
        /// The Unix time found.
        valid_after: U256,
        /// The Unix time of the check.
        now: u64,
    },
    /// The permit pays somebody else.
    #[error("witness.to: expected {expected}, got {got}")]
    Recipient {
        /// The offer's payTo.
        expected: Address,
        /// The recipient found.
        got: Address,
    },
    /// A signature for a wallet that is still to be deployed (ERC-6492).
    #[error("signature: ERC-6492 deployment by factory {factory} is not supported")]
    Deployment {
        /// The factory that would deploy it.
        factory: Address,
    },
    /// There is no signature, or one that is not taken.
    #[error("signature of {payer}: {detail}")]
    Signature {
        /// Who should have signed.
        payer: Address,
        /// What is wrong.
        detail: String,
    },
    /// The permit is not for x402's proxy of `upto` to carry out.
    #[error("spender: expected {expected}, got {got}")]
    Spender {
        /// The proxy.
        expected: Address,
        /// The spender found.
        got: Address,
    },
    /// The permit is for another token.
    #[error("permitted.token: expected {expected}, got {got}")]
    Token {
        /// The offer's asset.
        expected: Address,
        /// The token found.
        got: Address,
    },
    /// The token's own permit cannot be read.
    #[error("extensions.eip2612GasSponsoring: {detail}")]
    TokenPermitFormat {
        /// What is wrong.
        detail: String,
    },
    /// A field of the token's own permit does not fit.
    #[error("extensions.eip2612GasSponsoring.info.{field}: expected {expected}, got {got}")]
    TokenPermit {
        /// The field, as on the wire.
        field: &'static str,
        /// What fits.
        expected: String,
        /// The value found.
        got: String,
    },
}

impl UptoRefusal {
    /// Returns the x402 error code.
    #[must_use]
    pub const fn reason(&self) -> ErrorReason {
        match self {
            Self::Amount { .. } => ErrorReason::Permit2AmountMismatch,
            Self::Deployment { .. } => ErrorReason::FactoryNotAllowed,
            Self::Exceeds { .. } => ErrorReason::UptoSettlementExceedsAmount,
            Self::Expired { .. } => ErrorReason::Permit2DeadlineExpired,
            Self::Facilitator { .. } => ErrorReason::UptoFacilitatorMismatch,
            Self::NotYetValid { .. } => ErrorReason::Permit2NotYetValid,
            Self::Recipient { .. } => ErrorReason::Permit2RecipientMismatch,
            Self::Signature { .. } => ErrorReason::InvalidPermit2Signature,
            Self::Spender { .. } => ErrorReason::InvalidPermit2Spender,
            Self::Token { .. } => ErrorReason::Permit2TokenMismatch,
            Self::TokenPermit { field, .. } => token_permit_reason(field.as_bytes()),
            Self::TokenPermitFormat { .. } => ErrorReason::InvalidEip2612Extension,
        }
    }

    pub(super) fn of_signature(payer: Address, fault: SignatureFault) -> Self {
        match fault {
            SignatureFault::Empty => Self::Signature { payer, detail: "got no bytes".to_owned() },
            SignatureFault::Deployment { factory } => Self::Deployment { factory },
            SignatureFault::Form { detail } => Self::Signature { payer, detail },
        }
    }
}

const fn token_permit_reason(field: &[u8]) -> ErrorReason {
    match field {
        b"from" => ErrorReason::Eip2612FromMismatch,
        b"asset" => ErrorReason::Eip2612AssetMismatch,
        b"spender" => ErrorReason::Eip2612SpenderNotPermit2,
        b"deadline" => ErrorReason::Eip2612DeadlineExpired,
        _ => ErrorReason::Permit2612AmountMismatch,
    }
}
