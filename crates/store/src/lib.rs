//! Rows and blobs.
//!
//! [`TransactionStore`] is the narrow trait behind which transactions, their payments, receipts,
//! settlements and the outbox live, [`OutgoingStore`] that behind which the transactions of one's own
//! accounts do; [`SqliteStore`] is both over SQLite. Each method is one atomic, durable step.
//! [`BlobStore`] keeps evidence by its digest, over any object store.
//!
//! What a transaction holds of its request, output and payment is sealed with the operator's
//! [`StorageKey`], and erased when its time has come.
//!
//! What is stored is bytes to this crate: it knows neither the receipt's format nor the chain's.

mod blobs;
mod lock;
mod observe;
mod outgoing;
mod seal;
mod sqlite;
mod transactions;

pub use blobs::{BlobError, BlobStore};
pub use lock::FolderLock;
pub use observe::{StepKind, StepObserver};
pub use outgoing::{OutgoingRow, OutgoingStore};
pub use seal::{StorageKey, StorageKeyError};
pub use sqlite::{Durability, SqliteStore, StoreInspection};
pub use transactions::{
    Commitment, Holder, Job, Lease, OutboxEntry, OutboxKind, Payment, Refund, Requeued,
    Reservation, ReserveOutcome, SettledBlock, SettlementState, SettlementUpdate, StoreError,
    TransactionRow, TransactionState, TransactionStore,
};
