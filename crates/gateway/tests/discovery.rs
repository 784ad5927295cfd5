//! What a gateway says of itself: offers, models, health, figures, description.

use assay_engine::{Engine as _, Tract};
use assay_receipt::KeyManifest;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    DIGITS, Market, PUBLIC_URL, SELLER, SIGNED_PRICE, TOY, account, asset, digit, packages, send,
};

#[tokio::test]
async fn the_402_says_what_is_sold_and_how() {
    let market = Market::open().await;
    let answer = market.buyer.ask(&format!("{DIGITS}?x=1"), digit(0)).await;
    let required = answer.required();
    assert_eq!(required.x402_version, 2);
    assert_eq!(required.resource.url, format!("{PUBLIC_URL}{DIGITS}?x=1"));
    assert_eq!(required.resource.mime_type.as_deref(), Some("application/json"));
    let offers: Vec<Value> =
        required.accepts.iter().map(|offer| serde_json::to_value(offer).unwrap()).collect();
    let offer = |amount: &str, method: &str| {
        json!({
            "scheme": "exact", "network": "eip155:31337", "amount": amount,
            "asset": asset().reference(), "payTo": account(SELLER), "maxTimeoutSeconds": 60,
            "extra": { "name": "Assay Development Dollar", "version": "1", "method": method },
        })
    };
    assert_eq!(offers, [offer("1000", "signed"), offer("2000", TOY)]);

    let extensions = required.extensions.clone().unwrap();
    let keys: Vec<&String> = extensions.keys().collect();
    assert_eq!(keys, ["verified-inference"]);
    let info = &extensions["verified-inference"]["info"];
    let operator = market.shop.service.parts().operator.id();
    assert_eq!(
        *info,
        json!({
            "version": "1",
            "operator": operator,
            "keys": "/.well-known/assay/keys",
            "receipts": "/v1/receipts/{transactionId}",
            "model": { "name": "digits", "id": packages()[0].id() },
            "methods": {
                "signed": { "believe": "the operator" },
                TOY: { "believe": "whoever made this seal" },
            },
        })
    );
    assert!(extensions["verified-inference"]["schema"].is_object());
    // The body says the same, with the code of an error.
    let body = answer.json();
    assert_eq!(body["accepts"], json!(offers));
    assert_eq!((&body["code"], body.get("reason")), (&json!("payment_required"), None));
    assert!(answer.header("payment-required").unwrap().len() < 6 * 1024);
}

#[tokio::test]
async fn the_models() {
    let market = Market::open().await;
    let models = market.buyer.get("/v1/models").await.json();
    assert_eq!(models["operator"], json!(market.shop.service.parts().operator.id()));
    assert_eq!(models["payTo"], json!(account(SELLER)));
    let names: Vec<&Value> =
        models["models"].as_array().unwrap().iter().map(|model| &model["name"]).collect();
    assert_eq!(names, ["digits", "tumour"]);
    let digits = &models["models"][0];
    assert_eq!(digits["id"], json!(packages()[0].id()));
    assert_eq!(digits["engine"], format!("tract-onnx {}", Tract.version()));
    assert_eq!(digits["accuracy"]["value"], packages()[0].card().accuracy.value);
    let signed = &digits["methods"][0];
    assert_eq!((&signed["method"], &signed["believe"]), (&json!("signed"), &json!("the operator")));
    let price = json!({ "asset": asset(), "amount": "1000", "decimal": "0.001" });
    assert_eq!(signed["prices"], json!([price]));
    assert_eq!(signed["latency"], json!(null));
    assert_eq!(digits["methods"][1]["method"], TOY);

    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
    let models = market.buyer.get("/v1/models").await.json();
    let latency = &models["models"][0]["methods"][0]["latency"];
    assert_eq!(latency["inferences"], 1);
    assert!(latency["p50Microseconds"].as_u64().unwrap() > 0);
    assert_eq!(models["models"][0]["methods"][1]["latency"], json!(null));
}

