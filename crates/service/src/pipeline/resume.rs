//! What is carried on when no request waits for it: after a restart, and while the chain was gone.

use std::sync::Arc;

use assay_primitives::TransactionId;
use assay_store::{Requeued, StoreError, TransactionRow, TransactionState};
use assay_x402::{SettleError, SettlementIntent};
use futures_util::stream::{self, StreamExt as _};
use tracing::{Instrument as _, info, warn};

use super::PurchaseError;
use super::commit::{Reopened, reopen};
use super::settle::Settlement;
use super::steps::stored_payment;
use crate::{Service, trace};

/// How many ids are read at a time.
const PAGE: u32 = 256;
/// How many settlements are carried on at a time: each may wait for a block.
const PARALLEL: usize = 16;

/// What a pass over the open transactions came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Pass {
    /// How many came to their end.
    pub ended: usize,
    /// How many are still open, without those that a request is waiting for.
    pub open: usize,
}

/// What became of one transaction in a pass.
enum Step {
    Ended,
    /// A request works on it.
    Elsewhere,
    Open,
}

impl Service {
    /// Takes up what an earlier process left: its jobs are queued again, those are released whose
    /// buyers could not come back for the result or whose method is no longer certified here, what is
    /// open counts as its payers', and the facilitator carries on what it had sent.
    /// Call it once, before the first purchase.
    ///
    /// # Errors
    /// When the store or the chain fails.
    pub async fn resume(&self) -> Result<(), PurchaseError> {
        let queues = self.jobs.queues().map(str::to_owned).collect();
        let Requeued { queued, released } = self.parts().store.requeue(queues).await?;
        let (prices, digest) = self.parts().catalogue.prices();
        self.parts().store.keep_prices(digest, prices.to_vec()).await?;
        self.count_open().await?;
        for queue in queued {
            self.jobs.queue(&queue);
        }
        self.parts().facilitator.resume().await?;
        if released > 0 {
            info!(released, "Payments of an earlier run were released.");
        }
        Ok(())
    }

    /// Counts every open transaction towards its payer's limits, until it ends. One that cannot be
    /// read is logged: it stops no others from being sold.
    async fn count_open(&self) -> Result<(), PurchaseError> {
        let mut after = None;
        loop {
            let page = self.parts().store.open_after(after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
            for (id, _) in page {
                if let Err(error) = self.count(id).await {
                    warn!(%error, transaction = %id, "An open transaction is not counted.");
                }
            }
        }
    }

    /// What is reserved has a place until its job ends, what is committed is owed until it is settled.
    async fn count(&self, id: TransactionId) -> Result<(), PurchaseError> {
        let Some(row) = self.parts().store.transaction(id).await? else { return Ok(()) };
        if row.state == TransactionState::Reserved {
            let offer = stored_payment(&row.payload)?.accepted;
            self.jobs.enter(id, None, self.admission.readmit(&offer, &row.payer));
        } else {
            let intent = intent_of(&row)?;
            self.admission.hold(id, &intent.terms, intent.amount());
        }
        Ok(())
    }

    /// Carries every open transaction on that no request is waiting for. What fails for one is
    /// logged and tried again next time. It may be dropped at any point.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn settle_pending(self: &Arc<Self>) -> Result<Pass, PurchaseError> {
        let mut pass = Pass::default();
        self.release_left().await;
        let mut after = None;
        loop {
            let page = self.parts().store.open_after(after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(pass) };
            after = Some(*last);
            // What is reserved is a worker's.
            let settling =
                page.into_iter().filter(|(_, state)| *state != TransactionState::Reserved);
            let mut steps = stream::iter(settling)
                .map(|(id, _)| async move {
                    (id, self.carry_on(id).instrument(trace::transaction(id)).await)
                })
                .buffer_unordered(PARALLEL);
            while let Some((id, step)) = steps.next().await {
                match step {
                    Ok(Step::Ended) => pass.ended += 1,
                    Ok(Step::Elsewhere) => {}
                    Ok(Step::Open) => pass.open += 1,
                    Err(error) => {
                        pass.open += 1;
                        warn!(%error, transaction = %id, "A transaction could not be carried on.");
                    }
                }
            }
        }
    }

    async fn carry_on(&self, id: TransactionId) -> Result<Step, PurchaseError> {
        let Some(_in_flight) = self.admission.take_up(id) else { return Ok(Step::Elsewhere) };
        let step = self.next_step(id).await?;
        if matches!(step, Step::Ended) {
            self.admission.let_go(id);
        }
        Ok(step)
    }

    async fn next_step(&self, id: TransactionId) -> Result<Step, PurchaseError> {
        // Read only now: the request that had it may have ended it meanwhile.
        let Some(row) = self.parts().store.transaction(id).await? else { return Ok(Step::Ended) };
        match row.state {
            TransactionState::Committed | TransactionState::Reorged | TransactionState::Failing => {
                let is_known = self.settle_row(&row).await?;
                Ok(if is_known { Step::Ended } else { Step::Open })
            }
            _ => Ok(Step::Ended),
        }
    }

    /// Gives payments back that could not be when their jobs ended.
    async fn release_left(&self) {
        for (id, why) in self.jobs.unreleased() {
            match self.parts().store.release(id, Some(why.clone())).await {
                Ok(()) | Err(StoreError::State { .. }) => {
                    warn!(transaction = %id, "A payment was released after all.");
                }
                Err(_) => self.jobs.release_later(id, why),
            }
        }
    }

    /// Returns whether the outcome is known now.
    async fn settle_row(&self, row: &TransactionRow) -> Result<bool, PurchaseError> {
        let Reopened { receipt, digest, is_revoked, latest } =
            reopen(self, row, self.parts().clock.now())?;
        let intent = intent_of(row)?;
        self.admission.hold(row.id, &intent.terms, intent.amount());
        let settlement = Settlement {
            id: row.id,
            receipt: &receipt,
            receipt_digest: digest,
            not_before: latest,
        };
        // Nobody is charged any more for a receipt that nobody believes.
        if row.state == TransactionState::Failing || is_revoked {
            return settlement.watch(self, &intent).await;
        }
        match settlement.carry_on(self, &intent).await? {
            Ok(_) => Ok(true),
            Err((error, _)) => Ok(matches!(error, SettleError::Failed { open_until: None, .. })),
        }
    }
}

pub(super) fn intent_of(row: &TransactionRow) -> Result<SettlementIntent, PurchaseError> {
    serde_json::from_slice(row.intent.as_deref().unwrap_or_default())
        .map_err(|error| PurchaseError::Receipt(format!("stored settlement intent: {error}")))
}
