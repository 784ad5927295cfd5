//! Who verifies payments against the chain and settles them.

mod examine;
mod http;
mod local;
mod pending;
mod router;
mod settlement;

use std::fmt;

use assay_chain::{
    Address, B256, Bytes, Chain, ChainError, OutgoingError, OutgoingQueue, SignerError,
};
use assay_primitives::Network;
use async_trait::async_trait;
use thiserror::Error;

pub use http::{HttpConfig, HttpFacilitator};
pub use local::{LocalConfig, LocalFacilitator};
pub use router::{RouterConfig, facilitator_router};
pub use settlement::{SettleError, Settled, SettledBlock, SettlementIntent, VerifiedPayment};

use crate::{CheckedPayment, ErrorReason, PaymentRefusal, SupportedResponse, UptoRefusal};

/// Verifies and settles payments: from one's own key, or through a remote service.
///
/// The order that loses no money: verify, work, store the intent
/// ([`VerifiedPayment::intent`], of a lower amount [`VerifiedPayment::intent_of`]),
/// [`settle`](Self::settle). An intent may be settled and reconciled any number of times: the
/// authorisation's nonce lets the money move once.
#[async_trait]
pub trait Facilitator: fmt::Debug + Send + Sync {
    /// Returns the kinds of payment that are settled.
    ///
    /// # Errors
    /// When a remote facilitator does not answer.
    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError>;

    /// Checks a payment against the chain: that it would be carried out now. Changes nothing, and
    /// may be called again, such as right before a costly proof.
    ///
    /// # Errors
    /// [`FacilitatorError::Refused`] when it would not; otherwise when nobody could say.
    async fn verify(&self, payment: &CheckedPayment) -> Result<VerifiedPayment, FacilitatorError>;

    /// Settles a stored intent: sends it, waits for as many confirmations as configured, and looks
    /// in the token's log for the transfer. A transfer under the same authorisation that a third
    /// party sent counts: the money moved as the payer signed.
    ///
    /// # Errors
    /// [`SettleError`] says what is known about the money.
    async fn settle(&self, intent: &SettlementIntent) -> Result<Settled, SettleError>;

    /// Says from the chain alone what became of an intent; sends nothing.
    ///
    /// # Errors
    /// [`SettleError`] says what is known about the money.
    async fn reconcile(&self, intent: &SettlementIntent) -> Result<Settled, SettleError>;

    /// Returns the chain that is asked, if there is one.
    fn chain(&self) -> Option<&Chain> {
        None
    }

    /// Returns the queue of the transactions that it sends, if it sends any itself.
    fn outgoing(&self) -> Option<&OutgoingQueue> {
        None
    }

    /// Checks that one more payment can be settled, as far as the gas of one's own account goes.
    /// [`verify`](Self::verify) does not, also for others: what is promised already is verified again.
    ///
    /// # Errors
    /// [`FacilitatorError::Operator`] when it cannot; otherwise when the chain does not answer.
    async fn check_gas(&self) -> Result<(), FacilitatorError> {
        match self.outgoing() {
            Some(outgoing) => Ok(outgoing.check_gas().await?),
            None => Ok(()),
        }
    }

    /// Takes up what was sent before a restart.
    ///
    /// # Errors
    /// When the chain does not answer.
    async fn resume(&self) -> Result<(), FacilitatorError> {
        Ok(())
    }

    /// Says whether a contract wallet takes a signature of a hash for its own (EIP-1271). An account
    /// without code takes none.
    ///
    /// # Errors
    /// When there is no chain here to ask, or it does not answer.
    async fn is_wallet_signature(
        &self,
        network: &Network,
        wallet: Address,
        hash: B256,
        signature: Bytes,
    ) -> Result<bool, FacilitatorError> {
        let Some(chain) = self.chain().filter(|chain| chain.network() == network) else {
            let detail =
                format!("no chain is asked here what the wallet {wallet} on {network} signed");
            return Err(FacilitatorError::Operator { detail });
        };
        if chain.code_at(wallet).await?.is_empty() {
            return Ok(false);
        }
        Ok(chain.is_wallet_signature(wallet, hash, signature).await?)
    }
}

/// A payment that was not verified.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum FacilitatorError {
    /// The operator's own limits or configuration stand in the way.
    #[error("not settled here: {detail}")]
    Operator {
        /// What stands in the way.
        detail: String,
    },
    /// The payment would not be carried out.
    #[error("{reason}: {detail}")]
    Refused {
        /// Why not.
        reason: ErrorReason,
        /// Why not, with the values.
        detail: String,
    },
    /// The chain or the remote facilitator did not answer, so nothing is known.
    #[error("no answer: {detail}")]
    Unreachable {
        /// Who did not answer, and how.
        detail: String,
    },
}

impl FacilitatorError {
    /// Returns the HTTP status of the answer to the buyer: that of the reason, 502 when nobody
    /// could say, 503 for one's own limits.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Operator { .. } => 503,
            Self::Refused { reason, .. } => reason.status(),
            Self::Unreachable { .. } => 502,
        }
    }

    /// Returns the x402 error code.
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        match self {
            Self::Refused { reason, .. } => reason.clone(),
            Self::Operator { .. } | Self::Unreachable { .. } => ErrorReason::UnexpectedVerifyError,
        }
    }

    fn refused(reason: ErrorReason, detail: impl Into<String>) -> Self {
        Self::Refused { reason, detail: detail.into() }
    }
}

impl From<PaymentRefusal> for FacilitatorError {
    fn from(refusal: PaymentRefusal) -> Self {
        Self::Refused { reason: refusal.reason(), detail: refusal.to_string() }
    }
}

impl From<UptoRefusal> for FacilitatorError {
    fn from(refusal: UptoRefusal) -> Self {
        PaymentRefusal::from(refusal).into()
    }
}

impl From<ChainError> for FacilitatorError {
    fn from(error: ChainError) -> Self {
        match &error {
            ChainError::Reverted { reason, .. } => {
                Self::refused(examine::revert_meaning(reason), error.to_string())
            }
            _ => Self::Unreachable { detail: error.to_string() },
        }
    }
}

impl From<OutgoingError> for FacilitatorError {
    fn from(error: OutgoingError) -> Self {
        match error {
            OutgoingError::Signer(error) => error.into(),
            error => Self::Operator { detail: error.to_string() },
        }
    }
}

impl From<SignerError> for FacilitatorError {
    fn from(error: SignerError) -> Self {
        match error {
            SignerError::Chain(error) => error.into(),
            error => Self::Operator { detail: error.to_string() },
        }
    }
}
