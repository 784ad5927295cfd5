//! An enclave whose evidence is a software TPM's, if `swtpm` is installed.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::{Devchain, Gateway, Place, Running, mode};

/// What a buyer accepts that knows it for what it is.
const POLICY: &str = "[attestation]\nmin_strength = \"measured-boot\"\n";
/// Where a gateway's enclave has its root.
const ROOT: &str = "assay-data/tee/swtpm/root.pem";
/// What an inference by `tee` costs, in atomic units.
const PRICE: u128 = 2_000;

/// Finds `swtpm`. Says so and returns `None` if it is not installed.
fn installed() -> Option<PathBuf> {
    match Command::new("swtpm").arg("--version").output() {
        Ok(_) => {
            let path = std::env::var_os("PATH").unwrap();
            let mut all = std::env::split_paths(&path).map(|folder| folder.join("swtpm"));
            Some(all.find(|program| program.is_file()).unwrap())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("left out: `swtpm` is not installed");
            None
        }
        Err(error) => panic!("swtpm: {error}"),
    }
}

/// Puts a `swtpm` before the installed one that writes down its process, and that does not start while
/// there is a file `stopped`. Returns the path to look for programs in.
fn watched(place: &Place, program: &std::path::Path) -> String {
    fs::create_dir(place.path("bin")).unwrap();
    let (stopped, pid) = (place.arg("stopped"), place.arg("pid"));
    let script = format!(
        "#!/bin/sh\n[ ! -e {stopped} ] || [ \"$1\" = --version ] || exit 1\necho $$ > {pid}\nexec {} \"$@\"\n",
        program.display()
    );
    place.file("bin/swtpm", script);
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(place.path("bin/swtpm"), all).unwrap();
    format!("{}:{}", place.arg("bin"), std::env::var("PATH").unwrap())
}

/// Starts an enclave by hand.
fn enclave(place: &Place, path: &str) -> Running {
    let args = [
        ["enclave", "--json", "--attester", "swtpm"],
        ["--development-root", "root", "--listen", "tcp:127.0.0.1:0"],
    ];
    Running::start(place.command(&args.concat()).env("PATH", path))
}

/// Buys an inference by `tee`.
fn order(place: &Place, gateway: &str, out: &str) -> Running {
    let (root, policy, out) = (place.arg(ROOT), place.file("policy.toml", POLICY), place.arg(out));
    let trust = ["--development-root", &root, "--policy", &policy];
    place.order(gateway, &[&["--json", "--method", "tee", "--out", &out][..], &trust].concat())
}

#[test]
fn what_a_software_tpm_attests_is_simulated_and_never_verified() {
    if installed().is_none() {
        return;
    }
    let place = Place::new();
    let shop = Gateway::start(&place, &[("ASSAY_TEE_ATTESTER", "swtpm")]);
    let bought = order(&place, &shop.url, "tee.assay").finish().expect(0).json();
    assert_eq!(bought["label"], "9");
    assert_eq!(bought["report"]["verdict"], "simulated");
    let (bundle, root, policy) =
        (place.arg("tee.assay"), place.arg(ROOT), place.arg("policy.toml"));
    let verify = |more: &[&str]| place.run(&[&["verify", "--json", &bundle], more].concat());
    let trusted = ["--development-root", &root];
    let accepted = ["--policy", &policy];
    let report = verify(&[trusted, accepted].concat()).expect(3).json();
    assert_eq!(report["verdict"], "simulated");
    let told = report.to_string();
    for expected in ["nobody: its enclave is simulated", "nothing isolates that"] {
        assert!(told.contains(expected), "{expected:?} is not in {told}");
    }
    for (options, check) in [(accepted, "chain.root"), (trusted, "policy.strength")] {
        let report = verify(&options).expect(1).json();
        assert!(report.to_string().contains(&format!("{check}: ")), "{check} is not in {report}");
    }
    // The measurement of the program is one to pin, beside that of what its firmware booted: nothing.
    let pinned = |value: &str| {
        let reference = format!(
            "{POLICY}[[attestation.reference_values]]\nname = \"enclave\"\nkind = \"tpm\"\n\
             measurements = {{ pcr4 = \"{}\", pcr11 = \"{value}\" }}\n",
            "00".repeat(32)
        );
        let path = place.file("pinned.toml", reference);
        verify(&["--development-root", &root, "--policy", &path])
    };
    let report: Value = pinned(&"00".repeat(32)).expect(1).json();
    assert!(report.to_string().contains("policy.measurement: "), "{report}");
    let program = assay_primitives::Digest::of(&fs::read(env!("CARGO_BIN_EXE_assay")).unwrap());
    let measured = assay_primitives::Digest::of_parts(&[&[0; 32], program.as_bytes()]);
    assert_eq!(pinned(&measured.to_string()).expect(3).json()["verdict"], "simulated");
    shop.stop();
}

