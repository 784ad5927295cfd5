//! Verifying against a chain and settling with a key of one's own.

mod exact;
mod upto;
mod verify;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use assay_chain::{
    Address, B256, Call, CallOutcome, Chain, ChainError, OutgoingConfig, OutgoingError,
    OutgoingQueue, SettlementSigner, SignerError, TransactionJournal,
};
use async_trait::async_trait;

use self::exact::transfer_call;
use super::examine::Examiner;
use super::{
    Facilitator, FacilitatorError, SettleError, Settled, SettlementIntent, VerifiedPayment,
};
use crate::evm::address;
use crate::upto::FACILITATOR_ADDRESS;
use crate::{
    CheckedPayment, EIP2612_GAS_SPONSORING, EXACT, ExactPayload, Signed, SupportedKind,
    SupportedResponse, UPTO, X402_VERSION,
};

/// How often a call is tried that fails among others, or loses its account nonce.
const ATTEMPTS: usize = 3;

/// How long to wait for a transaction before looking whether a third party was faster.
const SLICE: Duration = Duration::from_secs(3);

/// How far before the latest block a later search for an authorisation's use begins: further than
/// a reorganisation goes back.
pub(super) const SEARCH_MARGIN: u64 = 16;

/// What a [`LocalFacilitator`] settles, and how.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// The tokens it settles. Their code is trusted; no other contract is called.
    pub assets: Vec<Address>,
    /// Whom it pays; anyone when `None`. A public facilitator should name its sellers: strangers
    /// could otherwise move money between their own accounts at the operator's expense.
    pub pay_to: Option<Vec<Address>>,
    /// Whether contract wallets (EIP-1271) may pay; they may by default. What their check costs and
    /// says is theirs to decide when the transaction is mined: one that changes its mind costs the
    /// operator a reverted transaction, at most [`FeeLimits::gas`](assay_chain::FeeLimits).
    pub contract_wallets: bool,
    /// How many blocks have to hold a settlement, its own included. 1 by default.
    pub confirmations: u64,
    /// The most payments that one transaction settles. 100 by default.
    pub batch: usize,
    /// How long [`settle`](Facilitator::settle) waits before the outcome is pending. 60 seconds by
    /// default.
    pub timeout: Duration,
}

/// Verifies against a chain and settles with a key of one's own.
#[derive(Clone, Debug)]
pub struct LocalFacilitator {
    chain: Chain,
    queue: OutgoingQueue,
    config: Arc<LocalConfig>,
}

impl LocalConfig {
    /// Returns the defaults for settling these tokens.
    #[must_use]
    pub fn new(assets: Vec<Address>) -> Self {
        Self {
            assets,
            pay_to: None,
            contract_wallets: true,
            confirmations: 1,
            batch: OutgoingConfig::default().batch,
            timeout: Duration::from_secs(60),
        }
    }
}

impl LocalFacilitator {
    /// Makes a facilitator that sends with this signer, to the signer's chain, keeping its
    /// transactions in a journal.
    ///
    /// Permits of the scheme `upto` name the signer, and nobody else can settle them: a key has to be
    /// kept until the last permit that names it has ended.
    #[must_use]
    pub fn new(
        signer: SettlementSigner,
        journal: Arc<dyn TransactionJournal>,
        config: LocalConfig,
    ) -> Self {
        let (confirmations, batch) = (config.confirmations, config.batch);
        let outgoing = OutgoingConfig { confirmations, batch, ..OutgoingConfig::default() };
        let chain = signer.chain().clone();
        let queue = OutgoingQueue::new(signer, journal, outgoing);
        Self { chain, queue, config: Arc::new(config) }
    }

    /// Returns the account that sends.
    #[must_use]
    pub fn signer(&self) -> Address {
        self.queue.signer().address()
    }

    fn examiner<'a>(&'a self, intent: &'a SettlementIntent) -> Examiner<'a> {
        let (chain, confirmations) = (&self.chain, self.config.confirmations);
        let own = self.queue.transaction_of(B256::from(intent.id().0));
        Examiner { chain, confirmations, intent, own }
    }

    /// Makes the call that carries an intent out.
    async fn call(&self, intent: &SettlementIntent) -> Result<Call, SettleError> {
        let (expected, got) = (self.chain.network(), &intent.terms.network);
        if expected != got {
            let detail = format!("network of the intent: expected {expected}, got {got}");
            return Err(SettleError::Unreachable { detail });
        }
        if intent.terms.scheme == UPTO {
            return self.upto_call(intent).await;
        }
        let exact = ExactPayload::from_json(&intent.request.payment_payload.payload)
            .map_err(|error| unreadable(&error))?;
        let asset = &intent.terms.asset;
        let to = address(asset.as_str())
            .ok_or_else(|| unreadable(&format_args!("its asset is no address: {asset}")))?;
        let (id, alone) = (B256::from(intent.id().0), intent.by_wallet);
        Ok(Call { id, to, data: transfer_call(&exact, intent.by_wallet), alone })
    }

