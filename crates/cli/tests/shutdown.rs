use std::net::TcpListener;

use serde_json::json;

use crate::support::{Devchain, Gateway, Place, Running, paused_purchase, rpc};

#[test]
fn a_gateway_stops_while_it_starts() {
    let place = Place::new();
    // A chain that takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    for signal in ["TERM", "INT"] {
        let mut command = Gateway::command(&place, &[("ASSAY_RPC_URL", &url)], &["serve"]);
        let mut shop = Running::start(&mut command);
        shop.wait_for(&format!("Connecting to the chain at {url} (1 s)."));
        shop.stop(signal).expect_told(0, "Stopped while starting.");
    }
    assert!(!place.path("assay-data").exists());
}

#[test]
fn every_server_ends_well_when_it_is_asked_to() {
    let place = Place::new();
    for signal in ["TERM", "INT"] {
        let chain = Devchain::start(&place, &[]);
        let shop = Gateway::start(&place, &[]);
        shop.process.stop(signal).expect_told(0, "finishing what was paid for");
        chain.process.stop(signal).expect(0);
    }
}

#[test]
fn what_was_paid_for_is_finished_first() {
    let place = Place::new();
    let chain = Devchain::start(&place, &[]);
    let env = [("ASSAY_RPC_URL", chain.url.as_str())];
    let mut shop = Gateway::start(&place, &env);
    let mut buyer = paused_purchase(&place, &chain, &shop);
    buyer.wait_for("to answer and settle (1 s).");
    shop.process.signal("TERM");
    shop.process.wait_for("finishing what was paid for");
    assert!(shop.process.is_running());
    rpc(&chain.url, "dev_resume", &json!([]));
    shop.process.finish().expect(0);
    assert_eq!(chain.height(), 1);
    drop(buyer);
    // The settlement was recorded: a new start has nothing to take up.
    let shop = Gateway::start(&place, &env);
    let ran = shop.stop();
    assert!(!ran.stderr.contains("an earlier run are carried on"), "{ran:#?}");
}

#[test]
fn a_second_signal_stops_at_once() {
    let place = Place::new();
    let chain = Devchain::start(&place, &[]);
    let env = [("ASSAY_RPC_URL", chain.url.as_str())];
    let mut shop = Gateway::start(&place, &env);
    let buyer = paused_purchase(&place, &chain, &shop);
    shop.process.signal("TERM");
    shop.process.wait_for("A second signal stops at once");
    shop.process.stop("TERM").expect_told(1, "stopped at once");
    drop(buyer);
    // What was left open is taken up: the payment is settled, and once.
    rpc(&chain.url, "dev_resume", &json!([]));
    let mut shop = Gateway::start(&place, &env);
    shop.process.wait_for("an earlier run are carried on");
    shop.stop();
    assert_eq!(chain.height(), 1);
}
