//! Bundles of every version of the format verify for ever.
//!
//! `ASSAY_BLESS=1 cargo test -p assay-verify --test main golden` writes the files anew. A file of a
//! version that was ever released is never written anew: a new version gets a new folder.

use assay_primitives::Amount;
use assay_receipt::Bundle;
use assay_testkit::{DEVELOPMENT, SampleOperator, VERIFIED_AT, sample_transaction};
use assay_verify::{Expectation, Methods, Policy, Report, Verifier};

use crate::support::{golden, golden_path};

/// A golden bundle: how it is made, under which policy it is verified, and what comes out.
struct Golden {
    name: &'static str,
    make: fn() -> Bundle,
    policy: Option<&'static str>,
    verdict: &'static str,
}

const GOLDEN: [Golden; 4] = [
    Golden { name: "single", make: single, policy: None, verdict: "simulated" },
    Golden { name: "several", make: several, policy: Some("policy.toml"), verdict: "verified" },
    Golden { name: "disclosed", make: disclosed, policy: Some("policy.toml"), verdict: "verified" },
    Golden { name: "refunded", make: refunded, policy: None, verdict: "consistent" },
];

/// One item on the development network, settled.
fn single() -> Bundle {
    sample_transaction(DEVELOPMENT).settled().bundle()
}

/// Four items on a real network: one takes the output of two others, the last failed.
fn several() -> Bundle {
    let mut transaction = sample_transaction(8_453).with_items(4).with_last_failed().settled();
    transaction.items[2].details.depends_on = vec![0, 1];
    transaction.bundle()
}

/// The same with one item shown.
fn disclosed() -> Bundle {
    several().disclose(|item| item.details.index == 2).unwrap()
}

/// Two items on a real network, half of the money given back in two parts.
fn refunded() -> Bundle {
    let transaction = sample_transaction(8_453).with_items(2).settled();
    transaction.refunded(Amount(400)).refunded(Amount(600)).bundle()
}

/// A policy that pins everything that [`several`] says.
fn policy() -> String {
    let transaction = sample_transaction(8_453);
    let (terms, model) = (&transaction.authorization, &transaction.items[0].details.model);
    format!(
        r#"operators = ["{operator}"]
manifest_version = 1
methods = ["signed"]
networks = ["eip155:8453"]
pay_to = ["{pay_to}"]
max_age = "30d"
times = ["settled", "witnessed"]
payments = ["settled"]
max_price = [{{ asset = "eip155:8453/erc20:{asset}", amount = "3000" }}]

[models]
digits = ["{model}"]
"#,
        operator = SampleOperator::new(1).id(),
        pay_to = terms.pay_to,
        asset = terms.asset,
        model = model.id(),
    )
}

fn report(file: &[u8], policy: Option<&str>) -> Report {
    let policy = policy.map_or_else(Policy::default, |text| Policy::from_toml(text).unwrap());
    let verifier = Verifier::new(policy, Methods::standard());
    verifier.verify(file, &Expectation::default(), VERIFIED_AT).unwrap()
}

fn written(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap() + "\n"
}

fn bless() -> bool {
    std::env::var_os("ASSAY_BLESS").is_some_and(|value| value == "1")
}

#[test]
fn the_same_keys_and_times_give_the_same_bytes() {
    let mut files = vec![("policy.toml".to_owned(), policy().into_bytes())];
    for golden in &GOLDEN {
        let file = (golden.make)().to_bytes().unwrap();
        let report = report(&file, golden.policy.map(|_| policy()).as_deref());
        files.push((format!("{}.json", golden.name), written(&report).into_bytes()));
        files.push((format!("{}.assay", golden.name), file));
    }
    for (name, bytes) in files {
        if bless() {
            std::fs::write(golden_path(&name), &bytes).unwrap();
        }
        let same = golden(&name) == bytes;
        assert!(
            same,
            "{name} is written otherwise than before:\n{}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

#[test]
fn committed_bundles_verify_for_ever() {
    for one in &GOLDEN {
        let policy = one.policy.map(|name| String::from_utf8(golden(name)).unwrap());
        let report = report(&golden(&format!("{}.assay", one.name)), policy.as_deref());
        assert_eq!(report.verdict.as_str(), one.verdict, "{}: {:?}", one.name, report.refusal);
        if !bless() {
            let expected = String::from_utf8(golden(&format!("{}.json", one.name))).unwrap();
            assert_eq!(written(&report), expected, "{}", one.name);
        }
    }
}

#[test]
fn every_file_of_the_folder_is_tested() {
    let mut names: Vec<String> = std::fs::read_dir(golden_path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut expected = vec!["policy.toml".to_owned()];
    expected.extend(
        GOLDEN.iter().flat_map(|g| [format!("{}.assay", g.name), format!("{}.json", g.name)]),
    );
    expected.sort();
    assert_eq!(names, expected);
}
