//! `swtpm`, a TPM that is a program.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::{TIMEOUT, TpmPlace};
use crate::collect::CollectError;

const PROGRAM: &str = "swtpm";
/// What Debian calls its package.
const PACKAGE: &str = "swtpm";
/// Gives it standard input, a socket, as its connection: of the first three it takes none.
const SCRIPT: &str = r#"exec 3<&0 </dev/null; exec swtpm "$@""#;
/// Its state lies where it is started. Its only connection is the one that it is given, and it ends
/// with that: also when the process at the other end is killed.
const ARGUMENTS: &[&str] = &[
    "socket",
    "--tpm2",
    "--tpmstate",
    "dir=.,mode=0600",
    "--flags",
    "startup-clear",
    "--log",
    "file=swtpm.log,truncate",
    "--terminate",
    "--fd",
    "3",
];

/// A `swtpm` that belongs to this process, and that nobody else can talk to. It ends with its
/// connection, or when this is dropped.
#[derive(Debug)]
pub struct SoftwareTpm {
    process: Child,
}

impl SoftwareTpm {
    /// Starts one whose state is in a folder, which another must not use: a TPM that was there before
    /// has its keys again, and its PCRs as at a boot.
    ///
    /// # Errors
    /// When it is not installed, or cannot be started.
    pub fn start(folder: &Path) -> Result<(Self, TpmPlace), CollectError> {
        let failed = |error: io::Error| CollectError::Device { path: folder.to_path_buf(), error };
        let is_there = Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).status();
        match is_there {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (program, package) = (PROGRAM, PACKAGE);
                return Err(CollectError::NotInstalled { program, package });
            }
            other => other.map_err(failed)?,
        };
        let (ours, its) = UnixStream::pair().map_err(failed)?;
        ours.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        ours.set_write_timeout(Some(TIMEOUT)).map_err(failed)?;
        let process = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .args(ARGUMENTS)
            .current_dir(folder)
            .stdin(Stdio::from(OwnedFd::from(its)))
            .stdout(Stdio::null())
            .spawn()
            .map_err(failed)?;
        Ok((Self { process }, TpmPlace::Connection(ours)))
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait()
    }
}

impl Drop for SoftwareTpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
