//! As much HTTP as it takes to look at a server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use axum::Router;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::ANY;

/// A server in the test's own process, until it is dropped.
pub(crate) struct Served {
    pub(crate) url: String,
    _runtime: Runtime,
}

impl Served {
    /// Serves routes on any free port of loopback.
    pub(crate) fn start(router: Router) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(ANY)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, _runtime: runtime }
    }
}

/// Gets a path and returns the status and the body.
pub(crate) fn get(url: &str, path: &str) -> (u16, Vec<u8>) {
    exchange(url, &format!("GET {path} HTTP/1.1\r\n"), b"")
}

/// Gets a path with a bearer token.
pub(crate) fn get_with_token(url: &str, path: &str, token: &str) -> (u16, Vec<u8>) {
    exchange(url, &format!("GET {path} HTTP/1.1\r\nAuthorization: Bearer {token}\r\n"), b"")
}

/// Asks a JSON-RPC node and returns the result.
pub(crate) fn rpc(url: &str, method: &str, params: &Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let head = "POST / HTTP/1.1\r\nContent-Type: application/json\r\n";
    let (status, body) = exchange(url, head, request.to_string().as_bytes());
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer.get("error"), None, "{method}");
    answer["result"].clone()
}

fn exchange(url: &str, head: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    let head =
        format!("{head}Host: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let status = String::from_utf8_lossy(&answer[..end]);
    let status = status.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer[end + 4..].to_vec())
}
