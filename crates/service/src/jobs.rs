//! What is under way in this process: who waits for which transaction, and how many jobs of a method
//! are in hand at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use assay_primitives::{AccessToken, Digest, InferenceOutput, ItemId, TransactionId};
use assay_receipt::{CANCELLED, TIMEOUT_BELOW_FLOOR};
use assay_store::Lease;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::admission::Place;
use crate::plan::Item;
use crate::{Certifiers, Purchase, PurchaseError};

/// How long a claim lasts that is not prolonged.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// The queue of what has items of several methods. What has one waits in that of its method.
pub(crate) const TRANSACTIONS: &str = "transaction";

/// How many transactions of several methods are in hand at a time. How many of their items run is for the
/// certifiers to say.
const MAX_TRANSACTIONS: usize = 64;

/// How far a purchase is. Nothing of its contents stands here until it ends, but what leaves early.
#[derive(Clone, Debug)]
pub enum Progress {
    /// It waits for its turn.
    Queued,
    /// Its models run, or are certified: how far each item is, in their order.
    Running(Vec<ItemProgress>),
    /// Its receipt is stored, its payment is on the way.
    Settling,
    /// It came to its end.
    Ended(Arc<Result<Purchase, PurchaseError>>),
}

/// An item, and how far it is.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemProgress {
    /// Its name within the transaction, if it has one.
    pub id: Option<ItemId>,
    /// How far it is.
    pub state: ItemState,
}

/// How far an item is.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemState {
    /// For the outputs that its input refers to.
    Waiting,
    /// Its model runs, or is certified; which stage of that it is at, where the method tells.
    Running(Option<&'static str>),
    /// It is certified.
    Certified {
        /// Since its input was there.
        took: Duration,
        /// The commitment to its output, as in the receipt to come.
        output_commitment: Digest,
        /// What it gave, where that is released before the payment is settled.
        output: Option<Arc<InferenceOutput>>,
    },
    /// It failed, and the others go on.
    Failed(ItemFailure),
}

/// Why an item failed of a transaction whose others go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ItemFailure {
    /// Its buyer cancelled the transaction.
    Cancelled {
        /// Whether its turn had come by then.
        has_begun: bool,
    },
    /// The model did not run, or was not certified.
    Inference,
    /// Its input, built of outputs, cannot be certified by its method.
    Request,
    /// An item failed that it refers to.
    Source,
    /// It ran longer than its buyer's timeout.
    TimedOut {
        /// Whether that is less than the seller asks for.
        is_below_floor: bool,
    },
    /// What certifies by its method was not to be had.
    Unavailable,
}

impl ItemFailure {
    /// Returns the code in the receipt.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled { .. } => CANCELLED,
            Self::Inference => "inference_failed",
            Self::Request => "uncertifiable_input",
            Self::Source => "source_failed",
            Self::TimedOut { is_below_floor: true } => TIMEOUT_BELOW_FLOOR,
            Self::TimedOut { is_below_floor: false } => "timeout",
            Self::Unavailable => "certification_unavailable",
        }
    }

    /// Says whether its work was for nothing by what its payer asked: counted, as he could ask for as much again.
    pub(crate) const fn is_for_nothing(self) -> bool {
        matches!(self, Self::Inference | Self::Request | Self::TimedOut { is_below_floor: false })
    }

    /// Says whether the item is charged all the same, as its buyer ended it.
    #[must_use]
    pub const fn is_charged(self) -> bool {
        matches!(
            self,
            Self::Cancelled { has_begun: true } | Self::TimedOut { is_below_floor: true }
        )
    }
}

/// A purchase that is under way.
#[derive(Debug)]
pub struct Started {
    /// The transaction.
    pub transaction: TransactionId,
    /// The access token, if one was made here.
    pub access_token: Option<AccessToken>,
    /// How far it is.
    pub progress: watch::Receiver<Progress>,
}

/// How much there is to do by a method.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Load {
    /// The method.
    pub method: String,
    /// The jobs in hand.
    pub in_hand: usize,
    /// The jobs that wait.
    pub queued: usize,
}

/// The jobs of this process.
#[derive(Debug)]
pub(crate) struct Jobs {
    pools: BTreeMap<String, Pool>,
    entries: Mutex<HashMap<TransactionId, Entry>>,
    /// What could not be released.
    unreleased: Mutex<Vec<(TransactionId, String)>>,
    stopping: CancellationToken,
}

