//! Until the receipt: admit, reserve, certify.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use assay_primitives::{
    AccessToken, Digest, InferenceRequest, Method, ModelId, Timestamp, TransactionId, failpoint,
};
use assay_receipt::TransactionSecret;
use assay_store::{Holder, Job, Lease, Payment, Reservation, ReserveOutcome};
use assay_x402::{
    Authorization, CheckedPayment, ExactPayload, MIN_REMAINING_SECONDS, PaymentPayload,
    PaymentRefusal, PaymentRequirements, VerifiedPayment, check_exact, match_offer,
};
use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tracing::debug;

use super::Order;
use super::error::{PurchaseError, Taken, written};
use crate::admission::Place;
use crate::jobs::LEASE;
use crate::{
    AdmissionRefusal, CatalogueEntry, Certified, Certifier, CertifierError, Inference, Service,
    Stages, trace,
};

/// How often a job is tried.
const MAX_ATTEMPTS: u64 = 3;

/// An order whose payment is good: it matches an offer, is signed, nobody has it, and the chain
/// would carry it out.
pub(super) struct Admitted {
    order: Order,
    method: Method,
    payment: VerifiedPayment,
    key: Payment,
    asker: Asker,
    place: Place,
    deadline: Timestamp,
    started: Duration,
}

/// What is stored of an order, to run it after a restart.
#[derive(Deserialize, Serialize)]
struct StoredOrder {
    model: String,
    package: ModelId,
    nonce: Option<String>,
    request: InferenceRequest,
}

/// An order whose payment is this transaction's and no other's.
pub(super) struct Reserved {
    pub(super) id: TransactionId,
    pub(super) access_token: Option<AccessToken>,
    pub(super) place: Place,
    pub(super) method: Method,
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
    pub(super) entry: Arc<CatalogueEntry>,
    pub(super) request: Arc<InferenceRequest>,
    pub(super) nonce: Option<String>,
    pub(super) method: Method,
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
    pub(super) certified: Certified,
}

impl Admitted {
    pub(super) async fn admit(service: &Service, order: Order) -> Result<Self, PurchaseError> {
        let parts = service.parts();
        let (now, started) = (parts.clock.now(), parts.clock.monotonic());
        let offer = match_offer(&order.offers, &order.payment)?;
        let certifier = offered_certifier(service, offer)?;
        let method = certifier.method();
        // Before its payment is looked at.
        let checked = certifier.check(order.entry.package(), &order.request);
        checked.map_err(|reason| PurchaseError::Request { method: method.clone(), reason })?;
        let asker = Asker {
            binding: order.binding.digest(offer, order.access_token_hash),
            shows_token: order.access_token_hash.is_some(),
        };
        let checked = check_exact(&order.payment, offer, now);
        let key = payment_key(&order, offer, &checked)?;
        trace::note_payment(&key);
        // Asked before the chain is: there a payment that this service has settled is one that
        // cannot be used, and the answer would ask the buyer to sign again.
        refuse_taken(service, &key, asker).await?;
        let checked = checked?;
        // One that is about to expire would be settled too late, at the cost of gas. Clients sign for
        // the whole time that an offer asks for.
        checked.check_time_left(offer.max_timeout_seconds / 2, now)?;
        let deadline = deadline(service, &checked, &order.entry, &method, now)?;
        let room = service.admission.enter()?;
        let payment = match parts.facilitator.verify(&checked).await {
            Ok(payment) => payment,
            Err(error) => {
                // Another request with this payment may have been faster.
                refuse_taken(service, &key, asker).await?;
                return Err(error.into());
            }
        };
        let place = room.admit(&key, offer.amount, started)?;
        if let Some(balance) = payment.balance() {
            place.check_balance(balance)?;
        }
        parts.facilitator.check_gas().await?;
        Ok(Self { order, method, payment, key, asker, place, deadline, started })
    }

