use std::fmt::{self, Debug};

use assay_primitives::{Account, Digest, Network, RandomnessError, Timestamp, TransactionId};
use async_trait::async_trait;
use thiserror::Error;

/// Where transactions live. Every method is one atomic, durable step.
#[async_trait]
pub trait TransactionStore: Debug + Send + Sync {
    /// Reserves a payment for a new transaction, so that of any number of requests with one payment
    /// only one goes on.
    ///
    /// # Errors
    /// When the store fails.
    async fn reserve(&self, reservation: Reservation) -> Result<ReserveOutcome, StoreError>;

    /// Returns which transaction has a payment, if any has: the one that reserved it and did not
    /// release it. Says whether it is bound to the same.
    ///
    /// # Errors
    /// When the store fails.
    async fn holder(
        &self,
        payment: &Payment,
        binding: Digest,
    ) -> Result<Option<Holder>, StoreError>;

    /// Claims the oldest job of a queue that nobody works on, until a time: one that is queued, or
    /// whose claim has ended.
    ///
    /// # Errors
    /// When the store fails.
    async fn claim(
        &self,
        queue: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Job>, StoreError>;

    /// Prolongs claims. One that was lost meanwhile stays lost.
    ///
    /// # Errors
    /// When the store fails.
    async fn renew(&self, leases: Vec<Lease>, until: Timestamp) -> Result<(), StoreError>;

    /// Queues a claimed job again, for a later attempt.
    ///
    /// # Errors
    /// When the claim was lost, or the store fails.
    async fn postpone(&self, lease: Lease, not_before: Timestamp) -> Result<(), StoreError>;

    /// Notes that a transaction is not run again after a restart: [`TransactionStore::requeue`] releases it. One
    /// that is committed stays as it is.
    ///
    /// # Errors
    /// When the store fails.
    async fn do_not_resume(&self, id: TransactionId) -> Result<(), StoreError>;

    /// Ends every claim: those of the process before. What was in hand and is not to be run again is
    /// released, and what is in none of these queues: nobody would claim it.
    ///
    /// # Errors
    /// When the store fails.
    async fn requeue(&self, queues: Vec<String>) -> Result<Requeued, StoreError>;

    /// Returns the transaction of a job's location, by its hash.
    ///
    /// # Errors
    /// When the store fails.
    async fn at_location(&self, location: Digest) -> Result<Option<TransactionId>, StoreError>;

    /// Gives a payment back that was reserved and not committed: nothing was charged. Whoever works
    /// on it finds its claim lost.
    ///
    /// # Errors
    /// When the transaction is not in the state `reserved`, or the store fails.
    async fn release(&self, id: TransactionId, failure: Option<String>) -> Result<(), StoreError>;

    /// Stores receipt, items and settlement intent together, with an outbox entry. Only then may
    /// anything be broadcast.
    ///
    /// # Errors
    /// When the transaction is not in the state `reserved`, its claim was lost, or the store fails.
    async fn commit(&self, lease: Lease, commitment: Commitment) -> Result<(), StoreError>;

    /// Stores that the payer was told of a failed settlement, while somebody else could still carry
    /// out the authorisation: from now on it is only watched.
    ///
    /// # Errors
    /// When the transaction is in neither of the states `committed` and `reorged`, or the store
    /// fails.
    async fn fail(&self, id: TransactionId, response: Vec<u8>) -> Result<(), StoreError>;

    /// Stores what became of a settlement, with its record and an outbox entry.
    ///
    /// # Errors
    /// When the transaction is in none of the states `committed`, `failing` and `reorged`, or, for a
    /// reorganisation, not in the state `settled`, or the store fails.
    async fn settle(&self, id: TransactionId, update: SettlementUpdate) -> Result<(), StoreError>;

    /// Stores the record of a refund, with an outbox entry; the transaction stays settled. Returns
    /// whether it was added: not when a record names the chain's transaction already, of whichever
    /// receipt.
    ///
    /// # Errors
    /// When the transaction is not in the state `settled`, or the store fails.
    async fn add_record(&self, id: TransactionId, refund: Refund) -> Result<bool, StoreError>;

    /// Returns a transaction.
    ///
    /// # Errors
    /// When the store fails.
    async fn transaction(&self, id: TransactionId) -> Result<Option<TransactionRow>, StoreError>;

    /// Erases the contents of a transaction that has ended: what was asked, answered and paid with, what
    /// the payment is bound to, and the secret of its salts. The settlement intent stays until
    /// [`TransactionStore::erase_intents`] erases it. Receipt, records and digests stay. Erasing again changes nothing.
    ///
    /// # Errors
    /// When the transaction has not ended, or the store fails.
    async fn erase(&self, id: TransactionId, at: Timestamp) -> Result<(), StoreError>;

    /// Erases the contents of transactions that ended at `until` or before, the oldest first and at
    /// most `limit` of them. Returns how many there were.
    ///
    /// # Errors
    /// When the store fails.
    async fn erase_ended(
        &self,
        until: Timestamp,
        at: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError>;

    /// Erases the settlement intents of erased transactions that nothing opens again: those that failed,
    /// and those whose settlements are in blocks before this one. At most `limit` of them. Returns how
    /// many there were.
    ///
    /// # Errors
    /// When the store fails.
    async fn erase_intents(&self, before_block: u64, limit: u32) -> Result<u64, StoreError>;

    /// Removes what the store's own files still hold of erased contents, as they were before. Returns
    /// whether nothing is left: while another program is in the middle of reading it stays, sealed, and
    /// is removed by and by.
    ///
    /// # Errors
    /// When the store fails.
    async fn forget_erased(&self) -> Result<bool, StoreError>;

    /// Returns the ids of transactions that still have a step before them (`reserved`, `committed`,
    /// `failing` or `reorged`), by id and so by age, after the given one.
    ///
    /// # Errors
    /// When the store fails.
    async fn open_after(
        &self,
        after: Option<TransactionId>,
        limit: u32,
    ) -> Result<Vec<(TransactionId, TransactionState)>, StoreError>;

    /// Returns the blocks from a number on that settlements are recorded in.
    ///
    /// # Errors
    /// When the store fails.
    async fn settled_blocks(&self, since: u64) -> Result<Vec<SettledBlock>, StoreError>;

    /// Returns the transactions that are settled by a block.
    ///
    /// # Errors
    /// When the store fails.
    async fn settled_in(&self, block: &SettledBlock) -> Result<Vec<TransactionId>, StoreError>;

    /// Returns outbox entries after a sequence number, in order.
    ///
    /// # Errors
    /// When the store fails.
    async fn outbox(&self, after: u64, limit: u32) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Keeps a price list by its digest: what was quoted by it holds in a later process, too.
    ///
    /// # Errors
    /// When the store fails.
    async fn keep_prices(&self, digest: Digest, list: Vec<u8>) -> Result<(), StoreError>;

    /// Returns a price list that was kept.
    ///
    /// # Errors
    /// When the store fails.
    async fn prices(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns the HMAC-SHA256 of a text under a key of the operator's: the same for every process, and
    /// nobody else can make it.
    ///
    /// # Errors
    /// When no key can be derived.
    fn authenticate(&self, text: &[u8]) -> Result<Digest, StoreError>;

    /// Returns how many transactions are in each state, for every state. It takes the same time
    /// however many there are.
    ///
    /// # Errors
    /// When the store fails.
    async fn count_by_state(&self) -> Result<Vec<(TransactionState, u64)>, StoreError>;
}

/// A payment by what makes it unique on its network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Payment {
    /// The network.
    pub network: Network,
    /// The asset.
    pub asset: Account,
    /// Who pays.
    pub payer: Account,
    /// The authorisation's nonce, in its canonical spelling.
    pub nonce: String,
}

/// A transaction to be begun.
#[derive(Clone)]
pub struct Reservation {
    /// Its id.
    pub id: TransactionId,
    /// The payment it takes.
    pub payment: Payment,
    /// The payment as it came, for a settlement that has to be prepared again.
    pub payload: Vec<u8>,
    /// What the payment is bound to: a digest of the request it came with and the accepted offer.
    pub binding: Digest,
    /// The hash of the token that opens its contents.
    pub access_token_hash: Digest,
    /// The secret its salts come from.
    pub secret: [u8; 32],
    /// Where it waits for its turn.
    pub queue: String,
    /// What is run.
    pub request: Vec<u8>,
    /// What the caller wants back with the result.
    pub echo: Vec<u8>,
    /// The hash of the location at which its result is asked for, where the caller does not wait.
    pub location: Option<Digest>,
    /// Whether it is run again after a restart: its caller can come back for the result.
    pub is_resumable: bool,
    /// The last moment at which it may be committed.
    pub deadline: Timestamp,
    /// Until when it is claimed from the beginning; `None` when it is queued.
    pub leased_until: Option<Timestamp>,
    /// When it began.
    pub at: Timestamp,
}

/// A claim to work on a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lease {
    /// The transaction.
    pub id: TransactionId,
    /// Which claim it is; a transaction's first is 1.
    pub number: u64,
}

/// What a new process finds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Requeued {
    /// The queues of the jobs that wait, one for each.
    pub queued: Vec<String>,
    /// How many jobs were released.
    pub released: u64,
}

