//! What an outsider can put together out of true parts, and what a seller can leave out.

use assay_primitives::Amount;
use assay_receipt::{Bundle, EvidenceBlob, Salt, merkle};
use assay_testkit::{SampleOperator, SampleTransaction, VERIFIED_AT, sample_transaction};
use assay_verify::{Check, Expectation};

use crate::methods;
use crate::support::{lenient, refused, strict, verdict, verify};

const REAL: u64 = 8_453;

fn sold() -> SampleTransaction {
    sample_transaction(REAL).with_items(4).settled()
}

/// Another transaction of the same operator.
fn other() -> SampleTransaction {
    let mut other = sold();
    other.id = "01a1fd70-f1c0-7000-8000-000000000002".parse().unwrap();
    other.secret = assay_receipt::TransactionSecret::from_bytes([8; 32]);
    other
}

/// The same sold by another operator, who says that he is paid at the same address.
fn stranger() -> SampleTransaction {
    let mut stranger = sample_transaction(REAL).with_items(4);
    stranger.operator = SampleOperator::new(2);
    stranger.settled()
}

#[track_caller]
fn expect(check: Check, item: Option<u32>, alter: impl FnOnce(&mut Bundle)) {
    let mut bundle = sold().bundle();
    alter(&mut bundle);
    assert_eq!(refused(&verify(&lenient(), &bundle)), (check, item));
}

#[test]
fn an_item_is_of_one_place_in_one_transaction() {
    let inclusion = Check::ItemInclusion;
    expect(inclusion, Some(1), |bundle| bundle.items[1] = other().bundle().items.remove(1));
    expect(inclusion, Some(1), |bundle| {
        bundle.items[1].path = other().bundle().items.remove(1).path;
    });
    expect(inclusion, Some(1), |bundle| bundle.items[1].path.reverse());
    expect(inclusion, Some(1), |bundle| bundle.items[1].path.truncate(1));
    expect(inclusion, Some(1), |bundle| {
        let again = bundle.items[1].path[0];
        bundle.items[1].path.push(again);
    });
    expect(inclusion, Some(0), |bundle| bundle.items[0].path.clear());
    expect(inclusion, Some(0), |bundle| {
        let path = bundle.items[1].path.clone();
        bundle.items[0].path = path;
    });

    let index = Check::ItemIndex;
    expect(index, Some(0), |bundle| bundle.items.swap(0, 1));
    expect(index, Some(1), |bundle| bundle.items.insert(2, bundle.items[1].clone()));
    expect(index, None, |bundle| bundle.items.clear());
    assert_eq!(verdict(&verify(&lenient(), &other().bundle())), "consistent");
}

#[test]
fn a_node_of_the_tree_is_no_item() {
    // The node over the first two leaves, passed off as the leaf of a shorter path.
    expect(Check::ItemStatement, None, |bundle| {
        let leaf = |at: usize| {
            let item = &bundle.items[at];
            merkle::leaf_hash(&item.salts.leaf, &item.statement)
        };
        let node = [leaf(0), leaf(1)];
        let item = &mut bundle.items[0];
        item.salts.leaf = Salt::from(*node[0].as_bytes());
        item.statement = node[1].as_bytes().to_vec();
        item.path.remove(0);
    });
}

#[test]
fn contents_are_of_one_item() {
    expect(Check::ItemRequest, Some(0), |bundle| {
        let request = bundle.items[1].request.clone();
        bundle.items[0].request = request;
    });
    expect(Check::ItemOutput, Some(0), |bundle| {
        let output = bundle.items[1].output.clone();
        bundle.items[0].output = output;
    });
    expect(Check::ItemInclusion, Some(0), |bundle| {
        bundle.items[0].salts.leaf = bundle.items[1].salts.leaf;
    });
    expect(Check::ItemRequest, Some(0), |bundle| {
        bundle.items[0].salts.request = bundle.items[0].salts.output;
    });
    expect(Check::ItemOutput, Some(0), |bundle| {
        bundle.items[0].salts.output = bundle.items[0].salts.request;
    });
    expect(Check::ItemOutput, Some(0), |bundle| bundle.items[0].output = None);
    expect(Check::ItemOutput, Some(0), |bundle| {
        bundle.items[0].output.as_mut().unwrap().push(b' ');
    });
    // Request and output change places, salts and all: their commitments have other domains.
    expect(Check::ItemRequest, Some(0), |bundle| {
        let item = &mut bundle.items[0];
        let request = item.output.replace(item.request.clone()).unwrap();
        item.request = request;
        std::mem::swap(&mut item.salts.request, &mut item.salts.output);
    });
}

