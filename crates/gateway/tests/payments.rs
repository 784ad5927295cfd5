//! Payments that are not the ones that were offered.

use alloy_primitives::U256;
use assay_primitives::encoding;
use assay_x402::{Authorization, PAYMENT_SIGNATURE, PaymentRequirements};
use serde_json::{Value, json};

use crate::harness::{
    Buyer, DIGITS, Market, SIGNED_PRICE, STRANGER, TOKEN_NAME, address, digit, forge, forge_under,
    header, header_of, key, now, send,
};

async fn offer(buyer: &Buyer) -> PaymentRequirements {
    buyer.offers(DIGITS).await.accepts.remove(0)
}

/// Sends a payment whose authorisation was edited before it was signed.
async fn edited(market: &Market, edit: impl FnOnce(&mut Authorization), reason: &str) {
    let buyer = &market.buyer;
    let payment = forge(&offer(buyer).await, &buyer.key, edit);
    buyer.buy(DIGITS, &digit(0), &header(&payment)).await.is_refused(reason);
}

/// Sends a good payment whose JSON was edited after it was signed.
async fn tampered(market: &Market, edit: impl FnOnce(&mut Value)) -> crate::harness::Answer {
    let buyer = &market.buyer;
    let payment = forge(&offer(buyer).await, &buyer.key, |_| {});
    let mut payment = serde_json::to_value(payment).unwrap();
    edit(&mut payment);
    buyer.buy(DIGITS, &digit(0), &header_of(&payment)).await
}

#[tokio::test]
async fn none_at_all() {
    let market = Market::open().await;
    for body in [digit(0), String::new()] {
        let answer = market.buyer.ask(DIGITS, body).await;
        answer.is(402, "payment_required");
        let required = answer.required();
        assert_eq!(required.error.as_deref(), Some("PAYMENT-SIGNATURE header is required"));
        assert_eq!(answer.json()["accepts"].as_array().map(Vec::len), Some(2));
    }
    market.not_charged().await;
}

#[tokio::test]
async fn headers_that_cannot_be_read() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let good = buyer.payment(DIGITS, "signed").await.header;
    let long = "A".repeat(16 * 1024 + 4);
    for garbled in ["!", "e30", "e30=\u{20}e30=", "e-_=", "{}", &format!("{good},{good}"), &long] {
        let answer = buyer.buy(DIGITS, &digit(0), garbled).await;
        answer.is(400, "malformed_payment").because("invalid_payload");
    }
    for json in [json!([]), json!({}), json!({ "x402Version": 2 }), json!("x402")] {
        let answer = buyer.buy(DIGITS, &digit(0), &header_of(&json)).await;
        answer.is(400, "malformed_payment").because("invalid_payload");
    }
    let broken = encoding::base64(b"{\"x402Version\":2");
    let answer = buyer.buy(DIGITS, &digit(0), &broken).await;
    answer.is(400, "malformed_payment").because("invalid_payload");
    let twice = buyer.paid(DIGITS, &digit(0), &good).header(PAYMENT_SIGNATURE, &good);
    send(twice).await.is(400, "malformed_payment").because("invalid_payload");
    market.not_charged().await;
    buyer.buy(DIGITS, &digit(0), &good).await.is_served();
    market.charged(1, SIGNED_PRICE).await;
}

#[tokio::test]
async fn version_1() {
    let market = Market::open().await;
    let answer = tampered(&market, |payment| payment["x402Version"] = json!(1)).await;
    answer.is(400, "malformed_payment").because("invalid_x402_version");
    let whole = json!({ "x402Version": 1, "scheme": "exact", "network": "base", "payload": {} });
    let answer = market.buyer.buy(DIGITS, &digit(0), &header_of(&whole)).await;
    answer.is(400, "malformed_payment").because("invalid_x402_version");
    market.not_charged().await;
}

#[tokio::test]
async fn outside_their_time() {
    let market = Market::open().await;
    let at = |seconds: i64| U256::from(now().as_seconds().saturating_add_signed(seconds));
    let expired = "invalid_exact_evm_payload_authorization_valid_before";
    edited(&market, |authorization| authorization.valid_before = at(-1), expired).await;
    edited(&market, |authorization| authorization.valid_before = at(4), expired).await;
    // Half of what the offer asks for has to be left: it would be settled too late, at the cost of gas.
    edited(&market, |authorization| authorization.valid_before = at(25), expired).await;
    let early = "invalid_exact_evm_payload_authorization_valid_after";
    edited(&market, |authorization| authorization.valid_after = at(30), early).await;
    market.not_charged().await;
}

#[tokio::test]
async fn of_another_value_or_to_somebody_else() {
    let market = Market::open().await;
    let mismatch = "invalid_exact_evm_payload_authorization_value_mismatch";
    for value in [0, SIGNED_PRICE - 1, SIGNED_PRICE + 1, u128::MAX] {
        let value = U256::from(value);
        edited(&market, |authorization| authorization.value = value, mismatch).await;
    }
    let misdirected = "invalid_exact_evm_recipient_mismatch";
    edited(&market, |authorization| authorization.to = address(STRANGER), misdirected).await;
    market.not_charged().await;
}

