//! `assay doctor` on deployments that are good, and on ones that are broken in every way it knows.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay_primitives::{Clock as _, SystemClock};
use axum::Json;
use axum::routing::post;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use crate::support::{
    ANY, Devchain, Facilitator, Gateway, NOBODY, POOR_KEY, Place, Ran, Running, SELLER, Served,
};

const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
const MULTICALL3: &str = "0xca11bde05977b3631167028862be2a173976ca11";
/// The account of [`POOR_KEY`] has this much wei on the node, unless a test says otherwise.
const RICH: &str = "0xde0b6b3a7640000";

/// What a node of Base says of itself.
#[derive(Clone)]
struct Says {
    block_age: i64,
    balance: &'static str,
    token_name: &'static str,
    contracts: Vec<&'static str>,
}

impl Default for Says {
    fn default() -> Self {
        let contracts = vec!["0x833589fcd6edb6e08f4c7c32d4f71b54bda02913", MULTICALL3];
        Self { block_age: 2, balance: RICH, token_name: "USD Coin", contracts }
    }
}

struct Node {
    says: Arc<Mutex<Says>>,
    server: Served,
}

impl Node {
    fn start() -> Self {
        let says = Arc::new(Mutex::new(Says::default()));
        let shared = says.clone();
        let answer = move |Json(request): Json<Value>| {
            let result = result(&shared.lock().unwrap(), &request);
            async move { Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })) }
        };
        let router = axum::Router::new().route("/", post(answer));
        Self { says, server: Served::start(router) }
    }

    fn say(&self, change: impl FnOnce(&mut Says)) {
        change(&mut self.says.lock().unwrap());
    }
}

fn result(says: &Says, request: &Value) -> Value {
    let params = &request["params"];
    match request["method"].as_str().unwrap() {
        "eth_chainId" => json!("0x2105"),
        "eth_getBalance" => json!(says.balance),
        "eth_maxPriorityFeePerGas" => json!("0xf4240"),
        "eth_getBlockByNumber" => {
            let time = i64::try_from(now()).unwrap() - says.block_age;
            json!({
                "number": "0x10", "hash": format!("0x{}", "11".repeat(32)),
                "timestamp": format!("{time:#x}"), "baseFeePerGas": "0x5f5e100",
            })
        }
        "eth_getCode" => {
            let address = params[0].as_str().unwrap().to_lowercase();
            json!(if says.contracts.contains(&address.as_str()) { "0x60" } else { "0x" })
        }
        "eth_call" => {
            // name() and version().
            let is_name = params[0]["data"].as_str().unwrap().starts_with("0x06fdde03");
            json!(abi_string(if is_name { says.token_name } else { "2" }))
        }
        other => panic!("{other} is not asked for"),
    }
}

fn abi_string(text: &str) -> String {
    let bytes: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{:064x}{:064x}{bytes:0<64}", 32, text.len())
}

fn now() -> u64 {
    SystemClock::default().now().as_seconds()
}

/// A place with everything that an operator on Base needs.
fn place() -> Place {
    let place = Place::new();
    let paid = format!("eip155:8453:{NOBODY}");
    place.run(&["key", "new", "--folder", "keys", "--settlement", &paid]).expect(0);
    std::fs::remove_file(place.path("keys/identity.pem")).unwrap();
    place.file("settler.key", POOR_KEY);
    set_mode(&place.path("settler.key"), 0o600);
    place.file("prices.toml", prices("USD Coin"));
    place
}