#[test]
fn what_failed_has_neither_output_nor_salt() {
    let failed = || sample_transaction(REAL).with_items(2).with_last_failed().bundle();
    assert_eq!(verdict(&verify(&lenient(), &failed())), "consistent");
    let mut bundle = failed();
    bundle.items[1].output = Some(Vec::new());
    assert_eq!(refused(&verify(&lenient(), &bundle)), (Check::ItemOutput, Some(1)));
    let mut bundle = failed();
    bundle.items[1].salts.output = bundle.items[1].salts.leaf;
    assert_eq!(refused(&verify(&lenient(), &bundle)), (Check::ItemOutput, Some(1)));
}

#[test]
fn a_settlement_record_is_of_one_receipt() {
    expect(Check::SettlementReceipt, None, |bundle| {
        bundle.settlement_records = other().bundle().settlement_records;
    });
    expect(Check::SettlementReceipt, None, |bundle| {
        bundle.settlement_records.push(other().bundle().settlement_records.remove(0));
    });
    let stranger = || stranger().bundle();
    expect(Check::SettlementKey, None, |bundle| {
        bundle.settlement_records = stranger().settlement_records;
    });
    expect(Check::ReceiptOperator, None, |bundle| bundle.key_manifest = stranger().key_manifest);
    expect(Check::ReceiptOperator, None, |bundle| bundle.receipt = stranger().receipt);
}

#[test]
fn records_stand_once_and_in_order() {
    let refunded = || sold().refunded(Amount(1)).refunded(Amount(2)).bundle();
    let order = |alter: &dyn Fn(&mut Vec<assay_receipt::Envelope>)| {
        let mut bundle = refunded();
        alter(&mut bundle.settlement_records);
        refused(&verify(&lenient(), &bundle)).0
    };
    assert_eq!(verdict(&verify(&lenient(), &refunded())), "consistent");
    assert_eq!(order(&|records| records.push(records[2].clone())), Check::SettlementOrder);
    assert_eq!(order(&|records| records.insert(1, records[0].clone())), Check::SettlementOrder);
    assert_eq!(order(&|records| records.swap(0, 1)), Check::SettlementOrder);
    assert_eq!(order(&|records| drop(records.remove(0))), Check::SettlementOrder);
    // What a seller leaves out at the end, nobody sees: the last word is asked for elsewhere.
    let mut bundle = refunded();
    bundle.settlement_records.truncate(1);
    assert_eq!(verdict(&verify(&lenient(), &bundle)), "consistent");
}

