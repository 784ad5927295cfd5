//! Giving money back: once, whatever ends the process.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::thread::sleep;
use std::time::Duration;

use assay_receipt::Bundle;
use serde_json::{Value, json};

use crate::support::{Devchain, Gateway, POOR_KEY, Place, Ran, Running, SELLER, mode, rpc};

/// What an inference costs, in atomic units.
const PRICE: u128 = 1_000;
/// `SIGABRT`, by which a failpoint ends the process.
const ABORTED: i32 = 6;

/// The failpoints of `assay refund`'s own.
pub(crate) const FAILPOINTS: [&str; 3] =
    ["cli.refund.before_broadcast", "cli.refund.after_broadcast", "cli.refund.before_record"];
/// Those that it passes on its way.
const PASSED: [&str; 6] = [
    "chain.append.before",
    "chain.append.after",
    "chain.broadcast.before",
    "chain.broadcast.after",
    "chain.close.before",
    "chain.close.after",
];

/// A gateway on a chain, and what was bought there with development account 2.
struct Sold {
    place: Place,
    chain: Devchain,
    shop: Gateway,
    id: String,
    buyer: String,
    /// What buyer and seller held before anything was given back.
    before: [u128; 2],
}

impl Sold {
    fn new() -> Self {
        let place = Place::new();
        let chain = Devchain::start(&place, &[]);
        let shop = Gateway::start(&place, &[("ASSAY_RPC_URL", &chain.url)]);
        let bought = place.buy(&shop.url, "bought.assay");
        let id = bought["report"]["transaction"].as_str().unwrap().to_owned();
        let buyer = chain.told["accounts"][2]["address"].as_str().unwrap().to_owned();
        let before = [chain.balance(&buyer), chain.balance(SELLER)];
        Self { place, chain, shop, id, buyer, before }
    }

    /// Gives back from the account that was paid.
    fn refund(&self, more: &[&str]) -> Ran {
        self.refund_with(&[], &[&["bought.assay", "--development-account", "1"], more].concat())
    }

    fn refund_with(&self, env: &[(&str, &str)], args: &[&str]) -> Ran {
        let all = [("ASSAY_RPC_URL", &*self.chain.url), ("ASSAY_GATEWAY", &*self.shop.url)];
        let all = [&all[..], env].concat();
        self.place.run_with(&all, &[&["refund"], args].concat())
    }

    /// Checks how much was given back in all.
    #[track_caller]
    fn gave_back(&self, amount: u128) {
        let now = [self.chain.balance(&self.buyer), self.chain.balance(SELLER)];
        assert_eq!(now, [self.before[0] + amount, self.before[1] - amount]);
    }

    /// Fetches the bundle and returns what it says of the payment.
    fn payment(&self) -> Value {
        let of = ["receipt", "fetch", &self.id, "--gateway", &self.shop.url];
        let out = ["--development-account", "2", "--out", "again.assay", "--force", "--json"];
        let fetched = self.place.run(&[&of[..], &out].concat()).expect(0).json();
        fetched["report"]["payment"].clone()
    }

    #[track_caller]
    fn has_records(&self, state: &str, refunded: u128) {
        let payment = self.payment();
        assert_eq!(payment["state"], state, "{payment}");
        assert_eq!(payment["settled"], PRICE.to_string(), "{payment}");
        assert_eq!(payment["refunded"], refunded.to_string(), "{payment}");
    }
}

#[test]
fn all_is_given_back_once() {
    let sold = Sold::new();
    let told = sold.refund(&["--json"]).expect(0).json();
    assert_eq!((&told["amount"], &told["refunded"]), (&json!("1000"), &json!("1000")));
    assert!(told["to"].as_str().unwrap().eq_ignore_ascii_case(&sold.buyer), "{told}");
    sold.gave_back(PRICE);
    sold.has_records("refunded", PRICE);
    let verified = sold.place.run(&["verify", "again.assay"]).expect(3).stdout;
    assert!(verified.contains("paid        0.001 devUSD"), "{verified}");
    assert!(verified.contains("refunded    0.001 devUSD of it"), "{verified}");
    assert!(verified.contains("paid with play money"), "{verified}");
    // The bundle of before verifies, too, and is as good to refund by as the new one.
    sold.place.run(&["verify", "bought.assay"]).expect(3);
    for receipt in ["bought.assay", "again.assay", &*sold.id] {
        let again = sold.refund_with(&[], &[receipt, "--development-account", "1"]);
        again.expect_told(2, "nothing more to refund: all 0.001 devUSD");
    }
    sold.gave_back(PRICE);
    let journal = sold.place.path(&format!("assay-data/refunds/{}.json", sold.id));
    assert_eq!(mode(&journal), 0o600);
    // Who does not know what was given back gives nothing.
    fs::write(&journal, "{").unwrap();
    sold.refund(&[]).expect_told(2, &format!("refunds/{}.json", sold.id));
    sold.gave_back(PRICE);
    assert_eq!(sold.shop.count("settled"), 1);
    sold.shop.stop();
}

