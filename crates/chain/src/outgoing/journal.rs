use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::SignedTransaction;

/// A transaction of one's own, and the calls that it carries out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OutgoingTransaction {
    /// The signed transaction.
    pub transaction: SignedTransaction,
    /// The ids of its calls; none in one that only fills a gap.
    pub calls: Vec<B256>,
}

/// Where one's own transactions are kept before they are broadcast, so that after a restart the
/// same ones go on and no account nonce is lost or taken twice.
///
/// A nonce may have several versions: the first transaction and those that replace it with higher
/// fees. Any of them may be mined.
#[async_trait]
pub trait TransactionJournal: fmt::Debug + Send + Sync {
    /// Stores a transaction durably. Only then may it be broadcast.
    ///
    /// # Errors
    /// When it is not stored; then it is never broadcast.
    async fn append(&self, transaction: &OutgoingTransaction) -> Result<(), JournalError>;

    /// Notes that a nonce is spent.
    ///
    /// # Errors
    /// When that is not stored: the nonce is looked at again after the next start.
    async fn close(&self, signer: Address, nonce: u64) -> Result<(), JournalError>;

    /// Returns the transactions whose nonces are not closed, by nonce, versions oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    async fn open(&self, signer: Address) -> Result<Vec<OutgoingTransaction>, JournalError>;

    /// Returns the versions of a nonce, closed or not, oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    async fn versions(
        &self,
        signer: Address,
        nonce: u64,
    ) -> Result<Vec<OutgoingTransaction>, JournalError>;

    /// Returns the highest nonce that was ever stored.
    ///
    /// # Errors
    /// When the journal cannot be read.
    async fn highest(&self, signer: Address) -> Result<Option<u64>, JournalError>;
}

/// The journal failed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("journal of transactions: {0}")]
pub struct JournalError(pub String);

/// A journal in memory, which a restart forgets: for tests, and where the authorisations alone keep
/// money from moving twice.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    versions: BTreeMap<(Address, u64), Vec<OutgoingTransaction>>,
    closed: BTreeSet<(Address, u64)>,
}

/// How many nonces are remembered after they were closed.
const REMEMBERED: usize = 4_096;

impl MemoryJournal {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TransactionJournal for MemoryJournal {
    async fn append(&self, transaction: &OutgoingTransaction) -> Result<(), JournalError> {
        let place = (transaction.transaction.signer, transaction.transaction.nonce);
        self.lock().versions.entry(place).or_default().push(transaction.clone());
        Ok(())
    }

    async fn close(&self, signer: Address, nonce: u64) -> Result<(), JournalError> {
        let mut memory = self.lock();
        memory.closed.insert((signer, nonce));
        if memory.closed.len() > REMEMBERED
            && let Some(oldest) = memory.closed.pop_first()
        {
            memory.versions.remove(&oldest);
        }
        Ok(())
    }

    async fn open(&self, signer: Address) -> Result<Vec<OutgoingTransaction>, JournalError> {
        let memory = self.lock();
        let open = memory.versions.range((signer, 0)..=(signer, u64::MAX));
        let open = open.filter(|(place, _)| !memory.closed.contains(*place));
        Ok(open.flat_map(|(_, versions)| versions.clone()).collect())
    }

    async fn versions(
        &self,
        signer: Address,
        nonce: u64,
    ) -> Result<Vec<OutgoingTransaction>, JournalError> {
        Ok(self.lock().versions.get(&(signer, nonce)).cloned().unwrap_or_default())
    }

    async fn highest(&self, signer: Address) -> Result<Option<u64>, JournalError> {
        let memory = self.lock();
        let mut stored = memory.versions.range((signer, 0)..=(signer, u64::MAX));
        Ok(stored.next_back().map(|((_, nonce), _)| *nonce))
    }
}