fn prices(name: &str) -> String {
    format!(
        "[assets.usdc]\nid = \"eip155:8453/erc20:{USDC}\"\ndecimals = 6\nname = \"{name}\"\n\
         version = \"2\"\n[[prices]]\nmodel = \"digits\"\nmethod = \"signed\"\nasset = \"usdc\"\n\
         amount = \"0.001\"\n"
    )
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

/// What an operator on Base sets.
fn settings(node: &Node) -> [(&str, &str); 6] {
    [
        ("ASSAY_RPC_URL", node.server.url.as_str()),
        ("ASSAY_NETWORK", "eip155:8453"),
        ("ASSAY_KEYS", "keys"),
        ("ASSAY_PAY_TO", NOBODY),
        ("ASSAY_PRICES", "prices.toml"),
        ("ASSAY_SETTLEMENT_KEY_FILE", "settler.key"),
    ]
}

fn doctor(place: &Place, env: &[(&str, &str)], args: &[&str]) -> Ran {
    let command = &mut Gateway::command(place, env, &[&["doctor"], args].concat());
    Running::start(command).finish()
}

/// Returns the check's state, and what was found.
#[track_caller]
fn finding(ran: &Ran, check: &str) -> (String, String) {
    let told = ran.json();
    let findings = told["checks"].as_array().unwrap();
    let mut found = findings.iter().filter(|finding| finding["check"] == check);
    let finding = found.next_back().unwrap_or_else(|| panic!("no `{check}` in {told:#}"));
    let text = |key: &str| finding[key].as_str().unwrap().to_owned();
    assert_eq!(finding["mend"].is_string(), text("state") != "ok", "{finding}");
    (text("state"), text("found"))
}

#[track_caller]
fn expect(ran: &Ran, check: &str, state: &str, found: &str) {
    let got = finding(ran, check);
    assert_eq!(got.0, state, "{check}: {got:?}");
    assert!(got.1.contains(found), "{check}: {found:?} is not in {:?}", got.1);
}

/// Returns lines without what is another time, place or machine's: `ASSAY_BLESS=1` writes them anew.
fn alike(text: &str) -> String {
    let machine = ["disk speed", "disk space", "open files"];
    let mut lines = Vec::new();
    let mut is_left_out = false;
    for line in text.lines() {
        let is_more = line.trim_start().starts_with("to mend:");
        is_left_out = machine.iter().any(|check| line.contains(check)) || (is_more && is_left_out);
        if !is_left_out && !line.contains("to look at,") {
            let words: Vec<&str> = line.split(' ').collect();
            let is_version = |at: usize| at > 0 && words[at - 1] == "schema";
            let word = |at: usize| match words[at] {
                version if is_version(at) => version.replace(|c: char| c.is_ascii_digit(), "N"),
                word => alike_word(word, words.get(at + 1).copied()),
            };
            lines.push((0..words.len()).map(word).collect::<Vec<_>>().join(" "));
        }
    }
    lines.join("\n").trim_end().to_owned() + "\n"
}

fn alike_word(word: &str, next: Option<&str>) -> String {
    if let Some((host, port)) = word.rsplit_once(':')
        && host.ends_with("127.0.0.1")
        && port != "0"
    {
        return format!("{host}:PORT");
    }
    let hex = word.trim_end_matches('…');
    match word {
        _ if word.len() == 24 && word.ends_with('Z') => "TIME".to_owned(),
        _ if hex.len() == 16 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => "ID…".to_owned(),
        _ if next == Some("s") && word.parse::<u64>().is_ok() => "N".to_owned(),
        _ => word.to_owned(),
    }
}

#[track_caller]
fn golden(name: &str, ran: &Ran) {
    let got = alike(&ran.stdout);
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/doctor/{name}.txt"));
    if std::env::var_os("ASSAY_BLESS").is_some() {
        std::fs::write(&file, &got).unwrap();
    }
    assert_eq!(got, std::fs::read_to_string(&file).unwrap(), "{}", file.display());
}

#[test]
fn golden_before_the_first_start() {
    let place = Place::new();
    let ran = doctor(&place, &[], &[]).expect(0);
    golden("fresh", &ran);
    for check in ["open files", "disk space", "disk speed"] {
        assert!(ran.stdout.contains(check), "{ran:#?}");
    }
    assert_eq!(place.entries("."), [""; 0], "the doctor left something behind");
}

#[test]
fn golden_while_a_gateway_runs() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[]);
    place.buy(&shop.url, "one.assay");
    let chain = shop.told["rpcUrl"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let listen = shop.url.strip_prefix("http://").unwrap().to_owned();
    let env = [("ASSAY_LISTEN", &*listen), ("ASSAY_DEVCHAIN_LISTEN", &*chain)];
    let mut before = place.entries("assay-data");
    golden("running", &doctor(&place, &env, &[]).expect(0));
    let mut after = place.entries("assay-data");
    before.sort();
    after.sort();
    assert_eq!(before, after);
    // It goes on as if nobody had looked.
    place.buy(&shop.url, "two.assay");
    shop.stop();
    golden("stopped", &doctor(&place, &[], &[]).expect(0));
}

