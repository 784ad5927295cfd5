//! What a client is told of a purchase: its result or what became of it, at once or at a location to ask at later.

use std::time::Duration;

use assay_primitives::{AccessToken, InferenceOutput, TransactionId};
use assay_service::{ItemOutcome, Purchase, PurchaseError, PurchasedItem};
use axum::Json;
use axum::http::header::{CACHE_CONTROL, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::headers::{ACCESS_TOKEN, TRANSACTION, members, parameter, split};
use crate::oip::{self, InferenceHeader};
use crate::paywall::{outcome_error, settlement_header};
use crate::{ApiError, ErrorCode, transaction};

/// `Preference-Applied` and `Prefer` (RFC 7240).
const PREFER: &str = "prefer";
const PREFERENCE_APPLIED: &str = "preference-applied";
/// The longest that a `wait` preference is followed.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
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
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if accepts_events(headers) {
            return Self::Events;
        }
        let (mut is_async, mut wait) = (None, None);
        for preference in members(headers, PREFER) {
            // Parameters after it, and preferences that are not known here, are passed over; of one
            // that is given twice the first counts (RFC 7240, section 2).
            let (name, value) = parameter(split(preference, ';').next().unwrap_or_default());
            if name.eq_ignore_ascii_case("respond-async") {
                is_async.get_or_insert(value.is_empty());
            } else if name.eq_ignore_ascii_case("wait") {
                wait.get_or_insert(seconds(value));
            }
        }
        match is_async {
            Some(true) => Self::Location(wait.unwrap_or_default().min(LONGEST_WAIT)),
            _ => Self::Answer,
        }
    }
}

/// Reads a number of seconds: more than can be counted is very long, anything else is none.
fn seconds(text: &str) -> Duration {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { Duration::from_secs(text.parse().unwrap_or(u64::MAX)) } else { Duration::ZERO }
}

/// Says whether a client takes events, and does not like JSON better (RFC 9110, section 12.5.1).
fn accepts_events(headers: &HeaderMap) -> bool {
    let weight = |kind: &str| {
        let asked = members(headers, "accept").filter_map(|range| {
            let mut parts = split(range, ';');
            let is_kind = parts.next()?.eq_ignore_ascii_case(kind);
            let weight = parts.map(parameter).find(|(name, _)| name.eq_ignore_ascii_case("q"));
            is_kind.then(|| weight.map_or(1.0, |(_, weight)| weight.parse::<f32>().unwrap_or(0.0)))
        });
        asked.fold(0.0, f32::max)
    };
    let events = weight("text/event-stream");
    events > 0.0 && events >= weight("application/json")
}

/// How a result is written: kept with a purchase, for who asks for it later.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum Form {
    /// As the Open Inference Protocol has it.
    Inference(InferenceHeader),
    /// As that of a transaction.
    Transaction(TransactionTag),
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) enum TransactionTag {
    #[serde(rename = "transaction")]
    Transaction,
}

impl Form {
    fn answer(&self, purchase: &Purchase) -> Result<Response, ApiError> {
        match self {
            Self::Inference(header) => oip::answer(purchase, only(purchase)?, header),
            Self::Transaction(_) => Ok(transaction::answer(purchase)),
        }
    }

    pub(crate) fn json(&self, purchase: &Purchase) -> Result<Value, ApiError> {
        let written = match self {
            Self::Inference(header) => oip::json(purchase, only(purchase)?, header),
            Self::Transaction(_) => transaction::json(purchase),
        };
        written.map_err(|error| ApiError::internal(&error))
    }
}

fn only(purchase: &Purchase) -> Result<(&PurchasedItem, &InferenceOutput), ApiError> {
    match purchase.items.first() {
        Some(item @ PurchasedItem { outcome: ItemOutcome::Ok(output), .. }) => Ok((item, output)),
        _ => Err(ApiError::new(ErrorCode::Internal, "no item was bought")),
    }
}

/// Answers with what became of a purchase.
pub(crate) fn outcome(
    outcome: &Result<Purchase, PurchaseError>,
    wanted: &Form,
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
    wanted: &Form,
    access_token: Option<&AccessToken>,
) -> Result<Response, ApiError> {
    let mut response = wanted.answer(purchase)?;
    if let Some(settlement) = &purchase.settlement {
        settlement_header(&mut response, settlement);
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    name_transaction(headers, purchase.transaction, access_token);
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
    name_transaction(headers, transaction, access_token);
    response
}

/// Puts the transaction's name into the headers, and its access token.
pub(crate) fn name_transaction(
    headers: &mut HeaderMap,
    transaction: TransactionId,
    access_token: Option<&AccessToken>,
) {
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

/// What is said at a location that nobody was told of.
pub(crate) fn unknown_job() -> ApiError {
    ApiError::new(ErrorCode::UnknownJob, "there is no such job")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &'static str, lines: &[&str]) -> Wanted {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        Wanted::of(&headers)
    }

    #[test]
    fn preferences_are_read_as_the_standard_has_them() {
        let after = |seconds| Wanted::Location(Duration::from_secs(seconds));
        for (lines, expected) in [
            (&["respond-async"][..], after(0)),
            (&["Respond-ASYNC"], after(0)),
            (&["respond-async; foo=bar"], after(0)),
            (&["respond-async ;foo ; bar=\"a, b\", wait=10"], after(10)),
            (&["respond-async=\"\""], after(0)),
            (&["wait = 10 ; x=1 ,,respond-async"], after(10)),
            (&["WAIT=\"10\"", "handling=lenient", "respond-async"], after(10)),
            (&["respond-async, wait=10, wait=20"], after(10)),
            (&["respond-async, wait=99999999999999999999"], after(60)),
            (&["respond-async, wait=-1"], after(0)),
            (&["respond-async, wait=+5"], after(0)),
            (&["respond-async, wait=soon"], after(0)),
            (&["grüße", "respond-async"], after(0)),
            (&[], Wanted::Answer),
            (&[""], Wanted::Answer),
            (&["wait=10"], Wanted::Answer),
            (&["respond-async=no, respond-async"], Wanted::Answer),
            (&["foo; respond-async"], Wanted::Answer),
            (&["foo=\"a, respond-async\""], Wanted::Answer),
            (&["respond-asynchronously"], Wanted::Answer),
        ] {
            assert_eq!(wanted(PREFER, lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn events_are_for_who_takes_them() {
        for (lines, expected) in [
            (&["text/event-stream"][..], Wanted::Events),
            (&["Text/Event-Stream; charset=utf-8"], Wanted::Events),
            (&["application/json, text/event-stream"], Wanted::Events),
            (&["application/json; q=0.5", "text/event-stream; q=0.9"], Wanted::Events),
            (&["text/event-stream; Q=0.001"], Wanted::Events),
            (&["text/event-stream;q=0"], Wanted::Answer),
            (&["text/event-stream;q=no"], Wanted::Answer),
            (&["application/json, text/event-stream;q=0.5"], Wanted::Answer),
            (&["text/event-streams"], Wanted::Answer),
            (&["text/plain; x=\", text/event-stream\""], Wanted::Answer),
            (&["*/*"], Wanted::Answer),
        ] {
            assert_eq!(wanted("accept", lines), expected, "{lines:?}");
        }
    }
}
