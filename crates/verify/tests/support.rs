//! What the tests of this crate share.

use std::path::PathBuf;

use assay_primitives::Timestamp;
use assay_receipt::Bundle;
use assay_testkit::{SampleTransaction, VERIFIED_AT};
use assay_verify::{Check, Expectation, Methods, Policy, Report, Verifier};

/// Returns the path of a golden file.
pub(crate) fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name)
}

/// Reads a golden file.
pub(crate) fn golden(name: &str) -> Vec<u8> {
    let path = golden_path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns a verifier under the golden policy, which pins everything.
pub(crate) fn strict() -> Verifier {
    let policy = String::from_utf8(golden("policy.toml")).unwrap();
    Verifier::new(Policy::from_toml(&policy).unwrap(), Methods::standard())
}

/// Returns a verifier that accepts everything that holds.
pub(crate) fn lenient() -> Verifier {
    Verifier::new(Policy::default(), Methods::standard())
}

/// Returns a policy that pins the operator of a transaction and the model of its first item.
pub(crate) fn pinning(transaction: &SampleTransaction) -> Policy {
    let model = &transaction.items[0].details.model;
    let mut policy = Policy::default();
    policy.operators = Some(vec![transaction.operator.id()]);
    policy.models = Some([(model.name.clone(), vec![model.id()])].into());
    policy
}

/// Checks that a bundle is refused, by which check and in which item.
#[track_caller]
pub(crate) fn expect(check: Check, item: Option<u32>, bundle: &Bundle) {
    assert_eq!(refused(&verify(&lenient(), bundle)), (check, item));
}

/// Verifies a bundle at the samples' time, expecting nothing.
pub(crate) fn verify(verifier: &Verifier, bundle: &Bundle) -> Report {
    verify_at(verifier, bundle, VERIFIED_AT)
}

/// Verifies a bundle at a time, expecting nothing.
pub(crate) fn verify_at(verifier: &Verifier, bundle: &Bundle, now: Timestamp) -> Report {
    // Through the file, as a verifier gets it.
    let file = bundle.to_bytes().unwrap();
    verifier.verify(&file, &Expectation::default(), now).unwrap()
}

/// Returns the verdict's name.
pub(crate) fn verdict(report: &Report) -> &'static str {
    report.verdict.as_str()
}

/// Returns the check that was refused, and in which item.
#[track_caller]
pub(crate) fn refused(report: &Report) -> (Check, Option<u32>) {
    let Some(refusal) = report.verdict.refusal() else {
        panic!("expected a refusal, got {}", verdict(report))
    };
    assert_eq!(report.refusal.as_ref(), Some(refusal));
    (refusal.check, refusal.item)
}
