//! The transfer of a refund: signed once, and carried on until it is in the chain.

use assay_chain::{
    AccountKey, Address, CallOutcome, Chain, FeeLimits, MinedTransaction, OutgoingConfig,
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

/// What the chain knows of a refund's transactions.
enum Seen {
    Mined(Mined),
    /// It reverted, or moved nothing.
    Undone(String),
    /// None of them is in the chain.
    Nothing,
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
        if entry.versions.is_empty() {
            let call = transfer_call(entry.call, self.token, self.to, U256::from(entry.amount.0));
            let outcome = self.queue.carry_out(call).await;
            match outcome.map_err(|error| undone(error.to_string()))? {
                CallOutcome::Mined { .. } | CallOutcome::Reverted(_) | CallOutcome::Superseded => {}
            }
        } else {
            self.reopen(entry, refund).await?;
            self.queue.resume().await.map_err(CliError::failed)?;
            refund.refunds.wait_until_closed(id, entry.sequence).await;
        }
        failpoint!("cli.refund.after_broadcast");
        // With its replacements.
        let entries = refund.refunds.of(id);
        let entry = entries.iter().find(|found| found.sequence == entry.sequence).unwrap_or(entry);
        let why = match self.look(entry).await? {
            Seen::Mined(mined) => return Ok(mined),
            Seen::Undone(why) => why,
            Seen::Nothing if self.is_spent(entry).await? => {
                "another transaction of the account took its nonce".to_owned()
            }
            Seen::Nothing => {
                let message = "the chain does not show yet what became of it: run this again";
                return Err(CliError::failed(message));
            }
        };
        refund.set(entry, State::Undone)?;
        Err(undone(why))
    }

    /// Returns where a refund that was taken for undone is in the chain, if it is.
    pub(super) async fn find(&self, entry: &Entry) -> Result<Option<Mined>, CliError> {
        Ok(match self.look(entry).await? {
            Seen::Mined(mined) => Some(mined),
            Seen::Undone(_) | Seen::Nothing => None,
        })
    }

    /// Takes up again what was in the chain and is not any more.
    async fn reopen(&self, entry: &Entry, refund: &Refund<'_>) -> Result<(), CliError> {
        let is_lost = entry.is_closed
            && matches!(self.look(entry).await?, Seen::Nothing)
            && !self.is_spent(entry).await?;
        if is_lost {
            refund.refunds.change(refund.sale.id(), entry.sequence, |e| e.is_closed = false)?;
        }
        Ok(())
    }

    async fn is_spent(&self, entry: &Entry) -> Result<bool, CliError> {
        let Some(first) = entry.versions.first() else { return Ok(true) };
        let (signer, chain) = (first.transaction.signer, self.queue.signer().chain());
        let count = chain.transaction_count(signer, false).await.map_err(CliError::failed)?;
        Ok(count > first.transaction.nonce)
    }

    async fn look(&self, entry: &Entry) -> Result<Seen, CliError> {
        let chain = self.queue.signer().chain();
        for version in entry.versions.iter().rev() {
            let looking = chain.look_at(version.transaction.hash, self.confirmations).await;
            match looking.map_err(CliError::failed)? {
                TransactionOutcome::Mined(mined) => return Ok(self.judge(entry, &mined)),
                TransactionOutcome::Reverted(_) => {
                    return Ok(Seen::Undone("the transfer reverted".to_owned()));
                }
                TransactionOutcome::Unknown { .. } => {}
            }
        }
        Ok(Seen::Nothing)
    }

    /// A token may refuse a transfer without reverting: its log says what moved.
    fn judge(&self, entry: &Entry, mined: &MinedTransaction) -> Seen {
        let from = self.queue.signer().address();
        let wanted = Transfer { from, to: self.to, value: U256::from(entry.amount.0) };
        if !transfers_of(&mined.receipt, self.token).contains(&wanted) {
            return Seen::Undone("the token did not move the money".to_owned());
        }
        let (number, time) = (mined.block.number, mined.block.time);
        let block = SettlementBlock { number, hash: mined.block.hash.to_string(), time };
        Seen::Mined(Mined { transaction: mined.receipt.transaction, block })
    }
}
