use assay_engine::{ModelCard, TensorSpec};
use serde::Serialize;
use utoipa::ToSchema;

/// The server.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServerMetadata {
    name: &'static str,
    version: &'static str,
    /// Extensions of the protocol that are understood.
    extensions: [&'static str; 1],
}

impl ServerMetadata {
    pub(crate) const fn new() -> Self {
        Self {
            name: "assay",
            version: env!("CARGO_PKG_VERSION"),
            extensions: ["binary_tensor_data"],
        }
    }
}

/// A model.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelMetadata {
    name: String,
    versions: Vec<String>,
    platform: &'static str,
    inputs: Vec<TensorMetadata>,
    outputs: Vec<TensorMetadata>,
}

/// An input or output of a model.
#[derive(Serialize, ToSchema)]
pub(crate) struct TensorMetadata {
    name: String,
    /// `BOOL`, `UINT8`, `INT8`, `INT32`, `INT64`, `FP32` or `FP64`.
    datatype: String,
    shape: Vec<u64>,
}

impl From<&ModelCard> for ModelMetadata {
    fn from(card: &ModelCard) -> Self {
        let tensors = |specs: &[TensorSpec]| specs.iter().map(TensorMetadata::from).collect();
        Self {
            name: card.name.clone(),
            versions: vec![card.version.clone()],
            platform: "onnx",
            inputs: tensors(&card.inputs),
            outputs: tensors(&card.outputs),
        }
    }
}

impl From<&TensorSpec> for TensorMetadata {
    fn from(spec: &TensorSpec) -> Self {
        Self { name: spec.name.clone(), datatype: spec.datatype.clone(), shape: spec.shape.clone() }
    }
}
