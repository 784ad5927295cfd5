//! JSON-RPC 2.0 over HTTP: one request, one answer, both bounded.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::{SolInterface, decode_revert_reason};
use assay_primitives::{Clock, printable};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use crate::bindings::PermitErrors::PermitErrorsErrors;
use crate::bindings::TokenErrors::TokenErrorsErrors;
use crate::{ChainError, http_client};

/// More than any answer that is asked for here, logs of a range of blocks included.
const MAX_ANSWER: usize = 8 << 20;

/// The most characters of a node's or a contract's words that are kept.
const MAX_TEXT: usize = 240;

/// How often a read is sent when the node is busy or the connection breaks, and the pause before
/// the second; it doubles.
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A JSON-RPC client. It prints as its host: the rest of the URL may be a secret.
pub(crate) struct Rpc {
    http: reqwest::Client,
    url: Url,
    next_id: AtomicU64,
    observer: Option<(Arc<dyn Clock>, Arc<dyn RpcObserver>)>,
}

/// Is told of each JSON-RPC request, repetitions included.
pub trait RpcObserver: fmt::Debug + Send + Sync {
    /// A request is answered, or given up; `error` is why it has no usable answer.
    fn called(&self, method: &'static str, error: Option<&ChainError>, took: Duration);
}

/// What went wrong, before the method is known.
enum Failure {
    /// The node may not have seen the request, or was too busy: a read may be sent again.
    Transient(ChainError),
    Final(ChainError),
    Refused(ErrorObject),
}

/// A JSON-RPC error object.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorObject {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Option<Value>,
}

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: P,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<ErrorObject>,
}

impl Rpc {
    pub(crate) fn new(
        url: &str,
        connect_timeout: Duration,
        timeout: Duration,
    ) -> Result<Self, ChainError> {
        // The text is not repeated: it may hold a key.
        let url: Url = url.parse().map_err(|error| ChainError::Url(format!("{error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ChainError::Url(format!("expected http or https, got {}", url.scheme())));
        }
        let http = http_client(&url, connect_timeout, timeout)
            .map_err(|error| ChainError::Url(describe(&error)))?;
        Ok(Self { http, url, next_id: AtomicU64::new(1), observer: None })
    }

    /// Tells an observer of each request, timed by this clock.
    pub(crate) fn observe(&mut self, clock: Arc<dyn Clock>, observer: Arc<dyn RpcObserver>) {
        self.observer = Some((clock, observer));
    }

    /// Sends a request that changes nothing; sends it again when the node is busy.
    pub(crate) async fn read<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl Serialize + Clone,
    ) -> Result<R, ChainError> {
        self.persist(method, params).await.map_err(|failure| failure.into_error(method))
    }

    /// Sends a call or a gas estimate: as [`Rpc::read`], and an error that carries revert data, or
    /// says that it is a revert, becomes [`ChainError::Reverted`].
    pub(crate) async fn call<R: DeserializeOwned>(
        &self,
        method: &'static str,
        to: Address,
        params: impl Serialize + Clone,
    ) -> Result<R, ChainError> {
        self.persist(method, params).await.map_err(|failure| match failure {
            Failure::Refused(error) => error.into_call_error(method, to),
            failure => failure.into_error(method),
        })
    }

    /// Sends a request once.
    pub(crate) async fn send<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl Serialize,
    ) -> Result<R, ChainError> {
        self.attempt(method, params).await.map_err(|failure| failure.into_error(method))
    }

    async fn persist<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl Serialize + Clone,
    ) -> Result<R, Failure> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match self.attempt(method, params.clone()).await {
                Err(Failure::Transient(_)) => tokio::time::sleep(pause).await,
                outcome => return outcome,
            }
            pause *= 2;
        }
        self.attempt(method, params).await
    }

    async fn attempt<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl Serialize,
    ) -> Result<R, Failure> {
        let Some((clock, observer)) = &self.observer else {
            return self.exchange(method, params).await;
        };
        let started = clock.monotonic();
        let outcome = self.exchange(method, params).await;
        let took = clock.monotonic().saturating_sub(started);
        match &outcome {
            Err(Failure::Transient(error) | Failure::Final(error)) => {
                observer.called(method, Some(error), took);
            }
            // A refusal, such as of a call that reverts, is an answer.
            Ok(_) | Err(Failure::Refused(_)) => observer.called(method, None, took),
        }
        outcome
    }

    async fn exchange<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl Serialize,
    ) -> Result<R, Failure> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = Request { jsonrpc: "2.0", id, method, params };
        let response = self.http.post(self.url.clone()).json(&request).send().await;
        let response = response.map_err(|error| transport_failure(method, &error))?;
        let status = response.status();
        let body = read_bounded(method, response).await?;
        let answer: Answer<'_> = match serde_json::from_slice(&body) {
            Ok(answer) => answer,
            Err(_) if status.is_server_error() || status.as_u16() == 429 => {
                let detail = format!("HTTP status {status}");
                return Err(Failure::Transient(ChainError::NoAnswer { method, detail }));
            }
            Err(error) => return Err(malformed(method, &format!("HTTP {status}, {error}"))),
        };
        match (answer.error, answer.result) {
            (Some(error), _) if error.is_busy() => {
                Err(Failure::Transient(error.into_error(method)))
            }
            (Some(error), _) => Err(Failure::Refused(error)),
            (None, result) => serde_json::from_str(result.map_or("null", RawValue::get))
                .map_err(|error| malformed(method, &error.to_string())),
        }
    }
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl Failure {
    fn into_error(self, method: &'static str) -> ChainError {
        match self {
            Self::Transient(error) | Self::Final(error) => error,
            Self::Refused(error) => error.into_error(method),
        }
    }
}