/// A claimed job.
#[derive(Clone)]
pub struct Job {
    /// The claim.
    pub lease: Lease,
    /// How often it was claimed, this time included.
    pub attempts: u64,
    /// The payment as it came.
    pub payload: Vec<u8>,
    /// The secret its salts come from.
    pub secret: [u8; 32],
    /// What is run.
    pub request: Vec<u8>,
    /// The last moment at which it may be committed.
    pub deadline: Timestamp,
}

/// What became of a reservation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReserveOutcome {
    /// The payment is this transaction's.
    Reserved,
    /// The payment was taken before.
    Taken(Holder),
}

/// The transaction that has a payment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Holder {
    /// Its id.
    pub id: TransactionId,
    /// How far it is.
    pub state: TransactionState,
    /// Whether its payment is bound to what was asked about; `None` once its contents are erased, when
    /// nobody can tell.
    pub same_binding: Option<bool>,
}

/// What a certified transaction stores before anything is broadcast.
#[derive(Clone)]
pub struct Commitment {
    /// The receipt's envelope.
    pub receipt: Vec<u8>,
    /// Its digest.
    pub receipt_digest: Digest,
    /// The key manifest's envelope that the receipt was signed under.
    pub key_manifest: Vec<u8>,
    /// The items, as a bundle holds them.
    pub items: Vec<u8>,
    /// The settlement intent.
    pub intent: Vec<u8>,
    /// When.
    pub at: Timestamp,
}

