//! The documents say what the code does.

use std::path::Path;

use assay_primitives::encoding::hex;
use assay_receipt::{
    BUNDLE_MEDIA_TYPE, Bundle, IN_TOTO_PAYLOAD_TYPE, MANIFEST_PAYLOAD_TYPE, RECEIPT_PREDICATE_TYPE,
    ROOT_OFFSET, SETTLEMENT_PREDICATE_TYPE, TransactionSecret, commit_output, commit_request,
    merkle,
};
use assay_verify::{Check, Policy};

use crate::support::golden;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_check_is_documented_in_order() {
    let text = document("verification.md");
    // The first cell of each row of the table of checks.
    let rows: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(name, _)| name)
        .filter(|name| name.contains('.'))
        .collect();
    let names: Vec<&str> = Check::ALL.iter().map(|check| check.as_str()).collect();
    assert_eq!(rows, names);
}

#[test]
fn the_example_policy_can_be_read() {
    let text = document("verification.md");
    let (_, rest) = text.split_once("```toml\n").expect("an example in TOML");
    let (example, _) = rest.split_once("```").expect("an end of the example");
    let policy = Policy::from_toml(example).unwrap();
    // It shows every field.
    assert!(
        policy.operators.is_some()
            && policy.manifest_version.is_some()
            && policy.models.is_some()
            && policy.methods.is_some()
            && policy.networks.is_some()
            && policy.pay_to.is_some()
            && policy.max_price.is_some()
            && policy.max_age.is_some()
            && policy.times.is_some()
            && policy.payments.is_some()
            && policy.attestation.is_some()
    );
    // And how the parts of an attestation policy stand in it.
    let attestation = policy.attestation.unwrap();
    assert_eq!(attestation.reference_values.unwrap().len(), 2);
    assert!(attestation.snp.min_snp.is_some() && attestation.snp.products.is_some());
}

#[test]
fn the_vectors_are_those_of_the_code() {
    let text = document("receipt-format.md");
    let secret = TransactionSecret::from_bytes([7; 32]);
    let (leaf, request, output) =
        (secret.leaf_salt(0), secret.request_salt(0), secret.output_salt(0));
    let receipt = Bundle::from_bytes(&golden("single.assay")).unwrap().receipt;
    for (what, value) in [
        ("leaf salt", hex(leaf.as_bytes())),
        ("request salt", hex(request.as_bytes())),
        ("output salt", hex(output.as_bytes())),
        ("request commitment to `{}`", commit_request(&request, b"{}").to_string()),
        ("output commitment to `{}`", commit_output(&output, b"{}").to_string()),
        ("leaf over the four bytes `item`", merkle::leaf_hash(&leaf, b"item").to_string()),
        ("digest of the receipt in `single.assay`", receipt.digest().to_string()),
    ] {
        let row = format!("| {what} | `{value}` |");
        assert!(text.contains(&row), "{row} is not documented");
    }
    // What a contract compares before and after the root.
    let payload = String::from_utf8(receipt.payload).unwrap();
    let (before, rest) = payload.split_at(ROOT_OFFSET);
    assert!(text.contains(before));
    assert!(text.contains(&rest[64..64 + 44]));
    let der = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    assert!(text.contains(der));
    let key = assay_testkit::SampleOperator::new(1).identity;
    assert_eq!(hex(&key.public().as_der()[..26]), der);
}

#[test]
fn the_format_is_documented_with_its_names() {
    let text = document("receipt-format.md");
    for name in [
        BUNDLE_MEDIA_TYPE,
        IN_TOTO_PAYLOAD_TYPE,
        MANIFEST_PAYLOAD_TYPE,
        RECEIPT_PREDICATE_TYPE,
        SETTLEMENT_PREDICATE_TYPE,
        &format!("byte {ROOT_OFFSET}"),
    ] {
        assert!(text.contains(name), "{name} is not documented");
    }
}
