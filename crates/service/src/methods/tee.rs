use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use assay_attest::{KEY_ATTESTATION_MEDIA_TYPE, KeyAttestation};
use assay_enclave::{Address, Client, ClientError, FailureReason, Inferred};
use assay_primitives::{Clock, Digest, InferenceOutput, KeyId, Method, encoding};
use assay_receipt::DSSE_MEDIA_TYPE;
use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;

use super::{Certified, CertifiedEvidence, Certifier, CertifierError, Inference};

/// How many jobs are in hand for each that runs.
const IN_HAND_FOR_EACH: usize = 8;
/// How many ask for evidence of their own at a time, and how many for that of the epoch.
const MAX_ATTESTING: usize = 2;
/// How long it is waited to ask for the evidence of the epoch.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an enclave that did not answer is asked after all others.
const AVOIDED: Duration = Duration::from_secs(30);
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
    attesting: Arc<Semaphore>,
    describing: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

/// An enclave and the attestations that it gave.
#[derive(Debug)]
struct Enclave {
    client: Client,
    attestations: Mutex<Vec<(KeyId, CertifiedEvidence)>>,
    /// Until when it comes after the others, by the clock that never goes back.
    avoided_until: Mutex<Duration>,
}

/// Enclaves in the order of asking.
#[derive(Debug)]
struct InTurn {
    enclaves: Vec<Arc<Enclave>>,
    clock: Arc<dyn Clock>,
}

impl Tee {
    /// Makes the certifier of enclaves, which all have the same models; at most `parallel` inferences
    /// run at a time.
    #[must_use]
    pub fn new(enclaves: Vec<Client>, parallel: usize, clock: Arc<dyn Clock>) -> Self {
        let parallel = parallel.max(1);
        let enclave = |client| {
            let (attestations, avoided_until) = (Mutex::default(), Mutex::default());
            Arc::new(Enclave { client, attestations, avoided_until })
        };
        Self {
            enclaves: enclaves.into_iter().map(enclave).collect(),
            next: AtomicUsize::new(0),
            parallel,
            permits: Arc::new(Semaphore::new(parallel)),
            attesting: Arc::new(Semaphore::new(MAX_ATTESTING)),
            describing: Arc::new(Semaphore::new(MAX_ATTESTING)),
            clock,
        }
    }

    /// Returns the enclaves in the order of asking: beginning with the one whose turn it is, those that
    /// did not answer lately last.
    fn in_turn(&self) -> InTurn {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.enclaves.len();
        let enclaves = self.enclaves.iter().cycle();
        let enclaves = enclaves.skip(first.checked_rem(count).unwrap_or(0)).take(count);
        let now = self.clock.monotonic();
        let (avoided, mut enclaves): (Vec<_>, Vec<_>) =
            enclaves.cloned().partition(|enclave| now < *enclave.avoided_until());
        enclaves.extend(avoided);
        InTurn { enclaves, clock: self.clock.clone() }
    }

    /// Waits for the permission to ask for evidence, which lasts as long as the device works on it:
    /// whoever asked may be gone by then.
    async fn attesting(&self, is_own: bool) -> Result<OwnedSemaphorePermit, CertifierError> {
        if is_own {
            return self.attesting.clone().try_acquire_owned().map_err(|_| CertifierError::Busy);
        }
        let permit = timeout(PATIENCE, self.describing.clone().acquire_owned()).await;
        permit.map_err(|_| CertifierError::Busy)?.map_err(|_| CertifierError::Interrupted)
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
        inference.stages.begin()?;
        let (enclaves, inference) = (self.in_turn(), inference.clone());
        let certified = spawn_blocking(move || {
            let certified = run(&enclaves, &inference);
            drop(permit);
            certified
        });
        certified.await.map_err(|_| CertifierError::Interrupted)?
    }

    async fn attestation(&self, nonce: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, CertifierError> {
        let permit = self.attesting(nonce.is_some()).await?;
        let enclaves = self.in_turn();
        if enclaves.enclaves.is_empty() {
            return Ok(None);
        }
        let asked = spawn_blocking(move || {
            let attestation = enclaves.first(|enclave| enclave.attest(nonce.as_deref()));
            drop(permit);
            attestation
        });
        asked.await.map_err(|_| CertifierError::Interrupted)?.map(Some)
    }
}

/// Has the first enclave that can do it run the model.
fn run(enclaves: &InTurn, inference: &Inference) -> Result<Certified, CertifierError> {
    let request = inference.request.as_bytes().map_err(|error| failed(error.to_string()))?;
    let model = inference.entry.package().id();
    let (enclave, inferred) = enclaves.first(|enclave| {
        let inferred = enclave.client.infer(model, inference.salts, request.to_vec())?;
        Ok((Arc::clone(enclave), inferred))
    })?;
    enclave.certified(inferred, inference)
}

impl InTurn {
    /// Asks one after the other until one answers. What an enclave says of the request counts: another
    /// one would say the same.
    fn first<T>(
        &self,
        ask: impl Fn(&Arc<Enclave>) -> Result<T, ClientError>,
    ) -> Result<T, CertifierError> {
        let mut last = unavailable("there is no enclave".to_owned());
        for enclave in &self.enclaves {
            let error = match ask(enclave) {
                Ok(answer) => {
                    *enclave.avoided_until() = Duration::ZERO;
                    return Ok(answer);
                }
                Err(error) => error,
            };
            if !is_of_enclave(&error) {
                return Err(failed(error.to_string()));
            }
            warn!(%error, "An enclave does not answer.");
            *enclave.avoided_until() = self.clock.monotonic() + AVOIDED;
            last = unavailable(error.to_string());
        }
        Err(last)
    }
}

/// Says whether another enclave may do better.
const fn is_of_enclave(error: &ClientError) -> bool {
    match error {
        ClientError::Failed { reason, .. } => {
            matches!(reason, FailureReason::Attester | FailureReason::Internal)
        }
        _ => true,
    }
}

impl Enclave {
    /// Asks for the attestation of the epoch, or for one that answers a nonce.
    fn attest(&self, nonce: Option<&[u8]>) -> Result<Vec<u8>, ClientError> {
        let file = match nonce {
            Some(nonce) => self.client.attest(nonce)?,
            None => self.client.attestation()?,
        };
        let wrong =
            |expected, got| Err(ClientError::Answer { address: self.address(), expected, got });
        // Not verified: who asks does that. But nobody is sent what is none, or an answer to others.
        let attestation = match KeyAttestation::from_bytes(&file) {
            Ok(attestation) => attestation,
            Err(error) => return wrong("a key attestation", error.to_string()),
        };
        let answered = attestation.binding.nonce.as_deref();
        if answered != nonce {
            let got = answered.map_or_else(|| "none".to_owned(), encoding::hex);
            return wrong("an answer to the nonce", got);
        }
        Ok(file)
    }

    fn avoided_until(&self) -> MutexGuard<'_, Duration> {
        self.avoided_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, Vec<(KeyId, CertifiedEvidence)>> {
        self.attestations.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
        if let Some((_, attestation)) = self.known().iter().find(|(id, _)| *id == key) {
            return Ok(attestation.clone());
        }
        // Nobody waits for the enclave because another one does.
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
        let mut known = self.known();
        if known.iter().all(|(id, _)| *id != key) {
            if known.len() >= MAX_ATTESTATIONS {
                known.remove(0);
            }
            known.push((key, attestation.clone()));
        }
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
