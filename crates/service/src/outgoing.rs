//! The journal of one's own transactions, in the store.

use std::fmt::Display;
use std::sync::Arc;

use assay_chain::{Address, JournalError, OutgoingTransaction, TransactionJournal};
use assay_primitives::Network;
use assay_store::{OutgoingRow, OutgoingStore, StoreError};
use async_trait::async_trait;

/// A [`TransactionJournal`] over an [`OutgoingStore`]: what is broadcast is in the same database as
/// the receipts that it settles.
#[derive(Clone, Debug)]
pub struct StoredJournal {
    store: Arc<dyn OutgoingStore>,
    network: Network,
}

impl StoredJournal {
    /// Makes the journal of a network's transactions.
    #[must_use]
    pub fn new(store: Arc<dyn OutgoingStore>, network: Network) -> Self {
        Self { store, network }
    }

    fn account(&self, signer: Address) -> String {
        format!("{}:{signer:#x}", self.network)
    }
}

#[async_trait]
impl TransactionJournal for StoredJournal {
    async fn append(&self, transaction: &OutgoingTransaction) -> Result<(), JournalError> {
        let row = OutgoingRow {
            account: self.account(transaction.transaction.signer),
            nonce: transaction.transaction.nonce,
            content: serde_json::to_vec(transaction).map_err(failed)?,
        };
        self.store.append_outgoing(row).await.map_err(failed)
    }

    async fn close(&self, signer: Address, nonce: u64) -> Result<(), JournalError> {
        self.store.close_outgoing(&self.account(signer), nonce).await.map_err(failed)
    }

    async fn open(&self, signer: Address) -> Result<Vec<OutgoingTransaction>, JournalError> {
        read(self.store.open_outgoing(&self.account(signer)).await)
    }

    async fn versions(
        &self,
        signer: Address,
        nonce: u64,
    ) -> Result<Vec<OutgoingTransaction>, JournalError> {
        read(self.store.outgoing_versions(&self.account(signer), nonce).await)
    }

    async fn highest(&self, signer: Address) -> Result<Option<u64>, JournalError> {
        self.store.highest_outgoing(&self.account(signer)).await.map_err(failed)
    }
}

fn read(rows: Result<Vec<Vec<u8>>, StoreError>) -> Result<Vec<OutgoingTransaction>, JournalError> {
    let rows = rows.map_err(failed)?;
    rows.iter().map(|row| serde_json::from_slice(row).map_err(failed)).collect()
}

fn failed(error: impl Display) -> JournalError {
    JournalError(error.to_string())
}
