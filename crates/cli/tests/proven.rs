//! The method `zkml`, bought and verified.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;

use assay_receipt::Bundle;
use serde_json::{Value, json};

use crate::support::{Gateway, Place, SELLER, Scene, get, get_with_token};

/// What a proven inference costs, in atomic units.
const ZKML_PRICE: u128 = 5_000;
/// `SIGABRT`, by which a failpoint ends the process.
const ABORTED: i32 = 6;
const ZKML: [&str; 2] = ["--method", "zkml"];

/// Buys a proven inference and keeps the bundle.
fn buy(place: &Place, url: &str, bundle: &str) -> Value {
    let out = place.arg(bundle);
    let more = [&ZKML[..], &["--json", "--out", &out]].concat();
    place.order(url, &more).finish().expect(0).json()
}

/// Returns a policy that pins operator and program.
fn pins(place: &Place, bought: &Value) -> String {
    let operator = bought["report"]["operator"].as_str().unwrap();
    let program = bought["report"]["items"][0]["model"]["id"].as_str().unwrap();
    let text = format!("operators = [\"{operator}\"]\n[models]\ndigits = [\"{program}\"]\n");
    place.file("policy.toml", text)
}

#[test]
fn a_proof_is_bought_and_verified_elsewhere() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[]);
    let bought = buy(&place, &shop.url, "bought.assay");
    let item = &bought["report"]["items"][0];
    assert_eq!((&item["method"], &item["verdict"]), (&json!("zkml"), &json!("simulated")));
    assert_eq!(item["believe"], "mathematics and a hash function");
    // What ran is the program, which the catalogue names; its verifying file is there for everybody.
    let (_, catalogue) = get(&shop.url, "/v1/models");
    let catalogue: Value = serde_json::from_slice(&catalogue).unwrap();
    let methods = catalogue["models"][0]["methods"].as_array().unwrap();
    let sold = methods.iter().find(|method| method["method"] == "zkml").unwrap();
    assert_eq!(sold["program"], item["model"]["id"]);
    assert_eq!(sold["proof"]["mode"], "fast");
    let told = place.run(&["models", "--gateway", &shop.url]).expect(0).stdout;
    let (program, most) = (sold["program"].as_str().unwrap(), &sold["proof"]["maxBytes"]);
    for expected in [format!("program {program}"), format!("mode fast, at most {most} bytes")] {
        assert!(told.contains(&expected), "{expected:?} is not in {told}");
    }
    let (status, verifying) = get(&shop.url, &format!("/v1/evidence/{program}"));
    assert_eq!((status, &verifying[..14]), (200, &b"assay-zkml-key"[..]));
    shop.stop();

    // Another machine, with nothing but the bundle.
    let elsewhere = Place::new();
    fs::copy(place.path("bought.assay"), elsewhere.path("bought.assay")).unwrap();
    let policy = pins(&elsewhere, &bought);
    let verify = ["verify", "bought.assay", "--policy", &policy, "--json"];
    let report = elsewhere.run(&verify).expect(3).json();
    assert_eq!(report["items"][0]["model"]["pinned"], true);
    // The float model is another model.
    let float = get_id(&catalogue);
    let other = elsewhere.file("float.toml", format!("[models]\ndigits = [\"{float}\"]\n"));
    let verify = ["verify", "bought.assay", "--policy", &other, "--json"];
    let refused = elsewhere.run(&verify).expect(1).json();
    assert_eq!(refused["refusal"]["check"], "policy.model");
}

fn get_id(catalogue: &Value) -> &str {
    catalogue["models"][0]["id"].as_str().unwrap()
}

/// The proof of one purchase in the bundle of another: everything else is in order.
#[test]
fn a_proof_of_another_purchase_is_refused() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[]);
    let [one, other] = ["one.assay", "other.assay"].map(|name| {
        buy(&place, &shop.url, name);
        fs::read_to_string(place.path(name)).unwrap()
    });
    shop.stop();
    let [evidence, of_other] = [&one, &other].map(|bundle| {
        let (_, evidence) = bundle.split_once(r#""evidence":[{"#).unwrap();
        evidence.rsplit_once("}]").unwrap().0.to_owned()
    });
    assert_ne!(evidence, of_other);
    let forged = place.file("forged.assay", one.replace(&evidence, &of_other));
    let refused = place.run(&["verify", &forged, "--json"]).expect(1).json();
    assert_eq!(refused["refusal"]["check"], "item.evidence");
}

