//! Requests that are wrong before any money is looked at.

use serde_json::{Value, json};

use crate::harness::{Buyer, TUMOUR, forge, tumour};
use crate::harness::{DIGITS, Market, digit, header, now, packages, send};

/// Sends a wrong request twice, to ask for the price and with a good payment, and checks that both
/// are refused alike.
async fn refused(buyer: &Buyer, body: &str, code: &str) {
    buyer.ask(DIGITS, body.to_owned()).await.is(400, code);
    let payment = buyer.payment(DIGITS, "signed").await;
    buyer.buy(DIGITS, body, &payment.header).await.is(400, code);
}

fn image() -> Value {
    serde_json::from_str::<Value>(&digit(0)).unwrap()["inputs"][0].take()
}

fn with(edit: impl FnOnce(&mut Value)) -> String {
    let mut image = image();
    edit(&mut image);
    json!({ "inputs": [image] }).to_string()
}

#[tokio::test]
async fn bodies_that_are_no_requests() {
    let market = Market::open().await;
    for body in [
        "{",
        "[]",
        "null",
        "{}",
        r#"{"inputs":{}}"#,
        r#"{"inputs":[{"name":"image"}]}"#,
        r#"{"inputs":[],"extra":1}"#,
        r#"{"inputs":[],"inputs":[]}"#,
        "\u{feff}{\"inputs\":[]}",
    ] {
        refused(&market.buyer, body, "malformed_request").await;
    }
    let id = json!({ "id": "x".repeat(129), "inputs": [image()] }).to_string();
    refused(&market.buyer, &id, "malformed_request").await;
    // A payment with no request at all.
    let payment = market.buyer.payment(DIGITS, "signed").await;
    market.buyer.buy(DIGITS, "", &payment.header).await.is(400, "malformed_request");
    market.not_charged().await;
    // None of this has used the payment up.
    market.buyer.buy(DIGITS, &digit(0), &payment.header).await.is_served();
    market.charged(1, 1_000).await;
}

#[tokio::test]
async fn tensors_that_do_not_fit_the_model() {
    let market = Market::open().await;
    for (body, code) in [
        (with(|image| image["name"] = json!("picture")), "unknown_input"),
        (with(|image| image["shape"] = json!([1, 64])), "wrong_shape"),
        (with(|image| image["shape"] = json!([1, 1, 8, 7])), "invalid_tensor"),
        (with(|image| image["shape"] = json!([4_294_967_296_u64, 8])), "invalid_tensor"),
        (with(|image| image["datatype"] = json!("FP64")), "wrong_datatype"),
        (with(|image| image["datatype"] = json!("FP16")), "wrong_datatype"),
        (with(|image| image["data"][3] = json!("7")), "invalid_tensor"),
        (with(|image| image["data"][3] = json!(null)), "invalid_tensor"),
        (with(|image| image["data"][3] = json!(1e39)), "not_finite"),
        (with(|image| image["data"] = json!([1, 2])), "invalid_tensor"),
        (json!({ "inputs": [] }).to_string(), "missing_input"),
        (json!({ "inputs": [image(), image()] }).to_string(), "duplicate_input"),
    ] {
        refused(&market.buyer, &body, code).await;
    }
    // What JSON has no word for.
    for word in ["NaN", "Infinity", "-Infinity"] {
        let body = digit(0).replacen("[0", &format!("[{word}"), 1);
        assert_ne!(body, digit(0));
        refused(&market.buyer, &body, "malformed_request").await;
    }
    market.not_charged().await;
}

#[tokio::test]
async fn parameters_and_outputs_that_are_not_known() {
    let market = Market::open().await;
    let wrap = |key: &str, value: Value| {
        let mut body = json!({ "inputs": [image()] });
        body[key] = value;
        body.to_string()
    };
    for (body, code) in [
        (wrap("parameters", json!({ "temperature": 1 })), "unsupported_parameter"),
        (wrap("parameters", json!({ "binary_data_output": 1 })), "malformed_request"),
        (with(|image| image["parameters"] = json!({ "scale": 2 })), "unsupported_parameter"),
        (wrap("outputs", json!([{ "name": "odds" }])), "unknown_output"),
        (wrap("outputs", json!([{ "name": "logits" }, { "name": "logits" }])), "unknown_output"),
        (
            wrap("outputs", json!([{ "name": "logits", "parameters": { "classification": 3 } }])),
            "unsupported_parameter",
        ),
    ] {
        refused(&market.buyer, &body, code).await;
    }
    market.not_charged().await;
}

