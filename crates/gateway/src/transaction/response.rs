use assay_service::{ItemOutcome, Purchase, PurchasedItem};
use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::oip::OutputTensor;

/// The JSON of a transaction that was bought.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransactionResponse<'a> {
    transaction_id: String,
    /// The receipt's SHA-256.
    receipt: String,
    /// The items, in their order.
    items: Vec<ItemResponse<'a>>,
}

#[derive(Serialize, ToSchema)]
struct ItemResponse<'a> {
    id: &'a str,
    model: ModelResponse<'a>,
    method: &'a str,
    /// Of an item that did not fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Vec<OutputTensor<'a>>>,
    /// Of an item that failed, under `each`.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<FailedResponse<'a>>,
}

#[derive(Serialize, ToSchema)]
struct FailedResponse<'a> {
    /// Why, as the receipt has it.
    reason: &'a str,
    /// Whether it is charged: its buyer ended it.
    charged: bool,
}

#[derive(Serialize, ToSchema)]
struct ModelResponse<'a> {
    name: &'a str,
    version: &'a str,
    /// What ran: the package's digest, or the id of the program compiled from it.
    id: String,
}

/// Writes the result of a transaction.
pub(crate) fn answer(purchase: &Purchase) -> Response {
    Json(response(purchase)).into_response()
}

/// Writes the result of a transaction as a value.
pub(crate) fn json(purchase: &Purchase) -> serde_json::Result<Value> {
    serde_json::to_value(response(purchase))
}

fn response(purchase: &Purchase) -> TransactionResponse<'_> {
    TransactionResponse {
        transaction_id: purchase.transaction.to_string(),
        receipt: purchase.receipt.to_string(),
        items: purchase.items.iter().map(item).collect(),
    }
}

fn item(item: &PurchasedItem) -> ItemResponse<'_> {
    let PurchasedItem { id, model, method, outcome } = item;
    let (outputs, failed) = match outcome {
        ItemOutcome::Ok(output) => {
            (Some(output.outputs.iter().map(OutputTensor::json).collect()), None)
        }
        ItemOutcome::Failed { reason, is_charged } => {
            (None, Some(FailedResponse { reason, charged: *is_charged }))
        }
    };
    ItemResponse {
        id: id.as_ref().map_or("", |id| id.as_str()),
        model: ModelResponse {
            name: &model.name,
            version: &model.version,
            id: model.id().to_string(),
        },
        method: method.as_str(),
        outputs,
        failed,
    }
}
