//! Inputs from files: an Open Inference Protocol request, or `{"input_data": [[…]]}` with the
//! elements flattened, one list for each input.

use std::path::Path;

use assay_client::TensorOrder;
use assay_primitives::{InferenceRequest, Tensor, TensorError};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::CliError;
use crate::files;

/// The most bytes an input file may have.
const MAX_FILE: u64 = 64 << 20;

/// What a model takes: name, datatype and shape of one input.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct InputSpec {
    name: String,
    datatype: String,
    shape: Vec<u64>,
}

impl InputSpec {
    /// Returns the input with these elements, in a transaction.
    pub(super) fn order(self, data: Box<RawValue>) -> TensorOrder {
        let Self { name, datatype, shape } = self;
        TensorOrder { name, shape, datatype, data }
    }
}

#[derive(Deserialize)]
struct Wire {
    inputs: Option<Vec<Tensor>>,
    input_data: Option<Vec<Box<RawValue>>>,
}

/// Reads an input file for a model with these inputs.
pub(super) fn read(path: &Path, specs: &[InputSpec]) -> Result<InferenceRequest, CliError> {
    let wrong = |error: String| CliError::Input(format!("{}: {error}", path.display()));
    let text = files::read(path, MAX_FILE)?;
    let wire: Wire = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let inputs = match (wire.inputs, wire.input_data) {
        (Some(inputs), None) => Ok(inputs),
        (None, Some(data)) if data.len() == specs.len() => {
            shaped(&data, specs).map_err(|error| error.to_string())
        }
        (None, Some(data)) => Err(format!(
            "input_data: expected a list for each of the model's inputs, {}, got {}",
            specs.len(),
            data.len()
        )),
        _ => Err("expected either `inputs` or `input_data`".to_owned()),
    };
    Ok(InferenceRequest { inputs: inputs.map_err(wrong)? })
}

fn shaped(data: &[Box<RawValue>], specs: &[InputSpec]) -> Result<Vec<Tensor>, TensorError> {
    let tensor = |data: &RawValue, spec: &InputSpec| {
        Tensor::from_json(spec.name.clone(), spec.shape.clone(), spec.datatype.parse()?, data)
    };
    data.iter().zip(specs).map(|(data, spec)| tensor(data, spec)).collect()
}

/// Returns what a request was made of, to read another like it.
pub(super) fn specs_of(request: &InferenceRequest) -> Vec<InputSpec> {
    let spec = |tensor: &Tensor| InputSpec {
        name: tensor.name().to_owned(),
        datatype: tensor.data().datatype().to_string(),
        shape: tensor.shape().to_vec(),
    };
    request.inputs.iter().map(spec).collect()
}
