//! Figures of what the service and what it stands on do, for Prometheus.
//!
//! One [`ServiceMetrics`] is made at the start, given to the chain's connection and the store as their
//! observer, and to the [`Service`](crate::Service). Names follow Prometheus' conventions: base units,
//! and `_total` for what is counted. No label has a value that a stranger can choose.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use assay_chain::{ChainError, OutgoingStatus, RpcObserver};
use assay_store::{StepKind, StepObserver};
use assay_x402::{ErrorReason, FacilitatorError, SettleError};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::{AdmissionRefusal, PurchaseError};

/// Seconds of what is done on this machine: from 50 microseconds to a second.
const LOCAL: [f64; 12] =
    [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0];
/// Seconds of what others do: from a millisecond to a minute.
const REMOTE: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];

/// Why a request to the chain had no usable answer.
const RPC_ERRORS: [&str; 4] = ["not_connected", "no_answer", "malformed", "busy"];

/// What stands in the way of a payment where x402 has no word for it.
const OWN_REASONS: [&str; 14] = [
    "admission",
    "already_used",
    "attempts",
    "bound_to_other_request",
    "cancelled",
    "inference_failed",
    "internal",
    "late",
    "model_gone",
    "no_certifier",
    "operator",
    "settlement_failed",
    "uncertifiable_input",
    "unreachable",
];

/// Seconds, in buckets.
#[derive(Clone)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

