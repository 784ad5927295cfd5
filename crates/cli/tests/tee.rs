//! The method `tee`, bought and verified: with an enclave that is simulated, and with ones that lie.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::support::{Gateway, Place, Ran, Running, SELLER, Scene, get};

/// The root of a simulation, in a place's data.
const ROOT: &str = "assay-data/tee/simulated-nitro/root.pem";
/// What an inference in the enclave costs, in atomic units.
const TEE_PRICE: u128 = 2_000;
const SIMULATED: (&str, &str) = ("ASSAY_TEE_ATTESTER", "simulated-nitro");
const TEE: [&str; 2] = ["--method", "tee"];
const TRUSTING: [&str; 4] = ["--method", "tee", "--development-root", ROOT];

/// Buys an inference in the enclave and keeps the bundle.
fn buy(place: &Place, url: &str) -> Value {
    let out = place.arg("bought.assay");
    let more = [&TRUSTING[..], &["--json", "--out", &out]].concat();
    place.order(url, &more).finish().expect(0).json()
}

#[test]
fn what_an_enclave_ran_is_bought_and_verified() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[SIMULATED]);
    assert_eq!(shop.told["enclave"]["simulated"], true);
    assert_eq!(shop.told["enclave"]["developmentRoot"], ROOT);
    let bought = buy(&place, &shop.url);
    let item = &bought["report"]["items"][0];
    assert_eq!((&item["method"], &item["verdict"]), (&json!("tee"), &json!("simulated")));
    assert_eq!(item["believe"], "nobody: its enclave is simulated");
    // The same input, signed and not in the enclave, has the same answer.
    let signed = place.buy(&shop.url, "signed.assay");
    assert_eq!(signed["outputs"], bought["outputs"]);
    shop.stop();

    let bundle = place.arg("bought.assay");
    let ran = place.run(&["verify", &bundle, "--development-root", ROOT]).expect(3);
    for expected in ["simulated   every check held", "its enclave is simulated", "development root"]
    {
        assert!(ran.stdout.contains(expected), "{expected:?} is not in {ran:#?}");
    }
    // Who does not know the root believes nothing.
    let refused = place.run(&["verify", &bundle, "--json"]).expect(1).json();
    assert_eq!(refused["refusal"]["check"], "item.certification");
    let expected = refused["refusal"]["expected"].as_str().unwrap();
    assert!(expected.starts_with("chain.root: "), "{expected}");
}

#[test]
fn nothing_calls_a_simulated_enclave_verified() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[SIMULATED]);
    let bought = buy(&place, &shop.url);
    let id = bought["report"]["transaction"].as_str().unwrap();
    let operator = bought["report"]["operator"].as_str().unwrap();
    let model = bought["report"]["items"][0]["model"]["id"].as_str().unwrap();
    // A policy that pins all there is, and accepts whatever the enclave measured.
    let policy = place.file(
        "policy.toml",
        format!("operators = [\"{operator}\"]\n[models]\ndigits = [\"{model}\"]\n[attestation]\n"),
    );
    let bundle = place.arg("bought.assay");
    let all = ["verify", &bundle, "--policy", &policy, "--development-root", ROOT];
    let mut texts = vec![bought.to_string()];
    for more in [&[][..], &["--json"]] {
        let Ran { stdout, stderr, .. } = place.run(&[&all[..], more].concat()).expect(3);
        texts.extend([stdout, stderr]);
    }
    let fetch = ["receipt", "fetch", id, "--gateway", &shop.url, "--development-root", ROOT];
    let fetched = place.run(&[&fetch[..], &["--development-account", "2"]].concat()).expect(0);
    texts.extend([fetched.stdout, fetched.stderr, std::fs::read_to_string(bundle).unwrap()]);
    for path in [format!("/v1/receipts/{id}"), "/v1/attestation".to_owned()] {
        let (status, body) = get(&shop.url, &path);
        assert_eq!(status, 200, "{path}");
        texts.push(String::from_utf8(body).unwrap());
    }
    for text in texts {
        // x402's name of the extension that tells of the receipt.
        let text = text.to_lowercase().replace("verified-inference", "");
        assert!(!text.contains("verified"), "{text}");
    }
}