#[test]
fn parts_are_given_back_up_to_the_whole() {
    let sold = Sold::new();
    for (amount, text) in [
        ("0.0011", "at most 0.001 devUSD that are left"),
        ("0", "more than 0"),
        ("0.0000001", "--amount: not exact"),
        ("-1", "--amount"),
    ] {
        sold.refund(&[&format!("--amount={amount}")]).expect_told(2, text);
    }
    sold.gave_back(0);
    let told = sold.refund(&["--amount", "0.0004"]).expect(0).stdout;
    assert!(told.contains("in all      0.0004 devUSD of 0.001 devUSD"), "{told}");
    sold.gave_back(400);
    sold.has_records("refunded", 400);
    sold.refund(&["--amount", "0.0007"]).expect_told(2, "at most 0.0006 devUSD that are left");
    sold.refund(&[]).expect(0);
    sold.gave_back(PRICE);
    sold.has_records("refunded", PRICE);
    sold.shop.stop();
}

#[test]
fn others_give_nothing_back() {
    let sold = Sold::new();
    sold.place.file("poor.key", POOR_KEY);
    let paid = SELLER.to_lowercase();
    let poor = [("ASSAY_REFUND_KEY", POOR_KEY)];
    for told in [
        sold.refund_with(&[], &["bought.assay", "--key-file", "poor.key"]),
        sold.refund_with(&poor, &["bought.assay"]),
        sold.refund_with(&[], &["bought.assay", "--development-account", "0"]),
    ] {
        let told = told.expect_told(2, "expected the key of ");
        assert!(told.stderr.to_lowercase().contains(&paid), "{told:#?}");
        assert!(told.stderr.contains("got that of 0x"), "{told:#?}");
    }
    sold.refund_with(&[], &["bought.assay"]).expect_told(2, "nobody gives back");
    sold.refund_with(&[], &["nothing.assay"]).expect_told(2, "there is no such file");
    let other = "01890a5d-ac96-774b-bcce-b302099a8057";
    sold.refund_with(&[], &[other]).expect_told(2, "there is no receipt");
    // Another operator's keys, and another chain.
    let account = format!("eip155:31337:{SELLER}");
    sold.place.run(&["key", "new", "--settlement", &account, "--folder", "others"]).expect(0);
    let others = [("ASSAY_KEYS", "others")];
    let own = ["bought.assay", "--development-account", "1"];
    sold.refund_with(&others, &own).expect_told(2, "cannot be refunded: receipt.operator");
    let network = [("ASSAY_NETWORK", "eip155:8453")];
    sold.refund_with(&network, &own).expect_told(2, "eip155:8453");
    sold.gave_back(0);
    sold.has_records("settled", 0);
    sold.shop.stop();
}

#[test]
fn what_is_not_settled_is_not_given_back() {
    let sold = Sold::new();
    let mut bundle =
        Bundle::from_bytes(&fs::read(sold.place.path("bought.assay")).unwrap()).unwrap();
    bundle.settlement_records.clear();
    sold.place.file("unsettled.assay", bundle.to_bytes().unwrap());
    let args = ["unsettled.assay", "--development-account", "1"];
    let nowhere = [("ASSAY_GATEWAY", "http://127.0.0.1:9")];
    sold.refund_with(&nowhere, &args).expect_told(2, "got one that is `authorized`");
    sold.gave_back(0);
    // The gateway knows better than the bundle.
    sold.refund_with(&[], &args).expect(0);
    sold.gave_back(PRICE);
    sold.shop.stop();
}

/// The account that is paid may be the one that settles: both sign, and no nonce is taken twice for
/// long.
#[test]
fn the_settling_account_gives_back_beside_its_settlements() {
    let place = Place::new();
    let chain = Devchain::start(&place, &[]);
    let settler = chain.told["accounts"][0]["address"].as_str().unwrap().to_owned();
    let env = [("ASSAY_RPC_URL", &*chain.url), ("ASSAY_PAY_TO", &*settler)];
    let shop = Gateway::start(&place, &env);
    let start = chain.balance(&settler);
    for name in ["one.assay", "two.assay"] {
        place.buy(&shop.url, name);
        let env = [("ASSAY_RPC_URL", &*chain.url), ("ASSAY_GATEWAY", &*shop.url)];
        place.run_with(&env, &["refund", name, "--development-account", "0"]).expect(0);
        assert_eq!(chain.balance(&settler), start);
    }
    place.buy(&shop.url, "three.assay");
    assert_eq!(chain.balance(&settler), start + PRICE);
    shop.stop();
}

