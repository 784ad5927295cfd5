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
        "answer      9",
        "truth       9, so the model is right",
        "1. Ask",
        "2. Pay",
        "0.001 devUSD for one inference",
        "1000000 -> 999999.999 devUSD",
        "1000000 -> 1000000.001 devUSD",
        "in block 1, ",
        "3. Verify",
        "simulated   every check held",
        "believe     the operator",
        "pinned      by the buyer",
        "4. Change one byte",
        "refused     the output is not the one",
        "check       item.output",
        "expected    ",
        "got         ",
        "5. Ask again, in an enclave: the method `tee`",
        "6. Ask again, with a proof: the method `zkml`",
        "0.005 devUSD for one inference, certified as `zkml`",
        "answer      9, by the model's program in integers",
        "believe     mathematics and a hash function",
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
    assert_eq!(told["prediction"], "9");
    assert_eq!(told["prediction"], told["label"]);
    assert_eq!(told["report"]["verdict"], "simulated");
    assert_eq!(told["report"]["items"][0]["method"], "signed");
    assert_eq!(told["report"]["items"][0]["model"]["pinned"], true);
    assert_eq!(told["report"]["payment"]["state"], "settled");
    assert_eq!(told["settlement"]["transaction"], told["report"]["payment"]["transaction"]);
    assert_eq!(told["block"]["number"], 1);
    assert_eq!(told["offer"]["amount"], "1000");
    let held =
        |who: &str, when: &str| -> u128 { told[who][when].as_str().unwrap().parse().unwrap() };
    assert_eq!(held("payer", "before") - held("payer", "after"), 1_000);
    assert_eq!(held("seller", "after") - held("seller", "before"), 1_000);
    let proven = &told["zkml"]["report"];
    assert_eq!(
        (&proven["verdict"], &proven["items"][0]["method"]),
        (&json!("simulated"), &json!("zkml"))
    );
    assert_eq!(proven["items"][0]["model"]["pinned"], true);
    let tampered = &told["tampered"];
    assert_eq!(tampered["refusal"]["check"], "item.output");
    assert_ne!(tampered["refusal"]["expected"], tampered["refusal"]["got"]);
    assert_ne!(tampered["from"], tampered["to"]);
}

#[test]
fn the_demo_keeps_the_bundle_where_it_is_told_to() {
    let place = Place::new();
    let out = place.arg("nine.assay");
    place.run(&["demo", "--out", &out]).expect(0);
    let report = place.run(&["verify", "--json", &out]).expect(3).json();
    assert_eq!(report["verdict"], "simulated");
    let input = place.example("digits");
    place.run(&["verify", &out, "--input", &input]).expect(3);
}

#[test]
fn the_demo_runs_what_it_is_asked_to() {
    let place = Place::new();
    // What is configured for a gateway is none of the demo's business.
    let env = [("ASSAY_LISTEN", "nowhere"), ("ASSAY_RPC_URL", "http://127.0.0.1:1")];
    let told = place.run_with(&env, &["demo", "--json", "--model", "tumour", "--sample", "7"]);
    let told = told.expect(0).json();
    assert_eq!(told["model"], "tumour");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
    let told = place.run(&["demo", "--json", "--models", folder, "--sample", "3"]);
    assert_eq!(told.expect(0).json()["tampered"]["refusal"]["check"], "item.output");
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
