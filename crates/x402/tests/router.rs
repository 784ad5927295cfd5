//! A facilitator served to others.

use std::sync::Arc;

use alloy_primitives::U256;
use assay_x402::{
    ErrorReason, RouterConfig, SettleRequest, SettleResponse, SupportedResponse, VerifyResponse,
    X402_VERSION, facilitator_router,
};
use serde_json::{Value, json};

use crate::support::{OPERATOR, PRICE, SELLER, World, address, offer};

struct Served {
    world: World,
    url: String,
    http: reqwest::Client,
}

impl Served {
    async fn start(token: Option<&str>) -> Self {
        let settle_token = token.map(str::to_owned);
        Self::with(RouterConfig { settle_token, ..RouterConfig::default() }).await
    }

    async fn with(config: RouterConfig) -> Self {
        let world = World::start().await;
        let facilitator = Arc::new(world.facilitator());
        let router =
            facilitator_router(facilitator, world.clock.clone(), world.tasks.clone(), config);
        let url = world.serve(router).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { world, url, http }
    }

    fn request(&self) -> Value {
        let request = SettleRequest {
            x402_version: X402_VERSION,
            payment_payload: self.world.payment(&offer()).payload,
            payment_requirements: offer(),
        };
        serde_json::to_value(request).unwrap()
    }

    async fn post<R: serde::de::DeserializeOwned>(&self, path: &str, body: &Value) -> (u16, R) {
        let response = self.http.post(format!("{}/{path}", self.url)).json(body).send();
        let response = response.await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn settle(&self, body: &Value) -> (u16, SettleResponse) {
        self.post("settle", body).await
    }
}

#[tokio::test]
async fn verifies_and_settles() {
    let served = Served::start(None).await;
    let supported = served.http.get(format!("{}/supported", served.url)).send().await.unwrap();
    let supported: SupportedResponse = supported.json().await.unwrap();
    assert_eq!(supported.kinds[0].network, "eip155:31337");
    assert_eq!(supported.signers["eip155:*"], [address(OPERATOR).to_checksum(None)]);

    let request = served.request();
    let (status, verified): (_, VerifyResponse) = served.post("verify", &request).await;
    assert_eq!((status, verified.is_valid), (200, true));
    let (status, settled) = served.settle(&request).await;
    assert_eq!((status, settled.success), (200, true));

    // Now it is used: not valid any more, and settled as before, also after it has expired.
    let (status, verified): (_, VerifyResponse) = served.post("verify", &request).await;
    assert_eq!((status, verified.is_valid), (200, false));
    assert_eq!(verified.invalid_reason, Some(ErrorReason::NonceAlreadyUsed));
    served.world.clock.advance(120);
    assert_eq!(served.settle(&request).await, (200, settled));
}

#[tokio::test]
async fn the_same_payment_is_sent_once() {
    let served = Served::start(None).await;
    let before = served.world.tokens_of(address(SELLER)).await;
    let request = served.request();
    let (a, b, c) =
        tokio::join!(served.settle(&request), served.settle(&request), served.settle(&request));
    assert!(a.1.success);
    assert_eq!((&a, &a), (&b, &c));
    assert_eq!(served.world.count("eth_sendRawTransaction"), 1);
    let after = served.world.tokens_of(address(SELLER)).await;
    assert_eq!(after, before + U256::from(PRICE));
}

#[tokio::test]
async fn a_pending_settlement_is_taken_up_again() {
    let served = Served::start(None).await;
    served.world.dev.pause();
    let request = served.request();
    let (status, pending) = served.settle(&request).await;
    assert_eq!((status, pending.success), (200, false));
    assert_eq!(pending.error_reason, Some(ErrorReason::SettlementPending));
    assert_eq!(pending.transaction.len(), 66);
    served.world.dev.resume().unwrap();
    let (_, settled) = served.settle(&request).await;
    assert!(settled.success);
    assert_eq!(settled.transaction, pending.transaction);
    assert_eq!(served.world.dev.nonce(address(OPERATOR)), 1);
}

#[tokio::test]
async fn settling_takes_the_token() {
    let served = Served::start(Some("secret")).await;
    let body = served.request();
    let post = || served.http.post(format!("{}/settle", served.url)).json(&body);
    for request in [post(), post().bearer_auth("wrong"), post().header("authorization", "secret")] {
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
    assert_eq!(served.world.count("eth_sendRawTransaction"), 0);
    let (status, _): (_, VerifyResponse) = served.post("verify", &body).await;
    assert_eq!(status, 200);
    let settled = post().bearer_auth("secret").send().await.unwrap();
    assert!(settled.json::<SettleResponse>().await.unwrap().success);
}

#[tokio::test]
async fn what_is_malformed_is_said_so() {
    let served = Served::start(None).await;
    let mut old = served.request();
    old["x402Version"] = json!(1);
    for body in [json!({}), json!([]), old] {
        let (status, refused) = served.settle(&body).await;
        assert_eq!((status, refused.success), (400, false), "{body}");
        assert_eq!(refused.error_reason, Some(ErrorReason::InvalidPayload));
        let (status, refused): (_, VerifyResponse) = served.post("verify", &body).await;
        assert_eq!((status, refused.is_valid), (400, false), "{body}");
    }
    let huge = json!({ "x": "x".repeat(70_000) });
    let response = served.http.post(format!("{}/settle", served.url)).json(&huge).send();
    assert_eq!(response.await.unwrap().status(), 413);

    // An offer that is not the one accepted: an answer, not an error.
    let mut cheaper = served.request();
    cheaper["paymentRequirements"]["amount"] = json!("1");
    let (status, refused) = served.settle(&cheaper).await;
    assert_eq!((status, refused.error_reason), (200, Some(ErrorReason::ValueMismatch)));
    served.world.empty_buyer().await;
    let (status, refused) = served.settle(&served.request()).await;
    assert_eq!((status, refused.error_reason), (200, Some(ErrorReason::InsufficientBalance)));
}

/// Payments that cannot be settled take no room, and settled ones are known when there is none.
#[tokio::test]
async fn worthless_payments_crowd_out_nothing() {
    let served = Served::with(RouterConfig { capacity: 1, ..RouterConfig::default() }).await;
    let mut unsigned = served.request();
    let wrong = json!(format!("0x{}1b", "11".repeat(64)));
    unsigned["paymentPayload"]["payload"]["signature"] = wrong;
    let (_, refused) = served.settle(&unsigned).await;
    assert_eq!(refused.error_reason, Some(ErrorReason::InvalidSignature));
    let request = served.request();
    assert!(served.settle(&request).await.1.success);
    let (status, refused) = served.settle(&served.request()).await;
    assert_eq!((status, refused.success), (502, false));
    assert!(served.settle(&request).await.1.success);
}
