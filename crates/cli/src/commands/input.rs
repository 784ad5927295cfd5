//! Inputs from files: an Open Inference Protocol request, or `{"input_data": [[…]]}` with the
//! elements flattened, one list for each input.

use std::fmt::Display;
use std::path::Path;

use assay_client::TensorOrder;
use assay_primitives::{InferenceRequest, Tensor, TensorError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::gateway;
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
    /// Returns the input with these elements.
    fn order(self, data: Box<RawValue>) -> TensorOrder {
        let Self { name, datatype, shape } = self;
        TensorOrder { name, shape, datatype, data }
    }
}

/// Asks a gateway what a model takes.
pub(super) async fn specs(gateway: &str, model: &str) -> Result<Vec<InputSpec>, CliError> {
    #[derive(Deserialize)]
    struct Metadata {
        inputs: Vec<InputSpec>,
    }

    let metadata: Metadata = gateway::get(gateway, &["v2", "models", model]).await?;
    Ok(metadata.inputs)
}

/// An input as a file has it.
pub(super) enum Written<T> {
    /// Whole tensors.
    Inputs(Vec<T>),
    /// The elements of each.
    Data(Vec<Box<RawValue>>),
}

/// Reads an input file.
pub(super) fn open<T: DeserializeOwned>(path: &Path) -> Result<Written<T>, CliError> {
    #[derive(Deserialize)]
    struct Wire<T> {
        inputs: Option<Vec<T>>,
        input_data: Option<Vec<Box<RawValue>>>,
    }

    let text = files::read(path, MAX_FILE)?;
    let wire: Wire<T> = serde_json::from_slice(&text).map_err(|error| wrong(path, error))?;
    match (wire.inputs, wire.input_data) {
        (Some(inputs), None) => Ok(Written::Inputs(inputs)),
        (None, Some(data)) => Ok(Written::Data(data)),
        _ => Err(wrong(path, "expected either `inputs` or `input_data`")),
    }
}

/// Gives elements the shapes that a model takes.
pub(super) fn shaped(
    data: Vec<Box<RawValue>>,
    specs: Vec<InputSpec>,
) -> Result<Vec<TensorOrder>, String> {
    if data.len() != specs.len() {
        return Err(format!(
            "input_data: expected a list for each of the model's inputs, {}, got {}",
            specs.len(),
            data.len()
        ));
    }
    Ok(specs.into_iter().zip(data).map(|(spec, data)| spec.order(data)).collect())
}

/// Reads an input file for a model with these inputs.
pub(super) fn read(path: &Path, specs: Vec<InputSpec>) -> Result<InferenceRequest, CliError> {
    let inputs = match open(path)? {
        Written::Inputs(inputs) => inputs,
        Written::Data(data) => {
            let inputs = shaped(data, specs).map_err(|error| wrong(path, error))?;
            let inputs = inputs.into_iter().map(tensor).collect::<Result<_, _>>();
            inputs.map_err(|error| wrong(path, error))?
        }
    };
    Ok(InferenceRequest { inputs })
}

fn tensor(order: TensorOrder) -> Result<Tensor, TensorError> {
    let TensorOrder { name, shape, datatype, data } = order;
    Tensor::from_json(name, shape, datatype.parse()?, &data)
}

fn wrong(path: &Path, error: impl Display) -> CliError {
    CliError::Input(format!("{}: {error}", path.display()))
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
