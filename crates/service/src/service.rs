use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use assay_engine::ModelCard;
use assay_primitives::{Account, Clock, Method, Randomness, TransactionId};
use assay_store::{BlobStore, TransactionStore};
use assay_x402::{EXACT, Facilitator, PaymentRequirements};
use serde_json::{Map, Value};
use tokio_util::task::TaskTracker;

use crate::extension::offered_extension;
use crate::{Catalogue, CatalogueEntry, Certifiers, Operator};

/// What a service is made of.
#[derive(Debug)]
pub struct ServiceParts {
    /// Who sells.
    pub operator: Operator,
    /// What is sold.
    pub catalogue: Catalogue,
    /// How it is certified.
    pub certifiers: Certifiers,
    /// Where transactions are stored.
    pub store: Arc<dyn TransactionStore>,
    /// Where evidence is stored.
    pub blobs: BlobStore,
    /// Who checks and settles payments.
    pub facilitator: Arc<dyn Facilitator>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where secrets come from.
    pub randomness: Arc<dyn Randomness>,
    /// What has to be finished before the process ends.
    pub tasks: TaskTracker,
    /// The operator's choices.
    pub settings: Settings,
}

/// The operator's choices.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who is paid.
    pub pay_to: Account,
    /// How long a payer's authorisation has to be good for: more than the longest run and
    /// settlement.
    pub max_timeout_seconds: u64,
}

/// Sells inferences.
#[derive(Debug)]
pub struct Service {
    parts: ServiceParts,
    in_flight: Mutex<HashSet<TransactionId>>,
}

impl Service {
    /// Makes a service of its parts.
    #[must_use]
    pub fn new(parts: ServiceParts) -> Self {
        Self { parts, in_flight: Mutex::default() }
    }

    /// Returns what the service is made of.
    #[must_use]
    pub const fn parts(&self) -> &ServiceParts {
        &self.parts
    }

    /// Returns the offers for a model, in the operator's order, by one method if one is asked for.
    #[must_use]
    pub fn offers(
        &self,
        entry: &CatalogueEntry,
        method: Option<&Method>,
    ) -> Vec<PaymentRequirements> {
        let wanted = |price: &&crate::Price| method.is_none_or(|method| price.method == *method);
        entry.prices().iter().filter(wanted).map(|price| self.offer(price)).collect()
    }

    fn offer(&self, price: &crate::Price) -> PaymentRequirements {
        let extra = Map::from_iter([
            ("name".to_owned(), Value::from(price.asset.name.clone())),
            ("version".to_owned(), Value::from(price.asset.version.clone())),
            ("method".to_owned(), Value::from(price.method.as_str())),
        ]);
        PaymentRequirements {
            scheme: EXACT.to_owned(),
            network: price.asset.id.network().clone(),
            amount: price.amount,
            asset: price.asset.id.reference().clone(),
            pay_to: self.parts.settings.pay_to.clone(),
            max_timeout_seconds: self.parts.settings.max_timeout_seconds,
            extra: Some(extra),
            other: Map::new(),
        }
    }

    /// Returns what the 402 for a model says of how it is certified.
    #[must_use]
    pub fn offered_extension(&self, entry: &CatalogueEntry) -> (String, Value) {
        offered_extension(&self.parts.operator, entry, &self.parts.certifiers)
    }

    /// Returns the cards of the models, by name.
    pub fn cards(&self) -> impl Iterator<Item = &ModelCard> {
        self.parts.catalogue.iter().map(|entry| entry.package().card())
    }

    /// Marks a transaction as being worked on, until the guard is dropped. `None` when it already
    /// is: two settlements of one transaction at a time would step on each other.
    pub(crate) fn take_up(self: &Arc<Self>, id: TransactionId) -> Option<InFlight> {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        in_flight.insert(id).then(|| InFlight { service: self.clone(), id })
    }
}

/// A transaction that is being worked on.
#[derive(Debug)]
pub(crate) struct InFlight {
    service: Arc<Service>,
    id: TransactionId,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.service.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
