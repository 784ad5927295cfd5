use std::fs;

use serde_json::{Value, json};

use crate::support::{Devchain, Gateway, NOBODY, POOR_KEY, Place, SELLER, mode, rpc};

/// A gateway on a chain that the test can look at.
struct Shop {
    place: Place,
    chain: Devchain,
    gateway: Gateway,
    input: String,
}

impl Shop {
    fn open() -> Self {
        let place = Place::new();
        let chain = Devchain::start(&place, &[]);
        let gateway = Gateway::start(&place, &[("ASSAY_RPC_URL", &chain.url)]);
        let input = place.example("digits");
        Self { place, chain, gateway, input }
    }

    /// `assay infer` of the digit, with more options after those given.
    fn infer<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let all = ["infer", "--gateway", &self.gateway.url, "--model", "digits", "--input"];
        [&all[..], &[&self.input], more].concat()
    }

    fn sold(&self) -> u128 {
        self.chain.balance(SELLER) - 1_000_000_000_000
    }
}

#[test]
fn what_is_bought_verifies() {
    let shop = Shop::open();
    let place = &shop.place;
    let out = place.arg("nine.assay");
    let payer = ["--development-account", "2", "--out", &out];
    let text = place.run(&shop.infer(&payer)).expect(0);
    for expected in [
        "answer      9\n",
        "output      logits [1, 10] -10.948372 ",
        "simulated   every check held, but it was paid with play money\n",
        "  paid        0.001 devUSD on eip155:31337\n",
        "  method      signed: you have to believe the operator\n",
        "  note        operator: any, no policy pins one\n",
    ] {
        assert!(text.stdout.contains(expected), "{expected:?} is not in {text:#?}");
    }
    assert!(!text.stdout.contains('\u{1b}'));
    assert_eq!(shop.sold(), 1_000);
    // Input and output are in it.
    assert_eq!(mode(&place.path("nine.assay")), 0o600);

    let bought = place.run(&shop.infer(&[&payer[..], &["--json"]].concat())).expect(0).json();
    assert_eq!(bought["label"], "9");
    assert_eq!(bought["report"]["verdict"], "simulated");
    assert_eq!(bought["paid"]["amount"], "1000");
    assert_eq!(bought["bundle"], out);
    assert_eq!(bought["settlement"]["success"], true);
    assert_eq!(bought["outputs"][0]["shape"], json!([1, 10]));
    assert_eq!(shop.sold(), 2_000);

    let report = place.run(&["verify", "--json", &out]).expect(3).json();
    assert_eq!(report["transaction"], bought["report"]["transaction"]);
    place.run(&["verify", &out, "--input", &shop.input]).expect(3);
}

#[test]
fn a_bundle_is_about_one_input() {
    let shop = Shop::open();
    let place = &shop.place;
    let out = place.arg("nine.assay");
    place.run(&shop.infer(&["--development-account", "3", "--out", &out])).expect(0);

    let own: Value = serde_json::from_slice(&fs::read(&shop.input).unwrap()).unwrap();
    let data = &own["inputs"][0]["data"];
    let flat = place.file("flat.json", json!({ "input_data": [data] }).to_string());
    place.run(&["verify", &out, "--input", &flat]).expect(3);

    let mut other = own.clone();
    other["inputs"][0]["data"][0] = json!(3.0);
    let other = place.file("other.json", other.to_string());
    let refused = place.run(&["verify", "--json", &out, "--input", &other]).expect(1).json();
    assert_eq!(refused["verdict"], "refused");
    assert_eq!(refused["refusal"]["check"], "expected.input");
    let text = place.run(&["verify", &out, "--input", &other]).expect(1).stdout;
    let verdict =
        "refused     it is about another input than yours\n  check       expected.input\n";
    assert!(text.starts_with(verdict), "{text}");

    for (content, told) in [
        ("", "EOF"),
        ("{}", "expected either `inputs` or `input_data`"),
        ("{\"input_data\": []}", "expected a list for each of the model's inputs, 1, got 0"),
        ("{\"input_data\": [[1.0]]}", "wrong.json"),
    ] {
        let wrong = place.file("wrong.json", content);
        place.run(&["verify", &out, "--input", &wrong]).expect_told(2, told);
    }
    place.run(&["verify", &out, "--input", "none.json"]).expect_told(2, "no such file");
}

