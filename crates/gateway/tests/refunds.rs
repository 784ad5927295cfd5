//! Records of refunds: what is taken, and what a stranger or a careless operator hands in.

use alloy_primitives::{B256, U256};
use assay_chain::bindings::Token;
use assay_primitives::{AccessToken, Amount, SystemRandomness, TransactionId, json as strict};
use assay_receipt::{
    Envelope, ReceiptPredicate, SettlementBlock, SettlementPredicate, SettlementRecord,
    SettlementStatus, SigningKey,
};
use assay_verify::PaymentState;
use reqwest::Method;

use crate::harness::{
    Answer, BUYER, DIGITS, Market, SELLER, SIGNED_PRICE, STRANGER, address, digit, now, send,
};

/// What was bought, and what can be said of it.
struct Sold {
    id: TransactionId,
    token: AccessToken,
    digest: assay_primitives::Digest,
    receipt: ReceiptPredicate,
}

async fn sold(market: &Market) -> Sold {
    let buyer = &market.buyer;
    let payment = buyer.payment(DIGITS, "signed").await.header;
    let answer = buyer.buy(DIGITS, &digit(0), &payment).await;
    let (id, token) = (answer.is_served().transaction(), answer.token());
    let (bundle, _) = buyer.bundle(id, &token).await;
    let receipt = assay_receipt::Receipt::from_bytes(&bundle.receipt.payload).unwrap();
    Sold { id, token, digest: bundle.receipt.digest(), receipt: receipt.predicate().clone() }
}

/// Sends tokens from an account to the buyer or somebody else.
fn transfer(market: &Market, from: u8, to: u8, amount: u128) -> B256 {
    let call = Token::transferCall { to: address(to), value: U256::from(amount) };
    market.world.send(from, &call)
}

/// Returns what an honest operator says of a refund.
async fn refund(
    market: &Market,
    sold: &Sold,
    transaction: B256,
    amount: u128,
) -> SettlementPredicate {
    let paid = &sold.receipt.authorization;
    let chain = &market.world.chain;
    let mined = chain.receipt(transaction).await.unwrap().unwrap();
    let block = chain.block_at(mined.block).await.unwrap().unwrap();
    SettlementPredicate {
        operator: sold.receipt.operator,
        receipt_key: market.shop.keys.receipt.public().id(),
        status: SettlementStatus::Refunded,
        network: paid.network.clone(),
        asset: paid.asset.clone(),
        payer: paid.pay_to.clone(),
        pay_to: paid.payer.clone(),
        amount: Amount(amount),
        transaction: Some(transaction.to_string()),
        block: Some(SettlementBlock {
            number: block.number,
            hash: block.hash.to_string(),
            time: block.time,
        }),
        reason: None,
        recorded_at: now(),
    }
}

fn signed(market: &Market, sold: &Sold, record: &SettlementPredicate) -> Envelope {
    SettlementRecord::new(sold.digest, record.clone()).sign(&market.shop.keys.receipt).unwrap()
}

async fn hand_in(market: &Market, id: TransactionId, envelope: &Envelope) -> Answer {
    let path = format!("/v1/receipts/{id}/settlement-records");
    let body = strict::to_vec(envelope).unwrap();
    send(market.buyer.request(Method::POST, &path).body(body)).await
}

/// Returns the state, what was refunded and how many records there are.
async fn told(market: &Market, sold: &Sold) -> (PaymentState, u128, usize) {
    let (bundle, report) = market.buyer.bundle(sold.id, &sold.token).await;
    let payment = report.payment.unwrap();
    assert_eq!(payment.settled, Amount(SIGNED_PRICE));
    (payment.state, payment.refunded.0, bundle.settlement_records.len())
}