#[test]
fn a_bundle_outlives_the_key_that_signed_it() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[SIMULATED]);
    buy(&place, &shop.url);
    shop.stop();
    let bundle = place.arg("bought.assay");
    let verify = ["verify", &bundle, "--development-root", ROOT, "--json"];
    let now = place.run(&verify).expect(3).json();
    let notes = now["items"][0]["notes"].to_string();
    assert!(!notes.contains("its key was in use until"), "{notes}");
    let later = place.run(&[&verify[..], &["--at", "2099-01-01T00:00:00Z"]].concat()).expect(3);
    let notes = later.json()["items"][0]["notes"].to_string();
    assert!(notes.contains("its key was in use until"), "{notes}");
    let at = now["issuedAt"].as_str().unwrap();
    place.run(&[&verify[..], &["--at", at]].concat()).expect(3);
}

#[test]
fn evidence_answers_a_nonce() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[SIMULATED]);
    let attestation = |query: &str| {
        let (status, body) = get(&shop.url, &format!("/v1/attestation{query}"));
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let (status, of_epoch) = attestation("");
    assert_eq!((status, &of_epoch["binding"]["nonce"]), (200, &Value::Null));
    let (status, fresh) = attestation("?nonce=00112233445566ff");
    assert_eq!((status, &fresh["binding"]["nonce"]), (200, &json!("ABEiM0RVZv8=")));
    assert_eq!(fresh["binding"]["epochKey"], of_epoch["binding"]["epochKey"]);
    assert_ne!(fresh["evidence"], of_epoch["evidence"]);
    // As it is in the README.
    let (_, file) = get(&shop.url, "/v1/attestation?nonce=00112233445566ff");
    let file = place.file("attestation.json", file);
    let judge = |nonce| {
        let args = ["attest", "verify", &file, "--nonce", nonce, "--development-root", ROOT];
        place.run(&args)
    };
    judge("00112233445566ff").expect_shown(3, "simulated");
    judge("00112233445566fe").expect_shown(1, "binding.nonce");
    let long = format!("?nonce={}", "00".repeat(65));
    for wrong in ["?nonce=", "?nonce=0011", "?nonce=0011223344556677zz", "?nonec=1", &long] {
        let (status, error) = attestation(wrong);
        assert_eq!((status, &error["code"]), (400, &json!("invalid_query")), "{wrong}");
    }
    shop.stop();
    let shop = Gateway::start(&place, &[]);
    let (status, body) = get(&shop.url, "/v1/attestation");
    let error: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &error["code"]), (404, &json!("no_attestation")));
}

#[test]
fn an_enclave_that_is_killed_charges_nobody_and_comes_back() {
    let scene = Scene::open();
    let env = [("ASSAY_RPC_URL", scene.chain.url.as_str()), SIMULATED];
    let shop = Gateway::start(&scene.place, &env);
    let enclave = child_of(shop.process.id());
    let before = scene.chain.balance(SELLER);
    // It neither answers nor ends, and then it is gone.
    signal("STOP", enclave);
    let order = scene.place.order(&shop.url, &TRUSTING);
    shop.wait_for_metric("assay_jobs_in_hand{method=\"tee\"} 1");
    signal("KILL", enclave);
    // The buyer is told to try again with the same payment; another enclave is there by then.
    let first = order.finish();
    let charged = u128::from(first.status.success()) * TEE_PRICE;
    assert_eq!(scene.chain.balance(SELLER) - before, charged, "{first:#?}");
    assert_ne!(child_of(shop.process.id()), enclave);
    let again = scene.place.order(&shop.url, &[&TRUSTING[..], &["--json"]].concat()).finish();
    assert_eq!(again.expect(0).json()["report"]["items"][0]["method"], "tee");
    assert_eq!(scene.chain.balance(SELLER) - before, charged + TEE_PRICE);
    let log = shop.stop().stderr;
    for expected in ["An enclave does not answer.", "The enclave ended"] {
        assert!(log.contains(expected), "{expected:?} is not in {log}");
    }
}

