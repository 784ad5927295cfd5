//! A store whose disk fails at a step that a test chooses.

use std::sync::{Arc, Mutex};

use assay_primitives::{Digest, Timestamp, TransactionId};
use assay_store::{
    Commitment, Holder, Job, Lease, OutboxEntry, Payment, Refund, Requeued, Reservation,
    ReserveOutcome, SettledBlock, SettlementUpdate, SqliteStore, StoreError, TransactionRow,
    TransactionState, TransactionStore,
};
use async_trait::async_trait;

/// A step of the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Commit,
    Release,
    Reserve,
    Settle,
}

/// A store whose disk fails at some steps.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    inner: Arc<SqliteStore>,
    broken: Arc<Mutex<Vec<Step>>>,
}

impl Disk {
    pub(crate) fn new(inner: Arc<SqliteStore>) -> Self {
        Self { inner, broken: Arc::default() }
    }

    pub(crate) fn breaks_at(&self, steps: &[Step]) {
        *self.broken.lock().unwrap() = steps.to_vec();
    }

    fn check(&self, step: Step) -> Result<(), StoreError> {
        if self.broken.lock().unwrap().contains(&step) {
            return Err(StoreError::Damaged(format!("no space left at {step:?}")));
        }
        Ok(())
    }
}

#[async_trait]
impl TransactionStore for Disk {
    async fn reserve(&self, reservation: Reservation) -> Result<ReserveOutcome, StoreError> {
        self.check(Step::Reserve)?;
        self.inner.reserve(reservation).await
    }

    async fn holder(
        &self,
        payment: &Payment,
        binding: Digest,
    ) -> Result<Option<Holder>, StoreError> {
        self.inner.holder(payment, binding).await
    }

    async fn claim(
        &self,
        method: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Job>, StoreError> {
        self.inner.claim(method, now, until).await
    }

    async fn renew(&self, leases: Vec<Lease>, until: Timestamp) -> Result<(), StoreError> {
        self.inner.renew(leases, until).await
    }

    async fn postpone(&self, lease: Lease, not_before: Timestamp) -> Result<(), StoreError> {
        self.inner.postpone(lease, not_before).await
    }

    async fn do_not_resume(&self, id: TransactionId) -> Result<(), StoreError> {
        self.inner.do_not_resume(id).await
    }

    async fn requeue(&self, methods: Vec<String>) -> Result<Requeued, StoreError> {
        self.inner.requeue(methods).await
    }

    async fn at_location(&self, location: Digest) -> Result<Option<TransactionId>, StoreError> {
        self.inner.at_location(location).await
    }

    async fn release(&self, id: TransactionId, failure: Option<String>) -> Result<(), StoreError> {
        self.check(Step::Release)?;
        self.inner.release(id, failure).await
    }

    async fn commit(&self, lease: Lease, commitment: Commitment) -> Result<(), StoreError> {
        self.check(Step::Commit)?;
        self.inner.commit(lease, commitment).await
    }

    async fn fail(&self, id: TransactionId, response: Vec<u8>) -> Result<(), StoreError> {
        self.check(Step::Settle)?;
        self.inner.fail(id, response).await
    }

    async fn settle(&self, id: TransactionId, update: SettlementUpdate) -> Result<(), StoreError> {
        self.check(Step::Settle)?;
        self.inner.settle(id, update).await
    }

    async fn add_record(&self, id: TransactionId, refund: Refund) -> Result<bool, StoreError> {
        self.check(Step::Settle)?;
        self.inner.add_record(id, refund).await
    }

    async fn transaction(&self, id: TransactionId) -> Result<Option<TransactionRow>, StoreError> {
        self.inner.transaction(id).await
    }

    async fn erase(&self, id: TransactionId, at: Timestamp) -> Result<(), StoreError> {
        self.inner.erase(id, at).await
    }

    async fn erase_ended(
        &self,
        until: Timestamp,
        at: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.inner.erase_ended(until, at, limit).await
    }

    async fn erase_intents(&self, before_block: u64, limit: u32) -> Result<u64, StoreError> {
        self.inner.erase_intents(before_block, limit).await
    }

    async fn forget_erased(&self) -> Result<bool, StoreError> {
        self.inner.forget_erased().await
    }

    async fn open_after(
        &self,
        after: Option<TransactionId>,
        limit: u32,
    ) -> Result<Vec<(TransactionId, TransactionState)>, StoreError> {
        self.inner.open_after(after, limit).await
    }

    async fn settled_blocks(&self, since: u64) -> Result<Vec<SettledBlock>, StoreError> {
        self.inner.settled_blocks(since).await
    }

    async fn settled_in(&self, block: &SettledBlock) -> Result<Vec<TransactionId>, StoreError> {
        self.inner.settled_in(block).await
    }

    async fn outbox(&self, after: u64, limit: u32) -> Result<Vec<OutboxEntry>, StoreError> {
        self.inner.outbox(after, limit).await
    }

    async fn keep_prices(&self, digest: Digest, list: Vec<u8>) -> Result<(), StoreError> {
        self.inner.keep_prices(digest, list).await
    }

    async fn prices(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.prices(digest).await
    }

    fn authenticate(&self, text: &[u8]) -> Result<Digest, StoreError> {
        self.inner.authenticate(text)
    }

    async fn count_by_state(&self) -> Result<Vec<(TransactionState, u64)>, StoreError> {
        self.inner.count_by_state().await
    }
}
