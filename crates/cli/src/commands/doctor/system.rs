//! What the machine gives the process.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use super::Patient;
use super::report::Report;
use crate::error::Plain;

/// As many connections as the gateway takes at a time.
const OPEN_FILES: u64 = 4_096;
/// How long a gateway may take to say that it runs.
const ANSWER: Duration = Duration::from_secs(5);

#[cfg(unix)]
pub(super) fn open_files(report: &mut Report) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(limit) if limit < OPEN_FILES => report.warning(
            "open files",
            format!("at most {limit}, so fewer connections than the {OPEN_FILES} that are taken"),
            format!("`ulimit -n {OPEN_FILES}` before the start, or LimitNOFILE= of the service"),
        ),
        Some(limit) => report.ok("open files", format!("at most {limit}")),
        None => report.ok("open files", "without a limit"),
    }
}

#[cfg(not(unix))]
pub(super) fn open_files(_: &mut Report) {}

/// Looks whether the addresses can be listened on: the gateway's, and the development chain's where
/// one would be started.
pub(super) async fn listen(patient: &Patient, report: &mut Report) {
    let config = &patient.config;
    let is_healthy = patient.is_running && answers(config.listen, "/v2/health/live").await;
    address(report, "listen", "`listen` or ASSAY_LISTEN", config.listen, is_healthy);
    if config.chain.rpc_url.is_none() {
        let setting = "chain.devchain_listen or ASSAY_DEVCHAIN_LISTEN";
        let listen = config.chain.devchain_listen;
        address(report, "devchain", setting, listen, patient.is_running);
    }
    if config.listen.ip().is_unspecified() && config.public_url.is_none() {
        report.warning(
            "public url",
            format!("not set, so payers are told of http://{}", config.listen),
            "public_url (ASSAY_PUBLIC_URL): the URL by which clients reach the gateway",
        );
    }
}

/// A gateway that is reached over TLS stands behind a proxy: without its word every client looks like
/// the proxy, and one on this machine is not limited at all.
pub(super) fn proxies(patient: &Patient, report: &mut Report) {
    let config = &patient.config;
    let is_proxied = config.public_url.as_deref().is_some_and(|url| url.starts_with("https:"));
    let trusted = &config.clients.trusted_proxies;
    if !trusted.is_empty() {
        let found = format!("the word of {} is taken", trusted.join(", "));
        report.ok("proxies", found);
    } else if is_proxied {
        report.warning(
            "proxies",
            "public_url is https, so a proxy stands before the gateway, and none is trusted: all \
             clients are taken for one, or for this machine",
            "clients.trusted_proxies (ASSAY_TRUSTED_PROXIES): the proxy's address",
        );
    }
}

fn address(
    report: &mut Report,
    check: &'static str,
    setting: &str,
    address: SocketAddr,
    is_ours: bool,
) {
    if address.port() == 0 {
        return report.ok(check, format!("{address}: any free port"));
    }
    match TcpListener::bind(address) {
        Ok(_) => report.ok(check, format!("{address} is free")),
        Err(_) if is_ours => {
            report.ok(check, format!("{address} is held by the gateway that runs"));
        }
        Err(error) => report.wrong(
            check,
            format!("{address} cannot be had: {}", Plain(&error)),
            format!("stop what is there, or choose another address by {setting}"),
        ),
    }
}

/// Says whether the gateway at an address of this machine answers.
async fn answers(address: SocketAddr, path: &str) -> bool {
    let mut here = address;
    if here.ip().is_unspecified() {
        here.set_ip(match here {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let Ok(url) = url::Url::parse(&format!("http://{here}{path}")) else { return false };
    let Ok(http) = assay_chain::http_client(&url, ANSWER, ANSWER) else { return false };
    http.get(url).send().await.is_ok_and(|response| response.status().is_success())
}
