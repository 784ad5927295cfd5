use std::fs;
use std::path::PathBuf;

use assay_primitives::json::from_slice;
use assay_receipt::Bundle;
use serde_json::{Value, json};

use crate::support::{Devchain, Gateway, NOBODY, Place, SELLER, mode, paused_purchase, rpc};

/// A gateway whose keys are in `keys`, apart from the identity in `offline`.
fn gateway(place: &Place) -> Gateway {
    Gateway::start(place, &[("ASSAY_KEYS", "keys")])
}

/// Runs `assay key` where identity and manifest are, and brings what it made to the gateway.
fn key(place: &Place, args: &[&str]) -> Value {
    let told = place.run(&[&["key"], args, &["--folder", "offline", "--json"]].concat());
    let told = told.expect(0).json();
    fs::create_dir_all(place.path("keys")).unwrap();
    for name in place.entries("offline") {
        if name != "identity.pem" && name != "lock" {
            fs::copy(place.path("offline").join(&name), place.path("keys").join(&name)).unwrap();
        }
    }
    told
}

/// Puts the gateway's present key manifest into a bundle, as somebody would who knows of it.
fn with_present_manifest(place: &Place, bundle: &str) {
    let mut changed = Bundle::from_bytes(&fs::read(place.path(bundle)).unwrap()).unwrap();
    let manifest = fs::read(place.path("keys/manifest.json")).unwrap();
    changed.key_manifest = from_slice(&manifest).unwrap();
    place.file(bundle, changed.to_bytes().unwrap());
}

fn state_of<'a>(manifest: &'a Value, id: &Value) -> &'a Value {
    let keys = manifest["keys"].as_array().unwrap();
    &keys.iter().find(|key| key["id"] == *id).unwrap()["state"]
}

#[test]
fn keys_live_from_new_to_revoked() {
    let place = Place::new();
    let paid = format!("eip155:31337:{SELLER}");
    let made = key(&place, &["new", "--settlement", &paid]);
    let first = &made["receiptKey"];
    assert_eq!((&made["version"], state_of(&made, first)), (&1.into(), &"signs".into()));
    let shop = gateway(&place);
    assert_eq!(shop.told["operator"], made["operator"]);
    place.buy(&shop.url, "first.assay");
    shop.stop();

    let rotated = key(&place, &["rotate"]);
    let second = &rotated["receiptKey"];
    assert_ne!(first, second);
    assert_eq!(rotated["version"], 2);
    assert_eq!(state_of(&rotated, first), "good");
    assert_eq!(state_of(&rotated, second), "signs");
    let shop = gateway(&place);
    let bought = place.buy(&shop.url, "second.assay");
    assert_eq!(bought["report"]["manifestVersion"], 2);
    assert_eq!(shop.told["receiptKey"]["id"], *second);
    shop.stop();
    // What was signed before the rotation holds, with the manifest of then and with the present one.
    place.run(&["verify", "first.assay"]).expect(3);
    with_present_manifest(&place, "first.assay");
    place.run(&["verify", "first.assay"]).expect(3);

    let id = first.as_str().unwrap();
    let revoked = key(&place, &["revoke", id, "--reason", "copied by somebody"]);
    assert_eq!(revoked["version"], 3);
    assert_eq!(state_of(&revoked, first), "revoked");
    assert_eq!(revoked["receiptKey"], *second);
    // Who has the manifest of today is not taken in by a bundle with an older one.
    place.run(&["verify", "first.assay"]).expect(3);
    let manifest = ["--manifest", "keys/manifest.json", "--json"];
    let refused = place.run(&[&["verify", "first.assay"], &manifest[..]].concat()).expect(1).json();
    assert_eq!(refused["refusal"]["check"], "receipt.key-revoked");
    place.run(&[&["verify", "second.assay"], &manifest[..]].concat()).expect(3);
    place
        .run(&["verify", "second.assay", "--manifest", "second.assay"])
        .expect_told(2, "second.assay: not a key manifest");
    let nonce = ["verify", "second.assay", "--json", "--nonce", "another"];
    assert_eq!(place.run(&nonce).expect(1).json()["refusal"]["check"], "expected.nonce");
    with_present_manifest(&place, "first.assay");
    let refused = place.run(&["verify", "--json", "first.assay"]).expect(1).json();
    assert_eq!(refused["refusal"]["check"], "receipt.key-revoked");
    let text = place.run(&["verify", "first.assay"]).expect(1).stdout;
    assert!(text.contains("copied by somebody"), "{text}");
    place.run(&["verify", "second.assay"]).expect(3);
    // A policy that knows of the revocation takes no manifest from before it.
    place.file("policy.toml", "manifest_version = 3\n");
    let policy = ["verify", "--json", "second.assay", "--policy", "policy.toml"];
    let refused = place.run(&policy).expect(1).json();
    assert_eq!(refused["refusal"]["check"], "policy.manifest-version");

    // Revoking the key that signs makes another, and the gateway goes on.
    let last = key(&place, &["revoke", second.as_str().unwrap(), "--reason", "lost"]);
    assert_ne!(last["receiptKey"], *second);
    let shop = gateway(&place);
    assert_eq!(place.buy(&shop.url, "third.assay")["report"]["manifestVersion"], 4);
}