    pub(super) async fn reserve(self, service: &Service) -> Result<Reserved, PurchaseError> {
        let parts = service.parts();
        let now = parts.clock.now();
        let id = TransactionId::new(now, parts.randomness.as_ref())?;
        trace::note_transaction(id);
        let secret = TransactionSecret::new(parts.randomness.as_ref())?;
        let Order { entry, request, payment, nonce, access_token_hash, location, echo, .. } =
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
        let model = entry.package().card().name.clone();
        let stored = StoredOrder { model, package: entry.used().id(), nonce, request };
        let slot = service.jobs.slot(&self.method);
        let reservation = Reservation {
            id,
            payment: self.key,
            payload: written(&payment)?,
            binding: self.asker.binding,
            access_token_hash,
            secret: *secret.as_bytes(),
            method: self.method.to_string(),
            request: written(&stored)?,
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
        let method = self.method.clone();
        let work = slot.map(|slot| {
            let work = Work {
                lease: Lease { id, number: 1 },
                entry,
                request: Arc::new(stored.request),
                nonce: stored.nonce,
                method: self.method,
                payment: self.payment,
                secret,
                deadline: self.deadline,
                started: self.started,
            };
            (work, slot)
        });
        Ok(Reserved { id, access_token, place: self.place, method, work })
    }
}

impl Work {
    /// Takes up a job that was queued, or left by an earlier process. Its payment is looked at again:
    /// the balance may be gone by now.
    pub(super) async fn of_job(
        service: &Service,
        method: &Method,
        job: Job,
    ) -> Result<Self, PurchaseError> {
        let parts = service.parts();
        let (now, started) = (parts.clock.now(), parts.clock.monotonic());
        if job.attempts > MAX_ATTEMPTS {
            return Err(PurchaseError::Attempts(MAX_ATTEMPTS));
        }
        if now > job.deadline {
            return Err(PurchaseError::Late { deadline: job.deadline, now });
        }
        let damaged = |error: String| PurchaseError::Receipt(format!("stored order: {error}"));
        let stored: StoredOrder =
            serde_json::from_slice(&job.request).map_err(|error| damaged(error.to_string()))?;
        let payment = stored_payment(&job.payload)?;
        let entry = parts.catalogue.find(&stored.model);
        let entry = entry.filter(|entry| entry.used().id() == stored.package);
        let entry = entry.cloned().ok_or(PurchaseError::ModelGone(stored.model))?;
        let checked = check_exact(&payment, &payment.accepted, now)?;
        let payment = parts.facilitator.verify(&checked).await?;
        Ok(Self {
            lease: job.lease,
            entry,
            request: Arc::new(stored.request),
            nonce: stored.nonce,
            method: method.clone(),
            payment,
            secret: TransactionSecret::from_bytes(job.secret),
            deadline: job.deadline,
            started,
        })
    }

    fn inference(&self, service: &Service) -> Inference {
        let salts = [self.secret.request_salt(0), self.secret.output_salt(0)];
        let (jobs, id) = (Arc::clone(&service.jobs), self.lease.id);
        let stages = Stages::to(move |stage| jobs.at_stage(id, stage));
        Inference { entry: self.entry.clone(), request: self.request.clone(), salts, stages }
    }

    pub(super) async fn certify(self, service: &Service) -> Result<Certificated, PurchaseError> {
        let parts = service.parts();
        let certified = match parts.certifiers.find(&self.method) {
            Some(certifier) => {
                let inference = self.inference(service);
                let certified = certifier.certify(&inference);
                let certified = AssertUnwindSafe(certified).catch_unwind().await;
                certified.unwrap_or(Err(CertifierError::Interrupted))?
            }
            None => return Err(PurchaseError::NoCertifier(self.method.to_string())),
        };
        if let Some(latency) = self.entry.latency(&self.method) {
            latency.record(parts.clock.monotonic().saturating_sub(self.started));
        }
        failpoint!("service.certify.after");
        Ok(Certificated { work: self, certified })
    }
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
    entry: &CatalogueEntry,
    method: &Method,
    now: Timestamp,
) -> Result<Timestamp, AdmissionRefusal> {
    let margin = Duration::from_secs(MIN_REMAINING_SECONDS);
    let deadline = payment.terms().valid_before.minus(margin);
    let expected = service.jobs.expected(method, entry.latency(method));
    let left = deadline.since(now);
    if expected > left {
        return Err(AdmissionRefusal::Late { expected, left });
    }
    Ok(deadline)
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
    order: &Order,
    offer: &PaymentRequirements,
    checked: &Result<CheckedPayment, PaymentRefusal>,
) -> Result<Payment, PurchaseError> {
    let authorization = match checked {
        Ok(checked) => *checked.authorization(),
        Err(PaymentRefusal::Expired { .. }) => {
            ExactPayload::from_json(&order.payment.payload)?.authorization
        }
        Err(refusal) => return Err(refusal.clone().into()),
    };
    let Authorization { from, nonce, .. } = authorization;
    let account = |text: String| {
        text.parse().map_err(|error| PurchaseError::Receipt(format!("payment: {error}")))
    };
    Ok(Payment {
        network: offer.network.clone(),
        asset: account(offer.asset.as_str().to_ascii_lowercase())?,
        payer: account(format!("{from:#x}"))?,
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