#[test]
fn nothing_is_paid_for_what_cannot_be_bought() {
    let shop = Shop::open();
    let place = &shop.place;
    let short = place.file("short.key", "0x12");
    place.file("policy.toml", "operator = []");
    let shape = r#"{"inputs":[{"name":"image","shape":[1,2],"datatype":"FP32","data":[1,2]}]}"#;
    place.file("shape.json", shape);
    let unknown_asset = format!("eip155:1/erc20:{NOBODY}");
    let refused = |given: &[(&str, &str)], told: &str| {
        let usual = [
            ("--gateway", shop.gateway.url.as_str()),
            ("--model", "digits"),
            ("--input", &shop.input),
        ];
        let usual = usual.iter().filter(|(name, _)| given.iter().all(|(given, _)| name != given));
        let options = usual.chain(given).flat_map(|(name, value)| [*name, *value]);
        let args: Vec<&str> = std::iter::once("infer").chain(options).collect();
        let ran = place.run(&args).expect_told(2, told);
        assert_eq!(ran.stdout, "", "{args:?}");
    };
    refused(&[], "nobody pays");
    refused(&[("--key-file", &short)], "short.key: not a secret key");
    refused(&[("--key-file", "none.key")], "none.key: there is no such file");
    refused(&[("--development-account", "10")], "there are development accounts 0 to 9, no 10");
    refused(&[("--development-account", "2"), ("--key-file", &short)], "cannot be used with");
    for (name, value, told) in [
        ("--max-amount", "999", "exceeds the spend cap 999"),
        ("--max-amount", "0.1", "--max-amount: not an amount"),
        ("--asset", "usdc", "--asset: "),
        ("--asset", &unknown_asset, "has no spend cap"),
        ("--method", "tee", "is not sold by method `tee`"),
        ("--method", "Signed!", "--method: "),
        ("--model", "faces", "there is no model `faces`; see `assay models`"),
        ("--input", "none.json", "none.json: there is no such file"),
        ("--input", "shape.json", "expected shape [1, 1, 8, 8], got [1, 2]"),
        ("--out", "none/nine.assay", "none/nine.assay: there is no such file or folder"),
        ("--policy", "policy.toml", "unknown field `operator`"),
    ] {
        refused(&[(name, value), ("--development-account", "2")], told);
    }
    assert_eq!(shop.sold(), 0);
    assert_eq!(shop.chain.height(), 0);
}

#[test]
fn a_payer_without_money_is_told_so() {
    let shop = Shop::open();
    let key = shop.place.file("poor.key", POOR_KEY);
    let ran = shop.place.run(&shop.infer(&["--key-file", &key]));
    let ran = ran.expect_told(1, "the payer does not hold as much of the asset");
    assert!(ran.stderr.contains("nothing was charged"), "{ran:#?}");
    assert!(ran.stderr.contains("Others can read"), "{ran:#?}");
    assert!(!ran.stderr.contains(POOR_KEY.trim_start_matches("0x")), "{ran:#?}");
    // From the environment, and for a program.
    let ran = shop.place.run_with(&[("ASSAY_PAYER_KEY", POOR_KEY)], &shop.infer(&["--json"]));
    let ran = ran.expect(1);
    assert_eq!(ran.json()["exitCode"], 1);
    assert!(ran.json()["error"].as_str().unwrap().contains("insufficient_balance"), "{ran:#?}");
    assert_eq!(shop.sold(), 0);
    let empty = shop.place.run_with(&[("ASSAY_PAYER_KEY", "")], &shop.infer(&[]));
    empty.expect_told(2, "nobody pays");
    let wrong = shop.place.run_with(&[("ASSAY_PAYER_KEY", "0x77")], &shop.infer(&[]));
    wrong.expect_told(2, "ASSAY_PAYER_KEY: not a secret key");
}

