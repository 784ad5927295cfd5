//! The chain: blocks over a state, behind one lock.

mod replay;
mod state;
mod submit;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_eth::TransactionRequest;
use assay_primitives::Clock;

pub(crate) use state::State;

use crate::block::Head;
use crate::config::Config;
use crate::error::{CallError, OpenError, SubmitError};
use crate::transaction;

/// A development chain. Cloning gives another handle to the same chain; the last one dropped
/// releases the folder.
#[derive(Clone, Debug)]
pub struct DevChain {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    state: RwLock<State>,
}

impl DevChain {
    /// Opens a chain: a new one, or the one in the configured folder, whose blocks are all run
    /// again.
    ///
    /// # Errors
    /// When another process has the folder open, when the block file cannot be read or written, is
    /// damaged other than at its end, or holds blocks that this program does not reproduce. A last
    /// block that was not completely written is dropped.
    pub fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let state = replay::open(config)?;
        let head = state.head();
        tracing::debug!(block = head.number, hash = %head.hash, "Development chain opened.");
        Ok(Self { shared: Arc::new(Shared { clock, state: RwLock::new(state) }) })
    }

    /// Takes a signed transaction in its network encoding and returns its hash. It is in a block
    /// when this returns, unless mining is paused or an earlier nonce of its sender is missing.
    ///
    /// A transaction that reverts is accepted, as on any chain; its receipt says so.
    ///
    /// # Errors
    /// When the transaction is not accepted, or its block cannot be recorded.
    pub fn submit(&self, raw: &[u8]) -> Result<B256, SubmitError> {
        let transaction = transaction::decode(raw)?;
        let hash = *transaction.tx_hash();
        let now = self.now();
        self.state_mut().submit(transaction, now)?;
        Ok(hash)
    }

    /// Makes an empty block, also while mining is paused.
    ///
    /// # Errors
    /// When the block cannot be recorded.
    pub fn mine(&self) -> Result<Head, SubmitError> {
        let now = self.now();
        self.state_mut().mine_empty(now)
    }

    /// Stops mining: transactions are accepted and wait.
    pub fn pause(&self) {
        self.state_mut().pause();
    }

    /// Mines what waits and can be mined, and goes on mining.
    ///
    /// # Errors
    /// When a block cannot be recorded. What was not mined still waits.
    pub fn resume(&self) -> Result<Head, SubmitError> {
        let now = self.now();
        self.state_mut().resume(now)
    }

    /// Returns the last block.
    #[must_use]
    pub fn head(&self) -> Head {
        self.state().head()
    }

    /// Returns the balance of an account, in wei.
    #[must_use]
    pub fn balance(&self, address: Address) -> U256 {
        self.state().account(address).balance
    }

    /// Returns the nonce that the account's next transaction must have to be mined at once.
    #[must_use]
    pub fn nonce(&self, address: Address) -> u64 {
        self.state().account(address).nonce
    }

    /// Runs a call as if in the next block, and returns what it returned.
    ///
    /// # Errors
    /// When the call reverts or does not finish, or when the request is invalid.
    pub fn call(&self, request: &TransactionRequest) -> Result<Bytes, CallError> {
        self.state().call(request, self.now())
    }

    /// Returns the least gas limit with which a call succeeds.
    ///
    /// # Errors
    /// As [`Self::call`], and when no gas limit is enough.
    pub fn estimate_gas(&self, request: &TransactionRequest) -> Result<u64, CallError> {
        self.state().estimate_gas(request, self.now())
    }

    /// Returns the clock's time in seconds.
    pub(crate) fn now(&self) -> u64 {
        self.shared.clock.now().as_seconds()
    }

    /// Locks the state for reading. A poisoned lock is no harm: a block is built and recorded
    /// first, and only then applied, so a panic leaves the state as it was.
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.shared.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.shared.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
