//! HTTP/2, over which a client says itself how much of an answer it takes.

use std::time::Duration;

use axum::http::{Request, Response};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::harness::{Market, PATIENCE};

/// Connects as a client that takes so many bytes of each answer before it has read any.
async fn connect(market: &Market, window: u32) -> SendRequest<Bytes> {
    let address = market.shop.url.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake = Builder::new().initial_window_size(window).handshake(stream);
    let (sender, connection) = handshake.await.unwrap();
    TaskTracker::new().spawn(connection);
    sender
}

async fn get(sender: &SendRequest<Bytes>, path: &str) -> Response<RecvStream> {
    let request = Request::get(format!("http://x{path}")).body(()).unwrap();
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    tokio::time::timeout(PATIENCE, response).await.expect("nothing is answered").unwrap()
}

/// What is begun is given up as well as what is not, and nothing else of the connection.
#[tokio::test]
async fn answers_that_nobody_takes() {
    const ASKED: usize = 8;
    let market =
        Market::open_with(|setup| setup.clients.read_timeout = Duration::from_millis(200)).await;
    for (n, window) in [0, 1].into_iter().enumerate() {
        let sender = connect(&market, window).await;
        let mut answers = Vec::new();
        for _ in 0..ASKED {
            let answer = get(&sender, "/openapi.json").await;
            assert_eq!(answer.status(), 200);
            answers.push(answer.into_body());
        }
        for answer in &mut answers {
            let mut taken = 0;
            let error = loop {
                let next = tokio::time::timeout(PATIENCE, answer.data()).await;
                match next.expect("the answer is kept").expect("the answer has ended") {
                    Ok(data) => taken += data.len(),
                    Err(error) => break error,
                }
            };
            assert_eq!((taken, error.reason()), (window as usize, Some(Reason::CANCEL)));
        }
        // The connection is as good as before.
        assert!(get(&sender, "/v2/health/live").await.into_body().is_end_stream());
        let figures = String::from_utf8(market.buyer.get("/metrics").await.body).unwrap();
        let unread = format!("assay_unread_answers_total {}", ASKED * (n + 1));
        assert!(figures.lines().any(|line| line == unread), "{figures}");
    }
    market.not_charged().await;
}

#[tokio::test]
async fn an_answer_that_is_read_in_small_steps() {
    let market = Market::open().await;
    let expected = market.buyer.get("/openapi.json").await.body;
    let answer = get(&connect(&market, 1_000).await, "/openapi.json").await;
    assert_eq!(answer.headers()["content-length"], expected.len().to_string());
    let (mut body, mut read) = (answer.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        assert!(data.len() <= 1_000);
        body.flow_control().release_capacity(data.len()).unwrap();
        read.extend_from_slice(&data);
    }
    assert!(read == expected && read.len() > 16 * 1024, "{} bytes", read.len());
}
