//! The keys of epochs: made in memory, used for an epoch, forgotten.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use assay_attest::collect::Attester;
use assay_attest::{EnclaveConfiguration, KeyAttestation, KeyBinding};
use assay_primitives::{Clock, KeyId, Randomness, Timestamp};
use assay_receipt::SigningKey;
use tracing::info;

use crate::EnclaveError;

/// How far the clock may step back before the beginning of an epoch without a new one being begun.
const MAX_STEP: Duration = Duration::from_secs(60);
/// How many attestations are kept: whoever got an answer asks for that of its key a moment later.
const MAX_ATTESTATIONS: usize = 4;

/// A key with its attestation.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) key: SigningKey,
    pub(crate) binding: KeyBinding,
    pub(crate) attestation: Arc<Vec<u8>>,
}

/// The epoch that signs now.
#[derive(Debug)]
pub(crate) struct Epochs {
    configuration: EnclaveConfiguration,
    length: Duration,
    attester: Box<dyn Attester>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    state: Mutex<State>,
    /// Held while an epoch is begun, so that one alone is.
    beginning: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Arc<Epoch>>,
    /// Of this key and the ones before, whose private halves are gone.
    attestations: VecDeque<(KeyId, Arc<Vec<u8>>)>,
}

impl Epochs {
    pub(crate) fn new(
        configuration: EnclaveConfiguration,
        length: Duration,
        attester: Box<dyn Attester>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        let (state, beginning) = (Mutex::default(), Mutex::default());
        Self { configuration, length, attester, clock, randomness, state, beginning }
    }

    pub(crate) const fn configuration(&self) -> &EnclaveConfiguration {
        &self.configuration
    }

    /// Returns the epoch of now, and a time in it; begins one where there is none.
    pub(crate) fn now(&self) -> Result<(Arc<Epoch>, Timestamp), EnclaveError> {
        if let Some(found) = self.find() {
            return Ok(found);
        }
        let _beginning = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        match self.find() {
            Some(found) => Ok(found),
            None => self.begin(),
        }
    }

    /// Begins the next epoch if the one of now is past its middle: nobody has to wait for it then.
    pub(crate) fn renew(&self) -> Result<(), EnclaveError> {
        let is_young = || {
            self.find()
                .is_some_and(|(epoch, now)| now < epoch.binding.not_before.plus(self.length / 2))
        };
        if is_young() {
            return Ok(());
        }
        let _beginning = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        if is_young() {
            return Ok(());
        }
        self.begin().map(|_| ())
    }

    /// Collects new evidence for the key of now that answers a nonce.
    pub(crate) fn attest(&self, nonce: &[u8]) -> Result<Vec<u8>, EnclaveError> {
        let (epoch, _) = self.now()?;
        let binding = KeyBinding { nonce: Some(nonce.to_vec()), ..epoch.binding.clone() };
        self.collect(binding)
    }

    /// Returns the attestation of a key that signs or signed a moment ago.
    pub(crate) fn attestation_of(&self, key: KeyId) -> Option<Arc<Vec<u8>>> {
        let state = self.state();
        let found = state.attestations.iter().find(|(id, _)| *id == key);
        found.map(|(_, attestation)| attestation.clone())
    }

    /// Finds the epoch of now, and a time in it. A clock that was set back a little is waited for at
    /// the epoch's beginning.
    fn find(&self) -> Option<(Arc<Epoch>, Timestamp)> {
        let now = self.clock.now();
        let epoch = self.state().current.clone()?;
        let KeyBinding { not_before, not_after, .. } = epoch.binding;
        let is_behind = now < not_before && not_before.since(now) <= MAX_STEP;
        let now = if is_behind { not_before } else { now };
        (not_before <= now && now <= not_after).then_some((epoch, now))
    }

    /// Begins an epoch. What was before signs until it is over if no evidence is to be had.
    fn begin(&self) -> Result<(Arc<Epoch>, Timestamp), EnclaveError> {
        let now = self.clock.now();
        let key = SigningKey::generate(self.randomness.as_ref())
            .map_err(|error| EnclaveError::Internal(error.to_string()))?;
        let epoch = (now, now.plus(self.length));
        let binding = KeyBinding::new(key.public(), epoch, self.configuration.clone());
        let attestation = Arc::new(self.collect(binding.clone())?);
        let epoch = Arc::new(Epoch { key, binding, attestation });
        let id = epoch.key.public().id();
        info!(key = %id, until = %epoch.binding.not_after, "An epoch begins.");
        let mut state = self.state();
        state.current = Some(epoch.clone());
        state.attestations.push_front((id, epoch.attestation.clone()));
        state.attestations.truncate(MAX_ATTESTATIONS);
        Ok((epoch, now))
    }

    fn collect(&self, binding: KeyBinding) -> Result<Vec<u8>, EnclaveError> {
        let evidence = self.attester.attest(&binding)?;
        let attestation = KeyAttestation::new(binding, evidence);
        attestation.to_bytes().map_err(|error| EnclaveError::Internal(error.to_string()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
