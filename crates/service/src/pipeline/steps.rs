//! Until the items run: admit, reserve, and what is taken up of a queued job.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use assay_primitives::{
    AccessToken, Amount, AssetId, Digest, Method, Timestamp, TransactionId, failpoint,
};
use assay_receipt::{OutcomePolicy, TransactionSecret};
use assay_store::{Holder, Job, Lease, Payment, Reservation, ReserveOutcome};
use assay_x402::{
    CheckedPayment, MIN_REMAINING_SECONDS, PaymentPayload, PaymentRefusal, PaymentRequirements,
    ReservationKey, VerifiedPayment, check_payment, match_offer,
};
use futures_util::FutureExt as _;
use futures_util::future::join;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Order;
use super::early::Early;
use super::error::{PurchaseError, Taken, written};
use super::run::{Ended, run};
use super::stored::{self, Stored};
use crate::admission::Place;
use crate::jobs::{LEASE, TRANSACTIONS};
use crate::plan::{Item, Planned};
use crate::{AdmissionRefusal, Certifier, CertifierError, Plan, Service, trace};

/// How often a job is tried.
const MAX_ATTEMPTS: u64 = 3;

/// An order whose payment is good: it matches an offer, is signed, nobody has it, and the chain
/// would carry it out.
pub(super) struct Admitted {
    order: Accepted,
    items: Vec<Item>,
    /// What is run, as it is stored.
    request: Vec<u8>,
    payment: VerifiedPayment,
    key: Payment,
    asker: Asker,
    place: Place,
    deadline: Timestamp,
    started: Duration,
}

/// What an order has beside its items.
struct Accepted {
    outcome_policy: OutcomePolicy,
    payment: PaymentPayload,
    nonce: Option<String>,
    access_token_hash: Option<Digest>,
    location: Option<AccessToken>,
    echo: Vec<u8>,
}

/// An order whose payment is this transaction's and no other's.
pub(super) struct Reserved {
    pub(super) id: TransactionId,
    pub(super) access_token: Option<AccessToken>,
    pub(super) place: Place,
    /// Where it waits for its turn.
    pub(super) queue: String,
    /// What is run at once; without it the job is queued.
    pub(super) work: Option<(Work, OwnedSemaphorePermit)>,
}

/// Who comes with a payment, as far as a request tells.
#[derive(Clone, Copy)]
struct Asker {
    binding: Digest,
    shows_token: bool,
}

/// A claimed job.
pub(super) struct Work {
    pub(super) lease: Lease,
    pub(super) items: Vec<Item>,
    /// What becomes of the whole if an item fails.
    pub(super) outcome_policy: OutcomePolicy,
    /// What is released before the payment is settled, where anything is.
    pub(super) early: Option<Arc<Early>>,
    pub(super) nonce: Option<String>,
    pub(super) payment: VerifiedPayment,
    pub(super) secret: TransactionSecret,
    /// The last moment at which it may be committed.
    pub(super) deadline: Timestamp,
    /// When its payment was verified.
    pub(super) started: Duration,
}

/// An order that ran and has its evidence.
pub(super) struct Certificated {
    pub(super) work: Work,
    /// What became of each item, in their order.
    pub(super) ended: Vec<Ended>,
}