/// What became of a settlement.
#[derive(Clone, Debug)]
pub struct SettlementUpdate {
    /// Whether the money moved.
    pub state: SettlementState,
    /// The settlement record's envelope.
    pub record: Vec<u8>,
    /// Its digest.
    pub record_digest: Digest,
    /// The key manifest's envelope under which receipt and records verify from now on.
    pub key_manifest: Vec<u8>,
    /// The response to the payer, as x402 has it.
    pub response: Vec<u8>,
    /// The block that holds the settlement.
    pub block: Option<SettledBlock>,
    /// When.
    pub at: Timestamp,
}

/// Money that was given back.
#[derive(Clone, Debug)]
pub struct Refund {
    /// The settlement record's envelope.
    pub record: Vec<u8>,
    /// Its digest.
    pub record_digest: Digest,
    /// The key manifest's envelope under which receipt and records verify from now on.
    pub key_manifest: Vec<u8>,
    /// The chain's transaction.
    pub transaction: String,
    /// When.
    pub at: Timestamp,
}

/// A block that settlements are recorded in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SettledBlock {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

/// Whether the money moved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SettlementState {
    /// It cannot any more.
    Failed,
    /// It did, in a block that is no longer in the chain.
    Reorged,
    /// It did.
    Settled,
}

/// How far a transaction is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TransactionState {
    /// Certified and stored; its settlement is not known yet.
    Committed,
    /// Its settlement failed; nothing was charged.
    Failed,
    /// Its payer was told that the settlement failed; the authorisation is watched until it ends.
    Failing,
    /// Ended before it was committed; nothing was charged and the payment is free again.
    Released,
    /// Was paid, in a block that is no longer in the chain: it is settled again.
    Reorged,
    /// Its payment is taken, its work goes on.
    Reserved,
    /// Paid.
    Settled,
}

impl TransactionState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Reserved,
        Self::Committed,
        Self::Settled,
        Self::Reorged,
        Self::Failing,
        Self::Failed,
        Self::Released,
    ];

    /// Returns the state's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Failed => "failed",
            Self::Failing => "failing",
            Self::Released => "released",
            Self::Reorged => "reorged",
            Self::Reserved => "reserved",
            Self::Settled => "settled",
        }
    }
}

