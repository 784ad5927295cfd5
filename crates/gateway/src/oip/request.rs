use std::fmt;

use assay_engine::{InputError, ModelCard};
use assay_primitives::{Datatype, InferenceRequest, Tensor, TensorError};
use axum::http::HeaderMap;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer as _, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::JSON_LENGTH;
use crate::headers::single;
use crate::{ApiError, ErrorCode};

/// The JSON of an inference request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InferRequest {
    /// Repeated in the response.
    id: Option<String>,
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Option<Box<RawValue>>,
    inputs: Vec<InputTensor>,
    /// Which outputs to send; all when there is none. The receipt covers all in any case.
    #[serde(default)]
    outputs: Vec<RequestedOutput>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InputTensor {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Option<Box<RawValue>>,
    /// The elements in row-major order, flat or nested as the shape.
    #[schema(value_type = Option<Vec<f64>>)]
    data: Option<Box<RawValue>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RequestedOutput {
    name: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Option<Box<RawValue>>,
}

/// An inference request that fits its model.
#[derive(Debug)]
pub(crate) struct Infer {
    pub(crate) request: InferenceRequest,
    pub(crate) header: InferenceHeader,
}

/// How the client wants its answer.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct InferenceHeader {
    pub(crate) id: Option<String>,
    /// Names of the outputs, and whether in binary; empty for all of them.
    pub(crate) outputs: Vec<(String, bool)>,
    /// Whether outputs that are not asked for by name come in binary.
    pub(crate) binary: bool,
}

/// Reads a request for a model.
pub(crate) fn read(card: &ModelCard, headers: &HeaderMap, body: &[u8]) -> Result<Infer, ApiError> {
    let (json, mut binary) = split(headers, body)?;
    let wire: InferRequest = serde_json::from_slice(json)
        .map_err(|error| malformed(format!("the body is not an inference request: {error}")))?;
    let tensors = wire
        .inputs
        .into_iter()
        .map(|input| input.into_tensor(&mut binary))
        .collect::<Result<Vec<_>, _>>()?;
    if !binary.is_empty() {
        let message = format!("{} bytes of binary data belong to no input", binary.len());
        return Err(malformed(message));
    }
    let request = card.request(tensors).map_err(input_error)?;
    let header = header(card, wire.id, wire.parameters.as_deref(), wire.outputs)?;
    Ok(Infer { request, header })
}

/// Splits a body into its JSON and the binary data after it.
fn split<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), ApiError> {
    let Some(length) = single(headers, JSON_LENGTH)? else { return Ok((body, &[])) };
    let parts = length.parse().ok().and_then(|length| body.split_at_checked(length));
    parts.ok_or_else(|| {
        let message = format!(
            "{JSON_LENGTH}: expected a number up to the body's {} bytes, got `{length}`",
            body.len()
        );
        ApiError::new(ErrorCode::InvalidHeader, message)
    })
}

impl InputTensor {
    fn into_tensor(self, binary: &mut &[u8]) -> Result<Tensor, ApiError> {
        let datatype: Datatype = self.datatype.parse().map_err(tensor_error)?;
        let size = parameter(self.parameters.as_deref(), "binary_data_size")?;
        let name = self.name;
        let tensor = match (size, self.data) {
            (None, Some(data)) => Tensor::from_json(name, self.shape, datatype, &data),
            (Some(size), None) => {
                let size = serde_json::from_str::<usize>(size.get()).ok();
                let parts = size.and_then(|size| binary.split_at_checked(size));
                let (bytes, rest) = parts.ok_or_else(|| {
                    malformed(format!(
                        "input `{name}`: binary_data_size is more than the {} bytes left",
                        binary.len()
                    ))
                })?;
                *binary = rest;
                Tensor::from_le_bytes(name, self.shape, datatype, bytes)
            }
            _ => {
                let message =
                    format!("input `{name}`: give `data` or `binary_data_size`, not both");
                return Err(malformed(message));
            }
        };
        tensor.map_err(tensor_error)
    }
}

