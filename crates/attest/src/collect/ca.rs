//! A certification authority that vouches for devices which are none.

use std::time::Duration;

use assay_primitives::{Timestamp, printable};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SignatureAlgorithm, date_time_ymd,
};

use super::CollectError;
use crate::{DevelopmentRoot, x509};

/// How long a root is valid.
const ROOT_LIFE: Duration = Duration::from_secs(3_650 * 86_400);
/// How long before they are made certificates are valid: clocks differ.
const LEEWAY: Duration = Duration::from_secs(300);

/// What a root is of.
#[derive(Debug)]
pub(crate) struct CaKind {
    /// Its subject.
    pub(crate) subject: &'static str,
    /// What it signs with.
    pub(crate) algorithm: &'static SignatureAlgorithm,
    /// The device that is none.
    pub(crate) device: &'static str,
}

/// A root for development, with its key.
#[derive(Debug)]
pub(crate) struct Ca {
    kind: &'static CaKind,
    certificate: DevelopmentRoot,
    key: KeyPair,
}

impl Ca {
    /// Makes a root that is valid from now on.
    pub(crate) fn generate(kind: &'static CaKind, now: Timestamp) -> Result<Self, CollectError> {
        let key = KeyPair::generate_for(kind.algorithm).map_err(|e| kind.failed(&e))?;
        let mut params = kind.params();
        set_validity(&mut params, now, ROOT_LIFE);
        let certificate = params.self_signed(&key).map_err(|e| kind.failed(&e))?;
        let certificate = DevelopmentRoot::from_bytes(certificate.der());
        Ok(Self { kind, certificate: certificate.map_err(|e| kind.failed(&e))?, key })
    }

    /// Takes a root that was stored.
    pub(crate) fn from_pem(
        kind: &'static CaKind,
        certificate: &str,
        key: &str,
    ) -> Result<Self, CollectError> {
        let certificate = DevelopmentRoot::from_bytes(certificate.as_bytes());
        let certificate = certificate.map_err(|e| kind.failed(&e))?;
        let key = KeyPair::from_pem(key).map_err(|e| kind.failed(&e))?;
        let read = x509::read(certificate.as_der())?;
        let info = read.tbs_certificate().subject_public_key_info();
        let is_its = info.subject_public_key.raw_bytes() == key.public_key_raw();
        // Its comma is escaped (RFC 4514, section 2.4).
        let subject = x509::name(&read).replace('\\', "");
        if !is_its || subject != format!("CN={}", kind.subject) {
            return Err(CollectError::Certificates {
                device: kind.device,
                expected: format!("a root `CN={}` with its key", kind.subject),
                got: format!("`{subject}` with {} key", if is_its { "its" } else { "another" }),
            });
        }
        Ok(Self { kind, certificate, key })
    }

    pub(crate) const fn certificate(&self) -> &DevelopmentRoot {
        &self.certificate
    }

    pub(crate) fn key_to_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Certifies a device's key, from now on; returns the certificate in DER.
    pub(crate) fn issue(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
        (now, life): (Timestamp, Duration),
    ) -> Result<Vec<u8>, CollectError> {
        set_validity(&mut params, now, life);
        let issuer = Issuer::new(self.kind.params(), &self.key);
        let leaf = params.signed_by(key, &issuer).map_err(|e| self.kind.failed(&e))?;
        Ok(leaf.der().to_vec())
    }
}

impl CaKind {
    fn params(&self) -> CertificateParams {
        let mut params = subject(self.subject);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
    }

    /// Makes an error of a device that is none.
    pub(crate) fn failed(&self, error: &impl std::fmt::Display) -> CollectError {
        CollectError::Answer {
            device: self.device,
            expected: "keys and certificates".to_owned(),
            got: printable(&error.to_string(), 128),
        }
    }
}

/// Returns the parameters of a certificate of a subject.
pub(crate) fn subject(common: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    params
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, life: Duration) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.minus(LEEWAY).as_seconds());
    params.not_after = epoch + Duration::from_secs(now.plus(life).as_seconds());
}
