//! Verifying against a chain and settling with a key of one's own.

mod verify;

use std::sync::Arc;
use std::time::Duration;

use assay_chain::{
    Address, B256, BroadcastError, Bytes, Chain, SettlementSigner, TransactionOutcome,
};
use assay_primitives::{Network, failpoint};
use async_trait::async_trait;
use tracing::warn;

use self::verify::transfer_call;
use super::examine::Examiner;
use super::{
    Facilitator, FacilitatorError, LocalIntent, PreparedSettlement, SettleError, Settled,
    SettlementIntent, VerifiedPayment, ask_wallet,
};
use crate::{CheckedPayment, EXACT, SupportedKind, SupportedResponse, X402_VERSION};

/// How long to wait for a transaction before looking whether something holds it up.
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
    /// How long [`settle`](Facilitator::settle) waits before the outcome is pending. 60 seconds by
    /// default.
    pub timeout: Duration,
}

/// Verifies against a chain and settles with a key of one's own.
#[derive(Clone, Debug)]
pub struct LocalFacilitator {
    chain: Chain,
    signer: SettlementSigner,
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
            timeout: Duration::from_secs(60),
        }
    }
}

impl LocalFacilitator {
    /// Makes a facilitator that sends with this signer, to the signer's chain.
    #[must_use]
    pub fn new(signer: SettlementSigner, config: LocalConfig) -> Self {
        Self { chain: signer.chain().clone(), signer, config: Arc::new(config) }
    }

    /// Returns the chain.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Returns the account that sends.
    #[must_use]
    pub fn signer(&self) -> Address {
        self.signer.address()
    }

    fn examiner<'a>(&'a self, intent: &'a SettlementIntent) -> Examiner<'a> {
        let (since_block, own) = match intent {
            SettlementIntent::Local(intent) => (intent.since_block, Some(&intent.transaction)),
            SettlementIntent::Remote(intent) => (intent.since_block.unwrap_or(0), None),
        };
        let (chain, confirmations) = (&self.chain, self.config.confirmations);
        Examiner { chain, confirmations, terms: intent.terms(), since_block, own }
    }

    /// Sends a transaction and finds out what became of it.
    async fn send(
        &self,
        intent: &LocalIntent,
        examiner: &Examiner<'_>,
    ) -> Result<Settled, SettleError> {
        let (expected, got) = (self.chain.network(), &intent.terms.network);
        if expected != got {
            let detail = format!("network of the intent: expected {expected}, got {got}");
            return Err(SettleError::Unreachable { detail });
        }
        self.fill_gaps(intent).await;
        failpoint!("x402.broadcast.before");
        let broadcast = self.chain.broadcast(&intent.transaction).await;
        failpoint!("x402.broadcast.after");
        match broadcast {
            Ok(_) | Err(BroadcastError::NoAnswer(_)) => self.follow(intent, examiner).await,
            Err(BroadcastError::NonceTooLow { .. } | BroadcastError::NonceTaken { .. }) => {
                if let Err(error) = self.signer.resync().await {
                    warn!(%error, "The account's nonces could not be asked for.");
                }
                examiner.examine().await
            }
            Err(error) => match examiner.examine().await {
                Err(SettleError::Pending { .. }) => {
                    Err(SettleError::Unreachable { detail: error.to_string() })
                }
                outcome => outcome,
            },
        }
    }

    /// Waits for a sent transaction, and looks after it.
    async fn follow(
        &self,
        intent: &LocalIntent,
        examiner: &Examiner<'_>,
    ) -> Result<Settled, SettleError> {
        let (hash, confirmations) = (intent.transaction.hash, self.config.confirmations);
        let mut left = self.config.timeout;
        while !left.is_zero() {
            let slice = left.min(SLICE);
            left = left.saturating_sub(slice);
            match self.chain.wait(hash, confirmations, slice).await {
                TransactionOutcome::Mined(mined) => return examiner.own_transaction(&mined),
                TransactionOutcome::Reverted(_) => return examiner.examine().await,
                TransactionOutcome::Unknown { confirmations: 0, .. } => {
                    if let Some(outcome) = self.help_along(intent, examiner).await {
                        return outcome;
                    }
                }
                TransactionOutcome::Unknown { .. } => {}
            }
        }
        examiner.examine().await
    }