#[test]
fn what_was_sold_under_the_key_before_is_settled_under_the_next() {
    let place = Place::new();
    key(&place, &["new", "--settlement", &format!("eip155:31337:{SELLER}")]);
    let chain = Devchain::start(&place, &[]);
    let env = [("ASSAY_RPC_URL", chain.url.as_str()), ("ASSAY_KEYS", "keys")];
    let shop = Gateway::start(&place, &env);
    let buyer = paused_purchase(&place, &chain, &shop);
    let address = shop.url.strip_prefix("http://").unwrap();
    shop.process.stop("KILL");
    key(&place, &["rotate"]);
    let again = [&env[..], &[("ASSAY_LISTEN", address)]].concat();
    let _shop = Gateway::start(&place, &again);
    rpc(&chain.url, "dev_resume", &json!([]));
    // The buyer asks again with the same payment, and gets what it paid for.
    let bought = buyer.finish().expect(0).json();
    assert_eq!(bought["report"]["payment"]["state"], "settled");
    place.run(&["verify", "paused.assay"]).expect(3);
    assert_eq!(chain.height(), 1);
}

#[test]
fn a_manifest_of_another_operator_is_refused() {
    let place = Place::new();
    let paid = format!("eip155:31337:{SELLER}");
    key(&place, &["new", "--settlement", &paid]);
    let shop = gateway(&place);
    place.buy(&shop.url, "bought.assay");
    let other = ["key", "new", "--settlement", &paid, "--folder", "other"];
    place.run(&other).expect(0);
    fs::copy(place.path("other/manifest.json"), place.path("keys/manifest.json")).unwrap();
    with_present_manifest(&place, "bought.assay");
    let refused = place.run(&["verify", "--json", "bought.assay"]).expect(1).json();
    assert_eq!(refused["refusal"]["check"], "receipt.operator");
}

#[test]
fn secrets_are_for_their_owner() {
    let place = Place::new();
    let paid = format!("eip155:8453:{NOBODY}");
    let ran = place.run(&["key", "new", "--settlement", &paid, "--gateway", "https://g.example"]);
    let ran = ran.expect_told(0, "Keep assay-keys/identity.pem offline");
    assert_eq!(mode(&place.path("assay-keys")), 0o700);
    let secrets: Vec<PathBuf> = place
        .entries("assay-keys")
        .iter()
        .filter(|name| name.ends_with(".pem"))
        .map(|name| place.path("assay-keys").join(name))
        .collect();
    assert_eq!(secrets.len(), 2);
    let show = place.run(&["key", "show"]).expect(0);
    let show_json = place.run(&["key", "show", "--json"]).expect(0);
    for secret in secrets {
        assert_eq!(mode(&secret), 0o600, "{}", secret.display());
        let pem = fs::read_to_string(&secret).unwrap();
        let line = pem.lines().nth(1).unwrap();
        for printed in [&ran.stdout, &ran.stderr, &show.stdout, &show_json.stdout] {
            assert!(!printed.contains(line) && !printed.contains("PRIVATE"), "{printed}");
        }
    }
    assert_eq!(ran.stdout, show.stdout);
    assert!(show.stdout.contains(&format!("paid to     {paid}\n")), "{show:#?}");
    assert!(show.stdout.contains("gateway     https://g.example\n"), "{show:#?}");
    assert_eq!(show_json.json()["gateways"][0], "https://g.example");
}