#[test]
fn evidence_is_what_the_items_name_and_nothing_else() {
    let with = |alter: &dyn Fn(&mut Vec<EvidenceBlob>)| {
        let mut bundle = methods::bundle();
        alter(&mut bundle.evidence);
        verify(&methods::verifier(), &bundle)
    };
    assert_eq!(verdict(&with(&|_| {})), "verified");
    let other = || EvidenceBlob {
        sha256: assay_primitives::Digest::of(b"other"),
        content: b"other".to_vec(),
    };
    let evidence = Check::ItemEvidence;
    assert_eq!(refused(&with(&|all| all.swap(0, 1))), (evidence, Some(0)));
    assert_eq!(refused(&with(&|all| all.clear())), (evidence, Some(0)));
    assert_eq!(refused(&with(&|all| drop(all.pop()))), (evidence, Some(1)));
    assert_eq!(refused(&with(&|all| all[0] = other())), (evidence, Some(0)));
    assert_eq!(refused(&with(&|all| all[0].sha256 = all[1].sha256)), (evidence, Some(0)));
    assert_eq!(refused(&with(&|all| all[0].content = all[1].content.clone())), (evidence, Some(0)));
    assert_eq!(refused(&with(&|all| all[1].content.push(0))), (evidence, Some(1)));
    assert_eq!(refused(&with(&|all| all.push(other()))), (evidence, None));
    assert_eq!(refused(&with(&|all| all.push(all[0].clone()))), (evidence, None));
    assert_eq!(refused(&with(&|all| all.insert(0, other()))), (evidence, Some(0)));

    // Right in every byte but the length that the item signs.
    let mut transaction = methods::transaction();
    transaction.items[1].details.evidence[0].size += 1;
    let report = verify(&methods::verifier(), &transaction.bundle());
    assert_eq!(refused(&report), (evidence, Some(1)));
}

#[test]
fn two_items_may_name_one_piece_of_evidence() {
    let mut transaction = methods::transaction();
    let (first, output) = (transaction.items[0].clone(), transaction.items[0].output.clone());
    transaction.items[1].request = first.request;
    transaction.items[1].output = output;
    transaction.items[1].details.outcome = assay_receipt::Outcome::Ok;
    transaction.items[1].details.evidence = first.details.evidence;
    transaction.authorization.amount = Amount(2_000);
    transaction.records[0].amount = Amount(2_000);
    transaction.evidence.truncate(1);
    let bundle = transaction.bundle();
    assert_eq!(verdict(&verify(&methods::verifier(), &bundle)), "verified");
    // And either keeps it when it is shown alone.
    for index in 0..2 {
        let one = bundle.clone().disclose(|item| item.details.index == index).unwrap();
        assert_eq!(verdict(&verify(&methods::verifier(), &one)), "verified");
    }
    // Of two with their own, each takes only its own along.
    let one = methods::bundle().disclose(|item| item.details.index == 1).unwrap();
    assert_eq!(one.evidence.len(), 1);
    assert_eq!(verdict(&verify(&methods::verifier(), &one)), "verified");
}

#[test]
fn whoever_is_not_pinned_is_never_verified() {
    let imposter = stranger();
    assert_eq!(verdict(&verify(&lenient(), &imposter.bundle())), "consistent");
    assert_eq!(refused(&verify(&strict(), &imposter.bundle())), (Check::PolicyOperator, None));
    // The pinned operator's manifest before a receipt that is not its own.
    let mut bundle = imposter.bundle();
    bundle.key_manifest = sold().bundle().key_manifest;
    assert_eq!(refused(&verify(&strict(), &bundle)), (Check::ReceiptOperator, None));
}

#[test]
fn the_verifiers_own_nonce_and_input_are_compared() {
    let file = sold().bundle().to_bytes().unwrap();
    let with = |nonce: Option<&str>, input: Option<u32>| {
        let expectation = Expectation {
            nonce: nonce.map(str::to_owned),
            input: input.map(assay_testkit::sample_request),
        };
        lenient().verify(&file, &expectation, VERIFIED_AT).unwrap()
    };
    assert_eq!(verdict(&with(Some("fresh-1"), Some(3))), "consistent");
    assert_eq!(refused(&with(Some("fresh-2"), Some(3))), (Check::ExpectedNonce, None));
    assert_eq!(refused(&with(None, Some(4))), (Check::ExpectedInput, None));
    let mut without = sold();
    without.nonce = None;
    let expectation = Expectation { nonce: Some(String::new()), input: None };
    let file = without.bundle().to_bytes().unwrap();
    let report = lenient().verify(&file, &expectation, VERIFIED_AT).unwrap();
    assert_eq!(refused(&report), (Check::ExpectedNonce, None));
}
