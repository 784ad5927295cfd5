use std::path::Path;

use crate::support::Place;

const COMMANDS: [&[&str]; 33] = [
    &[],
    &["demo"],
    &["serve"],
    &["infer"],
    &["buy"],
    &["disclose"],
    &["receipt"],
    &["receipt", "fetch"],
    &["receipt", "erase"],
    &["refund"],
    &["verify"],
    &["models"],
    &["key"],
    &["key", "new"],
    &["key", "rotate"],
    &["key", "revoke"],
    &["key", "measure"],
    &["key", "show"],
    &["config"],
    &["doctor"],
    &["zkml"],
    &["zkml", "compile"],
    &["zkml", "run"],
    &["zkml", "prove"],
    &["zkml", "verify"],
    &["zkml", "inspect"],
    &["enclave"],
    &["attest"],
    &["attest", "verify"],
    &["attest", "inspect"],
    &["devchain"],
    &["facilitator"],
    &["help", "verify"],
];

/// `ASSAY_BLESS=1 cargo test -p assay-cli help` writes the file anew.
#[test]
fn the_help_is_what_was_agreed_on() {
    let place = Place::new();
    let mut all = String::new();
    for command in COMMANDS {
        let args = if command.first() == Some(&"help") {
            command.to_vec()
        } else {
            [command, &["--help"]].concat()
        };
        let help = place.run(&args).expect(0).stdout;
        all.push_str(&format!("$ assay {}\n\n{help}\n", args.join(" ")));
    }
    for line in all.lines() {
        assert!(line.chars().count() <= 100, "wider than 100 columns: {line}");
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os("ASSAY_BLESS").is_some() {
        std::fs::write(&file, &all).unwrap();
    }
    let agreed = std::fs::read_to_string(&file).unwrap();
    for (line, agreed) in all.lines().zip(agreed.lines()) {
        assert_eq!(line, agreed, "tests/help.txt");
    }
    assert_eq!(all, agreed, "tests/help.txt");
}

#[test]
fn a_wrong_command_line_is_unusable_input() {
    let place = Place::new();
    place.run(&[]).expect_told(2, "Usage: assay");
    place.run(&["sell"]).expect_told(2, "unrecognized subcommand");
    place.run(&["verify"]).expect_told(2, "<BUNDLE>");
    place.run(&["demo", "--fast"]).expect_told(2, "unexpected argument");
    let version = place.run(&["--version"]).expect(0).stdout;
    assert_eq!(version, concat!("assay ", env!("CARGO_PKG_VERSION"), "\n"));
}
