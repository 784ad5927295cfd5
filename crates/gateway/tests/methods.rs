//! The set of methods is open: one that no crate knows is offered, sold, settled and verified.

use assay_primitives::Method;
use assay_receipt::ItemStatement;
use assay_verify::{Check, Expectation, Methods, Policy, Verdict, Verifier};

use crate::harness::{DIGITS, Market, SIGNED_PRICE, TOY, TOY_PRICE, ToyVerifier, digit, now};

#[tokio::test]
async fn a_fourth_method_sells_and_verifies() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let offers = buyer.offers(DIGITS).await;
    let methods: Vec<_> = offers.accepts.iter().map(|offer| offer.extra_text("method")).collect();
    assert_eq!(methods, [Some("signed"), Some(TOY)]);
    let payment = buyer.payment(DIGITS, TOY).await.header;
    let answer = buyer.buy(DIGITS, &digit(5), &payment).await;
    let (id, token) = (answer.is_served().transaction(), answer.token());
    let (bundle, report) = buyer.bundle(id, &token).await;
    let toy: Method = TOY.parse().unwrap();
    assert_eq!(report.verdict, Verdict::Simulated, "on a development chain nothing is more");
    assert_eq!(
        (&report.items[0].method, report.items[0].believe.as_str()),
        (&toy, "whoever made this seal")
    );
    assert_eq!(ItemStatement::from_bytes(&bundle.items[0].statement).unwrap().details.method, toy);
    assert_eq!(report.payment.unwrap().settled.0, TOY_PRICE);
    market.charged(1, TOY_PRICE).await;

    // Who does not know the method refuses it, and another seal is none.
    let file = bundle.to_bytes().unwrap();
    let check = |methods: Methods, file: &[u8]| {
        let verifier = Verifier::new(Policy::default(), methods);
        let report = verifier.verify(file, &Expectation::default(), now()).unwrap();
        report.refusal.unwrap().check
    };
    assert_eq!(check(Methods::standard(), &file), Check::ItemMethod);
    let mut other = bundle.clone();
    other.evidence[0].content[0] ^= 1;
    let file = other.to_bytes().unwrap();
    assert_eq!(check(Methods::standard().with(ToyVerifier), &file), Check::ItemEvidence);
}

#[tokio::test]
async fn each_method_costs_its_own_price() {
    let market = Market::open().await;
    for (method, price) in [("signed", SIGNED_PRICE), (TOY, TOY_PRICE)] {
        let payment = market.buyer.payment(DIGITS, method).await;
        assert_eq!(payment.payload.accepted.amount.0, price);
        market.buyer.buy(DIGITS, &digit(1), &payment.header).await.is_served();
    }
    market.charged(2, SIGNED_PRICE + TOY_PRICE).await;
}
