//! `assay verify`, on golden bundles of a network whose money is real.

use std::fs::{self, File};

use assay_receipt::Bundle;
use assay_testkit::{SampleOperator, VERIFIED_AT, sample_request, sample_transaction};

use crate::support::{Place, golden};

/// A place with the golden bundle of four items and the policy that pins them.
fn place() -> Place {
    let place = Place::new();
    place.file("b.assay", golden("several.assay"));
    place.file("policy.toml", golden("policy.toml"));
    place
}

/// Verifies `b.assay` as of an hour after it was made, with more options.
fn verify(place: &Place, more: &[&str]) -> crate::support::Ran {
    let at = VERIFIED_AT.to_string();
    place.run(&[&["verify", "b.assay", "--at", &at][..], more].concat())
}

/// Asserts that it is refused by a check.
#[track_caller]
fn refused(place: &Place, more: &[&str], check: &str) {
    let report = verify(place, &[&["--json"], more].concat()).expect(1).json();
    assert_eq!(report["verdict"], "refused");
    assert_eq!(report["refusal"]["check"], check, "{report}");
    assert_ne!(report["refusal"]["expected"], report["refusal"]["got"]);
    let text = verify(place, more).expect(1).stdout;
    assert!(text.starts_with("refused     "), "{text}");
    assert!(text.contains(&format!("\n  check       {check}\n  expected    ")), "{text}");
}

#[test]
fn what_a_policy_pins_is_verified() {
    let place = place();
    let pinned = ["--policy", "policy.toml"];
    let text = verify(&place, &pinned).expect(0).stdout;
    let verdict = "verified    every check held; the policy pins operator and model\n";
    assert!(text.starts_with(verdict), "{text}");
    assert!(text.contains("  paid        0.003 USDC on eip155:8453\n"), "{text}");
    assert!(text.contains("as the policy pins it"), "{text}");
    let report = verify(&place, &[&pinned[..], &["--json"]].concat()).expect(0).json();
    assert_eq!(report["verdict"], "verified");
    assert_eq!(report["refusal"], serde_json::Value::Null);
    assert_eq!(report["notes"], serde_json::json!([]));
}

#[test]
fn without_a_policy_nothing_is_more_than_consistent() {
    let place = place();
    let text = verify(&place, &[]).expect(3).stdout;
    assert!(text.starts_with("consistent  every check held, but no policy pins"), "{text}");
    let half = format!("operators = [\"{}\"]\n", SampleOperator::new(1).id());
    place.file("half.toml", half);
    let report = verify(&place, &["--policy", "half.toml", "--json"]).expect(3).json();
    assert_eq!(report["verdict"], "consistent");
    place.file("b.assay", golden("single.assay"));
    let text = verify(&place, &[]).expect(3).stdout;
    assert!(text.starts_with("simulated   every check held, but it was paid with play"), "{text}");
}

#[test]
fn another_operator_or_model_is_refused() {
    let place = place();
    let policy = String::from_utf8(golden("policy.toml")).unwrap();
    let operator = SampleOperator::new(1).id().to_string();
    place.file("policy.toml", policy.replace(&operator, &"ab".repeat(32)));
    refused(&place, &["--policy", "policy.toml"], "policy.operator");
    place.file("policy.toml", policy.replace("digits", "faces"));
    refused(&place, &["--policy", "policy.toml"], "policy.model");
    place.file("policy.toml", policy.replace("\"3000\"", "\"2999\""));
    refused(&place, &["--policy", "policy.toml"], "policy.price");
}

#[test]
fn the_time_of_verification_can_be_chosen() {
    let place = place();
    let at = |time: &str, more: &[&str]| {
        place.run(&[&["verify", "b.assay", "--json", "--at", time], more].concat())
    };
    // It was signed at 09:30; clocks may differ by two minutes.
    let before = at("2026-11-21T09:20:00Z", &[]).expect(1).json();
    assert_eq!(before["refusal"]["check"], "receipt.time");
    at("2026-11-21T09:31:00+00:00", &[]).expect(3);
    at("2036-01-01T00:00:00Z", &[]).expect(3);
    let late = at("2026-12-22T00:00:00Z", &["--policy", "policy.toml"]).expect(1).json();
    assert_eq!(late["refusal"]["check"], "policy.age");
    at("yesterday", &[]).expect_told(2, "--at: not a timestamp");
}

#[test]
fn an_input_of_ones_own_is_looked_for() {
    let place = place();
    place.file("own.json", sample_request(2).to_bytes().unwrap());
    verify(&place, &["--input", "own.json"]).expect(3);
    place.file("own.json", sample_request(9).to_bytes().unwrap());
    refused(&place, &["--input", "own.json"], "expected.input");
}

