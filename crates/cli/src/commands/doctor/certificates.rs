//! Certificates of the services that are reached over TLS: they verify, as the clients of this program
//! verify them, and for how many days still.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Patient;
use super::report::Report;
use crate::error::Plain;

/// How many days before its end a certificate is spoken of.
const SOON: u64 = 14;
/// No certificate is looked further ahead at: about ten years.
const MOST_DAYS: u64 = 3_650;
const DAY: Duration = Duration::from_secs(86_400);
/// How long connection and handshake may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A certificate that was not shown, or does not hold.
enum Fault {
    Unreachable(String),
    Refused(String),
}

/// Verifies as the platform does, and finds out for how many days more it would.
#[derive(Debug)]
struct Foresight {
    platform: rustls_platform_verifier::Verifier,
    days: Mutex<Option<u64>>,
}

pub(super) async fn all(patient: &Patient, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for (setting, url) in super::services(&patient.config) {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            continue;
        };
        if url.scheme() != "https" || !seen.insert((host.to_owned(), port)) {
            continue;
        }
        let looked = tokio::time::timeout(ANSWER, days_left(host, port)).await;
        let looked =
            looked.unwrap_or_else(|_| Err(Fault::Unreachable("no answer in time".to_owned())));
        tell(report, setting, host, looked);
    }
}

fn tell(report: &mut Report, setting: &str, host: &str, looked: Result<u64, Fault>) {
    match looked {
        Ok(days) if days < SOON => report.warning(
            "certificate",
            format!("{setting}: {host} verifies for {days} days more"),
            "renew it, and see why it was not renewed by itself",
        ),
        Ok(days) => {
            report.ok("certificate", format!("{setting}: {host} verifies for {days} days more"));
        }
        Err(Fault::Refused(error)) => report.wrong(
            "certificate",
            format!("{setting}: {host}: {error}"),
            "a certificate for this name, with its whole chain, by an authority this machine trusts",
        ),
        Err(Fault::Unreachable(error)) => report.warning(
            "certificate",
            format!("{setting}: {host} cannot be looked at from here: {error}"),
            "look from elsewhere, where a firewall or proxy is the reason",
        ),
    }
}

/// Returns for how many days the certificate that a service shows verifies.
async fn days_left(host: &str, port: u16) -> Result<u64, Fault> {
    let refused = |error: rustls::Error| Fault::Refused(error.to_string());
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|error| Fault::Refused(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let platform = rustls_platform_verifier::Verifier::new(provider.clone()).map_err(refused)?;
    let foresight = Arc::new(Foresight { platform, days: Mutex::new(None) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .dangerous()
        .with_custom_certificate_verifier(foresight.clone())
        .with_no_client_auth();
    let unreachable = |error: &std::io::Error| Fault::Unreachable(Plain(error).to_string());
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port));
    let stream = stream.await.map_err(|error| unreachable(&error))?;
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(_) => Ok(foresight.days().unwrap_or(0)),
        // Refused by the verifier, or by the service after it.
        Err(error) => match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
            Some(error) => Err(Fault::Refused(error.to_string())),
            None => Err(unreachable(&error)),
        },
    }
}

impl Foresight {
    fn days(&self) -> Option<u64> {
        *self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds the last day on which something that ends once still holds, by halving.
fn last_day(holds_on: impl Fn(u64) -> bool) -> u64 {
    let (mut holds, mut ended) = (0, MOST_DAYS + 1);
    while ended - holds > 1 {
        let middle = holds + (ended - holds) / 2;
        if holds_on(middle) {
            holds = middle;
        } else {
            ended = middle;
        }
    }
    holds
}

impl ServerCertVerifier for Foresight {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verify = |day: u64| {
            let at = Duration::from_secs(now.as_secs())
                .saturating_add(DAY.saturating_mul(u32::try_from(day).unwrap_or(u32::MAX)));
            let at = UnixTime::since_unix_epoch(at);
            let platform = &self.platform;
            platform.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at)
        };
        let verified = verify(0)?;
        let days = last_day(|day| verify(day).is_ok());
        *self.days.lock().unwrap_or_else(PoisonError::into_inner) = Some(days);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.platform.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.platform.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.platform.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_is_found() {
        for last in [0, 1, 13, 14, 89, MOST_DAYS] {
            assert_eq!(last_day(|day| day <= last), last);
        }
        assert_eq!(last_day(|_| true), MOST_DAYS);
    }
}
