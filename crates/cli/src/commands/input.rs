//! Inputs from files: an Open Inference Protocol request, or `{"input_data": [[…]]}` with the
//! elements flattened, one list for each input.

use std::path::Path;

use assay_primitives::{InferenceRequest, Tensor};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::CliError;

/// The most bytes an input file may have.
const MAX_FILE: u64 = 64 << 20;

/// What a model takes: name, datatype and shape of one input.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct InputSpec {
    name: String,
    datatype: String,
    shape: Vec<u64>,
}

#[derive(Deserialize)]
struct Wire {
    inputs: Option<Vec<Tensor>>,
    input_data: Option<Vec<Box<RawValue>>>,
}

/// Reads an input file for a model with these inputs.
pub(crate) fn read(path: &Path, specs: &[InputSpec]) -> Result<InferenceRequest, CliError> {
    let wrong = |error: String| CliError::Input(format!("{}: {error}", path.display()));
    let text = read_file(path, MAX_FILE)?;
    let wire: Wire = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let inputs = match (wire.inputs, wire.input_data) {
        (Some(inputs), None) => inputs,
        (None, Some(data)) if data.len() == specs.len() => data
            .iter()
            .zip(specs)
            .map(|(data, spec)| {
                let datatype = spec.datatype.parse()?;
                Tensor::from_json(spec.name.clone(), spec.shape.clone(), datatype, data)
            })
            .collect::<Result<_, assay_primitives::TensorError>>()
            .map_err(|error| wrong(error.to_string()))?,
        (None, Some(data)) => {
            let message =
                format!("input_data has {} lists, the model {} inputs", data.len(), specs.len());
            return Err(wrong(message));
        }
        _ => return Err(wrong("expected `inputs` or `input_data`".to_owned())),
    };
    Ok(InferenceRequest { inputs })
}

/// Returns what a request was made of, to read another like it.
pub(crate) fn specs_of(request: &InferenceRequest) -> Vec<InputSpec> {
    request
        .inputs
        .iter()
        .map(|tensor| InputSpec {
            name: tensor.name().to_owned(),
            datatype: tensor.data().datatype().to_string(),
            shape: tensor.shape().to_vec(),
        })
        .collect()
}

/// Reads a file of a bounded size.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, CliError> {
    use std::io::Read as _;
    let io = |error| CliError::Io(path.to_path_buf(), error);
    let mut content = Vec::new();
    let file = std::fs::File::open(path).map_err(io)?;
    file.take(limit + 1).read_to_end(&mut content).map_err(io)?;
    if content.len() as u64 > limit {
        return Err(CliError::Input(format!("{}: more than {limit} bytes", path.display())));
    }
    Ok(content)
}
