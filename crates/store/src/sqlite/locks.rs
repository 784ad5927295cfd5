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
    /// The folder, where folders can be locked.
    _folder: Option<File>,
}

impl Locks {
    /// Takes the locks, so that nobody else can.
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        let in_use = || StoreError::InUse(folder.join("assay.db"));
        let path = path(folder);
        let wrong = |error| StoreError::Folder { path: path.clone(), error };
        let file = private_file(&path).map_err(wrong)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(error)) => return Err(wrong(error)),
        }
        // Not every file system locks folders, and not every system opens them.
        let folder = File::open(folder).ok().map(|folder| (folder.try_lock(), folder));
        let folder = match folder {
            Some((Ok(()), folder)) => Some(folder),
            Some((Err(TryLockError::WouldBlock), _)) => return Err(in_use()),
            Some((Err(TryLockError::Error(_)), _)) | None => None,
        };
        Ok(Self { _file: file, _folder: folder })
    }
}

/// Says whether somebody has a folder's locks. Makes nothing.
pub(super) fn is_held(folder: &Path) -> Result<bool, StoreError> {
    let is_locked = |file: &File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    let path = path(folder);
    let is_file_locked = match File::open(&path) {
        Ok(file) => is_locked(&file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(StoreError::Folder { path, error }),
    };
    Ok(is_file_locked || File::open(folder).is_ok_and(|folder| is_locked(&folder)))
}

fn path(folder: &Path) -> PathBuf {
    folder.join("assay.lock")
}
