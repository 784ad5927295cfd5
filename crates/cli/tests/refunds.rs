//! Giving money back: once, whatever ends the process.

use std::collections::HashSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use assay_receipt::Bundle;
use serde_json::{Value, json};

use crate::support::{
    Asked, Devchain, Does, Gateway, POOR_KEY, Place, Proxy, Ran, Running, SELLER, mode, rpc,
};

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
        Self::over(|chain| chain.url.clone())
    }

    /// With the gateway on a line of its own to the chain.
    fn over(line: impl FnOnce(&Devchain) -> String) -> Self {
        let place = Place::new();
        let chain = Devchain::start(&place, &[]);
        let shop = Gateway::start(&place, &[("ASSAY_RPC_URL", &line(&chain))]);
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

    /// Waits until the chain shows that so much was given back.
    fn wait_for(&self, amount: u128) {
        for _ in 0..6_000 {
            if self.chain.balance(SELLER) == self.before[1] - amount {
                return;
            }
            sleep(Duration::from_millis(5));
        }
        panic!("{amount} were not given back");
    }

    /// Returns the refunds as they are stored.
    fn stored(&self) -> Vec<Value> {
        let path = self.place.path(&format!("assay-data/refunds/{}.json", self.id));
        let ledger: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        ledger["refunds"].as_array().unwrap().clone()
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
    fs::remove_file(sold.place.path("assay-data/refunds/lock")).unwrap();
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

/// What one of two nodes behind one URL does not know yet, and what it is asked.
#[derive(Clone, Copy, Debug)]
enum Behind {
    /// The block that makes the transfer deep enough: asked for the latest block, once the other has
    /// told of it. A reorganisation of that block looks the same.
    Depth,
    /// The transfer's block: asked for receipts.
    Receipt,
    /// The transfer's block: asked for receipts and blocks.
    Block,
    /// The transfer's block: asked every third question.
    InTurn,
}

/// Two nodes behind one URL, of which one falls behind when a transfer is sent. The chain grows when
/// it is looked at.
struct TwoNodes {
    node: String,
    confirmations: u64,
    behind: Behind,
    /// The transfers, and the block of the last.
    sent: HashSet<String>,
    block: Option<u64>,
    was_deep: bool,
    asked: u64,
}

impl TwoNodes {
    fn does(&mut self, asked: &Asked) -> Does {
        let (method, params) = (asked.method(), asked.json()["params"].clone());
        if method == "eth_sendRawTransaction" && self.sent.insert(params.to_string()) {
            let sent = rpc(&self.node, &method, &params);
            let receipt = rpc(&self.node, "eth_getTransactionReceipt", &json!([sent]));
            (self.block, self.was_deep) = (Some(number(&receipt["blockNumber"])), false);
            return answer(&json!({ "result": sent }));
        }
        let Some(block) = self.block else { return Does::Pass };
        self.asked += 1;
        let (is_latest, deep) = (params[0] == "latest", block + self.confirmations - 1);
        let is_receipt = method == "eth_getTransactionReceipt";
        let is_block = method == "eth_getBlockByNumber";
        let height = match self.behind {
            Behind::Depth if is_block && is_latest && self.was_deep => deep - 1,
            Behind::Receipt if is_receipt => block - 1,
            Behind::Block if is_receipt || is_block => block - 1,
            Behind::InTurn if self.asked.is_multiple_of(3) => block - 1,
            _ => {
                if is_block && is_latest {
                    let height = number(&rpc(&self.node, "dev_mine", &json!([])));
                    self.was_deep |= height >= deep;
                }
                return Does::Pass;
            }
        };
        self.behind_at(height, &method, &params)
    }

    /// Answers as a node that knows no block after a height.
    fn behind_at(&self, height: u64, method: &str, params: &Value) -> Does {
        let known = |params: &Value| rpc(&self.node, method, params);
        let at = |block: &Value| {
            block.as_str().filter(|text| text.starts_with("0x")).map(|_| number(block))
        };
        let height_told = format!("{height:#x}");
        let result = match method {
            "eth_getTransactionReceipt" => {
                let found = known(params);
                let is_old =
                    found["blockNumber"].is_string() && number(&found["blockNumber"]) <= height;
                if is_old { found } else { Value::Null }
            }
            "eth_getBlockByNumber" => match at(&params[0]) {
                Some(block) if block > height => Value::Null,
                Some(_) => return Does::Pass,
                None => known(&json!([height_told, false])),
            },
            "eth_getTransactionCount" => match at(&params[1]) {
                Some(block) if block > height => {
                    return answer(
                        &json!({ "error": { "code": -32000, "message": "header not found" } }),
                    );
                }
                Some(_) => return Does::Pass,
                None => known(&json!([params[0], height_told])),
            },
            _ => return Does::Pass,
        };
        answer(&json!({ "result": result }))
    }
}

fn answer(told: &Value) -> Does {
    let mut told = told.clone();
    told["jsonrpc"] = json!("2.0");
    told["id"] = json!(1);
    Does::Say(200, told.to_string())
}

fn number(quantity: &Value) -> u64 {
    u64::from_str_radix(quantity.as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap()
}

/// What counts as undone on the word of a node that is behind would be paid a second time.
fn gives_back_once_behind(behind: Behind, confirmations: u64) {
    let sold = Sold::new();
    let line = Proxy::to(&sold.chain.url);
    let nodes = Mutex::new(TwoNodes {
        node: sold.chain.url.clone(),
        confirmations,
        behind,
        sent: HashSet::new(),
        block: None,
        was_deep: false,
        asked: 0,
    });
    line.does(move |asked| nodes.lock().unwrap().does(asked));
    let depth = confirmations.to_string();
    let env = [("ASSAY_RPC_URL", &*line.url), ("ASSAY_CONFIRMATIONS", &*depth)];
    let args = ["bought.assay", "--development-account", "1"];
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(sold.refund_with(&env, &args));
        // The transfer is in the chain from the first time on.
        sold.gave_back(PRICE);
    }
    line.mend();
    rpc(&sold.chain.url, "dev_mine", &json!([format!("{confirmations:#x}")]));
    told.push(sold.refund_with(&env, &args));
    sold.gave_back(PRICE);
    sold.has_records("refunded", PRICE);
    sold.refund_with(&env, &args).expect_told(2, "nothing more to refund");
    sold.gave_back(PRICE);
    assert!(told.iter().all(|ran| !ran.stderr.contains("nothing was given back")), "{told:#?}");
    sold.shop.stop();
    let ends: Vec<_> = told.iter().map(|ran| ran.status.code().unwrap()).collect();
    println!("{behind:<8?} {confirmations} confirmations: ended {ends:?}, gave back {PRICE}");
}

#[test]
fn a_node_that_is_behind_gives_back_once() {
    for (behind, confirmations) in [
        (Behind::Depth, 2),
        (Behind::Depth, 3),
        (Behind::Receipt, 1),
        (Behind::Receipt, 3),
        (Behind::Block, 1),
        (Behind::Block, 3),
        (Behind::InTurn, 1),
        (Behind::InTurn, 3),
    ] {
        gives_back_once_behind(behind, confirmations);
    }
}

/// A chain that can be reorganised: what goes over the line is sent to another chain again, as far as
/// the test says, and the line leads there.
struct Fork {
    line: Proxy,
    /// Every transaction that went over the line.
    sent: Arc<Mutex<Vec<Value>>>,
}

impl Fork {
    fn sold() -> (Self, Sold) {
        let mut line = None;
        let sold = Sold::over(|chain| {
            let fork = Self { line: Proxy::to(&chain.url), sent: Arc::default() };
            fork.passes();
            line.insert(fork).line.url.clone()
        });
        (line.unwrap(), sold)
    }

    /// Passes everything on, and remembers the transactions.
    fn passes(&self) {
        let sent = self.sent.clone();
        self.line.does(move |asked| {
            if asked.method() == "eth_sendRawTransaction" {
                sent.lock().unwrap().push(asked.json()["params"].clone());
            }
            Does::Pass
        });
    }

    /// Takes the chain back to its first `kept` transactions, and makes it longer than it was.
    fn reorganise(&self, sold: Sold, kept: usize) -> Sold {
        let chain = Devchain::start(&sold.place, &[]);
        for sent in &self.sent.lock().unwrap()[..kept] {
            rpc(&chain.url, "eth_sendRawTransaction", sent);
        }
        rpc(&chain.url, "dev_mine", &json!([format!("{:#x}", sold.chain.height())]));
        self.line.now_to(&chain.url);
        Sold { chain, ..sold }
    }
}

/// The name of a gateway that is away.
const AWAY: &str = "http://127.0.0.1:9";

/// What was in the chain and is not any more goes out again as it was signed.
#[test]
fn a_reorganisation_between_two_runs_gives_back_once() {
    let (fork, mut sold) = Fork::sold();
    sold.shop.process.signal("KILL");
    let settled = fork.sent.lock().unwrap().len();
    let start = |sold: &Sold, confirmations: &str| {
        let env = [("ASSAY_RPC_URL", &*fork.line.url), ("ASSAY_GATEWAY", AWAY)];
        let args = ["refund", "bought.assay", "--development-account", "1"];
        let mut command = sold.place.command(&args);
        Running::start(command.envs(env).env("ASSAY_CONFIRMATIONS", confirmations))
    };
    let unrecorded = "the gateway has no record of it yet";
    // In a block, as deep as asked, and out of the chain again; twice.
    for _ in 0..2 {
        start(&sold, "1").finish().expect_told(1, unrecorded);
        sold.gave_back(PRICE);
        assert_eq!(sold.stored()[0]["state"]["is"], "mined");
        sold = fork.reorganise(sold, settled);
        sold.gave_back(0);
    }
    // In a block that is not deep enough, and out of the chain again.
    let killed = start(&sold, "3");
    sold.wait_for(PRICE);
    killed.stop("KILL");
    sold = fork.reorganise(sold, settled);
    sold.gave_back(0);
    let last = start(&sold, "3");
    sold.wait_for(PRICE);
    rpc(&sold.chain.url, "dev_mine", &json!(["0x2"]));
    last.finish().expect_told(1, unrecorded);
    sold.gave_back(PRICE);
    let stored = sold.stored();
    assert_eq!(stored.len(), 1, "{stored:#?}");
    assert_eq!(stored[0]["versions"].as_array().unwrap().len(), 1, "{stored:#?}");
}

/// A refund that never went out, and another machine's refund of another receipt in its place, after
/// so many settlements.
fn taken() -> (Fork, Sold, usize) {
    let (fork, mut sold) = Fork::sold();
    sold.place.buy(&sold.shop.url, "second.assay");
    sold.before = [sold.chain.balance(&sold.buyer), sold.chain.balance(SELLER)];
    let settled = fork.sent.lock().unwrap().len();
    let env = [("ASSAY_RPC_URL", &*fork.line.url), ("ASSAY_GATEWAY", &*sold.shop.url)];
    fork.line.does(|asked| match asked.method().as_str() {
        "eth_sendRawTransaction" => Does::Drop,
        _ => Does::Pass,
    });
    let args = ["refund", "bought.assay", "--development-account", "1"];
    let first = Running::start(sold.place.command(&args).envs(env));
    fork.line.wait_for_hits(1);
    first.stop("KILL");
    fork.passes();
    assert_eq!(fork.sent.lock().unwrap().len(), settled);
    let other = [env[0], env[1], ("ASSAY_DATA", "others"), ("ASSAY_KEYS", "assay-data/keys")];
    let args = ["refund", "second.assay", "--development-account", "1"];
    sold.place.run_with(&other, &args).expect(0);
    sold.gave_back(PRICE);
    (fork, sold, settled)
}

/// That nothing was given back takes a block that shows it.
#[test]
fn a_nonce_that_another_took_is_shown_by_its_block() {
    let (fork, sold, _) = taken();
    let env = [("ASSAY_RPC_URL", &*fork.line.url)];
    let args = ["bought.assay", "--development-account", "1"];
    // A node that keeps no old states cannot show it.
    fork.line.does(|asked| {
        let is_count = asked.method() == "eth_getTransactionCount";
        match asked.json()["params"][1].as_str() {
            Some(block) if is_count && block.starts_with("0x") => {
                answer(&json!({ "error": { "code": -32000, "message": "missing trie node" } }))
            }
            _ => Does::Pass,
        }
    });
    for _ in 0..2 {
        let told = sold.refund_with(&env, &args).expect_told(1, "missing trie node");
        assert!(told.stderr.contains("nothing new is signed"), "{told:#?}");
    }
    fork.passes();
    let told = sold.refund_with(&env, &args);
    told.expect_told(1, "another transaction of the account took its nonce");
    assert_eq!(sold.stored()[0]["state"]["is"], "undone");
    let told = sold.refund_with(&env, &args).expect(0);
    assert!(!told.stderr.contains("is carried on"), "{told:#?}");
    sold.gave_back(2 * PRICE);
    sold.has_records("refunded", PRICE);
    sold.refund_with(&env, &args).expect_told(2, "nothing more to refund");
    assert_eq!(sold.stored().len(), 2);
    sold.shop.stop();
}

/// When the block that took the nonce leaves the chain, the refund is as good as before.
#[test]
fn a_nonce_that_comes_back_is_the_refunds_again() {
    let (fork, sold, settled) = taken();
    let env = [("ASSAY_RPC_URL", &*fork.line.url), ("ASSAY_GATEWAY", AWAY)];
    let args = ["bought.assay", "--development-account", "1"];
    let told = sold.refund_with(&env, &args);
    told.expect_told(1, "another transaction of the account took its nonce");
    sold.shop.process.signal("KILL");
    let sold = fork.reorganise(sold, settled);
    sold.gave_back(0);
    let told = sold.refund_with(&env, &args).expect_told(1, "is carried on; nothing new is signed");
    assert!(told.stderr.contains("the gateway has no record of it yet"), "{told:#?}");
    sold.gave_back(PRICE);
    assert_eq!(sold.stored().len(), 1);
}
