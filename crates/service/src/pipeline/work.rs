//! Jobs in hand: from a claim to their end.

use std::sync::Arc;
use std::time::Duration;

use assay_primitives::{Amount, TransactionId};
use assay_receipt::OutcomePolicy;
use assay_store::{Job, StoreError, TransactionState};
use assay_x402::FacilitatorError;
use futures_util::future::join_all;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{Instrument as _, info, warn};

use super::error::PurchaseError;
use super::steps::Work;
use crate::jobs::{InHand, LEASE};
use crate::{Load, Purchase, Release, Service, trace};

/// How often claims are prolonged.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How often it is looked for jobs that nobody was woken for.
const LOOK: Duration = Duration::from_secs(2);

/// How long a job waits whose payment could not be looked at, for each attempt.
const BACKOFF: Duration = Duration::from_secs(2);

/// What became of a purchase that was cancelled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cancelled {
    /// It is settled for what of it is certified or had begun.
    CutShort,
    /// Nothing is charged.
    Released,
}

impl Service {
    /// Works on queued jobs until it is dropped or the service [stops](Self::stop_work): what is in
    /// hand then goes on by itself.
    pub async fn work(self: &Arc<Self>) {
        let queues: Vec<String> = self.jobs.queues().map(str::to_owned).collect();
        let workers = queues.iter().map(|queue| self.work_on(queue));
        tokio::join!(join_all(workers), self.heartbeat());
    }

    /// Takes no more jobs in hand. Who waits for one that is queued is told that it is pending.
    pub fn stop_work(&self) {
        self.jobs.stop();
    }

    /// Cancels a purchase that is not committed: its payment is free again. Of a transaction under `each` that
    /// runs, what is certified or has begun is charged, and the rest ended.
    ///
    /// # Errors
    /// When it is committed, or over, or the store fails.
    pub async fn cancel(&self, id: TransactionId) -> Result<Cancelled, PurchaseError> {
        if self.jobs.is_cut_short(id) {
            // Should this process end before it is committed, nobody runs it again: nothing is charged.
            self.parts().store.do_not_resume(id).await?;
            if self.jobs.cut_short(id) {
                return Ok(Cancelled::CutShort);
            }
        }
        self.release(id, &PurchaseError::Cancelled).await?;
        self.jobs.count_unfinished(id, None, self.parts().clock.monotonic());
        self.jobs.cancel(id);
        Ok(Cancelled::Released)
    }

    /// Returns, for each method, how much there is to do.
    #[must_use]
    pub fn load(&self) -> Vec<Load> {
        self.jobs.load()
    }

    pub(super) fn set_to_work(self: &Arc<Self>, work: Work, slot: OwnedSemaphorePermit) {
        let (service, in_hand) = (Arc::clone(self), self.jobs.take(work.lease));
        let working = async move {
            // Keeps the background settlement away from it.
            let Some(_in_flight) = service.admission.take_up(work.lease.id) else { return };
            let outcome = service.carry_out(work, slot, &in_hand).await;
            service.end(in_hand, outcome);
        };
        self.parts().tasks.spawn(working.in_current_span());
    }

    async fn work_on(self: &Arc<Self>, queue: &str) {
        while let Some(slot) = self.jobs.slot_for_queued(queue, LOOK).await {
            let now = self.parts().clock.now();
            match self.parts().store.claim(queue, now, now.plus(LEASE)).await {
                Ok(Some(job)) => {
                    self.jobs.claimed(queue, true);
                    self.take_up_job(job, slot);
                }
                Ok(None) => self.jobs.claimed(queue, false),
                Err(error) => {
                    warn!(%error, "Queued jobs could not be claimed.");
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    fn take_up_job(self: &Arc<Self>, job: Job, slot: OwnedSemaphorePermit) {
        let service = Arc::clone(self);
        let (lease, attempts) = (job.lease, job.attempts);
        let in_hand = self.jobs.take(lease);
        let working = async move {
            let Some(_in_flight) = service.admission.take_up(lease.id) else { return };
            info!(attempts, "A queued job is taken up.");
            match Work::of_job(&service, job).await {
                Ok(work) => {
                    let outcome = service.carry_out(work, slot, &in_hand).await;
                    service.end(in_hand, outcome);
                }
                // Nobody can say whether the payment is good: perhaps later.
                Err(PurchaseError::Facilitator(FacilitatorError::Unreachable { detail })) => {
                    warn!(detail, "A job is put off.");
                    let pause = BACKOFF.saturating_mul(u32::try_from(attempts).unwrap_or(1));
                    let not_before = service.parts().clock.now().plus(pause);
                    if service.parts().store.postpone(lease, not_before).await.is_ok() {
                        service.jobs.postpone(lease.id);
                        in_hand.leave();
                    }
                }
                Err(error) => {
                    let error = service.give_up(lease.id, error).await;
                    service.end(in_hand, Err(error));
                }
            }
        };
        self.parts().tasks.spawn(working.instrument(trace::transaction(lease.id)));
    }

    fn end(&self, in_hand: InHand, outcome: Result<Purchase, PurchaseError>) {
        if let Err(error) = &outcome {
            if error.is_of_payer() {
                in_hand.count_unfinished(self.parts().clock.monotonic());
            }
            self.metrics.refused(error);
        }
        in_hand.end(outcome);
    }

    async fn carry_out(
        &self,
        work: Work,
        slot: OwnedSemaphorePermit,
        in_hand: &InHand,
    ) -> Result<Purchase, PurchaseError> {
        let (id, early, terms) = (work.lease.id, work.early.clone(), work.payment.terms().clone());
        let is_each = work.outcome_policy == OutcomePolicy::Each;
        self.jobs.begin(id, &work.items, is_each);
        let certified = tokio::select! {
            // Who cancelled has released it.
            () = in_hand.cancel.cancelled(), if !is_each => return Err(PurchaseError::Cancelled),
            certified = work.run(self, &in_hand.cancel) => certified,
        };
        let committed = match certified {
            Ok(certificated) => certificated.commit(self).await,
            Err(error) => Err(error),
        };
        drop(slot);
        let committed = match committed {
            Ok(committed) => committed,
            Err(error) => {
                let lost = early.map_or(Amount::ZERO, |early| early.released());
                if lost > Amount::ZERO {
                    warn!(%lost, "Contents were released whose payment is not settled.");
                    self.admission.write_off(id, &terms, lost);
                }
                return Err(self.give_up(id, error).await);
            }
        };
        in_hand.settling();
        if committed.for_nothing > 0 {
            let now = self.parts().clock.monotonic();
            self.jobs.count_unfinished(id, Some(committed.for_nothing), now);
        }
        if self.parts().settings.release == Release::Verification {
            in_hand.answer(Ok(committed.purchase(committed.items.clone(), None)));
        }
        committed.settle(self).await
    }

    /// Releases a payment whose job failed, and returns why.
    async fn give_up(&self, id: TransactionId, why: PurchaseError) -> PurchaseError {
        match self.release(id, &why).await {
            Ok(()) => why,
            Err(StoreError::State { found, .. })
                if found == TransactionState::Released.as_str() =>
            {
                PurchaseError::Cancelled
            }
            Err(error) => {
                warn!(%error, transaction = %id, "A payment could not be released.");
                self.jobs.release_later(id, why.to_string());
                why
            }
        }
    }

    async fn heartbeat(&self) {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            let leases = self.jobs.leases();
            if leases.is_empty() {
                continue;
            }
            let until = self.parts().clock.now().plus(LEASE);
            if let Err(error) = self.parts().store.renew(leases, until).await {
                warn!(%error, "Claims could not be prolonged.");
            }
        }
    }
}