/// Every field of the accepted offer is compared, and every key of `extra`.
#[tokio::test]
async fn of_an_offer_that_was_changed() {
    let market = Market::open().await;
    let requirements = "invalid_payment_requirements";
    let stranger = address(STRANGER).to_checksum(None);
    for (field, value, reason) in [
        ("scheme", json!("upto"), "invalid_exact_evm_scheme"),
        ("network", json!("eip155:8453"), "invalid_exact_evm_network_mismatch"),
        ("amount", json!("999"), "invalid_exact_evm_payload_authorization_value_mismatch"),
        ("amount", json!("1001"), "invalid_exact_evm_payload_authorization_value_mismatch"),
        ("asset", json!(stranger), requirements),
        ("payTo", json!(stranger), "invalid_exact_evm_recipient_mismatch"),
        ("maxTimeoutSeconds", json!(61), requirements),
        ("maxTimeoutSeconds", json!(59), requirements),
        ("extra", json!(null), requirements),
        ("extra", json!({}), requirements),
        ("outputSchema", json!({}), requirements),
    ] {
        let edit = |payment: &mut Value| payment["accepted"][field] = value.clone();
        tampered(&market, edit).await.is_refused(reason);
    }
    for (key, value) in [
        ("name", json!("USD Coin")),
        ("version", json!("2")),
        ("version", json!(1)),
        ("method", json!("zkml")),
        ("method", json!(null)),
        ("discount", json!("yes")),
        ("paymentFlow", json!("upfront")),
        ("assetTransferMethod", json!("permit2")),
    ] {
        let edit = |payment: &mut Value| payment["accepted"]["extra"][key] = value.clone();
        tampered(&market, edit).await.is_refused(requirements);
    }
    for key in ["name", "version", "method"] {
        let remove = |payment: &mut Value| {
            payment["accepted"]["extra"].as_object_mut().unwrap().remove(key);
        };
        tampered(&market, remove).await.is_refused(requirements);
    }
    market.not_charged().await;
    // The offer of the other method, at the price of this one.
    let toy = |payment: &mut Value| payment["accepted"]["extra"]["method"] = json!("toy");
    tampered(&market, toy).await.is_refused(requirements);
    // The spelling of an address says nothing.
    let lower = |payment: &mut Value| {
        let asset = payment["accepted"]["asset"].as_str().unwrap().to_ascii_lowercase();
        payment["accepted"]["asset"] = json!(asset);
    };
    tampered(&market, lower).await.is_served();
    market.charged(1, SIGNED_PRICE).await;
}

#[tokio::test]
async fn whose_signature_is_not_the_payers() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let bad = "invalid_exact_evm_signature";
    let signature = |text: &'static str| {
        move |payment: &mut Value| payment["payload"]["signature"] = json!(text)
    };
    let other: &'static str = Box::leak(format!("0x{}1b", "11".repeat(64)).into_boxed_str());
    tampered(&market, signature(other)).await.is_refused(bad);
    tampered(&market, signature("0x")).await.is_refused(bad);
    tampered(&market, signature("0x1234")).await.is_refused(bad);
    let answer = tampered(&market, signature("1234")).await;
    answer.is(400, "malformed_payment").because("invalid_payload");

    let offer = offer(buyer).await;
    // Signed by another than it names.
    let by_other = forge(&offer, &key(STRANGER), |a| a.from = address(crate::harness::BUYER));
    buyer.buy(DIGITS, &digit(0), &header(&by_other)).await.is_refused(bad);
    // Signed for another token.
    let elsewhere = forge_under(&offer, &buyer.key, "USD Coin", |_| {});
    buyer.buy(DIGITS, &digit(0), &header(&elsewhere)).await.is_refused(bad);
    // Changed after it was signed.
    for (field, value) in
        [("nonce", json!(format!("0x{}", "22".repeat(32)))), ("validAfter", json!("1"))]
    {
        let edit = |payment: &mut Value| payment["payload"]["authorization"][field] = value.clone();
        tampered(&market, edit).await.is_refused(bad);
    }
    // With the other of the two values of s.
    let high = tampered(&market, |payment| {
        let text = payment["payload"]["signature"].as_str().unwrap().to_owned();
        payment["payload"]["signature"] = json!(with_high_s(&text));
    });
    high.await.is_refused(bad);
    // The domain of the offer is the token's.
    assert_eq!(offer.extra_text("name"), Some(TOKEN_NAME));
    market.not_charged().await;
}

/// Returns the second signature that ECDSA has over the same hash: `n - s`, and the other parity.
fn with_high_s(signature: &str) -> String {
    let bytes = alloy_primitives::hex::decode(signature).unwrap();
    let order: U256 =
        "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141".parse().unwrap();
    let s = order - U256::from_be_slice(&bytes[32..64]);
    let v = if bytes[64] == 27 { 28 } else { 27 };
    let all = [&bytes[..32], &s.to_be_bytes::<32>(), &[v]].concat();
    format!("0x{}", alloy_primitives::hex::encode(all))
}

#[tokio::test]
async fn of_another_kind() {
    let market = Market::open().await;
    let permit2 = |payment: &mut Value| {
        payment["payload"] = json!({ "signature": "0x", "permit2Authorization": {} });
    };
    tampered(&market, permit2).await.is_refused("unsupported_payload_type");
    let numbers = |payment: &mut Value| payment["payload"]["authorization"]["value"] = json!(1000);
    let answer = tampered(&market, numbers).await;
    answer.is(400, "malformed_payment").because("invalid_payload");
    market.not_charged().await;
}

#[tokio::test]
async fn by_somebody_without_money() {
    let market = Market::open().await;
    crate::harness::empty(&market.world.dev, crate::harness::BUYER);
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    let answer = market.buyer.buy(DIGITS, &digit(0), &payment).await;
    answer.is_refused("invalid_exact_evm_insufficient_balance");
    market.not_charged().await;
    // Refused, and not used up: once there is money it pays.
    let (to, value) = (address(crate::harness::BUYER), U256::from(SIGNED_PRICE));
    market.world.send(STRANGER, &assay_chain::bindings::Token::transferCall { to, value });
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
    market.charged(1, SIGNED_PRICE).await;
}
