//! Faults of what the binary talks to: in the end either there is a settled receipt and the buyer was
//! charged once, by the token's logs, or the buyer was not charged.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Asked, Devchain, Does, Facilitator, Gateway, Proxy, Running, SELLER, Scene, paused_purchase,
    rpc,
};

/// What a node says that has a defect.
fn defect(status: u16, text: &str) -> Does {
    Does::Say(status, text.to_owned())
}

const REFUSES: &str =
    r#"{"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "internal error"}}"#;
const NONSENSE: &str = "<html>somebody else";

/// A fault of the chain from the first question of a payment on, or from the settlement on.
fn chain_fault(told: &str, does: Does, at_settlement: bool, settled: u128) {
    let scene = Scene::open();
    let line = Proxy::to(&scene.chain.url);
    let shop = Gateway::start(&scene.place, &[("ASSAY_RPC_URL", &line.url)]);
    let (has_begun, slow) = (AtomicBool::new(!at_settlement), matches!(does, Does::Late(_)));
    line.does(move |asked| {
        if asked.method() == "eth_sendRawTransaction" {
            has_begun.store(true, Ordering::SeqCst);
        }
        if has_begun.load(Ordering::SeqCst) { does.clone() } else { Does::Pass }
    });
    let order = scene.place.order(&shop.url, &[]);
    line.wait_for_hits(3);
    if settled == 0 {
        order.finish().expect(1);
        line.mend();
    } else if slow {
        order.finish().expect(0);
        line.mend();
    } else {
        line.mend();
        order.finish().expect(0);
    }
    let when = if at_settlement { "at the settlement" } else { "when a payment is checked" };
    scene.ends(&shop, &format!("chain {told} {when}"), settled);
    shop.stop();
}

#[test]
fn a_chain_with_faults_charges_once_or_not_at_all() {
    Scene::table("fault of the chain");
    chain_fault("is away", Does::Drop, false, 0);
    chain_fault("is away", Does::Drop, true, 1);
    chain_fault("loses answers", Does::LoseAnswer, false, 0);
    chain_fault("loses answers", Does::LoseAnswer, true, 1);
    chain_fault("answers errors", defect(200, REFUSES), false, 0);
    chain_fault("answers errors", defect(200, REFUSES), true, 1);
    chain_fault("answers 500", defect(500, ""), true, 1);
    chain_fault("answers nonsense", defect(200, NONSENSE), false, 0);
    chain_fault("answers nonsense", defect(200, NONSENSE), true, 1);
    chain_fault("is 2 s late", Does::Late(Duration::from_secs(2)), false, 1);
}

/// The node is put before another chain while a settlement is open: nothing starts there, and nothing
/// that it says counts.
#[test]
fn another_chain_after_a_restart_is_refused() {
    let scene = Scene::open();
    let line = Proxy::to(&scene.chain.url);
    let env = [("ASSAY_RPC_URL", line.url.as_str()), ("ASSAY_NETWORK", "eip155:31337")];
    let shop = Gateway::start(&scene.place, &env);
    let order = paused_purchase(&scene.place, &scene.chain, &shop);
    shop.process.stop("KILL");
    order.stop("TERM");
    line.does(|asked| match asked.method().as_str() {
        "eth_chainId" => Does::Say(200, json!({ "id": 1, "result": "0x2105" }).to_string()),
        _ => Does::Pass,
    });
    let mut serve = Gateway::command(&scene.place, &env, &["serve"]);
    let told = "wrong chain behind the RPC URL: expected eip155:31337, got eip155:8453";
    let ran = Running::start(&mut serve).finish();
    assert!(ran.stderr.contains(told) && !ran.status.success(), "{ran:#?}");
    line.mend();
    rpc(&scene.chain.url, "dev_resume", &json!([]));
    let shop = Gateway::start(&scene.place, &env);
    Scene::table("fault of the chain");
    scene.ends(&shop, "chain is another after a restart", 1);
}

/// A node that has fallen behind: it takes transactions, and knows no block after a height. What it
/// answered before it answers still.
#[derive(Default)]
struct Behind {
    height: Option<u64>,
    answers: HashMap<String, String>,
}

impl Behind {
    fn does(&mut self, asked: &Asked, node: &str) -> Does {
        let (method, params) = (asked.method(), &asked.json()["params"]);
        let Some(height) = self.height else {
            if method.starts_with("eth_get") || method == "eth_call" {
                let said = json!({ "id": 1, "result": rpc(node, &method, params) }).to_string();
                self.answers.insert(format!("{method} {params}"), said);
            }
            return Does::Pass;
        };
        let result = match method.as_str() {
            "eth_getTransactionReceipt" => {
                let receipt = rpc(node, &method, params);
                let is_old = number(&receipt["blockNumber"]).is_some_and(|block| block <= height);
                if is_old { receipt } else { Value::Null }
            }
            "eth_getBlockByNumber" => match number(&params[0]) {
                Some(block) if block > height => Value::Null,
                Some(_) => return Does::Pass,
                None => rpc(node, &method, &json!([format!("{height:#x}"), false])),
            },
            _ => match self.answers.get(&format!("{method} {params}")) {
                Some(said) => return Does::Say(200, said.clone()),
                None => return Does::Pass,
            },
        };
        Does::Say(200, json!({ "id": 1, "result": result }).to_string())
    }
}