#[test]
fn what_cannot_be_done_with_keys_is_said() {
    let place = Place::new();
    let paid = format!("eip155:8453:{NOBODY}");
    let key = |args: &[&str]| place.run(&[&["key"], args].concat());
    key(&["show"]).expect_told(2, "`assay key new` makes them");
    key(&["rotate"]).expect_told(2, "`assay key new` makes them");
    key(&["new"]).expect_told(2, "--settlement");
    key(&["new", "--settlement", NOBODY]).expect_told(2, "CAIP-10");
    key(&["new", "--settlement", &paid.replace("EE7", "Ee7")]).expect_told(2, "EIP-55");
    let public = format!("eip155:8453:{SELLER}");
    key(&["new", "--settlement", &public]).expect_told(2, "public development key: refused");
    key(&["new", "--settlement", &paid, "--gateway", "g"]).expect_told(2, "--gateway: `g`");
    assert_eq!(place.entries("."), [""; 0]);

    key(&["new", "--settlement", &paid]).expect(0);
    key(&["new", "--settlement", &paid]).expect_told(2, "holds an operator's keys already");
    key(&["revoke", "ab", "--reason", "x"]).expect(2);
    let unknown = "ab".repeat(32);
    key(&["revoke", &unknown, "--reason", "x"]).expect_told(2, "is not in the key manifest");
    fs::remove_file(place.path("assay-keys/identity.pem")).unwrap();
    let told = key(&["rotate", "--json"]).expect_told(2, "assay-keys/identity.pem is not here");
    assert!(told.json()["error"].as_str().unwrap().contains("where it is kept"), "{told:#?}");
    assert_eq!(key(&["show", "--json"]).expect(0).json()["version"], 1);
}

#[test]
fn images_of_enclaves_are_listed() {
    let place = Place::new();
    let key = |args: &[&str]| place.run(&[&["key"], args].concat());
    key(&["measure", "nitro:pcr0=00"]).expect_told(2, "`assay key new` makes them");
    key(&["new", "--settlement", &format!("eip155:8453:{NOBODY}")]).expect(0);
    assert_eq!(key(&["show", "--json"]).expect(0).json()["enclaveMeasurements"], json!([]));
    let (first, second) = ("nitro:pcr0=00,pcr1=01", "snp:measurement=ff");
    let listed = |ran: Value| (ran["version"].clone(), ran["enclaveMeasurements"].clone());
    let ran = key(&["measure", first, "--json"]).expect_told(0, "Restart the gateway");
    assert_eq!(listed(ran.json()), (json!(2), json!([first])));
    // What is listed is said, and what is not is added.
    let again = format!("It is in the key manifest already: {first}");
    let ran = key(&["measure", first, second, "--json"]).expect_told(0, &again);
    assert_eq!(listed(ran.json()), (json!(3), json!([first, second])));
    let ran = key(&["measure", second, first, "--json"]).expect_told(0, &again);
    assert_eq!(listed(ran.json()), (json!(3), json!([first, second])));
    let shown = key(&["show"]).expect(0).stdout;
    assert!(shown.contains(&format!("image       {first}\nimage       {second}\n")), "{shown}");
    // None of several is listed where one is none.
    key(&["measure"]).expect_told(2, "<TEXT>...");
    let wrong = ["measure", "tdx:mrtd=00", "nitro:prc0=00"];
    key(&wrong).expect_told(2, "the name of a measurement of kind nitro, got `prc0`");
    key(&["measure", "nitro:pcr0=FF"]).expect_told(2, "lower-case hexadecimal for `pcr0`");
    key(&["measure", "nitro:pcr1=00,pcr0=00"]).expect_told(2, "in ascending order");
    assert_eq!(listed(key(&["rotate", "--json"]).expect(0).json()).1, json!([first, second]));
    fs::remove_file(place.path("assay-keys/identity.pem")).unwrap();
    key(&["measure", "tdx:mrtd=00"]).expect_told(2, "identity.pem is not here");
    assert_eq!(key(&["show", "--json"]).expect(0).json()["version"], 4);
}

