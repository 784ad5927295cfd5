//! From a stored transaction to one that is mined as deep as asked, whatever gets in its way.

use std::sync::Arc;
use std::time::Duration;

use assay_primitives::failpoint;
use tracing::{debug, info, warn};

use super::{CallOutcome, OutgoingTransaction, Shared};
use crate::pace::pauses;
use crate::{
    Broadcast, BroadcastError, Bytes, ChainError, SignedTransaction, SignerError,
    TransactionOutcome,
};

/// How long a transaction is waited for before something is done about it, and at first where it was
/// not taken.
const SLICE: Duration = Duration::from_secs(3);
const FIRST_SLICE: Duration = Duration::from_millis(100);

/// The gas of a transfer of nothing to oneself.
const FILLER_GAS: u64 = 30_000;

/// A nonce under way, in all its versions.
pub(super) struct Carrier {
    shared: Arc<Shared>,
    versions: Vec<OutgoingTransaction>,
    /// The latest block when the newest version was first found missing.
    missing_since: Option<u64>,
    /// Whether the nonce was found spent, and no version mined, the last time.
    was_spent: bool,
    refusal: Option<String>,
    slice: Duration,
    /// Whether it was said that a replacement would cost too much.
    is_capped: bool,
}

/// What one look at all versions showed.
enum Seen {
    Done(CallOutcome),
    /// In a block, and not deep enough.
    Shallow,
    Missing,
    /// The node did not answer.
    Nothing,
}

/// What the chain lacks below a nonce.
struct Gap {
    /// The newest transaction of the lowest nonce that is missing.
    outgoing: OutgoingTransaction,
    /// Whether the node took it.
    is_taken: bool,
}

impl Carrier {
    pub(super) fn new(shared: Arc<Shared>, versions: Vec<OutgoingTransaction>) -> Self {
        Self {
            shared,
            versions,
            missing_since: None,
            was_spent: false,
            refusal: None,
            slice: SLICE,
            is_capped: false,
        }
    }

    /// Carries the nonce on until it is spent.
    pub(super) async fn run(mut self) -> (Vec<OutgoingTransaction>, CallOutcome) {
        let outcome = self.carry().await;
        (self.versions, outcome)
    }

    async fn carry(&mut self) -> CallOutcome {
        loop {
            self.broadcast().await;
            let missing = match self.watch().await {
                Seen::Done(outcome) => return outcome,
                Seen::Shallow => {
                    self.missing_since = None;
                    continue;
                }
                Seen::Nothing => continue,
                Seen::Missing => self.missing().await,
            };
            match missing {
                Ok(true) => return CallOutcome::Superseded,
                Ok(false) => {}
                Err(error) => debug!(%error, "A transaction that is missing was not helped along."),
            }
        }
    }

