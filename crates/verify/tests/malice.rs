//! What a lying operator can sign: every signature holds, and what they say does not.

use std::time::Duration;

use assay_primitives::{
    Account, Amount, Digest, InferenceRequest, InputPointer, KeyId, Network, OperatorId,
    OutputPointer, Tensor, TensorData, Timestamp,
};
use assay_receipt::{
    Bundle, IN_TOTO_PAYLOAD_TYPE, ItemStatement, KeyManifest, KeyPurpose, KeyRevocation,
    MANIFEST_PAYLOAD_TYPE, ManifestContent, Outcome, ReceiptPredicate, Reference,
    SettlementPredicate, SettlementStatus, commit_output, commit_request, merkle,
};
use assay_testkit::{
    ISSUED_AT, PRICE, SampleOperator, SampleTransaction, VERIFIED_AT, sample_output,
    sample_request, sample_transaction,
};
use assay_verify::Check;

use crate::support::{expect, lenient, refused, verdict, verify};

const REAL: u64 = 8_453;

fn sold() -> SampleTransaction {
    sample_transaction(REAL).with_items(3).settled()
}

fn account(text: &str) -> Account {
    text.parse().unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Signs a receipt that says something else.
#[track_caller]
fn expect_receipt(check: Check, item: Option<u32>, alter: impl FnOnce(&mut ReceiptPredicate)) {
    expect(check, item, &sold().bundle_with(|_, predicate| alter(predicate)));
}

/// Signs a settlement record that says something else.
#[track_caller]
fn expect_record(check: Check, alter: impl FnOnce(&mut SettlementPredicate)) {
    let mut transaction = sold();
    alter(&mut transaction.records[0]);
    expect(check, None, &transaction.bundle());
}

/// Signs a key manifest that says something else.
#[track_caller]
fn expect_manifest(check: Check, alter: impl FnOnce(&mut ManifestContent)) {
    let mut transaction = sold();
    alter(&mut transaction.operator.manifest);
    expect(check, None, &transaction.bundle());
}

#[test]
fn what_is_altered_here_held_before() {
    assert_eq!(verdict(&verify(&lenient(), &sold().bundle())), "consistent");
    assert_eq!(verdict(&verify(&lenient(), &sold().bundle_with(|_, _| {}))), "consistent");
}

#[test]
fn of_the_receipt() {
    expect_receipt(Check::ReceiptContent, None, |receipt| receipt.item_count = 0);
    expect_receipt(Check::ReceiptContent, None, |receipt| {
        receipt.item_count = merkle::MAX_LEAVES + 1;
    });
    expect_receipt(Check::ReceiptContent, None, |receipt| receipt.nonce = Some(String::new()));
    expect_receipt(Check::ReceiptOperator, None, |receipt| {
        receipt.operator = SampleOperator::new(2).id();
    });
    expect_receipt(Check::ReceiptKey, None, |receipt| {
        receipt.receipt_key = KeyId(Digest::of(b"none"));
    });
    // The identity key and the ledger's are keys of the operator's, and sign no receipts.
    let operator = sold().operator;
    expect_receipt(Check::ReceiptKey, None, |receipt| {
        receipt.receipt_key = operator.identity.public().id();
    });
    let ledger = operator.manifest.keys.iter().find(|key| key.purpose == KeyPurpose::Ledger);
    let ledger = KeyId(Digest::of(&ledger.unwrap().public_key));
    expect_receipt(Check::ReceiptKey, None, |receipt| receipt.receipt_key = ledger);
    expect_receipt(Check::ReceiptKeyValidity, None, |receipt| {
        receipt.issued_at = Timestamp::from_seconds(1_700_000_000);
    });
    expect_receipt(Check::ReceiptTime, None, |receipt| {
        receipt.issued_at = VERIFIED_AT.plus(seconds(121));
    });
    for pay_to in ["0x0000000000000000000000000000000000000001", "0x1"] {
        expect_receipt(Check::ReceiptPayTo, None, |receipt| {
            receipt.authorization.pay_to = account(pay_to);
        });
    }
    // The right account on a network it is not listed for.
    expect_receipt(Check::ReceiptPayTo, None, |receipt| {
        receipt.authorization.network = Network::eip155(1);
    });
}

#[test]
fn of_the_tree() {
    // Four leaves and three stated: a path for three does not lead to the root of four.
    expect_receipt(Check::ItemInclusion, Some(2), |receipt| receipt.item_count = 4);
    expect_receipt(Check::ItemInclusion, Some(0), |receipt| receipt.item_count = 1);
    let other_root = sold().bundle_with(|root, _| *root = Digest::of(b"another"));
    expect(Check::ItemInclusion, Some(0), &other_root);
    let hidden = |bundle: Bundle| bundle.disclose(|item| item.details.index == 2).unwrap();
    let more = sold().bundle_with(|_, receipt| receipt.item_count = 5);
    expect(Check::ItemInclusion, Some(2), &hidden(more));
}

#[test]
fn of_the_prices() {
    let price = Check::ReceiptPrice;
    let mut dearer = sold();
    dearer.items[1].details.price.amount = Amount(PRICE.0 + 1);
    expect(price, None, &dearer.bundle());
    dearer.items[2].details.price.amount = Amount(PRICE.0 - 1);
    assert_eq!(verdict(&verify(&lenient(), &dearer.bundle())), "consistent");

    let mut cheaper = sold();
    cheaper.items[1].details.price.amount = Amount(PRICE.0 - 1);
    expect(price, None, &cheaper.bundle());
    // Of one item in three, the others may have cost the rest; one alone cannot cost more.
    let one = |bundle: Bundle| bundle.disclose(|item| item.details.index == 1).unwrap();
    assert_eq!(verdict(&verify(&lenient(), &one(cheaper.bundle()))), "consistent");
    cheaper.items[1].details.price.amount = Amount(3 * PRICE.0 + 1);
    expect(price, None, &one(cheaper.bundle()));

    // A sum that goes over the edge comes back to what was authorised, or stays at the greatest.
    for (first, authorized) in [(u128::MAX, PRICE.0 - 1), (u128::MAX, u128::MAX)] {
        let mut huge = sample_transaction(REAL).with_items(2);
        huge.items[0].details.price.amount = Amount(first);
        huge.authorization.amount = Amount(authorized);
        expect(price, None, &huge.bundle());
    }

    // What failed is not charged.
    let mut failed = sample_transaction(REAL).with_items(2).with_last_failed();
    assert_eq!(verdict(&verify(&lenient(), &failed.bundle())), "consistent");
    failed.authorization.amount = Amount(2 * PRICE.0);
    expect(price, None, &failed.bundle());

    for asset in [
        "eip155:8453/erc20:0x0000000000000000000000000000000000000001",
        "eip155:1/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
        "eip155:8453/erc721:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
    ] {
        let mut other = sold();
        other.items[1].details.price.asset = asset.parse().unwrap();
        expect(price, Some(1), &other.bundle());
    }
    let asset = "0x0000000000000000000000000000000000000001";
    expect_receipt(price, Some(0), |receipt| receipt.authorization.asset = account(asset));
    expect_receipt(price, None, |receipt| receipt.authorization.amount = Amount(1));
}

#[test]
fn of_the_dependencies() {
    for wrong in [vec![1], vec![2], vec![3], vec![0, 0], vec![1, 0], vec![u32::MAX]] {
        let mut transaction = sold();
        transaction.items[1].details.depends_on = wrong;
        expect(Check::ItemDependency, Some(1), &transaction.bundle());
    }
    let mut transaction = sold();
    transaction.items[2].details.depends_on = vec![0, 1];
    assert_eq!(verdict(&verify(&lenient(), &transaction.bundle())), "consistent");
}

/// Three items with ids; the last one's second number is the first score of the one before it.
fn referring() -> SampleTransaction {
    let mut transaction = sold();
    for (item, id) in transaction.items.iter_mut().zip(["a", "b", "c"]) {
        item.details.id = Some(id.parse().unwrap());
    }
    let output = sample_output(1);
    let score = "/outputs/0/data/1".parse::<OutputPointer>().unwrap().read(&output).unwrap();
    let mut request = sample_request_of(vec![0.5, -1.0, 2.25, 7.0]);
    assert!(InputPointer::new(0, Some(1)).write(&mut request, &score));
    let last = &mut transaction.items[2];
    last.request = request.to_bytes().unwrap();
    last.details.depends_on = vec![1];
    last.details.references = vec![reference(1, "/outputs/0/data/1", "/inputs/0/data/1")];
    transaction
}

/// A request of numbers that an output's can stand among.
fn sample_request_of(values: Vec<f32>) -> InferenceRequest {
    let data = TensorData::Fp32(values);
    let tensor = Tensor::new("input".to_owned(), vec![1, 4], data).unwrap();
    InferenceRequest { inputs: vec![tensor] }
}

fn reference(item: u32, pointer: &str, at: &str) -> Reference {
    Reference { item, pointer: pointer.parse().unwrap(), at: at.parse().unwrap() }
}

#[test]
fn of_an_input_that_is_another_items_output() {
    let dependency = Check::ItemDependency;
    let report = verify(&lenient(), &referring().bundle());
    assert_eq!(verdict(&report), "consistent");
    assert_eq!(report.items[2].id, Some("c".parse().unwrap()));
    assert!(report.items[2].notes.is_empty());

    // The input was another than the output that it claims to be.
    let mut other = referring();
    other.items[2].request = sample_request_of(vec![0.5, 0.5, 2.25, 7.0]).to_bytes().unwrap();
    expect(dependency, Some(2), &other.bundle());
    // Minus zero is another number than zero, and a double another than a float.
    let mut zero = referring();
    zero.items[2].details.references[0] = reference(1, "/outputs/0/data/0", "/inputs/0/data/1");
    zero.items[2].request = sample_request_of(vec![0.5, -0.0, 2.25, 7.0]).to_bytes().unwrap();
    expect(dependency, Some(2), &zero.bundle());
    zero.items[2].request = sample_request_of(vec![0.5, 0.0, 2.25, 7.0]).to_bytes().unwrap();
    assert_eq!(verdict(&verify(&lenient(), &zero.bundle())), "consistent");
    let mut double = referring();
    double.items[2].request = sample_request(2).to_bytes().unwrap();
    expect(dependency, Some(2), &double.bundle());

    for wrong in [
        vec![reference(1, "/outputs/0/data/10", "/inputs/0/data/1")],
        vec![reference(1, "/outputs/1/data/1", "/inputs/0/data/1")],
        vec![reference(1, "/outputs/0/data/1", "/inputs/0/data/4")],
        vec![reference(1, "/outputs/0/data", "/inputs/0/data")],
        // Not what `dependsOn` names.
        vec![reference(0, "/outputs/0/data/1", "/inputs/0/data/1")],
        vec![],
        // Twice for one element.
        vec![reference(1, "/outputs/0/data/1", "/inputs/0/data/1"); 2],
        vec![
            reference(1, "/outputs/0/data/1", "/inputs/0/data"),
            reference(1, "/outputs/0/data/1", "/inputs/0/data/1"),
        ],
        vec![
            reference(1, "/outputs/0/data/1", "/inputs/0/data/1"),
            reference(1, "/outputs/0/data/0", "/inputs/0/data/0"),
        ],
    ] {
        let mut transaction = referring();
        transaction.items[2].details.references = wrong;
        expect(dependency, Some(2), &transaction.bundle());
    }

    // Of one that is shown alone nobody can tell, and the report says so.
    let alone = referring().bundle().disclose(|item| item.details.index == 2).unwrap();
    let report = verify(&lenient(), &alone);
    assert_eq!(verdict(&report), "consistent");
    assert!(report.items[0].notes[0].contains("item 1, which is not disclosed"));

    let mut failed = referring();
    failed.items[1].details.outcome = Outcome::Failed { reason: "engine".to_owned() };
    failed.items[1].output = None;
    failed.authorization.amount = Amount(2 * PRICE.0);
    expect(dependency, Some(2), &failed.bundle());

    let mut twice = referring();
    twice.items[1].details.id = Some("a".parse().unwrap());
    expect(Check::ItemIndex, Some(1), &twice.bundle());
}

/// Signs a tree of one item with these bytes.
fn with_statement(alter: impl FnOnce(&mut ItemStatement), bytes: fn(&mut Vec<u8>)) -> Bundle {
    let mut transaction = sample_transaction(REAL);
    transaction.authorization.amount = PRICE;
    let made = transaction.bundle();
    let mut statement = ItemStatement::from_bytes(&made.items[0].statement).unwrap();
    alter(&mut statement);
    let mut statement = statement.to_bytes().unwrap();
    bytes(&mut statement);
    let leaf = merkle::leaf_hash(&made.items[0].salts.leaf, &statement);
    let mut bundle = transaction.bundle_with(|root, _| *root = leaf);
    bundle.items[0].statement = statement;
    bundle
}

#[test]
fn of_an_item() {
    let held = with_statement(|_| {}, |_| {});
    assert_eq!(verdict(&verify(&lenient(), &held)), "consistent");

    // An output that the item does not have, or a request that was another.
    let other = with_statement(
        |item| item.output_commitment = commit_output(&[1; 32].into(), b"other"),
        |_| {},
    );
    expect(Check::ItemOutput, Some(0), &other);
    let other = with_statement(
        |item| item.request_commitment = commit_request(&[1; 32].into(), b"other"),
        |_| {},
    );
    expect(Check::ItemRequest, Some(0), &other);
    // Sold as `ok` and without an output; as failed and with one.
    let none = with_statement(|_| {}, |bytes| bytes[128..160].fill(0));
    expect(Check::ItemStatement, None, &none);
    let failed = with_statement(
        |item| {
            item.output_commitment = Digest::ZERO;
            item.details.outcome = Outcome::Failed { reason: "engine".into() };
        },
        |bytes| bytes[159] = 1,
    );
    expect(Check::ItemStatement, None, &failed);
    // Withheld: the item has an output, the bundle does not.
    let mut withheld = held.clone();
    withheld.items[0].output = None;
    expect(Check::ItemOutput, Some(0), &withheld);
    withheld.items[0].salts.output = [0; 32].into();
    expect(Check::ItemOutput, Some(0), &withheld);

    // Headers that say one thing to a contract and JSON that says another to a person.
    for at in [0, 31, 32, 63, 64, 67, 95, 160, 191] {
        let lying = with_byte(at);
        expect(Check::ItemStatement, None, &lying);
    }
    let unknown = with_statement(|item| item.details.method = "psychic".parse().unwrap(), |_| {});
    expect(Check::ItemMethod, Some(0), &unknown);
}

fn with_byte(at: usize) -> Bundle {
    let made = sample_transaction(REAL).bundle();
    let mut statement = made.items[0].statement.clone();
    statement[at] ^= 0x20;
    let leaf = merkle::leaf_hash(&made.items[0].salts.leaf, &statement);
    let mut bundle = sample_transaction(REAL).bundle_with(|root, _| *root = leaf);
    bundle.items[0].statement = statement;
    bundle
}

#[test]
fn of_a_settlement() {
    let terms = Check::SettlementTerms;
    expect_record(terms, |record| record.operator = OperatorId(Digest::ZERO));
    expect_record(terms, |record| record.network = Network::eip155(1));
    let other = || account("0x0000000000000000000000000000000000000001");
    expect_record(terms, |record| record.asset = other());
    expect_record(terms, |record| record.payer = other());
    expect_record(terms, |record| record.pay_to = other());
    expect_record(terms, |record| std::mem::swap(&mut record.payer, &mut record.pay_to));
    for amount in [0, 1, 3 * PRICE.0 - 1, 3 * PRICE.0 + 1, u128::MAX] {
        expect_record(terms, |record| record.amount = Amount(amount));
    }
    expect_record(terms, |record| record.transaction = None);
    expect_record(terms, |record| record.block = None);
    expect_record(terms, |record| {
        record.block.as_mut().unwrap().time = ISSUED_AT.plus(seconds(60));
        record.recorded_at = ISSUED_AT.plus(seconds(61));
    });
    for status in [SettlementStatus::Zero, SettlementStatus::Failed, SettlementStatus::Reorged] {
        expect_record(terms, |record| record.status = status);
    }

    let time = Check::SettlementTime;
    expect_record(time, |record| record.recorded_at = VERIFIED_AT.plus(seconds(121)));
    expect_record(time, |record| record.recorded_at = Timestamp::from_seconds(1_795_253_279));
    expect_record(time, |record| {
        record.block.as_mut().unwrap().time = Timestamp::from_seconds(1_795_253_279);
    });
    let mut late = sold().refunded(Amount(1));
    late.records[1].block.as_mut().unwrap().time = VERIFIED_AT;
    expect(time, None, &late.bundle());

    expect_record(Check::SettlementKey, |record| record.receipt_key = KeyId(Digest::ZERO));
}

#[test]
fn a_scheme_that_settles_less_may_and_never_more() {
    let mut transaction = sold();
    transaction.authorization.scheme = "upto".into();
    transaction.records[0].amount = Amount(1);
    let report = verify(&lenient(), &transaction.bundle());
    assert_eq!(report.payment.unwrap().settled, Amount(1));
    // What was not settled is not given back, though it was authorised.
    let too_much = transaction.clone().refunded(Amount(2));
    expect(Check::SettlementOrder, None, &too_much.bundle());
    transaction.records[0].amount = Amount(3 * PRICE.0 + 1);
    expect(Check::SettlementTerms, None, &transaction.bundle());
    transaction.records[0].amount = Amount::ZERO;
    expect(Check::SettlementTerms, None, &transaction.bundle());
}

#[test]
fn of_refunds() {
    let terms = Check::SettlementTerms;
    let whole = Amount(3 * PRICE.0);
    let report = verify(&lenient(), &sold().refunded(whole).bundle());
    assert_eq!(report.payment.unwrap().refunded, whole);
    expect(terms, None, &sold().refunded(Amount(whole.0 + 1)).bundle());
    let too_much = sold().refunded(whole).refunded(Amount(1));
    expect(Check::SettlementOrder, None, &too_much.bundle());
    expect(terms, None, &sold().refunded(Amount::ZERO).bundle());
    // To somebody else than who paid.
    let mut elsewhere = sold().refunded(Amount(1));
    elsewhere.records[1].pay_to = account("0x0000000000000000000000000000000000000001");
    expect(terms, None, &elsewhere.bundle());
}

#[test]
fn of_the_order_of_records() {
    use SettlementStatus::{Failed, Refunded, Reorged, Settled, Zero};
    let states = |statuses: &[SettlementStatus]| {
        let mut transaction = sample_transaction(REAL);
        for (at, status) in (0_u64..).zip(statuses) {
            transaction = match status {
                Settled => transaction.settled(),
                Refunded => transaction.refunded(Amount(1)),
                status => transaction.with_status(*status),
            };
            let record = transaction.records.last_mut().unwrap();
            record.recorded_at = ISSUED_AT.plus(seconds(62 + at));
        }
        verify(&lenient(), &transaction.bundle())
    };
    for (statuses, state) in [
        (vec![], "authorized"),
        (vec![Settled], "settled"),
        (vec![Zero], "zero"),
        (vec![Failed], "failed"),
        (vec![Failed, Settled], "settled"),
        (vec![Settled, Reorged], "reorged"),
        (vec![Settled, Reorged, Settled], "settled"),
        (vec![Settled, Reorged, Failed], "failed"),
        (vec![Settled, Refunded, Refunded], "refunded"),
    ] {
        let report = states(&statuses);
        assert_eq!(verdict(&report), "consistent", "{statuses:?}: {:?}", report.refusal);
        assert_eq!(report.payment.unwrap().state.as_str(), state, "{statuses:?}");
    }
    for statuses in [
        vec![Refunded],
        vec![Reorged],
        vec![Settled, Settled],
        vec![Settled, Failed],
        vec![Settled, Zero],
        vec![Zero, Settled],
        vec![Zero, Zero],
        vec![Failed, Failed],
        vec![Failed, Refunded],
        vec![Failed, Reorged],
        vec![Settled, Reorged, Refunded],
        vec![Settled, Refunded, Reorged],
        vec![Settled, Refunded, Settled],
    ] {
        assert_eq!(refused(&states(&statuses)).0, Check::SettlementOrder, "{statuses:?}");
    }
}

#[test]
fn of_the_key_manifest() {
    let content = Check::ManifestContent;
    expect_manifest(content, |manifest| manifest.version = 0);
    expect_manifest(content, |manifest| manifest.version = 2);
    expect_manifest(content, |manifest| manifest.previous = Some(Digest::ZERO));
    // The same key twice: in use once until yesterday and once for ever.
    expect_manifest(content, |manifest| {
        let mut again = manifest.keys[0].clone();
        again.valid_to = again.valid_to.plus(seconds(1));
        manifest.keys.push(again);
    });
    expect_manifest(content, |manifest| {
        let mut again = manifest.keys[0].clone();
        again.purpose = KeyPurpose::Ledger;
        manifest.keys.push(again);
    });
    expect_manifest(content, |manifest| manifest.keys[0].valid_to = Timestamp::from_seconds(0));
    expect_manifest(content, |manifest| manifest.keys[0].public_key.push(0));

    expect_manifest(Check::ReceiptKey, |manifest| manifest.keys.clear());
    expect_manifest(Check::ReceiptKey, |manifest| manifest.keys[0].purpose = KeyPurpose::Ledger);
    expect_manifest(Check::ReceiptKeyValidity, |manifest| {
        manifest.keys[0].valid_from = ISSUED_AT.plus(seconds(1));
    });
    expect_manifest(Check::ReceiptKeyValidity, |manifest| {
        manifest.keys[0].valid_to = Timestamp::from_millis(ISSUED_AT.as_millis() - 1);
    });
    // In use until the very moment: the receipt holds, the settlement record after it does not.
    expect_manifest(Check::SettlementKeyValidity, |manifest| {
        manifest.keys[0].valid_to = ISSUED_AT;
    });
    expect_manifest(Check::ReceiptPayTo, |manifest| manifest.settlement_addresses.clear());

    // Signed by the receipt key, or naming an operator that is not its identity key.
    let sold = sold();
    let mut bundle = sold.bundle();
    let manifest = KeyManifest::sign(sold.operator.manifest.clone(), &sold.operator.receipt_key);
    bundle.key_manifest = manifest.unwrap();
    expect(Check::ReceiptOperator, None, &bundle);
    let mut manifest = sold.operator.manifest.clone();
    manifest.identity_key = sold.operator.receipt_key.public().as_der().to_vec();
    manifest.operator = sold.operator.id();
    let payload = assay_primitives::json::to_vec(&manifest).unwrap();
    let key = &sold.operator.receipt_key;
    bundle.key_manifest =
        assay_receipt::Envelope::sign(MANIFEST_PAYLOAD_TYPE, payload.clone(), key);
    expect(content, None, &bundle);
    bundle.key_manifest = assay_receipt::Envelope::sign(IN_TOTO_PAYLOAD_TYPE, payload, key);
    expect(content, None, &bundle);
}

#[test]
fn a_revoked_key_is_not_believed_whenever_it_says_it_signed() {
    let sold = sold();
    let key = sold.operator.receipt_key.public().id();
    for time in [Timestamp::from_seconds(1_767_225_600), VERIFIED_AT] {
        let revocation = KeyRevocation { key, reason: "stolen".into(), time };
        expect_manifest(Check::ReceiptKeyRevoked, |manifest| {
            manifest.revocations = vec![revocation];
        });
    }
    // A record by a newer key, under a receipt by one that was not revoked, and the other way round.
    let newer = SampleOperator::new(2);
    let mut transaction = sold.clone();
    let listed = newer.manifest.keys[0].clone();
    transaction.operator.manifest.keys.push(listed);
    let mut bundle = transaction.bundle();
    let mut record = transaction.records[0].clone();
    record.receipt_key = newer.receipt_key.public().id();
    let record = assay_receipt::SettlementRecord::new(bundle.receipt.digest(), record);
    bundle.settlement_records = vec![record.sign(&newer.receipt_key).unwrap()];
    assert_eq!(verdict(&verify(&lenient(), &bundle)), "consistent");
    let key = newer.receipt_key.public().id();
    transaction.operator.manifest.revocations =
        vec![KeyRevocation { key, reason: "stolen".into(), time: VERIFIED_AT }];
    bundle.key_manifest = transaction.operator.manifest_envelope();
    expect(Check::SettlementKeyRevoked, None, &bundle);
}
