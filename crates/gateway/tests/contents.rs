//! A payer who shows that he is one, and contents that are erased.

use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, hex};
use assay_chain::AccountKey;
use assay_chain::bindings::Token;
use assay_devchain::CHAIN_ID;
use assay_primitives::{AccessToken, Network, SystemRandomness, TransactionId};
use assay_receipt::ERASE_STATEMENT;
use assay_store::TransactionState;
use assay_x402::{
    Authorization, ExactPayload, PAYMENT_SIGNATURE, PaymentPayload, SIGN_IN_WITH_X, SignIn,
    SignInScope, encode_sign_in,
};
use reqwest::Method;
use serde_json::json;

use crate::harness::{
    Answer, BUYER, Buyer, DIGITS, Market, Mood, PUBLIC_URL, SIGNED_PRICE, STRANGER, TOY, address,
    digit, forge, header, key, now, send,
};

/// What is signed, apart from who signs.
struct Words<'a> {
    domain: &'a str,
    uri: String,
    chain: u64,
    statement: Option<&'a str>,
}

impl Words<'_> {
    /// What the gateway expects for a receipt.
    fn of(id: TransactionId) -> Self {
        let uri = format!("{PUBLIC_URL}/v1/receipts/{id}");
        Self { domain: "seller.example", uri, chain: CHAIN_ID, statement: None }
    }

    fn signed_by(&self, key: &AccountKey) -> SignIn {
        let network = Network::eip155(self.chain);
        let scope = SignInScope {
            domain: self.domain,
            uri: &self.uri,
            network: &network,
            address: key.address(),
            statement: self.statement,
        };
        SignIn::sign(&scope, key, now(), &SystemRandomness).unwrap()
    }
}

async fn ask(buyer: &Buyer, method: Method, id: TransactionId, sign_in: &SignIn) -> Answer {
    let request = buyer.request(method, &format!("/v1/receipts/{id}"));
    send(request.header(SIGN_IN_WITH_X, encode_sign_in(sign_in).unwrap())).await
}

async fn bought(market: &Market, sample: usize) -> (TransactionId, AccessToken, String) {
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    let answer = market.buyer.buy(DIGITS, &digit(sample), &payment).await;
    (answer.is_served().transaction(), answer.token(), payment)
}

#[tokio::test]
async fn a_payer_opens_what_he_paid_for() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let (id, token, _) = bought(&market, 0).await;
    let sign_in = Words::of(id).signed_by(&buyer.key);
    let opened = ask(buyer, Method::GET, id, &sign_in).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    assert_eq!(opened.body, buyer.fetch(id, &token).await.body);
    assert_eq!(opened.settlement().amount, Some(SIGNED_PRICE.to_string()));
    assert_eq!(opened.header("cache-control"), Some("private, no-store"));
    // Once.
    let again = ask(buyer, Method::GET, id, &sign_in).await;
    let told = again.is(403, "wrong_sign_in").json()["error"].to_string();
    assert!(told.contains("nonce: expected one that was not used, got"), "{told}");
    // And again with a new one.
    let sign_in = Words::of(id).signed_by(&buyer.key);
    assert_eq!(ask(buyer, Method::GET, id, &sign_in).await.status, 200);
}

#[tokio::test]
async fn of_many_at_once_one_opens() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let (id, _, _) = bought(&market, 0).await;
    let sign_in = Words::of(id).signed_by(&buyer.key);
    let asked = (0..16).map(|_| ask(buyer, Method::GET, id, &sign_in));
    let answers = futures_util::future::join_all(asked).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 403).count(), 15);
}