    /// Does what may keep a transaction from being mined: sends it again, fills gaps before it, and
    /// looks whether a third party was faster.
    async fn help_along(
        &self,
        intent: &LocalIntent,
        examiner: &Examiner<'_>,
    ) -> Option<Result<Settled, SettleError>> {
        self.fill_gaps(intent).await;
        let again = self.chain.broadcast(&intent.transaction).await;
        let is_refused = matches!(
            again,
            Err(BroadcastError::NonceTooLow { .. } | BroadcastError::Rejected { .. })
        );
        if !is_refused && !examiner.is_used().await {
            return None;
        }
        match examiner.examine().await {
            Err(SettleError::Pending { .. }) => None,
            outcome => Some(outcome),
        }
    }

    /// Gives back the nonce of a transaction that is not needed any more and was never sent: kept,
    /// it would hold up all later ones.
    async fn release_nonce(
        &self,
        intent: &SettlementIntent,
        outcome: &Result<Settled, SettleError>,
    ) {
        let SettlementIntent::Local(LocalIntent { transaction, .. }) = intent else { return };
        let settled_by = match outcome {
            Ok(settled) => Some(settled.transaction),
            Err(SettleError::Failed { transaction, .. }) => *transaction,
            Err(_) => return,
        };
        if settled_by == Some(transaction.hash) {
            return;
        }
        let (count, known) = tokio::join!(
            self.chain.transaction_count(transaction.signer, false),
            self.chain.knows(transaction.hash)
        );
        if let (Ok(count), Ok(false)) = (count, known)
            && count <= transaction.nonce
        {
            self.signer.give_up(transaction);
        }
    }

    async fn fill_gaps(&self, intent: &LocalIntent) {
        if let Err(error) = self.signer.fill_gaps_below(intent.transaction.nonce).await {
            warn!(%error, "Gaps in the account's nonces stay open.");
        }
    }
}

#[async_trait]
impl Facilitator for LocalFacilitator {
    async fn is_wallet_signature(
        &self,
        network: &Network,
        wallet: Address,
        hash: B256,
        signature: Bytes,
    ) -> Result<bool, FacilitatorError> {
        ask_wallet(&self.chain, network, wallet, hash, signature).await
    }

    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError> {
        let kind = SupportedKind {
            x402_version: X402_VERSION,
            scheme: EXACT.to_owned(),
            network: self.chain.network().to_string(),
            extra: None,
        };
        let signers = [("eip155:*".to_owned(), vec![self.signer().to_checksum(None)])].into();
        Ok(SupportedResponse { kinds: vec![kind], extensions: Vec::new(), signers })
    }

    async fn verify(&self, payment: &CheckedPayment) -> Result<VerifiedPayment, FacilitatorError> {
        self.check_allowed(payment)?;
        let (since_block, balance) = self.check_chain(payment).await?;
        Ok(VerifiedPayment::assertion(payment.clone(), Some(since_block)).with_balance(balance))
    }

    async fn prepare(
        &self,
        payment: &VerifiedPayment,
    ) -> Result<PreparedSettlement, FacilitatorError> {
        self.check_allowed(payment.payment())?;
        let call = transfer_call(payment.payment());
        let prepared = self.signer.prepare(payment.payment().token(), call).await?;
        let since_block = payment.since_block().unwrap_or(0);
        Ok(PreparedSettlement::of_transaction(payment.terms().clone(), since_block, prepared))
    }

    async fn settle(&self, intent: &SettlementIntent) -> Result<Settled, SettleError> {
        let examiner = self.examiner(intent);
        let outcome = match intent {
            SettlementIntent::Local(local) => self.send(local, &examiner).await,
            SettlementIntent::Remote(_) => examiner.examine().await,
        };
        self.release_nonce(intent, &outcome).await;
        outcome
    }

    async fn reconcile(&self, intent: &SettlementIntent) -> Result<Settled, SettleError> {
        let outcome = self.examiner(intent).examine().await;
        self.release_nonce(intent, &outcome).await;
        outcome
    }

    async fn resume(&self, intents: &[SettlementIntent]) -> Result<(), FacilitatorError> {
        let transactions = intents.iter().filter_map(|intent| match intent {
            SettlementIntent::Local(intent) => Some(&intent.transaction),
            SettlementIntent::Remote(_) => None,
        });
        Ok(self.signer.adopt(transactions).await?)
    }

    async fn abandon(&self, intent: &SettlementIntent) {
        if let SettlementIntent::Local(intent) = intent {
            self.signer.give_up(&intent.transaction);
        }
    }
}
