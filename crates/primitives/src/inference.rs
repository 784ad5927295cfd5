use std::ops::Deref;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::Tensor;
use crate::json::{self, StrictJsonError};

/// What a model is asked: its input tensors. Its canonical JSON is what a receipt commits to.
///
/// Everything that changes the output stands in here, and nothing else does: the same question asked
/// in JSON or in binary tensors, flat or nested, with or without a request id, has one commitment.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceRequest {
    /// The inputs, in the order of the model's card.
    pub inputs: Vec<Tensor>,
}

/// What a model answered: its output tensors. Its canonical JSON is what a receipt commits to.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceOutput {
    /// The outputs, in the order of the model's card.
    pub outputs: Vec<Tensor>,
}

impl InferenceRequest {
    /// Returns the bytes that are committed to.
    ///
    /// # Errors
    /// Never for a request of tensors; the signature is that of the JSON writer.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StrictJsonError> {
        json::to_vec(self)
    }

    /// Reads committed bytes.
    ///
    /// # Errors
    /// When they are not the canonical JSON of a request.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StrictJsonError> {
        json::from_slice(bytes)
    }
}

/// A request, and the bytes that are committed to, which are written once.
#[derive(Clone, Debug)]
pub struct WrittenRequest {
    request: InferenceRequest,
    bytes: OnceLock<Vec<u8>>,
}

impl WrittenRequest {
    /// Returns the bytes that are committed to.
    ///
    /// # Errors
    /// As [`InferenceRequest::to_bytes`].
    pub fn as_bytes(&self) -> Result<&[u8], StrictJsonError> {
        if let Some(bytes) = self.bytes.get() {
            return Ok(bytes);
        }
        let bytes = self.request.to_bytes()?;
        Ok(self.bytes.get_or_init(|| bytes))
    }
}

impl From<InferenceRequest> for WrittenRequest {
    fn from(request: InferenceRequest) -> Self {
        Self { request, bytes: OnceLock::new() }
    }
}

impl Deref for WrittenRequest {
    type Target = InferenceRequest;

    fn deref(&self) -> &InferenceRequest {
        &self.request
    }
}

impl InferenceOutput {
    /// Returns the bytes that are committed to.
    ///
    /// # Errors
    /// Never for an output of tensors; the signature is that of the JSON writer.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StrictJsonError> {
        json::to_vec(self)
    }

    /// Reads committed bytes.
    ///
    /// # Errors
    /// When they are not the canonical JSON of an output.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StrictJsonError> {
        json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_bytes_have_one_spelling() {
        let text = br#"{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[0.1,2.0]}]}"#;
        let request = InferenceRequest::from_bytes(text).unwrap();
        assert_eq!(request.to_bytes().unwrap(), text);
        let other = br#"{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[0.1,2]}]}"#;
        assert!(matches!(
            InferenceRequest::from_bytes(other),
            Err(StrictJsonError::Spelling { .. })
        ));
    }
}
