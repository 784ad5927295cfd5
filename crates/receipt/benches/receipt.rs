//! Making a receipt, and the signature under it.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on says so by panicking")]

use std::hint::black_box;

use assay_receipt::{Bundle, NewTransaction, PublicKey, SettlementRecord, issue, signature_to_raw};
use assay_testkit::{ISSUED_AT, SampleTransaction, sample_transaction};
use criterion::{Criterion, criterion_group, criterion_main};
use p256::ecdsa::signature::Verifier as _;

const REAL: u64 = 8_453;

fn certify(sample: &SampleTransaction) {
    let transaction = NewTransaction {
        id: sample.id,
        operator: sample.operator.id(),
        nonce: sample.nonce.clone(),
        ledger: None,
        outcome_policy: sample.outcome_policy,
        authorization: sample.authorization.clone(),
        items: sample.items.clone(),
    };
    let key = &sample.operator.receipt_key;
    black_box(issue(transaction, &sample.secret, key, ISSUED_AT).unwrap());
}

fn issuing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("issue");
    for count in [1, 1_000] {
        let sample = sample_transaction(REAL).with_items(count);
        group.bench_function(format!("{count} items"), |bencher| bencher.iter(|| certify(&sample)));
    }
    let sample = sample_transaction(REAL).settled();
    let receipt = sample.bundle().receipt.digest();
    let record = sample.records.first().unwrap();
    group.bench_function("settlement record", |bencher| {
        bencher.iter(|| {
            let record = SettlementRecord::new(receipt, record.clone());
            record.sign(&sample.operator.receipt_key).unwrap()
        });
    });
}

fn files(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bundle");
    for count in [1, 1_000] {
        let bundle = sample_transaction(REAL).with_items(count).settled().bundle();
        let file = bundle.to_bytes().unwrap();
        group.bench_function(format!("write {count} items"), |bencher| {
            bencher.iter(|| bundle.to_bytes().unwrap());
        });
        group.bench_function(format!("read {count} items"), |bencher| {
            bencher.iter(|| Bundle::from_bytes(black_box(&file)).unwrap());
        });
    }
}

/// One P-256 verification by ring, which is what receipts use, and by `p256`.
fn p256_verification(criterion: &mut Criterion) {
    let sample = sample_transaction(REAL);
    let key = sample.operator.receipt_key.public().clone();
    let message = b"what is signed".as_slice();
    let signature = sample.operator.receipt_key.sign(message);
    let mut group = criterion.benchmark_group("p256");
    group.bench_function("verify with ring", |bencher| {
        bencher.iter(|| key.verify(black_box(message), &signature).unwrap());
    });
    let raw = signature_to_raw(&signature).unwrap();
    let other_key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key.as_point()).unwrap();
    let other_signature = p256::ecdsa::Signature::from_slice(&raw).unwrap();
    group.bench_function("verify with p256", |bencher| {
        bencher.iter(|| other_key.verify(black_box(message), &other_signature).unwrap());
    });
    group.bench_function("sign", |bencher| {
        bencher.iter(|| sample.operator.receipt_key.sign(black_box(message)));
    });
    group.bench_function("signature from DER", |bencher| {
        bencher.iter(|| signature_to_raw(black_box(&signature)).unwrap());
    });
    group.bench_function("public key from DER", |bencher| {
        bencher.iter(|| PublicKey::from_der(black_box(key.as_der())).unwrap());
    });
}

criterion_group!(benches, issuing, files, p256_verification);
criterion_main!(benches);