/// A transaction as it is stored.
#[derive(Clone, Eq, PartialEq)]
pub struct TransactionRow {
    /// Its id.
    pub id: TransactionId,
    /// How far it is.
    pub state: TransactionState,
    /// The network it is paid on.
    pub network: Network,
    /// Who pays.
    pub payer: Account,
    /// Its payment, as it came; empty once erased.
    pub payload: Vec<u8>,
    /// The hash of the token that opens its contents.
    pub access_token_hash: Digest,
    /// What the caller wants back with the result.
    pub echo: Option<Vec<u8>>,
    /// Why it was released.
    pub failure: Option<String>,
    /// The receipt's envelope, once committed.
    pub receipt: Option<Vec<u8>>,
    /// The key manifest's envelope under which receipt and records verify, once committed.
    pub key_manifest: Option<Vec<u8>>,
    /// The items, once committed and until they are erased.
    pub items: Option<Vec<u8>>,
    /// When its contents were erased.
    pub erased_at: Option<Timestamp>,
    /// The settlement intent, once committed and until it is erased.
    pub intent: Option<Vec<u8>>,
    /// The response to the payer, once the settlement is known.
    pub response: Option<Vec<u8>>,
    /// The settlement records' envelopes, oldest first.
    pub records: Vec<Vec<u8>>,
}

/// An entry for the ledger to come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OutboxEntry {
    /// Its place: 1, 2, 3 and so on, without gaps.
    pub sequence: u64,
    /// What it is about.
    pub kind: OutboxKind,
    /// Of which transaction.
    pub transaction: TransactionId,
    /// The digest of the receipt or settlement record.
    pub digest: Digest,
    /// When it was written.
    pub at: Timestamp,
}

/// What an outbox entry is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OutboxKind {
    /// A receipt.
    Receipt,
    /// A settlement record.
    Settlement,
}

/// Leaves out the payment, which is money until it is settled, and the secret.
impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, payment, at, .. } = self;
        let mut shown = f.debug_struct("Reservation");
        shown.field("id", id).field("payment", payment).field("at", at).finish_non_exhaustive()
    }
}

/// Leaves out the payment, the request and the secret.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lease, attempts, deadline, .. } = self;
        let mut shown = f.debug_struct("Job");
        shown.field("lease", lease).field("attempts", attempts).field("deadline", deadline);
        shown.finish_non_exhaustive()
    }
}

/// Leaves out the items: what was asked and answered.
impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { receipt_digest, at, .. } = self;
        let mut shown = f.debug_struct("Commitment");
        shown.field("receipt_digest", receipt_digest).field("at", at).finish_non_exhaustive()
    }
}

/// Leaves out the payment and the items.
impl fmt::Debug for TransactionRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, state, .. } = self;
        let mut shown = f.debug_struct("TransactionRow");
        shown.field("id", id).field("state", state).finish_non_exhaustive()
    }
}

/// The store cannot do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder cannot be used.
    #[error("store folder {path}: {error}")]
    Folder {
        /// The folder.
        path: std::path::PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Another process has the store open.
    #[error("store {0} is in use by another process: two gateways cannot share one database file")]
    InUse(std::path::PathBuf),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The file was written by another version of this program.
    #[error(
        "store has schema version {got}, this program knows {known}: start with a new data folder"
    )]
    Version {
        /// The version this program knows.
        known: i64,
        /// The file's version.
        got: i64,
    },
    /// A transaction is in another state than the step begins with.
    #[error("transaction {id}: expected state `{expected}`, found `{found}`")]
    State {
        /// The transaction.
        id: TransactionId,
        /// The state the step begins with.
        expected: &'static str,
        /// The state it has.
        found: String,
    },
    /// Somebody else works on a transaction, or nobody may any more.
    #[error("transaction {}: claim {} was lost", .0.id, .0.number)]
    LeaseLost(Lease),
    /// What the store holds was sealed with another key.
    #[error(
        "store {path} was sealed with another storage key: expected the one with check value \
         {expected}…, got {got}…"
    )]
    WrongKey {
        /// The database.
        path: std::path::PathBuf,
        /// How the check value of its key begins.
        expected: String,
        /// How the check value of the key that was given begins.
        got: String,
    },
    /// A sealed value does not open.
    #[error("transaction {id}, column `{column}`: the sealed value does not open: {why}")]
    Sealed {
        /// The transaction.
        id: TransactionId,
        /// The column.
        column: &'static str,
        /// Why not.
        why: String,
    },
    /// No randomness to seal with.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// A stored value cannot be read back.
    #[error("store is damaged: {0}")]
    Damaged(String),
    /// The database failed.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}
