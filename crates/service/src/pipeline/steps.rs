//! Until the receipt: admit, reserve, certify.

use std::sync::Arc;
use std::time::Duration;

use assay_primitives::{AccessToken, Digest, InferenceRequest, Method, TransactionId, failpoint};
use assay_receipt::TransactionSecret;
use assay_store::{Holder, Payment, Reservation, ReserveOutcome};
use assay_x402::{
    Authorization, CheckedPayment, ExactPayload, PaymentRefusal, PaymentRequirements,
    VerifiedPayment, check_exact, match_offer,
};
use tracing::{debug, warn};

use super::Order;
use super::error::{PurchaseError, Taken, written};
use crate::admission::{InFlight, Place};
use crate::{CatalogueEntry, Certified, CertifierError, Service, trace};

/// An order whose payment is good: it matches an offer, is signed, nobody has it, and the chain
/// would carry it out.
pub(super) struct Admitted {
    order: Order,
    method: Method,
    payment: VerifiedPayment,
    key: Payment,
    binding: Digest,
    place: Place,
    started: Duration,
}

/// An order whose payment is this transaction's and no other's.
pub(super) struct Reserved {
    pub(super) id: TransactionId,
    pub(super) entry: Arc<CatalogueEntry>,
    pub(super) request: Arc<InferenceRequest>,
    pub(super) nonce: Option<String>,
    pub(super) method: Method,
    pub(super) payment: VerifiedPayment,
    /// The payment as it came.
    pub(super) payload: Vec<u8>,
    pub(super) secret: TransactionSecret,
    pub(super) access_token: Option<AccessToken>,
    pub(super) held: Held,
    started: Duration,
}

/// What a purchase holds until its end.
pub(super) struct Held {
    _place: Place,
    /// Keeps the background settlement away from the transaction.
    _in_flight: InFlight,
}

/// An order that ran and has its evidence.
pub(super) struct Certificated {
    pub(super) reserved: Reserved,
    pub(super) certified: Certified,
}

impl Admitted {
    pub(super) async fn admit(service: &Service, order: Order) -> Result<Self, PurchaseError> {
        let parts = service.parts();
        let (now, started) = (parts.clock.now(), parts.clock.monotonic());
        let offer = match_offer(&order.offers, &order.payment)?;
        let method = offered_method(service, offer)?;
        let binding = order.binding.digest(offer, order.access_token_hash);
        let checked = check_exact(&order.payment, offer, now);
        let key = payment_key(&order, offer, &checked)?;
        trace::note_payment(&key);
        // Asked before the chain is: there a payment that this service has settled is one that
        // cannot be used, and the answer would ask the buyer to sign again.
        refuse_taken(service, &key, binding).await?;
        let checked = checked?;
        // One that is about to expire would be settled too late, at the cost of gas. Clients sign for
        // the whole time that an offer asks for.
        checked.check_time_left(offer.max_timeout_seconds / 2, now)?;
        let place = service.admission.admit(&key, offer.amount)?;
        let payment = match parts.facilitator.verify(&checked).await {
            Ok(payment) => payment,
            Err(error) => {
                // Another request with this payment may have been faster.
                refuse_taken(service, &key, binding).await?;
                return Err(error.into());
            }
        };
        if let Some(balance) = payment.balance() {
            place.check_balance(balance)?;
        }
        Ok(Self { order, method, payment, key, binding, place, started })
    }

    pub(super) async fn reserve(self, service: &Service) -> Result<Reserved, PurchaseError> {
        let parts = service.parts();
        let now = parts.clock.now();
        let id = TransactionId::new(now, parts.randomness.as_ref())?;
        trace::note_transaction(id);
        let secret = TransactionSecret::new(parts.randomness.as_ref())?;
        let Order { entry, request, payment, nonce, access_token_hash, .. } = self.order;
        let (access_token, access_token_hash) = match access_token_hash {
            Some(hash) => (None, hash),
            None => {
                let token = AccessToken::new(parts.randomness.as_ref())?;
                let hash = token.hash();
                (Some(token), hash)
            }
        };
        let in_flight = service.admission.take_up(id).ok_or(PurchaseError::Interrupted)?;
        let payload = written(&payment)?;
        let reservation = Reservation {
            id,
            payment: self.key,
            payload: payload.clone(),
            binding: self.binding,
            access_token_hash,
            secret: *secret.as_bytes(),
            at: now,
        };
        failpoint!("service.reserve.before");
        let outcome = parts.store.reserve(&reservation).await?;
        failpoint!("service.reserve.after");
        match outcome {
            ReserveOutcome::Reserved => debug!("The payment is this transaction's."),
            ReserveOutcome::Taken(holder) => return Err(taken(&holder, self.binding)),
        }
        Ok(Reserved {
            id,
            entry,
            request: Arc::new(request),
            nonce,
            method: self.method,
            payment: self.payment,
            payload,
            secret,
            access_token,
            held: Held { _place: self.place, _in_flight: in_flight },
            started: self.started,
        })
    }
}

impl Reserved {
    pub(super) async fn certify(self, service: &Service) -> Result<Certificated, PurchaseError> {
        let parts = service.parts();
        let certified = match parts.certifiers.find(&self.method) {
            Some(certifier) => certifier.certify(&self.entry, &self.request).await,
            None => Err(CertifierError::Interrupted),
        };
        let certified = match certified {
            Ok(certified) => certified,
            Err(error) => {
                self.release(service).await;
                return Err(error.into());
            }
        };
        if let Some(latency) = self.entry.latency(&self.method) {
            latency.record(parts.clock.monotonic().saturating_sub(self.started));
        }
        failpoint!("service.certify.after");
        Ok(Certificated { reserved: self, certified })
    }

    /// Gives the payment back. When that fails the background pass does it.
    pub(super) async fn release(&self, service: &Service) {
        if let Err(error) = service.release(self.id).await {
            warn!(%error, transaction = %self.id, "The payment could not be released.");
        }
    }
}

fn offered_method(service: &Service, offer: &PaymentRequirements) -> Result<Method, PurchaseError> {
    let name = offer.extra_text("method").unwrap_or_default();
    let method: Option<Method> = name.parse().ok();
    method
        .filter(|method| service.parts().certifiers.find(method).is_some())
        .ok_or_else(|| PurchaseError::NoCertifier(name.to_owned()))
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
    binding: Digest,
) -> Result<(), PurchaseError> {
    match service.parts().store.holder(payment).await? {
        Some(holder) => Err(taken(&holder, binding)),
        None => Ok(()),
    }
}

fn taken(holder: &Holder, binding: Digest) -> PurchaseError {
    PurchaseError::Taken(Taken {
        transaction: holder.id,
        state: holder.state,
        same_request: holder.binding == binding,
    })
}