#[test]
fn golden_with_real_money() {
    let (place, node) = (place(), Node::start());
    golden("real", &doctor(&place, &settings(&node), &[]).expect(0));
    let told = doctor(&place, &settings(&node), &["--json"]).expect(0).json();
    assert_eq!(told["wrong"], 0);
    let (checks, ok) = (told["checks"].as_array().unwrap().len(), told["ok"].as_u64().unwrap());
    assert_eq!(checks as u64, ok + told["warnings"].as_u64().unwrap());
}

#[test]
fn golden_with_nothing_set_for_real_money() {
    let (place, node) = (Place::new(), Node::start());
    golden("nothing", &doctor(&place, &[("ASSAY_RPC_URL", &node.server.url)], &[]).expect(1));
    assert_eq!(place.entries("."), [""; 0]);
}

#[test]
fn golden_with_everything_broken() {
    let (place, node) = (place(), Node::start());
    set_mode(&place.path("settler.key"), 0o644);
    std::fs::create_dir(place.path("assay-data")).unwrap();
    set_mode(&place.path("assay-data"), 0o755);
    place.file("assay-data/assay.db", "this is no database, and longer than its header would be");
    place.file("prices.toml", prices("USDC"));
    node.say(|says| {
        says.balance = "0x0";
        says.block_age = 3_600;
        says.contracts.clear();
    });
    let taken = TcpListener::bind(ANY).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let more =
        [("ASSAY_LISTEN", &*taken), ("ASSAY_PAY_TO", "0x8617E340B3D01FA5F11F306F4090FD50E238070D")];
    golden("broken", &doctor(&place, &[&settings(&node)[..], &more].concat(), &[]).expect(1));
}

#[test]
fn a_credit_without_a_limit_is_told() {
    let (place, node) = (place(), Node::start());
    let says = |exposure| {
        let more = [("ASSAY_RELEASE", "verification"), ("ASSAY_EXPOSURE", exposure)];
        doctor(&place, &[&settings(&node)[..], &more].concat(), &[]).expect(0).stdout
    };
    let told = says("0");
    assert!(told.contains("warning  release        at verification, and a payer may owe any sum"));
    assert!(says("5000").contains("ok       release        at verification; a payer may owe 5000"));
}

#[test]
fn golden_with_nobody_there() {
    let place = place();
    let env = [
        ("ASSAY_RPC_URL", "http://127.0.0.1:1/s3cret"),
        ("ASSAY_NETWORK", "eip155:8453"),
        ("ASSAY_FACILITATOR_URL", "http://127.0.0.1:1/s3cret"),
        ("ASSAY_MODELS", "none"),
        ("ASSAY_DATA", "prices.toml/data"),
        ("ASSAY_KEYS", "none"),
    ];
    let ran = doctor(&place, &env, &[]).expect(1);
    golden("nobody", &ran);
    assert!(!ran.stdout.contains("s3cret") && !ran.stderr.contains("s3cret"), "{ran:#?}");
}

#[test]
fn an_unusable_configuration_is_not_looked_at() {
    let place = Place::new();
    let file = place.file("assay.toml", "listne = 1");
    doctor(&place, &[], &["--config", &file]).expect_told(2, "line 1: unknown field `listne`");
    let told = doctor(&place, &[], &["--json", "--config", "none.toml"]).expect(2).json();
    assert_eq!(told["exitCode"], 2);
}

#[test]
fn a_token_is_compared_with_its_prices() {
    let (place, node) = (place(), Node::start());
    let look = || doctor(&place, &settings(&node), &["--json"]);
    node.say(|says| says.token_name = "USD Coin (bridged)");
    let told = "name: expected `USD Coin`, got `USD Coin (bridged)`";
    expect(&look().expect(1), "token", "wrong", told);
    node.say(|says| says.token_name = "USD Coin");
    place.file("prices.toml", prices("USD Coin").replace("version = \"2\"", "version = \"1\""));
    expect(&look().expect(1), "token", "wrong", "version: expected `1`, got `2`");
    node.say(|says| says.contracts.retain(|contract| *contract == MULTICALL3));
    expect(&look().expect(1), "token", "wrong", "there is no contract at this address");
}