impl Admitted {
    pub(super) async fn admit(service: &Service, order: Order) -> Result<Self, PurchaseError> {
        let parts = service.parts();
        let (now, started) = (parts.clock.now(), parts.clock.monotonic());
        let Order { plan, offers, payment, binding, nonce, access_token_hash, location, echo } =
            order;
        let outcome_policy = plan.outcome_policy();
        let order = Accepted { outcome_policy, payment, nonce, access_token_hash, location, echo };
        let offer = match_offer(&offers, &order.payment)?;
        let items = items(service, plan, offer)?;
        let asker = Asker {
            binding: binding.digest(offer, order.access_token_hash),
            shows_token: order.access_token_hash.is_some(),
        };
        let checked = check_payment(&order.payment, offer, now);
        let key = payment_key(&order.payment, offer, &checked)?;
        trace::note_payment(&key);
        // Asked before the chain is: there a payment that this service has settled is one that
        // cannot be used, and the answer would ask the buyer to sign again. What will be stored is written
        // while the store looks.
        let written = async {
            let checked = checked?;
            let request = stored::write(order.nonce.as_deref(), outcome_policy, &items)?;
            Ok::<_, PurchaseError>((checked, request))
        };
        let (untaken, written) = join(refuse_taken(service, &key, asker), written).await;
        untaken?;
        let (checked, request) = written?;
        // One that is about to expire would be settled too late, at the cost of gas. Clients sign for
        // the whole time that an offer asks for.
        checked.check_time_left(offer.max_timeout_seconds / 2, now)?;
        let deadline = deadline(service, &checked, &items, now)?;
        let room = service.admission.enter()?;
        let payment = match parts.facilitator.verify(&checked).await {
            Ok(payment) => payment,
            Err(error) => {
                // Another request with this payment may have been faster.
                refuse_taken(service, &key, asker).await?;
                return Err(error.into());
            }
        };
        let place = room.admit(payment.terms(), items.len(), started)?;
        if let Some(balance) = payment.balance() {
            place.check_balance(balance)?;
        }
        parts.facilitator.check_gas().await?;
        Ok(Self { order, items, request, payment, key, asker, place, deadline, started })
    }

    pub(super) async fn reserve(self, service: &Service) -> Result<Reserved, PurchaseError> {
        let parts = service.parts();
        let now = parts.clock.now();
        let id = TransactionId::new(now, parts.randomness.as_ref())?;
        trace::note_transaction(id);
        let secret = TransactionSecret::new(parts.randomness.as_ref())?;
        let Accepted { outcome_policy, payment, nonce, access_token_hash, location, echo } =
            self.order;
        // Who keeps a token, or is told a location, can come back for the result.
        let is_resumable = self.asker.shows_token || location.is_some();
        let (access_token, access_token_hash) = match access_token_hash {
            Some(hash) => (None, hash),
            None => {
                let token = AccessToken::new(parts.randomness.as_ref())?;
                let hash = token.hash();
                (Some(token), hash)
            }
        };
        let queue = queue_of(&self.items);
        let slot = service.jobs.slot(&queue);
        // Who waits for the answer is told nothing before.
        let is_told = location.is_some();
        let reservation = Reservation {
            id,
            payment: self.key,
            payload: written(&payment)?,
            binding: self.asker.binding,
            access_token_hash,
            secret: *secret.as_bytes(),
            queue: queue.clone(),
            request: self.request,
            echo,
            location: location.map(|location| location.hash()),
            is_resumable,
            deadline: self.deadline,
            leased_until: slot.as_ref().map(|_| now.plus(LEASE)),
            at: now,
        };
        failpoint!("service.reserve.before");
        let outcome = parts.store.reserve(reservation).await?;
        failpoint!("service.reserve.after");
        match outcome {
            ReserveOutcome::Reserved => debug!("The payment is this transaction's."),
            ReserveOutcome::Taken(holder) => return Err(self.asker.taken(&holder)),
        }
        let work = slot.map(|slot| {
            let work = Work {
                lease: Lease { id, number: 1 },
                early: Early::new(service, outcome_policy, &self.items, 1, is_told),
                outcome_policy,
                items: self.items,
                nonce,
                payment: self.payment,
                secret,
                deadline: self.deadline,
                started: self.started,
            };
            (work, slot)
        });
        Ok(Reserved { id, access_token, place: self.place, queue, work })
    }
}

