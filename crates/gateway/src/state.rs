use std::sync::Arc;
use std::time::Duration;

use assay_service::Service;

use crate::metrics::Metrics;

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct Gateway {
    pub(crate) service: Arc<Service>,
    pub(crate) config: Arc<GatewayConfig>,
    pub(crate) metrics: Arc<Metrics>,
}

/// The operator's choices about HTTP.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// How clients reach this gateway: the beginning of the `resource` in a 402.
    pub public_url: String,
    /// The most bytes a request's body may have.
    pub body_limit: usize,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
}

impl Gateway {
    /// Makes the state of a gateway over a service.
    #[must_use]
    pub fn new(service: Arc<Service>, config: GatewayConfig) -> Self {
        Self { service, config: Arc::new(config), metrics: Arc::new(Metrics::new()) }
    }
}