/// How many jobs of a method are in hand, and how many wait.
#[derive(Debug)]
struct Pool {
    slots: Arc<Semaphore>,
    size: usize,
    queued: AtomicUsize,
    wake: Notify,
}

/// A job that somebody may wait for.
#[derive(Debug)]
struct Entry {
    progress: watch::Sender<Progress>,
    cancel: CancellationToken,
    /// Whether what has begun is charged when it is cancelled.
    charges: bool,
    lease: Option<Lease>,
    place: Option<Place>,
}

/// A job in hand. Dropped, whoever waits for it learns that it broke off.
#[derive(Debug)]
pub(crate) struct InHand {
    jobs: Arc<Jobs>,
    id: TransactionId,
    pub(crate) cancel: CancellationToken,
    is_ended: bool,
}

impl Progress {
    /// Returns the stage of the only item, where its method tells.
    #[must_use]
    pub fn stage(&self) -> Option<&'static str> {
        match self {
            Self::Running(items) => match items.as_slice() {
                [ItemProgress { state: ItemState::Running(stage), .. }] => *stage,
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns how far each item is, while they run.
    #[must_use]
    pub fn items(&self) -> &[ItemProgress] {
        match self {
            Self::Running(items) => items,
            _ => &[],
        }
    }

    /// Returns the name of the state.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running(_) => "running",
            Self::Settling => "settling",
            Self::Ended(outcome) => match outcome.as_ref() {
                Ok(Purchase { settlement: Some(_), .. }) => "settled",
                Ok(Purchase { settlement: None, .. }) => "settling",
                Err(PurchaseError::Pending { .. }) => "settling",
                Err(PurchaseError::Queued(_)) => "queued",
                Err(PurchaseError::NotSettled(_)) => "failed",
                Err(_) => "released",
            },
        }
    }
}

impl Jobs {
    pub(crate) fn new(certifiers: &Certifiers) -> Self {
        let sizes = certifiers.iter().map(|one| (one.method().to_string(), one.slots().max(1)));
        let sizes = sizes.chain([(TRANSACTIONS.to_owned(), MAX_TRANSACTIONS)]);
        let pools = sizes.map(|(queue, size)| {
            let slots = Arc::new(Semaphore::new(size));
            (queue, Pool { slots, size, queued: AtomicUsize::new(0), wake: Notify::new() })
        });
        Self {
            pools: pools.collect(),
            entries: Mutex::default(),
            unreleased: Mutex::default(),
            stopping: CancellationToken::new(),
        }
    }

    pub(crate) fn queues(&self) -> impl Iterator<Item = &str> {
        self.pools.keys().map(String::as_str)
    }

    /// Takes a slot for a new job, unless others wait for one.
    pub(crate) fn slot(&self, queue: &str) -> Option<OwnedSemaphorePermit> {
        let pool = self.pools.get(queue)?;
        let is_next = pool.queued.load(Ordering::SeqCst) == 0 && !self.stopping.is_cancelled();
        is_next.then(|| Arc::clone(&pool.slots).try_acquire_owned().ok()).flatten()
    }

