//! Any routes, served within the limits that a gateway has.

use std::net::Ipv4Addr;
use std::time::Duration;

use assay_gateway::{HttpServer, serve_routes};
use axum::Router;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::harness::PATIENCE;

/// Serves an echo, and a route that never answers.
async fn served(body_timeout: Duration) -> HttpServer {
    let never = get(std::future::pending::<()>);
    let routes = Router::new().route("/", post(|body: String| async { body }));
    let routes = routes.route("/never", never);
    serve_routes(routes, (Ipv4Addr::LOCALHOST, 0).into(), body_timeout).await.unwrap()
}

async fn send(server: &HttpServer, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Returns what comes until the connection is closed.
async fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, reading).await.expect("the connection stays open").unwrap();
    String::from_utf8(answer).unwrap()
}

fn request(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\n{body}")
}

#[tokio::test]
async fn a_body_comes_in_time_or_is_refused() {
    let server = served(Duration::from_millis(200)).await;
    let echoed = answer(send(&server, &request("abc")).await).await;
    assert!(echoed.starts_with("HTTP/1.1 200 ") && echoed.ends_with("\r\n\r\nabc"), "{echoed}");
    let refused = answer(send(&server, &request("ab")).await).await;
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    server.stop(&TaskTracker::new()).await.unwrap();
}

#[tokio::test]
async fn a_stop_waits_for_work_and_may_be_cut_short() {
    let server = served(Duration::from_millis(100)).await;
    let waiting = send(&server, "GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let silent = send(&server, &request("")).await;
    assert!(answer(silent).await.starts_with("HTTP/1.1 400 "));
    // Work that never ends is waited for, as long as nobody says otherwise.
    let work = TaskTracker::new();
    let token = work.token();
    let stopping = tokio::time::timeout(Duration::from_secs(5), server.stop(&work));
    assert!(stopping.await.is_err());
    assert!(TcpStream::connect(server.address()).await.is_err());
    server.abandon();
    assert_eq!(answer(waiting).await, "");
    tokio::time::timeout(PATIENCE, server.stop(&work)).await.unwrap().unwrap();
    drop(token);
}
