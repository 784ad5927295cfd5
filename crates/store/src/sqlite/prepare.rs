//! The tables of a new file, and the key that its contents are sealed with.

use std::path::Path;

use assay_primitives::encoding;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};

use super::connections::Pool;
use crate::StoreError;
use crate::seal::Sealer;

const SCHEMA: &str = include_str!("schema.sql");
/// What version 5 has more than version 4.
const PRICES: &str = include_str!("prices.sql");
/// The version of the tables.
pub(super) const VERSION: i64 = 5;
/// The oldest version that is brought up to this one.
const OLDEST: i64 = 4;
/// How much of a check value names a key.
const SHOWN: usize = 16;

/// Makes the tables of a new file, brings one of the version before up to date, refuses one with other tables than this program's, and checks that
/// its key is this one.
pub(super) async fn prepare(pool: &Pool, path: &Path, sealer: &Sealer) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    let got: i64 =
        sqlx::query("PRAGMA user_version").fetch_one(&mut *connection).await?.try_get(0)?;
    match got {
        VERSION => check_key(&mut connection, path, sealer).await,
        OLDEST => {
            check_key(&mut connection, path, sealer).await?;
            let mut step = connection.begin().await?;
            sqlx::raw_sql(PRICES).execute(&mut *step).await?;
            sqlx::raw_sql("PRAGMA user_version = 5").execute(&mut *step).await?;
            Ok(step.commit().await?)
        }
        0 => {
            let mut step = connection.begin().await?;
            sqlx::raw_sql(SCHEMA).execute(&mut *step).await?;
            sqlx::raw_sql(PRICES).execute(&mut *step).await?;
            take_key(&mut step, sealer).await?;
            sqlx::raw_sql("PRAGMA user_version = 5").execute(&mut *step).await?;
            Ok(step.commit().await?)
        }
        got => Err(StoreError::Version { known: VERSION, got }),
    }
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