impl Work {
    /// Takes up a job that was queued, or left by an earlier process. Its payment is looked at again:
    /// the balance may be gone by now.
    pub(super) async fn of_job(service: &Service, job: Job) -> Result<Self, PurchaseError> {
        let parts = service.parts();
        let (now, started) = (parts.clock.now(), parts.clock.monotonic());
        if job.attempts > MAX_ATTEMPTS {
            return Err(PurchaseError::Attempts(MAX_ATTEMPTS));
        }
        if now > job.deadline {
            return Err(PurchaseError::Late { deadline: job.deadline, now });
        }
        let Stored { nonce, outcome_policy, items } = stored::read(service, &job.request)?;
        let payment = stored_payment(&job.payload)?;
        let checked = check_payment(&payment, &payment.accepted, now)?;
        let payment = parts.facilitator.verify(&checked).await?;
        Ok(Self {
            lease: job.lease,
            early: Early::new(service, outcome_policy, &items, job.attempts, true),
            outcome_policy,
            items,
            nonce,
            payment,
            secret: TransactionSecret::from_bytes(job.secret),
            deadline: job.deadline,
            started,
        })
    }

    /// Runs the items and certifies them, for as long as they could still be committed.
    pub(super) async fn run(
        self,
        service: &Service,
        cancel: &CancellationToken,
    ) -> Result<Certificated, PurchaseError> {
        let clock = &service.parts().clock;
        let (deadline, began) = (self.deadline, clock.monotonic());
        let ended = tokio::select! {
            () = tokio::time::sleep(deadline.since(clock.now())) => {
                let now = clock.monotonic();
                note_given_up(&self.items, now.saturating_sub(began), now);
                return Err(PurchaseError::Late { deadline, now: clock.now() });
            }
            ended = AssertUnwindSafe(run(service, &self, cancel)).catch_unwind() => ended,
        };
        let ended = ended.unwrap_or(Err(CertifierError::Interrupted.into()))?;
        failpoint!("service.certify.after");
        Ok(Certificated { work: self, ended })
    }
}

/// Returns where items wait for their turn: those of one method in its queue.
fn queue_of(items: &[Item]) -> String {
    let mut methods = items.iter().map(|item| &item.method);
    match methods.next() {
        Some(first) if methods.all(|method| method == first) => first.to_string(),
        _ => TRANSACTIONS.to_owned(),
    }
}

/// Fixes the items of a plan by the accepted offer. What is asked of a transaction was checked when it was
/// planned; of one inference only the offer says by which method it is certified.
fn items(
    service: &Service,
    plan: Plan,
    offer: &PaymentRequirements,
) -> Result<Vec<Item>, PurchaseError> {
    let asset = AssetId::erc20(offer.network.clone(), offer.asset.clone());
    let (entry, request) = match plan.0 {
        Planned::One { entry, request } => (entry, request),
        Planned::Several(several) => {
            let items = several.priced(&asset).filter(|items| sum(items) == Some(offer.amount));
            return items.ok_or_else(|| {
                PurchaseError::Receipt(format!("no price in {asset} for every item"))
            });
        }
    };
    let certifier = offered_certifier(service, offer)?;
    let (method, price) = (certifier.method(), offer.amount);
    match certifier.check(entry.package(), &request) {
        Ok(()) => {
            let (id, references, timeout) = (None, Vec::new(), None);
            Ok(vec![Item { id, entry, method, price, request, references, timeout }])
        }
        Err(reason) => Err(PurchaseError::Request { method, reason }),
    }
}

/// Returns the sum of the prices.
pub(super) fn sum(items: &[Item]) -> Option<Amount> {
    items.iter().try_fold(Amount::ZERO, |sum, item| sum.checked_add(item.price))
}

/// Reads the payment of a job back.
pub(super) fn stored_payment(payload: &[u8]) -> Result<PaymentPayload, PurchaseError> {
    serde_json::from_slice(payload)
        .map_err(|error| PurchaseError::Receipt(format!("stored payment: {error}")))
}

