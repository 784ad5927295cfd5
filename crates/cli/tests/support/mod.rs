//! Processes of the binary, and what they stand on.

mod http;
mod process;
mod proxy;
mod scene;
mod servers;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use self::http::{Served, get, get_with_token, rpc};
pub(crate) use self::process::{Ran, Running};
pub(crate) use self::proxy::{Asked, Does, Proxy};
pub(crate) use self::scene::Scene;
pub(crate) use self::servers::{Devchain, Facilitator, Gateway, paused_purchase};

/// Listens on any free port of loopback.
pub(crate) const ANY: &str = "127.0.0.1:0";
/// An account whose key nobody knows.
pub(crate) const NOBODY: &str = "0x52908400098527886E0F7030069857D2E4169EE7";
/// A key that is no development key, and holds nothing.
pub(crate) const POOR_KEY: &str =
    "0x8f2a55949038a9610f50fb23b5883af3b4ecb3c3bb792cbcefbd1542c692be63";
/// The account that is paid on a development chain when none is configured.
pub(crate) const SELLER: &str = "0x43630AAe77454A8b3AFFD1b83441E9Ad8f799464";

/// A folder of a test's own, in which it runs the binary.
#[derive(Debug)]
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("assay-cli-test-").tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns a path as an argument.
    pub(crate) fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes a file and returns its path as an argument.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), content).unwrap();
        self.arg(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> std::process::Command {
        process::command(self.0.path(), args)
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Running::start(&mut self.command(args)).finish()
    }

    /// Runs a command to its end, in another environment.
    pub(crate) fn run_with(&self, env: &[(&str, &str)], args: &[&str]) -> Ran {
        Running::start(self.command(args).envs(env.iter().copied())).finish()
    }

    /// Writes an input for a model, and returns its path.
    pub(crate) fn example(&self, model: &str) -> String {
        let example = self.run(&["models", "--example", model]).expect(0);
        self.file(&format!("{model}.json"), example.stdout)
    }

    /// Buys an inference with development account 2, and returns what `--json` prints.
    pub(crate) fn buy(&self, gateway: &str, out: &str) -> Value {
        let bought = self.order(gateway, &["--json", "--out", &self.arg(out)]).finish();
        bought.expect(0).json()
    }

    /// Starts a purchase with development account 2.
    pub(crate) fn order(&self, gateway: &str, more: &[&str]) -> Running {
        let input = self.example("digits");
        let order = ["infer", "--gateway", gateway, "--model", "digits", "--input", &input];
        let account = ["--development-account", "2"];
        Running::start(&mut self.command(&[&order[..], &account, more].concat()))
    }

    pub(crate) fn entries(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// Returns the elements of an input of the model `tumour` as a transaction's file has them: where
/// `references` says so, the element of an item's output at a pointer.
pub(crate) fn features(
    references: &[(usize, &str, &str)],
    other: impl Fn(usize) -> String,
) -> String {
    let element = |index| match references.iter().find(|(at, ..)| *at == index) {
        Some((_, item, pointer)) => format!(r#"{{ "$from" = "{item}", pointer = "{pointer}" }}"#),
        None => other(index),
    };
    (0..30).map(element).collect::<Vec<_>>().join(", ")
}

/// Writes a transaction of which what failed is not charged: a signed item, one whose input turns out to be
/// none, and `third`, an element of TOML. Returns the file's path.
pub(crate) fn of_each(place: &Place, third: &str) -> String {
    let data = features(&[(19, "first", "/outputs/0/data/4")], |_| "0.01".to_owned());
    place.file(
        "each.toml",
        format!(
            r#"
            outcome_policy = "each"
            items = [
                {{ id = "first", model = "digits", sample = 0 }},
                {{ id = "wrong", model = "tumour", method = "zkml", input_data = [[{data}]] }},
                {third},
            ]
            "#
        ),
    )
}

/// Returns the permissions of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Returns a golden bundle of `assay-verify`, or the policy for them.
pub(crate) fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../verify/tests/golden/v1");
    fs::read(folder.join(name)).unwrap()
}
