//! From any older version of the file to the newest, and the key that its contents are sealed with.

use std::path::Path;

use assay_primitives::encoding;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Connection as _, Row as _};

use super::rows;
use crate::StoreError;
use crate::seal::{Column, Sealer};

/// What makes each version of the one before.
const STEPS: [&str; 2] = [include_str!("schema.sql"), include_str!("sealing.sql")];
const VERSION: i64 = 2;
/// The first version whose contents are sealed.
const SEALED: i64 = 2;
/// How much of a check value names a key.
const SHOWN: usize = 16;

/// Brings the file to the newest version, in one step, and checks that its key is this one.
pub(super) async fn migrate(
    pool: &SqlitePool,
    path: &Path,
    sealer: &Sealer,
) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    let got: i64 =
        sqlx::query("PRAGMA user_version").fetch_one(&mut *connection).await?.try_get(0)?;
    if got > VERSION {
        return Err(StoreError::Version { known: VERSION, got });
    }
    if got < VERSION {
        let mut step = connection.begin().await?;
        for statements in STEPS.iter().skip(usize::try_from(got).unwrap_or(0)) {
            sqlx::raw_sql(*statements).execute(&mut *step).await?;
        }
        if got < SEALED {
            take_key(&mut step, sealer).await?;
            seal_all(&mut step, sealer).await?;
        }
        sqlx::raw_sql("PRAGMA user_version = 2").execute(&mut *step).await?;
        step.commit().await?;
        // What was not sealed is in the log still.
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await?;
    }
    check_key(&mut connection, path, sealer).await
}

async fn take_key(connection: &mut SqliteConnection, sealer: &Sealer) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO storage_key (only, check_value) VALUES (1, ?)")
        .bind(sealer.check_value()?.as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

async fn check_key(
    connection: &mut SqliteConnection,
    path: &Path,
    sealer: &Sealer,
) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT check_value FROM storage_key").fetch_one(connection).await?;
    let (expected, got): (&[u8], _) = (row.try_get(0)?, sealer.check_value()?);
    if expected == got {
        return Ok(());
    }
    let name = |value: &[u8]| encoding::hex(value).chars().take(SHOWN).collect();
    Err(StoreError::WrongKey {
        path: path.to_path_buf(),
        expected: name(expected),
        got: name(&got),
    })
}

/// Seals what an older version wrote as it was.
async fn seal_all(connection: &mut SqliteConnection, sealer: &Sealer) -> Result<(), StoreError> {
    let ids = sqlx::query("SELECT id FROM transactions").fetch_all(&mut *connection).await?;
    for row in &ids {
        let id = rows::id(row.try_get(0)?)?;
        let row = sqlx::query("SELECT items, payload, secret FROM transactions WHERE id = ?")
            .bind(id.to_string())
            .fetch_one(&mut *connection)
            .await?;
        let items: Option<&[u8]> = row.try_get(0)?;
        let items = items.map(|items| sealer.seal(id, Column::Items, items)).transpose()?;
        sqlx::query("UPDATE transactions SET items = ?, payload = ?, secret = ? WHERE id = ?")
            .bind(items)
            .bind(sealer.seal(id, Column::Payload, row.try_get(1)?)?)
            .bind(sealer.seal(id, Column::Secret, row.try_get(2)?)?)
            .bind(id.to_string())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
