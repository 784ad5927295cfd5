use assay_primitives::{InferenceOutput, Tensor, TensorData};
use assay_service::{Purchase, PurchasedItem};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{InferenceHeader, JSON_LENGTH};
use crate::ApiError;

/// The JSON of an inference response.
#[derive(Serialize, ToSchema)]
pub(crate) struct InferResponse<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    outputs: Vec<OutputTensor<'a>>,
}

/// One output.
#[derive(Serialize, ToSchema)]
pub(crate) struct OutputTensor<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [u64],
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    /// The elements in row-major order, flat.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<f64>>)]
    data: Option<&'a TensorData>,
}

/// Writes the result of a purchase of one item as the client asked for it.
pub(crate) fn answer(
    purchase: &Purchase,
    (item, output): (&PurchasedItem, &InferenceOutput),
    wanted: &InferenceHeader,
) -> Result<Response, ApiError> {
    let mut binary = Vec::new();
    let response = response(purchase, (item, output), wanted, &mut binary);
    let mut body = serde_json::to_vec(&response).map_err(|error| ApiError::internal(&error))?;
    let json_length = body.len();
    if binary.is_empty() {
        return Ok(([(CONTENT_TYPE, "application/json")], body).into_response());
    }
    body.extend(binary);
    let length = (HeaderName::from_static(JSON_LENGTH), HeaderValue::from(json_length));
    let kind = (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(([length, kind], body).into_response())
}

/// Writes the result of a purchase as JSON alone, whatever was asked for.
pub(crate) fn json(
    purchase: &Purchase,
    (item, output): (&PurchasedItem, &InferenceOutput),
    wanted: &InferenceHeader,
) -> serde_json::Result<Value> {
    let outputs = wanted.outputs.iter().map(|(name, _)| (name.clone(), false)).collect();
    let wanted = InferenceHeader { id: wanted.id.clone(), outputs, binary: false };
    serde_json::to_value(response(purchase, (item, output), &wanted, &mut Vec::new()))
}

fn response<'a>(
    purchase: &'a Purchase,
    (item, given): (&'a PurchasedItem, &'a InferenceOutput),
    wanted: &'a InferenceHeader,
    binary: &mut Vec<u8>,
) -> InferResponse<'a> {
    let all = &given.outputs;
    let outputs: Vec<OutputTensor<'_>> = if wanted.outputs.is_empty() {
        all.iter().map(|tensor| output(tensor, wanted.binary, binary)).collect()
    } else {
        let find = |name: &str| all.iter().find(|tensor| tensor.name() == name);
        let found = wanted.outputs.iter().filter_map(|(name, raw)| Some((find(name)?, *raw)));
        found.map(|(tensor, raw)| output(tensor, raw, binary)).collect()
    };
    let parameters = Map::from_iter([
        ("assay_transaction".to_owned(), Value::from(purchase.transaction.to_string())),
        ("assay_receipt_sha256".to_owned(), Value::from(purchase.receipt.to_string())),
    ]);
    InferResponse {
        model_name: &item.model.name,
        model_version: &item.model.version,
        id: wanted.id.as_deref(),
        parameters,
        outputs,
    }
}

impl<'a> OutputTensor<'a> {
    /// Writes an output with its data in JSON.
    pub(crate) fn json(tensor: &'a Tensor) -> Self {
        output(tensor, false, &mut Vec::new())
    }
}

fn output<'a>(tensor: &'a Tensor, raw: bool, binary: &mut Vec<u8>) -> OutputTensor<'a> {
    let mut parameters = Map::new();
    if raw {
        let bytes = tensor.data().to_le_bytes();
        parameters.insert("binary_data_size".to_owned(), Value::from(bytes.len()));
        binary.extend(bytes);
    }
    OutputTensor {
        name: tensor.name(),
        datatype: tensor.data().datatype().as_str(),
        shape: tensor.shape(),
        parameters,
        data: (!raw).then(|| tensor.data()),
    }
}
