use serde_json::{Map, Value};
use thiserror::Error;

use crate::wire::json_equal;

/// An addition that would change what the seller declared.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("extensions.{path}: declared by the seller, cannot be changed")]
pub struct ExtensionConflict {
    /// Where, with dots between keys.
    pub path: String,
}

/// Echoes a seller's extensions and adds to them. Objects are merged key by key; what the seller
/// declared is neither deleted nor overwritten (x402 version 2, extensions).
///
/// # Errors
/// When an addition has another value where the seller has one.
pub fn merge_extensions(
    declared: Option<&Map<String, Value>>,
    additions: &Map<String, Value>,
) -> Result<Option<Map<String, Value>>, ExtensionConflict> {
    if declared.is_none() && additions.is_empty() {
        return Ok(None);
    }
    let mut merged = declared.cloned().unwrap_or_default();
    merge_into(&mut merged, additions).map_err(|path| ExtensionConflict { path })?;
    Ok(Some(merged))
}

fn merge_into(
    target: &mut Map<String, Value>,
    additions: &Map<String, Value>,
) -> Result<(), String> {
    for (key, addition) in additions {
        match (target.get_mut(key), addition) {
            (None, addition) => {
                target.insert(key.clone(), addition.clone());
            }
            (Some(Value::Object(present)), Value::Object(addition)) => {
                merge_into(present, addition).map_err(|path| format!("{key}.{path}"))?;
            }
            (Some(present), addition) if json_equal(present, addition) => {}
            (Some(_), _) => return Err(key.clone()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check_extensions_echo;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn additions_join_what_is_declared() {
        let declared =
            object(&json!({"payment-identifier": {"info": {"required": true}, "schema": {}}}));
        let additions = object(&json!({"payment-identifier": {"info": {"id": "x"}}, "own": 1}));
        let merged = merge_extensions(Some(&declared), &additions).unwrap().unwrap();
        let expected = json!({
            "payment-identifier": {"info": {"required": true, "id": "x"}, "schema": {}},
            "own": 1,
        });
        assert_eq!(Value::Object(merged.clone()), expected);
        assert_eq!(check_extensions_echo(&declared, Some(&merged)), Ok(()));
        assert_eq!(merge_extensions(None, &Map::new()), Ok(None));
    }

    #[test]
    fn what_is_declared_stays() {
        let declared = object(&json!({"a": {"info": {"required": true}}, "b": [1]}));
        for (addition, path) in [
            (json!({"a": {"info": {"required": false}}}), "a.info.required"),
            (json!({"a": null}), "a"),
            (json!({"b": [1, 2]}), "b"),
        ] {
            let addition = object(&addition);
            let error = merge_extensions(Some(&declared), &addition).unwrap_err();
            assert_eq!(error.path, path);
            let missing = check_extensions_echo(&declared, Some(&addition)).unwrap_err();
            assert!(!missing.is_empty());
        }
        assert_eq!(check_extensions_echo(&declared, None), Err("a".to_owned()));
    }
}
