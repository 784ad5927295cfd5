//! Until the receipt: admit, reserve, certify.

use std::sync::Arc;
use std::time::Duration;

use assay_primitives::{AccessToken, InferenceRequest, Method, TransactionId};
use assay_receipt::TransactionSecret;
use assay_store::{Payment, Reservation, ReserveOutcome};
use assay_x402::{VerifiedPayment, check_exact, match_offer};
use tracing::warn;

use super::commit::written;
use super::{Order, PurchaseError, Taken};
use crate::service::InFlight;
use crate::{CatalogueEntry, Certified, Service};

/// An order whose payment is good: it matches an offer, is signed, and the chain would carry it out.
pub(super) struct Admitted {
    order: Order,
    method: Method,
    payment: VerifiedPayment,
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
    /// Keeps the background settlement away from this transaction.
    pub(super) in_flight: InFlight,
    started: Duration,
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
        let method = offer.extra_text("method").unwrap_or_default();
        let no_certifier = || PurchaseError::NoCertifier(method.to_owned());
        let method: Method = method.parse().map_err(|_| no_certifier())?;
        if parts.certifiers.find(&method).is_none() {
            return Err(no_certifier());
        }
        let checked = check_exact(&order.payment, offer, now)?;
        let payment = parts.facilitator.verify(&checked).await?;
        Ok(Self { order, method, payment, started })
    }

    pub(super) async fn reserve(self, service: &Arc<Service>) -> Result<Reserved, PurchaseError> {
        let parts = service.parts();
        let now = parts.clock.now();
        let id = TransactionId::new(now, parts.randomness.as_ref())?;
        let secret = TransactionSecret::new(parts.randomness.as_ref())?;
        let Order { entry, request, payment: payload, binding, nonce, access_token_hash, .. } =
            self.order;
        let (access_token, access_token_hash) = match access_token_hash {
            Some(hash) => (None, hash),
            None => {
                let token = AccessToken::new(parts.randomness.as_ref())?;
                let hash = token.hash();
                (Some(token), hash)
            }
        };
        let checked = self.payment.payment();
        let binding = binding.digest(checked.offer());
        let in_flight = service.take_up(id).ok_or(PurchaseError::Interrupted)?;
        let payload = written(&payload)?;
        let reservation = Reservation {
            id,
            payment: payment_key(&self.payment),
            payload: payload.clone(),
            binding,
            access_token_hash,
            secret: *secret.as_bytes(),
            at: now,
        };
        match parts.store.reserve(&reservation).await? {
            ReserveOutcome::Reserved => {}
            ReserveOutcome::Taken(by) => {
                let taken = Taken::new(by.id, by.state, by.binding == binding);
                return Err(PurchaseError::Taken(taken));
            }
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
            in_flight,
            started: self.started,
        })
    }
}

impl Reserved {
    pub(super) async fn certify(self, service: &Service) -> Result<Certificated, PurchaseError> {
        let parts = service.parts();
        let certified = match parts.certifiers.find(&self.method) {
            Some(certifier) => certifier.certify(&self.entry, &self.request).await,
            None => Err(crate::CertifierError::Interrupted),
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
        Ok(Certificated { reserved: self, certified })
    }

    /// Gives the payment back. When that fails the next start of the service does it.
    pub(super) async fn release(&self, service: &Service) {
        if let Err(error) = service.parts().store.release(self.id).await {
            warn!(%error, transaction = %self.id, "The payment could not be released.");
        }
    }
}

fn payment_key(payment: &VerifiedPayment) -> Payment {
    let (key, terms) = (payment.payment().reservation_key(), payment.terms());
    Payment {
        network: key.network,
        asset: terms.asset.clone(),
        payer: terms.payer.clone(),
        nonce: key.nonce.to_string(),
    }
}
