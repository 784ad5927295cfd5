//! What stands between a buyer and a gateway and does not always pass on what it gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use super::world::http;

/// What happens to questions for a bundle.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mishap {
    /// So many are answered by somebody else, who knows of no gateway.
    Unavailable(usize),
    /// So many answers break off.
    BreaksOff(usize),
    /// What comes has one byte changed.
    Tampers,
    /// The answer to the payment names something else than a transaction.
    Misnames(&'static str),
    /// The answer to the payment says that nothing happened.
    Denies,
    /// What is posted is altered on its way.
    Asks(fn(&mut Value)),
}

/// A line to a gateway with a mishap on it.
#[derive(Debug)]
pub(crate) struct GatewayLine {
    pub(crate) url: String,
    server: AbortHandle,
}

struct Through {
    gateway: String,
    http: reqwest::Client,
    mishap: Mishap,
    asked: AtomicUsize,
}

impl GatewayLine {
    pub(crate) async fn to(gateway: &str, mishap: Mishap) -> Self {
        let (gateway, http) = (gateway.to_owned(), http(Duration::from_secs(20)));
        let through = Arc::new(Through { gateway, http, mishap, asked: AtomicUsize::new(0) });
        let router = Router::new().fallback(pass).with_state(through);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = axum::serve(listener, router).into_future();
        let server = TaskTracker::new().spawn(serving).abort_handle();
        Self { url, server }
    }
}

impl Drop for GatewayLine {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass(State(through): State<Arc<Through>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut body = to_bytes(body, 1 << 20).await.unwrap();
    if let Mishap::Asks(alter) = through.mishap
        && parts.method == Method::POST
    {
        let mut asked = serde_json::from_slice(&body).unwrap();
        alter(&mut asked);
        body = asked.to_string().into();
        parts.headers.remove("content-length");
    }
    let url = format!("{}{}", through.gateway, parts.uri);
    let forward = through.http.request(parts.method, url).headers(parts.headers).body(body);
    let answer = forward.send().await.unwrap();
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    let mut body = answer.bytes().await.unwrap().to_vec();
    match through.mishap {
        Mishap::Misnames(named) if headers.contains_key("assay-transaction") => {
            headers.insert("assay-transaction", named.parse().unwrap());
        }
        Mishap::Denies if headers.contains_key("assay-transaction") => {
            let told = r#"{"error": "nothing happened", "code": "nothing_charged"}"#;
            return (StatusCode::IM_A_TEAPOT, told).into_response();
        }
        _ => {}
    }
    if parts.uri.path().starts_with("/v1/receipts/") {
        let before = through.asked.fetch_add(1, Ordering::SeqCst);
        match through.mishap {
            Mishap::Unavailable(times) if before < times => {
                return (StatusCode::BAD_GATEWAY, "<html>somebody else").into_response();
            }
            Mishap::BreaksOff(times) if before < times => {
                let half = Ok(Bytes::copy_from_slice(&body[..body.len() / 2]));
                let broken = Err(std::io::Error::other("the line broke"));
                let body = futures_util::stream::iter([half, broken]);
                return Body::from_stream(body).into_response();
            }
            Mishap::Tampers => {
                let middle = body.len() / 2;
                body[middle] ^= 1;
            }
            _ => {}
        }
    }
    (status, headers, body).into_response()
}
