use assay_primitives::AccessToken;
use assay_service::{Asked, Cancelled, PurchaseError, Started, Status};
use assay_store::{StoreError, TransactionState};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::delivery::{self, Form, Wanted, accepted, unknown_job};
use crate::events::{PurchaseEvent, events};
use crate::oip;
use crate::path::PathText;
use crate::paywall;
use crate::{ApiError, ErrorCode, Gateway};

/// Says how far a purchase is; once it is over, answers as the request that began it would have been.
#[utoipa::path(get, path = "/v1/jobs/{location}", tag = "assay",
    params(("location" = String, Path, description = "what the 202's `Location` ends with: keep it secret")),
    responses(
        (status = 200, description = "what the request would have been answered, of a transaction as of \
                `POST /v1/transactions`; while it is under way, with `Accept: text/event-stream`, its events",
            content((oip::InferResponse = "application/json"), (PurchaseEvent = "text/event-stream")),
            headers(("PAYMENT-RESPONSE", description = "x402 v2 SettleResponse, base64"))),
        (status = 202, description = "under way"),
        (status = 402, body = crate::error::ErrorBody),
        (status = 404, body = crate::error::ErrorBody),
        (status = 409, body = crate::error::ErrorBody),
        (status = 410, body = crate::error::ErrorBody)))]
pub(crate) async fn job(
    State(gateway): State<Gateway>,
    PathText(location): PathText,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let secret: AccessToken = location.parse().map_err(|_| unknown_job())?;
    let asked = gateway.service.purchase_at(&secret).await?.ok_or_else(unknown_job)?;
    let Asked { transaction, status, echo } = asked;
    // Of what is over and erased it is empty: nothing that is still told needs it.
    let wanted = || -> Result<Form, ApiError> {
        serde_json::from_slice(&echo).map_err(|error| ApiError::internal(&error))
    };
    match status {
        Status::UnderWay(progress) => match Wanted::of(&headers) {
            Wanted::Events => {
                let started = Started { transaction, access_token: None, progress };
                Ok(events(started, wanted()?, Some(&secret)))
            }
            Wanted::Answer | Wanted::Location(_) => {
                let state = progress.borrow().name();
                Ok(accepted(transaction, state, &secret, None))
            }
        },
        Status::Open(TransactionState::Reserved) => {
            Ok(accepted(transaction, "queued", &secret, None))
        }
        Status::Open(_) => Ok(accepted(transaction, "settling", &secret, None)),
        Status::Released(purchase) => delivery::result(&purchase, &wanted()?, None),
        Status::NotSettled(response) => Err(paywall::not_settled(&response)),
        Status::GivenUp(why) => {
            Err(ApiError::new(ErrorCode::GivenUp, why)
                .with("transactionId", transaction.to_string()))
        }
    }
}

/// Cancels a purchase whose receipt is not stored yet: nothing is charged, and the payment is free
/// again. Of a transaction under `each` that runs, what is certified or has begun is charged and the rest ended:
/// it is `settling`.
#[utoipa::path(delete, path = "/v1/jobs/{location}", tag = "assay",
    params(("location" = String, Path, description = "what the 202's `Location` ends with")),
    responses(
        (status = 200, description = "it is cancelled"),
        (status = 404, body = crate::error::ErrorBody),
        (status = 409, body = crate::error::ErrorBody)))]
pub(crate) async fn cancel(
    State(gateway): State<Gateway>,
    PathText(location): PathText,
) -> Result<Response, ApiError> {
    let secret: AccessToken = location.parse().map_err(|_| unknown_job())?;
    let asked = gateway.service.purchase_at(&secret).await?.ok_or_else(unknown_job)?;
    let transaction = asked.transaction;
    let released = TransactionState::Released.as_str();
    let cancelled =
        |state| Ok(Json(json!({ "transactionId": transaction, "state": state })).into_response());
    match gateway.service.cancel(transaction).await {
        Ok(Cancelled::CutShort) => cancelled("settling"),
        Ok(Cancelled::Released) => cancelled(released),
        // Whoever did not get the answer asks again.
        Err(PurchaseError::Store(StoreError::State { found, .. })) if found == released => {
            cancelled(released)
        }
        Err(PurchaseError::Store(StoreError::State { found, .. })) => {
            let message = format!("the transaction is `{found}`: it is too late to cancel it");
            Err(ApiError::new(ErrorCode::TooLate, message)
                .with("transactionId", transaction.to_string())
                .with("state", found))
        }
        Err(error) => Err(ApiError::internal(&error)),
    }
}
