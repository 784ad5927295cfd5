//! Rows and blobs.
//!
//! [`TransactionStore`] is the narrow trait behind which transactions, their payments, receipts,
//! settlements and the outbox live; [`SqliteStore`] is it over SQLite. Each of its methods is one
//! database transaction. [`BlobStore`] keeps evidence by its digest, over any object store.
//!
//! What a transaction holds of its request, output and payment is sealed with the operator's
//! [`StorageKey`], and erased when its time has come.
//!
//! What is stored is bytes to this crate: it knows neither the receipt's format nor the chain's.

mod blobs;
mod seal;
mod sqlite;
mod transactions;

pub use blobs::{BlobError, BlobStore};
pub use seal::{StorageKey, StorageKeyError};
pub use sqlite::{Durability, SqliteStore};
pub use transactions::{
    Commitment, Holder, OutboxEntry, OutboxKind, Payment, Reservation, ReserveOutcome,
    SettlementState, SettlementUpdate, StoreError, TransactionRow, TransactionState,
    TransactionStore,
};
