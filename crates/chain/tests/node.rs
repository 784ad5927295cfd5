//! A JSON-RPC node on loopback that says what a test tells it to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay_chain::{Chain, ChainConfig, ChainError};
use assay_primitives::SystemClock;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What the node says to a request, given its parameters and how many like it came before.
type Answer = Box<dyn Fn(&Value, usize) -> Says + Send>;

/// What a node can say.
pub(crate) enum Says {
    Result(Value),
    Error(i64, &'static str),
    Status(u16),
    /// More than anyone reads.
    Flood,
    Nothing,
    Raw(&'static str),
}

/// A node. Dropping it stops it.
pub(crate) struct Node {
    pub(crate) url: String,
    state: Arc<Mutex<Script>>,
    server: JoinSet<()>,
}

#[derive(Default)]
struct Script {
    answers: HashMap<&'static str, Answer>,
    seen: Vec<(String, Value)>,
}

impl Node {
    /// Starts a node of chain 31337 that knows nothing else.
    pub(crate) async fn start() -> Self {
        Self::of_chain(31_337).await
    }

    pub(crate) async fn of_chain(chain_id: u64) -> Self {
        let state = Arc::new(Mutex::new(Script::default()));
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&state));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let node = Self { url, state, server };
        node.always("eth_chainId", json!(format!("{chain_id:#x}")));
        node
    }

    pub(crate) fn on(
        &self,
        method: &'static str,
        answer: impl Fn(&Value, usize) -> Says + Send + 'static,
    ) {
        self.state.lock().unwrap().answers.insert(method, Box::new(answer));
    }

    pub(crate) fn always(&self, method: &'static str, result: Value) {
        self.on(method, move |_, _| Says::Result(result.clone()));
    }

    /// Returns the parameters of all requests for a method.
    pub(crate) fn seen(&self, method: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        let of_method = state.seen.iter().filter(|(seen, _)| seen == method);
        of_method.map(|(_, params)| params.clone()).collect()
    }

    pub(crate) fn config(&self) -> ChainConfig {
        let mut config = ChainConfig::new(&self.url);
        config.request_timeout = Duration::from_millis(300);
        config
    }

    pub(crate) async fn connect(&self) -> Result<Chain, ChainError> {
        Chain::connect(self.config(), Arc::new(SystemClock::default())).await
    }

    /// Stops the node; connections are refused from then on.
    pub(crate) async fn stop(&mut self) {
        self.server.shutdown().await;
    }

    /// Says that a block of this number and hash is in the chain, and which is the latest.
    pub(crate) fn blocks(&self, latest: u64) {
        self.on("eth_getBlockByNumber", move |params, _| {
            let number = match params[0].as_str().unwrap() {
                "latest" => latest,
                hex => u64::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap(),
            };
            Says::Result(if number > latest { Value::Null } else { block(number) })
        });
    }
}

pub(crate) fn hash(byte: u64) -> String {
    format!("0x{byte:064x}")
}

pub(crate) fn block(number: u64) -> Value {
    json!({
        "number": format!("{number:#x}"),
        "hash": hash(number),
        "timestamp": format!("{:#x}", 1_800_000_000 + number),
        "baseFeePerGas": "0x3b9aca00",
    })
}

async fn answer(State(state): State<Arc<Mutex<Script>>>, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let method = request["method"].as_str().unwrap().to_owned();
    let says = {
        let mut state = state.lock().unwrap();
        let before = state.seen.iter().filter(|(seen, _)| *seen == method).count();
        state.seen.push((method.clone(), request["params"].clone()));
        match state.answers.get(method.as_str()) {
            Some(answer) => answer(&request["params"], before),
            None => Says::Error(-32_601, "the method does not exist"),
        }
    };
    let id = &request["id"];
    match says {
        Says::Result(result) => {
            Json(json!({ "jsonrpc": "2.0", "id": id, "result": result })).into_response()
        }
        Says::Error(code, message) => {
            let error = json!({ "code": code, "message": message });
            Json(json!({ "jsonrpc": "2.0", "id": id, "error": error })).into_response()
        }
        Says::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Says::Raw(text) => text.into_response(),
        Says::Flood => vec![b' '; 9 << 20].into_response(),
        Says::Nothing => std::future::pending().await,
    }
}
