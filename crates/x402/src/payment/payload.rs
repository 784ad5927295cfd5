//! The `payload` of a payment, whatever its scheme.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::PaymentRefusal;
use crate::wire::shown;

/// Reads a payload of the kind that has a field; `expected` names all its fields.
pub(crate) fn read_payload<T: DeserializeOwned>(
    payload: &Map<String, Value>,
    field: &str,
    expected: &'static str,
) -> Result<T, PaymentRefusal> {
    if !payload.contains_key(field) {
        let keys: Vec<_> = payload.keys().map(String::as_str).collect();
        return Err(PaymentRefusal::PayloadType { expected, got: shown(&keys.join(", ")) });
    }
    serde_json::from_value(Value::Object(payload.clone()))
        .map_err(|error| PaymentRefusal::Payload { detail: shown(&error.to_string()) })
}

/// Writes a payload.
pub(crate) fn write_payload<T: Serialize>(payload: &T) -> Map<String, Value> {
    match serde_json::to_value(payload) {
        Ok(Value::Object(fields)) => fields,
        // A struct of texts always is an object.
        _ => Map::new(),
    }
}