#[test]
fn a_chain_that_stands_still_or_is_another_is_told() {
    let (place, node) = (place(), Node::start());
    let look =
        |env: &[(&str, &str)]| doctor(&place, &[&settings(&node)[..], env].concat(), &["--json"]);
    node.say(|says| says.block_age = 120);
    expect(&look(&[]).expect(0), "blocks", "warning", "is the latest, 12");
    // A block from the future is a clock that is behind.
    node.say(|says| says.block_age = -20);
    expect(&look(&[]).expect(0), "clock", "warning", "behind the chain's latest block");
    node.say(|says| says.block_age = -90);
    expect(&look(&[]).expect(1), "clock", "wrong", "behind the chain's latest block");
    node.say(|says| says.block_age = 2);
    let told = "expected eip155:84532, got eip155:8453";
    expect(&look(&[("ASSAY_NETWORK", "eip155:84532")]).expect(1), "chain", "wrong", told);
    expect(&look(&[("ASSAY_NETWORK", "")]).expect(0), "network", "warning", "any is taken");
    node.say(|says| says.contracts.retain(|contract| *contract != MULTICALL3));
    expect(&look(&[]).expect(0), "multicall", "ok", "no Multicall3 at 0xcA11");
}

#[test]
fn gas_is_counted_in_settlements() {
    let (place, node) = (place(), Node::start());
    let look = || doctor(&place, &settings(&node), &["--json"]);
    // 100 000 gas at 2 * 0.1 gwei + 0.001 gwei.
    let each = 100_000_u128 * 201_000_000;
    for (balance, state, told) in [
        (each - 1, "wrong", "has no gas for a settlement"),
        (each * 999, "warning", "has gas for 999 settlements"),
        (each * 1_000, "ok", "has gas for 1000 settlements"),
    ] {
        node.say(|says| says.balance = Box::leak(format!("{balance:#x}").into_boxed_str()));
        expect(&look(), "settlement", state, told);
    }
}

#[test]
fn keys_are_looked_at_before_they_end() {
    let (place, node) = (Place::new(), Node::start());
    let paid = format!("eip155:8453:{NOBODY}");
    let key = |args: &[&str]| {
        let folder = ["--folder", "keys", "--json"];
        place.run(&[&["key"], args, &folder].concat()).expect(0).json()
    };
    let first = key(&["new", "--settlement", &paid]);
    let look = || doctor(&place, &settings(&node), &["--json"]);
    place.file("settler.key", POOR_KEY);
    set_mode(&place.path("settler.key"), 0o600);
    place.file("prices.toml", prices("USD Coin"));
    expect(&look().expect(0), "identity", "warning", "keys/identity.pem is where the gateway is");
    let pem = |made: &Value| {
        let id: String = made["receiptKey"].as_str().unwrap().chars().take(16).collect();
        place.path(&format!("keys/receipt-{id}.pem"))
    };
    // The key before is good for an hour, and the new one is not brought here.
    let second = key(&["rotate"]);
    std::fs::remove_file(pem(&second)).unwrap();
    expect(&look().expect(0), "receipt key", "warning", "signs until");
    set_mode(&pem(&first), 0o640);
    expect(&look().expect(1), "secrets", "wrong", "others can read keys/receipt-");
    let id = first["receiptKey"].as_str().unwrap();
    let third = key(&["revoke", id, "--reason", "lost"]);
    std::fs::remove_file(pem(&third)).unwrap();
    expect(&look().expect(1), "receipt key", "wrong", "not here, and the manifest says");
    let manifest = std::fs::read_to_string(place.path("keys/manifest.json")).unwrap();
    place.file("keys/manifest.json", manifest.replace("\"sig\":\"M", "\"sig\":\"N"));
    expect(&look().expect(1), "keys", "wrong", "keys/manifest.json: ");
}

#[test]
fn a_database_of_another_version_is_told() {
    let place = Place::new();
    Gateway::start(&place, &[]).stop();
    // The version of the schema is in the file's header.
    let path = place.path("assay-data/assay.db");
    let told = |version: u32, code| {
        let mut content = std::fs::read(&path).unwrap();
        content[60..64].copy_from_slice(&version.to_be_bytes());
        std::fs::write(&path, content).unwrap();
        doctor(&place, &[], &["--json"]).expect(code)
    };
    expect(&told(4_711, 1), "database", "wrong", "schema version 4711, this program knows up to ");
    expect(&told(5, 0), "database", "ok", "schema 5, raised to ");
    expect(&told(3, 1), "database", "wrong", "schema version 3, this program knows 4 and later");
}