impl ErrorObject {
    /// Rate limits, as providers spell them.
    fn is_busy(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        matches!(self.code, 429 | -32005)
            || message.contains("rate limit")
            || message.contains("too many requests")
    }

    fn into_error(self, method: &'static str) -> ChainError {
        ChainError::Refused { method, code: self.code, message: printable(&self.message, MAX_TEXT) }
    }

    fn into_call_error(self, method: &'static str, to: Address) -> ChainError {
        let data = self.data.as_ref().and_then(revert_data);
        let is_revert = self.code == 3 || self.message.to_ascii_lowercase().contains("revert");
        if data.is_none() && !is_revert {
            return self.into_error(method);
        }
        let data = data.unwrap_or_default();
        let reason = revert_reason(&data).unwrap_or(self.message);
        ChainError::Reverted { to, reason: printable(&reason, MAX_TEXT), data }
    }
}

/// Says what a contract reverted with.
pub(crate) fn reverted(to: Address, data: Bytes) -> ChainError {
    let reason = revert_reason(&data).unwrap_or_else(|| "no reason given".to_owned());
    ChainError::Reverted { to, reason: printable(&reason, MAX_TEXT), data }
}

/// Nodes put the revert data in `error.data`, or one or two objects further down.
fn revert_data(value: &Value) -> Option<Bytes> {
    let mut value = value;
    for _ in 0..3 {
        match value {
            Value::String(text) => {
                let hex = text.trim_start_matches("Reverted ");
                return hex.starts_with("0x").then(|| hex.parse().ok()).flatten();
            }
            Value::Object(fields) => value = fields.get("data")?,
            _ => return None,
        }
    }
    None
}

fn revert_reason(data: &[u8]) -> Option<String> {
    if let Ok(error) = TokenErrorsErrors::abi_decode(data) {
        let name = format!("{error:?}");
        return Some(name);
    }
    if let Ok(error) = PermitErrorsErrors::abi_decode(data) {
        return Some(format!("{error:?}"));
    }
    match decode_revert_reason(data) {
        Some(reason) => Some(reason),
        None if data.is_empty() => None,
        None => Some(format!("0x{}", alloy_primitives::hex::encode(data.get(..4)?))),
    }
}

fn transport_failure(method: &'static str, error: &reqwest::Error) -> Failure {
    let detail = describe(error);
    if error.is_connect() {
        Failure::Transient(ChainError::NotConnected { method, detail })
    } else if error.is_timeout() {
        Failure::Final(ChainError::NoAnswer { method, detail })
    } else {
        Failure::Transient(ChainError::NoAnswer { method, detail })
    }
}

/// Says what went wrong by the causes alone: reqwest's own text repeats the URL.
fn describe(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "connection failed"
    } else {
        "exchange failed"
    };
    let mut text = kind.to_owned();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    printable(&text, MAX_TEXT)
}

async fn read_bounded(
    method: &'static str,
    mut response: reqwest::Response,
) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| transport_failure(method, &error))?
    {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(malformed(method, &format!("longer than {MAX_ANSWER} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn malformed(method: &'static str, detail: &str) -> Failure {
    Failure::Final(ChainError::Malformed { method, detail: printable(detail, MAX_TEXT) })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;
    use alloy_sol_types::{Revert, SolError};
    use serde_json::json;

    use super::*;
    use crate::bindings::TokenErrors;

    fn call_error(object: Value) -> ChainError {
        let object: ErrorObject = serde_json::from_value(object).unwrap();
        object.into_call_error("eth_call", Address::ZERO)
    }

    #[test]
    fn revert_reasons_are_found_where_nodes_put_them() {
        let text = Revert::from("FiatTokenV2: authorization is used or canceled").abi_encode();
        let text = format!("0x{}", alloy_primitives::hex::encode(text));
        for object in [
            json!({"code": 3, "message": "execution reverted", "data": text}),
            json!({"code": -32000, "message": "x", "data": {"data": text}}),
            json!({"code": -32015, "message": "VM execution error.", "data": format!("Reverted {text}")}),
        ] {
            let reason = call_error(object).revert_reason().unwrap().to_owned();
            assert!(reason.contains("authorization is used or canceled"), "{reason}");
        }
        let error = TokenErrors::ERC20InsufficientBalance {
            sender: Address::ZERO,
            balance: U256::from(1),
            needed: U256::from(2),
        };
        let data = format!("0x{}", alloy_primitives::hex::encode(error.abi_encode()));
        let error = call_error(json!({"code": 3, "message": "", "data": data}));
        assert!(error.revert_reason().unwrap().contains("ERC20InsufficientBalance"), "{error}");
        let error = call_error(json!({"code": -32000, "message": "header not found"}));
        assert!(matches!(error, ChainError::Refused { code: -32000, .. }), "{error}");
    }

    #[test]
    fn urls_stay_out_of_errors_and_debug_output() {
        let timeout = Duration::from_secs(1);
        let rpc = Rpc::new("https://node.example/v2/SECRET", timeout, timeout).unwrap();
        assert!(!format!("{rpc:?}").contains("SECRET"));
        let error = Rpc::new("ftp://node.example/SECRET", timeout, timeout).unwrap_err();
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }
}
