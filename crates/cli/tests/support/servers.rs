use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::{ANY, Place, Ran, Running, get, rpc};

/// Variables for `assay serve`.
pub(crate) type ServeEnv<'a> = [(&'a str, &'a str)];

/// A running `assay serve`.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) process: Running,
    pub(crate) told: Value,
    pub(crate) url: String,
}

/// A running `assay devchain`.
#[derive(Debug)]
pub(crate) struct Devchain {
    pub(crate) process: Running,
    pub(crate) told: Value,
    pub(crate) url: String,
}

/// A running `assay facilitator`.
#[derive(Debug)]
pub(crate) struct Facilitator {
    pub(crate) process: Running,
    pub(crate) told: Value,
    pub(crate) url: String,
}

impl Gateway {
    /// Starts a gateway in a place, on free ports; its data are in `assay-data`.
    pub(crate) fn start(place: &Place, env: &ServeEnv) -> Self {
        let mut process = Running::start(&mut Self::command(place, env, &["serve", "--json"]));
        let told = process.first_json();
        let url = told["gateway"].as_str();
        let url = url.unwrap_or_else(|| panic!("{told}: {process:?}")).to_owned();
        Self { process, told, url }
    }

    /// Returns its figures, a line each.
    fn metrics(&self) -> String {
        String::from_utf8(get(&self.url, "/metrics").1).unwrap()
    }

    /// Returns the number of transactions in a state.
    pub(crate) fn count(&self, state: &str) -> u128 {
        let start = format!("assay_transactions{{state=\"{state}\"}} ");
        let metrics = self.metrics();
        let count = metrics.lines().find_map(|line| line.strip_prefix(&start));
        count.unwrap_or_else(|| panic!("no {start}: {metrics}")).parse().unwrap()
    }

    /// Waits for a line of its figures, which it comes to in the background.
    pub(crate) fn wait_for_metric(&self, line: &str) {
        for _ in 0..3_000 {
            if self.metrics().lines().any(|found| found == line) {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("{line} never came: {}\n{self:?}", self.metrics());
    }

    /// Waits until no transaction has a step before it.
    pub(crate) fn wait_for_ends(&self) {
        for state in ["reserved", "committed", "failing"] {
            self.wait_for_metric(&format!("assay_transactions{{state=\"{state}\"}} 0"));
        }
    }

    /// Makes the command that starts a gateway on free ports.
    pub(crate) fn command(place: &Place, env: &ServeEnv, args: &[&str]) -> Command {
        let mut command = place.command(args);
        command.envs([("ASSAY_LISTEN", ANY), ("ASSAY_DEVCHAIN_LISTEN", ANY)]);
        // A process more, for the tests that are about it.
        command.env("ASSAY_TEE_ATTESTER", "none");
        // Nothing here loses power.
        command.env("ASSAY_DURABILITY", "normal").envs(env.iter().copied());
        command
    }

    /// Stops it as a service manager does, and asserts that it ends well.
    pub(crate) fn stop(self) -> Ran {
        self.process.stop("TERM").expect(0)
    }
}

impl Devchain {
    pub(crate) fn start(place: &Place, more: &[&str]) -> Self {
        let args = [&["devchain", "--json", "--listen", ANY], more].concat();
        let mut process = Running::start(&mut place.command(&args));
        let told = process.first_json();
        let url = told["rpcUrl"].as_str().unwrap().to_owned();
        Self { process, told, url }
    }

    /// Returns what an account holds of the development token, in atomic units.
    pub(crate) fn balance(&self, account: &str) -> u128 {
        let holder = account.strip_prefix("0x").unwrap().to_lowercase();
        // balanceOf(address)
        let call = json!({ "to": self.told["token"], "data": format!("0x70a08231{holder:0>64}") });
        hex(&rpc(&self.url, "eth_call", &json!([call, "latest"])))
    }

    /// Returns the height of the chain.
    pub(crate) fn height(&self) -> u128 {
        hex(&rpc(&self.url, "eth_blockNumber", &json!([])))
    }
}

impl Facilitator {
    pub(crate) fn start(place: &Place, chain: &Devchain, more: &[&str]) -> Self {
        let token = chain.told["token"].as_str().unwrap();
        let args = [
            &["facilitator", "--json", "--listen", ANY, "--rpc-url", &chain.url][..],
            &["--asset", token, "--development-account", "0"],
            more,
        ];
        let mut process = Running::start(&mut place.command(&args.concat()));
        let told = process.first_json();
        let url = told["facilitator"].as_str().unwrap().to_owned();
        Self { process, told, url }
    }
}

/// Starts a purchase whose settlement is sent and not mined, and returns who waits for it.
pub(crate) fn paused_purchase(place: &Place, chain: &Devchain, shop: &Gateway) -> Running {
    rpc(&chain.url, "dev_pause", &json!([]));
    let buyer = place.order(&shop.url, &["--json", "--out", "paused.assay"]);
    let settler = chain.told["accounts"][0]["address"].clone();
    let sent = || rpc(&chain.url, "eth_getTransactionCount", &json!([settler, "pending"]));
    for _ in 0..6_000 {
        if sent() == "0x1" {
            return buyer;
        }
        sleep(Duration::from_millis(5));
    }
    panic!("no settlement was sent: {buyer:?}");
}

fn hex(quantity: &Value) -> u128 {
    u128::from_str_radix(quantity.as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap()
}
