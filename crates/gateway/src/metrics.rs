//! Figures for Prometheus.

use std::fmt;
use std::time::Duration;

use assay_service::{Load, ServiceMetrics};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Seconds: from a tenth of a millisecond, which an inference takes, to a minute, which a slow
/// settlement does.
const BUCKETS: [f64; 14] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct RequestLabels {
    pub(crate) route: String,
    pub(crate) method: String,
    pub(crate) status: u16,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct ErrorLabels {
    pub(crate) code: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct PurchaseLabels {
    pub(crate) model: String,
    pub(crate) method: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct KindLabels {
    pub(crate) kind: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct StateLabels {
    pub(crate) state: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct MethodLabels {
    pub(crate) method: String,
}

pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    purchases: Family<PurchaseLabels, Counter>,
    purchase_seconds: Family<PurchaseLabels, Histogram>,
    transactions: Family<StateLabels, Gauge>,
    jobs_in_hand: Family<MethodLabels, Gauge>,
    jobs_queued: Family<MethodLabels, Gauge>,
    over_quota: Family<KindLabels, Counter>,
    connections: ConnectionMetrics,
}

/// Figures of connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionMetrics {
    pub(crate) open: Gauge,
    pub(crate) refused: Counter,
    pub(crate) unread: Counter,
}

impl Metrics {
    /// Makes the figures of a gateway, beside those of its service.
    pub(crate) fn new(service: &ServiceMetrics) -> Self {
        let mut registry = Registry::with_prefix("assay");
        service.register(&mut registry);
        let requests = Family::<RequestLabels, Counter>::default();
        let errors = Family::<ErrorLabels, Counter>::default();
        let purchases = Family::<PurchaseLabels, Counter>::default();
        let purchase_seconds =
            Family::<PurchaseLabels, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let transactions = Family::<StateLabels, Gauge>::default();
        registry.register("requests", "HTTP requests answered", requests.clone());
        registry.register("errors", "Errors answered, by code", errors.clone());
        registry.register(
            "purchases",
            "Inferences paid for and released to the request that paid",
            purchases.clone(),
        );
        registry.register(
            "purchase_seconds",
            "Seconds from a paid request to its released result",
            purchase_seconds.clone(),
        );
        registry.register(
            "transactions",
            "Transactions in the store, by state",
            transactions.clone(),
        );
        let jobs_in_hand = Family::<MethodLabels, Gauge>::default();
        registry.register(
            "jobs_in_hand",
            "Jobs in hand, by method; `transaction` for those of several methods",
            jobs_in_hand.clone(),
        );
        let jobs_queued = Family::<MethodLabels, Gauge>::default();
        registry.register(
            "jobs_queued",
            "Jobs that wait, by method; `transaction` for those of several methods",
            jobs_queued.clone(),
        );
        let (over_quota, connections) = limits(&mut registry);
        Self {
            registry,
            requests,
            errors,
            purchases,
            purchase_seconds,
            transactions,
            jobs_in_hand,
            jobs_queued,
            over_quota,
            connections,
        }
    }

    pub(crate) const fn connections(&self) -> &ConnectionMetrics {
        &self.connections
    }

    /// Counts a request that its address may not send now.
    pub(crate) fn over_quota(&self, kind: &'static str) {
        self.over_quota.get_or_create(&KindLabels { kind }).inc();
    }

    pub(crate) fn request(&self, labels: &RequestLabels) {
        self.requests.get_or_create(labels).inc();
    }

    pub(crate) fn error(&self, code: &'static str) {
        self.errors.get_or_create(&ErrorLabels { code }).inc();
    }

    pub(crate) fn purchase(&self, model: &str, method: &str, duration: Duration) {
        let labels = PurchaseLabels { model: model.to_owned(), method: method.to_owned() };
        self.purchases.get_or_create(&labels).inc();
        self.purchase_seconds.get_or_create(&labels).observe(duration.as_secs_f64());
    }

    pub(crate) fn transactions(&self, state: &'static str, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.transactions.get_or_create(&StateLabels { state }).set(count);
    }

    pub(crate) fn load(&self, load: &Load) {
        let labels = MethodLabels { method: load.method.clone() };
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.jobs_in_hand.get_or_create(&labels).set(count(load.in_hand));
        self.jobs_queued.get_or_create(&labels).set(count(load.queued));
    }

    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Registers the figures of what is refused before anything is paid.
fn limits(registry: &mut Registry) -> (Family<KindLabels, Counter>, ConnectionMetrics) {
    let over_quota = Family::<KindLabels, Counter>::default();
    for kind in ["question", "payment"] {
        drop(over_quota.get_or_create(&KindLabels { kind }));
    }
    registry.register(
        "quota_refusals",
        "Requests refused as too many from their address, by whether they brought a payment",
        over_quota.clone(),
    );
    let connections = ConnectionMetrics::default();
    registry.register("connections", "Connections that are open", connections.open.clone());
    registry.register(
        "connection_refusals",
        "Connections closed as too many from their address",
        connections.refused.clone(),
    );
    registry.register(
        "unread_answers",
        "Answers given up because nobody read them",
        connections.unread.clone(),
    );
    (over_quota, connections)
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
