use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::RpcError;

/// The parameters of a request, taken one after the other.
#[derive(Debug)]
pub(crate) struct Params {
    values: std::vec::IntoIter<Value>,
    taken: usize,
}

impl Params {
    /// Reads the `params` of a request: an array, or nothing.
    pub(crate) fn new(params: Option<Value>) -> Result<Self, RpcError> {
        let values = match params {
            Some(Value::Array(values)) => values,
            None | Some(Value::Null) => Vec::new(),
            Some(_) => return Err(RpcError::invalid_params("params must be an array")),
        };
        Ok(Self { values: values.into_iter(), taken: 0 })
    }

    /// Takes the next parameter, which must be there.
    pub(crate) fn required<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, RpcError> {
        self.optional(name)?.ok_or_else(|| {
            let position = self.taken.saturating_sub(1);
            RpcError::invalid_params(format!("missing value for {name} (position {position})"))
        })
    }

    /// Takes the next parameter, if there is one and it is not null.
    pub(crate) fn optional<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, RpcError> {
        let position = self.taken;
        self.taken = self.taken.saturating_add(1);
        match self.values.next() {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value).map(Some).map_err(|error| {
                RpcError::invalid_params(format!("{name} (position {position}): {error}"))
            }),
        }
    }

    /// Makes sure that nothing is left.
    pub(crate) fn end(mut self) -> Result<(), RpcError> {
        if self.values.next().is_some() {
            let reason = format!("too many arguments, want at most {}", self.taken);
            return Err(RpcError::invalid_params(reason));
        }
        Ok(())
    }
}
