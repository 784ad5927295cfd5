//! Receiving a request's body, within limits.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::headers::single;
use crate::state::kibibytes;
use crate::{ApiError, ErrorCode, Gateway};

/// A body, and the room it takes.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _room: Room,
}

/// Receives a body that is not longer than the limit, in time, and while there is room for it. Only
/// what has come takes room: a body that is announced and does not come hinders nobody.
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
    let receiving = collect(body, limit, Room::new(gateway));
    match tokio::time::timeout(gateway.config.body_timeout, receiving).await {
        Ok(received) => received,
        Err(_) => {
            let seconds = gateway.config.body_timeout.as_secs_f32();
            let message = format!("the body did not arrive within {seconds} s");
            Err(ApiError::new(ErrorCode::BodyTimeout, message))
        }
    }
}

async fn collect(body: Body, limit: usize, mut room: Room) -> Result<Received, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|_| ApiError::new(ErrorCode::MalformedRequest, "the body broke off"))?;
        let length = bytes.len().saturating_add(chunk.len());
        if length > limit {
            return Err(too_large(limit));
        }
        room.hold(length)?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(Received { bytes: bytes.into(), _room: room })
}

/// The room that one body takes of what all share; it is given back with this.
struct Room {
    shared: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Room {
    fn new(gateway: &Gateway) -> Self {
        Self { shared: Arc::clone(&gateway.room), held: None }
    }

    /// Takes what is missing to hold so many bytes.
    fn hold(&mut self, bytes: usize) -> Result<(), ApiError> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = kibibytes(bytes).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.shared).try_acquire_many_owned(missing).map_err(|_| {
            let message = "too many requests are being received; nothing was charged, try again";
            ApiError::new(ErrorCode::Busy, message).retry_after(1)
        })?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(ErrorCode::BodyTooLarge, format!("the body is more than {limit} bytes"))
}
