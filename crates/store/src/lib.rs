//! Rows and blobs.
//!
//! [`TransactionStore`] is the narrow trait behind which transactions, their payments, receipts,
//! settlements and the outbox live; [`SqliteStore`] is it over SQLite. Each of its methods is one
//! database transaction. [`BlobStore`] keeps evidence by its digest, over any object store.
//!
//! What is stored is bytes to this crate: it knows neither the receipt's format nor the chain's.

mod blobs;
mod observe;
mod sqlite;
mod transactions;

pub use blobs::{BlobError, BlobStore};
pub use observe::{StepKind, StepObserver};
pub use sqlite::{Durability, SqliteStore, StoreInspection};
pub use transactions::{
    Commitment, Holder, OutboxEntry, OutboxKind, Payment, Reservation, ReserveOutcome,
    SettlementState, SettlementUpdate, StoreError, TransactionRow, TransactionState,
    TransactionStore,
};
