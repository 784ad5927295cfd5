//! Several inferences under one payment, bought from a file, shown in part, and tampered with.

use assay_primitives::encoding;
use serde_json::{Value, json};

use crate::support::{Devchain, Gateway, Place, features, of_each};

/// The root of a simulation, in a place's data.
const ROOT: &str = "assay-data/tee/simulated-nitro/root.pem";
const SIMULATED: (&str, &str) = ("ASSAY_TEE_ATTESTER", "simulated-nitro");

/// An item by each method, two of them proven by one proof, and one built of two others' outputs.
fn mixed(place: &Place) -> String {
    let references = [(3, "vault", "/outputs/0/data/4"), (7, "grade", "/outputs/0/data/2")];
    let data = features(&references, |index| format!("{index}.25"));
    place.example("digits");
    place.file(
        "mixed.toml",
        format!(
            r#"
            [[items]]
            id = "grade"
            model = "wine"
            method = "zkml"
            sample = 0

            [[items]]
            id = "vault"
            model = "digits"
            method = "tee"
            input = "digits.json"

            [[items]]
            id = "one"
            model = "digits"
            method = "zkml"
            sample = 1

            [[items]]
            id = "other"
            model = "digits"
            method = "zkml"
            sample = 2

            [[items]]
            id = "helper"
            model = "tumour"
            inputs = [
                {{ name = "features", shape = [1, 30], datatype = "FP32", data = [{data}] }},
            ]
            "#
        ),
    )
}

fn buy<'a>(file: &'a str, url: &'a str, out: &'a str) -> Vec<&'a str> {
    let trusting = ["--development-root", ROOT, "--development-account", "2"];
    [&["buy", file, "--gateway", url, "--out", out][..], &trusting].concat()
}

#[test]
fn a_mixed_transaction_is_bought_verified_and_shown_in_part() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[SIMULATED]);
    let (file, out) = (mixed(&place), place.arg("bought.assay"));
    let bought =
        place.run(&[&buy(&file, &shop.url, &out)[..], &["--json"]].concat()).expect(0).json();
    let items = bought["items"].as_array().unwrap();
    let named: Vec<(&str, &str)> = items
        .iter()
        .map(|item| (item["id"].as_str().unwrap(), item["method"].as_str().unwrap()))
        .collect();
    let expected = [
        ("grade", "zkml"),
        ("vault", "tee"),
        ("one", "zkml"),
        ("other", "zkml"),
        ("helper", "signed"),
    ];
    assert_eq!(named, expected);
    assert_eq!(bought["report"]["payment"]["settled"], "18000");
    assert_eq!(shop.count("settled"), 1);
    for item in bought["report"]["items"].as_array().unwrap() {
        assert_eq!(item["verdict"], "simulated", "{item}");
    }
    let table = place.run(&buy(&file, &shop.url, &place.arg("again.assay"))).expect(0).stdout;
    assert!(table.lines().any(|line| line.starts_with("helper  tumour  signed")), "{table}");
    shop.stop();

    // On another machine, with the file alone.
    place.run(&["verify", &out, "--development-root", ROOT]).expect(3);
    for (item, notes) in [("grade", 0), ("vault", 1), ("one", 0), ("helper", 2)] {
        let shown = place.arg(&format!("{item}.assay"));
        let ran = place.run(&["disclose", &out, "--item", item, "--out", &shown]).expect(0);
        assert_eq!(ran.stderr.contains("not zero-knowledge: other"), item == "one", "{ran:?}");
        let holds = "hold outputs of these items, too: grade, vault";
        assert_eq!(ran.stderr.contains(holds), item == "helper", "{ran:?}");
        let verify = ["verify", &shown, "--development-root", ROOT, "--json"];
        let report = place.run(&verify).expect(3).json();
        assert_eq!(report["items"].as_array().unwrap().len(), 1);
        assert_eq!((&report["items"][0]["id"], &report["itemCount"]), (&json!(item), &json!(5)));
        let told = report["items"][0]["notes"].as_array().map_or(0, |notes| {
            notes.iter().filter(|note| note.as_str().unwrap().contains("not disclosed")).count()
        });
        assert_eq!(told, if item == "helper" { notes } else { 0 }, "{report}");
        hides_others(&place, &shown, item, &bought);
    }
    let unknown = ["disclose", &out, "--item", "none", "--out", &place.arg("none.assay")];
    place.run(&unknown).expect_told(2, "there are: grade, vault, one, other, helper");
    // By its index too; and nothing is written over.
    let shown = place.arg("grade.assay");
    place.run(&["disclose", &out, "--item", "0", "--out", &shown]).expect(2);
}

