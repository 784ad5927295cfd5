use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use assay_primitives::Digest;
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use thiserror::Error;

/// How many blobs are known to be there.
const MAX_KNOWN: usize = 256;

/// Evidence by its digest, over any object store.
#[derive(Clone, Debug)]
pub struct BlobStore {
    objects: Arc<dyn ObjectStore>,
    /// What was stored or read last, the latest at the end: many items share a blob.
    known: Arc<Mutex<VecDeque<Digest>>>,
}

/// A blob cannot be stored or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The folder cannot be used.
    #[error("blob folder {path}: {error}")]
    Folder {
        /// The folder.
        path: std::path::PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The object store failed.
    #[error("object store: {0}")]
    Store(#[from] object_store::Error),
    /// What is stored under a digest has another.
    #[error("blob {expected} is damaged: its content has SHA-256 {got}")]
    Damaged {
        /// The digest it is stored under.
        expected: Digest,
        /// The digest it has.
        got: Digest,
    },
}

impl BlobStore {
    /// Keeps blobs in a folder, making it where it does not exist. A blob is on the disk before
    /// [`BlobStore::put`] returns.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn in_folder(folder: &Path) -> Result<Self, BlobError> {
        let error = |error| BlobError::Folder { path: folder.to_path_buf(), error };
        std::fs::create_dir_all(folder).map_err(error)?;
        let files = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self { objects: Arc::new(files), known: Arc::default() })
    }

    /// Stores a blob and returns its digest. One that is there already is not written again, unless it is
    /// damaged: that is looked at when it is first stored, and whenever it is read.
    ///
    /// # Errors
    /// When the object store fails.
    pub async fn put(&self, content: Bytes) -> Result<Digest, BlobError> {
        let digest = Digest::of(&content);
        if self.known().contains(&digest) {
            return Ok(digest);
        }
        match self.get(digest).await {
            Ok(Some(_)) => return Ok(digest),
            Ok(None) | Err(BlobError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        self.objects.put(&path(digest), PutPayload::from_bytes(content)).await?;
        self.know(digest);
        Ok(digest)
    }

    /// Returns a blob whose content has been checked against its digest, or `None` when there is no
    /// such blob.
    ///
    /// # Errors
    /// When the object store fails or the content is damaged.
    pub async fn get(&self, digest: Digest) -> Result<Option<Bytes>, BlobError> {
        self.forget(digest);
        let content = match self.objects.get(&path(digest)).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let got = Digest::of(&content);
        if got == digest {
            self.know(digest);
            Ok(Some(content))
        } else {
            Err(BlobError::Damaged { expected: digest, got })
        }
    }

    fn know(&self, digest: Digest) {
        let mut known = self.known();
        known.retain(|one| *one != digest);
        if known.len() >= MAX_KNOWN {
            known.pop_front();
        }
        known.push_back(digest);
    }

    fn forget(&self, digest: Digest) {
        self.known().retain(|one| *one != digest);
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<Digest>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `ab/abcd…`: so that no folder grows without bound.
fn path(digest: Digest) -> object_store::path::Path {
    let name = digest.to_string();
    let folder: String = name.chars().take(2).collect();
    object_store::path::Path::from_iter([folder, name])
}
