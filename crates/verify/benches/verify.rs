//! Verifying a receipt, its settlement record and whole bundles.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on says so by panicking")]

use std::hint::black_box;

use assay_receipt::Bundle;
use assay_testkit::{VERIFIED_AT, sample_transaction};
use assay_verify::{
    Expectation, Methods, Policy, Verifier, open_item, open_manifest, open_receipt, open_settlement,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn verifier() -> Verifier {
    Verifier::new(Policy::default(), Methods::standard())
}

/// What settling asks for: a receipt and its settlement record, under a manifest that is known.
fn parts(criterion: &mut Criterion) {
    let bundle = sample_transaction(8_453).settled().bundle();
    let manifest = open_manifest(&bundle.key_manifest).unwrap();
    let receipt = open_receipt(&bundle.receipt, &manifest, VERIFIED_AT).unwrap();
    let digest = bundle.receipt.digest();
    let record = bundle.settlement_records.first().unwrap();
    let item = bundle.items.first().unwrap();
    let mut group = criterion.benchmark_group("parts");
    group.bench_function("receipt and settlement record", |bencher| {
        bencher.iter(|| {
            let receipt = open_receipt(black_box(&bundle.receipt), &manifest, VERIFIED_AT).unwrap();
            let digest = bundle.receipt.digest();
            open_settlement(record, &manifest, &receipt, digest, VERIFIED_AT).unwrap()
        });
    });
    group.bench_function("receipt", |bencher| {
        bencher.iter(|| open_receipt(black_box(&bundle.receipt), &manifest, VERIFIED_AT).unwrap());
    });
    group.bench_function("settlement record", |bencher| {
        bencher.iter(|| {
            open_settlement(black_box(record), &manifest, &receipt, digest, VERIFIED_AT).unwrap()
        });
    });
    group.bench_function("key manifest", |bencher| {
        bencher.iter(|| open_manifest(black_box(&bundle.key_manifest)).unwrap());
    });
    group.bench_function("item", |bencher| {
        bencher.iter(|| open_item(black_box(item), &receipt).unwrap());
    });
}

/// Whole files, of an operator that is not known, and of one whose manifest is.
fn bundles(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bundle");
    for count in [1, 100, 1_000] {
        let bundle: Bundle = sample_transaction(8_453).with_items(count).settled().bundle();
        let file = bundle.to_bytes().unwrap();
        let known = verifier().with_manifest(bundle.key_manifest.clone()).unwrap();
        group.throughput(Throughput::Bytes(file.len() as u64));
        for (name, verifier) in [("unknown", &verifier()), ("known", &known)] {
            group.bench_function(format!("{count} items, {name} operator"), |bencher| {
                bencher.iter(|| {
                    let expectation = Expectation::default();
                    let report = verifier.verify(black_box(&file), &expectation, VERIFIED_AT);
                    assert_eq!(report.unwrap().verdict.as_str(), "consistent");
                });
            });
        }
    }
}

criterion_group!(benches, parts, bundles);
criterion_main!(benches);