fn number(hex: &Value) -> Option<u64> {
    u64::from_str_radix(hex.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// A node behind says neither that a settlement was lost nor that there is none.
#[test]
fn a_node_that_falls_behind_takes_nothing_back() {
    let scene = Scene::open();
    let (node, behind) = (scene.chain.url.clone(), Arc::new(Mutex::new(Behind::default())));
    let line = Proxy::to(&node);
    let shop = Gateway::start(&scene.place, &[("ASSAY_RPC_URL", &line.url)]);
    let shared = behind.clone();
    line.does(move |asked| shared.lock().unwrap().does(asked, &node));
    scene.place.buy(&shop.url, "first.assay");
    // The block of the settlement is not there yet.
    behind.lock().unwrap().height = Some(0);
    line.does({
        let (node, behind) = (scene.chain.url.clone(), behind.clone());
        move |asked| behind.lock().unwrap().does(asked, &node)
    });
    // The latest settlements are looked after meanwhile: more than once.
    let order = scene.place.order(&shop.url, &[]);
    line.wait_for_hits(40);
    shop.wait_for_metric("assay_transactions{state=\"committed\"} 1");
    assert_eq!((shop.count("settled"), shop.count("reorged"), scene.payments()), (1, 0, 2));
    behind.lock().unwrap().height = None;
    order.finish().expect(0);
    Scene::table("fault of the chain");
    scene.ends(&shop, "node falls behind", 2);
    shop.stop();
}

/// What a facilitator says of a settlement that it carried out, or did not.
fn said(success: bool, reason: &str) -> String {
    json!({
        "success": success,
        "errorReason": if success { Value::Null } else { json!(reason) },
        "transaction": if success { format!("0x{}", "07".repeat(32)) } else { String::new() },
        "network": "eip155:31337",
    })
    .to_string()
}

fn facilitator_fault(told: &str, at: &'static str, does: Does, settled: u128) {
    let scene = Scene::open();
    let facilitator = Facilitator::start(&scene.place, &scene.chain, &["--pay-to", SELLER]);
    let line = Proxy::to(&facilitator.url);
    let env = [("ASSAY_RPC_URL", &*scene.chain.url), ("ASSAY_FACILITATOR_URL", &*line.url)];
    let shop = Gateway::start(&scene.place, &env);
    line.does(move |asked| if asked.path().ends_with(at) { does.clone() } else { Does::Pass });
    let order = scene.place.order(&shop.url, &[]);
    line.wait_for_hits(1);
    if settled == 0 {
        order.finish().expect(1);
        line.mend();
    } else {
        line.mend();
        order.finish().expect(0);
    }
    scene.ends(&shop, &format!("facilitator {told}"), settled);
    shop.stop();
}

#[test]
fn a_facilitator_with_faults_charges_once_or_not_at_all() {
    Scene::table("fault of the facilitator");
    facilitator_fault("is away when a payment is checked", "/verify", Does::Drop, 0);
    facilitator_fault("is away at the settlement", "/settle", Does::Drop, 1);
    let lie = Does::Say(200, said(true, ""));
    facilitator_fault("says it settled, and did not", "/settle", lie, 1);
    let lie = Does::SayInstead(200, said(false, "invalid_exact_evm_insufficient_balance"));
    facilitator_fault("settles, and says it failed", "/settle", lie, 1);
    facilitator_fault("settles, and its answer is lost", "/settle", Does::LoseAnswer, 1);
    let defect = Does::SayInstead(500, String::new());
    facilitator_fault("settles, and answers 500", "/settle", defect, 1);
    let defect = Does::SayInstead(200, NONSENSE.to_owned());
    facilitator_fault("settles, and answers nonsense", "/settle", defect, 1);
}

/// A buyer who goes away at a stage of the purchase.
fn client_gone(told: &str, does: Does, pays: bool, settled: u128) {
    let scene = Scene::open();
    let shop = Gateway::start(&scene.place, &[("ASSAY_RPC_URL", &scene.chain.url)]);
    let line = Proxy::to(&shop.url);
    let waits = matches!(does, Does::Leave);
    line.does(move |asked| {
        let is_it = asked.path().ends_with("/infer") && asked.pays() == pays;
        if is_it { does.clone() } else { Does::Pass }
    });
    if waits {
        rpc(&scene.chain.url, "dev_pause", &json!([]));
    }
    let order = scene.place.order(&line.url, &[]);
    line.wait_for_hits(1);
    if waits {
        shop.wait_for_metric("assay_transactions{state=\"committed\"} 1");
        line.leave();
        order.stop("KILL");
        rpc(&scene.chain.url, "dev_resume", &json!([]));
    } else {
        // It may find its result by itself, or say that it did not come.
        order.finish();
    }
    scene.ends(&shop, &format!("client {told}"), settled);
    shop.stop();
}

#[test]
fn a_client_that_goes_away_is_charged_once_or_not_at_all() {
    Scene::table("fault of the client");
    client_gone("goes before it is told the price", Does::LoseAnswer, false, 0);
    client_gone("goes in the middle of its paid request", Does::Half, true, 0);
    client_gone("goes while the settlement is under way", Does::Leave, true, 1);
    client_gone("goes before it has its answer", Does::LoseAnswer, true, 1);
}

/// The chain ends between broadcast and block, and comes back with what it had stored.
#[test]
fn a_chain_that_is_killed_charges_once() {
    let scene = Scene::open();
    let data = ["--data", "kept"];
    let chain = Devchain::start(&scene.place, &data);
    let line = Proxy::to(&chain.url);
    let shop = Gateway::start(&scene.place, &[("ASSAY_RPC_URL", &line.url)]);
    let order = paused_purchase(&scene.place, &chain, &shop);
    chain.process.stop("KILL");
    let chain = Devchain::start(&scene.place, &data);
    line.now_to(&chain.url);
    order.finish().expect(0);
    let scene = Scene { chain, ..scene };
    Scene::table("fault of the chain");
    scene.ends(&shop, "chain is killed with the settlement in its pool", 1);
}