#[tokio::test]
async fn nobody_else_opens_it() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let (id, token, payment) = bought(&market, 0).await;
    let (other, _, _) = bought(&market, 1).await;
    let right = || Words::of(id);
    for (sign_in, expected) in [
        (right().signed_by(&key(STRANGER)), "address: expected"),
        (Words::of(other).signed_by(&buyer.key), "uri: expected"),
        (
            Words { domain: "evil.example", ..right() }.signed_by(&buyer.key),
            "domain: expected `seller.example`, got `evil.example`",
        ),
        (Words { chain: 8_453, ..right() }.signed_by(&buyer.key), "chainId: expected"),
        (
            SignIn {
                address: address(BUYER).to_checksum(None),
                ..right().signed_by(&key(STRANGER))
            },
            "neither its key made nor its code",
        ),
    ] {
        let answer = ask(buyer, Method::GET, id, &sign_in).await;
        let told = answer.is(403, "wrong_sign_in").json()["error"].to_string();
        assert!(told.contains(expected), "{told}");
        ask(buyer, Method::DELETE, id, &sign_in).await.is(403, "wrong_sign_in");
    }
    let path = format!("/v1/receipts/{id}");
    // The payment that was made opens nothing: whoever saw it could send it again.
    let public = buyer.get(&path).await;
    let replayed =
        send(buyer.request(Method::GET, &path).header(PAYMENT_SIGNATURE, &payment)).await;
    assert_eq!((replayed.status.as_u16(), &replayed.body), (200, &public.body));
    let get =
        |name: &'static str, value: String| buyer.request(Method::GET, &path).header(name, value);
    send(get(SIGN_IN_WITH_X, payment)).await.is(400, "invalid_header");
    send(get(SIGN_IN_WITH_X, "nothing".to_owned())).await.is(400, "invalid_header");
    send(get(SIGN_IN_WITH_X, "A".repeat(20_000))).await.is(400, "invalid_header");
    let both = encode_sign_in(&right().signed_by(&buyer.key)).unwrap();
    send(get(SIGN_IN_WITH_X, both).bearer_auth(token.reveal())).await.is(400, "invalid_header");
    let nobody = TransactionId::new(now(), &SystemRandomness).unwrap();
    ask(buyer, Method::GET, nobody, &Words::of(nobody).signed_by(&buyer.key))
        .await
        .is(404, "unknown_receipt");
    assert_eq!(buyer.fetch(id, &token).await.status, 200);
}

/// A payer's wallet that is a contract: it takes any signature whose first word is 42.
const WALLET: [u8; 34] =
    hex!("601780600b6000396000f3 606435602a14631626ba7e60e01b0260005260206000f3");

/// Deploys the wallet and gives it tokens.
fn wallet(market: &Market) -> Address {
    let dev = &market.world.dev;
    let nonce = dev.nonce(address(STRANGER));
    let transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 1_000_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 0,
        to: TxKind::Create,
        value: U256::ZERO,
        access_list: Vec::new().into(),
        input: Bytes::from_static(&WALLET),
    };
    let signature = key(STRANGER).sign_hash(&transaction.signature_hash());
    let signed = transaction.into_signed(Signature::from_raw_array(&signature).unwrap());
    let mut raw = Vec::new();
    signed.eip2718_encode(&mut raw);
    dev.submit(&raw).unwrap();
    let wallet = address(STRANGER).create(nonce);
    let value = U256::from(10 * SIGNED_PRICE);
    market.world.send(BUYER, &Token::transferCall { to: wallet, value });
    wallet
}

/// A signature for the wallet to judge.
fn word(word: u8) -> Vec<u8> {
    [vec![0; 31], vec![word], vec![0; 64]].concat()
}

#[tokio::test]
async fn a_contract_wallet_opens_what_it_paid_for() {
    let market = Market::open().await;
    let (buyer, wallet) = (&market.buyer, wallet(&market));
    let offer = buyer.offers(DIGITS).await.accepts.remove(0);
    let forged = forge(&offer, &buyer.key, |_| {});
    let exact = ExactPayload::from_json(&forged.payload).unwrap();
    let authorization = Authorization { from: wallet, ..exact.authorization };
    let payload = ExactPayload { signature: word(42).into(), authorization }.to_json();
    let paid = buyer.buy(DIGITS, &digit(0), &header(&PaymentPayload { payload, ..forged })).await;
    let (id, token) = (paid.is_served().transaction(), paid.token());

    let signed = |by: u8| SignIn {
        address: wallet.to_checksum(None),
        signature: format!("0x{}", hex::encode(word(by))),
        ..Words::of(id).signed_by(&buyer.key)
    };
    let refused = ask(buyer, Method::GET, id, &signed(41)).await;
    let told = refused.is(403, "wrong_sign_in").json()["error"].to_string();
    assert!(told.contains("neither its key made nor its code"), "{told}");
    let sign_in = signed(42);
    let opened = ask(buyer, Method::GET, id, &sign_in).await;
    assert_eq!((opened.status.as_u16(), opened.body), (200, buyer.fetch(id, &token).await.body));
    ask(buyer, Method::GET, id, &sign_in).await.is(403, "wrong_sign_in");
    // A chain that does not answer opens nothing, and uses nothing up.
    let sign_in = signed(42);
    market.world.cut_line();
    ask(buyer, Method::GET, id, &sign_in).await.is(502, "chain_unreachable");
    market.world.mend_line();
    assert_eq!(ask(buyer, Method::GET, id, &sign_in).await.status, 200);
}

