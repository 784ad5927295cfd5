//! A facilitator that does what real ones do, and at a place that a test chooses something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::B256;
use assay_chain::Chain;
use assay_primitives::Timestamp;
use assay_x402::{
    CheckedPayment, ErrorReason, Facilitator, FacilitatorError, LocalFacilitator, SettleError,
    Settled, SettlementIntent, SupportedResponse, VerifiedPayment,
};
use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore};

/// What happens instead of what should.
#[derive(Clone, Debug)]
pub(crate) enum Twist {
    /// The first payment is checked only when there is a permit.
    SlowFirstCheck(Arc<Semaphore>),
    /// Checking says that it cannot tell.
    VagueCheck,
    /// There is no gas for another settlement.
    OutOfGas,
    /// Settling says that it is done, and names no block.
    SettledByWord,
    /// The first settlement is refused without anything being sent.
    FirstSettlementRefused,
    /// Each settlement is refused for good.
    NothingSettled,
    /// Settling never returns, and sends nothing.
    StuckBefore(Arc<Notify>),
    /// Settling never returns after it is done.
    StuckAfter(Arc<Notify>),
}

/// A local facilitator with a twist.
#[derive(Debug)]
pub(crate) struct Rail {
    inner: LocalFacilitator,
    twist: Twist,
    checks: AtomicUsize,
    settlements: AtomicUsize,
}

impl Rail {
    pub(crate) fn new(inner: LocalFacilitator, twist: Twist) -> Self {
        Self { inner, twist, checks: AtomicUsize::new(0), settlements: AtomicUsize::new(0) }
    }

    /// Says how often a payment was checked.
    pub(crate) fn checks(&self) -> usize {
        self.checks.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Facilitator for Rail {
    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError> {
        self.inner.supported().await
    }

    async fn verify(&self, payment: &CheckedPayment) -> Result<VerifiedPayment, FacilitatorError> {
        let before = self.checks.fetch_add(1, Ordering::SeqCst);
        match &self.twist {
            Twist::SlowFirstCheck(gate) if before == 0 => gate.acquire().await.unwrap().forget(),
            Twist::VagueCheck => {
                let reason = ErrorReason::UnexpectedVerifyError;
                return Err(FacilitatorError::Refused { reason, detail: "no idea".to_owned() });
            }
            _ => {}
        }
        self.inner.verify(payment).await
    }

    async fn settle(&self, intent: &SettlementIntent) -> Result<Settled, SettleError> {
        let before = self.settlements.fetch_add(1, Ordering::SeqCst);
        let terms = &intent.terms;
        match &self.twist {
            Twist::SettledByWord => Ok(Settled {
                network: terms.network.clone(),
                transaction: Some(B256::repeat_byte(7)),
                block: None,
                amount: terms.amount,
                asset: terms.asset.clone(),
                payer: terms.payer.clone(),
                pay_to: terms.pay_to.clone(),
            }),
            Twist::FirstSettlementRefused if before == 0 => {
                Err(refused("not now", Some(terms.valid_before)))
            }
            Twist::NothingSettled => Err(refused("never", None)),
            Twist::StuckBefore(reached) => {
                reached.notify_one();
                std::future::pending().await
            }
            Twist::StuckAfter(reached) => {
                self.inner.settle(intent).await?;
                reached.notify_one();
                std::future::pending().await
            }
            _ => self.inner.settle(intent).await,
        }
    }

    async fn check_gas(&self) -> Result<(), FacilitatorError> {
        match self.twist {
            Twist::OutOfGas => Err(FacilitatorError::Operator { detail: "no gas".to_owned() }),
            _ => self.inner.check_gas().await,
        }
    }

    fn chain(&self) -> Option<&Chain> {
        self.inner.chain()
    }

    async fn resume(&self) -> Result<(), FacilitatorError> {
        self.inner.resume().await
    }

    async fn reconcile(&self, intent: &SettlementIntent) -> Result<Settled, SettleError> {
        self.inner.reconcile(intent).await
    }
}

fn refused(detail: &str, open_until: Option<Timestamp>) -> SettleError {
    let (reason, detail) = (ErrorReason::InsufficientBalance, detail.to_owned());
    SettleError::Failed { reason, detail, transaction: None, open_until }
}
