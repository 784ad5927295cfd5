//! The transfer of a refund: signed once, and carried on until it is in the chain.
//!
//! ```text
//! planned --signed and stored--> open --> mined --> recorded
//!                                 ^ |
//!                                 | `---> undone
//!                                 |         |
//!                                 `---------'  its block has left the chain
//! ```
//!
//! Why nothing is given back twice, though each answer may be another node's, and old:
//!
//! - Another refund is planned only when each before it is recorded or undone. One that is open is
//!   sent again as it was signed, or with higher fees: all versions have one nonce, so the chain
//!   takes one of them.
//! - It is undone only by a block, as deep as `confirmations`: the one with the version that moved
//!   nothing, or the one that brought the account past the nonce and holds no version. The latter is
//!   found by questions about blocks by their number, which a node that is behind cannot answer with
//!   an older state. That there is no receipt, or what the latest block is, may be old and decides
//!   nothing alone.
//! - That block is stored, and has to be in the chain each time before more is planned. When another
//!   is in its place, the refund is open again; but never when a newer one was made instead.
//! - Whatever else is seen (a block that is not deep enough, a receipt that comes and goes, a node
//!   that knows no such block) leaves it open, for the next run to look at.
//!
//! What is left is a reorganisation deeper than `confirmations`, after a newer refund was made.

use std::time::Duration;

use assay_chain::{
    AccountKey, Address, Block, Chain, ChainError, FeeLimits, MinedTransaction, OutgoingConfig,
    OutgoingQueue, SettlementSigner, TransactionOutcome, Transfer, U256, transfer_call,
    transfers_of,
};
use assay_primitives::{Account, failpoint};
use assay_receipt::SettlementBlock;

use super::Refund;
use super::journal::{Entry, Mined, State};
use crate::error::CliError;
use crate::money;

/// The account that gives back.
pub(super) struct Payer {
    queue: OutgoingQueue,
    confirmations: u64,
    token: Address,
    to: Address,
}

/// The pauses before looks at what became of a refund.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
];

/// What the chain shows of a refund's transactions.
pub(super) enum Seen {
    /// As deep as asked.
    Mined(Mined),
    /// It moved nothing, nor will it, by this block, which is as deep as asked.
    Undone(SettlementBlock, &'static str),
    /// Nothing that lasts: why, where the node said why.
    Open(Option<ChainError>),
}

impl Payer {
    pub(super) fn new(
        chain: Chain,
        key: AccountKey,
        refund: &Refund<'_>,
    ) -> Result<Self, CliError> {
        let terms = refund.sale.terms();
        let signer =
            SettlementSigner::new(chain, key, FeeLimits::default()).map_err(CliError::input)?;
        let confirmations = refund.config.chain.confirmations;
        let config = OutgoingConfig { confirmations, batch: 1, ..OutgoingConfig::default() };
        let queue = OutgoingQueue::new(signer, refund.refunds.clone(), config);
        let address = |account: &Account| money::address(account.as_str());
        Ok(Self { queue, confirmations, token: address(&terms.asset)?, to: address(&terms.payer)? })
    }

    /// Has a refund carried out. One that was signed before is not signed again: it is sent again, with
    /// higher fees where it is stuck, until its nonce is spent.
    pub(super) async fn carry_out(
        &self,
        entry: &Entry,
        refund: &Refund<'_>,
    ) -> Result<Mined, CliError> {
        let undone = |why: String| {
            CliError::Failed(format!("nothing was given back: {why}; run this again to try anew"))
        };
        let id = refund.sale.id();
        let find = || refund.refunds.of(id).into_iter().find(|e| e.sequence == entry.sequence);
        if entry.versions.is_empty() {
            let call = transfer_call(entry.call, self.token, self.to, U256::from(entry.amount.0));
            match self.queue.carry_out(call).await {
                Ok(_) => {}
                Err(error) if find().is_none() => return Err(undone(error.to_string())),
                // It was signed, so it may have been sent.
                Err(error) => return Err(not_shown(&error.to_string())),
            }
        } else {
            self.reopen(entry, refund).await?;
            self.queue.resume().await.map_err(CliError::failed)?;
            refund.refunds.wait_until_closed(id, entry.sequence).await;
        }
        failpoint!("cli.refund.after_broadcast");
        // With its replacements.
        let entry = find().unwrap_or_else(|| entry.clone());
        match self.conclude(&entry).await? {
            Seen::Mined(mined) => Ok(mined),
            Seen::Undone(block, why) => {
                refund.set(&entry, State::Undone { block: Some(block) })?;
                Err(undone(why.to_owned()))
            }
            Seen::Open(None) => Err(not_shown("it is not deep enough in the chain, or not there")),
            Seen::Open(Some(error)) => Err(not_shown(&error.to_string())),
        }
    }

