//! The protocol: an entry of one's own, a write, and what is read after it.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use assay_primitives::printable;

use super::DEVICE;
use crate::collect::CollectError;

/// The most bytes of a report or its certificates: what the kernel has room for.
const MAX_BLOB: u64 = 32 << 10;
/// The most bytes of an attribute that is a word.
const MAX_WORD: u64 = 64;
/// How often a report is asked for again because somebody else changed what it is about.
const ATTEMPTS: u32 = 3;
/// How many entries of others, or left by processes that were killed, are passed by.
const MAX_ENTRIES: u32 = 64;

/// Counts the entries of this process, which may ask for two reports at a time.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// The kernel's folder. An entry is a folder in it, which has its attributes from the moment that it is
/// made to the one that it is removed.
pub(super) trait ConfigFs: Debug + Send + Sync {
    /// Returns the path of an entry or attribute, for people.
    fn path(&self, name: &str) -> PathBuf;
    /// Makes an entry.
    fn make(&self, entry: &str) -> io::Result<()>;
    /// Removes an entry.
    fn remove(&self, entry: &str) -> io::Result<()>;
    /// Writes an attribute, by its path in the folder, at once.
    fn write(&self, attribute: &str, bytes: &[u8]) -> io::Result<()>;
    /// Opens an attribute for reading.
    fn open(&self, attribute: &str) -> io::Result<Box<dyn Read>>;
}

/// The running kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    folder: PathBuf,
}

/// What the kernel gave.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) provider: String,
    pub(super) report: Vec<u8>,
    pub(super) auxiliary: Vec<u8>,
}

impl Kernel {
    pub(super) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }
}

impl ConfigFs for Kernel {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn make(&self, entry: &str) -> io::Result<()> {
        fs::create_dir(self.path(entry))
    }

    fn remove(&self, entry: &str) -> io::Result<()> {
        fs::remove_dir(self.path(entry))
    }

    fn write(&self, attribute: &str, bytes: &[u8]) -> io::Result<()> {
        fs::write(self.path(attribute), bytes)
    }

    fn open(&self, attribute: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(File::open(self.path(attribute))?))
    }
}

/// Asks for a report in an entry of one's own, which is removed again.
pub(super) fn report(kernel: &dyn ConfigFs, user_data: &[u8; 64]) -> Result<Report, CollectError> {
    let entry = make_entry(kernel)?;
    let report = Entry { kernel, name: &entry }.report(user_data);
    let removed = kernel.remove(&entry);
    let report = report?;
    removed.map_err(|error| CollectError::Device { path: kernel.path(&entry), error })?;
    Ok(report)
}

/// Makes an entry that is nobody else's: process numbers are not, across containers.
fn make_entry(kernel: &dyn ConfigFs) -> Result<String, CollectError> {
    let mut tried = 0;
    loop {
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("assay-{}-{count}", std::process::id());
        match kernel.make(&name) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tried < MAX_ENTRIES => {
                tried += 1;
            }
            Err(error) => {
                return Err(CollectError::Device { path: kernel.path(&name), error });
            }
        }
    }
}

struct Entry<'a> {
    kernel: &'a dyn ConfigFs,
    name: &'a str,
}

impl Entry<'_> {
    fn report(&self, user_data: &[u8; 64]) -> Result<Report, CollectError> {
        let mut attempt = 1;
        loop {
            let before = self.generation()?;
            let inblob = format!("{}/inblob", self.name);
            self.kernel
                .write(&inblob, user_data)
                .map_err(|error| CollectError::Device { path: self.kernel.path(&inblob), error })?;
            let report = self.read("outblob", MAX_BLOB)?;
            let auxiliary = match self.read("auxblob", MAX_BLOB) {
                Err(CollectError::Device { error, .. })
                    if error.kind() == io::ErrorKind::NotFound =>
                {
                    Vec::new()
                }
                other => other?,
            };
            let provider = self.word("provider")?;
            // One write, and so one generation, was this process's own.
            let after = self.generation()?;
            if before.wrapping_add(1) == after {
                return Ok(Report { provider, report, auxiliary });
            }
            if attempt == ATTEMPTS {
                return Err(CollectError::Answer {
                    device: DEVICE,
                    expected: format!("generation {}", before.wrapping_add(1)),
                    got: after.to_string(),
                });
            }
            attempt += 1;
        }
    }

    fn generation(&self) -> Result<u64, CollectError> {
        let word = self.word("generation")?;
        word.parse().map_err(|_| CollectError::Answer {
            device: DEVICE,
            expected: "a generation".to_owned(),
            got: format!("`{}`", printable(&word, 64)),
        })
    }

    fn word(&self, attribute: &str) -> Result<String, CollectError> {
        let bytes = self.read(attribute, MAX_WORD)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    fn read(&self, attribute: &str, most: u64) -> Result<Vec<u8>, CollectError> {
        let attribute = format!("{}/{attribute}", self.name);
        let opened = self.kernel.open(&attribute);
        bounded(opened, &self.kernel.path(&attribute), most)
    }
}

/// Reads a file of a bounded size.
pub(super) fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, CollectError> {
    bounded(File::open(path), path, most)
}

fn bounded(opened: io::Result<impl Read>, path: &Path, most: u64) -> Result<Vec<u8>, CollectError> {
    let failed = |error| CollectError::Device { path: path.to_path_buf(), error };
    let mut bytes = Vec::new();
    opened.map_err(failed)?.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        let error = io::Error::new(
            io::ErrorKind::InvalidData,
            format!("expected at most {most} bytes, got more"),
        );
        return Err(failed(error));
    }
    Ok(bytes)
}