/// The money moves though the gateway is away, and the record follows.
#[test]
fn a_record_is_handed_in_later() {
    let Sold { place, chain, shop, id, buyer, before } = Sold::new();
    shop.stop();
    let away = [("ASSAY_RPC_URL", &*chain.url), ("ASSAY_GATEWAY", "http://127.0.0.1:9")];
    let args = ["refund", "bought.assay", "--development-account", "1"];
    let told = place.run_with(&away, &args);
    let told = told.expect_told(1, "the gateway has no record of it yet");
    assert!(told.stderr.contains("0.001 devUSD were given back to"), "{told:#?}");
    place.run_with(&away, &args).expect_told(1, "the gateway has no record of it yet");
    let shop = Gateway::start(&place, &[("ASSAY_RPC_URL", &chain.url)]);
    let sold = Sold { place, chain, shop, id, buyer, before };
    sold.gave_back(PRICE);
    sold.has_records("settled", 0);
    sold.refund(&[]).expect_told(0, "is carried on; nothing new is signed");
    sold.gave_back(PRICE);
    sold.has_records("refunded", PRICE);
    sold.refund(&[]).expect_told(2, "nothing more to refund");
    // What is stored outlives the gateway.
    sold.shop.stop();
    let shop = Gateway::start(&sold.place, &[("ASSAY_RPC_URL", &sold.chain.url)]);
    let sold = Sold { shop, ..sold };
    sold.has_records("refunded", PRICE);
    sold.shop.stop();
}

#[test]
fn two_at_a_time_give_back_once() {
    let sold = Sold::new();
    rpc(&sold.chain.url, "dev_pause", &json!([]));
    let start = || {
        let args = ["refund", "bought.assay", "--development-account", "1"];
        let env = [("ASSAY_RPC_URL", &*sold.chain.url), ("ASSAY_GATEWAY", &*sold.shop.url)];
        Running::start(sold.place.command(&args).envs(env))
    };
    let mut first = start();
    first.wait_for("Giving back 0.001 devUSD");
    sold.refund(&[]).expect_told(1, "another refund is under way");
    first.stop("KILL");
    // Killed while it waited: the next one carries it on.
    let mut second = start();
    second.wait_for("is carried on");
    rpc(&sold.chain.url, "dev_resume", &json!([]));
    second.finish().expect(0);
    sold.gave_back(PRICE);
    sold.has_records("refunded", PRICE);
    sold.shop.stop();
}

/// What is stuck goes out again with higher fees, under the same nonce; one of both is mined.
#[test]
fn a_stuck_refund_is_replaced_and_gives_back_once() {
    let sold = Sold::new();
    rpc(&sold.chain.url, "dev_pause", &json!([]));
    let args = ["refund", "bought.assay", "--development-account", "1"];
    let env = [("ASSAY_RPC_URL", &*sold.chain.url), ("ASSAY_GATEWAY", &*sold.shop.url)];
    let mut refund = Running::start(sold.place.command(&args).envs(env));
    let journal = sold.place.path(&format!("assay-data/refunds/{}.json", sold.id));
    let versions = || {
        let text = fs::read(&journal).unwrap_or_default();
        let ledger: Value = serde_json::from_slice(&text).unwrap_or_default();
        ledger["refunds"][0]["versions"].as_array().map_or(0, Vec::len)
    };
    for _ in 0..300 {
        assert!(refund.is_running(), "{refund:?}");
        if versions() > 1 {
            break;
        }
        // A block without it.
        rpc(&sold.chain.url, "dev_mine", &json!([]));
        sleep(Duration::from_millis(200));
    }
    assert!(versions() > 1, "{refund:?}");
    rpc(&sold.chain.url, "dev_resume", &json!([]));
    refund.finish().expect(0);
    sold.gave_back(PRICE);
    sold.has_records("refunded", PRICE);
    sold.refund(&[]).expect_told(2, "nothing more to refund");
    sold.shop.stop();
}

#[test]
fn a_process_that_ends_anywhere_gives_back_once() {
    for name in FAILPOINTS.into_iter().chain(PASSED) {
        let sold = Sold::new();
        let armed = [("ASSAY_FAILPOINT", name)];
        let args = ["bought.assay", "--development-account", "1"];
        let ran = sold.refund_with(&armed, &args);
        // The last step is taken while it ends.
        let is_late = name.starts_with("chain.close");
        assert!(is_late || ran.status.signal() == Some(ABORTED), "{name}: {ran:#?}");
        let is_recorded = ran.status.success();
        let again = sold.refund(&[]);
        if is_recorded {
            again.expect_told(2, "nothing more to refund");
        } else {
            again.expect(0);
        }
        sold.gave_back(PRICE);
        sold.has_records("refunded", PRICE);
        sold.shop.stop();
        println!("{name:<30} gave back {PRICE}");
    }
}