#[test]
fn a_policy_refuses_what_it_does_not_pin() {
    let shop = Shop::open();
    let place = &shop.place;
    let paid = ["--development-account", "2", "--policy", "policy.toml", "--json"];
    let operator = shop.gateway.told["operator"].as_str().unwrap();
    let model = &shop.gateway.told["models"][0];
    assert_eq!(model["name"], "digits");
    let pins = format!("operators = [\"{operator}\"]\n[models]\ndigits = [{}]\n", model["id"]);
    place.file("policy.toml", &pins);
    let bought = place.run(&shop.infer(&paid)).expect(0).json();
    assert_eq!(bought["report"]["items"][0]["model"]["pinned"], true);

    // What the gateway announces is enough to know that its receipt would be refused.
    let sold = shop.sold();
    let refused = |policy: String, check: &str, got: &str| {
        place.file("policy.toml", policy);
        let told = place.run(&shop.infer(&paid)).expect_told(1, "nothing was paid").json();
        assert_eq!(
            (&told["refusal"]["check"], &told["refusal"]["got"]),
            (&json!(check), &json!(got))
        );
        assert_eq!(shop.sold(), sold);
    };
    let other = "ab".repeat(32);
    refused(format!("operators = [\"{other}\"]\n"), "policy.operator", operator);
    let id = format!("`digits` {}", model["id"].as_str().unwrap());
    refused(format!("[models]\ndigits = [\"{other}\"]\n"), "policy.model", &id);
    refused("networks = [\"eip155:8453\"]\n".to_owned(), "policy.network", "eip155:31337");
    refused(format!("pay_to = [\"{NOBODY}\"]\n"), "policy.pay-to", SELLER);
    place.file("policy.toml", "times = [\"witnessed\"]\n");
    // It is paid for and refused: what came is kept, and not as the bundle.
    let out = place.arg("nine.assay");
    let refused = place.run(&shop.infer(&[&paid[..], &["--out", &out]].concat())).expect(1);
    assert!(!refused.stderr.contains("curl"), "{refused:#?}");
    let (told, kept) = (refused.json(), place.path("nine.assay.refused"));
    assert_eq!(told["evidence"], kept.to_str().unwrap());
    assert_eq!(told["accessToken"].as_str().unwrap().len(), 64);
    assert!(told["error"].as_str().unwrap().contains("the payment was settled by 0x"), "{told}");
    assert!(!place.path("nine.assay").exists());
    assert_eq!(mode(&kept), 0o600);
    let report = place.run(&["verify", "--json", kept.to_str().unwrap()]).expect(3).json();
    assert_eq!(report["transaction"], told["transaction"]);
}

#[test]
fn a_gateway_that_is_not_there_is_said_not_to_be() {
    let place = Place::new();
    let input = place.example("digits");
    let infer = |gateway: &str| {
        let more = ["--input", &input, "--development-account", "2", "--model", "digits"];
        place.run(&[&["infer", "--gateway", gateway][..], &more].concat())
    };
    infer("http://127.0.0.1:1").expect_told(1, "cannot be reached: Connection refused");
    infer("127.0.0.1:8402").expect_told(2, "is not the URL of a gateway");
    infer("ftp://127.0.0.1").expect_told(2, "is not the URL of a gateway");
    // Something answers there, but no gateway.
    let chain = Devchain::start(&place, &[]);
    infer(&chain.url).expect_told(2, "answered 404 Not Found");
    assert_eq!(rpc(&chain.url, "eth_blockNumber", &json!([])), "0x0");
}