#[test]
fn an_input_that_the_program_cannot_take_charges_nobody() {
    let scene = Scene::open();
    let env = [("ASSAY_RPC_URL", scene.chain.url.as_str())];
    let shop = Gateway::start(&scene.place, &env);
    let before = scene.chain.balance(SELLER);
    let mut pixels = vec![0; 64];
    pixels[5] = 17;
    let input = scene.place.file("bright.json", json!({ "input_data": [pixels] }).to_string());
    let order = ["infer", "--gateway", &shop.url, "--model", "digits", "--input", &input];
    let order = [&order[..], &ZKML, &["--development-account", "2"]].concat();
    let told = "method `zkml`: input value 5 is 17, outside 0..=16";
    scene.place.run(&order).expect_told(1, told);
    assert_eq!(scene.chain.balance(SELLER), before);
    // The float model takes it.
    let mut signed = order.clone();
    signed[8] = "signed";
    scene.place.run(&signed).expect(0);
    let paid = scene.chain.balance(SELLER) - before;
    buy(&scene.place, &shop.url, "bought.assay");
    assert_eq!(scene.chain.balance(SELLER) - before, paid + ZKML_PRICE);
    shop.stop();
}

/// A program that was added in mode `small` is sold so: the offer and the catalogue say it, the proof is
/// no larger than they say, and the buyer's verifier takes it.
#[test]
fn small_proofs_are_sold() {
    let place = Place::new();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/digits");
    let add = ["models", "add", model, "--mode", "small", "--json"];
    let added = place.run(&add).expect(0).json();
    assert_eq!(added["mode"], "small");
    let shop = Gateway::start(&place, &[]);
    let (_, catalogue) = get(&shop.url, "/v1/models");
    let catalogue: Value = serde_json::from_slice(&catalogue).unwrap();
    let methods = catalogue["models"][0]["methods"].as_array().unwrap();
    let sold = methods.iter().find(|method| method["method"] == "zkml").unwrap();
    assert_eq!(sold["program"], added["programId"]);
    assert_eq!(sold["proof"], json!({ "mode": "small", "maxBytes": added["maxProofBytes"] }));
    let bought = buy(&place, &shop.url, "bought.assay");
    let item = &bought["report"]["items"][0];
    assert_eq!((&item["method"], &item["verdict"]), (&json!("zkml"), &json!("simulated")));
    assert_eq!(item["model"]["id"], added["programId"]);
    shop.stop();
}

/// The program of a package is compiled once: its id stays what it was, also where its calibration
/// would come out otherwise.
#[test]
fn a_program_stays_the_same() {
    let place = Place::new();
    let programs: Vec<Value> = (0..2)
        .map(|_| {
            let shop = Gateway::start(&place, &[]);
            let (_, catalogue) = get(&shop.url, "/v1/models");
            shop.stop();
            let catalogue: Value = serde_json::from_slice(&catalogue).unwrap();
            catalogue["models"][0]["methods"].clone()
        })
        .collect();
    assert_eq!(programs[0], programs[1]);
    assert_eq!(place.entries("assay-data/programs").len(), 3);
    // One that was damaged sells nothing.
    let name = place.entries("assay-data/programs")[0].clone();
    let path = place.path(&format!("assay-data/programs/{name}"));
    let mut content = fs::read(&path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&path, content).unwrap();
    place.run(&["serve"]).expect_told(2, "file has the digest");
}