/// Nothing of what another item was asked or answered stands in a file.
fn hides_others(place: &Place, file: &str, shown: &str, bought: &Value) {
    let text = std::fs::read_to_string(file).unwrap();
    let whole: Value =
        serde_json::from_slice(&std::fs::read(place.path("bought.assay")).unwrap()).unwrap();
    for (item, told) in
        whole["items"].as_array().unwrap().iter().zip(bought["items"].as_array().unwrap())
    {
        let is_shown = told["id"] == shown;
        for field in ["statement", "request", "output"] {
            let content = item[field].as_str().unwrap();
            assert_eq!(text.contains(content), is_shown, "{field} of {} for {shown}", told["id"]);
        }
        assert_eq!(text.contains(item["salts"]["leaf"].as_str().unwrap()), is_shown);
    }
}

/// A byte of one item's answer spoils the bundle; the report says which item it is.
#[test]
fn what_is_changed_in_one_item_is_told() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[SIMULATED]);
    let (file, out) = (mixed(&place), place.arg("bought.assay"));
    place.run(&buy(&file, &shop.url, &out)).expect(0);
    shop.stop();
    let bundle: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    for index in 0..5_usize {
        let mut changed = bundle.clone();
        let output = changed["items"][index]["output"].as_str().unwrap();
        let mut bytes = encoding::from_base64(output).unwrap();
        let digit = bytes.iter().rposition(u8::is_ascii_digit).unwrap();
        bytes[digit] = if bytes[digit] == b'1' { b'2' } else { b'1' };
        changed["items"][index]["output"] = encoding::base64(&bytes).into();
        // The file keeps its one spelling, in which fields have their order.
        let text = std::fs::read_to_string(&out).unwrap();
        let text = text.replace(output_of(&bundle, index), output_of(&changed, index));
        let file = place.file("changed.assay", text);
        let verify = ["verify", &file, "--development-root", ROOT, "--json"];
        let report = place.run(&verify).expect(1).json();
        assert_eq!(report["refusal"]["check"], "item.output", "{report}");
        assert_eq!(report["refusal"]["item"], index);
    }
}

fn output_of(bundle: &Value, index: usize) -> &str {
    bundle["items"][index]["output"].as_str().unwrap()
}

/// A value that the program cannot take is another item's output: it is not told, nor is it charged for.
#[test]
fn an_output_is_not_told_by_an_error() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[]);
    let data = features(&[(19, "hidden", "/outputs/0/data/4")], |_| "0.01".to_owned());
    let file = place.file(
        "leak.toml",
        format!(
            r#"
            items = [
                {{ id = "hidden", model = "digits", sample = 0 }},
                {{ id = "probe", model = "tumour", method = "zkml", input_data = [[{data}]] }},
            ]
            "#
        ),
    );
    let buy = ["buy", &file, "--gateway", &shop.url, "--development-account", "2"];
    let ran = place.run(&buy).expect_told(1, "an item did not run or was not certified");
    for told in ["probe", "outside", "input value"] {
        assert!(!ran.stderr.contains(told), "{ran:?}");
    }
    assert_eq!(shop.count("settled"), 0);
}