fn header(
    card: &ModelCard,
    id: Option<String>,
    parameters: Option<&RawValue>,
    outputs: Vec<RequestedOutput>,
) -> Result<InferenceHeader, ApiError> {
    if id.as_ref().is_some_and(|id| id.len() > 128) {
        return Err(malformed("id: more than 128 bytes".to_owned()));
    }
    let binary = flag(parameters, "binary_data_output")?.unwrap_or(false);
    let mut wanted = Vec::with_capacity(outputs.len().min(card.outputs.len()));
    for output in outputs {
        let known = card.outputs.iter().any(|spec| spec.name == output.name);
        if !known || wanted.iter().any(|(name, _)| *name == output.name) {
            let names: Vec<&str> = card.outputs.iter().map(|spec| spec.name.as_str()).collect();
            let shown: String = output.name.chars().take(64).collect();
            let message =
                format!("output `{shown}`: expected each at most once of {}", names.join(", "));
            return Err(ApiError::new(ErrorCode::UnknownOutput, message));
        }
        let binary = flag(output.parameters.as_deref(), "binary_data")?.unwrap_or(binary);
        wanted.push((output.name, binary));
    }
    Ok(InferenceHeader { id, outputs: wanted, binary })
}

fn flag(parameters: Option<&RawValue>, known: &str) -> Result<Option<bool>, ApiError> {
    let Some(value) = parameter(parameters, known)? else { return Ok(None) };
    serde_json::from_str(value.get()).map(Some).map_err(|_| {
        let shown: String = value.get().chars().take(64).collect();
        malformed(format!("parameter `{known}`: expected a boolean, got {shown}"))
    })
}

/// Returns the value of the one parameter that is known in a place, and refuses every other: one
/// that is ignored might be one the client counts on.
fn parameter(
    parameters: Option<&RawValue>,
    known: &str,
) -> Result<Option<Box<RawValue>>, ApiError> {
    let Some(parameters) = parameters else { return Ok(None) };
    let found = serde_json::Deserializer::from_str(parameters.get())
        .deserialize_map(Parameter(known))
        .map_err(|error| malformed(format!("parameters: {error}")))?;
    found.map_err(|unknown| {
        let shown: String = unknown.chars().take(64).collect();
        let message = format!("parameter `{shown}` is not known here");
        ApiError::new(ErrorCode::UnsupportedParameter, message)
    })
}

/// Looks for a parameter, and passes over the values of others without building them.
struct Parameter<'a>(&'a str);

impl<'de> Visitor<'de> for Parameter<'_> {
    /// The value, or the name of one that is not known.
    type Value = Result<Option<Box<RawValue>>, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Ok(None);
        while let Some(name) = map.next_key::<String>()? {
            if name == self.0 && found.is_ok() {
                found = Ok(Some(map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
                found = found.and(Err(name));
            }
        }
        Ok(found)
    }
}

fn malformed(message: String) -> ApiError {
    ApiError::new(ErrorCode::MalformedRequest, message)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
pub(crate) fn tensor_error(error: TensorError) -> ApiError {
    let code = match error {
        TensorError::NotFinite { .. } => ErrorCode::NotFinite,
        TensorError::Datatype(_) => ErrorCode::WrongDatatype,
        _ => ErrorCode::InvalidTensor,
    };
    ApiError::new(code, error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
pub(crate) fn input_error(error: InputError) -> ApiError {
    let code = match error {
        InputError::Unknown { .. } => ErrorCode::UnknownInput,
        InputError::Missing(_) => ErrorCode::MissingInput,
        InputError::Duplicate(_) => ErrorCode::DuplicateInput,
        InputError::Datatype { .. } => ErrorCode::WrongDatatype,
        InputError::Shape { .. } => ErrorCode::WrongShape,
        _ => ErrorCode::InvalidTensor,
    };
    ApiError::new(code, error.to_string())
}
