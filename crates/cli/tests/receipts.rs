//! Fetching what was bought, and having it erased.

use std::fs;

use assay_receipt::Bundle;
use serde_json::Value;

use crate::support::{Gateway, POOR_KEY, Place, Ran, Served};

/// A gateway, and what was bought from it with development account 2.
struct Sold {
    place: Place,
    shop: Gateway,
    id: String,
    token: String,
    bundle: Vec<u8>,
}

impl Sold {
    fn new() -> Self {
        let place = Place::new();
        let shop = Gateway::start(&place, &[]);
        let bought = place.buy(&shop.url, "bought.assay");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (id, token) = (text(&bought["report"]["transaction"]), text(&bought["accessToken"]));
        let bundle = fs::read(place.path("bought.assay")).unwrap();
        Self { place, shop, id, token, bundle }
    }

    fn run(&self, verb: &str, more: &[&str]) -> Ran {
        self.run_with(&[], verb, more)
    }

    fn run_with(&self, env: &[(&str, &str)], verb: &str, more: &[&str]) -> Ran {
        let of = ["receipt", verb, &self.id, "--gateway", &self.shop.url];
        self.place.run_with(env, &[&of[..], more].concat())
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.place.path(name)).unwrap()
    }
}

#[test]
fn a_buyer_fetches_by_token_and_by_key() {
    let sold = Sold::new();
    sold.place.file("token", format!("{}\n", sold.token));
    let by_token = sold.run("fetch", &["--token-file", "token", "--out", "by-token.assay"]);
    let told = by_token.expect(0).stdout;
    assert!(told.contains("answer") && told.contains("simulated"), "{told}");
    let env = [("ASSAY_ACCESS_TOKEN", sold.token.as_str())];
    sold.run_with(&env, "fetch", &["--out", "by-environment.assay"]).expect(0);
    let by_key =
        sold.run("fetch", &["--development-account", "2", "--out", "by-key.assay", "--json"]);
    let told = by_key.expect(0).json();
    assert_eq!(told["report"]["transaction"], sold.id.as_str());
    assert!(told["outputs"][0]["data"].is_array() && told["label"].is_string(), "{told}");
    for name in ["by-token.assay", "by-environment.assay", "by-key.assay"] {
        assert_eq!(sold.read(name), sold.bundle, "{name}");
    }
    // Without a file it is verified and shown all the same.
    sold.run("fetch", &["--development-account", "2"]).expect(0);
    sold.shop.stop();
}

#[test]
fn anybody_fetches_the_public_part() {
    let sold = Sold::new();
    let told = sold.run("fetch", &[]).expect(0).stdout;
    assert!(told.contains("settled, by the gateway") && told.contains("0.001 devUSD"), "{told}");
    let told = sold.run("fetch", &["--json"]).expect(0).json();
    assert_eq!(told["state"], "settled");
    assert!(told.get("items").is_none() && told["receipt"].is_object(), "{told}");
    sold.run("fetch", &["--out", "x.assay"]).expect_told(2, "which only its buyer gets");
    sold.shop.stop();
}

#[test]
fn others_fetch_and_erase_nothing() {
    let sold = Sold::new();
    sold.place.file("poor.key", POOR_KEY);
    sold.place.file("token", "5e".repeat(32));
    for verb in ["fetch", "erase"] {
        sold.run(verb, &["--development-account", "3"])
            .expect_told(2, "the payer of this receipt is");
        sold.run(verb, &["--key-file", "poor.key"]).expect_told(2, "the payer of this receipt is");
        sold.run(verb, &["--token-file", "token"]).expect_told(2, "wrong_token");
        let wrong = [("ASSAY_ACCESS_TOKEN", "nonsense")];
        let told = sold.run_with(&wrong, verb, &[]).expect_told(2, "ASSAY_ACCESS_TOKEN: ");
        assert!(!told.stderr.contains("nonsense"), "{told:#?}");
    }
    sold.run("erase", &[]).expect_told(2, "only the buyer erases contents");
    let of = |id: &str| sold.place.run(&["receipt", "fetch", id, "--gateway", &sold.shop.url]);
    of("01890a5d-ac96-774b-bcce-b302099a8057").expect_told(2, "unknown_receipt");
    of("nothing").expect_told(2, "not a transaction id");
    sold.shop.stop();
}

#[test]
fn nothing_is_replaced_unasked() {
    let sold = Sold::new();
    let fetch = |more: &[&str]| {
        sold.run("fetch", &[&["--development-account", "2", "--out"], more].concat())
    };
    fetch(&["bought.assay"]).expect_told(2, "bought.assay: exists already; --force");
    fetch(&["bought.assay", "--force"]).expect(0);
    assert_eq!(sold.read("bought.assay"), sold.bundle);
    sold.place.file("payer.key", POOR_KEY);
    fetch(&["payer.key", "--force"]).expect_told(2, "is no bundle, so it is not replaced");
    assert_eq!(sold.read("payer.key"), POOR_KEY.as_bytes());
    sold.shop.stop();
}

#[test]
fn a_buyer_erases() {
    let sold = Sold::new();
    let erased = sold.run("erase", &["--development-account", "2", "--json"]).expect(0).json();
    let at = erased["erasedAt"].as_str().unwrap();
    assert!(at.ends_with('Z'), "{erased}");
    let fetch = |more: &[&str]| sold.run("fetch", more);
    fetch(&["--development-account", "2"]).expect_told(2, "were erased at");
    let token = [("ASSAY_ACCESS_TOKEN", sold.token.as_str())];
    sold.run_with(&token, "fetch", &[]).expect_told(2, "(erased)");
    let again = sold.run_with(&token, "erase", &[]).expect(0).stdout;
    assert!(again.contains(at), "{again}");
    assert!(fetch(&[]).expect(0).stdout.contains("settled, by the gateway"));
    // What the buyer has stays his, and verifies.
    sold.place.run(&["verify", "bought.assay"]).expect(3);
    sold.shop.stop();
}

/// What a gateway gives is believed only as far as it verifies, and is about what was asked for.
#[test]
fn what_does_not_verify_is_not_taken() {
    let sold = Sold::new();
    sold.place.file("token", &sold.token);
    let text = String::from_utf8(sold.bundle.clone()).unwrap();
    let mut changed = Bundle::from_bytes(&sold.bundle).unwrap();
    let output = changed.items[0].output.as_mut().unwrap();
    let digit = output.iter_mut().rfind(|byte| byte.is_ascii_digit()).unwrap();
    *digit = if *digit == b'7' { b'8' } else { b'7' };
    let other_output = String::from_utf8(changed.to_bytes().unwrap()).unwrap();
    let other = "01890a5d-ac96-774b-bcce-b302099a8057";
    for (id, body, expected) in [
        (other, text.clone(), "is another receipt: expected 01890a5d"),
        (&*sold.id, other_output, "what came does not verify"),
        (&*sold.id, text.chars().take(text.len() / 2).collect(), "what came cannot be used"),
        (&*sold.id, "{}".to_owned(), "what came cannot be used"),
    ] {
        let liar = liar(body.clone());
        let of = ["receipt", "fetch", id, "--gateway", &liar.url, "--token-file", "token"];
        let told = sold.place.run(&[&of[..], &["--out", "liar.assay"]].concat());
        told.expect_told(1, expected);
        assert!(!sold.place.path("liar.assay").exists());
        // It is evidence.
        assert_eq!(sold.read("liar.assay.refused"), body.as_bytes());
    }
    sold.shop.stop();
}

/// A gateway that answers everything with the same.
fn liar(body: String) -> Served {
    Served::start(axum::Router::new().fallback(move || async move { body }))
}