/// What is not known is passed over however deep it is, and not built in memory.
#[tokio::test]
async fn parameters_that_are_deep() {
    let market = Market::open().await;
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let body =
        |parameters: &str| format!(r#"{{"inputs":[{}],"parameters":{parameters}}}"#, image());
    for (parameters, code) in [
        (format!(r#"{{"scale":{deep}}}"#), "unsupported_parameter"),
        (format!(r#"{{"binary_data_output":true,"scale":{deep}}}"#), "unsupported_parameter"),
        (format!(r#"{{"scale":{deep},"binary_data_output":true}}"#), "unsupported_parameter"),
        (format!(r#"{{"binary_data_output":{deep}}}"#), "malformed_request"),
        (deep, "malformed_request"),
    ] {
        refused(&market.buyer, &body(&parameters), code).await;
    }
    market.not_charged().await;
    for parameters in ["null", "{}", r#"{"binary_data_output":false}"#] {
        let payment = market.buyer.payment(DIGITS, "signed").await.header;
        market.buyer.buy(DIGITS, &body(parameters), &payment).await.is_served();
    }
    market.charged(3, 3_000).await;
}

/// Nobody is sent back what they sent.
#[tokio::test]
async fn what_is_wrong_is_quoted_in_short() {
    let market = Market::open().await;
    let long = "x".repeat(60_000);
    for body in [
        json!({ "inputs": [], long.clone(): 1 }).to_string(),
        with(|image| image["name"] = json!(long)),
        with(|image| image["datatype"] = json!(long)),
        json!({ "inputs": [image()], "parameters": { long.clone(): 1 } }).to_string(),
        json!({ "inputs": [image()], "parameters": { "binary_data_output": long } }).to_string(),
    ] {
        let answer = market.buyer.ask(DIGITS, body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.len() < 1_000, "{answer:?}");
    }
    market.not_charged().await;
}

#[tokio::test]
async fn headers_that_are_not_what_they_should_be() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let payment = buyer.payment(DIGITS, "signed").await.header;
    for (name, value, status, code) in [
        ("content-encoding", "gzip", 415, "unsupported_encoding"),
        ("content-encoding", "identity, br", 415, "unsupported_encoding"),
        ("assay-nonce", "", 400, "invalid_header"),
        ("assay-nonce", "a b", 400, "invalid_header"),
        ("assay-nonce", &"x".repeat(65), 400, "invalid_header"),
        ("assay-access-token-hash", "abc", 400, "invalid_header"),
        ("assay-access-token-hash", &"F".repeat(64), 400, "invalid_header"),
        ("inference-header-content-length", "many", 400, "invalid_header"),
        ("inference-header-content-length", "999999", 400, "invalid_header"),
    ] {
        let request = buyer.paid(DIGITS, &digit(0), &payment).header(name, value);
        send(request).await.is(status, code);
    }
    for name in ["assay-nonce", "assay-access-token-hash", "assay-method", "content-encoding"] {
        let value = if name == "assay-access-token-hash" { "0".repeat(64) } else { "x".into() };
        let twice = buyer.paid(DIGITS, &digit(0), &payment).header(name, &value);
        send(twice.header(name, value)).await.is(400, "invalid_header");
    }
    market.not_charged().await;
    let identity = buyer.paid(DIGITS, &digit(0), &payment).header("content-encoding", "identity");
    send(identity).await.is_served();
    market.charged(1, 1_000).await;
}

#[tokio::test]
async fn models_and_methods_that_are_not_sold() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let payment = buyer.payment(DIGITS, "signed").await.header;
    for path in
        ["/v2/models/nobody/infer", "/v2/models/DIGITS/infer", "/v2/models/di%67its%00/infer"]
    {
        buyer.ask(path, digit(0)).await.is(404, "unknown_model");
        buyer.buy(path, &digit(0), &payment).await.is(404, "unknown_model");
    }
    for query in ["?method=zkml", "?method=", "?method=SIGNED", "?method=sig%20ned"] {
        let path = format!("{DIGITS}{query}");
        buyer.ask(&path, digit(0)).await.is(400, "unknown_method");
        buyer.buy(&path, &digit(0), &payment).await.is(400, "unknown_method");
    }
    let path = format!("{TUMOUR}?method=toy");
    buyer.ask(&path, tumour(0)).await.is(400, "unknown_method");
    let asked = buyer.paid(DIGITS, &digit(0), &payment).header("assay-method", "tee");
    send(asked).await.is(400, "unknown_method");
    // Query and header contradict each other.
    let path = format!("{DIGITS}?method=signed");
    let asked = buyer.paid(&path, &digit(0), &payment).header("assay-method", "toy");
    send(asked).await.is(400, "unknown_method");
    buyer.ask(&format!("{DIGITS}?method=toy&method=toy"), digit(0)).await.is(400, "invalid_query");
    let long = format!("{DIGITS}?{}", "x".repeat(600));
    buyer.ask(&long, digit(0)).await.is(414, "target_too_long");
    market.not_charged().await;
}

/// The method of the offer that is paid has to be the one that is asked for.
#[tokio::test]
async fn a_method_narrows_what_can_be_paid() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let signed = buyer.payment(DIGITS, "signed").await;
    let asked = buyer.paid(DIGITS, &digit(0), &signed.header).header("assay-method", "toy");
    send(asked).await.is_refused("invalid_exact_evm_payload_authorization_value_mismatch");
    let path = format!("{DIGITS}?method=toy");
    let narrowed = buyer.offers(&path).await;
    assert_eq!(narrowed.accepts.len(), 1);
    let payment = forge(&narrowed.accepts[0], &buyer.key, |_| {});
    buyer.buy(&path, &digit(0), &header(&payment)).await.is_served();
    market.charged(1, 2_000).await;
}

#[tokio::test]
async fn routes_that_do_not_exist() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    for path in ["/", "/v2/models", "/v3/models/digits/infer", "/infer"] {
        buyer.get(path).await.is(404, "unknown_route");
        buyer.ask(path, "").await.is(404, "unknown_route");
    }
    for path in [DIGITS, TUMOUR] {
        buyer.get(path).await.is(405, "method_not_allowed");
    }
    for path in ["/v1/models", "/metrics", "/v2/health/live", "/openapi.json"] {
        buyer.ask(path, "").await.is(405, "method_not_allowed");
    }
    buyer.ask("/v2/models//infer", digit(0)).await.is(404, "unknown_model");
    buyer.get("/v2/models/%ff").await.is(404, "unknown_route");
    market.not_charged().await;
}

/// The tests buy real samples of real models, and time passes as it does.
#[test]
fn the_samples_are_there() {
    assert!(packages().iter().all(|package| package.samples().len() > 50));
    assert!(now().as_seconds() > 1_790_000_000);
}
