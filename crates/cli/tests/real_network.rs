//! A network whose money is real: Base by the id that a node gives, and nothing else behind it.

use std::fs;

use axum::Json;
use axum::routing::post;
use serde_json::{Value, json};

use crate::support::{Gateway, NOBODY, POOR_KEY, Place, Ran, Running, SELLER, Served};

const USDC: &str = "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
/// Development account 0, by its key: Keccak-256 of a sentence in the source.
const PUBLIC_KEY: &str = "0xe0b24828ef98c0a8ddf142175d9a139ad2881225a8986d284508ac78134f66d0";

/// A node of Base that knows its id, and of every balance that it is nothing.
fn node() -> Served {
    let answer = |Json(request): Json<Value>| async move {
        let result = match request["method"].as_str() {
            Some("eth_chainId") => "0x2105",
            _ => "0x0",
        };
        Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }))
    };
    Served::start(axum::Router::new().route("/", post(answer)))
}

/// A place with everything that an operator on Base needs.
fn place() -> Place {
    let place = Place::new();
    let paid = format!("eip155:8453:{NOBODY}");
    place.run(&["key", "new", "--folder", "keys", "--settlement", &paid]).expect(0);
    place.file("settler.key", POOR_KEY);
    fs::set_permissions(
        place.path("settler.key"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let asset = format!(
        "[assets.usdc]\nid = \"{USDC}\"\ndecimals = 6\nname = \"USD Coin\"\nversion = \"2\"\n"
    );
    let price = "[[prices]]\nmodel = \"digits\"\nmethod = \"signed\"\nasset = \"usdc\"\namount = \"0.001\"\n";
    place.file("prices.toml", format!("{asset}{price}"));
    place
}

/// What an operator on Base sets.
const SETTINGS: [(&str, &str); 4] = [
    ("ASSAY_KEYS", "keys"),
    ("ASSAY_PAY_TO", NOBODY),
    ("ASSAY_PRICES", "prices.toml"),
    ("ASSAY_SETTLEMENT_KEY_FILE", "settler.key"),
];

/// Starts a gateway on Base that is expected to end by itself.
fn serve(place: &Place, node: &Served, env: &[(&str, &str)]) -> Ran {
    let url = [("ASSAY_RPC_URL", node.url.as_str())];
    let all = [&url[..], env].concat();
    let ran = Running::start(&mut Gateway::command(place, &all, &["serve"])).finish();
    assert_eq!(ran.stdout, "");
    ran
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    let (place, node) = (Place::new(), node());
    let all = [
        "payment.pay_to (ASSAY_PAY_TO): the account that is paid.",
        "keys.folder (ASSAY_KEYS): the operator's keys, made by `assay key new --settlement eip155:8453:",
        "prices (ASSAY_PRICES): the file that says what each model costs.",
        "payment.settlement_key_file (ASSAY_SETTLEMENT_KEY_FILE, or the key in ASSAY_SETTLEMENT_KEY)",
        "keys.storage_key_file (ASSAY_STORAGE_KEY_FILE, or the key in ASSAY_STORAGE_KEY",
    ];
    let told = serve(&place, &node, &[]).expect_told(2, "eip155:8453 moves real money");
    for missing in all {
        assert!(told.stderr.contains(missing), "{missing:?} is not in {told:#?}");
    }
    // What is given is not named.
    for (one, setting) in SETTINGS.iter().enumerate() {
        let order = [1, 0, 2, 3];
        let told = serve(&place, &node, &[*setting]).expect(2);
        assert!(!told.stderr.contains(all[order[one]]), "{setting:?}: {told:#?}");
        let named = told.stderr.lines().filter(|line| line.starts_with("  "));
        assert_eq!(named.count(), 4, "{told:#?}");
    }
    let key = [("ASSAY_SETTLEMENT_KEY", POOR_KEY)];
    assert!(!serve(&place, &node, &key).stderr.contains("settlement_key_file"));
    let sealed = [("ASSAY_STORAGE_KEY", "07")];
    assert!(!serve(&place, &node, &sealed).stderr.contains("storage_key_file"));
    let facilitator = [("ASSAY_FACILITATOR_URL", "http://127.0.0.1:1")];
    assert!(!serve(&place, &node, &facilitator).stderr.contains("settlement_key_file"));
    assert_eq!(place.entries("."), [""; 0]);
}

#[test]
fn development_keys_are_refused() {
    let (place, node) = (place(), node());
    let with = |name: &str, value: &str| -> Ran {
        let settings = SETTINGS.iter().map(|(n, v)| (*n, if *n == name { value } else { *v }));
        serve(&place, &node, &settings.collect::<Vec<_>>())
    };
    with("ASSAY_PAY_TO", SELLER).expect_told(2, "payment.pay_to: the key of 0x43630AAe");
    place.file("public.key", PUBLIC_KEY);
    let told = with("ASSAY_SETTLEMENT_KEY_FILE", "public.key");
    let told = told.expect_told(2, "is a public development key: refused on eip155:8453");
    assert!(!told.stderr.contains(PUBLIC_KEY.trim_start_matches("0x")), "{told:#?}");
    with("ASSAY_SETTLEMENT_KEY_FILE", "none.key").expect_told(2, "none.key: there is no such");

    let settles = |more: &[&str]| {
        let args = ["facilitator", "--rpc-url", &node.url, "--asset", NOBODY];
        place.run(&[&args[..], more].concat())
    };
    settles(&["--development-account", "3"]).expect_told(2, "refused on eip155:8453");
    settles(&["--key-file", "public.key"]).expect_told(2, "refused on eip155:8453");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let (place, node) = (place(), node());
    let with = |name: &str, value: &str| -> Ran {
        let settings = SETTINGS.iter().map(|(n, v)| (*n, if *n == name { value } else { *v }));
        serve(&place, &node, &settings.collect::<Vec<_>>())
    };
    let other = "0x8617E340B3D01FA5F11F306F4090FD50E238070D";
    with("ASSAY_PAY_TO", other).expect_told(2, "the key manifest does not list it");
    let prices = fs::read_to_string(place.path("prices.toml")).unwrap();
    place.file("sepolia.toml", prices.replace("eip155:8453/", "eip155:84532/"));
    let told = "model `digits` is priced on eip155:84532, but the chain is eip155:8453";
    with("ASSAY_PRICES", "sepolia.toml").expect_told(2, told);
    place.file("faces.toml", prices.replace("digits", "faces"));
    with("ASSAY_PRICES", "faces.toml").expect_told(2, "there is no model `faces`");
    let network = [&SETTINGS[..], &[("ASSAY_NETWORK", "eip155:84532")]].concat();
    let told = "expected eip155:84532, got eip155:8453";
    serve(&place, &node, &network).expect_told(2, told);
}

#[test]
fn nobody_pays_real_money_with_a_public_key() {
    let (place, node) = (place(), node());
    let env = [&SETTINGS[..], &[("ASSAY_RPC_URL", &node.url)]].concat();
    let mut shop = Gateway::start(&place, &env);
    assert_eq!(shop.told["network"], "eip155:8453");
    assert_eq!(shop.told["accounts"], Value::Null);
    shop.process.wait_for("has nothing to pay gas with");
    let input = place.example("digits");
    let infer = ["infer", "--gateway", &shop.url, "--model", "digits", "--input", &input];
    let told = "network eip155:8453 is not among those to pay on";
    place.run(&[&infer[..], &["--development-account", "2"]].concat()).expect_told(2, told);
    place.run_with(&[("ASSAY_PAYER_KEY", PUBLIC_KEY)], &infer).expect_told(2, told);
    shop.stop();
}

#[test]
fn what_is_sold_as_a_tee_is_one() {
    let (place, node) = (place(), node());
    place.file("boot.toml", "min_strength = \"measured-boot\"\n");
    place.file("debug.toml", "allow_debug = true\n");
    let [boot, debug] = ["boot.toml", "debug.toml"].map(|file| ("ASSAY_TEE_POLICY", file));
    for (env, told) in [
        (&[("ASSAY_TEE_ATTESTER", "swtpm")][..], "tee.attester: \"swtpm\" is for development"),
        (&[("ASSAY_TEE_ATTESTER", "swtpm"), boot], "tee.attester: \"swtpm\" is for development"),
        (&[("ASSAY_TEE_ATTESTER", "tpm")], "tee.attester: \"tpm\" measures what was booted"),
        (&[("ASSAY_TEE_ATTESTER", "tpm"), boot], "tee.policy: min_strength = \"measured-boot\" is"),
        (&[("ASSAY_TEE_ENCLAVES", "vsock:16:5005"), boot], "tee.policy: min_strength = "),
        (&[("ASSAY_TEE_ENCLAVES", "vsock:16:5005"), debug], "tee.policy: allow_debug = true is"),
    ] {
        serve(&place, &node, &[&SETTINGS[..], env].concat()).expect_told(2, told);
    }
}
