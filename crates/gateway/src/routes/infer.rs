use assay_primitives::Digest;
use assay_service::Plan;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Deserialize;

use crate::body::receive;
use crate::delivery::{Form, Wanted};
use crate::events::PurchaseEvent;
use crate::headers::{access_token_hash, nonce};
use crate::oip::{self, Infer};
use crate::path::ModelPath;
use crate::paywall::{self, Paywall};
use crate::purchase::{Paid, buy, target};
use crate::{ApiError, ErrorCode, Gateway};

/// How an inference is asked for.
#[derive(Deserialize)]
pub(crate) struct InferQuery {
    method: Option<String>,
}

/// Runs a model, for a payment.
///
/// Without `PAYMENT-SIGNATURE` the answer is 402 with one offer for each method that the model is
/// sold by. With it the payment is checked, the model runs, the receipt is signed, the payment is
/// settled, and then the result is released. With `Prefer: respond-async` the answer is 202 and a
/// location to ask at, as soon as the payment is this request's; with `Accept: text/event-stream`
/// events tell how far it is, and give the result last.
#[utoipa::path(post, path = "/v2/models/{model}/infer", tag = "open-inference",
    params(
        ("model" = String, Path, description = "the model's name"),
        ("method" = Option<String>, Query, description = "narrows the offers to one method"),
        ("PAYMENT-SIGNATURE" = Option<String>, Header, description = "x402 v2 PaymentPayload, base64"),
        ("Assay-Method" = Option<String>, Header, description = "as the query's method"),
        ("Assay-Nonce" = Option<String>, Header, description = "repeated in the receipt"),
        ("Assay-Access-Token-Hash" = Option<String>, Header,
            description = "SHA-256 of the access token the client keeps, hexadecimal"),
        ("Prefer" = Option<String>, Header, description = "respond-async, and wait=SECONDS (RFC 7240)"),
    ),
    request_body = oip::InferRequest,
    responses(
        (status = 200, description = "the result; with `Accept: text/event-stream` events, and the result last",
            content((oip::InferResponse = "application/json"), (PurchaseEvent = "text/event-stream")),
            headers(
            ("PAYMENT-RESPONSE", description = "x402 v2 SettleResponse, base64"),
            ("Assay-Transaction", description = "the transaction's id"),
            ("Assay-Access-Token", description = "opens the bundle; absent when a hash was sent"))),
        (status = 202, description = "under way, with `Prefer: respond-async`", headers(
            ("Location", description = "where to ask for the result; keep it secret"))),
        (status = 400, body = crate::error::ErrorBody),
        (status = 402, description = "payment required, with offers", headers(
            ("PAYMENT-REQUIRED", description = "x402 v2 PaymentRequired, base64"))),
        (status = 404, body = crate::error::ErrorBody),
        (status = 409, body = crate::error::ErrorBody),
        (status = 413, body = crate::error::ErrorBody),
        (status = 429, body = crate::error::ErrorBody),
        (status = 502, body = crate::error::ErrorBody),
        (status = 503, body = crate::error::ErrorBody)))]
pub(crate) async fn infer(
    State(gateway): State<Gateway>,
    ModelPath(entry): ModelPath,
    query: Result<Query<InferQuery>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let target = target(&uri)?;
    let Query(query) =
        query.map_err(|error| ApiError::new(ErrorCode::InvalidQuery, error.body_text()))?;
    let method = paywall::wanted_method(&headers, query.method.as_deref())?;
    let paywall = Paywall::new(&gateway, &entry, target, method.as_ref())?;
    let payment = paywall::payment(&headers)?;
    let (nonce, access_token_hash) = (nonce(&headers)?, access_token_hash(&headers)?);
    let received = receive(&gateway, &headers, body).await?;
    let Some(payment) = payment else {
        // A bare request is a question for the price; a wrong one is told so before it is paid for.
        if !received.bytes.is_empty() {
            oip::read(entry.package().card(), &headers, &received.bytes)?;
        }
        return paywall.challenge(None);
    };
    let Infer { request, header } = oip::read(entry.package().card(), &headers, &received.bytes)?;
    let (body, wanted) = (Digest::of(&received.bytes), Wanted::of(&headers));
    drop(received);
    let paid = Paid { target, payment, nonce, access_token_hash, body, wanted };
    buy(&gateway, &paywall, Plan::of_one(entry.clone(), request), Form::Inference(header), paid)
        .await
}

/// Runs a model's version, for a payment: as the route without a version.
#[utoipa::path(post, path = "/v2/models/{model}/versions/{version}/infer", tag = "open-inference",
    params(
        ("model" = String, Path, description = "the model's name"),
        ("version" = String, Path, description = "its version"),
        ("method" = Option<String>, Query, description = "narrows the offers to one method"),
        ("PAYMENT-SIGNATURE" = Option<String>, Header, description = "x402 v2 PaymentPayload, base64"),
    ),
    request_body = oip::InferRequest,
    responses(
        (status = 200, body = oip::InferResponse),
        (status = 402, description = "payment required, with offers", headers(
            ("PAYMENT-REQUIRED", description = "x402 v2 PaymentRequired, base64"))),
        (status = 404, body = crate::error::ErrorBody)))]
pub(crate) async fn infer_version(
    state: State<Gateway>,
    path: ModelPath,
    query: Result<Query<InferQuery>, QueryRejection>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    infer(state, path, query, uri, headers, body).await
}
