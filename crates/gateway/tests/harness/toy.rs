//! A method of verification that no crate knows: what it takes to sell and verify by it. Its
//! certifier also does what tests want to happen while a model runs.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay_primitives::{Digest, Method};
use assay_primitives::{InferenceOutput, InferenceRequest, WrittenRequest};
use assay_receipt::EvidenceScope;
use assay_service::{Batching, Certified, CertifiedEvidence, Certifier, CertifierError, Inference};
use assay_verify::{Certification, Check, MethodContext, MethodVerifier, Refusal};
use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};

pub(crate) const TOY: &str = "toy";
/// How long its buyers have to give it.
pub(crate) const TOY_FLOOR: Duration = Duration::from_millis(200);
const SEAL: &str = "toy-seal";

/// What happens while the model runs.
#[derive(Clone, Default)]
pub(crate) enum Mood {
    /// Nothing else.
    #[default]
    Good,
    /// This.
    Act(Arc<dyn Fn() + Send + Sync>),
    /// The run fails.
    Fail,
    /// Several fail together, and each goes well alone when its turn comes, by a permit.
    FailTogether(Arc<Semaphore>),
    /// The run panics.
    Panic,
    /// The run takes until there is a permit.
    Wait(Arc<Semaphore>),
    /// The evidence is not what the statement says.
    OtherEvidence,
}

/// Certifies by a seal: the digest of request and output.
#[derive(Clone, Debug)]
pub(crate) struct ToyCertifier {
    slots: usize,
    mood: Arc<Mutex<Mood>>,
    runs: watch::Sender<usize>,
    /// Whether it certifies in batches, and the requests of each that it did.
    is_batching: bool,
    batches: Arc<Mutex<Vec<Vec<Arc<WrittenRequest>>>>>,
}

/// Verifies the seal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToyVerifier;

impl ToyCertifier {
    pub(crate) fn new(slots: usize, mood: Mood) -> Self {
        let (mood, runs) = (Arc::new(Mutex::new(mood)), watch::Sender::new(0));
        Self { slots, mood, runs, is_batching: false, batches: Arc::default() }
    }

    pub(crate) fn in_batches(self, is_batching: bool) -> Self {
        Self { is_batching, ..self }
    }

    /// Returns the requests that were certified together.
    pub(crate) fn batches(&self) -> Vec<Vec<Arc<WrittenRequest>>> {
        self.batches.lock().unwrap().clone()
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn act(&self, act: impl Fn() + Send + Sync + 'static) {
        self.set(Mood::Act(Arc::new(act)));
    }

    /// Returns how many runs have begun.
    pub(crate) fn runs(&self) -> usize {
        *self.runs.borrow()
    }

    /// Waits until so many runs have begun.
    pub(crate) async fn wait_for_runs(&self, count: usize) {
        self.runs.subscribe().wait_for(|runs| *runs >= count).await.unwrap();
    }
}

#[async_trait]
impl Batching for ToyCertifier {
    async fn run(&self, inference: &Inference) -> Result<InferenceOutput, CertifierError> {
        Ok(inference.entry.loaded().run(&inference.request)?)
    }

    async fn certify_all(
        &self,
        inferences: Vec<Inference>,
    ) -> Result<Vec<Certified>, CertifierError> {
        let requests = inferences.iter().map(|inference| inference.request.clone()).collect();
        self.batches.lock().unwrap().push(requests);
        if matches!(*self.mood.lock().unwrap(), Mood::FailTogether(_)) && inferences.len() > 1 {
            inferences.iter().try_for_each(|inference| inference.stages.begin())?;
            let reason = "too many at a time".to_owned();
            return Err(CertifierError::Method { method: self.method(), reason });
        }
        let mut certified = Vec::new();
        for inference in &inferences {
            certified.push(self.certify(inference).await?);
        }
        Ok(certified)
    }
}

#[async_trait]
impl Certifier for ToyCertifier {
    fn method(&self) -> Method {
        TOY.parse().unwrap()
    }

    fn believe(&self) -> &'static str {
        "whoever made this seal"
    }

    fn slots(&self) -> usize {
        self.slots
    }

    fn timeout_floor(&self) -> Duration {
        TOY_FLOOR
    }

    fn batching(&self) -> Option<&dyn Batching> {
        self.is_batching.then_some(self)
    }

    async fn certify(&self, inference: &Inference) -> Result<Certified, CertifierError> {
        let Inference { entry, request, .. } = inference;
        let mood = self.mood.lock().unwrap().clone();
        if let Mood::FailTogether(turns) = &mood {
            turns.acquire().await.unwrap().forget();
        }
        inference.stages.begin()?;
        self.runs.send_modify(|runs| *runs += 1);
        match &mood {
            Mood::Good | Mood::FailTogether(_) | Mood::OtherEvidence => {}
            Mood::Act(act) => {
                act();
                // Long enough for the payment to be looked at again.
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            Mood::Fail => {
                let reason = "the wax was cold".to_owned();
                return Err(CertifierError::Method { method: self.method(), reason });
            }
            Mood::Panic => panic!("the toy broke"),
            Mood::Wait(gate) => gate.acquire().await.unwrap().forget(),
        }
        let output = entry.loaded().run(request)?;
        let mut content = seal(request, &output);
        let mut evidence =
            CertifiedEvidence::new(SEAL, content.clone(), EvidenceScope::Model, true);
        if matches!(mood, Mood::OtherEvidence) {
            content.push(b'!');
            evidence.content = content.into();
        }
        Ok(Certified { output, model: entry.used().clone(), evidence: vec![evidence] })
    }
}

impl MethodVerifier for ToyVerifier {
    fn method(&self) -> Method {
        TOY.parse().unwrap()
    }

    fn verify(&self, context: &MethodContext<'_>) -> Result<Certification, Refusal> {
        let expected = seal_of(context.request, context.output.unwrap_or_default());
        match context.evidence {
            [seal] if seal.content == expected => Ok(Certification::by("whoever made this seal")),
            _ => Err(Refusal::new(Check::ItemCertification, "the seal", "another")),
        }
    }
}

fn seal(request: &InferenceRequest, output: &InferenceOutput) -> Vec<u8> {
    seal_of(&request.to_bytes().unwrap(), &output.to_bytes().unwrap())
}

fn seal_of(request: &[u8], output: &[u8]) -> Vec<u8> {
    format!("seal {} {}", Digest::of(request), Digest::of(output)).into_bytes()
}

impl fmt::Debug for Mood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "Good",
            Self::Act(_) => "Act",
            Self::Fail => "Fail",
            Self::FailTogether(_) => "FailTogether",
            Self::Panic => "Panic",
            Self::Wait(_) => "Wait",
            Self::OtherEvidence => "OtherEvidence",
        })
    }
}
