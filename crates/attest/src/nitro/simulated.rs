//! A Nitro Secure Module that is none: for development on a machine without one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use assay_primitives::Clock;
use rcgen::{KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};

use super::build;
use super::document::Document;
use crate::collect::ca::{RootKind, SimulatedDevice, SimulatedRoot, subject};
use crate::collect::{Attester, CollectError};
use crate::{Evidence, KeyBinding};

/// How long a leaf is valid, as AWS's are.
const LEAF_LIFE: Duration = Duration::from_secs(3 * 3_600);

/// The root of a simulated Nitro PKI, with its key. Whatever ends at it is simulated.
pub type SimulatedNitroRoot = SimulatedRoot<SimulatedNitro>;

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

impl SimulatedDevice for SimulatedNitro {
    const ROOT: RootKind = RootKind {
        subject: "Assay simulated Nitro root, for development",
        algorithm: &PKCS_ECDSA_P384_SHA384,
        device: "simulated Nitro Secure Module",
    };
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
        let key = KeyPair::generate_for(Self::ROOT.algorithm).map_err(|e| Self::ROOT.failed(&e))?;
        let mut params = subject(&self.module_id);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let leaf = self.root.issue(params, &key, (now, LEAF_LIFE))?;
        let image = self.image.as_slice();
        let document = Document {
            module_id: &self.module_id,
            timestamp: now,
            pcrs: BTreeMap::from([(0, image), (1, image), (2, image)]),
            certificate: &leaf,
            cabundle: vec![self.root.certificate().as_der()],
            public_key: Some(public_key),
            user_data: Some(user_data),
            nonce,
        };
        let random = SystemRandom::new();
        let pkcs8 = key.serialize_der();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &pkcs8, &random);
        let key = key.map_err(|e| Self::ROOT.failed(&e))?;
        let document = build::sign(&document, &key, &random).map_err(|e| Self::ROOT.failed(&e))?;
        Ok(Evidence::Nitro { document })
    }
}

impl Attester for SimulatedNitro {
    fn attest(&self, binding: &KeyBinding) -> Result<Evidence, CollectError> {
        self.sign(&binding.digest(), &binding.epoch_key, binding.nonce.as_deref())
    }
}