    /// Looks a few times at what became of a refund. Nobody's nonce is taken by one look alone.
    pub(super) async fn conclude(&self, entry: &Entry) -> Result<Seen, CliError> {
        let (mut last, mut error) = (None, None);
        for pause in PAUSES {
            tokio::time::sleep(pause).await;
            match self.look(entry).await {
                Ok(Seen::Open(_)) => {}
                Ok(seen) => return Ok(seen),
                Err(error) => return Err(CliError::failed(error)),
            }
            let taken = match self.taken(entry).await {
                Ok(taken) => taken,
                Err(why) => {
                    error = Some(why);
                    None
                }
            };
            if let Some(block) = taken.clone().filter(|_| taken == last) {
                return Ok(Seen::Undone(
                    block,
                    "another transaction of the account took its nonce",
                ));
            }
            last = taken;
        }
        Ok(Seen::Open(error))
    }

    /// Says whether a block is in the chain.
    ///
    /// # Errors
    /// When the node does not answer, or does not know a block of that number.
    pub(super) async fn holds(&self, block: &SettlementBlock) -> Result<bool, CliError> {
        let found = self.chain().block_at(block.number).await.map_err(CliError::failed)?;
        let Some(found) = found else {
            return Err(not_shown(&format!("the node does not know block {} yet", block.number)));
        };
        Ok(found.hash.to_string() == block.hash)
    }

    fn chain(&self) -> &Chain {
        self.queue.signer().chain()
    }

    /// Takes up again what was in the chain and is not any more.
    async fn reopen(&self, entry: &Entry, refund: &Refund<'_>) -> Result<(), CliError> {
        let is_lost = async || {
            let Some(first) = entry.versions.first() else { return Ok(false) };
            if self.is_in_block(entry).await? {
                return Ok(false);
            }
            let (signer, nonce) = (first.transaction.signer, first.transaction.nonce);
            Ok(self.chain().transaction_count(signer, false).await? <= nonce)
        };
        if entry.is_closed
            && is_lost().await.map_err(|error: ChainError| CliError::failed(error))?
        {
            refund.refunds.change(refund.sale.id(), entry.sequence, |e| e.is_closed = false)?;
        }
        Ok(())
    }

    /// Returns the block that spent the refund's nonce, if that is as deep as asked and holds none of
    /// its versions.
    async fn taken(&self, entry: &Entry) -> Result<Option<SettlementBlock>, ChainError> {
        let Some(first) = entry.versions.first() else { return Ok(None) };
        let (signer, nonce) = (first.transaction.signer, first.transaction.nonce);
        let latest = self.chain().latest_block().await?.number;
        let above = self.confirmations.saturating_sub(1);
        let Some(deep) = latest.checked_sub(above) else { return Ok(None) };
        let spent = self.chain().nonce_spent(signer, nonce, deep).await?;
        let hashes = || entry.versions.iter().map(|version| version.transaction.hash);
        let spent = spent.filter(|spent| hashes().all(|hash| !spent.transactions.contains(&hash)));
        match spent {
            Some(spent) if !self.is_in_block(entry).await? => Ok(Some(told(&spent.block))),
            _ => Ok(None),
        }
    }

    /// Says whether a version has a receipt.
    async fn is_in_block(&self, entry: &Entry) -> Result<bool, ChainError> {
        for version in &entry.versions {
            if self.chain().receipt(version.transaction.hash).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn look(&self, entry: &Entry) -> Result<Seen, ChainError> {
        for version in entry.versions.iter().rev() {
            let hash = version.transaction.hash;
            match self.chain().look_at(hash, self.confirmations).await? {
                TransactionOutcome::Mined(mined) => return Ok(self.judge(entry, &mined)),
                TransactionOutcome::Reverted(mined) => {
                    return Ok(Seen::Undone(told(&mined.block), "the transfer reverted"));
                }
                TransactionOutcome::Unknown { .. } => {}
            }
        }
        Ok(Seen::Open(None))
    }

    /// A token may refuse a transfer without reverting: its log says what moved.
    fn judge(&self, entry: &Entry, mined: &MinedTransaction) -> Seen {
        let from = self.queue.signer().address();
        let wanted = Transfer { from, to: self.to, value: U256::from(entry.amount.0) };
        if !transfers_of(&mined.receipt, self.token).contains(&wanted) {
            return Seen::Undone(told(&mined.block), "the token did not move the money");
        }
        let block = told(&mined.block);
        Seen::Mined(Mined { transaction: mined.receipt.transaction, block })
    }
}

fn told(block: &Block) -> SettlementBlock {
    SettlementBlock { number: block.number, hash: block.hash.to_string(), time: block.time }
}

/// Tells that a refund is open.
pub(super) fn not_shown(why: &str) -> CliError {
    CliError::Failed(format!(
        "the chain does not show yet what became of the refund: {why}; run this again, nothing new \
         is signed until it does"
    ))
}
