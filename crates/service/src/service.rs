use std::sync::Arc;
use std::time::Duration;

use assay_engine::ModelCard;
use assay_primitives::{Account, Amount, Clock, Method, Randomness};
use assay_receipt::OutcomePolicy;
use assay_store::{BlobStore, TransactionStore};
use assay_verify::Methods;
use assay_x402::{
    EIP2612_GAS_SPONSORING, EXACT, Facilitator, PaymentRequirements, UPTO, UptoSupport,
    eip2612_gas_sponsoring,
};
use serde_json::{Map, Value, json};
use tokio_util::task::TaskTracker;

use crate::access::SignIns;
use crate::admission::Admission;
use crate::extension::offered_extension;
use crate::jobs::Jobs;
use crate::{
    Catalogue, CatalogueEntry, CertifierError, Certifiers, Limits, Operator, Plan, Price, Quote,
    ServiceMetrics,
};

/// What a service is made of.
#[derive(Debug)]
pub struct ServiceParts {
    /// Who sells.
    pub operator: Operator,
    /// What is sold.
    pub catalogue: Catalogue,
    /// How it is certified.
    pub certifiers: Certifiers,
    /// How a certification is verified before it is charged for, as a buyer will verify it.
    pub methods: Methods,
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
    /// For how many seconds a payer is asked to sign: more than twice the longest inference and
    /// settlement, as a payment is taken while half of them are left.
    pub max_timeout_seconds: u64,
    /// How long contents are kept once a transaction has ended.
    pub retention: Duration,
    /// For how many blocks a settlement is looked after that a reorganisation may take back; 0 for
    /// not at all.
    pub reorg_depth: u64,
    /// When a result is released.
    pub release: Release,
    /// How payments of the scheme `upto` are settled, if they are.
    pub upto: Option<UptoSupport>,
}

/// When a result is released to its buyer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Release {
    /// When its payment is settled.
    #[default]
    Settlement,
    /// When its receipt is stored: its payment was verified, and is settled behind it. What cannot be
    /// settled then is the seller's loss, within the limits on what a payer may owe.
    Verification,
}

/// Sells inferences.
#[derive(Debug)]
pub struct Service {
    parts: ServiceParts,
    pub(crate) admission: Arc<Admission>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) sign_ins: SignIns,
    pub(crate) metrics: Arc<ServiceMetrics>,
}

impl Service {
    /// Makes a service of its parts.
    #[must_use]
    pub fn new(parts: ServiceParts) -> Self {
        let jobs = Arc::new(Jobs::new(&parts.certifiers));
        let sign_ins = SignIns::since(parts.clock.now());
        Self { parts, admission: Arc::default(), jobs, sign_ins, metrics: Arc::default() }
    }

    /// Sets how much is taken on at a time.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { admission: Arc::new(Admission::new(limits)), ..self }
    }

    /// Counts in these figures, which others may count in, too.
    #[must_use]
    pub fn with_metrics(self, metrics: Arc<ServiceMetrics>) -> Self {
        Self { metrics, ..self }
    }

    /// Returns the key attestation of what certifies in an enclave now, if anything does; with a nonce
    /// one that was made for it.
    ///
    /// # Errors
    /// When there is no evidence to be had.
    pub async fn attestation(
        &self,
        nonce: Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, CertifierError> {
        for certifier in self.parts.certifiers.iter() {
            if let Some(file) = certifier.attestation(nonce.clone()).await? {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Returns the figures, with those brought up to date that are looked up.
    #[must_use]
    pub fn metrics(&self) -> &ServiceMetrics {
        self.metrics.under_way(self.admission.under_way());
        if let Some(outgoing) = self.parts.facilitator.outgoing() {
            self.metrics.outgoing(outgoing.status());
        }
        &self.metrics
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
        let wanted = |price: &&Price| method.is_none_or(|method| price.method == *method);
        entry.prices().iter().filter(wanted).map(|price| self.offer(entry, price)).collect()
    }

    fn offer(&self, entry: &CatalogueEntry, price: &Price) -> PaymentRequirements {
        let mut extra = Map::from_iter([("method".to_owned(), price.method.as_str().into())]);
        let certifier = self.parts.certifiers.find(&price.method);
        if let Some(proof) = certifier.and_then(|certifier| certifier.proof(entry.package())) {
            extra.insert("proof".to_owned(), json!(proof));
        }
        self.requirements(price, price.amount, extra)
    }

    /// Returns the offers for a transaction at what was quoted: by `exact`, unless something may fail and not be
    /// charged, and by `upto` where that is settled.
    #[must_use]
    pub fn offers_for(&self, plan: &Plan, quotes: &[Quote]) -> Vec<PaymentRequirements> {
        let policy = plan.outcome_policy();
        let exact = |quote: &Quote| self.requirements(&quote.price, quote.amount, Map::new());
        let exact = quotes.iter().filter(|_| policy.is_all()).map(exact);
        let upto = self
            .parts
            .settings
            .upto
            .iter()
            .flat_map(|upto| quotes.iter().map(move |quote| self.upto(upto, quote, policy)));
        exact.chain(upto).collect()
    }

    /// Asks for a permit of the most that a transaction may cost.
    fn upto(
        &self,
        upto: &UptoSupport,
        quote: &Quote,
        policy: OutcomePolicy,
    ) -> PaymentRequirements {
        let extra = Map::from_iter([
            ("assetTransferMethod".to_owned(), "permit2".into()),
            ("facilitatorAddress".to_owned(), upto.facilitator.clone().into()),
            ("outcomePolicy".to_owned(), policy.as_str().into()),
        ]);
        let requirements = self.requirements(&quote.price, quote.amount, extra);
        PaymentRequirements { scheme: UPTO.to_owned(), ..requirements }
    }

    /// Returns the extension of a 402 that says that a token's own permit is handed in with a payment of the
    /// scheme `upto`, if it is.
    #[must_use]
    pub fn gas_sponsoring(&self) -> Option<(String, Value)> {
        let is_sponsored = self.parts.settings.upto.as_ref()?.sponsors_gas;
        is_sponsored.then(|| (EIP2612_GAS_SPONSORING.to_owned(), eip2612_gas_sponsoring()))
    }

    /// Asks for an amount in the asset of a price.
    fn requirements(
        &self,
        price: &Price,
        amount: Amount,
        mut extra: Map<String, Value>,
    ) -> PaymentRequirements {
        extra.insert("name".to_owned(), price.asset.name.clone().into());
        extra.insert("version".to_owned(), price.asset.version.clone().into());
        PaymentRequirements {
            scheme: EXACT.to_owned(),
            network: price.asset.id.network().clone(),
            amount,
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
}
