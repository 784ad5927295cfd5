//! A certification authority that vouches for devices which are none.

use std::marker::PhantomData;
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

/// A device that is none, whose keys a root certifies. There are those of this crate, as nobody else
/// can make a `RootKind`.
pub trait SimulatedDevice {
    /// What its root is.
    const ROOT: RootKind;
}

/// What a root is of.
#[derive(Clone, Copy, Debug)]
pub struct RootKind {
    /// Its subject.
    pub(crate) subject: &'static str,
    /// What it signs with.
    pub(crate) algorithm: &'static SignatureAlgorithm,
    /// The device that is none.
    pub(crate) device: &'static str,
}

/// The root of a simulated PKI, with its key. Whatever ends at it is simulated.
#[derive(Debug)]
pub struct SimulatedRoot<D> {
    certificate: DevelopmentRoot,
    key: KeyPair,
    device: PhantomData<fn(D)>,
}

impl<D: SimulatedDevice> SimulatedRoot<D> {
    /// Makes a root that is valid from now on.
    ///
    /// # Errors
    /// When no key or certificate can be made.
    pub fn generate(now: Timestamp) -> Result<Self, CollectError> {
        let kind = D::ROOT;
        let key = KeyPair::generate_for(kind.algorithm).map_err(|e| kind.failed(&e))?;
        let mut params = kind.params();
        set_validity(&mut params, now, ROOT_LIFE);
        let certificate = params.self_signed(&key).map_err(|e| kind.failed(&e))?;
        let certificate = DevelopmentRoot::from_bytes(certificate.der());
        let certificate = certificate.map_err(|e| kind.failed(&e))?;
        Ok(Self { certificate, key, device: PhantomData })
    }

    /// Takes a root that was stored: its certificate in PEM, and its key in PEM.
    ///
    /// # Errors
    /// When they cannot be read, or are not one another's, or not of this device.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, CollectError> {
        let kind = D::ROOT;
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
        Ok(Self { certificate, key, device: PhantomData })
    }

    /// Returns the certificate.
    #[must_use]
    pub const fn certificate(&self) -> &DevelopmentRoot {
        &self.certificate
    }

    /// Returns the key in PEM, to be stored.
    #[must_use]
    pub fn key_to_pem(&self) -> String {
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
        let issuer = Issuer::new(D::ROOT.params(), &self.key);
        let leaf = params.signed_by(key, &issuer).map_err(|e| D::ROOT.failed(&e))?;
        Ok(leaf.der().to_vec())
    }
}

impl RootKind {
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
