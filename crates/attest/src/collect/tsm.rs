//! Reports by the kernel's configfs interface for TDX and SEV-SNP guests (Linux
//! `Documentation/ABI/testing/configfs-tsm-report`).

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{Attester, CollectError};
use crate::{Evidence, KeyBinding};

/// Where the kernel has it.
const FOLDER: &str = "/sys/kernel/config/tsm/report";
/// The most bytes of a report or its certificates: what the kernel has room for.
const MAX_BLOB: u64 = 32 << 10;
/// How often a report is asked for again because somebody else changed what it is about.
const ATTEMPTS: u32 = 3;

/// A TDX or SEV-SNP guest that asks its kernel.
#[derive(Clone, Debug)]
pub struct Tsm {
    folder: PathBuf,
}

/// What the kernel gave.
#[derive(Debug)]
struct Report {
    provider: String,
    report: Vec<u8>,
    auxiliary: Vec<u8>,
}

impl Tsm {
    /// Looks for the kernel's interface.
    ///
    /// # Errors
    /// When this kernel or machine has none.
    pub fn open() -> Result<Self, CollectError> {
        Self::in_folder(Path::new(FOLDER))
    }

    fn in_folder(folder: &Path) -> Result<Self, CollectError> {
        if !folder.is_dir() {
            let what = "TDX or SEV-SNP guest (configfs-tsm)";
            return Err(CollectError::Missing { what, path: folder.to_path_buf() });
        }
        Ok(Self { folder: folder.to_path_buf() })
    }

    /// Asks for a report in an entry of one's own, which is removed again.
    fn report(&self, user_data: &[u8; 64]) -> Result<Report, CollectError> {
        let entry = self.folder.join(format!("assay-{}", std::process::id()));
        let failed = |error| CollectError::Device { path: entry.clone(), error };
        match fs::create_dir(&entry) {
            // Left by a process before that had this number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(failed)?,
        }
        let report = read_report(&entry, user_data);
        let removed = fs::remove_dir(&entry).map_err(failed);
        let report = report?;
        removed?;
        Ok(report)
    }
}

impl Attester for Tsm {
    fn attest(&self, binding: &KeyBinding) -> Result<Evidence, CollectError> {
        let Report { provider, report, auxiliary } = self.report(&binding.digest())?;
        let _ = (report, auxiliary);
        match provider.as_str() {
            _ => Err(CollectError::Answer {
                device: "configfs-tsm",
                expected: "provider `tdx_guest` or `sev_guest`".to_owned(),
                got: format!("`{provider}`"),
            }),
        }
    }
}

fn read_report(entry: &Path, user_data: &[u8; 64]) -> Result<Report, CollectError> {
    let mut attempt = 1;
    loop {
        let before = generation(entry)?;
        let inblob = entry.join("inblob");
        fs::write(&inblob, user_data)
            .map_err(|error| CollectError::Device { path: inblob.clone(), error })?;
        let report = read(&entry.join("outblob"))?;
        let auxiliary = match read(&entry.join("auxblob")) {
            Err(CollectError::Device { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                Vec::new()
            }
            other => other?,
        };
        let provider = String::from_utf8_lossy(&read(&entry.join("provider"))?).trim().to_owned();
        // One write, and so one generation, was this process's own.
        let after = generation(entry)?;
        if before.wrapping_add(1) == after {
            return Ok(Report { provider, report, auxiliary });
        }
        if attempt == ATTEMPTS {
            return Err(CollectError::Answer {
                device: "configfs-tsm",
                expected: format!("generation {}", before.wrapping_add(1)),
                got: after.to_string(),
            });
        }
        attempt += 1;
    }
}

fn generation(entry: &Path) -> Result<u64, CollectError> {
    let bytes = read(&entry.join("generation"))?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    text.parse().map_err(|_| CollectError::Answer {
        device: "configfs-tsm",
        expected: "a generation".to_owned(),
        got: format!("`{text}`"),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CollectError> {
    let failed = |error| CollectError::Device { path: path.to_path_buf(), error };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_BLOB + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BLOB {
        return Err(CollectError::Answer {
            device: "configfs-tsm",
            expected: format!("at most {MAX_BLOB} bytes"),
            got: bytes.len().to_string(),
        });
    }
    Ok(bytes)
}
