//! The binary is ended at each of its failpoints while somebody buys, and started again: then either
//! there is a settled receipt and the buyer was charged once, or the buyer was not charged.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::support::{Devchain, Gateway, Place, Running, SELLER, features, of_each, rpc};

/// What an inference costs, in atomic units.
const PRICE: u128 = 1_000;
/// What [`transaction`] costs: two signed items and one that is proven.
const TRANSACTION_PRICE: u128 = 7_000;
/// `SIGABRT`, by which a failpoint ends the process.
const ABORTED: i32 = 6;

/// A failpoint, and what the buyer ends with when the process ends there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The failpoints, one for each start of the gateway before the last.
    failpoints: Vec<String>,
    settled: u128,
    /// Whether blocks go by without the settlement.
    #[serde(default, rename = "stuck")]
    is_stuck: bool,
}

/// Returns the cases, which `interop/node` runs on another chain. The buyer keeps the access token, so
/// what was left is run by the next process: he is charged once and has his receipt, unless nothing
/// was stored, or the job ends its process each time.
fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("faults.json")).unwrap()
}

/// Returns every failpoint of the sources.
fn failpoints(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            failpoints(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names =
                text.split("failpoint!(\"").skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn every_failpoint_has_a_case() {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap() {
        let sources = entry.unwrap().path().join("src");
        if sources.is_dir() {
            failpoints(&sources, &mut found);
        }
    }
    let sales = cases().into_iter().flat_map(|case| case.failpoints);
    let refunds = crate::refunds::FAILPOINTS.iter().map(|name| (*name).to_owned());
    assert_eq!(found, sales.chain(refunds).collect());
}

#[test]
fn a_process_that_ends_anywhere_charges_once_or_not_at_all() {
    println!("{:<50} settled  charged", "the process ends at");
    for case in &cases() {
        let charged = run(case, PRICE, |place, url, _| place.order(url, &[]));
        println!("{:<50} {:>7} {charged:>8}", case.failpoints.join(", "), case.settled);
    }
}

/// A signed item, one built of its output, and one that is proven.
fn transaction(place: &Place, url: &str, _: &str) -> Running {
    let data = features(&[(0, "first", "/outputs/0/data/4")], |index| format!("{index}.5"));
    let file = place.file(
        "transaction.toml",
        format!(
            r#"
            items = [
                {{ id = "first", model = "digits", sample = 0 }},
                {{ id = "second", model = "tumour", input_data = [[{data}]] }},
                {{ id = "third", model = "digits", method = "zkml", sample = 1 }},
            ]
            "#
        ),
    );
    let buy = ["buy", &file, "--gateway", url, "--development-account", "2"];
    Running::start(&mut place.command(&buy))
}

/// What [`each`] costs: two signed items, without one whose input turns out to be none.
const EACH_PRICE: u128 = 2_000;

/// Two signed items, and one whose input turns out to be none: it is not charged.
fn each(place: &Place, url: &str, rpc_url: &str) -> Running {
    let file = of_each(place, r#"{ id = "third", model = "digits", sample = 1 }"#);
    let buy = ["buy", &file, "--gateway", url, "--development-account", "2"];
    Running::start(place.command(&buy).args(["--rpc-url", rpc_url]))
}

/// Also between any two items: it finishes as a whole, or is not charged; and under `each` what failed never is.
#[test]
fn a_process_that_ends_within_a_transaction_charges_all_of_it_or_nothing() {
    let settles = [
        "service.reserve.after",
        "service.item.after:1",
        "service.item.after:2",
        "service.item.after:3",
        "service.certify.after",
        "service.commit.before",
        "service.commit.after",
        "chain.broadcast.after",
        "service.record.before",
    ];
    let case = |failpoints: &[&str], settled| Case {
        failpoints: failpoints.iter().map(|&name| name.to_owned()).collect(),
        settled,
        is_stuck: false,
    };
    let mut cases: Vec<Case> = settles.iter().map(|name| case(&[name], 1)).collect();
    cases.push(case(&["service.reserve.before"], 0));
    cases.push(case(&[&["service.item.after:2"; 3][..], &["service.release.before"]].concat(), 0));
    println!("{:<50} settled  charged", "the process ends at");
    for case in &cases {
        let charged = run(case, TRANSACTION_PRICE, transaction);
        let of_each = run(case, EACH_PRICE, each);
        let (name, settled) = (case.failpoints.join(", "), case.settled);
        println!("{name:<50} {settled:>7} {charged:>8} {of_each:>8}");
    }
}

/// Blocks that hold no transaction, until this is dropped.
struct BlocksWithout {
    stop: mpsc::Sender<()>,
    blocks: Option<JoinHandle<()>>,
}

impl BlocksWithout {
    fn start(url: &str, are_made: bool) -> Self {
        let (stop, stopped) = mpsc::channel();
        let url = url.to_owned();
        let blocks = are_made.then(|| {
            spawn(move || {
                while stopped.recv_timeout(Duration::from_millis(200)).is_err() {
                    rpc(&url, "dev_mine", &json!([]));
                }
            })
        });
        Self { stop, blocks }
    }
}

impl Drop for BlocksWithout {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(blocks) = self.blocks.take() {
            blocks.join().unwrap();
        }
    }
}

/// Runs a case with a purchase at a price, and returns what the buyer was charged.
fn run(case: &Case, price: u128, order: fn(&Place, &str, &str) -> Running) -> u128 {
    let place = Place::new();
    let chain = Devchain::start(&place, &[]);
    let buyer = chain.told["accounts"][2]["address"].as_str().unwrap().to_owned();
    let before = [chain.balance(&buyer), chain.balance(SELLER)];
    let rpc_url = ("ASSAY_RPC_URL", chain.url.as_str());

    for (index, name) in case.failpoints.iter().enumerate() {
        let armed = [rpc_url, ("ASSAY_FAILPOINT", name)];
        if index > 0 {
            // It ends while it takes up what the one before left.
            let ran = Running::start(&mut Gateway::command(&place, &armed, &["serve"])).finish();
            assert_eq!(ran.status.signal(), Some(ABORTED), "{name}: {ran:#?}");
            continue;
        }
        let shop = Gateway::start(&place, &armed);
        if case.is_stuck {
            rpc(&chain.url, "dev_pause", &json!([]));
        }
        let order = order(&place, &shop.url, &chain.url);
        let blocks = BlocksWithout::start(&chain.url, case.is_stuck);
        let ran = shop.process.finish();
        drop(blocks);
        assert_eq!(ran.status.signal(), Some(ABORTED), "{name}: {ran:#?}");
        order.stop("TERM");
    }

    if case.is_stuck {
        rpc(&chain.url, "dev_resume", &json!([]));
    }
    let shop = Gateway::start(&place, &[rpc_url]);
    shop.wait_for_ends();
    let after = [chain.balance(&buyer), chain.balance(SELLER)];
    let (charged, paid) = (before[0] - after[0], after[1] - before[1]);
    let told = &case.failpoints;
    assert_eq!(shop.count("settled"), case.settled, "{told:?}");
    assert_eq!([charged, paid], [price * case.settled; 2], "{told:?}");
    // Nothing is in the way of the next purchase.
    place.buy(&shop.url, "next.assay");
    assert_eq!(chain.balance(&buyer), after[0] - PRICE, "{told:?}");
    shop.stop();
    charged
}