/// What is sold is sealed on the disk, and opens with the key that it was sealed with alone.
#[test]
fn contents_are_sealed_with_the_storage_key() {
    let place = Place::new();
    let paid = format!("eip155:8453:{NOBODY}");
    place.run(&["key", "new", "--settlement", &paid]).expect(0);
    let made = fs::read_to_string(place.path("assay-keys/storage.key")).unwrap();
    assert_eq!((made.len(), mode(&place.path("assay-keys/storage.key"))), (64, 0o600));

    let given = [("ASSAY_STORAGE_KEY_FILE", "assay-keys/storage.key")];
    let shop = Gateway::start(&place, &given);
    let bought = place.buy(&shop.url, "first.assay");
    shop.stop();
    assert!(!place.path("assay-data/storage.key").exists(), "one was given");
    let bundle = Bundle::from_bytes(&fs::read(place.path("first.assay")).unwrap()).unwrap();
    let (request, secret) = (&bundle.items[0].request, bought["accessToken"].as_str().unwrap());
    let database = fs::read(place.path("assay-data/assay.db")).unwrap();
    for plain in [&request[..64.min(request.len())], secret.as_bytes(), made.as_bytes()] {
        assert!(!database.windows(plain.len()).any(|window| window == plain));
    }

    let serve = |env: &[(&str, &str)]| {
        crate::support::Running::start(&mut Gateway::command(&place, env, &["serve"])).finish()
    };
    serve(&[]).expect_told(2, "were sealed with another storage key");
    fs::remove_file(place.path("assay-data/storage.key")).unwrap();
    let other = "5e".repeat(32);
    let told = serve(&[("ASSAY_STORAGE_KEY", &other)]);
    let told = told.expect_told(2, "expected the one with check value");
    assert!(!told.stderr.contains(&other), "{told:#?}");
    let told = serve(&[("ASSAY_STORAGE_KEY", "5e5e")]);
    let told = told.expect_told(2, "ASSAY_STORAGE_KEY: not a storage key");
    assert!(!told.stderr.contains("5e5e"), "{told:#?}");
    // Nothing was lost by it.
    let shop = Gateway::start(&place, &[("ASSAY_STORAGE_KEY", &made)]);
    let path = format!("/v1/receipts/{}", bought["report"]["transaction"].as_str().unwrap());
    let (status, again) = crate::support::get_with_token(&shop.url, &path, secret);
    assert_eq!((status, again), (200, fs::read(place.path("first.assay")).unwrap()));
    shop.stop();
}

#[test]
fn a_gateway_refuses_keys_it_cannot_sell_with() {
    let place = Place::new();
    let serve = || {
        let mut command = Gateway::command(&place, &[("ASSAY_KEYS", "keys")], &["serve"]);
        crate::support::Running::start(&mut command).finish()
    };
    serve().expect_told(2, "keys: there are no keys here");
    let paid = format!("eip155:31337:{NOBODY}");
    key(&place, &["new", "--settlement", &paid]);
    serve().expect_told(2, "the key manifest does not list it");
    fs::remove_dir_all(place.path("offline")).unwrap();
    fs::remove_dir_all(place.path("keys")).unwrap();
    let made = key(&place, &["new", "--settlement", &format!("eip155:31337:{SELLER}")]);
    let name: String = made["receiptKey"].as_str().unwrap().chars().take(16).collect();
    fs::remove_file(place.path(&format!("keys/receipt-{name}.pem"))).unwrap();
    serve().expect_told(2, &format!("receipt-{name}.pem: not here"));
    place.file("keys/manifest.json", "{}");
    serve().expect_told(2, "keys/manifest.json: ");
}