#[tokio::test]
async fn refunds_are_recorded_up_to_what_was_settled() {
    let market = Market::open().await;
    let sold = sold(&market).await;
    let part = transfer(&market, SELLER, BUYER, 400);
    let envelope = signed(&market, &sold, &refund(&market, &sold, part, 400).await);
    let answer = hand_in(&market, sold.id, &envelope).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    assert_eq!(answer.json()["digest"], envelope.digest().to_string());
    assert_eq!(told(&market, &sold).await, (PaymentState::Refunded, 400, 2));
    // The same again, also at a time.
    let (one, two) =
        tokio::join!(hand_in(&market, sold.id, &envelope), hand_in(&market, sold.id, &envelope));
    assert_eq!((one.status.as_u16(), two.status.as_u16()), (200, 200));
    assert_eq!(told(&market, &sold).await, (PaymentState::Refunded, 400, 2));

    let rest = transfer(&market, SELLER, BUYER, SIGNED_PRICE - 400);
    let rest = refund(&market, &sold, rest, SIGNED_PRICE - 400).await;
    let envelope = signed(&market, &sold, &rest);
    assert_eq!(hand_in(&market, sold.id, &envelope).await.status.as_u16(), 200);
    assert_eq!(told(&market, &sold).await, (PaymentState::Refunded, SIGNED_PRICE, 3));
    // More than was settled is not taken, though the chain shows it.
    let more = transfer(&market, SELLER, BUYER, 1);
    let envelope = signed(&market, &sold, &refund(&market, &sold, more, 1).await);
    let answer = hand_in(&market, sold.id, &envelope).await;
    assert_eq!(answer.is(422, "record_refused").json()["check"], "settlement.order");
    let public = market.buyer.get(&format!("/v1/receipts/{}", sold.id)).await.json();
    assert_eq!(public["state"], "settled");
    assert_eq!(public["settlementRecords"].as_array().map(Vec::len), Some(3));
    // What the payer was told of the settlement stays.
    let bundle = market.buyer.fetch(sold.id, &sold.token).await;
    assert_eq!(bundle.settlement().amount, Some(SIGNED_PRICE.to_string()));
}

/// Hands a record in, and checks that it is refused by a check of the verifier's, or by none of them.
async fn refused(
    market: &Market,
    id: TransactionId,
    envelope: &Envelope,
    check: Option<&str>,
    text: &str,
) {
    let body = hand_in(market, id, envelope).await.is(422, "record_refused").json();
    assert_eq!(body["check"].as_str(), check, "{body}");
    assert!(body["error"].as_str().unwrap().contains(text), "{text}: {body}");
}

const NOT_SHOWN: &str = "the chain does not show the refund";
const IN_ANOTHER: &str = "in another settlement record already";

/// The operator's key signs, and the chain shows something else.
#[tokio::test]
async fn records_that_are_not_true_are_refused() {
    type Edit = fn(&mut SettlementPredicate);
    let market = Market::open().await;
    let sold = sold(&market).await;
    let transaction = transfer(&market, SELLER, BUYER, 400);
    let good = refund(&market, &sold, transaction, 400).await;
    let edits: [(Edit, Option<&str>, &str); 10] = [
        (|r| r.amount = Amount(401), None, NOT_SHOWN),
        (|r| r.amount = Amount(399), None, NOT_SHOWN),
        (|r| r.amount = Amount(SIGNED_PRICE + 1), Some("settlement.terms"), "an amount from 1"),
        (|r| r.transaction = Some(B256::repeat_byte(7).to_string()), None, "in a block"),
        (|r| r.transaction = Some("0x7".to_owned()), None, "a transaction hash"),
        (|r| r.block.as_mut().unwrap().number += 1, None, "expected block"),
        (|r| r.block.as_mut().unwrap().hash = B256::ZERO.to_string(), None, "expected block"),
        (|r| r.block = None, Some("settlement.terms"), "its block"),
        (|r| std::mem::swap(&mut r.payer, &mut r.pay_to), Some("settlement.terms"), "payer"),
        (|r| r.asset = r.payer.clone(), Some("settlement.terms"), "asset"),
    ];
    for (edit, check, text) in edits {
        let mut record = good.clone();
        edit(&mut record);
        refused(&market, sold.id, &signed(&market, &sold, &record), check, text).await;
    }
    // Somebody else's money, money for somebody else, and the settlement itself.
    for (from, to) in [(STRANGER, BUYER), (SELLER, STRANGER)] {
        let transaction = transfer(&market, from, to, 400);
        let record = refund(&market, &sold, transaction, 400).await;
        refused(&market, sold.id, &signed(&market, &sold, &record), None, NOT_SHOWN).await;
    }
    let (bundle, _) = market.buyer.bundle(sold.id, &sold.token).await;
    let settled = SettlementRecord::from_bytes(&bundle.settlement_records[0].payload).unwrap();
    let paid_by = settled.predicate().transaction.as_ref().unwrap().parse().unwrap();
    let record = refund(&market, &sold, paid_by, SIGNED_PRICE).await;
    refused(&market, sold.id, &signed(&market, &sold, &record), None, NOT_SHOWN).await;
    assert_eq!(told(&market, &sold).await, (PaymentState::Settled, 0, 1));
}

