//! Of several checks that fail, the first in the order of `Check::ALL` is reported.

use assay_primitives::{Amount, Network};
use assay_receipt::{Bundle, SettlementStatus};
use assay_testkit::{SampleTransaction, VERIFIED_AT, sample_request};
use assay_verify::{Check, Expectation, Methods, Policy, Verifier};

use crate::methods;
use crate::support::refused;

/// Makes a bundle fail one check, in what is sold or in the finished bundle.
type Spoil = fn(&mut SampleTransaction, &mut Vec<fn(&mut Bundle)>);

/// One way to fail each check that can fail together with later ones.
const SPOILT: [(Check, Spoil); 8] = [
    (Check::BundleVersion, |_, after| after.push(|bundle| bundle.media_type.push('x'))),
    (Check::ReceiptSignature, |_, after| {
        after.push(|bundle| bundle.receipt.signatures[0].keyid.clear());
    }),
    (Check::ItemRequest, |_, after| after.push(|bundle| bundle.items[1].request.push(b' '))),
    (Check::ItemEvidence, |_, after| after.push(|bundle| drop(bundle.evidence.pop()))),
    (Check::ItemMethod, |sold, _| {
        sold.items[1].details.method = "none".parse().unwrap();
    }),
    (Check::ItemCertification, |sold, _| {
        sold.items[0].details.evidence[0].kind.push('x');
    }),
    (Check::ReceiptPrice, |sold, _| sold.items[0].details.price.amount = Amount(7)),
    (Check::SettlementTerms, |sold, _| {
        sold.records[0].status = SettlementStatus::Zero;
    }),
];

/// A policy and expectation of which nothing is met.
fn impossible() -> (Policy, Expectation) {
    let mut policy = Policy::default();
    policy.methods = Some(vec![]);
    policy.models = Some([].into());
    policy.networks = Some(vec![Network::eip155(1)]);
    policy.pay_to = Some(vec![]);
    policy.max_price = Some(vec![]);
    policy.max_age = Some(std::time::Duration::ZERO);
    policy.times = Some(vec![]);
    policy.payments = Some(vec![]);
    let nonce = Some("another".to_owned());
    (policy, Expectation { nonce, input: Some(sample_request(99)) })
}

fn first_of(spoilt: &[(Check, Spoil)], policy: Policy, expectation: &Expectation) -> Check {
    let (mut sold, mut after) = (methods::transaction(), Vec::new());
    spoilt.iter().for_each(|(_, spoil)| spoil(&mut sold, &mut after));
    let mut bundle = sold.bundle();
    after.iter().for_each(|alter| alter(&mut bundle));
    let verifier = Verifier::new(policy, Methods::standard().with(methods::Toy::real()));
    let file = bundle.to_bytes().unwrap();
    refused(&verifier.verify(&file, expectation, VERIFIED_AT).unwrap()).0
}

#[test]
fn whatever_else_fails_the_first_check_is_reported() {
    for at in 0..SPOILT.len() {
        let (expected, _) = SPOILT[at];
        let (policy, expectation) = impossible();
        assert_eq!(first_of(&SPOILT[at..], policy, &expectation), expected);
        let nothing = Expectation::default();
        assert_eq!(first_of(&SPOILT[at..=at], Policy::default(), &nothing), expected);
    }
}

#[test]
fn the_policy_comes_last_and_in_order() {
    type Lift = fn(&mut Policy, &mut Expectation);
    let mut lifted: Vec<Lift> = Vec::new();
    let checks: [(Check, Lift); 10] = [
        (Check::PolicyMethod, |policy, _| policy.methods = None),
        (Check::PolicyModel, |policy, _| policy.models = None),
        (Check::PolicyNetwork, |policy, _| policy.networks = None),
        (Check::PolicyPayTo, |policy, _| policy.pay_to = None),
        (Check::PolicyPrice, |policy, _| policy.max_price = None),
        (Check::PolicyAge, |policy, _| policy.max_age = None),
        (Check::PolicyTime, |policy, _| policy.times = None),
        (Check::PolicyPayment, |policy, _| policy.payments = None),
        (Check::ExpectedNonce, |_, expectation| expectation.nonce = None),
        (Check::ExpectedInput, |_, _| {}),
    ];
    assert!(checks.is_sorted_by_key(|(check, _)| *check));
    for (expected, lift) in checks {
        let (mut policy, mut expectation) = impossible();
        lifted.iter().for_each(|lift| lift(&mut policy, &mut expectation));
        assert_eq!(first_of(&[], policy, &expectation), expected);
        lifted.push(lift);
    }
}

#[test]
fn of_one_check_the_first_item_is_reported_and_of_two_items_the_first_check() {
    let mut bundle = methods::bundle();
    bundle.items[0].output = Some(Vec::new());
    bundle.items[1].request.clear();
    let report = crate::support::verify(&methods::verifier(), &bundle);
    assert_eq!(refused(&report), (Check::ItemRequest, Some(1)));
    bundle.items[0].request.clear();
    let report = crate::support::verify(&methods::verifier(), &bundle);
    assert_eq!(refused(&report), (Check::ItemRequest, Some(0)));
}
