//! What holds, and a reader has to be told.

use super::*;

/// Neither a TDX guest nor an SGX enclave has a clock that its owner does not set.
#[test]
fn a_sale_that_was_dated_back_is_told() {
    let mut sale = Sale::new();
    let said = |sale: &Sale| {
        let later = ISSUED_AT.plus(400 * 24 * 60 * MINUTE);
        let report = verify_at(&sale.verifier(), &sale.bundle(), later);
        assert_eq!(verdict(&report), "simulated", "{:?}", report.refusal);
        report.items[0].notes.iter().find(|note| note.starts_with("time: ")).cloned()
    };
    assert_eq!(said(&sale), None);
    let paid = ISSUED_AT.plus(300 * 24 * 60 * MINUTE);
    sale.transaction.authorization.valid_before = paid.plus(MINUTE);
    let record = &mut sale.transaction.records[0];
    (record.block.as_mut().unwrap().time, record.recorded_at) = (paid, paid);
    let told = said(&sale).unwrap();
    assert!(told.contains(&paid.to_string()) && told.contains(&ISSUED_AT.to_string()), "{told}");
    sale.transaction.records.clear();
    assert!(said(&sale).unwrap().contains("no settlement"));
}

/// A policy may accept a debug mode, and a report says so.
#[test]
fn a_debug_mode_that_the_policy_accepts_is_told() {
    let mut sale = Sale::new();
    sale.enclave.measure([0; 48]);
    let (expected, _) = sale.assert_refused();
    assert!(expected.starts_with("policy.debug: "), "{expected}");
    let policy = attest::Policy { allow_debug: true, ..attest::Policy::default() };
    let report = verify(&sale.verifier_with(sale.pinning(), policy), &sale.bundle());
    assert_eq!(verdict(&report), "simulated", "{:?}", report.refusal);
    let notes = &report.items[0].notes;
    assert!(notes.iter().any(|note| note.starts_with("enclave: debug mode")), "{notes:?}");
    assert!(!Sale::new().report().items[0].notes.iter().any(|note| note.contains("debug")));
}
