use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use assay_attest::collect::{Attester, CollectError};
use assay_attest::{EnclaveConfiguration, MAX_EPOCH, MAX_NONCE};
use assay_engine::{Engine, EngineError, LoadedModel, ModelPackage};
use assay_primitives::{Clock, InferenceRequest, KeyId, ModelId, Randomness, printable};
use assay_receipt::{
    EnclaveStatement, EngineUsed, EvidenceScope, ModelUsed, Salt, Usage, commit_output,
    commit_request,
};
use thiserror::Error;

use crate::epoch::Epochs;
use crate::{Answer, Ask, Description, FailureReason, Frame};

/// The shortest epoch: each begins with new evidence.
const MIN_EPOCH: Duration = Duration::from_secs(1);
/// The most characters that are answered of an error.
const MAX_DETAIL: usize = 512;

/// What runs inside: the models that it was started with, and the keys of its epochs.
#[derive(Debug)]
pub struct Enclave {
    models: BTreeMap<ModelId, Model>,
    epochs: Epochs,
}

#[derive(Debug)]
struct Model {
    package: ModelPackage,
    loaded: Arc<dyn LoadedModel>,
    used: ModelUsed,
}

/// What an enclave is started with.
#[derive(Debug)]
pub struct Settings {
    /// The models; no others can be loaded later.
    pub packages: Vec<ModelPackage>,
    /// How long a key is used: from a second to an hour ([`MAX_EPOCH`]).
    pub epoch: Duration,
    /// Where evidence comes from.
    pub attester: Box<dyn Attester>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The randomness that keys are made of.
    pub randomness: Arc<dyn Randomness>,
}

/// Something an enclave cannot do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EnclaveError {
    /// A model cannot be loaded or run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No key can be used for so long, or so short.
    #[error("epoch: expected {MIN_EPOCH:?} to {MAX_EPOCH:?}, got {0:?}")]
    Epoch(Duration),
    /// No answer is signed with the key any more, or never was.
    #[error("the enclave has no attestation of key {0}")]
    UnknownKey(KeyId),
    /// It was not started with the model.
    #[error("the enclave has no model {0}")]
    UnknownModel(ModelId),
    /// The request is not what it should be.
    #[error("request: {0}")]
    Request(String),
    /// The evidence for a key cannot be collected.
    #[error("evidence: {0}")]
    Attester(#[from] CollectError),
    /// The enclave itself failed.
    #[error("enclave: {0}")]
    Internal(String),
}

impl Enclave {
    /// Loads the models and begins the first epoch.
    ///
    /// # Errors
    /// When a model cannot be loaded, the epoch is too long or too short, or no evidence is to be had.
    pub fn start(settings: Settings, engine: &dyn Engine) -> Result<Self, EnclaveError> {
        if !(MIN_EPOCH..=MAX_EPOCH).contains(&settings.epoch) {
            return Err(EnclaveError::Epoch(settings.epoch));
        }
        let used =
            EngineUsed { name: engine.name().to_owned(), version: engine.version().to_owned() };
        let mut models = BTreeMap::new();
        for package in settings.packages {
            let model = Model::load(package, engine, &used)?;
            models.insert(model.package.id(), model);
        }
        let configuration = EnclaveConfiguration {
            engine: used,
            models: models.keys().copied().collect(),
            scope: EvidenceScope::Model,
        };
        let Settings { epoch, attester, clock, randomness, .. } = settings;
        let epochs = Epochs::new(configuration, epoch, attester, clock, randomness);
        epochs.now()?;
        Ok(Self { models, epochs })
    }

    /// Begins the next epoch in time; to be called now and then.
    ///
    /// # Errors
    /// When no evidence is to be had.
    pub fn renew(&self) -> Result<(), EnclaveError> {
        self.epochs.renew()
    }

    /// Answers what a gateway asks.
    #[must_use]
    pub fn answer(&self, asked: &Frame<Ask>) -> Frame<Answer> {
        self.try_answer(asked).unwrap_or_else(|error| failed(error.reason(), &error))
    }