#[test]
fn a_proof_is_explained_layer_by_layer() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[]);
    let bought = buy(&place, &shop.url, "bought.assay");
    let id = bought["report"]["transaction"].as_str().unwrap();
    let path = format!("/v1/receipts/{id}/proofs");
    // To who may have the bundle, and to nobody else.
    let (status, by_api) =
        get_with_token(&shop.url, &path, bought["accessToken"].as_str().unwrap());
    assert_eq!(status, 200);
    assert_eq!(get(&shop.url, &path).0, 403);
    shop.stop();

    let verify = ["verify", "bought.assay", "--explain"];
    let report = place.run(&[&verify[..], &["--json"]].concat()).expect(3).json();
    let mut by_api: Value = serde_json::from_slice(&by_api).unwrap();
    let [proof] = report["proofs"].as_array().unwrap().as_slice() else { panic!("{report}") };
    // How long it takes is another time's.
    for (there, here) in by_api[0]["parts"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .zip(proof["parts"].as_array().unwrap())
    {
        assert!(there["checkedInUs"].is_u64());
        there["checkedInUs"] = here["checkedInUs"].clone();
    }
    assert_eq!(by_api, report["proofs"]);
    let [proof] = report["proofs"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!(proof["program"], bought["report"]["items"][0]["model"]["id"]);
    let layers = proof["layers"].as_array().unwrap();
    assert_eq!(layers.last().unwrap()["kind"], "output");
    assert_eq!(layers.last().unwrap()["shape"], json!([1, 1, 10]));
    // The parts are all of the proof: its file has 60 bytes before it.
    let bundle: Value =
        serde_json::from_slice(&fs::read(place.path("bought.assay")).unwrap()).unwrap();
    let content = bundle["evidence"][1]["content"].as_str().unwrap();
    let bytes = content.trim_end_matches('=').len() as u64 * 3 / 4;
    let parts = proof["parts"].as_array().unwrap().iter();
    assert!(parts.clone().all(|part| part["checkedInUs"].is_u64()), "{proof}");
    assert_eq!(parts.map(|part| part["bytes"].as_u64().unwrap()).sum::<u64>() + 60, bytes);

    let told = place.run(&verify).expect(3).stdout;
    for expected in ["What the proof of item 0 claims", "layer 1", "convolution 3x3", "opening"] {
        assert!(told.contains(expected), "{expected:?} is not in {told}");
    }
}

/// A model that takes too much memory is not sold: found at the start, not by a buyer.
#[test]
fn what_takes_too_much_memory_is_not_sold() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[("ASSAY_ZKML_MEMORY_MIB", "1")]);
    let (_, catalogue) = get(&shop.url, "/v1/models");
    let catalogue: Value = serde_json::from_slice(&catalogue).unwrap();
    let methods = catalogue["models"][0]["methods"].as_array().unwrap();
    assert!(methods.iter().all(|method| method["method"] != "zkml"), "{methods:?}");
    shop.stop();
}

/// The verdict is told all the same.
#[test]
fn a_proof_that_is_gone_is_refused_and_not_explained() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[]);
    buy(&place, &shop.url, "bought.assay");
    shop.stop();
    let bundle = fs::read(place.path("bought.assay")).unwrap();
    let mut bundle = Bundle::from_bytes(&bundle).unwrap();
    bundle.evidence.remove(1);
    fs::write(place.path("cut.assay"), bundle.to_bytes().unwrap()).unwrap();

    let asked = place.run(&["verify", "cut.assay", "--explain", "--json"]).expect(1);
    assert!(asked.stderr.contains("No proof is explained: "), "{}", asked.stderr);
    let report = asked.json();
    assert_eq!((&report["verdict"], report.get("proofs")), (&json!("refused"), None), "{report}");
}

/// A proof is made anew by the next process, and paid for once.
#[test]
fn a_prover_that_is_killed_charges_once() {
    let scene = Scene::open();
    let before = scene.chain.balance(SELLER);
    let rpc_url = ("ASSAY_RPC_URL", scene.chain.url.as_str());
    // With the proof in hand, and nothing of it stored.
    let armed = [rpc_url, ("ASSAY_FAILPOINT", "service.certify.after")];
    let shop = Gateway::start(&scene.place, &armed);
    let order = scene.place.order(&shop.url, &ZKML);
    let ran = shop.process.finish();
    assert_eq!(ran.status.signal(), Some(ABORTED), "{ran:#?}");
    order.stop("TERM");
    assert_eq!(scene.chain.balance(SELLER), before);
    let shop = Gateway::start(&scene.place, &[rpc_url]);
    shop.wait_for_ends();
    assert_eq!(shop.count("settled"), 1);
    assert_eq!(scene.chain.balance(SELLER) - before, ZKML_PRICE);
    shop.stop();
}