type Seconds<L> = Family<L, Histogram, Buckets>;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ReasonLabels {
    reason: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct LimitLabels {
    limit: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct MethodLabels {
    method: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RpcErrorLabels {
    method: &'static str,
    kind: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct KindLabels {
    kind: &'static str,
}

/// Figures of a service, its chain and its store.
pub struct ServiceMetrics {
    refusals: Family<ReasonLabels, Counter>,
    admission_refusals: Family<LimitLabels, Counter>,
    under_way: Gauge,
    settlements: Family<OutcomeLabels, Counter>,
    settlement_seconds: Seconds<OutcomeLabels>,
    rpc_calls: Family<MethodLabels, Counter>,
    rpc_errors: Family<RpcErrorLabels, Counter>,
    rpc_seconds: Seconds<MethodLabels>,
    gas_balance: Gauge<f64, AtomicU64>,
    calls_waiting: Gauge,
    in_flight: Gauge,
    transactions: Family<KindLabels, Counter>,
    step_seconds: Seconds<KindLabels>,
}

/// What became of an attempt to settle.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SettlementOutcome {
    Settled,
    Failed,
    Failing,
    Pending,
    Broken,
}

impl SettlementOutcome {
    const ALL: [Self; 5] =
        [Self::Settled, Self::Failed, Self::Failing, Self::Pending, Self::Broken];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Failed => "failed",
            Self::Failing => "failing",
            Self::Pending => "pending",
            Self::Broken => "broken",
        }
    }

    pub(crate) const fn of(error: &SettleError) -> Self {
        match error {
            SettleError::Failed { open_until: None, .. } => Self::Failed,
            SettleError::Failed { .. } => Self::Failing,
            _ => Self::Pending,
        }
    }
}

impl Default for ServiceMetrics {
    /// Makes figures that are all 0: what is not counted yet is there all the same, where its labels
    /// are known.
    fn default() -> Self {
        let metrics = Self {
            refusals: Family::default(),
            admission_refusals: Family::default(),
            under_way: Gauge::default(),
            settlements: Family::default(),
            settlement_seconds: Family::new_with_constructor(Buckets(&REMOTE)),
            rpc_calls: Family::default(),
            rpc_errors: Family::default(),
            rpc_seconds: Family::new_with_constructor(Buckets(&REMOTE)),
            gas_balance: Gauge::default(),
            calls_waiting: Gauge::default(),
            in_flight: Gauge::default(),
            transactions: Family::default(),
            step_seconds: Family::new_with_constructor(Buckets(&LOCAL)),
        };
        for limit in AdmissionRefusal::LIMITS {
            drop(metrics.admission_refusals.get_or_create(&LimitLabels { limit }));
        }
        for reason in OWN_REASONS {
            let labels = ReasonLabels { reason: reason.to_owned() };
            drop(metrics.refusals.get_or_create(&labels));
        }
        // What fails to be sent is what to be woken for.
        for kind in RPC_ERRORS {
            let labels = RpcErrorLabels { method: "eth_sendRawTransaction", kind };
            drop(metrics.rpc_errors.get_or_create(&labels));
        }
        for outcome in SettlementOutcome::ALL {
            let labels = OutcomeLabels { outcome: outcome.as_str() };
            drop(metrics.settlements.get_or_create(&labels));
        }
        metrics
    }
}

impl ServiceMetrics {
    /// Adds the figures to a registry.
    pub fn register(&self, registry: &mut Registry) {
        self.register_settlement(registry);
        registry.register(
            "refusals",
            "Payments that bought nothing, by x402's reason or by what stood in the way",
            self.refusals.clone(),
        );
        registry.register(
            "admission_refusals",
            "Payments not taken on for now, by the limit that was reached",
            self.admission_refusals.clone(),
        );
        registry.register(
            "purchases_under_way",
            "Purchases between their admission and their answer",
            self.under_way.clone(),
        );
        registry.register("rpc_calls", "JSON-RPC requests to the chain", self.rpc_calls.clone());
        registry.register(
            "rpc_errors",
            "JSON-RPC requests to the chain without a usable answer, by kind",
            self.rpc_errors.clone(),
        );
        registry.register(
            "rpc_seconds",
            "Seconds that a JSON-RPC request to the chain took",
            self.rpc_seconds.clone(),
        );
        registry.register(
            "database_step_seconds",
            "Seconds that a step in the database took, the wait for its turn included",
            self.step_seconds.clone(),
        );
    }

    fn register_settlement(&self, registry: &mut Registry) {
        registry.register(
            "settlements",
            "Attempts to settle, by what became of them",
            self.settlements.clone(),
        );
        registry.register(
            "settlement_seconds",
            "Seconds that an attempt to settle took",
            self.settlement_seconds.clone(),
        );
        registry.register(
            "gas_balance_coins",
            "Coins of the chain that the settlement account has for gas; 0 where a facilitator settles",
            self.gas_balance.clone(),
        );
        registry.register(
            "settlements_waiting",
            "Settlements that wait for a transaction of one's own",
            self.calls_waiting.clone(),
        );
        registry.register(
            "settlement_transactions_in_flight",
            "Transactions of one's own that are not mined as deep as asked",
            self.in_flight.clone(),
        );
        registry.register(
            "settlement_transactions",
            "Transactions of one's own: sent, those that replaced a stuck one, and those stuck at the highest fee allowed",
            self.transactions.clone(),
        );
    }

    /// Notes what the settlement account has, in the smallest units of the chain's coin, of which
    /// there are 10^18.
    pub fn gas_balance(&self, wei: u128) {
        self.gas_balance.set(wei as f64 / 1e18);
    }

    /// Notes what becomes of one's own transactions.
    pub(crate) fn outgoing(&self, status: OutgoingStatus) {
        self.calls_waiting.set(i64::try_from(status.waiting).unwrap_or(i64::MAX));
        self.in_flight.set(i64::try_from(status.in_flight).unwrap_or(i64::MAX));
        for (kind, count) in
            [("sent", status.sent), ("replaced", status.replaced), ("capped", status.capped)]
        {
            let counted = self.transactions.get_or_create(&KindLabels { kind });
            counted.inner().store(count, Ordering::Relaxed);
        }
    }

    /// Notes how many purchases are under way.
    pub(crate) fn under_way(&self, purchases: usize) {
        self.under_way.set(i64::try_from(purchases).unwrap_or(i64::MAX));
    }

    /// Counts a purchase that was not made. One whose settlement is pending is not refused.
    pub(crate) fn refused(&self, error: &PurchaseError) {
        if let PurchaseError::Admission(refusal) = error {
            let labels = LimitLabels { limit: refusal.limit() };
            self.admission_refusals.get_or_create(&labels).inc();
        }
        if let Some(reason) = reason_of(error.cause()) {
            self.refusals.get_or_create(&ReasonLabels { reason }).inc();
        }
    }

    /// Counts an attempt to settle.
    pub(crate) fn settlement(&self, outcome: SettlementOutcome, took: Duration) {
        let labels = OutcomeLabels { outcome: outcome.as_str() };
        self.settlements.get_or_create(&labels).inc();
        self.settlement_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

impl RpcObserver for ServiceMetrics {
    fn called(&self, method: &'static str, error: Option<&ChainError>, took: Duration) {
        let labels = MethodLabels { method };
        self.rpc_calls.get_or_create(&labels).inc();
        self.rpc_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        let kind = match error {
            None => return,
            Some(ChainError::NotConnected { .. }) => RPC_ERRORS[0],
            Some(ChainError::NoAnswer { .. }) => RPC_ERRORS[1],
            Some(ChainError::Malformed { .. }) => RPC_ERRORS[2],
            Some(_) => RPC_ERRORS[3],
        };
        self.rpc_errors.get_or_create(&RpcErrorLabels { method, kind }).inc();
    }
}

impl StepObserver for ServiceMetrics {
    fn stepped(&self, kind: StepKind, took: Duration) {
        let kind = match kind {
            StepKind::Read => "read",
            StepKind::Write => "write",
        };
        self.step_seconds.get_or_create(&KindLabels { kind }).observe(took.as_secs_f64());
    }
}

impl fmt::Debug for ServiceMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceMetrics")
    }
}

fn reason_of(error: &PurchaseError) -> Option<String> {
    Some(match error {
        PurchaseError::Payment(refusal) => known(&refusal.reason()),
        PurchaseError::Facilitator(FacilitatorError::Refused { reason, .. }) => known(reason),
        error => own_reason(error)?.to_owned(),
    })
}

/// What a foreign facilitator says in its own words is no label.
fn known(reason: &ErrorReason) -> String {
    match reason {
        ErrorReason::Other(_) => "other".to_owned(),
        reason => reason.as_str().to_owned(),
    }
}

/// Names what x402 has no word for.
const fn own_reason(error: &PurchaseError) -> Option<&'static str> {
    Some(match error {
        PurchaseError::Facilitator(FacilitatorError::Unreachable { .. }) => "unreachable",
        PurchaseError::Facilitator(_) => "operator",
        PurchaseError::Admission(_) => "admission",
        PurchaseError::Taken(taken) if taken.other_request => "bound_to_other_request",
        PurchaseError::Taken(_) => "already_used",
        PurchaseError::Request { .. } => "uncertifiable_input",
        PurchaseError::NoCertifier(_) => "no_certifier",
        PurchaseError::Certifier(_) | PurchaseError::Hidden => "inference_failed",
        PurchaseError::NotSettled(_) => "settlement_failed",
        PurchaseError::Cancelled => "cancelled",
        PurchaseError::Late { .. } => "late",
        PurchaseError::Attempts(_) => "attempts",
        PurchaseError::ModelGone(_) => "model_gone",
        PurchaseError::Pending { .. } | PurchaseError::Queued(_) => return None,
        _ => "internal",
    })
}

