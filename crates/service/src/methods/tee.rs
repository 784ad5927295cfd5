use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use assay_attest::{KEY_ATTESTATION_MEDIA_TYPE, KeyAttestation};
use assay_enclave::{Address, Client, ClientError, Inferred};
use assay_primitives::{Digest, InferenceOutput, KeyId, Method};
use assay_receipt::DSSE_MEDIA_TYPE;
use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::{Certified, CertifiedEvidence, Certifier, CertifierError, Inference};

/// How many jobs are in hand for each that runs.
const IN_HAND_FOR_EACH: usize = 8;
/// How many ask for evidence of their own at a time.
const MAX_ATTESTING: usize = 2;
/// How many attestations are kept for each enclave: of the key before, of the key now.
const MAX_ATTESTATIONS: usize = 4;

/// The `tee` method: an attested enclave runs the model and signs what it ran.
///
/// Nothing is believed here of what an enclave says: its evidence is verified with the receipt, as a
/// buyer will.
#[derive(Debug)]
pub struct Tee {
    enclaves: Vec<Arc<Enclave>>,
    next: AtomicUsize,
    parallel: usize,
    permits: Arc<Semaphore>,
    /// Devices are slow, and asking them costs nothing.
    attesting: Semaphore,
}

/// An enclave and the attestations that it gave.
#[derive(Debug)]
struct Enclave {
    client: Client,
    attestations: Mutex<Vec<(KeyId, CertifiedEvidence)>>,
}

impl Tee {
    /// Makes the certifier of enclaves, which all have the same models; at most `parallel` inferences
    /// run at a time.
    #[must_use]
    pub fn new(enclaves: Vec<Client>, parallel: usize) -> Self {
        let parallel = parallel.max(1);
        let enclave = |client| Arc::new(Enclave { client, attestations: Mutex::default() });
        Self {
            enclaves: enclaves.into_iter().map(enclave).collect(),
            next: AtomicUsize::new(0),
            parallel,
            permits: Arc::new(Semaphore::new(parallel)),
            attesting: Semaphore::new(MAX_ATTESTING),
        }
    }

    /// Returns the enclaves, beginning with the one whose turn it is.
    fn in_turn(&self) -> impl Iterator<Item = &Arc<Enclave>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.enclaves.len();
        self.enclaves.iter().cycle().skip(first.checked_rem(count).unwrap_or(0)).take(count)
    }
}

#[async_trait]
impl Certifier for Tee {
    fn method(&self) -> Method {
        Method::TEE
    }

    fn believe(&self) -> &'static str {
        "the maker of the hardware, and the code that was measured in the enclave"
    }

    fn slots(&self) -> usize {
        self.parallel.saturating_mul(IN_HAND_FOR_EACH)
    }

    async fn certify(&self, inference: &Inference) -> Result<Certified, CertifierError> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| CertifierError::Interrupted)?;
        let enclaves: Vec<Arc<Enclave>> = self.in_turn().cloned().collect();
        let inference = inference.clone();
        let certified = spawn_blocking(move || {
            let certified = run(&enclaves, &inference);
            drop(permit);
            certified
        });
        certified.await.map_err(|_| CertifierError::Interrupted)?
    }

    async fn attestation(&self, nonce: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, CertifierError> {
        let _turn = match nonce {
            Some(_) => Some(self.attesting.try_acquire().map_err(|_| CertifierError::Busy)?),
            None => None,
        };
        let Some(enclave) = self.in_turn().next().cloned() else { return Ok(None) };
        let asked = spawn_blocking(move || match nonce {
            Some(nonce) => enclave.client.attest(&nonce),
            None => enclave.client.attestation(),
        });
        let answer = asked.await.map_err(|_| CertifierError::Interrupted)?;
        answer.map(Some).map_err(|error| unavailable(error.to_string()))
    }
}

/// Has the first enclave that can be reached run the model.
fn run(enclaves: &[Arc<Enclave>], inference: &Inference) -> Result<Certified, CertifierError> {
    let request = inference.request.to_bytes().map_err(|error| failed(error.to_string()))?;
    let mut last = unavailable("there is no enclave".to_owned());
    for enclave in enclaves {
        let model = inference.entry.package().id();
        match enclave.client.infer(model, inference.salts, request.clone()) {
            Ok(inferred) => return enclave.certified(inferred, inference),
            Err(error @ (ClientError::Connect { .. } | ClientError::Frame { .. })) => {
                warn!(%error, "An enclave does not answer.");
                last = unavailable(error.to_string());
            }
            Err(error) => return Err(failed(error.to_string())),
        }
    }
    Err(last)
}

impl Enclave {
    fn certified(
        &self,
        inferred: Inferred,
        inference: &Inference,
    ) -> Result<Certified, CertifierError> {
        let output = InferenceOutput::from_bytes(&inferred.output)
            .map_err(|error| failed(format!("enclave {}: output: {error}", self.address())))?;
        let attestation = self.attestation_of(inferred.key)?;
        let scope = attestation.reference.scope;
        let statement = CertifiedEvidence::new(DSSE_MEDIA_TYPE, inferred.statement, scope, false);
        let evidence = vec![attestation, statement];
        Ok(Certified { output, model: inference.entry.used().clone(), evidence })
    }

    /// Returns the attestation of a key, which is asked for once an epoch.
    fn attestation_of(&self, key: KeyId) -> Result<CertifiedEvidence, CertifierError> {
        let mut known = self.attestations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, attestation)) = known.iter().find(|(id, _)| *id == key) {
            return Ok(attestation.clone());
        }
        let file = self.client.attestation_of(key).map_err(|error| failed(error.to_string()))?;
        let attestation = KeyAttestation::from_bytes(&file)
            .map_err(|error| failed(format!("enclave {}: {error}", self.address())))?;
        let got = KeyId(Digest::of(&attestation.binding.epoch_key));
        if got != key {
            let address = self.address();
            let reason =
                format!("enclave {address}: signed with key {key}, its attestation is for {got}");
            return Err(failed(reason));
        }
        let scope = attestation.binding.configuration.scope;
        let attestation = CertifiedEvidence::new(KEY_ATTESTATION_MEDIA_TYPE, file, scope, true);
        if known.len() >= MAX_ATTESTATIONS {
            known.remove(0);
        }
        known.push((key, attestation.clone()));
        Ok(attestation)
    }

    const fn address(&self) -> Address {
        self.client.address()
    }
}

fn unavailable(reason: String) -> CertifierError {
    CertifierError::Unavailable { method: Method::TEE, reason }
}

fn failed(reason: String) -> CertifierError {
    CertifierError::Method { method: Method::TEE, reason }
}