/// An enclave that answers what it is told to.
fn fake(answer: impl Fn(&mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // What is asked for: two lengths, a header, a body.
            let mut lengths = [0; 8];
            if stream.read_exact(&mut lengths).is_err() {
                continue;
            }
            let length = |at: usize| u32::from_be_bytes(lengths[at..at + 4].try_into().unwrap());
            let mut asked = vec![0; (length(0) + length(4)) as usize];
            stream.read_exact(&mut asked).unwrap();
            answer(&mut stream);
        }
    });
    address
}

/// A header has one spelling.
fn frame(header: &str, body: &[u8]) -> Vec<u8> {
    let lengths = [header.len(), body.len()].map(|l| u32::try_from(l).unwrap().to_be_bytes());
    [lengths.as_flattened(), header.as_bytes(), body].concat()
}

#[test]
fn an_enclave_that_lies_charges_nobody() {
    let scene = Scene::open();
    let key = "00".repeat(32);
    let inferred =
        |length: u64| format!(r#"{{"answer":"inferred","outputLength":{length},"key":"{key}"}}"#);
    let output = br#"{"outputs":[{"name":"logits","shape":[1],"datatype":"FP32","data":[1.0]}]}"#;
    let length = output.len() as u64;
    let lies: [(&str, Vec<u8>, &str); 8] = [
        ("goes away", Vec::new(), "certification_unavailable"),
        ("answers garbage", b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), "certification_unavailable"),
        ("promises 4 GB", [255; 8].to_vec(), "certification_unavailable"),
        (
            "breaks off",
            frame(&inferred(length), output)[..50].to_vec(),
            "certification_unavailable",
        ),
        (
            "answers something else",
            frame(r#"{"answer":"attestation"}"#, b""),
            "certification_unavailable",
        ),
        ("lies about lengths", frame(&inferred(u64::MAX), output), "certification_unavailable"),
        ("gives no output", frame(&inferred(0), output), "inference_failed"),
        ("has no attestation", frame(&inferred(length), output), "inference_failed"),
    ];
    for (lie, bytes, code) in lies {
        let address = fake(move |stream| drop(stream.write_all(&bytes)));
        let enclaves = format!("tcp:{address}");
        let env = [("ASSAY_RPC_URL", scene.chain.url.as_str()), ("ASSAY_TEE_ENCLAVES", &enclaves)];
        let shop = Gateway::start(&scene.place, &env);
        let ran =
            scene.place.order(&shop.url, &[&TEE[..], &["--json"]].concat()).finish().expect(1);
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains(code), "{lie}: {ran:#?}");
        assert_eq!(scene.payments(), 0, "{lie}");
        shop.stop();
    }
}

#[test]
fn an_enclave_of_somebody_elses_root_charges_nobody() {
    let scene = Scene::open();
    // An enclave that runs elsewhere, with a root that the gateway does not know.
    let root = scene.place.arg("root");
    let args =
        ["enclave", "--json", "--attester", "simulated-nitro", "--listen", "tcp:127.0.0.1:0"];
    let args = [&args[..], &["--development-root", &root]].concat();
    let mut enclave = Running::start(&mut scene.place.command(&args));
    let told = enclave.first_json();
    let address = told["enclave"].as_str().unwrap();
    let env = [("ASSAY_RPC_URL", scene.chain.url.as_str()), ("ASSAY_TEE_ENCLAVES", address)];
    let shop = Gateway::start(&scene.place, &env);
    scene.place.order(&shop.url, &TEE).finish().expect(1);
    assert_eq!(scene.payments(), 0);
    let log = shop.stop().stderr;
    assert!(log.contains("chain.root"), "{log}");
}

