//! A store whose disk fails at a step that a test chooses.

use std::sync::{Arc, Mutex};

use assay_primitives::{Timestamp, TransactionId};
use assay_store::{
    Commitment, Holder, OutboxEntry, Payment, Reservation, ReserveOutcome, SettlementUpdate,
    SqliteStore, StoreError, TransactionRow, TransactionState, TransactionStore,
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
    async fn reserve(&self, reservation: &Reservation) -> Result<ReserveOutcome, StoreError> {
        self.check(Step::Reserve)?;
        self.inner.reserve(reservation).await
    }

    async fn holder(&self, payment: &Payment) -> Result<Option<Holder>, StoreError> {
        self.inner.holder(payment).await
    }

    async fn release(&self, id: TransactionId) -> Result<(), StoreError> {
        self.check(Step::Release)?;
        self.inner.release(id).await
    }

    async fn commit(&self, id: TransactionId, commitment: &Commitment) -> Result<(), StoreError> {
        self.check(Step::Commit)?;
        self.inner.commit(id, commitment).await
    }

    async fn replace_intent(&self, id: TransactionId, intent: &[u8]) -> Result<(), StoreError> {
        self.inner.replace_intent(id, intent).await
    }

    async fn fail(&self, id: TransactionId, response: &[u8]) -> Result<(), StoreError> {
        self.check(Step::Settle)?;
        self.inner.fail(id, response).await
    }

    async fn settle(&self, id: TransactionId, update: &SettlementUpdate) -> Result<(), StoreError> {
        self.check(Step::Settle)?;
        self.inner.settle(id, update).await
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

    async fn open_after(
        &self,
        after: Option<TransactionId>,
        limit: u32,
    ) -> Result<Vec<(TransactionId, TransactionState)>, StoreError> {
        self.inner.open_after(after, limit).await
    }

    async fn outbox(&self, after: u64, limit: u32) -> Result<Vec<OutboxEntry>, StoreError> {
        self.inner.outbox(after, limit).await
    }

    async fn count_by_state(&self) -> Result<Vec<(TransactionState, u64)>, StoreError> {
        self.inner.count_by_state().await
    }
}
