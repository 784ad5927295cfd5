//! Whom evidence may end at.

use assay_primitives::{Digest, printable};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use thiserror::Error;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::{EvidenceKind, Trust, x509};

/// SHA-256 of the roots of the vendors, as certificates in DER.
const VENDORS: &[(EvidenceKind, &str)] = &[
    // aws.nitro-enclaves, "AWS Nitro Enclaves root certificate" G1, until 2049-10-28.
    (EvidenceKind::Nitro, "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"),
    // ARK-Milan, until 2045-10-22; ARK-Genoa, until 2047-01-26; ARK-Turin, until 2048-05-15.
    (EvidenceKind::Snp, "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd"),
    (EvidenceKind::Snp, "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1"),
    (EvidenceKind::Snp, "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a"),
    // "NVIDIA Device Identity CA", without an end.
    (EvidenceKind::Nvidia, "102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48"),
    // Intel SGX Root CA, which signs for TDX, too; until 2049-12-31.
    (EvidenceKind::Tdx, INTEL),
    (EvidenceKind::Sgx, INTEL),
    // Google LLC, Google Cloud, "EK/AK CA Root", until 2122-07-08: the vTPMs of Compute Engine.
    (EvidenceKind::Tpm, "594759594b9b61524f6c8ef668f7177f7b9066bc0674f2f49fe9e052be78beb2"),
    // Microsoft, "Azure Virtual TPM Root Certificate Authority 2023", until 2048-06-01.
    (EvidenceKind::Tpm, "e6c596b17f8ffefba5c300f714cfb1260c6028704ecf7becc4ab5018efb00e95"),
];

const INTEL: &str = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3";

/// The most bytes of a root.
const MAX_ROOT: usize = 8 << 10;

/// The roots that evidence may end at: the vendors', which are pinned here, and such as were passed by
/// hand for development. What ends at one of the latter is simulated, whatever it says.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    development: Vec<DevelopmentRoot>,
}

/// A root for development: a software TPM's CA, a simulated Nitro PKI.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DevelopmentRoot {
    der: Vec<u8>,
}

/// A root that cannot be used.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("development root: {0}")]
pub struct RootError(String);

/// Returns the kinds of evidence that may end at a certificate, as the vendors' roots are pinned.
pub(crate) fn pinned_for(der: &[u8]) -> Vec<EvidenceKind> {
    let digest = Digest::of(der).to_string();
    VENDORS.iter().filter(|(_, pin)| *pin == digest).map(|(kind, _)| *kind).collect()
}

impl DevelopmentRoot {
    /// Reads a certificate in PEM or DER.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RootError> {
        if bytes.len() > MAX_ROOT {
            return Err(RootError(format!(
                "expected at most {MAX_ROOT} bytes, got {}",
                bytes.len()
            )));
        }
        let der = match CertificateDer::from_pem_slice(bytes) {
            Ok(der) => der.to_vec(),
            Err(_) => bytes.to_vec(),
        };
        Certificate::from_der(&der)
            .map_err(|error| RootError(printable(&error.to_string(), 128)))?;
        Ok(Self { der })
    }

    /// Returns the certificate in DER.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the certificate in PEM (RFC 7468).
    #[must_use]
    pub fn to_pem(&self) -> String {
        x509::to_pem(&self.der)
    }
}

impl Roots {
    /// Returns the vendors' roots alone.
    #[must_use]
    pub fn vendors() -> Self {
        Self::default()
    }

    /// Adds a root for development.
    #[must_use]
    pub fn with_development(mut self, root: DevelopmentRoot) -> Self {
        self.development.push(root);
        self
    }

    /// Returns the roots for development.
    #[must_use]
    pub fn development(&self) -> &[DevelopmentRoot] {
        &self.development
    }

    /// Says whose root a certificate is, for evidence of a kind.
    pub(crate) fn find(&self, kind: EvidenceKind, der: &[u8]) -> Option<Trust> {
        let digest = Digest::of(der).to_string();
        if VENDORS.iter().any(|(of, pin)| *of == kind && *pin == digest) {
            return Some(Trust::Vendor);
        }
        let is_development = self.development.iter().any(|root| root.der == der);
        is_development.then_some(Trust::Development)
    }

    /// Returns the digests that a root of a kind may have, in words.
    pub(crate) fn expected(&self, kind: EvidenceKind) -> String {
        let pins = VENDORS.iter().filter(|(of, _)| *of == kind).map(|(_, pin)| (*pin).to_owned());
        let development = self.development.iter().map(|root| Digest::of(&root.der).to_string());
        let all: Vec<String> = pins.chain(development.take(4)).collect();
        format!("a root with SHA-256 {}", all.join(" or "))
    }
}
