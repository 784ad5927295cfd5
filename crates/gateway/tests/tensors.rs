//! What goes in and comes out: JSON, binary, and chosen outputs.

use assay_primitives::{InferenceOutput, TensorData};
use assay_receipt::ItemStatement;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Answer, DIGITS, Market, digit, packages, send};

const JSON_LENGTH: &str = "inference-header-content-length";

/// Returns the request of a sample with its data in binary after the JSON.
fn binary(sample: usize, size: usize, parameters: Value) -> (String, Vec<u8>) {
    let tensor = &packages()[0].samples().get(sample).unwrap().input;
    let json = json!({
        "inputs": [{
            "name": tensor.name(), "shape": tensor.shape(), "datatype": "FP32",
            "parameters": { "binary_data_size": size },
        }],
        "parameters": parameters,
    });
    (json.to_string(), tensor.data().to_le_bytes())
}

fn request(market: &Market, json: &str, data: &[u8]) -> RequestBuilder {
    let body = [json.as_bytes(), data].concat();
    let request = market.buyer.request(Method::POST, DIGITS).body(body);
    request.header(JSON_LENGTH, json.len())
}

async fn buy(market: &Market, request: RequestBuilder) -> Answer {
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    send(request.header("payment-signature", payment)).await
}

fn logits(answer: &Answer) -> Vec<f64> {
    let output = answer.is_served().json()["outputs"][0].take();
    assert_eq!((&output["name"], &output["shape"]), (&json!("logits"), &json!([1, 10])));
    serde_json::from_value(output["data"].clone()).unwrap()
}

#[tokio::test]
async fn the_answer_is_the_models() {
    let market = Market::open().await;
    let sample = packages()[0].samples().get(4).unwrap();
    let body = json!({ "id": "my-7", "inputs": [sample.input] }).to_string();
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    let answer = market.buyer.buy(DIGITS, &body, &payment).await;
    let json = answer.is_served().json();
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!((&json["model_name"], &json["model_version"]), (&json!("digits"), &json!("1")));
    assert_eq!(json["id"], "my-7");
    assert_eq!(json["parameters"]["assay_transaction"], answer.transaction().to_string());
    let data: Vec<f32> = serde_json::from_value(json["outputs"][0]["data"].clone()).unwrap();
    let (best, _) = data.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    assert_eq!(best, sample.label);

    // What the receipt commits to is the same, digit for digit.
    let (bundle, report) = market.buyer.bundle(answer.transaction(), &answer.token()).await;
    assert_eq!(json["parameters"]["assay_receipt_sha256"], report.receipt.unwrap().to_string());
    let output = InferenceOutput::from_bytes(bundle.items[0].output.as_ref().unwrap()).unwrap();
    assert_eq!(*output.outputs[0].data(), TensorData::Fp32(data));
    let statement = ItemStatement::from_bytes(&bundle.items[0].statement).unwrap();
    assert_eq!(statement.details.model.package, packages()[0].id());
    let settled = answer.settlement().extensions.unwrap();
    let info = &settled["verified-inference"]["info"];
    assert_eq!(info["location"], format!("/v1/receipts/{}", answer.transaction()));
    assert_eq!(info["receipt"]["sha256"], report.receipt.unwrap().to_string());
}

#[tokio::test]
async fn binary_tensors_in_and_out() {
    let market = Market::open().await;
    let plain = market.buyer.payment(DIGITS, "signed").await.header;
    let expected = logits(&market.buyer.buy(DIGITS, &digit(2), &plain).await);

    let (json, data) = binary(2, 256, json!({}));
    let answer = buy(&market, request(&market, &json, &data)).await;
    assert_eq!(logits(&answer), expected, "the same question in binary");

    let (json, data) = binary(2, 256, json!({ "binary_data_output": true }));
    let answer = buy(&market, request(&market, &json, &data)).await;
    assert_eq!(answer.is_served().header("content-type"), Some("application/octet-stream"));
    let length: usize = answer.header(JSON_LENGTH).unwrap().parse().unwrap();
    let (head, tail) = answer.body.split_at(length);
    let head: Value = serde_json::from_slice(head).unwrap();
    assert_eq!(head["outputs"][0]["parameters"]["binary_data_size"], 40);
    assert!(head["outputs"][0].get("data").is_none());
    let floats: Vec<f64> = tail
        .chunks(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .map(|float| float.to_string().parse().unwrap())
        .collect();
    assert_eq!(floats, expected);
    market.charged(3, 3_000).await;
}

#[tokio::test]
async fn outputs_that_are_asked_for() {
    let market = Market::open().await;
    let inputs = serde_json::from_str::<Value>(&digit(1)).unwrap()["inputs"].take();
    for (outputs, is_binary) in [
        (json!([]), false),
        (json!([{ "name": "logits" }]), false),
        (json!([{ "name": "logits", "parameters": { "binary_data": true } }]), true),
    ] {
        let body = json!({ "inputs": inputs, "outputs": outputs }).to_string();
        let request = market.buyer.request(Method::POST, DIGITS).body(body);
        let answer = buy(&market, request).await;
        assert_eq!(answer.is_served().header(JSON_LENGTH).is_some(), is_binary, "{outputs}");
    }
    // Binary by default, and this one not.
    let outputs = json!([{ "name": "logits", "parameters": { "binary_data": false } }]);
    let parameters = json!({ "binary_data_output": true });
    let body = json!({ "inputs": inputs, "outputs": outputs, "parameters": parameters });
    let request = market.buyer.request(Method::POST, DIGITS).body(body.to_string());
    let answer = buy(&market, request).await;
    assert_eq!(logits(&answer).len(), 10);
    market.charged(4, 4_000).await;
}

#[tokio::test]
async fn binary_tensors_that_are_wrong() {
    let market = Market::open().await;
    let (_, mut data) = binary(2, 256, json!({}));
    for (size, tail, code) in [
        (256, 255, "malformed_request"),
        (256, 257, "malformed_request"),
        (255, 255, "invalid_tensor"),
        (0, 0, "invalid_tensor"),
        (usize::MAX, 256, "malformed_request"),
    ] {
        let (json, _) = binary(2, size, json!({}));
        let data = [data.clone(), vec![0]].concat();
        let request = request(&market, &json, &data[..tail]);
        buy(&market, request).await.is(400, code);
    }
    // What JSON has no word for, binary has.
    for bits in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        data[8..12].copy_from_slice(&bits.to_le_bytes());
        let (json, _) = binary(2, 256, json!({}));
        buy(&market, request(&market, &json, &data)).await.is(400, "not_finite");
    }
    // Both, or neither.
    let (json, _) = binary(2, 256, json!({}));
    let both = json.replace("\"datatype\"", "\"data\":[],\"datatype\"");
    buy(&market, request(&market, &both, &data)).await.is(400, "malformed_request");
    market.not_charged().await;
}
