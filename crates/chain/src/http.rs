use std::time::Duration;

use url::{Host, Url};

/// Makes `ring` the process's TLS cryptography, unless one was chosen already.
///
/// Every client that this crate and `assay-x402` build calls it first, so calling it is only
/// needed before building a client elsewhere.
pub fn install_tls_provider() {
    // An error means that a provider is installed already, which is as good.
    let _installed = rustls::crypto::ring::default_provider().install_default();
}

/// Builds an HTTP client for talking to `url`: time-outs on connecting and on the whole exchange,
/// no redirects (a redirected payment is a payment elsewhere), no proxy to loopback.
///
/// # Errors
/// When the system's TLS configuration cannot be used.
pub fn http_client(
    url: &Url,
    connect_timeout: Duration,
    timeout: Duration,
) -> Result<reqwest::Client, reqwest::Error> {
    install_tls_provider();
    let builder = reqwest::Client::builder()
        .connect_timeout(connect_timeout)
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(url) { builder.no_proxy().build() } else { builder.build() }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
