//! The x402 extension `verified-inference`: in the 402 it says who sells, what would run and how it
//! can be certified; in the settlement response, which receipt came of it.

use assay_primitives::{Digest, TransactionId};
use serde_json::{Map, Value, json};

use crate::{CatalogueEntry, Certifiers, Operator};

/// The extension's key.
pub const VERIFIED_INFERENCE: &str = "verified-inference";

/// Returns the extension as a 402 declares it.
pub(crate) fn offered_extension(
    operator: &Operator,
    entry: &CatalogueEntry,
    certifiers: &Certifiers,
) -> (String, Value) {
    let methods: Map<String, Value> = entry
        .methods()
        .into_iter()
        .filter_map(|method| certifiers.find(method))
        .map(|certifier| {
            (certifier.method().to_string(), json!({ "believe": certifier.believe() }))
        })
        .collect();
    let info = json!({
        "version": "1",
        "operator": operator.id(),
        "keys": "/.well-known/assay/keys",
        "receipts": "/v1/receipts/{transactionId}",
        "model": { "name": entry.used().name, "id": entry.used().id() },
        "methods": methods,
    });
    (VERIFIED_INFERENCE.to_owned(), json!({ "info": info, "schema": schema() }))
}

/// Returns the extension as a settlement response carries it.
#[must_use]
pub fn settled_extension(transaction: TransactionId, receipt: Digest) -> Map<String, Value> {
    let info = json!({
        "version": "1",
        "transactionId": transaction,
        "receipt": { "sha256": receipt },
        "location": format!("/v1/receipts/{transaction}"),
    });
    Map::from_iter([(VERIFIED_INFERENCE.to_owned(), json!({ "info": info }))])
}

/// What a client may send back: the declared object unchanged.
fn schema() -> Value {
    json!({
        "type": "object",
        "properties": { "version": { "const": "1" } },
        "required": ["version"],
    })
}