#[test]
fn an_enclave_that_its_operator_does_not_list_charges_nobody() {
    let scene = Scene::open();
    let place = &scene.place;
    let paid = format!("eip155:31337:{SELLER}");
    let key = |args: &[&str]| place.run(&[&["key"], args, &["--folder", "keys"]].concat());
    key(&["new", "--settlement", &paid]).expect(0);
    let env = [("ASSAY_RPC_URL", scene.chain.url.as_str()), ("ASSAY_KEYS", "keys"), SIMULATED];
    let stands_by = |bought: &Value| {
        let notes = bought["report"]["items"][0]["notes"].to_string();
        notes.contains("the operator stands by its measurements")
    };
    // Where none is listed, any sells.
    let shop = Gateway::start(place, &env);
    assert!(!stands_by(&buy(place, &shop.url)));
    let (_, attestation) = get(&shop.url, "/v1/attestation");
    shop.stop();
    place.file("attestation.json", attestation);
    let verify = ["attest", "verify", "attestation.json", "--development-root", ROOT];
    let told = place.run(&[&verify[..], &["--json"]].concat()).expect(3).json();
    let image = told["image"].as_str().unwrap();
    assert!(image.starts_with("nitro:pcr0="), "{image}");
    place.run(&verify).expect_shown(3, &format!("  image       {image}\n"));

    let other = format!("nitro:pcr0={}", "5e".repeat(48));
    key(&["measure", &other]).expect(0);
    let before = scene.chain.balance(SELLER);
    let shop = Gateway::start(place, &env);
    place.order(&shop.url, &TRUSTING).finish().expect(1);
    shop.wait_for_ends();
    assert_eq!(scene.chain.balance(SELLER), before);
    // What no enclave runs is sold as before.
    place.buy(&shop.url, "signed.assay");
    let signed = scene.chain.balance(SELLER);
    assert!(signed > before);
    let log = shop.stop().stderr;
    assert!(log.contains(&format!("an image of the key manifest: {other}")), "{log}");
    // Who knows the list of today does not take either what was sold before there was one.
    let old = ["verify", "bought.assay", "--development-root", ROOT, "--json"];
    let today = [&old[..], &["--manifest", "keys/manifest.json"]].concat();
    place.run(&old).expect(3);
    let refused = place.run(&today).expect(1).json();
    assert_eq!(refused["refusal"]["check"], "item.certification");

    key(&["measure", image]).expect(0);
    place.run(&today).expect(3);
    let shop = Gateway::start(place, &env);
    assert!(stands_by(&buy(place, &shop.url)));
    assert_eq!(scene.chain.balance(SELLER), signed + TEE_PRICE);
    shop.stop();
}

fn signal(name: &str, process: u32) {
    let done = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(done.unwrap().success());
}

fn child_of(process: u32) -> u32 {
    child_or_none(process).unwrap_or_else(|| panic!("process {process} has no child"))
}

fn child_or_none(process: u32) -> Option<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let lists = threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let ids: String = lists.collect();
    ids.split_whitespace().next()?.parse().ok()
}

#[test]
fn the_doctor_asks_enclaves_elsewhere() {
    let place = Place::new();
    let root = place.arg("root");
    let args =
        ["enclave", "--json", "--attester", "simulated-nitro", "--listen", "tcp:127.0.0.1:0"];
    let args = [&args[..], &["--development-root", &root]].concat();
    let mut enclave = Running::start(&mut place.command(&args));
    let told = enclave.first_json();
    let address = told["enclave"].as_str().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let both = format!("{address},tcp:{silent}");
    let report = place.run_with(&[("ASSAY_TEE_ENCLAVES", &both)], &["doctor", "--json"]).expect(1);
    let findings = report.json()["checks"].to_string();
    for expected in ["its evidence is refused: chain.root", "Connection refused"] {
        assert!(findings.contains(expected), "{expected:?} is not in {findings}");
    }
}