/// The chain shows it, and it is not signed for this receipt, or says something else than a refund.
#[tokio::test]
async fn records_that_are_not_the_operators_are_refused() {
    let market = Market::open().await;
    let (one, other) = (sold(&market).await, sold(&market).await);
    let transaction = transfer(&market, SELLER, BUYER, 400);
    let good = refund(&market, &one, transaction, 400).await;
    let mut settled = good.clone();
    settled.status = SettlementStatus::Settled;
    (settled.payer, settled.pay_to) = (good.pay_to.clone(), good.payer.clone());
    settled.amount = Amount(SIGNED_PRICE);
    let says_settled = signed(&market, &one, &settled);
    refused(&market, one.id, &says_settled, None, "got one that says `Settled`").await;

    let elsewhere = signed(&market, &other, &good);
    refused(&market, one.id, &elsewhere, Some("settlement.receipt"), "").await;
    let stranger = SigningKey::generate(&SystemRandomness).unwrap();
    let by_stranger = |record: &SettlementPredicate| {
        SettlementRecord::new(one.digest, record.clone()).sign(&stranger).unwrap()
    };
    let mut named = good.clone();
    named.receipt_key = stranger.public().id();
    let mut changed = signed(&market, &one, &good);
    changed.payload = by_stranger(&settled).payload;
    for (envelope, check) in [
        (by_stranger(&good), "settlement.signature"),
        (by_stranger(&named), "settlement.key"),
        (changed, "settlement.signature"),
    ] {
        refused(&market, one.id, &envelope, Some(check), "").await;
    }
    assert_eq!(told(&market, &one).await, (PaymentState::Settled, 0, 1));

    // One transfer is one refund, of one receipt.
    let envelope = signed(&market, &one, &good);
    assert_eq!(hand_in(&market, one.id, &envelope).await.status.as_u16(), 200);
    let mut again = good.clone();
    again.recorded_at = now().plus(std::time::Duration::from_millis(1));
    refused(&market, one.id, &signed(&market, &one, &again), None, IN_ANOTHER).await;
    refused(&market, other.id, &elsewhere, None, IN_ANOTHER).await;
    assert_eq!(told(&market, &one).await, (PaymentState::Refunded, 400, 2));
    assert_eq!(told(&market, &other).await, (PaymentState::Settled, 0, 1));
}

#[tokio::test]
async fn what_is_no_record_or_has_no_receipt() {
    let market = Market::open().await;
    let sold = sold(&market).await;
    let post = |id: &str, body: Vec<u8>| {
        let path = format!("/v1/receipts/{id}/settlement-records");
        send(market.buyer.request(Method::POST, &path).body(body))
    };
    let id = sold.id.to_string();
    for body in ["", "{}", "[]", r#"{"payload":""}"#] {
        post(&id, body.into()).await.is(400, "malformed_request");
    }
    post(&id, vec![b' '; 65 << 10]).await.is(413, "body_too_large");
    let transaction = transfer(&market, SELLER, BUYER, 400);
    let envelope = signed(&market, &sold, &refund(&market, &sold, transaction, 400).await);
    let body = strict::to_vec(&envelope).unwrap();
    post("01890a5d-ac96-774b-bcce-b302099a8057", body.clone()).await.is(404, "unknown_receipt");
    post("nothing", body.clone()).await.is(404, "unknown_receipt");
    // Nobody can say whether it is true.
    market.world.cut_line();
    post(&id, body.clone()).await.is(502, "chain_unreachable");
    market.world.mend_line();
    assert_eq!(post(&id, body).await.status.as_u16(), 200);
}

#[tokio::test]
async fn what_is_not_settled_is_not_refunded() {
    let market = Market::open().await;
    let transaction = transfer(&market, SELLER, BUYER, 400);
    let answer = market.buy_pending().await;
    let (id, token) = (answer.transaction_id(), answer.token());
    let stored = market.shop.service.public_receipt(id).await.unwrap().receipt;
    let receipt = assay_receipt::Receipt::from_bytes(&stored.payload).unwrap();
    let sold = Sold { id, token, digest: stored.digest(), receipt: receipt.predicate().clone() };
    let envelope = signed(&market, &sold, &refund(&market, &sold, transaction, 400).await);
    let answer = hand_in(&market, id, &envelope).await;
    assert_eq!(answer.is(409, "not_settled").json()["state"], "committed");
}