    /// Has a call carried out, and looks meanwhile whether a third party was faster.
    async fn carry_out(
        &self,
        call: Call,
        intent: &SettlementIntent,
    ) -> Result<Result<CallOutcome, OutgoingError>, Result<Settled, SettleError>> {
        let mut carried = pin!(self.queue.carry_out(call));
        let mut left = self.config.timeout;
        loop {
            let slice = left.min(SLICE);
            if let Ok(outcome) = tokio::time::timeout(slice, carried.as_mut()).await {
                return Ok(outcome);
            }
            left = left.saturating_sub(slice);
            let examiner = self.examiner(intent);
            if left.is_zero() {
                return Err(examiner.examine().await);
            }
            if examiner.is_used().await {
                match examiner.examine().await {
                    Err(SettleError::Pending { .. }) => {}
                    outcome => return Err(outcome),
                }
            }
        }
    }

    /// Says what an outcome means; `None` when the call did nothing and is worth another try.
    async fn judge(
        &self,
        outcome: Result<CallOutcome, OutgoingError>,
        intent: &SettlementIntent,
    ) -> Option<Result<Settled, SettleError>> {
        let examiner = self.examiner(intent);
        match outcome {
            Ok(CallOutcome::Mined { mined, alone }) => match examiner.settled_by(&mined, alone) {
                Ok(Some(settled)) => Some(Ok(settled)),
                Ok(None) if alone => Some(Err(examiner.no_transfer(&mined))),
                // In a batch each call has an end of its own.
                Ok(None) => known(examiner.examine().await),
                Err(error) => Some(Err(error)),
            },
            Ok(CallOutcome::Reverted(mined)) => Some(examiner.examine_after(Some(&mined)).await),
            Ok(CallOutcome::Superseded) => known(examiner.examine().await),
            Err(OutgoingError::Signer(SignerError::Chain(ChainError::Reverted {
                reason, ..
            }))) => Some(match examiner.examine().await {
                // What is used may be in a block that is not deep enough, or await its log.
                Err(SettleError::Pending { .. }) if examiner.is_unused().await => {
                    Err(examiner.would_revert(&reason).await)
                }
                outcome => outcome,
            }),
            Err(error) => Some(Err(SettleError::Unreachable { detail: error.to_string() })),
        }
    }
}

/// What is stored is not what was stored.
fn unreadable(fault: &dyn std::fmt::Display) -> SettleError {
    SettleError::Pending { transaction: None, detail: format!("the stored payment: {fault}") }
}

/// Leaves out that the authorisation is still unused.
fn known(outcome: Result<Settled, SettleError>) -> Option<Result<Settled, SettleError>> {
    match outcome {
        Err(SettleError::Pending { .. }) => None,
        outcome => Some(outcome),
    }
}

#[async_trait]
impl Facilitator for LocalFacilitator {
    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError> {
        let signer = self.signer().to_checksum(None);
        let kind = |scheme: &str| SupportedKind {
            x402_version: X402_VERSION,
            scheme: scheme.to_owned(),
            network: self.chain.network().to_string(),
            extra: None,
        };
        let (mut kinds, mut extensions) = (vec![kind(EXACT)], Vec::new());
        if self.has_upto().await? {
            let address = (FACILITATOR_ADDRESS.to_owned(), signer.clone().into());
            let extra = Some([address].into_iter().collect());
            kinds.push(SupportedKind { extra, ..kind(UPTO) });
            extensions.push(EIP2612_GAS_SPONSORING.to_owned());
        }
        let signers = [("eip155:*".to_owned(), vec![signer])].into();
        Ok(SupportedResponse { kinds, extensions, signers })
    }

    async fn verify(&self, payment: &CheckedPayment) -> Result<VerifiedPayment, FacilitatorError> {
        self.check_allowed(payment)?;
        let (since_block, balance) = match payment.signed() {
            Signed::Exact(exact) => self.check_exact(payment, exact).await?,
            Signed::Upto(upto) => self.check_upto(payment, upto).await?,
        };
        Ok(VerifiedPayment::assertion(payment.clone(), Some(since_block)).with_balance(balance))
    }

    async fn settle(&self, intent: &SettlementIntent) -> Result<Settled, SettleError> {
        if intent.is_nothing() {
            return Ok(Settled::new(intent, None, None));
        }
        let mut call = self.call(intent).await?;
        for _ in 0..ATTEMPTS {
            let outcome = match self.carry_out(call.clone(), intent).await {
                Ok(outcome) => outcome,
                Err(known) => return known,
            };
            if let Some(known) = self.judge(outcome, intent).await {
                return known;
            }
            // What failed among others, perhaps for want of gas, goes by itself.
            call.alone = true;
        }
        self.examiner(intent).examine().await
    }

    async fn reconcile(&self, intent: &SettlementIntent) -> Result<Settled, SettleError> {
        if intent.is_nothing() {
            return Ok(Settled::new(intent, None, None));
        }
        self.examiner(intent).examine().await
    }

    fn chain(&self) -> Option<&Chain> {
        Some(&self.chain)
    }

    fn outgoing(&self) -> Option<&OutgoingQueue> {
        Some(&self.queue)
    }

    async fn resume(&self) -> Result<(), FacilitatorError> {
        Ok(self.queue.resume().await?)
    }
}
