use std::time::Duration;

use assay_primitives::{ItemId, Method, RandomnessError, Timestamp, TransactionId, json};
use assay_store::{StoreError, TransactionState};
use assay_verify::Refusal;
use assay_x402::{FacilitatorError, PaymentRefusal, SettleResponse};
use thiserror::Error;

use crate::{AdmissionRefusal, CertifierError};

/// An order that did not become a purchase.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PurchaseError {
    /// The payment is not what was offered. Nothing was charged.
    #[error(transparent)]
    Payment(#[from] PaymentRefusal),
    /// The payment would not be carried out, or nobody can say. Nothing was charged.
    #[error(transparent)]
    Facilitator(#[from] FacilitatorError),
    /// Too much is under way. Nothing was charged; the same payment can be sent again.
    #[error(transparent)]
    Admission(#[from] AdmissionRefusal),
    /// The payment was used before.
    #[error("the payment was used before, by transaction {}", .0.transaction)]
    Taken(Taken),
    /// The request cannot be certified by the offer's method. Nothing was charged.
    #[error("method `{method}`: {reason}")]
    Request {
        /// The method.
        method: Method,
        /// Why, for the buyer.
        reason: String,
    },
    /// The model cannot be certified by the offer's method.
    #[error("no certifier for method `{0}`")]
    NoCertifier(String),
    /// The model did not run, or was not certified. Nothing was charged.
    #[error(transparent)]
    Certifier(#[from] CertifierError),
    /// The receipt could not be made, or did not verify. Nothing was charged.
    #[error("receipt: {0}")]
    Receipt(String),
    /// The settlement failed. Nothing was charged, and nothing is released.
    #[error("settlement failed: {}", .0.error_message.as_deref().unwrap_or("no reason given"))]
    NotSettled(Box<SettleResponse>),
    /// Nobody knows yet whether the payment was settled. The result is released when it was; the
    /// client must not sign again.
    #[error("settlement of transaction {transaction} is pending")]
    Pending {
        /// The transaction.
        transaction: TransactionId,
        /// What the payer is told.
        response: Box<SettleResponse>,
    },
    /// The process ends, and the next one carries the purchase out.
    #[error("transaction {0} is queued: it is carried out when the gateway is back")]
    Queued(TransactionId),
    /// The purchase was cancelled. Nothing was charged.
    #[error("the purchase was cancelled")]
    Cancelled,
    /// The purchase took so long that its payment could not be settled in time. Nothing was charged.
    #[error("the payment had to be committed by {deadline}, and now it is {now}")]
    Late {
        /// The last moment.
        deadline: Timestamp,
        /// The time of the question.
        now: Timestamp,
    },
    /// An item ran longer than its buyer's timeout.
    #[error("the item did not end within its timeout of {after:?}")]
    TimedOut {
        /// The timeout.
        after: Duration,
    },
    /// The job was tried as often as a job is. Nothing was charged.
    #[error("the job was tried {0} times")]
    Attempts(u64),
    /// One item of several came to nothing, and so all did. Nothing was charged.
    #[error("item `{item}`: {error}")]
    Item {
        /// The item.
        item: ItemId,
        /// What became of it.
        error: Box<Self>,
    },
    /// An item failed of a transaction in which inputs are built of outputs. Nothing was charged, and
    /// nothing is told of outputs that are not paid for.
    #[error("an item did not run or was not certified")]
    Hidden,
    /// The model that was ordered is not sold here any more. Nothing was charged.
    #[error("model `{0}` is not sold here any more")]
    ModelGone(String),
    /// The store failed before anything was charged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness for secrets.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The work was interrupted by a defect.
    #[error("the purchase was interrupted")]
    Interrupted,
}

impl PurchaseError {
    /// Says whether another payment would buy what this one did not.
    #[must_use]
    pub const fn asks_for_payment(&self) -> bool {
        matches!(self, Self::Payment(_) | Self::Facilitator(FacilitatorError::Refused { .. }))
    }

    /// Returns what went wrong, whichever item it was in.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::Item { error, .. } => error.cause(),
            error => error,
        }
    }

    /// Says whether a purchase that was taken on came to nothing by its payer's doing: by its input, as
    /// there was too much of it, or as its payment was good no longer.
    pub(super) fn is_of_payer(&self) -> bool {
        matches!(
            self.cause(),
            Self::Certifier(CertifierError::Engine(_) | CertifierError::Method { .. })
                | Self::Hidden
                | Self::Request { .. }
                | Self::Late { .. }
                | Self::TimedOut { .. }
                | Self::NotSettled(_)
                | Self::Facilitator(FacilitatorError::Refused { .. })
        )
    }
}

/// Who has a payment already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Taken {
    /// The transaction that has it.
    pub transaction: TransactionId,
    /// How far that is.
    pub state: TransactionState,
    /// Whether it was for another request or offer. Said only to who shows the hash of an access token:
    /// a settled payment is public, and anybody could learn by it whether a guessed request is right.
    pub other_request: bool,
}

/// Writes what is stored.
pub(super) fn written<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, PurchaseError> {
    json::to_vec(value).map_err(|error| PurchaseError::Receipt(error.to_string()))
}

/// What this service made itself was refused by its own check.
pub(super) fn refused(refusal: &Refusal) -> PurchaseError {
    PurchaseError::Receipt(refusal.to_string())
}
