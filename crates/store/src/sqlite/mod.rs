//! SQLite, one file, write-ahead log.

mod checkpoint;
mod connections;
mod erase;
mod inspect;
mod jobs;
mod manifests;
mod outgoing;
mod prepare;
mod rows;
mod steps;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assay_primitives::{Clock, Randomness};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tokio::task::JoinSet;

use self::checkpoint::Log;
use self::connections::{Connections, Observer, Pool};
pub use self::inspect::StoreInspection;
use self::manifests::KeptManifest;
use self::writer::Writer;
use crate::lock::private_file;
use crate::seal::Sealer;
use crate::{FolderLock, StepKind, StepObserver, StorageKey, StoreError};

const READERS: usize = 4;
/// The file whose lock keeps other processes from the database.
const LOCK: &str = "assay.lock";

/// When a committed step is on the disk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Durability {
    /// Before the step returns (`synchronous = FULL`): it survives a loss of power.
    #[default]
    Full,
    /// Soon (`synchronous = NORMAL`): it survives the end of the process, but after a loss of power
    /// the last steps may be missing. The file is consistent all the same.
    Normal,
}

/// A [`crate::TransactionStore`] over SQLite.
#[derive(Debug)]
pub struct SqliteStore {
    /// One connection: SQLite has one writer at a time.
    writing: Arc<Pool>,
    writer: Writer,
    readers: Connections,
    kept_manifest: KeptManifest,
    log: Arc<Log>,
    checkpoints: tokio::sync::Mutex<JoinSet<()>>,
    observer: Option<Arc<Observer>>,
    sealer: Sealer,
    _lock: FolderLock,
}

impl SqliteStore {
    /// Opens the database `assay.db` in a folder, making both where they do not exist. What it holds
    /// of requests, outputs and payments is sealed with `key`, from the first opening on always the
    /// same.
    ///
    /// # Errors
    /// When another process has it open, it was written by another version or under another key, or
    /// it cannot be used.
    pub async fn open(
        folder: &Path,
        durability: Durability,
        key: &StorageKey,
        randomness: Arc<dyn Randomness>,
    ) -> Result<Self, StoreError> {
        let sealer = Sealer::new(key, randomness);
        let folder_error = |error| StoreError::Folder { path: folder.to_path_buf(), error };
        std::fs::create_dir_all(folder).map_err(folder_error)?;
        // Not of the database: when a process closes any file of it, it loses the locks that SQLite
        // has there.
        let lock = FolderLock::take(folder, LOCK)
            .map_err(|error| StoreError::Folder { path: folder.join(LOCK), error })?;
        let path = folder.join("assay.db");
        let lock = lock.ok_or_else(|| StoreError::InUse(path.clone()))?;
        // SQLite gives its log and its shared memory the mode of the database.
        private_file(&path).map_err(|error| StoreError::Folder { path: path.clone(), error })?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(match durability {
                Durability::Full => SqliteSynchronous::Full,
                Durability::Normal => SqliteSynchronous::Normal,
            })
            .foreign_keys(true)
            // What is erased is overwritten, in the pages that become free as well.
            .pragma("secure_delete", "ON")
            .busy_timeout(Duration::from_secs(5));
        // The log is written back by a connection of its own.
        let options = options.pragma("wal_autocheckpoint", "0");
        let writing = Arc::new(Pool::open(1, &options).await?);
        prepare::prepare(&writing, &path, &sealer).await?;
        let checkpointing = options.clone().pragma("busy_timeout", "0");
        let checkpointing = Pool::open(1, &checkpointing).await?;
        let log = Arc::new(Log::new(checkpointing, writing.clone()));
        // What the process before erased and could not empty it of. What fails is tried again.
        let _ = log.forget_erased().await;
        let readers = Pool::open(READERS, &options.read_only(true)).await?;
        let writer = Writer::start(writing.clone());
        let checkpoints = tokio::sync::Mutex::new(checkpoint::start(Arc::clone(&log)));
        let readers = Connections::new(readers, StepKind::Read);
        Ok(Self {
            writing,
            writer,
            readers,
            kept_manifest: KeptManifest::default(),
            log,
            checkpoints,
            observer: None,
            sealer,
            _lock: lock,
        })
    }

    /// Tells an observer how long each step takes, by this clock.
    #[must_use]
    pub fn observed(self, clock: Arc<dyn Clock>, told: Arc<dyn StepObserver>) -> Self {
        let observer = Arc::new(Observer { clock, told });
        let readers = self.readers.observed(observer.clone());
        Self { readers, observer: Some(observer), ..self }
    }

    /// Finishes the steps that are under way, writes what is left in the log and closes the file.
    pub async fn close(&self) {
        self.writer.stop().await;
        self.checkpoints.lock().await.shutdown().await;
        self.log.close().await;
        self.readers.close().await;
        self.writing.close().await;
    }
}
