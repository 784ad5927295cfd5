//! Looking at a database without changing it.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Row as _};

use super::prepare::{OLDEST, VERSION};
use super::{LOCK, SqliteStore};
use crate::{FolderLock, StoreError};

/// What a folder's database is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoreInspection {
    /// Whether another process has it open.
    pub is_held: bool,
    /// The version of its schema; `None` when there is no database yet.
    pub version: Option<i64>,
    /// The newest version of the schema that this program knows.
    pub known: i64,
    /// The oldest that it brings up to that one.
    pub oldest: i64,
}

impl SqliteStore {
    /// Looks at the database `assay.db` of a folder and changes nothing: no file is made, and a
    /// process that has it open does not notice.
    ///
    /// # Errors
    /// When the file cannot be read, or is no database.
    pub async fn inspect(folder: &Path) -> Result<StoreInspection, StoreError> {
        let is_held = FolderLock::is_held(folder, LOCK)
            .map_err(|error| StoreError::Folder { path: folder.join(LOCK), error })?;
        let path = folder.join("assay.db");
        let is_there = path.try_exists();
        if !is_there.map_err(|error| StoreError::Folder { path: path.clone(), error })? {
            return Ok(StoreInspection { is_held, version: None, known: VERSION, oldest: OLDEST });
        }
        // Without a log there is nothing to read but the file, and the log is not to be made.
        let is_at_rest = !folder.join("assay.db-wal").exists();
        let options =
            SqliteConnectOptions::new().filename(path).read_only(true).immutable(is_at_rest);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let row = sqlx::query("PRAGMA user_version").fetch_one(&mut connection).await?;
        let version = Some(row.try_get(0)?);
        connection.close().await?;
        Ok(StoreInspection { is_held, version, known: VERSION, oldest: OLDEST })
    }
}