#[tokio::test]
async fn a_payer_waits_for_the_settlement() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let answer = market.buy_pending().await;
    let (id, token) = (answer.transaction_id(), answer.token());
    let signed = || Words::of(id).signed_by(&buyer.key);
    ask(buyer, Method::GET, id, &signed()).await.is(409, "not_settled");
    // Nothing is erased before the money is known to have moved, or not to.
    let erase = Words { statement: Some(ERASE_STATEMENT), ..Words::of(id) };
    let refused = ask(buyer, Method::DELETE, id, &erase.signed_by(&buyer.key)).await;
    assert_eq!(refused.is(409, "not_ended").json()["state"], "committed");
    let delete = || buyer.request(Method::DELETE, &format!("/v1/receipts/{id}"));
    send(delete().bearer_auth(token.reveal())).await.is(409, "not_ended");
    market.world.dev.resume().unwrap();
    market.shop.wait_for(id, TransactionState::Settled).await;
    assert_eq!(ask(buyer, Method::GET, id, &signed()).await.status, 200);
    market.charged(1, SIGNED_PRICE).await;
}

#[tokio::test]
async fn a_payer_of_what_is_reserved_sees_no_contents() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let payment = buyer.payment(DIGITS, TOY).await.header;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    market.shop.toy.set(Mood::Wait(gate.clone()));
    let looking = async {
        market.shop.toy.wait_for_runs(1).await;
        let again = buyer.buy(DIGITS, &digit(0), &payment).await;
        let id = again.is(409, "payment_already_used").transaction_id();
        let sign_in = Words::of(id).signed_by(&buyer.key);
        let answer = ask(buyer, Method::GET, id, &sign_in).await;
        assert_eq!(answer.is(409, "not_settled").json()["state"], "reserved");
        gate.add_permits(1);
    };
    let (served, ()) = tokio::join!(buyer.buy(DIGITS, &digit(0), &payment), looking);
    served.is_served();
}

#[tokio::test]
async fn a_buyer_erases_contents() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let (id, token, payment) = bought(&market, 0).await;
    let (kept, kept_token, _) = bought(&market, 1).await;
    let path = format!("/v1/receipts/{id}");
    let public = buyer.get(&path).await;
    let delete = || buyer.request(Method::DELETE, &path);
    send(delete()).await.is(403, "wrong_token");
    send(delete().bearer_auth(kept_token.reveal())).await.is(403, "wrong_token");
    send(delete().header(PAYMENT_SIGNATURE, &payment)).await.is(403, "wrong_token");
    assert_eq!(buyer.fetch(id, &token).await.status, 200);

    let erased = send(delete().bearer_auth(token.reveal())).await;
    assert_eq!(erased.status, 200, "{erased:?}");
    let at = erased.json()["erasedAt"].clone();
    assert_eq!(erased.json(), json!({ "transactionId": id, "erasedAt": at }));
    let gone = buyer.fetch(id, &token).await;
    assert_eq!(gone.is(410, "erased").json()["erasedAt"], at);
    let sign_in = Words::of(id).signed_by(&buyer.key);
    ask(buyer, Method::GET, id, &sign_in).await.is(410, "erased");
    // Others are told no more than before.
    buyer.fetch(id, &kept_token).await.is(403, "wrong_token");
    // Erasing it again changes nothing, and the public part is what it was.
    assert_eq!(send(delete().bearer_auth(token.reveal())).await.json()["erasedAt"], at);
    assert_eq!(buyer.get(&path).await.body, public.body);
    // The payment stays used. By which request nobody can tell any more.
    for sample in [0, 1] {
        let hash = token.hash().to_string();
        let again = buyer.paid(DIGITS, &digit(sample), &payment);
        let used = send(again.header("assay-access-token-hash", hash)).await;
        assert_eq!(used.is(409, "payment_already_used").transaction_id(), id);
    }
    assert_eq!(buyer.fetch(kept, &kept_token).await.status, 200);
    market.charged(2, 2 * SIGNED_PRICE).await;
}

