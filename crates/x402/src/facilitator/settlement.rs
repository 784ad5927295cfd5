use assay_chain::{B256, Block};
use assay_primitives::{Account, Amount, Digest, Network, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::wire::shown;
use crate::{
    CheckedPayment, EXACT, ErrorReason, PaymentRefusal, PaymentRequirements, PaymentTerms,
    SettleRequest, SettleResponse, SignatureCheck, UPTO, X402_VERSION,
};

/// A payment that the chain, or a remote facilitator, says would be carried out now.
#[derive(Clone, Debug)]
pub struct VerifiedPayment {
    payment: CheckedPayment,
    since_block: Option<u64>,
    balance: Option<Amount>,
}

/// What has to be stored, in one database transaction with the receipt, before anything is sent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SettlementIntent {
    /// What the payer authorised.
    pub terms: PaymentTerms,
    /// A block at which the authorisation was unused, where a search for its use begins; `None`
    /// where there was no chain to ask.
    pub since_block: Option<u64>,
    /// Whether the signature is for a contract wallet to judge.
    pub by_wallet: bool,
    /// What a facilitator is asked: the offer in it has the amount to settle.
    pub request: Box<SettleRequest>,
}

/// Money that moved: the token's log shows the transfer the payer authorised. Or, under `upto`, none
/// that had to: of nothing charged nothing is on the chain.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settled {
    /// The network.
    pub network: Network,
    /// The transaction that moved it, one's own or another's; `None` when nothing was to be moved.
    pub transaction: Option<B256>,
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

    /// Adds what the payer has, as far as it can be moved.
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

    /// Returns how much of the token could be taken from the payer when it was verified, where it was
    /// looked at: the balance, under `upto` at most the allowance of Permit2. It has to cover all of
    /// the payer's payments under way, not this one alone.
    #[must_use]
    pub const fn balance(&self) -> Option<Amount> {
        self.balance
    }

    /// Returns what is to be stored before the whole amount is settled: the price, under `upto` the
    /// most.
    #[must_use]
    pub fn intent(&self) -> SettlementIntent {
        self.intent_for(self.payment.offer().clone())
    }

    /// Returns what is to be stored before an amount is settled: under `upto` what was used, at most
    /// what is permitted; 0 settles without a transaction.
    ///
    /// # Errors
    /// As [`CheckedPayment::check_amount`].
    pub fn intent_of(&self, actual: Amount) -> Result<SettlementIntent, PaymentRefusal> {
        self.payment.check_amount(actual)?;
        let offer = PaymentRequirements { amount: actual, ..self.payment.offer().clone() };
        Ok(self.intent_for(offer))
    }

    fn intent_for(&self, payment_requirements: PaymentRequirements) -> SettlementIntent {
        let request = SettleRequest {
            x402_version: X402_VERSION,
            payment_payload: self.payment.payload().clone(),
            payment_requirements,
        };
        SettlementIntent {
            terms: self.terms().clone(),
            since_block: self.since_block,
            by_wallet: self.payment.signature_check() == SignatureCheck::NeedsChain,
            request: Box::new(request),
        }
    }
}

impl SettlementIntent {
    /// Returns what tells the authorisation from every other, whatever amount is settled of it.
    #[must_use]
    pub fn id(&self) -> Digest {
        let PaymentTerms { scheme, network, asset, payer, pay_to, amount, nonce, .. } = &self.terms;
        let (amount, asset) = (amount.0.to_be_bytes(), asset.as_str().to_ascii_lowercase());
        let [payer, pay_to] = [payer, pay_to].map(|account| account.as_str().to_ascii_lowercase());
        let mut parts = vec![
            network.as_str().as_bytes(),
            asset.as_bytes(),
            payer.as_bytes(),
            pay_to.as_bytes(),
            &amount,
            nonce.as_slice(),
        ];
        // Other schemes have nonces of their own. Journals hold the ids of `exact` as they are.
        if scheme != EXACT {
            parts.push(scheme.as_bytes());
        }
        Digest::of_parts(&parts)
    }

    /// Returns the amount to settle: under `upto` at most the authorised one.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.request.payment_requirements.amount
    }

    /// Says that nothing is to be moved. An authorisation of `exact` over nothing is carried out.
    pub(super) fn is_nothing(&self) -> bool {
        self.terms.scheme == UPTO && self.amount() == Amount::ZERO
    }
}

impl Settled {
    pub(super) fn new(
        intent: &SettlementIntent,
        transaction: Option<B256>,
        block: Option<Block>,
    ) -> Self {
        let terms = &intent.terms;
        Self {
            network: terms.network.clone(),
            transaction,
            block: block.map(|block| SettledBlock {
                number: block.number,
                hash: block.hash,
                time: block.time,
            }),
            amount: intent.amount(),
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
            transaction: self.transaction.map(|hash| hash.to_string()).unwrap_or_default(),
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
            Self::Pending { .. } | Self::Unreachable { .. } => ErrorReason::UnexpectedSettleError,
        }
    }

    /// Returns the HTTP status of the answer to the buyer: 402 when he was not charged, otherwise
    /// 503, as a 402 would ask him to sign again.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Failed { .. } => 402,
            Self::Pending { .. } | Self::Unreachable { .. } => 503,
        }
    }

    /// Returns the transaction, if one is known.
    #[must_use]
    pub const fn transaction(&self) -> Option<B256> {
        match self {
            Self::Failed { transaction, .. } | Self::Pending { transaction, .. } => *transaction,
            Self::Unreachable { .. } => None,
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
