//! What a client is told of a purchase: its result or what became of it, at once, at a location to
//! ask at later, or as events.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use assay_primitives::{AccessToken, TransactionId};
use assay_service::{Progress, Purchase, PurchaseError, Started};
use axum::http::header::{CACHE_CONTROL, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Body};
use futures_util::stream::{self, Stream, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::headers::{ACCESS_TOKEN, TRANSACTION, single};
use crate::oip::{self, InferenceHeader};
use crate::paywall::{outcome_error, settlement_header};
use crate::{ApiError, ErrorCode};

/// `Preference-Applied` and `Prefer` (RFC 7240).
const PREFER: &str = "prefer";
const PREFERENCE_APPLIED: &str = "preference-applied";
/// The longest that a `wait` preference is followed.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a stream of events says that it is still there.
const ALIVE: Duration = Duration::from_secs(10);

/// How a client wants to learn of its result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    /// In the answer.
    Answer,
    /// At a location, unless it is there within this time.
    Location(Duration),
    /// As events, the last of them the result.
    Events,
}

impl Wanted {
    /// Reads `Prefer: respond-async, wait=10` and `Accept: text/event-stream`.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        if accepts_events(headers) {
            return Ok(Self::Events);
        }
        let Some(prefer) = single(headers, PREFER)? else { return Ok(Self::Answer) };
        let (mut is_async, mut wait) = (false, Duration::ZERO);
        for preference in prefer.split(',').map(str::trim) {
            match preference.split_once('=') {
                None if preference.eq_ignore_ascii_case("respond-async") => is_async = true,
                Some((name, seconds)) if name.trim().eq_ignore_ascii_case("wait") => {
                    let seconds = seconds.trim().trim_matches('"').parse().unwrap_or(0);
                    wait = Duration::from_secs(seconds).min(LONGEST_WAIT);
                }
                // A preference that is not known here is passed over (RFC 7240, section 2).
                _ => {}
            }
        }
        Ok(if is_async { Self::Location(wait) } else { Self::Answer })
    }
}

pub(crate) fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get("accept").and_then(|accept| accept.to_str().ok());
    accepted.is_some_and(|accept| {
        accept
            .split(',')
            .any(|kind| kind.trim().to_ascii_lowercase().starts_with("text/event-stream"))
    })
}

/// Answers with what became of a purchase.
pub(crate) fn outcome(
    outcome: &Result<Purchase, PurchaseError>,
    wanted: &InferenceHeader,
    access_token: Option<&AccessToken>,
) -> Result<Response, ApiError> {
    match outcome {
        Ok(purchase) => result(purchase, wanted, access_token),
        Err(error) => Err(outcome_error(error, access_token)),
    }
}

/// Answers with a result.
pub(crate) fn result(
    purchase: &Purchase,
    wanted: &InferenceHeader,
    access_token: Option<&AccessToken>,
) -> Result<Response, ApiError> {
    let mut response = oip::answer(purchase, wanted)?;
    if let Some(settlement) = &purchase.settlement {
        settlement_header(&mut response, settlement);
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    name(headers, purchase.transaction, access_token);
    Ok(response)
}

/// Answers 202: how far the purchase is, and where to ask for its result.
pub(crate) fn accepted(
    transaction: TransactionId,
    state: &str,
    location: &AccessToken,
    access_token: Option<&AccessToken>,
) -> Response {
    let location = format!("/v1/jobs/{}", location.reveal());
    let body = json!({ "transactionId": transaction, "state": state, "location": location });
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&location) {
        headers.insert(LOCATION, location);
    }
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    let applied = HeaderName::from_static(PREFERENCE_APPLIED);
    headers.insert(applied, HeaderValue::from_static("respond-async"));
    name(headers, transaction, access_token);
    response
}

fn name(headers: &mut HeaderMap, transaction: TransactionId, access_token: Option<&AccessToken>) {
    let mut add = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    add(TRANSACTION, &transaction.to_string());
    if let Some(token) = access_token {
        add(ACCESS_TOKEN, &token.reveal());
    }
}

/// Streams how far a purchase is, and at its end the result or what became of it.
pub(crate) fn events(
    started: Started,
    wanted: InferenceHeader,
    location: Option<&AccessToken>,
) -> Response {
    let Started { transaction, access_token, progress } = started;
    let first = json!({
        "transactionId": transaction,
        "accessToken": access_token.as_ref().map(|token| token.reveal()),
        "location": location.map(|location| format!("/v1/jobs/{}", location.reveal())),
    });
    let begun = stream::once(async move { Ok(event("accepted", &first)) });
    let told = states(progress).map(move |progress| {
        Ok(match &progress {
            Progress::Ended(outcome) => last_event(outcome.as_ref(), &wanted),
            state => event("progress", &json!({ "state": state.name() })),
        })
    });
    let stream: Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>> =
        Box::pin(begun.chain(told));
    let mut response = Sse::new(stream)
        .keep_alive(KeepAlive::new().interval(ALIVE))
        .into_response()
        .map(Body::new);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    name(headers, transaction, access_token.as_ref());
    response
}

/// Gives each state of a purchase, its end last.
fn states(progress: watch::Receiver<Progress>) -> impl Stream<Item = Progress> {
    stream::unfold((progress, true, false), |(mut progress, is_first, is_over)| async move {
        if is_over {
            return None;
        }
        if !is_first && progress.changed().await.is_err() {
            return None;
        }
        let state = progress.borrow_and_update().clone();
        let is_over = matches!(state, Progress::Ended(_));
        Some((state, (progress, false, is_over)))
    })
}

fn last_event(outcome: &Result<Purchase, PurchaseError>, wanted: &InferenceHeader) -> Event {
    let result = match outcome {
        Ok(purchase) => oip::json(purchase, wanted)
            .map(|body| json!({ "response": body, "settlement": purchase.settlement }))
            .map_err(|error| ApiError::internal(&error)),
        Err(error) => Err(outcome_error(error, None)),
    };
    match result {
        Ok(result) => event("result", &result),
        Err(error) => event("error", &error.to_json()),
    }
}

fn event(kind: &str, data: &Value) -> Event {
    Event::default().event(kind).data(data.to_string())
}

/// What is said at a location that nobody was told of.
pub(crate) fn unknown_job() -> ApiError {
    ApiError::new(ErrorCode::UnknownJob, "there is no such job")
}
