//! What happens to a transaction that comes in, and when blocks are made.

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{Transaction, TxEnvelope};
use revm::context_interface::result::InvalidTransaction;

use super::State;
use crate::block::Head;
use crate::error::SubmitError;
use crate::evm::EvmError;
use crate::pool;

impl State {
    /// Mines the transaction, or lets it wait.
    pub(super) fn submit(
        &mut self,
        transaction: Recovered<TxEnvelope>,
        now: u64,
    ) -> Result<(), SubmitError> {
        if self.pool.find(transaction.tx_hash()).is_some() {
            return Err(SubmitError::AlreadyKnown);
        }
        let (sender, nonce) = (transaction.signer(), transaction.nonce());
        let next = self.account(sender).nonce;
        if nonce < next {
            return Err(SubmitError::NonceTooLow { next, nonce });
        }
        if nonce - next > pool::LIMIT as u64 {
            return Err(SubmitError::NonceTooHigh { next, nonce });
        }
        if nonce > next || self.paused {
            self.try_out(&transaction, now).map_err(|error| refusal(error, &transaction))?;
            return self.pool.insert(transaction);
        }
        self.mine(&transaction, now)?;
        // The transaction is in its block: what follows it must not make it look refused.
        if let Err(error) = self.mine_ready(now) {
            tracing::error!(%error, "Waiting transactions could not be mined.");
        }
        Ok(())
    }

    /// Makes an empty block.
    pub(super) fn mine_empty(&mut self, now: u64) -> Result<Head, SubmitError> {
        let prepared =
            self.prepare(now, None).map_err(|error| SubmitError::Evm(error.to_string()))?;
        if let Some(journal) = &mut self.journal {
            journal.append(&prepared.block)?;
        }
        self.apply(prepared);
        Ok(self.head())
    }

    pub(super) const fn pause(&mut self) {
        self.paused = true;
    }

    /// Mines all that can be mined, and goes on mining.
    pub(super) fn resume(&mut self, now: u64) -> Result<Head, SubmitError> {
        self.paused = false;
        self.mine_ready(now)?;
        Ok(self.head())
    }

    /// Makes a block of one transaction. Unless that succeeds, nothing has changed.
    fn mine(&mut self, transaction: &Recovered<TxEnvelope>, now: u64) -> Result<(), SubmitError> {
        let (sender, nonce) = (transaction.signer(), transaction.nonce());
        let prepared =
            self.prepare(now, Some(transaction)).map_err(|error| refusal(error, transaction))?;
        if let Some(journal) = &mut self.journal {
            journal.append(&prepared.block)?;
        }
        self.apply(prepared);
        self.pool.remove(sender, nonce);
        Ok(())
    }

    /// Mines every waiting transaction whose turn has come. One that turns out to be invalid, as
    /// when its sender has spent the funds since, is dropped.
    fn mine_ready(&mut self, now: u64) -> Result<(), SubmitError> {
        while let Some(ready) = self.pool.first_ready(|sender| self.account(sender).nonce) {
            let transaction = ready.clone();
            let (sender, nonce) = (transaction.signer(), transaction.nonce());
            match self.mine(&transaction, now) {
                Ok(()) => {}
                Err(error @ SubmitError::Journal(_)) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, %sender, nonce, "Waiting transaction dropped.");
                    self.pool.remove(sender, nonce);
                }
            }
        }
        Ok(())
    }
}

/// Says in our words why the EVM refuses a transaction.
fn refusal(error: EvmError, transaction: &Recovered<TxEnvelope>) -> SubmitError {
    let error = match error {
        EvmError::Transaction(error) => error,
        error => return SubmitError::Evm(error.to_string()),
    };
    match error {
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
            SubmitError::InsufficientFunds { balance: *balance, cost: *fee }
        }
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit }
        | InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor: initial_gas, gas_limit } => {
            SubmitError::IntrinsicGas { limit: gas_limit, needed: initial_gas }
        }
        InvalidTransaction::RejectCallerWithCode => {
            SubmitError::SenderHasCode(transaction.signer())
        }
        error => SubmitError::Rejected(error.to_string()),
    }
}
