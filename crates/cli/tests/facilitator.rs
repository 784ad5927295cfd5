use crate::support::{ANY, Devchain, Facilitator, Gateway, NOBODY, Place, SELLER, get};

#[test]
fn a_gateway_settles_through_a_facilitator() {
    let place = Place::new();
    let chain = Devchain::start(&place, &[]);
    let facilitator = Facilitator::start(&place, &chain, &["--pay-to", SELLER]);
    assert_eq!(facilitator.told["network"], "eip155:31337");
    let (status, supported) = get(&facilitator.url, "/supported");
    assert_eq!(status, 200);
    assert!(String::from_utf8(supported).unwrap().contains("eip155:31337"));
    let env = [("ASSAY_RPC_URL", chain.url.as_str()), ("ASSAY_FACILITATOR_URL", &facilitator.url)];
    let shop = Gateway::start(&place, &env);
    let bought = place.buy(&shop.url, "nine.assay");
    assert_eq!(bought["report"]["payment"]["state"], "settled");
    assert_eq!(chain.balance(SELLER), 1_000_000_001_000);
    shop.stop();
    facilitator.process.stop("TERM").expect(0);
}

#[test]
fn a_facilitator_settles_for_who_has_its_token() {
    let place = Place::new();
    let chain = Devchain::start(&place, &[]);
    let token = place.file("token", "letmesettle\n");
    // With a token it may listen anywhere; where this one listens is loopback all the same.
    let facilitator = Facilitator::start(&place, &chain, &["--settle-token-file", &token]);
    let usual = [("ASSAY_RPC_URL", &*chain.url), ("ASSAY_FACILITATOR_URL", &*facilitator.url)];
    let with = |token| [&usual[..], &[token]].concat();
    let shop = Gateway::start(&place, &with(("ASSAY_FACILITATOR_TOKEN_FILE", &token)));
    place.buy(&shop.url, "nine.assay");
    shop.stop();
    assert_eq!(chain.balance(SELLER), 1_000_000_001_000);

    // With another token nothing is settled, and nothing lost: the operator mends it in time.
    let shop = Gateway::start(&place, &with(("ASSAY_FACILITATOR_TOKEN", "letmein")));
    let buyer = place.order(&shop.url, &[]);
    shop.wait_for_metric("assay_transactions{state=\"committed\"} 1");
    shop.stop();
    buyer.stop("TERM");
    assert_eq!(chain.balance(SELLER), 1_000_000_001_000);
    let shop = Gateway::start(&place, &with(("ASSAY_FACILITATOR_TOKEN", "letmesettle")));
    shop.wait_for_metric("assay_transactions{state=\"settled\"} 2");
    assert_eq!(chain.balance(SELLER), 1_000_000_002_000);
    shop.stop();

    place.file("none", " \n");
    let serve = [&usual[..], &[("ASSAY_FACILITATOR_TOKEN_FILE", "none")]].concat();
    place.run_with(&serve, &["serve"]).expect_told(2, "none: the token is empty");
    facilitator.process.stop("INT").expect(0);
}

#[test]
fn a_facilitator_that_anyone_could_drain_does_not_start() {
    let place = Place::new();
    let facilitator = |more: &[&str]| {
        let args = ["facilitator", "--rpc-url", "http://127.0.0.1:1", "--asset", NOBODY];
        place.run(&[&args[..], more].concat())
    };
    let settler = ["--development-account", "0"];
    let open = |listen: &str| facilitator(&[&settler[..], &["--listen", listen]].concat());
    open("0.0.0.0:0").expect_told(2, "anyone could make this facilitator pay gas");
    open("[::]:0").expect_told(2, "anyone could make this facilitator pay gas");
    // On loopback it gets as far as the chain, which is not there.
    open(ANY).expect_told(1, "cannot be reached: Connection refused");

    place.file("empty", "\n");
    let guarded = [&settler[..], &["--settle-token-file", "empty"]].concat();
    facilitator(&guarded).expect_told(2, "empty: the token is empty");
    facilitator(&[]).expect_told(2, "nobody settles");
    let asset = ["facilitator", "--rpc-url", "http://127.0.0.1:1", "--asset", "usdc"];
    place.run(&[&asset[..], &settler].concat()).expect_told(2, "`usdc` is no EVM address");
    let none = ["facilitator", "--rpc-url", "http://127.0.0.1:1"];
    place.run(&[&none[..], &settler].concat()).expect_told(2, "--asset");
}

#[test]
fn a_port_in_use_is_named() {
    let place = Place::new();
    let chain = Devchain::start(&place, &[]);
    let taken = chain.url.strip_prefix("http://").unwrap();
    let told = format!("cannot listen on {taken}: the address is in use");
    let facilitator = [
        "facilitator",
        "--rpc-url",
        &chain.url,
        "--asset",
        NOBODY,
        "--development-account",
        "0",
        "--listen",
        taken,
    ];
    place.run(&facilitator).expect_told(1, &told);
    let devchain = place.run(&["devchain", "--listen", taken]);
    devchain.expect_told(1, &format!("{told}; --listen chooses the address"));
    place.run(&["devchain", "--listen", "0.0.0.0:0"]).expect_told(2, "is not a loopback address");
}
