use std::sync::Arc;
use std::time::Duration;

use assay_service::Service;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;

/// How many requests of the greatest length are received at a time.
const LARGEST_REQUESTS: usize = 64;

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct Gateway {
    pub(crate) service: Arc<Service>,
    pub(crate) config: Arc<GatewayConfig>,
    pub(crate) metrics: Arc<Metrics>,
    /// Room for the bodies that are being received, in KiB of what has come.
    pub(crate) room: Arc<Semaphore>,
}

/// The operator's choices about HTTP.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// How clients reach this gateway: the beginning of the `resource` in a 402. A slash at its end
    /// does not count.
    pub public_url: String,
    /// The most bytes a request's body may have.
    pub body_limit: usize,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
}

impl Gateway {
    /// Makes the state of a gateway over a service.
    #[must_use]
    pub fn new(service: Arc<Service>, mut config: GatewayConfig) -> Self {
        let slashes = config.public_url.trim_end_matches('/').len();
        config.public_url.truncate(slashes);
        let room = kibibytes(config.body_limit).saturating_mul(LARGEST_REQUESTS);
        let metrics = Arc::new(Metrics::new(service.metrics()));
        Self {
            service,
            config: Arc::new(config),
            metrics,
            room: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
        }
    }
}

/// Returns a number of bytes in KiB, rounded up.
pub(crate) const fn kibibytes(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}
