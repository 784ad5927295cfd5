use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::json;

use crate::support::{Place, Running};

#[test]
fn the_demo_tells_its_story() {
    let place = Place::new();
    // An empty folder, and another for temporary files.
    std::fs::create_dir(place.path("tmp")).unwrap();
    let ran = place.run_with(&[("TMPDIR", &place.arg("tmp"))], &["demo"]).expect(0);
    for expected in [
        "1. Ask three models",
        "in-enclave  digits  tee     certified",
        "with-proof  tumour  zkml    certified",
        "signed      wine    signed  certified",
        "in-enclave  digits answers 9, which is right",
        "2. Pay once",
        "0.008 devUSD for 3 inferences",
        "1000000 -> 999999.992 devUSD",
        "1000000 -> 1000000.008 devUSD",
        "in block 1, ",
        "3. Verify one receipt",
        "simulated   every check held",
        "in-enclave  nobody: its enclave is simulated",
        "with-proof  mathematics and a hash function",
        "signed      the operator",
        "pinned      by the buyer",
        "4. Change one byte",
        "refused     in-enclave  byte",
        "refused     with-proof  byte",
        "refused     signed      byte",
        ": item.output",
        "refused     unchanged, by who is not given",
        "5. Show somebody one item",
        "`signed` alone",
    ] {
        assert!(ran.stdout.contains(expected), "{expected:?} is not in {ran:#?}");
    }
    assert!(ran.stdout.contains('█'), "there is no picture in {ran:#?}");
    assert!(!ran.stdout.contains('\u{1b}'), "colour into a pipe: {ran:#?}");
    for line in ran.stdout.lines() {
        assert!(line.chars().count() <= 80, "wider than a small terminal: {line}");
    }
    assert_eq!(place.entries("tmp"), [""; 0], "the demo left something behind");
    assert_eq!(place.entries("."), ["tmp"]);
}

#[test]
fn the_demo_tells_programs_the_same() {
    let place = Place::new();
    let ran = place.run(&["demo", "--json"]).expect(0);
    assert!(!ran.stderr.contains("Starting a gateway"), "{ran:#?}");
    let told = ran.json();
    assert_eq!(told["items"][0]["prediction"], "9");
    let methods = ["tee", "zkml", "signed"];
    for (index, method) in methods.into_iter().enumerate() {
        let (item, report) = (&told["items"][index], &told["report"]["items"][index]);
        assert_eq!(item["prediction"], item["label"]);
        assert_eq!((&item["method"], &report["method"]), (&json!(method), &json!(method)));
        assert_eq!(item["id"], report["id"]);
        assert_eq!(report["model"]["pinned"], true);
        assert!(item["latencyMicroseconds"].is_u64(), "{item}");
        let tampered = &told["tampered"][index];
        assert_eq!((&tampered["item"], &tampered["refusal"]["item"]), (&item["id"], &json!(index)));
        assert_eq!(tampered["refusal"]["check"], "item.output");
        assert_ne!(tampered["refusal"]["expected"], tampered["refusal"]["got"]);
        assert_ne!(tampered["from"], tampered["to"]);
    }
    assert_eq!(told["report"]["verdict"], "simulated");
    assert_eq!(told["withoutRoot"]["refusal"]["item"], 0);
    assert_eq!(told["report"]["payment"]["state"], "settled");
    assert_eq!(told["settlement"]["transaction"], told["report"]["payment"]["transaction"]);
    assert_eq!(told["block"]["number"], 1);
    assert_eq!(told["offer"]["amount"], "8000");
    let held =
        |who: &str, when: &str| -> u128 { told[who][when].as_str().unwrap().parse().unwrap() };
    assert_eq!(held("payer", "before") - held("payer", "after"), 8_000);
    assert_eq!(held("seller", "after") - held("seller", "before"), 8_000);
    let disclosed = &told["disclosed"]["report"];
    assert_eq!(
        (&disclosed["itemCount"], &disclosed["items"][0]["id"]),
        (&json!(3), &json!("signed"))
    );
}

#[test]
fn the_demo_keeps_the_bundle_where_it_is_told_to() {
    let place = Place::new();
    let out = place.arg("nine.assay");
    place.run(&["demo", "--out", &out]).expect(0);
    // The simulation of the enclave ended with the demo; its root is kept beside the bundle.
    let root = place.arg("nine.root.pem");
    let report =
        place.run(&["verify", "--json", &out, "--development-root", &root]).expect(3).json();
    assert_eq!(report["verdict"], "simulated");
    let report = place.run(&["verify", "--json", &out]).expect(1).json();
    assert_eq!(
        (&report["refusal"]["check"], &report["refusal"]["item"]),
        (&json!("item.certification"), &json!(0))
    );
    let alone = place.arg("alone.assay");
    let items = ["--item", "with-proof", "--item", "signed"];
    place.run(&[&["disclose", &out, "--out", &alone][..], &items].concat()).expect(0);
    place.run(&["verify", &alone]).expect(3);
}

#[test]
fn the_demo_runs_what_it_is_asked_to() {
    let place = Place::new();
    // What is configured for a gateway is none of the demo's business.
    let env = [("ASSAY_LISTEN", "nowhere"), ("ASSAY_RPC_URL", "http://127.0.0.1:1")];
    let told = place.run_with(&env, &["demo", "--json", "--model", "tumour", "--sample", "7"]);
    let told = told.expect(0).json();
    for item in told["items"].as_array().unwrap() {
        assert_eq!(item["model"], "tumour");
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
    let told = place.run(&["demo", "--json", "--models", folder, "--sample", "3"]);
    assert_eq!(told.expect(0).json()["tampered"][2]["refusal"]["check"], "item.output");
}

#[test]
fn the_demo_says_what_it_cannot_use() {
    let place = Place::new();
    let wrong = [
        (&["demo", "--model", "faces"][..], "there are: digits, tumour, wine"),
        (&["demo", "--sample", "360"], "has samples 0 to 359, no 360"),
        (&["demo", "--models", "nowhere"], "nowhere: there is no such file or folder"),
        (&["demo", "--models", "."], "there is no model package in this folder"),
        (&["demo", "--out", "."], "this is a folder"),
        (&["demo", "--out", "no/such/folder"], "there is no such file or folder"),
    ];
    for (args, told) in wrong {
        let ran = place.run(args).expect_told(2, told);
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::new();
    let mut child =
        place.command(&["demo"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let place = Place::new();
    std::fs::create_dir(place.path("tmp")).unwrap();
    let mut command = place.command(&["demo"]);
    let mut demo = Running::start(command.env("TMPDIR", place.path("tmp")));
    demo.wait_for("Starting");
    demo.stop("INT").expect_told(130, "interrupted");
    assert_eq!(place.entries("tmp"), [""; 0]);
}