#[test]
fn an_enclave_ends_with_its_tpm_and_nothing_is_charged_without_it() {
    let Some(program) = installed() else { return };
    let place = Place::new();
    let path = watched(&place, &program);
    let chain = Devchain::start(&place, &[]);
    let buyer = chain.told["accounts"][2]["address"].as_str().unwrap();
    let env = [
        ("ASSAY_TEE_ATTESTER", "swtpm"),
        ("ASSAY_RPC_URL", chain.url.as_str()),
        ("PATH", path.as_str()),
    ];
    let mut shop = Gateway::start(&place, &env);
    let before = chain.balance(buyer);
    order(&place, &shop.url, "first.assay").finish().expect(0);
    assert_eq!(chain.balance(buyer), before - PRICE);

    place.file("stopped", "");
    let pid = fs::read_to_string(place.path("pid")).unwrap();
    assert!(Command::new("kill").args(["-s", "KILL", pid.trim()]).status().unwrap().success());
    shop.process.wait_for("swtpm ended, and an enclave ends with its TPM");
    shop.process.wait_for("The enclave ended: it is started again.");
    let refused = order(&place, &shop.url, "second.assay").finish().expect(1);
    assert!(!place.path("second.assay").exists(), "{refused:?}");
    shop.wait_for_ends();
    assert_eq!((chain.balance(buyer), shop.count("settled")), (before - PRICE, 1));

    fs::remove_file(place.path("stopped")).unwrap();
    shop.process.wait_for("The enclave is started again.");
    order(&place, &shop.url, "third.assay").finish().expect(0);
    assert_eq!(chain.balance(buyer), before - 2 * PRICE);
    shop.stop();
}

#[test]
fn a_software_tpm_ends_with_its_enclave_however_that_ends() {
    let Some(program) = installed() else { return };
    let place = Place::new();
    let path = watched(&place, &program);
    let mut first = enclave(&place, &path);
    assert_eq!(first.first_json()["attester"], "swtpm");
    // While it runs nobody else has its state.
    enclave(&place, &path).finish().expect_told(1, "the connection to the TPM broke");
    assert_eq!(mode(&place.path("root/swtpm/tpm2-00.permall")), 0o600);
    first.stop("KILL");
    // It ends a moment later, and then the next one can have it.
    let starts = || {
        let mut next = enclave(&place, &path);
        loop {
            if !next.is_running() {
                return false;
            }
            if next.has_told("\"attester\":\"swtpm\"") {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    assert!((0..200).any(|_| starts()), "the TPM of an enclave that was killed runs on");
}

#[test]
fn what_is_missing_is_named() {
    let place = Place::new();
    let nothing = place.arg("nothing");
    let env = [("PATH", nothing.as_str())];
    let args = ["enclave", "--attester", "swtpm", "--development-root", "root"];
    let told = place.run_with(&env, &args).expect(2);
    let expected = "swtpm is not installed: `apt-get install swtpm`";
    assert!(told.stderr.contains(expected), "{told:?}");
    let serve = [("ASSAY_TEE_ATTESTER", "swtpm"), env[0]];
    let mut command = Gateway::command(&place, &serve, &["serve"]);
    Running::start(&mut command).finish().expect_told(1, expected);
    let args = ["enclave", "--attester", "swtpm"];
    place.run(&args).expect_told(2, "--development-root: the folder of the simulated root");
}

#[test]
fn a_tpm_alone_is_not_sold_as_a_tee() {
    let place = Place::new();
    let sentence = "measures what was booted and isolates nothing: it takes a tee.policy with \
                    min_strength = \"measured-boot\", on a development chain";
    let tee = place.file("tee.toml", "min_strength = \"tee\"\n");
    for env in [
        &[("ASSAY_TEE_ATTESTER", "tpm")][..],
        &[("ASSAY_TEE_ATTESTER", "tpm"), ("ASSAY_TEE_POLICY", &tee)],
        &[("ASSAY_TEE_ATTESTER", "swtpm"), ("ASSAY_TEE_POLICY", &tee)],
    ] {
        let mut command = Gateway::command(&place, env, &["serve"]);
        Running::start(&mut command).finish().expect_told(2, sentence);
    }
    if std::path::Path::new("/dev/tpmrm0").exists() {
        eprintln!("left out: that a TPM is missed, as this machine has one");
        return;
    }
    let args = ["enclave", "--attester", "tpm"];
    place.run(&args).expect_told(2, "no TPM at /dev/tpmrm0");
}

#[test]
fn options_that_an_attester_has_no_use_for_are_refused() {
    let place = Place::new();
    let file = place.file("file", "");
    for (attester, option) in [
        ("swtpm", "--certificates"),
        ("simulated-nitro", "--certificates"),
        ("nitro", "--collateral"),
        ("tpm", "--collateral"),
    ] {
        let args = ["enclave", "--attester", attester, option, &file];
        let expected = format!("{option}: the attester {attester} has no use for it");
        place.run(&args).expect_told(2, &expected);
    }
    let args = ["enclave", "--attester", "tpm", "--certificates", &file];
    place.run(&args).expect_told(2, "expected 1 to 8 in PEM, got 0");
}