#[tokio::test]
async fn a_payer_erases_by_what_he_signs() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let (id, token, _) = bought(&market, 0).await;
    // What opens contents does not erase them, and is not used up by it.
    let opens = Words::of(id).signed_by(&buyer.key);
    let refused = ask(buyer, Method::DELETE, id, &opens).await;
    let told = refused.is(403, "wrong_sign_in").json()["error"].to_string();
    assert!(told.contains("statement: expected `Erase the contents"), "{told}");
    assert_eq!(ask(buyer, Method::GET, id, &opens).await.status, 200);
    let erases = Words { statement: Some(ERASE_STATEMENT), ..Words::of(id) };
    let erased = ask(buyer, Method::DELETE, id, &erases.signed_by(&buyer.key)).await;
    assert_eq!(erased.status, 200, "{erased:?}");
    buyer.fetch(id, &token).await.is(410, "erased");
}

#[tokio::test]
async fn contents_are_erased_when_their_time_is_over() {
    for (retention, erased) in [(Duration::ZERO, true), (Duration::from_secs(3_600), false)] {
        let market = Market::open_with(|setup| setup.retention = retention).await;
        let (buyer, service) = (&market.buyer, &market.shop.service);
        let (id, token, _) = bought(&market, 0).await;
        service.erase_expired().await.unwrap();
        let answer = buyer.fetch(id, &token).await;
        if erased {
            answer.is(410, "erased");
        } else {
            assert_eq!(answer.status, 200);
        }
        assert_eq!(service.erase_expired().await.unwrap(), 0, "{retention:?}");
        assert_eq!(buyer.get(&format!("/v1/receipts/{id}")).await.json()["state"], "settled");
    }
}

/// What was paid with goes, too, but not while a reorganisation may ask for it again.
#[tokio::test]
async fn a_payment_is_erased_when_nothing_needs_it() {
    let market = Market::open().await;
    let (buyer, service) = (&market.buyer, &market.shop.service);
    let (id, token, _) = bought(&market, 0).await;
    let (kept, ..) = bought(&market, 1).await;
    let path = format!("/v1/receipts/{id}");
    let erased = send(buyer.request(Method::DELETE, &path).bearer_auth(token.reveal())).await;
    assert_eq!(erased.status, 200, "{erased:?}");
    let has_payment = async |id| {
        service.erase_expired().await.unwrap();
        let row = service.parts().store.transaction(id).await.unwrap().unwrap();
        row.intent.is_some()
    };
    assert!(has_payment(id).await, "its block may still be taken back");
    let call = Token::transferCall { to: address(BUYER), value: U256::from(1) };
    for _ in 0..=service.parts().settings.reorg_depth {
        market.world.send(STRANGER, &call);
    }
    assert!(!has_payment(id).await);
    assert!(has_payment(kept).await, "its contents are kept");
    assert_eq!(service.watch_reorganisations().await.unwrap(), 0);
    assert_eq!(buyer.get(&path).await.json()["state"], "settled");
    market.charged(2, 2 * SIGNED_PRICE).await;
}

/// More than one step of the pass erases.
#[tokio::test]
async fn many_are_erased_in_small_steps() {
    let market = Market::open_with(|setup| setup.retention = Duration::ZERO).await;
    let service = &market.shop.service;
    let store = &service.parts().store;
    let mut released = Vec::new();
    for n in 0..150_u64 {
        let payer = format!("0x{n:040x}").parse().unwrap();
        let payment = assay_store::Payment {
            network: Network::eip155(CHAIN_ID),
            asset: "0x01".parse().unwrap(),
            payer,
            nonce: n.to_string(),
        };
        let id = TransactionId::new(now(), &SystemRandomness).unwrap();
        let reservation = assay_store::Reservation {
            id,
            payment,
            payload: b"payment".to_vec(),
            binding: assay_primitives::Digest::ZERO,
            access_token_hash: assay_primitives::Digest::ZERO,
            secret: [1; 32],
            at: now(),
            queue: "signed".to_owned(),
            request: b"what is run".to_vec(),
            echo: b"wanted back".to_vec(),
            location: None,
            is_resumable: false,
            deadline: now(),
            leased_until: None,
        };
        store.reserve(reservation).await.unwrap();
        store.release(id, None).await.unwrap();
        released.push(id);
    }
    service.erase_expired().await.unwrap();
    for id in released {
        assert!(store.transaction(id).await.unwrap().unwrap().erased_at.is_some());
    }
}
