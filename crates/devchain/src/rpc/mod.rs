//! JSON-RPC 2.0: from the bytes of a request to the bytes of its answer.

mod convert;
mod error;
mod methods;
mod params;

use serde_json::{Map, Value, json};

pub(crate) use error::RpcError;
use params::Params;

use crate::chain::DevChain;

/// The most requests in one batch.
const BATCH_LIMIT: usize = 1000;

/// The answers of a batch may be this long together; requests after that are refused.
const ANSWER_LIMIT: usize = 32 * 1024 * 1024;

/// Answers a request or a batch. There is no answer to notifications.
pub(crate) fn answer(chain: &DevChain, body: &[u8]) -> Option<String> {
    match serde_json::from_slice(body) {
        Ok(Value::Array(requests)) => answer_batch(chain, requests),
        Ok(request) => answer_one(chain, request),
        Err(error) => Some(failure(RpcError::parse(error.to_string()))),
    }
}

/// Returns the answer to a request that could not even be read.
pub(crate) fn failure(error: RpcError) -> String {
    respond(&Value::Null, Err(error))
}

fn answer_batch(chain: &DevChain, requests: Vec<Value>) -> Option<String> {
    if requests.is_empty() {
        return Some(failure(RpcError::invalid_request("the batch is empty")));
    }
    if requests.len() > BATCH_LIMIT {
        let reason = format!("{} requests in a batch, limit {BATCH_LIMIT}", requests.len());
        return Some(failure(RpcError::invalid_request(reason)));
    }
    let mut answers = String::new();
    for request in requests {
        let answer = if answers.len() > ANSWER_LIMIT {
            let id = request.get("id").cloned().unwrap_or_default();
            let reason = format!("the answers of the batch exceed {ANSWER_LIMIT} bytes");
            Some(respond(&id, Err(RpcError::too_large(reason))))
        } else {
            answer_one(chain, request)
        };
        if let Some(answer) = answer {
            answers.push(if answers.is_empty() { '[' } else { ',' });
            answers.push_str(&answer);
        }
    }
    if answers.is_empty() {
        return None;
    }
    answers.push(']');
    Some(answers)
}

fn answer_one(chain: &DevChain, request: Value) -> Option<String> {
    let Value::Object(mut request) = request else {
        return Some(failure(RpcError::invalid_request("neither an object nor an array")));
    };
    let id = request.remove("id");
    if !matches!(id, None | Some(Value::Null | Value::Number(_) | Value::String(_))) {
        return Some(failure(RpcError::invalid_request("the id is no number, string or null")));
    }
    let result = dispatch(chain, request);
    // Without an id it is a notification, which gets no answer even if it fails.
    id.map(|id| respond(&id, result))
}

fn dispatch(chain: &DevChain, mut request: Map<String, Value>) -> Result<Value, RpcError> {
    if request.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(RpcError::invalid_request("jsonrpc must be \"2.0\""));
    }
    let Some(Value::String(method)) = request.remove("method") else {
        return Err(RpcError::invalid_request("the method is missing or no string"));
    };
    let params = Params::new(request.remove("params"))?;
    methods::call(chain, &method, params)
}

fn respond(id: &Value, result: Result<Value, RpcError>) -> String {
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }),
    }
    .to_string()
}
