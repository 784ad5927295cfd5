use crate::support::{Gateway, Place, Running};

/// What `assay config` prints, with every setting uncommented.
fn uncommented(template: &str) -> String {
    let line = |line: &str| {
        let setting = line.strip_prefix('#').filter(|rest| rest.starts_with(char::is_alphabetic));
        format!("{}\n", setting.unwrap_or(line))
    };
    template.lines().map(line).collect()
}

#[test]
fn the_template_is_the_defaults() {
    let place = Place::new();
    let template = place.run(&["config"]).expect(0).stdout;
    let full = uncommented(&template);
    let settings = full.lines().filter(|l| !l.starts_with('#') && l.contains(" = ")).count();
    assert_eq!(settings, 38, "{full}");
    let defaults = place.run(&["config", "--json"]).expect(0).json();
    for content in [&full, &template] {
        let file = place.file("assay.toml", content);
        let read = place.run(&["config", "--json", "--config", &file]).expect(0).json();
        assert_eq!(read, defaults, "{content}");
    }
    // And a gateway starts with it; its ports alone are other ones.
    place.file("assay.toml", full);
    let command =
        &mut Gateway::command(&place, &[], &["serve", "--json", "--config", "assay.toml"]);
    let mut gateway = Running::start(command);
    assert_eq!(gateway.first_json()["data"], "assay-data");
    gateway.stop("TERM").expect(0);
}

#[test]
fn the_environment_counts_more_than_the_file() {
    let place = Place::new();
    let file =
        place.file("assay.toml", "data = \"from-file\"\nparallel = 3\n[http]\nbody_limit = 7\n");
    let config = ["config", "--json", "--config", &file];
    let env = [
        ("ASSAY_DATA", "from-environment"),
        ("ASSAY_PARALLEL", ""),
        ("ASSAY_RPC_URL", ""),
        ("ASSAY_TRUSTED_PROXIES", "10.0.0.0/8,::1"),
    ];
    let read = place.run_with(&env, &config).expect(0).json();
    assert_eq!(read["data"], "from-environment");
    assert_eq!(read["parallel"], 3);
    assert_eq!(read["clients"]["trusted_proxies"], serde_json::json!(["10.0.0.0/8", "::1"]));
    assert_eq!(read["http"]["body_limit"], 7);
    assert_eq!(read["chain"]["rpc_url"], serde_json::Value::Null);
    // The file itself may be named in the environment.
    let env = [("ASSAY_CONFIG", file.as_str())];
    let text = place.run_with(&env, &["config"]).expect(0).stdout;
    assert!(text.contains("data = \"from-file\"\n"), "{text}");
}

#[test]
fn what_is_printed_can_be_read_again() {
    let place = Place::new();
    let first = place.file("first.toml", "data = \"here\"\n[chain]\nconfirmations = 5\n");
    let text = place.run(&["config", "--config", &first]).expect(0).stdout;
    let second = place.file("second.toml", text);
    let read = |file: &str| place.run(&["config", "--json", "--config", file]).expect(0).json();
    assert_eq!(read(&first), read(&second));
    assert_eq!(read(&second)["chain"]["confirmations"], 5);
}

#[test]
fn wrong_settings_are_refused_before_anything_is_started() {
    let place = Place::new();
    for (content, told) in [
        ("listne = \"127.0.0.1:1\"", "line 1: unknown field `listne`, expected one of `listen`"),
        ("[chain]\nurl = \"x\"", "line 2: unknown field `url`"),
        ("[money]\n", "unknown field `money`"),
        ("listen = 5", "line 1: invalid type: integer `5`"),
        ("durability = \"some\"", "durability: expected \"full\" or \"normal\", got \"some\""),
        ("[http]\nbody_timeout = \"soon\"", "http.body_timeout: "),
        ("[chain]\nnetwork = \"eip155:8453\"", "chain.network is eip155:8453, and chain.rpc_url"),
    ] {
        place.file("assay.toml", content);
        for command in ["serve", "config"] {
            let ran = place.run(&[command, "--config", "assay.toml"]).expect_told(2, told);
            assert_eq!(ran.stdout, "");
        }
    }
    place.run(&["serve", "--config", "none.toml"]).expect_told(2, "none.toml: there is no such");
    let env = [("ASSAY_CONFIRMATIONS", "many")];
    place.run_with(&env, &["serve"]).expect_told(2, "`ASSAY_CONFIRMATIONS`");
    let env = [("ASSAY_LOG", "a=b=c")];
    place.run_with(&env, &["config"]).expect_told(2, "ASSAY_LOG: ");
    assert_eq!(place.entries("."), ["assay.toml"]);
}

#[test]
fn keys_in_urls_are_not_shown() {
    let place = Place::new();
    let url = "https://user:s3cret@rpc.example/v1/s3cret?key=s3cret";
    let file = place.file("assay.toml", format!("[chain]\nrpc_url = \"{url}\"\n"));
    for args in [&["config", "--config", &file][..], &["config", "--json", "--config", &file]] {
        let text = place.run(args).expect(0).stdout;
        assert!(text.contains("https://rpc.example/…") && !text.contains("s3cret"), "{text}");
    }
    let env = [("ASSAY_RPC_URL", url), ("ASSAY_PAYER_KEY", "s3cret")];
    for command in ["serve", "facilitator", "infer"] {
        let help = place.run_with(&env, &[command, "--help"]).expect(0).stdout;
        assert!(!help.contains("s3cret"), "{help}");
    }
    place.file("assay.toml", "[chain]\nrpc_url = https://rpc.example/s3cret\n");
    let told = place.run(&["serve", "--config", &file]).expect_told(2, "assay.toml, line 2: ");
    assert!(!told.stderr.contains("s3cret"), "{told:#?}");
}
