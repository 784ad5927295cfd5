use crate::support::{ANY, Gateway, Place, Running, get, mode};

#[test]
fn a_gateway_says_what_it_sells_and_how_to_buy_it() {
    let place = Place::new();
    let mut shop = Running::start(&mut Gateway::command(&place, &[], &["serve"]));
    shop.wait_for("Ctrl-C stops.");
    let ran = shop.stop("INT").expect_told(0, "finishing what was paid for");
    for expected in [
        "gateway     http://127.0.0.1:",
        "operator    ",
        "network     eip155:31337 at http://127.0.0.1:",
        "paid to     0x43630AAe77454A8b3AFFD1b83441E9Ad8f799464\n",
        "receipt key ",
        "data        assay-data (durability: normal)\n",
        "model       digits: signed 0.001 Assay Development Dollar, zkml 0.005 Assay Development Dollar\n",
        "model       tumour: signed 0.001 Assay Development Dollar, zkml",
        "model       wine: signed 0.001 Assay Development Dollar, zkml",
        "This is a development chain: its money is play money, its keys are public.\n",
        "account 9   0x",
        "  assay models --example digits > input.json\n",
        "  assay infer --gateway http://127.0.0.1:",
    ] {
        assert!(ran.stdout.contains(expected), "{expected:?} is not in {ran:#?}");
    }
    // What it keeps is for its owner.
    assert_eq!(mode(&place.path("assay-data")), 0o700);
}

#[test]
fn a_gateway_answers_where_it_says() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[]);
    assert_eq!(get(&shop.url, "/v2/health/ready").0, 200);
    assert_eq!(shop.told["network"], "eip155:31337");
    assert_eq!(shop.told["models"][0]["prices"][0]["amount"], "1000");
    assert_eq!(shop.told["accounts"].as_array().unwrap().len(), 10);
}

#[test]
fn two_gateways_do_not_share() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[]);
    let again = |env: &[(&str, &str)]| {
        Running::start(&mut Gateway::command(&place, env, &["serve"])).finish()
    };
    again(&[]).expect_told(1, "another gateway uses the data folder assay-data");
    let taken = shop.url.strip_prefix("http://").unwrap();
    let other = [("ASSAY_DATA", "other"), ("ASSAY_LISTEN", taken)];
    let told = format!("cannot listen on {taken}: the address is in use; `listen` or ASSAY_LISTEN");
    again(&other).expect_told(1, &told);
    let chain = shop.told["rpcUrl"].as_str().unwrap().strip_prefix("http://").unwrap();
    let other = [("ASSAY_DATA", "other"), ("ASSAY_DEVCHAIN_LISTEN", chain)];
    again(&other).expect_told(1, "chain.devchain_listen or ASSAY_DEVCHAIN_LISTEN");
    // The first goes on as if nothing had been.
    assert_eq!(get(&shop.url, "/v2/health/ready").0, 200);
}

#[test]
fn a_gateway_that_cannot_start_says_why_and_leaves_nothing() {
    let place = Place::new();
    place.file("file", "");
    place.file("prices.toml", "[[prices]]\nmodel = \"digits\"");
    let start = |env: &[(&str, &str)]| {
        Running::start(&mut Gateway::command(&place, env, &["serve"])).finish()
    };
    for (env, code, told) in [
        (("ASSAY_DATA", "file/data"), 2, "data folder file/data: a part of the path is a file"),
        (("ASSAY_MODELS", "none"), 2, "none: there is no such file or folder"),
        (("ASSAY_RPC_URL", "http://127.0.0.1:1"), 1, "chain at http://127.0.0.1:1: cannot be"),
        (("ASSAY_NETWORK", "eip155:8453"), 2, "chain.rpc_url is not set"),
        (("ASSAY_LISTEN", "nowhere"), 2, "`ASSAY_LISTEN`"),
    ] {
        start(&[env]).expect_told(code, told);
        assert!(!place.path("assay-data").exists(), "{env:?}");
    }
    start(&[("ASSAY_PRICES", "prices.toml")]).expect_told(2, "prices.toml: ");
    start(&[("ASSAY_PAY_TO", "0x12")]).expect_told(2, "payment.pay_to: `0x12` is no EVM address");
}

#[test]
fn prices_are_the_operators() {
    let place = Place::new();
    place.file(
        "prices.toml",
        r#"
        [assets.dollar]
        id = "eip155:31337/erc20:0x5Fe8d7270F11F9eA5af4d68f6Ba63Cc478996ee6"
        decimals = 6
        name = "Assay Development Dollar"
        version = "1"

        [[prices]]
        model = "digits"
        method = "signed"
        asset = "dollar"
        amount = "0.05"
        "#,
    );
    let mut shop = Running::start(&mut Gateway::command(
        &place,
        &[("ASSAY_PRICES", "prices.toml"), ("ASSAY_LISTEN", ANY)],
        &["serve"],
    ));
    shop.wait_for("Ctrl-C stops.");
    let ran = shop.stop("TERM").expect(0);
    let sold = "digits: signed 0.05 Assay Development Dollar\nmodel       tumour: not for sale\n";
    assert!(ran.stdout.contains(sold), "{ran:#?}");
}
