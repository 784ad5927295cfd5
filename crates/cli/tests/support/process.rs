use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use serde_json::Value;

/// How often a process is looked at, and how many times: a minute is long enough for anything on a
/// busy machine, and a test that waits for so long has failed.
const POLL: Duration = Duration::from_millis(5);
const LOOKS: u32 = 12_000;

/// Makes a command of the binary, in a folder, and in an environment without its variables.
pub(super) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ASSAY_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).args(args).env("COLUMNS", "100").stdin(Stdio::null());
    command
}

/// A process, killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// What a process did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            read_into(child.stdout.take().unwrap(), &stdout),
            read_into(child.stderr.take().unwrap(), &stderr),
        ];
        Self { child, stdout, stderr, readers }
    }

    /// Waits until it has printed the text, to standard output or standard error.
    pub(crate) fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |running| running.has_told(text));
    }

    /// Says whether it has printed the text, to standard output or standard error.
    pub(crate) fn has_told(&self, text: &str) -> bool {
        self.stdout().contains(text) || self.stderr().contains(text)
    }

    fn wait_until(&mut self, what: &str, comes: impl Fn(&Self) -> bool) {
        for _ in 0..LOOKS {
            let ended = !self.is_running();
            if comes(self) {
                return;
            }
            assert!(!ended, "no {what:?} came: {self:?}");
            sleep(POLL);
        }
        panic!("no {what:?} came: {self:?}");
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first line of standard output, as JSON.
    pub(crate) fn first_json(&mut self) -> Value {
        // What is logged may be JSON, too.
        self.wait_until("JSON", |running| running.stdout().contains("}\n"));
        serde_json::from_str(self.stdout().lines().next().unwrap()).unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal by its name, as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn stop(self, signal: &str) -> Ran {
        self.signal(signal);
        self.finish()
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Ran {
        let mut look = || {
            let status = self.child.try_wait().unwrap();
            if status.is_none() {
                sleep(POLL);
            }
            status
        };
        let status = (0..LOOKS).find_map(|_| look());
        let status = status.unwrap_or_else(|| panic!("it does not end: {self:?}"));
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Ran { status, stdout: self.stdout(), stderr: self.stderr() }
    }

    fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ran {
    /// Asserts how it ended.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self:#?}");
        self
    }

    /// Asserts how it ended and what it told people.
    #[track_caller]
    pub(crate) fn expect_told(self, code: i32, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{text:?} is not in {self:#?}");
        self.expect(code)
    }

    /// Asserts how it ended and what its result says.
    #[track_caller]
    pub(crate) fn expect_shown(self, code: i32, text: &str) -> Self {
        assert!(self.stdout.contains(text), "{text:?} is not in {self:#?}");
        self.expect(code)
    }

    /// Returns standard output, which is one JSON object on one line.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:#?}");
        serde_json::from_str(&self.stdout).unwrap()
    }
}

fn read_into(mut from: impl Read + Send + 'static, to: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let to = to.clone();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..count]);
            *to.lock().unwrap() = String::from_utf8_lossy(&bytes).into_owned();
        }
    })
}
