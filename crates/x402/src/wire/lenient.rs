//! How what comes from others is read.

use assay_primitives::printable;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Says whether two JSON values are equal as values: the order of keys and the spelling of numbers
/// (`1`, `1.0`) do not matter. Other implementations parse and write again what they echo.
pub(crate) fn json_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| json_equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| json_equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Returns a text from outside as an error or a log may show it.
pub(crate) fn shown(text: &str) -> String {
    const LIMIT: usize = 200;
    printable(text, LIMIT)
}

/// Reads a positive whole number of seconds, also when it is spelt `60.0`.
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
    let number = serde_json::Number::deserialize(deserializer)?;
    let whole = number.as_u64().or_else(|| {
        let float = number.as_f64()?;
        let fits = float.fract() == 0.0 && (0.0..=LARGEST_EXACT).contains(&float);
        fits.then(|| format!("{float:.0}").parse().ok()).flatten()
    });
    match whole {
        Some(0) | None => Err(D::Error::custom(format!(
            "maxTimeoutSeconds: expected a positive whole number, got {number}"
        ))),
        Some(seconds) => Ok(seconds),
    }
}

/// Reads a list or `null`; `null` is the empty list.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a list and leaves out the entries that cannot be read: an offer in a form unknown here
/// must not hide the offers beside it.
pub(super) fn readable<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let entries: Vec<Value> = Vec::deserialize(deserializer)?;
    Ok(entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equality_is_of_values() {
        assert!(json_equal(&json!({"a": 1, "b": [1.0]}), &json!({"b": [1], "a": 1.0})));
        for (a, b) in [
            (json!({"a": 1}), json!({"a": "1"})),
            (json!({"a": 1}), json!({"a": 1, "b": null})),
            (json!([1, 2]), json!([2, 1])),
            (json!(null), json!(false)),
            (json!({}), json!([])),
        ] {
            assert!(!json_equal(&a, &b), "{a} {b}");
        }
    }
}