#[test]
fn a_facilitator_of_another_network_is_told() {
    let (place, node) = (place(), Node::start());
    let chain = Devchain::start(&place, &[]);
    let other = Facilitator::start(&place, &chain, &["--pay-to", SELLER]);
    let env = [&settings(&node)[..], &[("ASSAY_FACILITATOR_URL", &*other.url)]].concat();
    let told = "expected exact on eip155:8453, got exact on eip155:31337";
    expect(&doctor(&place, &env, &["--json"]).expect(1), "facilitator", "wrong", told);
    let env = [("ASSAY_RPC_URL", &*chain.url), ("ASSAY_FACILITATOR_URL", &*other.url)];
    let ran = doctor(&place, &env, &["--json"]).expect(0);
    expect(&ran, "facilitator", "ok", "settles exact on eip155:31337");
    expect(&ran, "token", "ok", "is Assay Development Dollar, version 1");
}

#[test]
fn few_open_files_are_told() {
    let place = Place::new();
    let limited = |limit: u32| {
        let mut command = std::process::Command::new("sh");
        let script = format!("ulimit -n {limit}; exec \"$0\" doctor --json");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_assay")]).current_dir(place.path("."));
        command.envs([("ASSAY_LISTEN", ANY), ("ASSAY_DEVCHAIN_LISTEN", ANY)]);
        Running::start(&mut command).finish().expect(0)
    };
    expect(&limited(512), "open files", "warning", "at most 512");
    expect(&limited(4_096), "open files", "ok", "at most 4096");
}

/// A service on TLS that answers every request with a `Date`.
struct Service {
    url: String,
    stop: Arc<std::sync::atomic::AtomicBool>,
    address: std::net::SocketAddr,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Service {
    fn start(authority: &Issuer<'static, KeyPair>, days: u64, date: &'static str) -> Self {
        let at = |seconds: u64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = at(now() - 86_400);
        params.not_after = at(now() + days * 86_400 + 3_600);
        let certificate = params.signed_by(&key, authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind(ANY).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                let connection = rustls::ServerConnection::new(config.clone()).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream);
                // Who does not trust the certificate breaks off.
                if let Ok(1..) = stream.read(&mut [0; 4_096]) {
                    let head = format!("HTTP/1.1 200 OK\r\ndate: {date}\r\nconnection: close\r\n");
                    let _ = stream.write_all(format!("{head}content-length: 0\r\n\r\n").as_bytes());
                }
            }
        });
        let url = format!("https://localhost:{}", address.port());
        Self { url, stop, address, thread: Some(thread) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        drop(std::net::TcpStream::connect(self.address));
        let _ = self.thread.take().unwrap().join();
    }
}

#[test]
fn certificates_and_dates_of_services() {
    let place = Place::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let roots = place.file("roots.pem", params.self_signed(&key).unwrap().pem());
    let authority = Issuer::new(params, key);
    let look = |service: &Service, roots: &str| {
        let env = [("ASSAY_PUBLIC_URL", &*service.url), ("SSL_CERT_FILE", roots)];
        doctor(&place, &env, &["--json"])
    };
    let date = |offset: i64| -> &'static str {
        let at = Duration::from_secs(now().checked_add_signed(offset).unwrap());
        Box::leak(httpdate::fmt_http_date(std::time::UNIX_EPOCH + at).into_boxed_str())
    };
    let service = Service::start(&authority, 60, date(0));
    let ran = look(&service, &roots).expect(0);
    expect(&ran, "proxies", "warning", "a proxy stands before the gateway, and none is trusted");
    expect(&ran, "certificate", "ok", "public_url: localhost verifies for 60 days more");
    expect(&ran, "clock", "ok", "the `Date` of public_url");
    // An authority that this machine does not know.
    let ran = doctor(&place, &[("ASSAY_PUBLIC_URL", &*service.url)], &["--json"]).expect(1);
    expect(&ran, "certificate", "wrong", "UnknownIssuer");
    let service = Service::start(&authority, 5, date(-600));
    let ran = look(&service, &roots).expect(1);
    expect(&ran, "certificate", "warning", "verifies for 5 days more");
    expect(&ran, "clock", "wrong", "s ahead of the `Date` of public_url");
    let url = service.url.clone();
    drop(service);
    let env = [("ASSAY_PUBLIC_URL", &*url), ("SSL_CERT_FILE", &roots)];
    let ran = doctor(&place, &env, &["--json"]).expect(0);
    expect(&ran, "certificate", "warning", "cannot be looked at from here");
}
