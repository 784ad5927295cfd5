use std::fmt::Debug;
use std::sync::Arc;

use assay_primitives::{InferenceOutput, InferenceRequest, TensorError};
use thiserror::Error;

use crate::ModelPackage;

/// A way to run models. Engines differ in the last bits, so receipts name engine and version.
pub trait Engine: Debug + Send + Sync {
    /// Returns the engine's name.
    fn name(&self) -> &'static str;

    /// Returns the engine's version.
    fn version(&self) -> &'static str;

    /// Reads and prepares a model.
    ///
    /// # Errors
    /// When the engine cannot run it, or its inputs and outputs are not those of the card.
    fn load(&self, package: &ModelPackage) -> Result<Arc<dyn LoadedModel>, EngineError>;
}

/// A model that is ready to run. Runs are independent and may go on at the same time.
pub trait LoadedModel: Debug + Send + Sync {
    /// Runs the model once, on the calling thread. The request must have been made by the model's
    /// card ([`crate::ModelCard::request`]).
    ///
    /// # Errors
    /// When the engine fails, or the output has a number that is not finite.
    fn run(&self, request: &InferenceRequest) -> Result<InferenceOutput, EngineError>;
}

/// A model that cannot be loaded or run.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum EngineError {
    /// The artifact cannot be loaded.
    #[error("model `{model}` cannot be loaded: {reason}")]
    Load {
        /// The model's name.
        model: String,
        /// What the engine says.
        reason: String,
    },
    /// The artifact does not have the card's inputs and outputs.
    #[error("model `{model}`: card says {card}, artifact has {artifact}")]
    Card {
        /// The model's name.
        model: String,
        /// What the card says.
        card: String,
        /// What the artifact has.
        artifact: String,
    },
    /// The run failed.
    #[error("model `{model}` failed to run: {reason}")]
    Run {
        /// The model's name.
        model: String,
        /// What the engine says.
        reason: String,
    },
    /// The output is not what it should be.
    #[error("model `{model}` gave an unusable output: {error}")]
    Output {
        /// The model's name.
        model: String,
        /// What is wrong with it.
        error: TensorError,
    },
    /// The request is not one of the model's.
    #[error("model `{model}` has {expected} inputs, the request {got}")]
    Request {
        /// The model's name.
        model: String,
        /// How many inputs the model has.
        expected: usize,
        /// How many the request has.
        got: usize,
    },
}
