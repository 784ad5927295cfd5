//! A Nitro Secure Module that is none: for development on a machine without one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use assay_primitives::{Clock, Timestamp, printable};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, date_time_ymd,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};

use super::build;
use super::document::Document;
use crate::collect::{Attester, CollectError};
use crate::{DevelopmentRoot, Evidence, KeyBinding};

/// The subject of a simulated root.
const ROOT: &str = "Assay simulated Nitro root, for development";
/// How long a root is valid.
const ROOT_LIFE: Duration = Duration::from_secs(3_650 * 86_400);
/// How long a leaf is valid, as AWS's are.
const LEAF_LIFE: Duration = Duration::from_secs(3 * 3_600);
/// How long before they are made certificates are valid: clocks differ.
const LEEWAY: Duration = Duration::from_secs(300);

/// The root of a simulated Nitro PKI, with its key. Whatever ends at it is simulated.
#[derive(Debug)]
pub struct SimulatedNitroRoot {
    certificate: DevelopmentRoot,
    key: KeyPair,
}

/// A Nitro Secure Module that is none. Its documents are laid out and signed as the real one's, by
/// certificates that end at a [`SimulatedNitroRoot`].
#[derive(Debug)]
pub struct SimulatedNitro {
    root: SimulatedNitroRoot,
    module_id: String,
    /// PCR0 to PCR2.
    image: [u8; 48],
    clock: Arc<dyn Clock>,
}

impl SimulatedNitroRoot {
    /// Makes a root that is valid from now on.
    ///
    /// # Errors
    /// When no key or certificate can be made.
    pub fn generate(now: Timestamp) -> Result<Self, CollectError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(|e| failed(&e))?;
        let mut params = root_params();
        set_validity(&mut params, now.minus(LEEWAY), now.plus(ROOT_LIFE));
        let certificate = params.self_signed(&key).map_err(|e| failed(&e))?;
        let certificate = DevelopmentRoot::from_bytes(certificate.der());
        Ok(Self { certificate: certificate.map_err(|e| failed(&e))?, key })
    }

    /// Takes a root that was stored: its certificate in PEM, and its key in PEM.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, CollectError> {
        let certificate =
            DevelopmentRoot::from_bytes(certificate.as_bytes()).map_err(|e| failed(&e))?;
        let key = KeyPair::from_pem(key).map_err(|e| failed(&e))?;
        Ok(Self { certificate, key })
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
}

impl SimulatedNitro {
    /// Makes a module. `image` stands for what a real one measures of the enclave's image; it is
    /// PCR0 to PCR2.
    #[must_use]
    pub fn new(root: SimulatedNitroRoot, image: [u8; 48], clock: Arc<dyn Clock>) -> Self {
        let module_id = format!("simulated-enc{:08x}", std::process::id());
        Self { root, module_id, image, clock }
    }

    /// Signs a document as of now.
    pub(crate) fn sign(
        &self,
        user_data: &[u8],
        public_key: &[u8],
        nonce: Option<&[u8]>,
    ) -> Result<Evidence, CollectError> {
        let now = self.clock.now();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(|e| failed(&e))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&self.module_id);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        set_validity(&mut params, now.minus(LEEWAY), now.plus(LEAF_LIFE));
        let issuer = Issuer::new(root_params(), &self.root.key);
        let leaf = params.signed_by(&key, &issuer).map_err(|e| failed(&e))?;
        let image = self.image.as_slice();
        let document = Document {
            module_id: &self.module_id,
            timestamp: now,
            pcrs: BTreeMap::from([(0, image), (1, image), (2, image)]),
            certificate: leaf.der(),
            cabundle: vec![self.root.certificate.as_der()],
            public_key: Some(public_key),
            user_data: Some(user_data),
            nonce,
        };
        let random = SystemRandom::new();
        let pkcs8 = key.serialize_der();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &pkcs8, &random);
        let key = key.map_err(|e| failed(&e))?;
        let document = build::sign(&document, &key, &random).map_err(|e| failed(&e))?;
        Ok(Evidence::Nitro { document })
    }
}

impl Attester for SimulatedNitro {
    fn attest(&self, binding: &KeyBinding) -> Result<Evidence, CollectError> {
        self.sign(&binding.digest(), &binding.epoch_key, binding.nonce.as_deref())
    }
}

fn root_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(ROOT);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn set_validity(params: &mut CertificateParams, from: Timestamp, to: Timestamp) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from.as_seconds());
    params.not_after = epoch + Duration::from_secs(to.as_seconds());
}

fn failed(error: &impl std::fmt::Display) -> CollectError {
    CollectError::Answer {
        device: "simulated Nitro Secure Module",
        expected: "keys and certificates".to_owned(),
        got: printable(&error.to_string(), 128),
    }
}
