//! What a gateway logs: the way of a transaction under its id, and never what is secret.

use serde_json::{Value, json};

use crate::support::{Devchain, Gateway, Place, Ran, Running, rpc};

const JSON: (&str, &str) = ("ASSAY_LOG_FORMAT", "json");

/// The lines of a log that are about a transaction.
fn about(ran: &Ran, transaction: &str) -> Vec<Value> {
    let lines = ran.stderr.lines().filter(|line| line.contains(transaction));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn messages(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["message"].as_str().unwrap()).collect()
}

/// Returns what the spans of a line say of something.
fn span<'a>(line: &'a Value, field: &str) -> Vec<&'a str> {
    let spans = line["spans"].as_array().unwrap();
    spans.iter().filter_map(|span| span[field].as_str()).collect()
}

#[test]
fn one_search_shows_the_way_of_a_transaction() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[JSON, ("ASSAY_LOG", "assay=debug")]);
    let bought = place.buy(&shop.url, "one.assay");
    let id = bought["report"]["transaction"].as_str().unwrap();
    place.buy(&shop.url, "two.assay");
    let lines = about(&shop.stop(), id);
    let way = [
        "The payment is this transaction's.",
        "Receipt and settlement intent are stored.",
        "The settlement is recorded.",
        "Answered.",
    ];
    let of_purchase = |line: &&Value| !span(line, "route")[0].contains("receipts");
    let purchase: Vec<Value> = lines.iter().filter(of_purchase).cloned().collect();
    assert_eq!(messages(&purchase), way, "{lines:#?}");
    let request = span(&purchase[0], "request_id")[0];
    assert_eq!(request.len(), 32);
    for line in &purchase {
        assert_eq!(span(line, "request_id"), [request], "{line:#}");
        assert_eq!(span(line, "transaction").first(), Some(&id), "{line:#}");
    }
    // The payment is known by the beginning of its nonce, and by its payer.
    assert!(span(&purchase[0], "payment")[0].starts_with("0x"));
    assert_eq!(span(&purchase[0], "payment")[0].len(), 18);
    assert_eq!(span(&purchase[0], "payer")[0].len(), 42);
}

#[test]
fn the_search_goes_on_after_a_restart() {
    let place = Place::new();
    let chain = Devchain::start(&place, &[]);
    let rpc_url = ("ASSAY_RPC_URL", chain.url.as_str());
    let shop =
        Gateway::start(&place, &[rpc_url, JSON, ("ASSAY_FAILPOINT", "chain.broadcast.before")]);
    let order = place.order(&shop.url, &[]);
    let before = shop.process.finish();
    order.stop("TERM");
    let shop = Gateway::start(&place, &[rpc_url, JSON]);
    shop.wait_for_ends();
    let after = shop.stop();
    let stored = before.stderr.lines().find(|line| line.contains("intent are stored")).unwrap();
    let stored: Value = serde_json::from_str(stored).unwrap();
    let id = span(&stored, "transaction")[0].to_owned();
    let about = about(&after, &id);
    assert_eq!(messages(&about).last(), Some(&"The settlement is recorded."), "{after:#?}");
}

#[test]
fn nothing_secret_is_logged() {
    let place = Place::new();
    let chain = Devchain::start(&place, &[]);
    let facilitator = crate::support::Facilitator::start(&place, &chain, &[]);
    // A key in the query of each URL.
    let rpc_url = format!("{}/?key=s3cret", chain.url);
    let env = [
        ("ASSAY_RPC_URL", rpc_url.as_str()),
        ("ASSAY_FACILITATOR_URL", &facilitator.url),
        ("ASSAY_FACILITATOR_TOKEN", "s3cret-token"),
        ("ASSAY_LOG", "trace"),
        JSON,
    ];
    let shop = Gateway::start(&place, &env);
    let bought = place.buy(&shop.url, "one.assay");
    let transaction = bought["report"]["payment"]["transaction"].as_str().unwrap();
    let sent = rpc(&chain.url, "eth_getTransactionByHash", &json!([transaction]));
    let call = sent["input"].as_str().unwrap().to_owned();
    // The words of the call that are the signature: r and s come last but for padding.
    let words: Vec<&str> =
        (10..call.len() - 63).step_by(64).map(|at| call.get(at..at + 64).unwrap()).collect();
    let signature: Vec<&str> =
        words[6..].iter().copied().filter(|word| !word.starts_with("00000000")).collect();
    assert!(signature.len() >= 2, "{words:?}");
    let input = std::fs::read_to_string(place.path("digits.json")).unwrap();
    let values: Vec<&str> = input.split('[').filter(|text| text.matches(',').count() > 8).collect();
    let values: String = values[values.len() - 1].chars().filter(|c| *c != ' ').take(24).collect();
    let pem = place.path("assay-data/keys");
    let pem = std::fs::read_dir(pem).unwrap().map(|entry| entry.unwrap().path());
    let pem = pem.filter(|path| path.extension().is_some_and(|kind| kind == "pem"));
    let keys: Vec<String> = pem.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let ran = shop.stop();
    assert!(ran.stderr.contains("\"level\":\"TRACE\""), "nothing was traced");
    let token = bought["accessToken"].as_str().unwrap();
    let pems = keys.iter().map(|pem| pem.lines().nth(1).unwrap());
    for secret in [token, &values, "s3cret"].into_iter().chain(signature).chain(pems) {
        assert!(secret.len() >= 6);
        let line = ran.stderr.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is logged");
    }
    facilitator.process.stop("TERM").expect(0);
}

#[test]
fn an_unknown_format_is_refused() {
    let place = Place::new();
    let env = [("ASSAY_LOG_FORMAT", "xml")];
    let mut command = Gateway::command(&place, &env, &["serve"]);
    Running::start(&mut command).finish().expect_told(2, "ASSAY_LOG_FORMAT: expected `text` or");
}
