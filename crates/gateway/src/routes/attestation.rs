use assay_attest::{KEY_ATTESTATION_MEDIA_TYPE, MAX_NONCE};
use assay_primitives::encoding;
use assay_service::CertifierError;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tracing::warn;

use crate::{ApiError, ErrorCode, Gateway};

/// The fewest bytes of a nonce that nobody can have guessed.
const MIN_NONCE: usize = 8;
/// After how many seconds to ask again.
const PAUSE: u32 = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    nonce: Option<String>,
}

/// Returns the key attestation of the enclave that certifies by `tee` now; with a nonce new evidence
/// that answers it.
#[utoipa::path(get, path = "/v1/attestation", tag = "assay",
    params(("nonce" = Option<String>, Query,
        description = "8 to 64 bytes that nobody can guess, in lower-case hexadecimal")),
    responses(
        (status = 200, description = "the key attestation", body = Object,
            content_type = "application/vnd.assay.key-attestation.v1+json"),
        (status = 400, body = crate::error::ErrorBody),
        (status = 404, body = crate::error::ErrorBody),
        (status = 503, body = crate::error::ErrorBody)))]
pub(crate) async fn attestation(
    State(gateway): State<Gateway>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(asked) =
        asked.map_err(|error| ApiError::new(ErrorCode::InvalidQuery, error.body_text()))?;
    let nonce = asked.nonce.as_deref().map(nonce).transpose()?;
    let file = gateway.service.attestation(nonce).await.map_err(|error| unavailable(&error))?;
    let file = file.ok_or_else(|| {
        ApiError::new(ErrorCode::NoAttestation, "nothing certifies in an enclave here")
    })?;
    // What certifies now is another one soon.
    let headers = [(CONTENT_TYPE, KEY_ATTESTATION_MEDIA_TYPE), (CACHE_CONTROL, "no-store")];
    Ok((headers, file).into_response())
}

fn nonce(text: &str) -> Result<Vec<u8>, ApiError> {
    let nonce = encoding::hex_bytes(text).filter(|n| (MIN_NONCE..=MAX_NONCE).contains(&n.len()));
    nonce.ok_or_else(|| {
        let message = format!(
            "nonce: expected {MIN_NONCE} to {MAX_NONCE} bytes in lower-case hexadecimal, got {} characters",
            text.len()
        );
        ApiError::new(ErrorCode::InvalidQuery, message)
    })
}

fn unavailable(error: &CertifierError) -> ApiError {
    if *error == CertifierError::Busy {
        return ApiError::new(ErrorCode::Busy, "too much evidence is asked for").retry_after(PAUSE);
    }
    warn!(%error, "There is no attestation to be had.");
    let message = "the enclave gives no evidence now";
    ApiError::new(ErrorCode::AttestationUnavailable, message).retry_after(PAUSE)
}
