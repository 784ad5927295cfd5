use assay_primitives::json;
use assay_receipt::Envelope;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::receipts::transaction;
use crate::body::receive;
use crate::path::PathText;
use crate::{ApiError, ErrorCode, Gateway};

/// The most bytes a settlement record may have.
const MAX_RECORD: usize = 64 << 10;

/// A settlement record that is stored.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Recorded {
    /// The transaction's id.
    transaction_id: String,
    /// The record's digest.
    digest: String,
}

/// Takes the record of a refund: a DSSE envelope signed with the operator's receipt key, of a transfer
/// that the chain shows, and within what was settled. The same record again changes nothing.
#[utoipa::path(post, path = "/v1/receipts/{id}/settlement-records", tag = "operation",
    params(("id" = String, Path, description = "the transaction's id")),
    request_body(content = Object, description = "DSSE envelope of the settlement record"),
    responses(
        (status = 200, body = Recorded),
        (status = 400, body = crate::error::ErrorBody),
        (status = 404, body = crate::error::ErrorBody),
        (status = 409, body = crate::error::ErrorBody),
        (status = 413, body = crate::error::ErrorBody),
        (status = 422, body = crate::error::ErrorBody),
        (status = 502, body = crate::error::ErrorBody),
        (status = 503, body = crate::error::ErrorBody)))]
pub(crate) async fn record(
    State(gateway): State<Gateway>,
    PathText(id): PathText,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let id = transaction(&id)?;
    let received = receive(&gateway, &headers, body).await?;
    if received.bytes.len() > MAX_RECORD {
        let message = format!("a settlement record has at most {MAX_RECORD} bytes");
        return Err(ApiError::new(ErrorCode::BodyTooLarge, message));
    }
    let envelope: Envelope = json::from_slice(&received.bytes).map_err(|error| {
        let message = format!("expected the envelope of a settlement record: {error}");
        ApiError::new(ErrorCode::MalformedRequest, message)
    })?;
    let digest = gateway.service.add_refund(id, &envelope).await?;
    let recorded = Recorded { transaction_id: id.to_string(), digest: digest.to_string() };
    let cache = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(([cache], Json(recorded)).into_response())
}
