//! The x402 extension `verified-inference`: in the 402 it says who sells, what would run and how it
//! can be certified; in the settlement response, which receipt came of it.

use assay_primitives::{Digest, Method, TransactionId};
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
    let used = entry.used();
    let own = Map::from_iter([
        ("model".to_owned(), json!({ "name": used.name, "id": used.id() })),
        ("methods".to_owned(), methods(entry.methods(), certifiers)),
    ]);
    extension(operator, own)
}

/// Returns the extension with what is said of this very 402.
pub(crate) fn extension(operator: &Operator, own: Map<String, Value>) -> (String, Value) {
    let mut info = Map::from_iter([
        ("version".to_owned(), json!("1")),
        ("operator".to_owned(), json!(operator.id())),
        ("keys".to_owned(), json!("/.well-known/assay/keys")),
        ("receipts".to_owned(), json!("/v1/receipts/{transactionId}")),
    ]);
    info.extend(own);
    (VERIFIED_INFERENCE.to_owned(), json!({ "info": info, "schema": schema() }))
}

/// Says of methods whom a buyer has to believe.
pub(crate) fn methods<'a>(
    methods: impl IntoIterator<Item = &'a Method>,
    certifiers: &Certifiers,
) -> Value {
    let certifiers = methods.into_iter().filter_map(|method| certifiers.find(method));
    let told = certifiers.map(|certifier| {
        (certifier.method().to_string(), json!({ "believe": certifier.believe() }))
    });
    Value::Object(told.collect())
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
