//! Attesters: where evidence comes from, on the machine that it is of.

pub(crate) mod ca;
#[cfg(target_os = "linux")]
mod nsm;
pub mod tpm;
mod tsm;

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;

use assay_primitives::printable;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use thiserror::Error;

pub use self::ca::{SimulatedDevice, SimulatedRoot};
#[cfg(target_os = "linux")]
pub use self::nsm::Nsm;
pub use self::tsm::Tsm;
pub use crate::nitro::{SimulatedNitro, SimulatedNitroRoot};
use crate::{Evidence, KeyBinding, Refusal};

/// Collects evidence that binds a key (RFC 9334, "attester").
pub trait Attester: Debug + Send + Sync {
    /// Collects evidence. It takes as long as the device does.
    ///
    /// # Errors
    /// When the device is not there or fails; it is said what was looked for.
    fn attest(&self, binding: &KeyBinding) -> Result<Evidence, CollectError>;
}

/// Evidence that cannot be collected.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CollectError {
    /// There is no such device here.
    #[error("no {what} here: {path} is not there")]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The device cannot be used.
    #[error("{path}: {error}")]
    Device {
        /// The device, or its file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The device answers what it should not.
    #[error("{device}: expected {expected}, got {got}")]
    Answer {
        /// The device.
        device: &'static str,
        /// What it should answer.
        expected: String,
        /// What it answers.
        got: String,
    },
    /// A program that stands for a device is not there.
    #[error("{program} is not installed: `apt-get install {package}`")]
    NotInstalled {
        /// The program.
        program: &'static str,
        /// What Debian calls its package.
        package: &'static str,
    },
    /// The certificates of the device's key are not those that it takes.
    #[error("certificates of the {device}: expected {expected}, got {got}")]
    Certificates {
        /// The device.
        device: &'static str,
        /// Which it takes.
        expected: String,
        /// Which are there.
        got: String,
    },
    /// The TPM cannot be used.
    #[error(transparent)]
    Tpm(#[from] tpm::TpmError),
    /// What the device gave cannot be read as evidence.
    #[error(transparent)]
    Evidence(#[from] Refusal),
}

/// The most certificates that vouch for a device's key.
const MAX_CERTIFICATES: usize = 8;

/// Reads the certificates that vouch for a device's key, in PEM, from its own to the root.
///
/// # Errors
/// When there are none, or more than eight.
pub fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, CollectError> {
    let wrong = |got: String| CollectError::Certificates {
        device: "device",
        expected: format!("1 to {MAX_CERTIFICATES} in PEM"),
        got,
    };
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem).take(MAX_CERTIFICATES + 1) {
        let error = |error: rustls_pki_types::pem::Error| printable(&error.to_string(), 128);
        certificates.push(certificate.map_err(|e| wrong(error(e)))?.to_vec());
    }
    match certificates.len() {
        1..=MAX_CERTIFICATES => Ok(certificates),
        count => Err(wrong(count.to_string())),
    }
}