#[test]
fn what_is_no_bundle_is_unusable() {
    let place = place();
    let bundle = golden("several.assay");
    let half = &bundle[..bundle.len() / 2];
    let garbage: Vec<u8> = (0..10_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    for (content, told) in [
        (half, "not a bundle: EOF"),
        (b"", "not a bundle: EOF"),
        (&garbage, "not a bundle"),
        (b"{}", "not a bundle: missing field"),
        (b"[1, 2]", "not a bundle"),
        (&golden("policy.toml"), "not a bundle"),
    ] {
        place.file("b.assay", content);
        let ran = verify(&place, &[]).expect_told(2, told);
        assert_eq!(ran.stdout, "");
        // Also where an input would have to be read in the shape of the bundle's.
        place.file("own.json", sample_request(0).to_bytes().unwrap());
        verify(&place, &["--input", "own.json"]).expect_told(2, told);
    }
    let error = verify(&place, &["--json"]).expect(2).json();
    assert!(error["error"].as_str().unwrap().contains("not a bundle"), "{error}");
    assert_eq!(error["exitCode"], 2);

    // A hole of a gigabyte; it is not read.
    File::create(place.path("b.assay")).unwrap().set_len(1 << 30).unwrap();
    verify(&place, &[]).expect_told(2, "b.assay: more than 268435456 bytes");
    fs::remove_file(place.path("b.assay")).unwrap();
    verify(&place, &[]).expect_told(2, "b.assay: there is no such file or folder");
    fs::create_dir(place.path("b.assay")).unwrap();
    verify(&place, &[]).expect_told(2, "b.assay: this is a folder, not a file");
}

#[test]
fn a_policy_that_cannot_be_read_is_unusable() {
    let place = place();
    for (content, told) in [
        ("operator = \"x\"", "unknown field `operator`"),
        ("operators = \"x\"", "policy.toml: policy: "),
        ("max_age = \"soon\"", "policy.toml: policy: "),
        ("\u{0}", "policy.toml: policy: "),
    ] {
        place.file("policy.toml", content);
        verify(&place, &["--policy", "policy.toml"]).expect_told(2, told);
    }
    place.file("policy.toml", [0xff, 0xfe]);
    verify(&place, &["--policy", "policy.toml"]).expect_told(2, "this is no text");
    verify(&place, &["--policy", "none.toml"]).expect_told(2, "none.toml: there is no such file");
}

#[test]
fn a_changed_bundle_is_refused() {
    let place = place();
    let bundle = Bundle::from_bytes(&golden("several.assay")).unwrap();
    let write = |change: &dyn Fn(&mut Bundle)| {
        let mut changed = bundle.clone();
        change(&mut changed);
        place.file("b.assay", changed.to_bytes().unwrap());
    };
    let value: serde_json::Value = serde_json::from_slice(&golden("several.assay")).unwrap();
    place.file("b.assay", serde_json::to_string_pretty(&value).unwrap());
    refused(&place, &[], "bundle.encoding");
    write(&|bundle| bundle.media_type = "application/vnd.assay.bundle.v9+json".to_owned());
    refused(&place, &[], "bundle.version");
    write(&|bundle| bundle.items[0].output.as_mut().unwrap()[80] ^= 1);
    refused(&place, &[], "item.output");
    write(&|bundle| bundle.items[1].request[60] ^= 1);
    refused(&place, &[], "item.request");
    write(&|bundle| bundle.receipt.payload[700] ^= 1);
    verify(&place, &["--json"]).expect(1);
}

#[test]
fn a_key_manifest_of_another_is_refused() {
    let place = place();
    let mut bundle = Bundle::from_bytes(&golden("several.assay")).unwrap();
    bundle.key_manifest = SampleOperator::new(2).manifest_envelope();
    place.file("b.assay", bundle.to_bytes().unwrap());
    refused(&place, &[], "receipt.operator");
    refused(&place, &["--policy", "policy.toml"], "policy.operator");
}

#[test]
fn names_in_a_bundle_cannot_draw_on_the_terminal() {
    let place = place();
    let mut transaction = sample_transaction(8_453).settled();
    transaction.items[0].details.model.version = "1\u{1b}[2J\u{1b}[32mverified".to_owned();
    place.file("b.assay", transaction.bundle().to_bytes().unwrap());
    let text = verify(&place, &[]).expect(3).stdout;
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert!(text.contains("\\u{1b}[2J"), "{text:?}");
}