#[cfg(test)]
mod tests {
    use assay_primitives::Method;

    use super::*;

    #[test]
    fn foreign_words_are_no_labels() {
        let refused = |reason: ErrorReason| {
            let detail = String::new();
            reason_of(&PurchaseError::Facilitator(FacilitatorError::Refused { reason, detail }))
        };
        let reason = ErrorReason::InsufficientFunds;
        assert_eq!(refused(reason.clone()).unwrap(), reason.as_str());
        assert_eq!(refused(ErrorReason::Other("a stranger's".to_owned())).unwrap(), "other");
    }

    #[test]
    fn every_reason_of_ones_own_begins_at_nothing() {
        let detail = String::new;
        for error in [
            PurchaseError::Interrupted,
            PurchaseError::NoCertifier(detail()),
            PurchaseError::Request { method: Method::ZKML, reason: detail() },
            PurchaseError::Receipt(detail()),
            PurchaseError::Admission(AdmissionRefusal::Busy { limit: 1 }),
            PurchaseError::Facilitator(FacilitatorError::Operator { detail: detail() }),
            PurchaseError::Facilitator(FacilitatorError::Unreachable { detail: detail() }),
        ] {
            let reason = reason_of(&error).unwrap();
            assert!(OWN_REASONS.contains(&reason.as_str()), "{reason}");
        }
    }
}