/// Under `each` what failed is not charged, and the table says so. The buyer never gave Permit2 an allowance.
#[test]
fn what_failed_is_told_and_not_charged() {
    let place = Place::new();
    let chain = Devchain::start(&place, &[]);
    let shop = Gateway::start(&place, &[("ASSAY_RPC_URL", &chain.url)]);
    let short = r#"{ id = "short", model = "wine", method = "zkml", sample = 0, timeout_ms = 1 }"#;
    let file = of_each(&place, short);
    let out = place.arg("bought.assay");
    let buy = ["buy", &file, "--gateway", &shop.url, "--development-account", "2", "--out", &out];
    let refused = place.run(&buy).expect_told(1, "permit2_allowance_required");
    assert!(refused.stderr.contains("with --rpc-url"), "{refused:?}");
    assert!(!place.path("bought.assay").exists(), "{refused:?}");
    let buy = [&buy[..], &["--rpc-url", &chain.url]].concat();
    let table = place.run(&buy).expect(0).stdout;
    let line = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap();
    assert!(line("wrong").contains("not charged"), "{table}");
    assert!(line("wrong").ends_with("failed: uncertifiable_input"), "{table}");
    assert!(line("short").contains("0.005"), "{table}");
    assert!(line("short").ends_with("failed: timeout_below_floor"), "{table}");
    let json = place.run(&[&buy[..6], &buy[8..], &["--json"]].concat()).expect(0).json();
    assert_eq!((&json["paid"]["amount"], shop.count("settled")), (&json!("6000"), 2));
    assert_eq!(json["items"][1]["failed"]["charged"], false);
    // Fetched again, every item is there.
    let (id, token) = (&json["report"]["transaction"], &json["accessToken"]);
    let fetch = ["receipt", "fetch", id.as_str().unwrap(), "--gateway", &shop.url];
    let token = [("ASSAY_ACCESS_TOKEN", token.as_str().unwrap())];
    let fetched = place.run_with(&token, &fetch).expect(0).stdout;
    assert!(fetched.lines().any(|line| line.ends_with("failed: timeout_below_floor")), "{fetched}");
    shop.stop();
    // A copy is verified with the failed items in it, and each of them alone.
    place.run(&["verify", &out]).expect(3);
    let shown = place.arg("wrong.assay");
    place.run(&["disclose", &out, "--item", "wrong", "--out", &shown]).expect(0);
    let told = place.run(&["verify", &shown]).expect(3).stdout;
    assert!(told.contains("failed: uncertifiable_input"), "{told}");
}

#[test]
fn what_cannot_be_bought_is_told_before_anything_is_paid() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[]);
    let run = |text: &str| {
        let file = place.file("wrong.toml", text);
        let account = ["--development-account", "2"];
        place.run(&[&["buy", &file, "--gateway", &shop.url][..], &account].concat())
    };
    let digit = r#"{ id = "a", model = "digits", sample = 0 }"#;
    for (text, told) in [
        ("", "missing field `items`"),
        ("items = []", "1 to 1000 items, got 0"),
        ("items = [{ id = \"a\", model = \"digits\" }]", "expected one of `input`"),
        ("items = [{ id = \"a\", model = \"digits\", sample = 999 }]", "no sample 999 of `digits`"),
        ("items = [{ id = \"a\", model = \"digits\", input = \"none.json\" }]", "none.json"),
        ("items = [{ id = \"a\", model = \"digits\", input_data = [] }]", "1, got 0"),
        ("items = [{ id = \"a b\", model = \"digits\", sample = 0 }]", "not an item id"),
        (&format!("items = [{digit}, {digit}]"), "two items are called `a`"),
        (
            "items = [{ id = \"a\", model = \"digits\", method = \"none\", sample = 0 }]",
            "not sold by method",
        ),
    ] {
        run(text).expect_told(2, told);
    }
    assert_eq!(shop.count("settled"), 0);
}
