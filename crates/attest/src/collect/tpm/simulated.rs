//! Who vouches for a software TPM's key, in development.

use std::time::Duration;

use assay_primitives::Timestamp;
use rcgen::{
    ExtendedKeyUsagePurpose, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    SignatureAlgorithm,
};

use super::P256_INFO;
use crate::collect::CollectError;
use crate::collect::ca::{RootKind, SimulatedDevice, SimulatedRoot, subject};

/// How long the certificate of a key is valid: longer than any process runs that asked for it.
const LEAF_LIFE: Duration = Duration::from_secs(3_650 * 86_400);
/// tcg-kp-AIKCertificate.
const AIK_CERTIFICATE: [u64; 5] = [2, 23, 133, 8, 3];

/// The root that vouches for the keys of software TPMs, with its key. Whatever ends at it is simulated.
pub type SimulatedTpmRoot = SimulatedRoot<SimulatedTpm>;

/// A software TPM.
#[derive(Debug)]
pub enum SimulatedTpm {}

impl SimulatedDevice for SimulatedTpm {
    const ROOT: RootKind = RootKind {
        subject: "Assay simulated TPM root, for development",
        algorithm: &PKCS_ECDSA_P256_SHA256,
        device: "simulated TPM root",
    };
}

impl SimulatedTpmRoot {
    /// Certifies an attestation key of P-256, a SubjectPublicKeyInfo in DER.
    pub(super) fn certify(&self, key: &[u8], now: Timestamp) -> Result<Vec<u8>, CollectError> {
        let mut params = subject("Attestation key of a software TPM");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(AIK_CERTIFICATE.to_vec())];
        // The point, and the byte before it that says that it is uncompressed.
        let point = key.get(P256_INFO.len() - 1..).unwrap_or_default().to_vec();
        self.issue(params, &Point(point), (now, LEAF_LIFE))
    }
}

/// A point of P-256 as a certificate has it.
struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}
