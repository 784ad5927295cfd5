//! The Open Inference Protocol v2 on the wire: requests and responses in JSON, with tensors in JSON
//! or, by the binary tensor data extension, in bytes after it.

mod metadata;
mod request;
mod response;

pub(crate) use metadata::{ModelMetadata, ServerMetadata};
pub(crate) use request::{Infer, InferRequest, InferenceHeader, input_error, read, tensor_error};
pub(crate) use response::{InferResponse, OutputTensor, answer, json};

/// Says how many bytes of a body are JSON, when tensors follow it in binary.
pub(crate) const JSON_LENGTH: &str = "inference-header-content-length";