    fn try_answer(&self, asked: &Frame<Ask>) -> Result<Frame<Answer>, EnclaveError> {
        match &asked.header {
            Ask::Describe => {
                let configuration = self.epochs.configuration().clone();
                let version = env!("CARGO_PKG_VERSION").to_owned();
                let header = Answer::Description(Description { configuration, version });
                Ok(Frame { header, body: Vec::new() })
            }
            Ask::Attestation => {
                let (epoch, _) = self.epochs.now()?;
                Ok(Frame { header: Answer::Attestation, body: epoch.attestation.to_vec() })
            }
            Ask::AttestationOf { key } => {
                let attestation = self.epochs.attestation_of(*key);
                let attestation = attestation.ok_or(EnclaveError::UnknownKey(*key))?;
                Ok(Frame { header: Answer::Attestation, body: attestation.to_vec() })
            }
            Ask::Attest => {
                let nonce = &asked.body;
                if !(1..=MAX_NONCE).contains(&nonce.len()) {
                    let got = nonce.len();
                    let what = format!("nonce: expected 1 to {MAX_NONCE} bytes, got {got}");
                    return Err(EnclaveError::Request(what));
                }
                Ok(Frame { header: Answer::Attestation, body: self.epochs.attest(nonce)? })
            }
            Ask::Infer { model, request_salt, output_salt } => {
                self.infer(*model, [request_salt, output_salt], &asked.body)
            }
        }
    }

    fn infer(
        &self,
        model: ModelId,
        [request_salt, output_salt]: [&Salt; 2],
        bytes: &[u8],
    ) -> Result<Frame<Answer>, EnclaveError> {
        let model = self.models.get(&model).ok_or(EnclaveError::UnknownModel(model))?;
        let wrong = |error: String| EnclaveError::Request(error);
        let asked =
            InferenceRequest::from_bytes(bytes).map_err(|error| wrong(error.to_string()))?;
        let request = model.package.card().request(asked.inputs.clone());
        let request = request.map_err(|error| wrong(error.to_string()))?;
        // What is committed to is what is run.
        if request != asked {
            return Err(wrong("its inputs are not in the order of the model's card".to_owned()));
        }
        let output = model.loaded.run(&request)?;
        let internal = |error: String| EnclaveError::Internal(error);
        let output = output.to_bytes().map_err(|error| internal(error.to_string()))?;
        let (epoch, now) = self.epochs.now()?;
        let statement = EnclaveStatement {
            model: model.used.clone(),
            usage: Usage { inferences: 1 },
            request_commitment: commit_request(request_salt, bytes),
            output_commitment: commit_output(output_salt, &output),
            scope: EvidenceScope::Model,
            signed_at: now,
        };
        let statement = statement.sign(&epoch.key).map_err(|error| internal(error.to_string()))?;
        let output_length = output.len() as u64;
        let header = Answer::Inferred { output_length, key: epoch.key.public().id() };
        Ok(Frame { header, body: [output, statement].concat() })
    }
}

impl Model {
    fn load(
        package: ModelPackage,
        engine: &dyn Engine,
        used: &EngineUsed,
    ) -> Result<Self, EngineError> {
        let loaded = engine.load(&package)?;
        let card = package.card();
        let used = ModelUsed {
            name: card.name.clone(),
            version: card.version.clone(),
            package: package.id(),
            program: None,
            engine: used.clone(),
        };
        Ok(Self { package, loaded, used })
    }
}

impl EnclaveError {
    fn reason(&self) -> FailureReason {
        match self {
            Self::Engine(_) => FailureReason::Engine,
            Self::UnknownModel(_) => FailureReason::UnknownModel,
            Self::UnknownKey(_) => FailureReason::UnknownKey,
            Self::Request(_) => FailureReason::Request,
            Self::Attester(_) => FailureReason::Attester,
            Self::Epoch(_) | Self::Internal(_) => FailureReason::Internal,
        }
    }
}

/// Says that something was not done. An error may repeat what a request says.
pub(crate) fn failed(reason: FailureReason, error: &impl std::fmt::Display) -> Frame<Answer> {
    let detail = printable(&error.to_string(), MAX_DETAIL);
    Frame { header: Answer::Failed { reason, detail }, body: Vec::new() }
}
