//! Receiving a request's body, within limits.

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use futures_util::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;

use crate::headers::single;
use crate::state::kibibytes;
use crate::{ApiError, ErrorCode, Gateway};

/// A body, and the room it takes.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Receives a body that is not longer than the limit, in time, and when there is room for it.
pub(crate) async fn receive(
    gateway: &Gateway,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, ApiError> {
    if let Some(encoding) = single(headers, CONTENT_ENCODING.as_str())?
        && encoding != "identity"
    {
        let shown: String = encoding.chars().take(32).collect();
        let message = format!("content-encoding `{shown}` is not taken: send it uncompressed");
        return Err(ApiError::new(ErrorCode::UnsupportedEncoding, message));
    }
    let limit = gateway.config.body_limit;
    // The HTTP server sees to it that a stated length is the body's.
    let length: Option<usize> =
        single(headers, CONTENT_LENGTH.as_str())?.and_then(|length| length.parse().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let room = u32::try_from(kibibytes(length.unwrap_or(limit)).max(1)).unwrap_or(u32::MAX);
    let room = gateway.room.clone().try_acquire_many_owned(room).map_err(|_| {
        let message = "too many requests are being received; nothing was charged, try again";
        ApiError::new(ErrorCode::Busy, message).retry_after(1)
    })?;
    let receiving = collect(body, length, limit);
    match tokio::time::timeout(gateway.config.body_timeout, receiving).await {
        Ok(bytes) => Ok(Received { bytes: bytes?, _room: room }),
        Err(_) => {
            let seconds = gateway.config.body_timeout.as_secs_f32();
            let message = format!("the body did not arrive within {seconds} s");
            Err(ApiError::new(ErrorCode::BodyTimeout, message))
        }
    }
}

async fn collect(body: Body, length: Option<usize>, limit: usize) -> Result<Bytes, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::with_capacity(length.unwrap_or_default());
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|_| ApiError::new(ErrorCode::MalformedRequest, "the body broke off"))?;
        if bytes.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(ErrorCode::BodyTooLarge, format!("the body is more than {limit} bytes"))
}
