use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// What keeps other processes from a folder; it ends with the process, or when it is dropped.
///
/// A lock is on a file, not on its name: whoever deletes the file and makes it anew has another one to
/// lock. So the folder itself is locked as well, which holds as long as it is the same folder, whatever
/// happens to the names in it.
#[derive(Debug)]
pub struct FolderLock {
    /// Where folders cannot be locked, and for versions that lock it alone.
    _file: File,
    /// The folder, where folders can be locked.
    _folder: Option<File>,
}

impl FolderLock {
    /// Locks a folder and the file `name` in it, which is made for its owner alone where it does not
    /// exist. Returns `None` when somebody has it.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub fn take(folder: &Path, name: &str) -> io::Result<Option<Self>> {
        let file = private_file(&folder.join(name))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Not every file system locks folders, and not every system opens them.
        let folder = match File::open(folder).ok().map(|folder| (folder.try_lock(), folder)) {
            Some((Ok(()), folder)) => Some(folder),
            Some((Err(TryLockError::WouldBlock), _)) => return Ok(None),
            Some((Err(TryLockError::Error(_)), _)) | None => None,
        };
        Ok(Some(Self { _file: file, _folder: folder }))
    }

    /// Says whether somebody has it. Makes nothing.
    ///
    /// # Errors
    /// When the file is there and cannot be opened.
    pub fn is_held(folder: &Path, name: &str) -> io::Result<bool> {
        let is_locked =
            |file: &File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        let is_file_locked = match File::open(folder.join(name)) {
            Ok(file) => is_locked(&file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        Ok(is_file_locked || File::open(folder).is_ok_and(|folder| is_locked(&folder)))
    }
}

/// Opens a file, making it for its owner alone where it does not exist.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
