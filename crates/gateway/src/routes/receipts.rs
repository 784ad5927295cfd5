use assay_primitives::{AccessToken, Digest, TransactionId};
use assay_receipt::{BUNDLE_MEDIA_TYPE, Envelope};
use axum::Json;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::headers::single;
use crate::path::PathText;
use crate::paywall::settlement_header;
use crate::{ApiError, ErrorCode, Gateway};

/// The public part of a receipt. Nothing in it tells what was asked or answered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    /// `committed`, `settled`, `failing` or `failed`.
    state: &'static str,
    /// DSSE envelope of the receipt.
    #[schema(value_type = Object)]
    receipt: Envelope,
    /// DSSE envelopes of the settlement records, oldest first.
    #[schema(value_type = Vec<Object>)]
    settlement_records: Vec<Envelope>,
    /// DSSE envelope of the key manifest.
    #[schema(value_type = Object)]
    key_manifest: Envelope,
}

/// Returns a receipt; with its access token, once it is settled, the whole bundle.
#[utoipa::path(get, path = "/v1/receipts/{id}", tag = "assay",
    params(
        ("id", description = "the transaction's id"),
        ("Authorization" = Option<String>, Header, description = "Bearer and the access token")),
    responses(
        (status = 200, body = Receipt, description = "without a token; with it the bundle",
            headers(("PAYMENT-RESPONSE", description = "with a token: x402 v2 SettleResponse, base64"))),
        (status = 403, body = crate::error::ErrorBody),
        (status = 404, body = crate::error::ErrorBody),
        (status = 409, body = crate::error::ErrorBody)))]
pub(crate) async fn receipt(
    State(gateway): State<Gateway>,
    PathText(id): PathText,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id: TransactionId = id.parse().map_err(|error: assay_primitives::TransactionIdError| {
        ApiError::new(ErrorCode::UnknownReceipt, error.to_string())
    })?;
    let Some(authorization) = single(&headers, AUTHORIZATION.as_str())? else {
        let public = gateway.service.public_receipt(id).await?;
        let receipt = Receipt {
            state: public.state.as_str(),
            receipt: public.receipt,
            settlement_records: public.settlement_records,
            key_manifest: public.key_manifest,
        };
        let cache = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
        return Ok(([cache], Json(receipt)).into_response());
    };
    let wrong = || ApiError::new(ErrorCode::WrongToken, "expected `Bearer` and an access token");
    let token = authorization.strip_prefix("Bearer ").ok_or_else(wrong)?;
    let token: AccessToken = token.parse().map_err(|_| wrong())?;
    let released = gateway.service.bundle(id, &token).await?;
    let file = released.bundle.to_bytes().map_err(|error| ApiError::internal(&error))?;
    let kind = (CONTENT_TYPE, HeaderValue::from_static(BUNDLE_MEDIA_TYPE));
    let cache = (CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    let mut response = ([kind, cache], file).into_response();
    if let Some(settlement) = &released.settlement {
        settlement_header(&mut response, settlement);
    }
    Ok(response)
}

/// Returns a piece of evidence by its digest.
#[utoipa::path(get, path = "/v1/evidence/{sha256}", tag = "assay",
    params(("sha256", description = "the evidence's SHA-256, hexadecimal")),
    responses(
        (status = 200, description = "the evidence", content_type = "application/octet-stream"),
        (status = 404, body = crate::error::ErrorBody)))]
pub(crate) async fn evidence(
    State(gateway): State<Gateway>,
    PathText(sha256): PathText,
) -> Result<Response, ApiError> {
    let unknown = |message: String| ApiError::new(ErrorCode::UnknownEvidence, message);
    let digest: Digest = sha256.parse().map_err(|error| unknown(format!("{error}")))?;
    let found = gateway.service.evidence(digest).await;
    let content = found.map_err(|error| ApiError::internal(&error))?;
    let content = content.ok_or_else(|| unknown(format!("there is no evidence {digest}")))?;
    // Content-addressed: it can never be another.
    let cache = HeaderValue::from_static("public, max-age=31536000, immutable");
    let kind = HeaderValue::from_static("application/octet-stream");
    Ok(([(CONTENT_TYPE, kind), (CACHE_CONTROL, cache)], content).into_response())
}
