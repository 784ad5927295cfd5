//! One certifier for each method: it runs the model and brings the evidence.

mod signed;
mod stages;
mod tee;
mod turns;
mod zkml;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use assay_engine::{EngineError, ModelPackage};
use assay_primitives::{
    Digest, InferenceOutput, InferenceRequest, Method, ModelId, WrittenRequest,
};
use assay_receipt::{EvidenceReference, EvidenceScope, ModelUsed, Salt};
use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use thiserror::Error;

pub use self::signed::Signed;
pub use self::stages::Stages;
pub use self::tee::Tee;
pub use self::zkml::{Program, ProgramError, Zkml};
use crate::CatalogueEntry;

/// Runs models and certifies what they give by one method.
#[async_trait]
pub trait Certifier: Debug + Send + Sync {
    /// Returns the method's name.
    fn method(&self) -> Method;

    /// Says whom a buyer has to believe, in words.
    fn believe(&self) -> &'static str;

    /// Returns how long a buyer has to give an inference by it, where the price list says nothing else: one
    /// that its buyer ends earlier is charged.
    fn timeout_floor(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// Returns how many of its jobs are in hand at a time; further ones wait in the store. At least
    /// one is.
    fn slots(&self) -> usize;

    /// Says why a model cannot be certified by it, in words, if it cannot.
    ///
    /// # Errors
    /// When it cannot.
    fn accepts(&self, _package: &ModelPackage) -> Result<(), String> {
        Ok(())
    }

    /// Says why a request of a model cannot be certified by it, in words for the buyer, if it cannot.
    ///
    /// # Errors
    /// When it cannot; nothing is charged.
    fn check(&self, _package: &ModelPackage, _request: &InferenceRequest) -> Result<(), String> {
        Ok(())
    }

    /// Returns the id of what runs in place of a package's model, if something does.
    fn model(&self, _package: &ModelPackage) -> Option<ModelId> {
        None
    }

    /// Returns what a proof of a package's model is like, if the method makes proofs of it.
    fn proof(&self, _package: &ModelPackage) -> Option<ProofOffered> {
        None
    }

    /// Runs a model on a request and certifies the output, and says when its turn has come
    /// ([`Stages::begin`]). It may be dropped at any point, when its job is cancelled.
    ///
    /// # Errors
    /// When the run or the certification fails; it is not charged then.
    async fn certify(&self, inference: &Inference) -> Result<Certified, CertifierError>;

    /// Returns how it certifies several inferences of one model together, if that is less work than each
    /// alone.
    fn batching(&self) -> Option<&dyn Batching> {
        None
    }

    /// Returns the key attestation of what certifies now, if the method has one; with a nonce one that
    /// was made for it.
    ///
    /// # Errors
    /// When none is to be had.
    async fn attestation(
        &self,
        _nonce: Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, CertifierError> {
        Ok(None)
    }
}

/// What a proof of one inference is like, as it is offered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofOffered {
    /// How the program's weights are opened: `fast` or `small`.
    pub mode: &'static str,
    /// Its bytes, at most.
    pub max_bytes: u64,
}

/// Certifies inferences of one model together. Whoever has one of them may learn something of the others:
/// only those of one transaction ever are.
#[async_trait]
pub trait Batching: Send + Sync {
    /// Runs a model on a request, without evidence: others wait for its output.
    ///
    /// # Errors
    /// When the run fails.
    async fn run(&self, inference: &Inference) -> Result<InferenceOutput, CertifierError>;

    /// Runs a model on several requests and certifies the outputs, in their order. It may be dropped at
    /// any point.
    ///
    /// # Errors
    /// When a run or the certification fails; none of them is charged then.
    async fn certify_all(
        &self,
        inferences: Vec<Inference>,
    ) -> Result<Vec<Certified>, CertifierError>;
}

/// One model run on one input.
#[derive(Clone, Debug)]
pub struct Inference {
    /// The model.
    pub entry: Arc<CatalogueEntry>,
    /// What it is asked.
    pub request: Arc<WrittenRequest>,
    /// The salts of the commitments to request and output, for evidence that states them.
    pub salts: [Salt; 2],
    /// Who is told how far it is.
    pub stages: Stages,
}

/// An inference that was run and certified.
#[derive(Clone, Debug)]
pub struct Certified {
    /// What the model gave.
    pub output: InferenceOutput,
    /// What ran.
    pub model: ModelUsed,
    /// The evidence.
    pub evidence: Vec<CertifiedEvidence>,
}

/// A piece of evidence.
#[derive(Clone, Debug)]
pub struct CertifiedEvidence {
    /// How the item refers to it.
    pub reference: EvidenceReference,
    /// Its bytes.
    pub content: Bytes,
    /// Whether it says nothing of the item, and is the same for others: it is stored once, and anybody
    /// may have it. What is about the item is sealed and erased with it.
    pub is_public: bool,
}

impl CertifiedEvidence {
    /// Makes a piece of evidence of a media type.
    #[must_use]
    pub fn new(
        kind: &str,
        content: impl Into<Bytes>,
        scope: EvidenceScope,
        is_public: bool,
    ) -> Self {
        let content = content.into();
        let (sha256, size) = (Digest::of(&content), content.len() as u64);
        let reference = EvidenceReference { kind: kind.to_owned(), sha256, size, scope };
        Self { reference, content, is_public }
    }
}

/// A run or certification that failed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum CertifierError {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The method could not certify the output.
    #[error("method `{method}`: {reason}")]
    Method {
        /// The method.
        method: Method,
        /// What failed, for the operator: buyers are not told.
        reason: String,
    },
    /// What certifies by the method cannot be reached.
    #[error("method `{method}` is not to be had now: {reason}")]
    Unavailable {
        /// The method.
        method: Method,
        /// What failed, for the operator: buyers are not told.
        reason: String,
    },
    /// There is too much to do.
    #[error("there is too much to do")]
    Busy,
    /// Its buyer cancelled it before its turn came.
    #[error("it was cancelled before its turn came")]
    Cancelled,
    /// The run was ended by a shutdown or a panic.
    #[error("the run was interrupted")]
    Interrupted,
}

/// The certifiers of a service.
#[derive(Debug, Default)]
pub struct Certifiers(Vec<Box<dyn Certifier>>);

impl Certifiers {
    /// Returns the certifiers of this version, running at most `parallel` inferences at a time.
    #[must_use]
    pub fn standard(parallel: usize) -> Self {
        Self::default().with(Signed::new(parallel))
    }

    /// Adds a certifier; of two with one method, the later counts.
    #[must_use]
    pub fn with(mut self, certifier: impl Certifier + 'static) -> Self {
        self.0.push(Box::new(certifier));
        self
    }

    /// Finds the certifier of a method.
    #[must_use]
    pub fn find(&self, method: &Method) -> Option<&dyn Certifier> {
        self.0.iter().rev().map(AsRef::as_ref).find(|certifier| certifier.method() == *method)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn Certifier> {
        self.0.iter().map(AsRef::as_ref)
    }

    pub(crate) fn names(&self) -> String {
        self.0.iter().map(|c| c.method().to_string()).collect::<Vec<_>>().join(", ")
    }
}
