use serde::Serialize;
use serde_json::Value;

use crate::error::{CallError, SubmitError};

/// A JSON-RPC error, with the codes and wording that client libraries look for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Value>,
}

impl RpcError {
    /// The request is not JSON.
    pub(crate) fn parse(reason: impl Into<String>) -> Self {
        Self::new(-32700, format!("parse error: {}", reason.into()))
    }

    /// The request is JSON but no JSON-RPC request.
    pub(crate) fn invalid_request(reason: impl Into<String>) -> Self {
        Self::new(-32600, format!("invalid request: {}", reason.into()))
    }

    /// There is no such method.
    pub(crate) fn unknown_method(method: &str) -> Self {
        let shown: String = method.chars().take(64).collect();
        Self::new(-32601, format!("the method {shown} does not exist/is not available"))
    }

    /// The parameters are not those of the method.
    pub(crate) fn invalid_params(reason: impl Into<String>) -> Self {
        Self::new(-32602, format!("invalid params: {}", reason.into()))
    }

    /// The answer failed for a reason that is not the client's.
    pub(crate) fn internal(reason: impl Into<String>) -> Self {
        Self::new(-32603, format!("internal error: {}", reason.into()))
    }

    /// The request is well formed, and the chain cannot or will not answer it.
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::new(-32000, reason.into())
    }

    /// The answer would be larger than is allowed.
    pub(crate) fn too_large(reason: impl Into<String>) -> Self {
        Self::new(-32005, reason.into())
    }

    fn new(code: i64, message: String) -> Self {
        Self { code, message, data: None }
    }
}

impl From<CallError> for RpcError {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        match error {
            CallError::Revert { output } => {
                Self { code: 3, message, data: Some(Value::String(output.to_string())) }
            }
            CallError::Invalid(_) => Self::new(-32602, message),
            CallError::Evm(_) => Self::internal(message),
            _ => Self::refused(message),
        }
    }
}

impl From<SubmitError> for RpcError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Malformed(_) => Self::new(-32602, error.to_string()),
            SubmitError::Type(_) | SubmitError::PoolFull { .. } => {
                Self::new(-32003, error.to_string())
            }
            SubmitError::Journal(_) | SubmitError::Evm(_) => Self::internal(error.to_string()),
            error => Self::refused(error.to_string()),
        }
    }
}
