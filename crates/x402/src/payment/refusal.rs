use alloy_primitives::{Address, U256};
use thiserror::Error;

use crate::evm::SignatureFault;
use crate::{ErrorReason, UPTO, UptoRefusal};

/// Why a payment is refused without asking the chain.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PaymentRefusal {
    /// Not protocol version 2.
    #[error("x402 version: expected 2, got {got}")]
    Version {
        /// The version found.
        got: u64,
    },
    /// A field of the accepted offer is not that of one's own.
    #[error("accepted {field}: expected {expected}, got {got}")]
    Offer {
        /// The scheme of one's own offer.
        scheme: String,
        /// The field, as on the wire.
        field: &'static str,
        /// One's own value.
        expected: String,
        /// The value that came back.
        got: String,
    },
    /// The accepted offer is none of one's own; the closest of them differs so.
    #[error(
        "accepted none of {count} offers; the closest differs in {field}: expected {expected}, got {got}"
    )]
    NoSuchOffer {
        /// How many offers there are.
        count: usize,
        /// The scheme of the closest.
        scheme: String,
        /// The field in which the closest differs.
        field: &'static str,
        /// That offer's value.
        expected: String,
        /// The value that came back.
        got: String,
    },
    /// One's own offer cannot be paid by its scheme on EVM chains.
    #[error("offer cannot be paid: {field} is {got}")]
    Unpayable {
        /// The field, as on the wire.
        field: &'static str,
        /// Its value.
        got: String,
    },
    /// The offer lacks a part of the token's EIP-712 domain.
    #[error("offer lacks extra.{field}, which the token's EIP-712 domain needs")]
    MissingDomain {
        /// `name` or `version`.
        field: &'static str,
    },
    /// The payload is of another kind.
    #[error("payload: expected {expected}, got fields {got}")]
    PayloadType {
        /// The fields of the offer's scheme.
        expected: &'static str,
        /// The fields found.
        got: String,
    },
    /// The payload is malformed.
    #[error("payload: {detail}")]
    Payload {
        /// What is wrong.
        detail: String,
    },
    /// The authorisation pays somebody else.
    #[error("authorization.to: expected {expected}, got {got}")]
    Recipient {
        /// The offer's payTo.
        expected: Address,
        /// The recipient found.
        got: Address,
    },
    /// The authorised value is not the offered amount.
    #[error("authorization.value: expected {expected}, got {got}")]
    Value {
        /// The offer's amount.
        expected: U256,
        /// The value found.
        got: U256,
    },
    /// The authorisation is not valid yet.
    #[error("authorization.validAfter: {valid_after} is later than now, {now}")]
    NotYetValid {
        /// The Unix time found.
        valid_after: U256,
        /// The Unix time of the check.
        now: u64,
    },
    /// The authorisation has expired, or will before it can be settled.
    #[error(
        "authorization.validBefore: {valid_before} is less than {needed} seconds after now, {now}"
    )]
    Expired {
        /// The Unix time found.
        valid_before: U256,
        /// How many seconds have to be left.
        needed: u64,
        /// The Unix time of the check.
        now: u64,
    },
    /// A signature for a wallet that is still to be deployed (ERC-6492).
    #[error("signature: ERC-6492 deployment by factory {factory} is not supported")]
    Deployment {
        /// The factory that would deploy it.
        factory: Address,
    },
    /// A signature that no token takes: `s` in the upper half of the order, or `v` none of 0, 1, 27
    /// and 28.
    #[error("signature: {detail}")]
    SignatureForm {
        /// What is wrong.
        detail: String,
    },
    /// The signature field is empty.
    #[error("signature: expected the signature of {payer}, got no bytes")]
    SignatureEmpty {
        /// Who should have signed.
        payer: Address,
    },
    /// A permit of the scheme `upto`.
    #[error(transparent)]
    Upto(#[from] UptoRefusal),
}

impl PaymentRefusal {
    /// Returns the x402 error code.
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        match self {
            Self::Version { .. } => ErrorReason::InvalidX402Version,
            Self::Offer { scheme, field, .. } | Self::NoSuchOffer { scheme, field, .. } => {
                offer_reason(scheme, field)
            }
            Self::Unpayable { field: "scheme", .. } => ErrorReason::UnsupportedScheme,
            Self::Unpayable { field: "network", .. } => ErrorReason::InvalidNetwork,
            Self::Unpayable { .. } => ErrorReason::InvalidPaymentRequirements,
            Self::MissingDomain { .. } => ErrorReason::MissingEip712Domain,
            Self::PayloadType { .. } => ErrorReason::UnsupportedPayloadType,
            Self::Payload { .. } => ErrorReason::InvalidPayload,
            Self::Recipient { .. } => ErrorReason::RecipientMismatch,
            Self::Value { .. } => ErrorReason::ValueMismatch,
            Self::NotYetValid { .. } => ErrorReason::ValidAfter,
            Self::Expired { .. } => ErrorReason::ValidBefore,
            Self::Deployment { .. } => ErrorReason::FactoryNotAllowed,
            Self::SignatureForm { .. } | Self::SignatureEmpty { .. } => {
                ErrorReason::InvalidSignature
            }
            Self::Upto(refusal) => refusal.reason(),
        }
    }

    /// Says whether nothing but the time is wrong: the payment has expired, or is about to. It may have
    /// been settled in time.
    #[must_use]
    pub const fn is_expired(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::Upto(UptoRefusal::Expired { .. }))
    }

    pub(crate) fn of_signature(payer: Address, fault: SignatureFault) -> Self {
        match fault {
            SignatureFault::Empty => Self::SignatureEmpty { payer },
            SignatureFault::Deployment { factory } => Self::Deployment { factory },
            SignatureFault::Form { detail } => Self::SignatureForm { detail },
        }
    }

    /// Returns the HTTP status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.reason().status()
    }
}

fn offer_reason(scheme: &str, field: &str) -> ErrorReason {
    match (scheme, field) {
        (UPTO, "scheme") => ErrorReason::InvalidUptoScheme,
        (UPTO, "network") => ErrorReason::UptoNetworkMismatch,
        (UPTO, "payTo") => ErrorReason::Permit2RecipientMismatch,
        (UPTO, "amount") => ErrorReason::Permit2AmountMismatch,
        (_, "scheme") => ErrorReason::InvalidExactScheme,
        (_, "network") => ErrorReason::NetworkMismatch,
        (_, "payTo") => ErrorReason::RecipientMismatch,
        (_, "amount") => ErrorReason::ValueMismatch,
        _ => ErrorReason::InvalidPaymentRequirements,
    }
}
