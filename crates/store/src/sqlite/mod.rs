//! SQLite, one file, write-ahead log.

mod connections;
mod inspect;
mod rows;
mod steps;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Row as _};

use assay_primitives::{Clock, Digest};
use tokio::sync::Mutex;

use self::connections::{Connections, Observer};
use crate::{StepKind, StepObserver, StoreError};

pub use self::inspect::StoreInspection;

const SCHEMA: &str = include_str!("schema.sql");
const SCHEMA_VERSION: i64 = 1;
const READERS: u32 = 4;

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
    /// One connection: SQLite has one writer at a time, and here it waits in order.
    writer: Connections,
    readers: Connections,
    /// The key manifest that was kept last: nearly every step refers to the same one.
    kept_manifest: Mutex<Option<Digest>>,
    _lock: File,
}

impl SqliteStore {
    /// Opens the database `assay.db` in a folder, making both where they do not exist.
    ///
    /// # Errors
    /// When another process has it open, it was written by a newer version, or it cannot be used.
    pub async fn open(folder: &Path, durability: Durability) -> Result<Self, StoreError> {
        let folder_error = |error| StoreError::Folder { path: folder.to_path_buf(), error };
        std::fs::create_dir_all(folder).map_err(folder_error)?;
        let lock = lock(folder)?;
        let path = folder.join("assay.db");
        // SQLite gives its log and its shared memory the mode of the database.
        private_file(&path).map_err(|error| StoreError::Folder { path: path.clone(), error })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(match durability {
                Durability::Full => SqliteSynchronous::Full,
                Durability::Normal => SqliteSynchronous::Normal,
            })
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        let writer = pool(1).connect_with(options.clone()).await?;
        migrate(&writer).await?;
        let readers = pool(READERS).connect_with(options.read_only(true)).await?;
        let writer = Connections::new(writer, StepKind::Write);
        let readers = Connections::new(readers, StepKind::Read);
        Ok(Self { writer, readers, kept_manifest: Mutex::new(None), _lock: lock })
    }

    /// Tells an observer how long each step takes, by this clock.
    #[must_use]
    pub fn observed(self, clock: Arc<dyn Clock>, told: Arc<dyn StepObserver>) -> Self {
        let observer = Arc::new(Observer { clock, told });
        let writer = self.writer.observed(observer.clone());
        Self { writer, readers: self.readers.observed(observer), ..self }
    }

    /// Writes what is left in the log and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A pool that keeps its connections: to a file they do not go stale, so there is nothing to test
/// before each use.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Opens a file, making it for its owner alone where it does not exist.
fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("assay.lock");
    let error = |error| StoreError::Folder { path: path.clone(), error };
    let file = private_file(&path).map_err(error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.join("assay.db"))),
        Err(TryLockError::Error(cause)) => Err(error(cause)),
    }
}

async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    let got: i64 =
        sqlx::query("PRAGMA user_version").fetch_one(&mut *connection).await?.try_get(0)?;
    if got > SCHEMA_VERSION {
        return Err(StoreError::Version { known: SCHEMA_VERSION, got });
    }
    if got < SCHEMA_VERSION {
        let mut step = connection.begin().await?;
        sqlx::raw_sql(SCHEMA).execute(&mut *step).await?;
        sqlx::raw_sql("PRAGMA user_version = 1").execute(&mut *step).await?;
        step.commit().await?;
    }
    Ok(())
}
