//! How far a purchase is, as events that its client reads while it runs (server-sent events, WHATWG HTML, section 9.2):
//! `accepted` first, `progress` for each step, and `result` or `error` last.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use assay_primitives::{AccessToken, InferenceOutput};
use assay_service::{ItemProgress, ItemState, Progress, Purchase, PurchaseError, Started};
use assay_x402::SettleResponse;
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt as _};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::delivery::{Form, name_transaction};
use crate::error::ErrorBody;
use crate::oip::OutputTensor;
use crate::paywall::outcome_error;

/// How often a stream of events says that it is still there.
const ALIVE: Duration = Duration::from_secs(10);

/// From how many items on their states are told together, and how often.
const MANY_ITEMS: usize = 32;
const NOW_AND_THEN: Duration = Duration::from_millis(500);

/// The `data` of an event; which of them it is says `event`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum PurchaseEvent<'a> {
    /// `accepted`: the payment is this purchase's.
    Accepted(AcceptedEvent),
    /// `progress`: how far it is.
    Progress(ProgressEvent<'a>),
    /// `result`: the last one of a purchase that succeeded.
    Result(ResultEvent<'a>),
    /// `error`: the last one of one that did not.
    Error(ErrorEvent),
}

/// The body of an error, with the status that an answer would have had.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorEvent {
    status: u16,
    #[serde(flatten)]
    body: ErrorBody,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AcceptedEvent {
    transaction_id: String,
    /// Opens the bundle; none when a hash of one was sent, and for who asks at the purchase's location.
    access_token: Option<String>,
    /// Where to ask for the result; none where the client did not ask for one.
    location: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ProgressEvent<'a> {
    /// `queued`, `running` or `settling`.
    state: &'static str,
    /// What is done of one inference, where its method tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'a str>,
    /// Of a transaction: the items of which there is news since the event before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<ItemEvent<'a>>,
}

/// How far an item is: nothing of its contents, which the commitment hides, but for what is released before the payment
/// is settled.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ItemEvent<'a> {
    id: &'a str,
    /// `waiting`, `running`, `certified` or `failed`. One whose input is built of outputs that have not left stays
    /// `waiting`: how far it is may tell of them.
    state: &'static str,
    /// What is done of it, where its method tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'a str>,
    /// How long it took, from when its input was there, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<u64>,
    /// The commitment to its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_commitment: Option<String>,
    /// What it gave, where that is released early.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<OutputTensor<'a>>>)]
    outputs: Option<Value>,
    /// Why it failed, as the receipt will have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Whether it is charged although it failed: its buyer ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    charged: Option<bool>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ResultEvent<'a> {
    /// What the answer would have been.
    #[schema(value_type = Object)]
    response: Value,
    /// x402's SettleResponse; none where results are released before the payment is settled.
    #[schema(value_type = Option<Object>)]
    settlement: Option<&'a SettleResponse>,
}

/// Streams how far a purchase is, and at its end the result or what became of it.
pub(crate) fn events(started: Started, wanted: Form, location: Option<&AccessToken>) -> Response {
    let Started { transaction, access_token, progress } = started;
    let first = event(&PurchaseEvent::Accepted(AcceptedEvent {
        transaction_id: transaction.to_string(),
        access_token: access_token.as_ref().map(AccessToken::reveal),
        location: location.map(|location| format!("/v1/jobs/{}", location.reveal())),
    }));
    let mut told = Vec::new();
    let told = states(progress).map(move |progress| match &progress {
        Progress::Ended(outcome) => last_event(outcome.as_ref(), &wanted),
        state => {
            let next = event(&PurchaseEvent::Progress(progress_event(state, &told)));
            if !state.items().is_empty() {
                told = state.items().to_vec();
            }
            next
        }
    });
    let stream: Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>> =
        Box::pin(stream::iter([first]).chain(told).map(Ok));
    let mut response = Sse::new(stream)
        .keep_alive(KeepAlive::new().interval(ALIVE))
        .into_response()
        .map(Body::new);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    name_transaction(headers, transaction, access_token.as_ref());
    response
}

/// Returns how far a purchase is: with the stage where the method tells one, and of several items with
/// what is new of each since it was `told`.
fn progress_event<'a>(progress: &'a Progress, told: &[ItemProgress]) -> ProgressEvent<'a> {
    let items = progress.items().iter();
    let news = items.enumerate().filter(|(index, item)| told.get(*index) != Some(*item));
    let items = news.filter_map(|(_, item)| item_event(item)).collect();
    ProgressEvent { state: progress.name(), stage: progress.stage(), items }
}

fn item_event(item: &ItemProgress) -> Option<ItemEvent<'_>> {
    let id = item.id.as_ref()?.as_str();
    let is = |state| ItemEvent { id, state, ..ItemEvent::default() };
    Some(match &item.state {
        ItemState::Waiting => is("waiting"),
        ItemState::Running(stage) => ItemEvent { stage: *stage, ..is("running") },
        ItemState::Certified { took, output_commitment, output } => ItemEvent {
            latency_us: Some(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            output_commitment: Some(output_commitment.to_string()),
            outputs: output.as_deref().map(outputs),
            ..is("certified")
        },
        ItemState::Failed(failure) => ItemEvent {
            reason: Some(failure.as_str()),
            charged: Some(failure.is_charged()),
            ..is("failed")
        },
    })
}

/// Returns what an item gave.
fn outputs(output: &InferenceOutput) -> Value {
    let outputs: Vec<OutputTensor<'_>> = output.outputs.iter().map(OutputTensor::json).collect();
    serde_json::to_value(outputs).unwrap_or_default()
}

/// Gives each state of a purchase, its end last.
fn states(progress: watch::Receiver<Progress>) -> impl Stream<Item = Progress> {
    stream::unfold((progress, true, false), |(mut progress, is_first, is_over)| async move {
        if is_over {
            return None;
        }
        if !is_first {
            // Each state of many items is a copy of all of them: who reads has them now and then.
            if progress.borrow().items().len() > MANY_ITEMS {
                let ends = progress.wait_for(|state| matches!(state, Progress::Ended(_)));
                let _ = tokio::time::timeout(NOW_AND_THEN, ends).await;
                progress.mark_changed();
            }
            if progress.changed().await.is_err() {
                return None;
            }
        }
        let state = progress.borrow_and_update().clone();
        let is_over = matches!(state, Progress::Ended(_));
        Some((state, (progress, false, is_over)))
    })
}

fn last_event(outcome: &Result<Purchase, PurchaseError>, wanted: &Form) -> Event {
    let result = match outcome {
        Ok(purchase) => wanted.json(purchase).map(|response| {
            let settlement = purchase.settlement.as_ref();
            PurchaseEvent::Result(ResultEvent { response, settlement })
        }),
        Err(error) => Err(outcome_error(error, None)),
    };
    event(&result.unwrap_or_else(|error| {
        let status = error.code().status().as_u16();
        PurchaseEvent::Error(ErrorEvent { status, body: error.into_body() })
    }))
}

fn event(data: &PurchaseEvent<'_>) -> Event {
    let kind = match data {
        PurchaseEvent::Accepted(_) => "accepted",
        PurchaseEvent::Progress(_) => "progress",
        PurchaseEvent::Result(_) => "result",
        PurchaseEvent::Error(_) => "error",
    };
    Event::default().event(kind).data(serde_json::to_string(data).unwrap_or_default())
}
