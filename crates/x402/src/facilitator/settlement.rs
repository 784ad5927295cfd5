use assay_chain::{B256, Block, PreparedTransaction, SignedTransaction};
use assay_primitives::{Account, Amount, Network, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::wire::shown;
use crate::{CheckedPayment, ErrorReason, PaymentTerms, SettleRequest, SettleResponse};

/// A payment that the chain, or a remote facilitator, says would be carried out now.
#[derive(Clone, Debug)]
pub struct VerifiedPayment {
    payment: CheckedPayment,
    since_block: Option<u64>,
    balance: Option<Amount>,
}

/// What has to be stored, in one database transaction with the receipt, before anything is sent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SettlementIntent {
    /// A transaction signed by one's own key.
    Local(LocalIntent),
    /// A request to a remote facilitator.
    Remote(RemoteIntent),
}

/// A settlement by a transaction of one's own.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalIntent {
    /// What the payer authorised.
    pub terms: PaymentTerms,
    /// A block at which the authorisation was unused: where a search for its use begins.
    pub since_block: u64,
    /// The signed transaction.
    pub transaction: SignedTransaction,
}

/// A settlement by a remote facilitator.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoteIntent {
    /// What the payer authorised.
    pub terms: PaymentTerms,
    /// A block at which the authorisation was unused, if there is a chain to ask.
    pub since_block: Option<u64>,
    /// The request.
    pub request: Box<SettleRequest>,
}

/// An intent that is not stored yet. Dropped, it takes its account nonce back.
#[derive(Debug)]
#[must_use = "a dropped settlement gives its account nonce back and must not be settled"]
pub struct PreparedSettlement {
    intent: SettlementIntent,
    transaction: Option<PreparedTransaction>,
}

/// Money that moved: the token's log shows the transfer the payer authorised.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settled {
    /// The network.
    pub network: Network,
    /// The transaction that moved it, one's own or another's.
    pub transaction: B256,
    /// The block that holds the transaction; `None` by a remote facilitator's word alone.
    pub block: Option<SettledBlock>,
    /// The amount that moved.
    pub amount: Amount,
    /// The token, as in the offer.
    pub asset: Account,
    /// Who paid.
    pub payer: Account,
    /// Who was paid.
    pub pay_to: Account,
}

/// A block that holds a settlement.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SettledBlock {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its time.
    pub time: Timestamp,
}

/// Money that did not move, or may not have.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SettleError {
    /// The payer has not been charged.
    #[error("not settled, {reason}: {detail}")]
    Failed {
        /// Why not.
        reason: ErrorReason,
        /// Why not, with the values.
        detail: String,
        /// The transaction that failed, if one was sent.
        transaction: Option<B256>,
        /// Until when anyone who saw the authorisation could still carry it out: a later
        /// [`reconcile`](crate::Facilitator::reconcile) says whether somebody did. `None` when it
        /// can never be carried out.
        open_until: Option<Timestamp>,
    },
    /// Nobody knows yet. Reconcile later; never ask the buyer to sign again for it.
    #[error("settlement pending: {detail}")]
    Pending {
        /// The transaction to look for, if it is known.
        transaction: Option<B256>,
        /// What is known.
        detail: String,
    },
    /// The payer has not been charged, and the stored transaction can never be mined, because
    /// another transaction took its account nonce. Prepare the payment again, store that intent,
    /// and settle it.
    #[error("settlement stale: {detail}")]
    Stale {
        /// What happened.
        detail: String,
    },
    /// This call sent nothing: the chain or the facilitator was not reached, or would not take the
    /// transaction. Settle the same intent again later. Says nothing about earlier calls: what was
    /// [`Pending`](Self::Pending) still is.
    #[error("nothing sent: {detail}")]
    Unreachable {
        /// What happened.
        detail: String,
    },
}

impl VerifiedPayment {
    /// Vouches for a payment. For implementations of [`Facilitator`](crate::Facilitator) alone, at
    /// the end of their `verify`; `since_block` is a block at which the authorisation was unused.
    #[must_use]
    pub const fn assertion(payment: CheckedPayment, since_block: Option<u64>) -> Self {
        Self { payment, since_block, balance: None }
    }

    /// Adds the payer's balance.
    #[must_use]
    pub fn with_balance(self, balance: Amount) -> Self {
        Self { balance: Some(balance), ..self }
    }

    /// Returns the payment.
    #[must_use]
    pub const fn payment(&self) -> &CheckedPayment {
        &self.payment
    }

