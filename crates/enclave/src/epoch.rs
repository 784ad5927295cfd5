//! The keys of epochs: made in memory, used for an epoch, forgotten.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assay_attest::collect::Attester;
use assay_attest::{EnclaveConfiguration, KEY_ATTESTATION_MEDIA_TYPE, KeyAttestation, KeyBinding};
use assay_primitives::{Clock, Randomness, Timestamp};
use assay_receipt::SigningKey;
use tracing::info;

use crate::EnclaveError;

/// A key with its attestation.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) key: SigningKey,
    pub(crate) binding: KeyBinding,
    pub(crate) attestation: Vec<u8>,
}

/// The epoch that signs now.
#[derive(Debug)]
pub(crate) struct Epochs {
    configuration: EnclaveConfiguration,
    length: Duration,
    attester: Box<dyn Attester>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    current: Mutex<Option<Arc<Epoch>>>,
    /// Held while an epoch is begun, so that one alone is.
    beginning: Mutex<()>,
}

impl Epochs {
    pub(crate) fn new(
        configuration: EnclaveConfiguration,
        length: Duration,
        attester: Box<dyn Attester>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        let (current, beginning) = (Mutex::default(), Mutex::default());
        Self { configuration, length, attester, clock, randomness, current, beginning }
    }

    pub(crate) const fn configuration(&self) -> &EnclaveConfiguration {
        &self.configuration
    }

    /// Returns the epoch of now, and the time; begins one where there is none.
    pub(crate) fn now(&self) -> Result<(Arc<Epoch>, Timestamp), EnclaveError> {
        let now = self.clock.now();
        if let Some(epoch) = self.find(now) {
            return Ok((epoch, now));
        }
        let _beginning = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        match self.find(now) {
            Some(epoch) => Ok((epoch, now)),
            None => Ok((self.begin(now)?, now)),
        }
    }

    /// Begins the next epoch if the one of now is past its middle: nobody has to wait for it then.
    pub(crate) fn renew(&self) -> Result<(), EnclaveError> {
        let now = self.clock.now();
        let is_young = |epoch: &Epoch| now < epoch.binding.not_before.plus(self.length / 2);
        if self.find(now).is_some_and(|epoch| is_young(&epoch)) {
            return Ok(());
        }
        let _beginning = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin(now).map(|_| ())
    }

    /// Collects new evidence for the key of now that answers a nonce.
    pub(crate) fn attest(&self, nonce: &[u8]) -> Result<Vec<u8>, EnclaveError> {
        let (epoch, _) = self.now()?;
        let binding = KeyBinding { nonce: Some(nonce.to_vec()), ..epoch.binding.clone() };
        self.collect(binding)
    }

    fn find(&self, now: Timestamp) -> Option<Arc<Epoch>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let is_now =
            |epoch: &&Arc<Epoch>| epoch.binding.not_before <= now && now <= epoch.binding.not_after;
        current.as_ref().filter(is_now).cloned()
    }

    fn begin(&self, now: Timestamp) -> Result<Arc<Epoch>, EnclaveError> {
        let key = SigningKey::generate(self.randomness.as_ref())
            .map_err(|error| EnclaveError::Internal(error.to_string()))?;
        let binding = KeyBinding {
            epoch_key: key.public().as_der().to_vec(),
            hpke_key: None,
            tls_key: None,
            not_before: now,
            not_after: now.plus(self.length),
            configuration: self.configuration.clone(),
            beacon: None,
            nonce: None,
        };
        let attestation = self.collect(binding.clone())?;
        let epoch = Arc::new(Epoch { key, binding, attestation });
        info!(key = %epoch.key.public().id(), until = %epoch.binding.not_after, "An epoch begins.");
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(epoch.clone());
        Ok(epoch)
    }

    fn collect(&self, binding: KeyBinding) -> Result<Vec<u8>, EnclaveError> {
        let evidence = self.attester.attest(&binding)?;
        let attestation = KeyAttestation {
            media_type: KEY_ATTESTATION_MEDIA_TYPE.to_owned(),
            binding,
            evidence,
            gpus: Vec::new(),
        };
        attestation.to_bytes().map_err(|error| EnclaveError::Internal(error.to_string()))
    }
}