/// Returns the last moment at which a payment may be committed, if its turn comes before it.
fn deadline(
    service: &Service,
    payment: &CheckedPayment,
    items: &[Item],
    now: Timestamp,
) -> Result<Timestamp, AdmissionRefusal> {
    let margin = Duration::from_secs(MIN_REMAINING_SECONDS);
    let deadline = payment.terms().valid_before.minus(margin);
    let alike: Vec<(&Item, u32)> = alike(items).collect();
    let longest = alike.iter().filter_map(|(item, _)| item.latency()?.lately()).max();
    let waiting = service.jobs.expected(&queue_of(items), longest);
    let monotonic = service.parts().clock.monotonic();
    // Methods work beside each other, and the models of one after each other.
    let mut methods: BTreeMap<&Method, Duration> = BTreeMap::new();
    for (item, count) in alike {
        let further = item.latency().map(|latency| latency.further(count, monotonic));
        let work = methods.entry(&item.method).or_default();
        *work = work.saturating_add(further.unwrap_or_default());
    }
    let work = methods.into_values().max().unwrap_or_default();
    let expected = waiting.saturating_add(work);
    let left = deadline.since(now);
    if expected > left {
        return Err(AdmissionRefusal::Late { expected, left });
    }
    Ok(deadline)
}

/// Notes how long several items took that were given up: as twice that, as nobody knows how much longer they would
/// have. Of several models or methods nobody knows which it was.
fn note_given_up(items: &[Item], took: Duration, now: Duration) {
    let mut alike = alike(items);
    if let (Some((item, count)), None) = (alike.next(), alike.next())
        && count > 1
        && let Some(latency) = item.latency()
    {
        latency.record(count, took.saturating_mul(2), now);
    }
}

/// Returns one item of each model and method, and how many they are.
fn alike(items: &[Item]) -> impl Iterator<Item = (&Item, u32)> {
    let mut alike: BTreeMap<_, (&Item, u32)> = BTreeMap::new();
    for item in items {
        let (_, count) = alike.entry(item.kind()).or_insert((item, 0));
        *count = count.saturating_add(1);
    }
    alike.into_values()
}

fn offered_certifier<'a>(
    service: &'a Service,
    offer: &PaymentRequirements,
) -> Result<&'a dyn Certifier, PurchaseError> {
    let name = offer.extra_text("method").unwrap_or_default();
    let method: Option<Method> = name.parse().ok();
    let certifier = method.and_then(|method| service.parts().certifiers.find(&method));
    certifier.ok_or_else(|| PurchaseError::NoCertifier(name.to_owned()))
}

/// Returns what makes the payment unique, also of one that has expired: it may have been settled in
/// time, and is asked for again.
fn payment_key(
    payment: &PaymentPayload,
    offer: &PaymentRequirements,
    checked: &Result<CheckedPayment, PaymentRefusal>,
) -> Result<Payment, PurchaseError> {
    let key = match checked {
        Ok(checked) => checked.reservation_key(),
        Err(refusal) if refusal.is_expired() => ReservationKey::of(payment, offer)?,
        Err(refusal) => return Err(refusal.clone().into()),
    };
    let ReservationKey { network, contract, payer, nonce } = key;
    let account = |text: String| {
        text.parse().map_err(|error| PurchaseError::Receipt(format!("payment: {error}")))
    };
    Ok(Payment {
        network,
        asset: account(format!("{contract:#x}"))?,
        payer: account(format!("{payer:#x}"))?,
        nonce: format!("{nonce:#x}"),
    })
}

async fn refuse_taken(
    service: &Service,
    payment: &Payment,
    asker: Asker,
) -> Result<(), PurchaseError> {
    match service.parts().store.holder(payment, asker.binding).await? {
        Some(holder) => Err(asker.taken(&holder)),
        None => Ok(()),
    }
}

impl Asker {
    fn taken(self, holder: &Holder) -> PurchaseError {
        PurchaseError::Taken(Taken {
            transaction: holder.id,
            state: holder.state,
            other_request: self.shows_token && holder.same_binding == Some(false),
        })
    }
}
