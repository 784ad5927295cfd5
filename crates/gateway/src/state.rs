use std::sync::Arc;
use std::time::Duration;

use assay_service::Service;
use axum::http::Uri;
use tokio::sync::Semaphore;

use crate::TrustedProxies;
use crate::metrics::Metrics;
use crate::quota::Quotas;

/// How many requests of the greatest length are received at a time.
const LARGEST_REQUESTS: usize = 64;

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct Gateway {
    pub(crate) service: Arc<Service>,
    pub(crate) config: Arc<GatewayConfig>,
    /// Host and port that clients reach this gateway at: what a payer signs in to.
    pub(crate) domain: Arc<str>,
    pub(crate) metrics: Arc<Metrics>,
    /// Room for the bodies that are being received, in KiB of what has come.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) quotas: Arc<Quotas>,
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
    /// What a client may take before it pays.
    pub clients: ClientLimits,
}

/// What a client may take before it pays. This machine's own programs are not limited.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientLimits {
    /// How many requests without a payment an address may send a second in the long run; ten times as
    /// many at once. Any number when 0.
    pub questions_per_second: u32,
    /// The same for requests with a payment, good or not.
    pub payments_per_second: u32,
    /// How many connections an address may have. Any number when 0.
    pub connections: usize,
    /// How long an answer may wait for a client that does not read on.
    pub read_timeout: Duration,
    /// Whose word is taken on where a request came from.
    pub proxies: TrustedProxies,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            questions_per_second: 50,
            payments_per_second: 500,
            connections: 256,
            read_timeout: Duration::from_secs(30),
            proxies: TrustedProxies::default(),
        }
    }
}

impl Gateway {
    /// Makes the state of a gateway over a service.
    #[must_use]
    pub fn new(service: Arc<Service>, mut config: GatewayConfig) -> Self {
        let slashes = config.public_url.trim_end_matches('/').len();
        config.public_url.truncate(slashes);
        let room = kibibytes(config.body_limit).saturating_mul(LARGEST_REQUESTS);
        let metrics = Arc::new(Metrics::new(service.metrics()));
        let parts = service.parts();
        let quotas = Quotas::new(&config.clients, &parts.clock, parts.randomness.as_ref());
        Self {
            quotas: Arc::new(quotas),
            service,
            domain: domain(&config.public_url).into(),
            config: Arc::new(config),
            metrics,
            room: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
        }
    }
}

/// Returns host and port of a URL, without the port that its scheme has by itself.
fn domain(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else { return String::new() };
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    match uri.port_u16() {
        Some(port) if port != default => format!("{host}:{port}"),
        _ => host,
    }
}

/// Returns a number of bytes in KiB, rounded up.
pub(crate) const fn kibibytes(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payers_sign_in_to_host_and_port() {
        for (url, expected) in [
            ("https://seller.example", "seller.example"),
            ("https://Seller.Example:443/assay", "seller.example"),
            ("http://127.0.0.1:8402", "127.0.0.1:8402"),
            ("http://[::1]:80", "[::1]"),
            ("https://seller.example:80", "seller.example:80"),
            ("nothing at all", ""),
        ] {
            assert_eq!(domain(url), expected, "{url}");
        }
    }
}
