//! Verifying a receipt, its settlement record and whole bundles.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on says so by panicking")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use assay_attest::collect::{Attester as _, SimulatedNitro, SimulatedNitroRoot};
use assay_attest::{
    self as attest, EnclaveConfiguration, KEY_ATTESTATION_MEDIA_TYPE, KeyAttestation, KeyBinding,
    Roots,
};
use assay_primitives::Method;
use assay_receipt::{
    Bundle, DSSE_MEDIA_TYPE, EnclaveStatement, EvidenceScope, SigningKey, commit_output,
    commit_request,
};
use assay_testkit::{
    FakeClock, ISSUED_AT, SampleTransaction, SeededRandomness, VERIFIED_AT, sample_transaction,
};
use assay_verify::{
    Expectation, Methods, Policy, Tee, Verifier, open_item, open_manifest, open_receipt,
    open_settlement,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

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

/// A transaction of `count` items that a simulated enclave ran in one epoch, and the roots of its
/// evidence.
fn of_an_enclave(count: u32) -> (SampleTransaction, Roots) {
    let root = SimulatedNitroRoot::generate(ISSUED_AT).unwrap();
    let roots = Roots::vendors().with_development(root.certificate().clone());
    let nitro = SimulatedNitro::new(root, [7; 48], Arc::new(FakeClock::new(ISSUED_AT)));
    let mut transaction = sample_transaction(8_453).with_items(count).settled();
    let key = SigningKey::generate(&SeededRandomness::new(40)).unwrap();
    let model = transaction.items.first().unwrap().details.model.clone();
    let configuration = EnclaveConfiguration {
        engine: model.engine.clone(),
        models: vec![model.package],
        scope: EvidenceScope::Model,
    };
    let epoch = (ISSUED_AT, ISSUED_AT.plus(Duration::from_secs(1_800)));
    let binding = KeyBinding::new(key.public(), epoch, configuration);
    let evidence = nitro.attest(&binding).unwrap();
    let attestation = KeyAttestation::new(binding, evidence).to_bytes().unwrap();
    for (index, at) in (0..count).zip(0..) {
        let (secret, item) = (transaction.secret.clone(), transaction.items.get_mut(at).unwrap());
        item.details.method = Method::TEE;
        let output = item.output.as_deref().unwrap();
        let statement = EnclaveStatement {
            model: model.clone(),
            usage: item.details.usage.clone(),
            request_commitment: commit_request(&secret.request_salt(index), &item.request),
            output_commitment: commit_output(&secret.output_salt(index), output),
            scope: EvidenceScope::Model,
            signed_at: ISSUED_AT,
        };
        let statement = statement.sign(&key).unwrap();
        transaction = transaction
            .with_evidence(at, KEY_ATTESTATION_MEDIA_TYPE, &attestation)
            .with_evidence(at, DSSE_MEDIA_TYPE, &statement);
    }
    (transaction, roots)
}

/// Whole files of what an enclave ran, of an epoch that the verifier does not know, and of one that it
/// knows. The operator is known.
fn enclaves(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("enclave");
    for count in [1, 100] {
        let (transaction, roots) = of_an_enclave(count);
        let bundle = transaction.bundle();
        let file = bundle.to_bytes().unwrap();
        let new = || {
            let tee = Tee::new(roots.clone(), attest::Policy::default());
            let verifier = Verifier::new(Policy::default(), Methods::standard().with(tee));
            verifier.with_manifest(bundle.key_manifest.clone()).unwrap()
        };
        let judge = |verifier: &Verifier| {
            let report = verifier.verify(black_box(&file), &Expectation::default(), VERIFIED_AT);
            assert_eq!(report.unwrap().verdict.as_str(), "simulated");
        };
        group.throughput(Throughput::Elements(count.into()));
        group.bench_function(format!("{count} items, unknown epoch"), |bencher| {
            bencher.iter_batched(new, |verifier| judge(&verifier), BatchSize::SmallInput);
        });
        let known = new();
        group.bench_function(format!("{count} items, known epoch"), |bencher| {
            bencher.iter(|| judge(&known));
        });
    }
}

criterion_group!(benches, parts, bundles, enclaves);
criterion_main!(benches);