    /// Takes no more jobs in hand, and tells who waits for one that is queued.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
        self.entries().retain(|id, entry| {
            let is_queued = matches!(*entry.progress.borrow(), Progress::Queued);
            if is_queued {
                entry.progress.send_replace(ended(Err(PurchaseError::Queued(*id))));
            }
            !is_queued
        });
    }

    /// Waits for a queued job of a method, and for a slot for it; `None` when no more are taken.
    pub(crate) async fn slot_for_queued(
        &self,
        method: &str,
        at_least_every: Duration,
    ) -> Option<OwnedSemaphorePermit> {
        let pool = self.pools.get(method)?;
        let slot = async {
            if pool.queued.load(Ordering::SeqCst) == 0 {
                // A claim that has ended wakes nobody.
                let _ = tokio::time::timeout(at_least_every, pool.wake.notified()).await;
            }
            Arc::clone(&pool.slots).acquire_owned().await.ok()
        };
        tokio::select! {
            () = self.stopping.cancelled() => None,
            slot = slot => slot,
        }
    }

    pub(crate) fn queue(&self, method: &str) {
        if let Some(pool) = self.pools.get(method) {
            pool.queued.fetch_add(1, Ordering::SeqCst);
            pool.wake.notify_one();
        }
    }

    /// Says that a queued job was claimed, or that there is none.
    pub(crate) fn claimed(&self, method: &str, found: bool) {
        let Some(pool) = self.pools.get(method) else { return };
        let fewer = |queued: usize| Some(if found { queued.saturating_sub(1) } else { 0 });
        let _ = pool.queued.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer);
    }

    /// Keeps what could not be released, for another try.
    pub(crate) fn release_later(&self, id: TransactionId, why: String) {
        self.unreleased.lock().unwrap_or_else(PoisonError::into_inner).push((id, why));
    }

    pub(crate) fn unreleased(&self) -> Vec<(TransactionId, String)> {
        std::mem::take(&mut self.unreleased.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns, for each method, how many jobs are in hand and how many wait.
    pub(crate) fn load(&self) -> Vec<Load> {
        let load = |(method, pool): (&String, &Pool)| Load {
            method: method.clone(),
            in_hand: pool.size.saturating_sub(pool.slots.available_permits()),
            queued: pool.queued.load(Ordering::SeqCst),
        };
        self.pools.iter().map(load).collect()
    }

    /// Returns how long a new job of a queue will probably take, from what its like took lately. Nothing
    /// while none is in hand: what took long then may be over, and nobody would find out.
    pub(crate) fn expected(&self, queue: &str, lately: Option<Duration>) -> Duration {
        let Some(lately) = lately else { return Duration::ZERO };
        let Some(pool) = self.pools.get(queue) else { return Duration::ZERO };
        let queued = pool.queued.load(Ordering::SeqCst);
        if queued == 0 && pool.slots.available_permits() == pool.size {
            return Duration::ZERO;
        }
        let ahead = u32::try_from(queued.div_ceil(pool.size)).unwrap_or(u32::MAX);
        lately.saturating_mul(ahead.saturating_add(1))
    }

    /// Enters a job that somebody waits for, or may come back for.
    pub(crate) fn enter(
        &self,
        id: TransactionId,
        lease: Option<Lease>,
        place: Place,
    ) -> watch::Receiver<Progress> {
        let running = Progress::Running(Vec::new());
        let progress = if lease.is_some() { running } else { Progress::Queued };
        let (progress, receiver) = watch::channel(progress);
        let cancel = CancellationToken::new();
        let entry = Entry { progress, cancel, charges: false, lease, place: Some(place) };
        self.entries().insert(id, entry);
        receiver
    }

    /// Takes a claimed job in hand, also one that an earlier process queued.
    pub(crate) fn take(self: &Arc<Self>, lease: Lease) -> InHand {
        let mut entries = self.entries();
        let entry = entries.entry(lease.id).or_insert_with(|| Entry {
            progress: watch::Sender::new(Progress::Queued),
            cancel: CancellationToken::new(),
            charges: false,
            lease: None,
            place: None,
        });
        entry.lease = Some(lease);
        entry.progress.send_replace(Progress::Running(Vec::new()));
        let cancel = entry.cancel.clone();
        InHand { jobs: Arc::clone(self), id: lease.id, cancel, is_ended: false }
    }

    /// Says which items a job has that runs, and whether what of them has begun is charged if it is
    /// cancelled.
    pub(crate) fn begin(&self, id: TransactionId, items: &[Item], charges: bool) {
        let waiting = |item: &Item| ItemProgress { id: item.id.clone(), state: ItemState::Waiting };
        if let Some(entry) = self.entries().get_mut(&id) {
            entry.charges = charges;
            entry.progress.send_if_modified(|progress| match progress {
                Progress::Running(of) => {
                    *of = items.iter().map(waiting).collect();
                    false
                }
                _ => false,
            });
        }
    }

    /// Says how far an item is of a job that runs.
    pub(crate) fn note(&self, id: TransactionId, index: usize, state: ItemState) {
        if let Some(entry) = self.entries().get(&id) {
            entry.progress.send_if_modified(|progress| match progress {
                Progress::Running(items) => match items.get_mut(index) {
                    Some(item) if item.state != state => {
                        item.state = state;
                        true
                    }
                    Some(_) => false,
                    None => false,
                },
                _ => false,
            });
        }
    }

    /// Returns how far a job is, while it is under way here.
    pub(crate) fn progress(&self, id: TransactionId) -> Option<watch::Receiver<Progress>> {
        self.entries().get(&id).map(|entry| entry.progress.subscribe())
    }

    pub(crate) fn leases(&self) -> Vec<Lease> {
        self.entries().values().filter_map(|entry| entry.lease).collect()
    }

    /// Counts so many items of a job as come to nothing, against its payer; all where it is `None`.
    pub(crate) fn count_unfinished(&self, id: TransactionId, items: Option<usize>, now: Duration) {
        if let Some(place) = self.entries().get(&id).and_then(|entry| entry.place.as_ref()) {
            place.count_unfinished(items, now);
        }
    }

    /// Says whether a job goes on to its settlement when it is cancelled: it has begun, and its buyer pays for
    /// what he ends.
    pub(crate) fn is_cut_short(&self, id: TransactionId) -> bool {
        self.entries().get(&id).is_some_and(Entry::is_cut_short)
    }

    /// Cancels a job that goes on to its settlement; says whether it is one.
    pub(crate) fn cut_short(&self, id: TransactionId) -> bool {
        let entries = self.entries();
        let entry = entries.get(&id).filter(|entry| entry.is_cut_short());
        if let Some(entry) = entry {
            entry.cancel.cancel();
        }
        entry.is_some()
    }

    /// Ends a job that was cancelled, whoever works on it.
    pub(crate) fn cancel(&self, id: TransactionId) {
        let Some(entry) = self.entries().remove(&id) else { return };
        entry.cancel.cancel();
        entry.progress.send_replace(ended(Err(PurchaseError::Cancelled)));
    }

    /// Queues a job again that was in hand.
    pub(crate) fn postpone(&self, id: TransactionId) {
        if let Some(entry) = self.entries().get_mut(&id) {
            entry.lease = None;
            entry.progress.send_replace(Progress::Queued);
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<TransactionId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    const fn is_cut_short(&self) -> bool {
        self.charges && self.lease.is_some()
    }
}

impl InHand {
    pub(crate) fn settling(&self) {
        let mut entries = self.jobs.entries();
        if let Some(entry) = entries.get_mut(&self.id) {
            // Committed: there is no claim to prolong any more.
            entry.lease = None;
            entry.progress.send_replace(Progress::Settling);
        }
    }

    /// Tells who waits what came of it, before it is over: what comes after changes nothing for them.
    pub(crate) fn answer(&self, outcome: Result<Purchase, PurchaseError>) {
        if let Some(entry) = self.jobs.entries().get(&self.id) {
            entry.progress.send_replace(ended(outcome));
        }
    }

    /// Counts the job as one that came to nothing, against its payer.
    pub(crate) fn count_unfinished(&self, now: Duration) {
        self.jobs.count_unfinished(self.id, None, now);
    }

    pub(crate) fn end(mut self, outcome: Result<Purchase, PurchaseError>) {
        self.is_ended = true;
        if let Some(entry) = self.jobs.entries().remove(&self.id) {
            entry.progress.send_replace(ended(outcome));
        }
    }

    /// Leaves a job that was queued again.
    pub(crate) fn leave(mut self) {
        self.is_ended = true;
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if !self.is_ended
            && let Some(entry) = self.jobs.entries().remove(&self.id)
        {
            entry.progress.send_replace(ended(Err(PurchaseError::Interrupted)));
        }
    }
}

fn ended(outcome: Result<Purchase, PurchaseError>) -> Progress {
    Progress::Ended(Arc::new(outcome))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Latency;

    /// A run that took long, such as one that an enclave never answered, keeps nobody from finding out
    /// that the next one does not.
    #[test]
    fn what_took_long_is_expected_while_one_is_in_hand() {
        let jobs = Jobs::new(&Certifiers::standard(1));
        let latency = Latency::default();
        let expected = || jobs.expected("signed", latency.lately());
        let first = jobs.slot("signed").unwrap();
        assert_eq!(expected(), Duration::ZERO);
        let long = Duration::from_secs(60);
        latency.record(1, long, Duration::ZERO);
        assert_eq!(expected(), long);
        for _ in 0..40 {
            jobs.queue("signed");
        }
        assert_eq!(expected(), 3 * long);
        (0..40).for_each(|_| jobs.claimed("signed", true));
        drop(first);
        assert_eq!(expected(), Duration::ZERO);
    }
}
