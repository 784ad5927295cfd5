//! What an address may take before it pays. The tests come as a proxy of this machine, which says
//! where its requests come from.

use std::time::Duration;

use assay_gateway::{ForwardedHeader, TrustedProxies};
use axum::http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Answer, DIGITS, Market, PATIENCE, SIGNED_PRICE, Setup, digit, send};

const ONE: &str = "198.51.100.1";
const OTHER: &str = "198.51.100.2";

fn behind_a_proxy(setup: &mut Setup) {
    let proxies = vec!["127.0.0.1".parse().unwrap()];
    setup.clients.proxies = TrustedProxies::new(proxies, ForwardedHeader::XForwardedFor);
}

async fn ask_from(market: &Market, address: &str, body: &'static str) -> Answer {
    let request = market.buyer.request(Method::POST, DIGITS);
    send(request.header("x-forwarded-for", address).body(body)).await
}

async fn buy_from(market: &Market, address: &str, payment: &str) -> Answer {
    let request = market.buyer.paid(DIGITS, &digit(0), payment);
    send(request.header("x-forwarded-for", address)).await
}

async fn figures(market: &Market) -> String {
    String::from_utf8(market.buyer.get("/metrics").await.body).unwrap()
}

fn expect_quota(answer: &Answer) {
    let told = answer.is(429, "too_many_requests").header("retry-after");
    let seconds: u32 = told.unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn an_address_that_asks_too_much() {
    let market = Market::open_with(|setup| {
        behind_a_proxy(setup);
        setup.clients.questions_per_second = 1;
    })
    .await;
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    let mut asked = 0;
    let refused = loop {
        let answer = ask_from(&market, ONE, "").await;
        if answer.status != 402 {
            break answer;
        }
        asked += 1;
    };
    assert!((10..100).contains(&asked), "{asked}");
    expect_quota(&refused);
    // Not even a body that cannot be read is looked at.
    expect_quota(&ask_from(&market, ONE, "{").await);
    ask_from(&market, OTHER, "{").await.is(400, "malformed_request");
    // What the client writes into the header itself does not help it.
    expect_quota(&ask_from(&market, &format!("{OTHER}, {ONE}"), "").await);
    let figures = figures(&market).await;
    let count = |kind: &str| -> u32 {
        let start = format!("assay_quota_refusals_total{{kind=\"{kind}\"}} ");
        figures.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
    };
    assert_eq!((count("question"), count("payment")), (3, 0));
    // A payment's header makes a payment only where one is taken.
    for (method, path) in [
        (Method::GET, "/v1/models"),
        (Method::GET, DIGITS),
        (Method::POST, "/v1/models"),
        (Method::POST, "/v2/models/digits/other"),
    ] {
        let request = market.buyer.request(method, path).header("payment-signature", &payment);
        expect_quota(&send(request.header("x-forwarded-for", ONE)).await);
    }
    let version = "/v2/models/digits/versions/1/infer";
    let request = market.buyer.request(Method::POST, version).header("payment-signature", "x");
    send(request.header("x-forwarded-for", ONE)).await.is(400, "malformed_payment");
    // Who pays is served all the same.
    market.not_charged().await;
    buy_from(&market, ONE, &payment).await.is_served();
    market.charged(1, SIGNED_PRICE).await;
}

#[tokio::test]
async fn an_address_that_sends_too_many_payments() {
    let market = Market::open_with(|setup| {
        behind_a_proxy(setup);
        setup.clients.payments_per_second = 1;
    })
    .await;
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    buy_from(&market, ONE, &payment).await.is_served();
    let next = market.buyer.payment(DIGITS, "signed").await.header;
    let refused = loop {
        let answer = buy_from(&market, ONE, &payment).await;
        if answer.status == 429 {
            break answer;
        }
        answer.is(409, "payment_already_used");
    };
    expect_quota(&refused);
    // A payment that came too early is as good as before, from there or from elsewhere.
    expect_quota(&buy_from(&market, ONE, &next).await);
    market.charged(1, SIGNED_PRICE).await;
    buy_from(&market, OTHER, &next).await.is_served();
    market.charged(2, 2 * SIGNED_PRICE).await;
}

#[tokio::test]
async fn nobody_is_believed_who_is_no_proxy() {
    let market = Market::open_with(|setup| setup.clients.questions_per_second = 1).await;
    // This machine's programs are not limited, whatever they say of others.
    for _ in 0..30 {
        ask_from(&market, ONE, "").await.is(402, "payment_required");
    }
}

/// The system takes some of what is sent. Beyond that nothing is sent for who does not read.
#[tokio::test]
async fn an_answer_that_nobody_reads() {
    let market =
        Market::open_with(|setup| setup.clients.read_timeout = Duration::from_millis(200)).await;
    let address = market.shop.url.strip_prefix("http://").unwrap();
    let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
    let asking = async {
        // Until the gateway takes no more.
        while writing.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok() {}
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the connection stays open");
    let unread = "assay_unread_answers_total 1";
    assert!(figures(&market).await.lines().any(|line| line == unread));
    // What was on its way comes, and then the end.
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, reading.read_to_end(&mut rest)).await.unwrap();
    // Who reads is served.
    market.buyer.get("/openapi.json").await;
    market.not_charged().await;
}