    /// Returns what the payer authorised.
    #[must_use]
    pub const fn terms(&self) -> &PaymentTerms {
        self.payment.terms()
    }

    /// Returns the payer's balance of the token when it was verified, where it was looked at. It has
    /// to cover all of the payer's payments under way, not this one alone.
    #[must_use]
    pub const fn balance(&self) -> Option<Amount> {
        self.balance
    }

    /// Returns a block at which the authorisation was unused.
    #[must_use]
    pub const fn since_block(&self) -> Option<u64> {
        self.since_block
    }
}

impl SettlementIntent {
    /// Returns what the payer authorised.
    #[must_use]
    pub const fn terms(&self) -> &PaymentTerms {
        match self {
            Self::Local(intent) => &intent.terms,
            Self::Remote(intent) => &intent.terms,
        }
    }

    /// Returns the hash of one's own transaction; `None` before a remote facilitator names its.
    #[must_use]
    pub const fn transaction(&self) -> Option<B256> {
        match self {
            Self::Local(intent) => Some(intent.transaction.hash),
            Self::Remote(_) => None,
        }
    }
}

impl PreparedSettlement {
    /// Makes one that has nothing to take back.
    pub const fn new(intent: SettlementIntent) -> Self {
        Self { intent, transaction: None }
    }

    pub(super) fn of_transaction(
        terms: PaymentTerms,
        since_block: u64,
        prepared: PreparedTransaction,
    ) -> Self {
        let transaction = prepared.transaction().clone();
        let intent = SettlementIntent::Local(LocalIntent { terms, since_block, transaction });
        Self { intent, transaction: Some(prepared) }
    }

    /// Returns the intent, to be stored.
    #[must_use]
    pub const fn intent(&self) -> &SettlementIntent {
        &self.intent
    }

    /// Takes the intent for good, now that it is stored.
    #[must_use]
    pub fn keep(self) -> SettlementIntent {
        if let Some(prepared) = self.transaction {
            let _transaction = prepared.keep();
        }
        self.intent
    }
}

impl Settled {
    pub(super) fn new(terms: &PaymentTerms, transaction: B256, block: Option<Block>) -> Self {
        Self {
            network: terms.network.clone(),
            transaction,
            block: block.map(|block| SettledBlock {
                number: block.number,
                hash: block.hash,
                time: block.time,
            }),
            amount: terms.amount,
            asset: terms.asset.clone(),
            payer: terms.payer.clone(),
            pay_to: terms.pay_to.clone(),
        }
    }

    /// Returns what goes into `PAYMENT-RESPONSE` beside the result.
    #[must_use]
    pub fn response(&self) -> SettleResponse {
        SettleResponse {
            success: true,
            payer: Some(self.payer.to_string()),
            transaction: self.transaction.to_string(),
            network: self.network.to_string(),
            amount: Some(self.amount.to_string()),
            ..SettleResponse::default()
        }
    }
}

impl SettleError {
    /// Returns the x402 error code. `settlement_pending` needs a transaction to be pending.
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        match self {
            Self::Failed { reason, .. } => reason.clone(),
            Self::Pending { transaction: Some(_), .. } => ErrorReason::SettlementPending,
            Self::Pending { .. } | Self::Stale { .. } | Self::Unreachable { .. } => {
                ErrorReason::UnexpectedSettleError
            }
        }
    }

    /// Returns the HTTP status of the answer to the buyer: 402 when he was not charged, otherwise
    /// 503, as a 402 would ask him to sign again.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Failed { .. } => 402,
            Self::Pending { .. } | Self::Stale { .. } | Self::Unreachable { .. } => 503,
        }
    }

    /// Returns the transaction, if one is known.
    #[must_use]
    pub const fn transaction(&self) -> Option<B256> {
        match self {
            Self::Failed { transaction, .. } | Self::Pending { transaction, .. } => *transaction,
            Self::Stale { .. } | Self::Unreachable { .. } => None,
        }
    }

    /// Returns what goes into `PAYMENT-RESPONSE`.
    #[must_use]
    pub fn response(&self, terms: &PaymentTerms) -> SettleResponse {
        SettleResponse {
            success: false,
            error_reason: Some(self.reason()),
            error_message: Some(shown(&self.to_string())),
            payer: Some(terms.payer.to_string()),
            transaction: self.transaction().map(|hash| hash.to_string()).unwrap_or_default(),
            network: terms.network.to_string(),
            ..SettleResponse::default()
        }
    }
}