    /// Sends the newest version. Sending it again is harmless.
    async fn broadcast(&mut self) {
        let Some(newest) = self.versions.last() else { return };
        let SignedTransaction { hash, nonce, .. } = newest.transaction;
        failpoint!("chain.broadcast.before");
        let sent = self.shared.signer.chain().broadcast(&newest.transaction).await;
        failpoint!("chain.broadcast.after");
        let refusal = match sent {
            Ok(Broadcast::Accepted | Broadcast::AlreadyKnown) => None,
            // Mined already, or another version waits: looking at them says which.
            Err(BroadcastError::NonceTooLow { .. } | BroadcastError::NonceTaken { .. }) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(refusal) = refusal.as_deref().filter(|_| self.refusal != refusal) {
            warn!(%hash, nonce, refusal, "A transaction was not taken; it is sent again.");
        }
        self.slice = match (&refusal, &self.refusal) {
            (None, _) => SLICE,
            (Some(_), None) => FIRST_SLICE,
            (Some(_), Some(_)) => (self.slice * 2).min(SLICE),
        };
        self.refusal = refusal;
    }

    async fn watch(&self) -> Seen {
        let (mut pauses, mut left) = (pauses(), self.slice);
        loop {
            let seen = match self.look().await {
                Ok(Seen::Done(outcome)) => return Seen::Done(outcome),
                Ok(seen) => seen,
                Err(_) => Seen::Nothing,
            };
            if left.is_zero() {
                return seen;
            }
            let wait = pauses.next().unwrap_or_default().min(left);
            tokio::time::sleep(wait).await;
            left = left.saturating_sub(wait);
        }
    }

    async fn look(&self) -> Result<Seen, ChainError> {
        let mut seen = Seen::Missing;
        for version in self.versions.iter().rev() {
            let (chain, confirmations) =
                (self.shared.signer.chain(), self.shared.config.confirmations);
            match chain.look_at(version.transaction.hash, confirmations).await? {
                TransactionOutcome::Mined(mined) => {
                    let (mined, alone) = (Arc::new(mined), version.calls.len() == 1);
                    return Ok(Seen::Done(CallOutcome::Mined { mined, alone }));
                }
                TransactionOutcome::Reverted(mined) => {
                    return Ok(Seen::Done(CallOutcome::Reverted(Arc::new(mined))));
                }
                TransactionOutcome::Unknown { confirmations: 0, .. } => {}
                TransactionOutcome::Unknown { .. } => seen = Seen::Shallow,
            }
        }
        Ok(seen)
    }

    /// Does what may keep the transaction from being mined. Returns whether its nonce went to
    /// another.
    async fn missing(&mut self) -> Result<bool, SignerError> {
        let Some(newest) = self.versions.last() else { return Ok(true) };
        let SignedTransaction { signer, nonce, .. } = newest.transaction;
        let chain = self.shared.signer.chain();
        let spent = chain.transaction_count(signer, false).await?;
        if spent > nonce {
            // Twice: between the two questions it may have been mined, or another node answered.
            let before = std::mem::replace(&mut self.was_spent, true);
            return Ok(before && matches!(self.look().await?, Seen::Missing));
        }
        self.was_spent = false;
        let gap = self.fill_gap(spent).await?;
        let latest = self.shared.signer.chain().latest_block().await?;
        let since = *self.missing_since.get_or_insert(latest.number);
        if latest.number < since.saturating_add(self.shared.config.stuck_blocks) {
            return Ok(false);
        }
        // Higher fees help what waits for its turn to be mined, and what the base fee has overtaken;
        // not what stands behind another nonce, nor what the node refuses for another reason.
        let is_gap = gap.is_some();
        let (stuck, is_taken) = match gap {
            Some(Gap { outgoing, is_taken }) => (Some(outgoing), is_taken),
            None => (self.versions.last().cloned(), self.refusal.is_none()),
        };
        let Some(stuck) = stuck else { return Ok(false) };
        let is_next = is_gap || spent == nonce;
        let max_fee = stuck.transaction.max_fee();
        let is_overtaken =
            max_fee.is_some_and(|fee| latest.base_fee.is_some_and(|base| fee < base));
        if is_next && is_taken || is_overtaken {
            self.replace(&stuck).await?;
            self.missing_since = Some(latest.number);
        }
        Ok(false)
    }

    /// Sends what the chain lacks below the lowest nonce under way: a transaction that counted as
    /// mined and was dropped by a reorganisation, or, for a nonce that nobody knows, a transfer of
    /// nothing. Returns the lowest.
    async fn fill_gap(&self, spent: u64) -> Result<Option<Gap>, SignerError> {
        let lowest = self.shared.view().lowest;
        let own = self.versions.last().map(|newest| newest.transaction.nonce);
        if lowest != own {
            return Ok(None);
        }
        let mut gap = None;
        for nonce in spent..own.unwrap_or(spent) {
            let Some(outgoing) = self.transaction_for(nonce).await? else { break };
            info!(nonce, hash = %outgoing.transaction.hash, "A gap in the account's nonces is filled.");
            let sent = self.shared.signer.chain().broadcast(&outgoing.transaction).await;
            let is_taken =
                !matches!(sent, Err(BroadcastError::NotSent(_) | BroadcastError::Rejected { .. }));
            gap.get_or_insert(Gap { outgoing, is_taken });
        }
        Ok(gap)
    }

    /// Returns the transaction of a nonce that the chain lacks: the one that is known, or a stored
    /// transfer of nothing; neither while the journal does not answer, as it may know one.
    async fn transaction_for(
        &self,
        nonce: u64,
    ) -> Result<Option<OutgoingTransaction>, SignerError> {
        let Shared { signer, journal, .. } = self.shared.as_ref();
        let address = self.shared.address();
        let known = match journal.versions(address, nonce).await {
            Ok(known) => known,
            Err(error) => {
                warn!(%error, nonce, "A gap in the account's nonces could not be filled.");
                return Ok(None);
            }
        };
        if let Some(known) = known.into_iter().next_back() {
            return Ok(Some(known));
        }
        let fees = signer.fees().await?;
        let transaction = signer.sign(nonce, address, Bytes::new(), FILLER_GAS, fees)?;
        let filler = OutgoingTransaction { transaction, calls: Vec::new() };
        if let Err(error) = journal.append(&filler).await {
            warn!(%error, nonce, "A gap in the account's nonces could not be filled.");
            return Ok(None);
        }
        Ok(Some(filler))
    }

    /// Adds a version with higher fees to one's own nonce, or to one below that is in the way, as far
    /// as the operator's cap allows.
    async fn replace(&mut self, stuck: &OutgoingTransaction) -> Result<(), SignerError> {
        let SignedTransaction { nonce, .. } = stuck.transaction;
        let transaction = match self.shared.signer.replacement(&stuck.transaction).await {
            Ok(transaction) => transaction,
            Err(error @ SignerError::FeeCap { .. }) => {
                if !std::mem::replace(&mut self.is_capped, true) {
                    warn!(%error, nonce, "A stuck transaction is not replaced.");
                    self.shared.view().status.capped += 1;
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let hash = transaction.hash;
        let version = OutgoingTransaction { transaction, calls: stuck.calls.clone() };
        failpoint!("chain.replace.before");
        if let Err(error) = self.shared.journal.append(&version).await {
            warn!(%error, nonce, "A stuck transaction could not be replaced.");
            return Ok(());
        }
        failpoint!("chain.replace.after");
        info!(nonce, %hash, "A stuck transaction is replaced by one with higher fees.");
        self.shared.view().status.replaced += 1;
        if self.versions.last().is_some_and(|newest| newest.transaction.nonce == nonce) {
            self.shared.show(&version);
            self.versions.push(version);
        }
        Ok(())
    }
}
