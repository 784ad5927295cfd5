//! What keeps a second process from the database.
//!
//! A lock is on a file, not on its name: whoever deletes `assay.lock` and makes it anew has another one
//! to lock. So the folder itself is locked as well, which holds as long as the database is in it,
//! whatever happens to the names. Not the database: when a process closes any file of it, it loses
//! the locks that SQLite has there.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::private_file;
use crate::StoreError;

/// The locks of a folder; they end with the process, or when they are dropped.
#[derive(Debug)]
pub(super) struct Locks {
    /// `assay.lock`: where folders cannot be locked, and for versions that lock it alone.
    _file: File,
    /// The folder.
    #[cfg(unix)]
    _folder: File,
}

impl Locks {
    /// Takes the locks, so that nobody else can.
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = path(folder);
        let locked = |file: io::Result<File>, path: &Path| {
            let wrong = |error| StoreError::Folder { path: path.to_path_buf(), error };
            let file = file.map_err(wrong)?;
            match file.try_lock() {
                Ok(()) => Ok(file),
                Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.join("assay.db"))),
                Err(TryLockError::Error(error)) => Err(wrong(error)),
            }
        };
        Ok(Self {
            _file: locked(private_file(&path), &path)?,
            #[cfg(unix)]
            _folder: locked(File::open(folder), folder)?,
        })
    }
}

/// Says whether somebody has a folder's locks. Makes nothing.
pub(super) fn is_held(folder: &Path) -> Result<bool, StoreError> {
    let is_held = |path: &Path| {
        let wrong = |error| StoreError::Folder { path: path.to_path_buf(), error };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(wrong(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(wrong(error)),
        }
    };
    Ok(is_held(&path(folder))? || cfg!(unix) && is_held(folder)?)
}

fn path(folder: &Path) -> PathBuf {
    folder.join("assay.lock")
}
