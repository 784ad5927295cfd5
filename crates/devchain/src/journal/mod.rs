//! The block file: what a chain needs to be the same chain after a restart.
//!
//! ```text
//! file   = "assay-devchain\n" || version (u32) || genesis hash (32 bytes) || record*
//! record = length of payload (u32) || check of the length (4 bytes)
//!          || digest of the payload (8 bytes) || payload
//! ```
//!
//! Integers are big-endian. Check and digest are the first bytes of keccak256. A payload is the RLP
//! list [time, block hash, transaction], the last empty for an empty block. State is not in the
//! file: opening runs every transaction again, and the block hashes show that all came out the same.
//!
//! A crash can leave the last record incomplete, as a part of it or as zeros; then it is cut off.
//! Anything else that does not check is damage, and an error. The length has a check of its own so
//! that a damaged length is not taken for an incomplete last record.

mod record;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use thiserror::Error;

pub(crate) use record::Record;
use record::{Next, read_next};

use crate::block::Block;

/// Why the block file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A write failed and could not be undone, so that nothing more may be written.
    #[error("{}: an earlier write failed and could not be undone", path.display())]
    Broken {
        /// The block file.
        path: PathBuf,
    },
    /// A record other than an incomplete last one does not check.
    #[error("{}: damaged at byte {offset}: {reason}", path.display())]
    Damaged {
        /// The block file.
        path: PathBuf,
        /// Where the record starts.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The file belongs to a chain with another genesis block, one that this program cannot build.
    #[error("{}: its genesis block is {found}, this program's is {expected}", path.display())]
    Genesis {
        /// The block file.
        path: PathBuf,
        /// The genesis hash in the file.
        found: B256,
        /// The genesis hash of this program.
        expected: B256,
    },
    /// The operating system refused an operation.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Another process has the folder open.
    #[error("{}: another process has this chain open", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{}: not a block file of a development chain", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// A recorded block does not run as it did.
    #[error("{}: {source}", path.display())]
    Replay {
        /// The block file.
        path: PathBuf,
        /// What differs.
        source: ReplayError,
    },
    /// The file is of another version.
    #[error("{}: version {found} of the format, this program reads {VERSION}", path.display())]
    Version {
        /// The block file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
    },
}

/// What differs when a recorded block is run again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It gives another block.
    #[error("block {number} was recorded as {recorded} and comes out as {replayed}")]
    Differs {
        /// The block's number.
        number: u64,
        /// The hash in the file.
        recorded: B256,
        /// The hash now.
        replayed: B256,
    },
    /// It is not valid.
    #[error("block {number} is not valid: {reason}")]
    Invalid {
        /// The block's number.
        number: u64,
        /// What is wrong.
        reason: String,
    },
}

/// The open block file, locked for this process.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
    fsync: bool,
    broken: bool,
    /// Held for as long as the journal is; the lock goes with it.
    _lock: File,
}

const MAGIC: &[u8; 15] = b"assay-devchain\n";
const VERSION: u32 = 1;
const HEADER_LENGTH: usize = MAGIC.len() + 4 + 32;

impl Journal {
    /// Returns the hash of the genesis block that the file in `folder` begins with; `None` where there
    /// is no such file, or what it begins with is something else.
    pub(crate) fn recorded_genesis(folder: &Path) -> Result<Option<B256>, JournalError> {
        let path = folder.join("blocks");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(JournalError::Io { path, source }),
        };
        let mut header = Vec::with_capacity(HEADER_LENGTH);
        file.take(HEADER_LENGTH as u64).read_to_end(&mut header).map_err(at(&path))?;
        let start = [MAGIC.as_slice(), &VERSION.to_be_bytes()].concat();
        Ok(header.strip_prefix(start.as_slice()).and_then(|hash| B256::try_from(hash).ok()))
    }

    /// Opens the block file in `folder`, or makes one, and hands every record to `replay` in order.
    pub(crate) fn open(
        folder: &Path,
        genesis: B256,
        fsync: bool,
        mut replay: impl FnMut(Record) -> Result<(), ReplayError>,
    ) -> Result<Self, JournalError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let lock = lock(folder)?;
        let path = folder.join("blocks");
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).append(true).create(true).open(&path).map_err(at(&path))?;
        let size = file.metadata().map_err(at(&path))?.len();
        read_header(&mut file, &path, genesis)?;
        let mut length = HEADER_LENGTH as u64;
        let mut reader = BufReader::new(&file);
        loop {
            let remaining = size.saturating_sub(length);
            match read_next(&mut reader, remaining).map_err(at(&path))? {
                Next::Record(record, read) => {
                    replay(record)
                        .map_err(|source| JournalError::Replay { path: path.clone(), source })?;
                    length = length.saturating_add(read);
                }
                Next::End => break,
                Next::Incomplete => {
                    file.set_len(length).map_err(at(&path))?;
                    let path = path.display();
                    tracing::warn!(%path, kept = length, "Incomplete last block dropped.");
                    break;
                }
                Next::Damaged(reason) => {
                    return Err(JournalError::Damaged { path, offset: length, reason });
                }
            }
        }
        Ok(Self { path, file, length, fsync, broken: false, _lock: lock })
    }

    /// Records a block. Unless this succeeds, the file is as it was.
    pub(crate) fn append(&mut self, block: &Block) -> Result<(), JournalError> {
        if self.broken {
            return Err(JournalError::Broken { path: self.path.clone() });
        }
        let bytes = Record::of(block).encode().map_err(at(&self.path))?;
        if let Err(source) = self.write(&bytes) {
            self.broken = self.file.set_len(self.length).is_err();
            return Err(JournalError::Io { path: self.path.clone(), source });
        }
        self.length = self.length.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Makes every further write fail, as on a full disk that also cannot be cut.
    #[cfg(test)]
    pub(crate) fn fail(&mut self) {
        self.file = File::open(&self.path).unwrap();
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        if self.fsync { self.file.sync_data() } else { Ok(()) }
    }
}

/// Locks the folder for as long as the file that is returned is open.
fn lock(folder: &Path) -> Result<File, JournalError> {
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked { path: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(JournalError::Io { path, source }),
    }
}

/// Reads the file's header, or writes it if the file is new or its header incomplete.
fn read_header(file: &mut File, path: &Path, genesis: B256) -> Result<(), JournalError> {
    let expected = [MAGIC.as_slice(), &VERSION.to_be_bytes(), genesis.as_slice()].concat();
    let mut header = Vec::with_capacity(HEADER_LENGTH);
    file.take(HEADER_LENGTH as u64).read_to_end(&mut header).map_err(at(path))?;
    if header == expected {
        return Ok(());
    }
    if header.len() < HEADER_LENGTH {
        if !expected.starts_with(&header) {
            return Err(JournalError::NotAJournal { path: path.to_owned() });
        }
        return file
            .set_len(0)
            .and_then(|()| file.write_all(&expected))
            .and_then(|()| file.sync_all())
            .map_err(at(path));
    }
    let mismatch = || -> Option<JournalError> {
        let rest = header.strip_prefix(MAGIC)?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (found, path) = (u32::from_be_bytes(*version), path.to_owned());
        if found != VERSION {
            return Some(JournalError::Version { path, found });
        }
        Some(JournalError::Genesis { path, found: B256::try_from(rest).ok()?, expected: genesis })
    };
    Err(mismatch().unwrap_or_else(|| JournalError::NotAJournal { path: path.to_owned() }))
}

fn at(path: &Path) -> impl Fn(io::Error) -> JournalError {
    move |source| JournalError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