#[tokio::test]
async fn health_and_metadata() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    for path in ["/v2/health/live", "/v2/health/ready", "/v2/models/digits/ready"] {
        assert_eq!(buyer.get(path).await.status, 200, "{path}");
    }
    buyer.get("/v2/models/nobody/ready").await.is(404, "unknown_model");
    buyer.get("/v2/models/nobody").await.is(404, "unknown_model");
    let server = buyer.get("/v2").await.json();
    assert_eq!(server["extensions"], json!(["binary_tensor_data"]));
    let model = buyer.get("/v2/models/digits").await.json();
    let expected = json!({
        "name": "digits", "versions": ["1"], "platform": "onnx",
        "inputs": [{ "name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8] }],
        "outputs": [{ "name": "logits", "datatype": "FP32", "shape": [1, 10] }],
    });
    assert_eq!(model, expected);
    // As tritonclient asks when it is given a version.
    assert_eq!(buyer.get("/v2/models/digits/versions/1").await.json(), expected);
    assert_eq!(buyer.get("/v2/models/digits/versions/1/ready").await.status, 200);
    for path in ["digits/versions/2", "digits/versions/2/ready", "nobody/versions/1"] {
        buyer.get(&format!("/v2/models/{path}")).await.is(404, "unknown_model");
    }
}

/// A payment is for the path that it was asked for at.
#[tokio::test]
async fn a_version_is_bought() {
    let market = Market::open().await;
    let path = "/v2/models/digits/versions/1/infer";
    let payment = market.buyer.payment(path, "signed").await.header;
    let other = "/v2/models/digits/versions/2/infer";
    market.buyer.buy(other, &digit(0), &payment).await.is(404, "unknown_model");
    market.not_charged().await;
    market.buyer.buy(path, &digit(0), &payment).await.is_served();
    market.charged(1, SIGNED_PRICE).await;
}

/// A gateway whose store is gone is not ready, and says nothing more.
#[tokio::test]
async fn health_without_a_store() {
    let market = Market::open().await;
    market.shop.store.close().await;
    assert_eq!(market.buyer.get("/v2/health/live").await.status, 200);
    assert_eq!(market.buyer.get("/v2/health/ready").await.status, 503);
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is(500, "internal");
    market.not_charged().await;
}

#[tokio::test]
async fn the_keys() {
    let market = Market::open().await;
    let envelope = market.buyer.get("/.well-known/assay/keys").await;
    let envelope = serde_json::from_slice(&envelope.body).unwrap();
    let manifest = KeyManifest::open(&envelope).unwrap();
    assert_eq!(manifest.content().operator, market.shop.service.parts().operator.id());
}

/// Reads a figure from the Prometheus text.
fn figure(text: &str, name: &str) -> Option<f64> {
    let line =
        text.lines().find(|line| line.strip_prefix(name).is_some_and(|l| l.starts_with(' ')));
    line.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
}

#[tokio::test]
async fn the_figures_count() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let payment = buyer.payment(DIGITS, "signed").await.header;
    buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
    buyer.buy(DIGITS, &digit(0), &payment).await.is(409, "payment_already_used");
    buyer.get("/nowhere").await;
    let text = String::from_utf8(buyer.get("/metrics").await.body).unwrap();
    let route = r#"route="/v2/models/{model}/infer",method="POST""#;
    for (name, value) in [
        (format!("assay_requests_total{{{route},status=\"402\"}}"), 1.0),
        (format!("assay_requests_total{{{route},status=\"200\"}}"), 1.0),
        (format!("assay_requests_total{{{route},status=\"409\"}}"), 1.0),
        (r#"assay_requests_total{route="other",method="GET",status="404"}"#.to_owned(), 1.0),
        (r#"assay_errors_total{code="payment_required"}"#.to_owned(), 1.0),
        (r#"assay_errors_total{code="payment_already_used"}"#.to_owned(), 1.0),
        (r#"assay_purchases_total{model="digits",method="signed"}"#.to_owned(), 1.0),
        (r#"assay_purchase_seconds_count{model="digits",method="signed"}"#.to_owned(), 1.0),
        (r#"assay_transactions{state="settled"}"#.to_owned(), 1.0),
        (r#"assay_transactions{state="committed"}"#.to_owned(), 0.0),
        (r#"assay_transactions{state="reserved"}"#.to_owned(), 0.0),
        (r#"assay_refusals_total{reason="already_used"}"#.to_owned(), 1.0),
        (r#"assay_admission_refusals_total{limit="payer"}"#.to_owned(), 0.0),
        (r#"assay_settlements_total{outcome="settled"}"#.to_owned(), 1.0),
        (r#"assay_settlements_total{outcome="pending"}"#.to_owned(), 0.0),
        (r#"assay_settlement_seconds_count{outcome="settled"}"#.to_owned(), 1.0),
        ("assay_purchases_under_way".to_owned(), 0.0),
    ] {
        assert_eq!(figure(&text, &name), Some(value), "{name} in\n{text}");
    }
}

/// A state that empties is counted as empty.
#[tokio::test]
async fn the_figures_go_down() {
    let market = Market::open().await;
    let id = market.buy_pending().await.transaction_id();
    let committed = async || {
        let text = String::from_utf8(market.buyer.get("/metrics").await.body).unwrap();
        figure(&text, r#"assay_transactions{state="committed"}"#)
    };
    assert_eq!(committed().await, Some(1.0));
    let text = String::from_utf8(market.buyer.get("/metrics").await.body).unwrap();
    let pending = figure(&text, r#"assay_settlements_total{outcome="pending"}"#);
    assert!(pending >= Some(1.0), "{text}");
    // It is not refused: it is settled later.
    let refusals = text.lines().filter(|line| line.starts_with("assay_refusals_total{"));
    assert!(
        refusals.clone().count() > 5 && refusals.clone().all(|line| line.ends_with(" 0")),
        "{text}"
    );
    market.world.dev.resume().unwrap();
    market.shop.wait_for(id, assay_store::TransactionState::Settled).await;
    assert_eq!(committed().await, Some(0.0));
}

#[tokio::test]
async fn the_description_lists_every_route() {
    let market = Market::open().await;
    let answer = market.buyer.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let description = answer.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths: Vec<(&String, Vec<&String>)> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, methods)| (path, methods.as_object().unwrap().keys().collect()))
        .collect();
    let expected = [
        ("/.well-known/assay/keys", "get"),
        ("/metrics", "get"),
        ("/v1/attestation", "get"),
        ("/v1/evidence/{sha256}", "get"),
        ("/v1/jobs/{location}", "delete"),
        ("/v1/jobs/{location}", "get"),
        ("/v1/models", "get"),
        ("/v1/receipts/{id}", "delete"),
        ("/v1/receipts/{id}", "get"),
        ("/v1/receipts/{id}/proofs", "get"),
        ("/v1/receipts/{id}/settlement-records", "post"),
        ("/v1/transactions", "post"),
        ("/v2", "get"),
        ("/v2/health/live", "get"),
        ("/v2/health/ready", "get"),
        ("/v2/models/{model}", "get"),
        ("/v2/models/{model}/infer", "post"),
        ("/v2/models/{model}/ready", "get"),
        ("/v2/models/{model}/versions/{version}", "get"),
        ("/v2/models/{model}/versions/{version}/infer", "post"),
        ("/v2/models/{model}/versions/{version}/ready", "get"),
    ];
    let found: Vec<(&str, &str)> = paths
        .iter()
        .flat_map(|(path, methods)| methods.iter().map(|m| (path.as_str(), m.as_str())))
        .collect();
    assert_eq!(found, expected);
    // Each of them is there, and what they refer to is described.
    for (path, method) in expected {
        let path = path.replace("{model}", "digits").replace("{sha256}", "0").replace("{id}", "0");
        let path = path.replace("{version}", "1");
        let method: Method = method.to_uppercase().parse().unwrap();
        let answer = send(market.buyer.request(method, &path)).await;
        assert_ne!((answer.status.as_u16(), path.as_str()), (405, path.as_str()));
        let text = String::from_utf8_lossy(&answer.body);
        assert!(!text.contains("unknown_route"), "{path}");
    }
    let text = description.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(description["components"]["schemas"].get(name).is_some(), "{name} is missing");
    }
    let file: Value = serde_json::from_str(&assay_gateway::openapi().unwrap()).unwrap();
    assert_eq!(file, description);
}

/// What OpenAPI 3.1 asks of each answer and parameter.
#[test]
fn the_description_is_whole() {
    let description: Value = serde_json::from_str(&assay_gateway::openapi().unwrap()).unwrap();
    let paths = description["paths"].as_object().unwrap().values();
    for operation in paths.flat_map(|methods| methods.as_object().unwrap().values()) {
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let told = answer["description"].as_str().unwrap_or_default();
            assert!(!told.is_empty(), "{status} of {operation}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["schema"].is_object(), "{parameter}");
        }
    }
}

#[tokio::test]
async fn pages_of_any_origin_may_buy() {
    let market = Market::open().await;
    let from = |request: reqwest::RequestBuilder| request.header("origin", "https://page.example");
    let preflight = from(market.buyer.request(Method::OPTIONS, DIGITS))
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "payment-signature,authorization,assay-nonce");
    let answer = send(preflight).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let allowed = answer.header("access-control-allow-headers").unwrap();
    assert_eq!(allowed, "payment-signature,authorization,assay-nonce");
    assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
    let answer = send(from(market.buyer.request(Method::POST, DIGITS))).await;
    let exposed = answer.header("access-control-expose-headers").unwrap().to_ascii_lowercase();
    for name in ["payment-required", "payment-response", "assay-access-token", "assay-transaction"]
    {
        assert!(exposed.split(',').any(|other| other.trim() == name), "{name}: {exposed}");
    }
}

#[tokio::test]
async fn what_is_paid_for_is_not_cached() {
    let market = Market::open().await;
    let answer = market.buyer.ask(DIGITS, digit(0)).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    let answer = market.buyer.buy(DIGITS, &digit(0), &payment).await;
    assert_eq!(answer.is_served().header("cache-control"), Some("private, no-store"));
}

#[tokio::test]
async fn an_answer_has_the_id_of_its_request() {
    let market = Market::open().await;
    let ask = |method: Method, path: &str, headers: &[(&'static str, &str)]| {
        let request = market.buyer.request(method, path);
        send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)))
    };
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let id = [("x-request-id", "order-7")];
    for (path, status) in [(DIGITS, 402), ("/nowhere", 404), ("/v1/receipts/x", 405)] {
        let answer = ask(Method::POST, path, &id).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("x-request-id"), Some("order-7"));
    }
    let answer = ask(Method::GET, "/v2", &[("traceparent", &parent)]).await;
    assert_eq!(answer.header("x-request-id"), Some(trace));
    // One that cannot be an id is replaced, and no two are alike.
    let (long, mut seen) = ("x".repeat(65), std::collections::BTreeSet::new());
    for brought in [None, None, Some(long.as_str()), Some("a b")] {
        let headers = brought.map(|id| ("x-request-id", id));
        let headers = headers.as_slice();
        let answer = ask(Method::GET, "/v2", headers).await;
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(seen.insert(id));
    }
}
