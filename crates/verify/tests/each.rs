//! Transactions of which what failed is not charged: the outcome policy `each`.

use assay_primitives::Amount;
use assay_receipt::{
    Bundle, CANCELLED, Outcome, OutcomePolicy, SettlementStatus, TIMEOUT_BELOW_FLOOR,
};
use assay_testkit::{PRICE, SampleTransaction, sample_transaction};
use assay_verify::{Check, Methods, Verifier};

use crate::support::{expect, lenient, pinning, verdict, verify};

const REAL: u64 = 8_453;

/// Three items under `upto`, the last of which failed: two prices are charged.
fn sold(reason: &str, charged: u32) -> SampleTransaction {
    let mut transaction = sample_transaction(REAL).with_items(3);
    transaction.outcome_policy = OutcomePolicy::Each;
    transaction.authorization.scheme = "upto".to_owned();
    fail(&mut transaction, 2, reason, charged);
    transaction
}

fn fail(transaction: &mut SampleTransaction, index: usize, reason: &str, charged: u32) {
    let item = &mut transaction.items[index];
    item.output = None;
    item.details.outcome = Outcome::Failed { reason: reason.to_owned() };
    item.details.usage.inferences = charged;
}

fn settled(mut transaction: SampleTransaction, amount: u128) -> Bundle {
    transaction = transaction.settled();
    transaction.records[0].amount = Amount(amount);
    transaction.bundle()
}

#[track_caller]
fn holds(bundle: &Bundle) {
    let report = verify(&lenient(), bundle);
    assert_eq!(verdict(&report), "consistent", "{:?}", report.refusal);
}

#[test]
fn what_failed_is_not_charged() {
    holds(&sold("inference_failed", 0).bundle());
    holds(&settled(sold("inference_failed", 0), 2 * PRICE.0));
    // Less may be settled, and never more.
    holds(&settled(sold("inference_failed", 0), PRICE.0));
    for wrong in [2 * PRICE.0 + 1, 3 * PRICE.0] {
        expect(Check::SettlementTerms, None, &settled(sold("inference_failed", 0), wrong));
    }
    // Charged all the same.
    expect(Check::ReceiptPrice, Some(2), &sold("inference_failed", 1).bundle());
    expect(Check::ReceiptPrice, Some(2), &sold("timeout", 1).bundle());
}

#[test]
fn what_its_buyer_ended_may_be_charged() {
    for reason in [CANCELLED, TIMEOUT_BELOW_FLOOR] {
        holds(&settled(sold(reason, 1), 3 * PRICE.0));
        holds(&settled(sold(reason, 0), 2 * PRICE.0));
        expect(Check::SettlementTerms, None, &settled(sold(reason, 0), 2 * PRICE.0 + 1));
    }
}

#[test]
fn where_nothing_is_charged_nothing_moves() {
    let mut nothing = sold("inference_failed", 0);
    fail(&mut nothing, 0, "timeout", 0);
    fail(&mut nothing, 1, "source_failed", 0);
    holds(&nothing.clone().with_status(SettlementStatus::Zero).bundle());
    expect(Check::SettlementTerms, None, &settled(nothing, 1));
}

#[test]
fn what_was_authorised_is_the_sum_of_all_prices() {
    for wrong in [2 * PRICE.0, 4 * PRICE.0] {
        let mut other = sold("inference_failed", 0);
        other.authorization.amount = Amount(wrong);
        expect(Check::ReceiptPrice, None, &other.bundle());
    }
}

#[test]
fn what_did_not_fail_is_charged() {
    let mut free = sold("inference_failed", 0);
    free.items[0].details.usage.inferences = 0;
    expect(Check::ReceiptPrice, Some(0), &free.bundle());
}

#[test]
fn it_needs_a_scheme_that_charges_less_than_was_signed() {
    let mut exact = sold("inference_failed", 0);
    exact.authorization.scheme = "exact".to_owned();
    expect(Check::ReceiptPrice, None, &exact.bundle());
    // Under `all` what was authorised is what is charged, whatever the scheme.
    let mut all = sold("inference_failed", 0);
    all.outcome_policy = OutcomePolicy::All;
    expect(Check::ReceiptPrice, None, &all.bundle());
}

#[test]
fn of_an_item_that_is_shown_alone_nobody_can_tell() {
    let bundle = settled(sold("inference_failed", 0), 2 * PRICE.0);
    holds(&bundle.disclose(|item| item.details.index == 0).unwrap());
}

#[test]
fn that_an_item_failed_is_the_operators_word_by_every_method() {
    for method in ["zkml", "tee", "signed"] {
        let mut transaction = sold("inference_failed", 0);
        transaction.items[2].details.method = method.parse().unwrap();
        let report = verify(&lenient(), &transaction.bundle());
        assert_eq!(verdict(&report), "consistent", "{:?}", report.refusal);
        assert!(report.items[2].believe.contains("operator"), "{:?}", report.items[2]);
    }
    let mut unknown = sold("inference_failed", 0);
    unknown.items[2].details.method = "unheard-of".parse().unwrap();
    expect(Check::ItemMethod, Some(2), &unknown.bundle());
}

/// Nobody but its buyer can say whether he ended an item: one that is charged for that is nothing more than
/// consistent, whatever is pinned.
#[test]
fn what_is_charged_though_it_failed_is_the_operators_word() {
    for (charged, verdict_of) in [(0, "verified"), (1, "consistent")] {
        let mut transaction = sold(CANCELLED, charged).settled();
        transaction.records[0].amount = Amount(2 * PRICE.0);
        let verifier = Verifier::new(pinning(&transaction), Methods::standard());
        let report = verify(&verifier, &transaction.bundle());
        assert_eq!(verdict(&report), verdict_of, "{:?}", report.refusal);
        assert_eq!(report.items[2].notes.len(), charged as usize);
    }
}
