use assay_service::{Purchase, PurchasedItem};
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
    outputs: Vec<OutputTensor<'a>>,
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
    let PurchasedItem { id, model, method, output } = item;
    ItemResponse {
        id: id.as_ref().map_or("", |id| id.as_str()),
        model: ModelResponse {
            name: &model.name,
            version: &model.version,
            id: model.id().to_string(),
        },
        method: method.as_str(),
        outputs: output.outputs.iter().map(OutputTensor::json).collect(),
    }
}
