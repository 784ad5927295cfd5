use assay_primitives::Digest;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use crate::body::receive;
use crate::delivery::{Form, TransactionTag, Wanted};
use crate::events::PurchaseEvent;
use crate::headers::{access_token_hash, nonce};
use crate::paywall::{self, Paywall};
use crate::purchase::{Paid, buy, target};
use crate::transaction;
use crate::{ApiError, Gateway};

/// Runs several models, for one payment.
///
/// Without `PAYMENT-SIGNATURE` the answer is 402 with one offer for each asset in which every item has a
/// price, and with the prices of the items in its body. With it every item is run and certified as its
/// buyer chose, as parallel as their references allow, one receipt over all of them is signed, the payment
/// is settled, and then the results are released. Under the outcome policy `all` one item that fails means that
/// nothing is charged and nothing is released; under `each` what failed is not charged. `Prefer: respond-async` and `Accept: text/event-stream` are as for one inference; events tell
/// how far each item is.
#[utoipa::path(post, path = "/v1/transactions", tag = "assay",
    params(
        ("PAYMENT-SIGNATURE" = Option<String>, Header, description = "x402 v2 PaymentPayload, base64"),
        ("Assay-Nonce" = Option<String>, Header, description = "repeated in the receipt"),
        ("Assay-Access-Token-Hash" = Option<String>, Header,
            description = "SHA-256 of the access token the client keeps, hexadecimal"),
        ("Prefer" = Option<String>, Header, description = "respond-async, and wait=SECONDS (RFC 7240)"),
    ),
    request_body = transaction::TransactionRequest,
    responses(
        (status = 200, description = "the results; with `Accept: text/event-stream` events, and the results last",
            content((transaction::TransactionResponse = "application/json"), (PurchaseEvent = "text/event-stream")),
            headers(
            ("PAYMENT-RESPONSE", description = "x402 v2 SettleResponse, base64"),
            ("Assay-Transaction", description = "the transaction's id"),
            ("Assay-Access-Token", description = "opens the bundle; absent when a hash was sent"))),
        (status = 202, description = "under way, with `Prefer: respond-async`", headers(
            ("Location", description = "where to ask for the result; keep it secret"))),
        (status = 400, body = crate::error::ErrorBody),
        (status = 402, description = "payment required, with offers, and a quote in the body", headers(
            ("PAYMENT-REQUIRED", description = "x402 v2 PaymentRequired, base64"))),
        (status = 404, body = crate::error::ErrorBody),
        (status = 409, body = crate::error::ErrorBody),
        (status = 413, body = crate::error::ErrorBody),
        (status = 429, body = crate::error::ErrorBody),
        (status = 502, body = crate::error::ErrorBody),
        (status = 503, body = crate::error::ErrorBody)))]
pub(crate) async fn transact(
    State(gateway): State<Gateway>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let target = target(&uri)?;
    let payment = paywall::payment(&headers)?;
    let (nonce, access_token_hash) = (nonce(&headers)?, access_token_hash(&headers)?);
    let received = receive(&gateway, &headers, body).await?;
    let plan = transaction::read(&gateway.service, &received.bytes)?;
    let plan = match &payment {
        Some(payment) => gateway.service.as_quoted(plan, payment).await,
        None => Ok(plan),
    };
    let plan = plan.map_err(|error| ApiError::internal(&error))?;
    let paywall = Paywall::of_transaction(&gateway, &plan, target)?;
    let Some(payment) = payment else { return paywall.challenge(None) };
    let (body, wanted) = (Digest::of(&received.bytes), Wanted::of(&headers));
    drop(received);
    let paid = Paid { target, payment, nonce, access_token_hash, body, wanted };
    buy(&gateway, &paywall, plan, Form::Transaction(TransactionTag::Transaction), paid).await
}
