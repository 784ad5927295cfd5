//! The tables of a new file or of one of an earlier version, and the key that its contents are sealed with.

use std::path::Path;

use assay_primitives::encoding;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};

use super::connections::Pool;
use crate::StoreError;
use crate::seal::Sealer;

/// The tables of transactions and commitments, the others, and what one does to another.
const TRANSACTIONS: &str = include_str!("transactions.sql");
const OTHERS: &str = include_str!("tables.sql");
const TRIGGERS: &str = include_str!("triggers.sql");
/// What version 5 has more than version 4.
const PRICES: &str = include_str!("prices.sql");
/// How a version 5 becomes a version 6, around [`TRANSACTIONS`].
const FROM_5: [&str; 2] = [include_str!("from_5_begin.sql"), include_str!("from_5_end.sql")];
/// The version of the tables, and the oldest that is brought up to it.
pub(super) const VERSION: i64 = 6;
pub(super) const OLDEST: i64 = 4;
/// How much of a check value names a key.
const SHOWN: usize = 16;

/// Makes the tables of a new file, brings one of the two versions before up to date, refuses one with other tables
/// than this program's, and checks that its key is this one.
pub(super) async fn prepare(pool: &Pool, path: &Path, sealer: &Sealer) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    let got: i64 =
        sqlx::query("PRAGMA user_version").fetch_one(&mut *connection).await?.try_get(0)?;
    match got {
        VERSION => check_key(&mut connection, path, sealer).await,
        OLDEST..VERSION => {
            check_key(&mut connection, path, sealer).await?;
            bring_up(&mut connection, got).await
        }
        0 => {
            let mut step = connection.begin().await?;
            for tables in [TRANSACTIONS, OTHERS, PRICES, TRIGGERS] {
                sqlx::raw_sql(tables).execute(&mut *step).await?;
            }
            take_key(&mut step, sealer).await?;
            sqlx::raw_sql("PRAGMA user_version = 6").execute(&mut *step).await?;
            Ok(step.commit().await?)
        }
        got => Err(StoreError::Version { known: VERSION, got }),
    }
}

/// Brings a version 4 or 5 up to date in one step. SQLite's documentation of `ALTER TABLE` makes the new table under
/// another name and renames it last, so that what refers to the table is not taken along. Here the old one is renamed,
/// and the new one is made by the text that a new file has it from: the two settings keep what refers to it as it is,
/// and its triggers and indices are gone by then.
async fn bring_up(connection: &mut SqliteConnection, from: i64) -> Result<(), StoreError> {
    // Within a step the first of them would do nothing.
    let apart = "PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON";
    sqlx::raw_sql(apart).execute(&mut *connection).await?;
    let mut step = connection.begin().await?;
    let [begin, end] = FROM_5;
    let prices = (from == 4).then_some(PRICES);
    for change in prices.into_iter().chain([begin, TRANSACTIONS, end, TRIGGERS]) {
        sqlx::raw_sql(change).execute(&mut *step).await?;
    }
    let lost = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut *step).await?;
    if !lost.is_empty() {
        let rows = lost.len();
        return Err(StoreError::Damaged(format!("{rows} rows refer to others that are not there")));
    }
    sqlx::raw_sql("PRAGMA user_version = 6").execute(&mut *step).await?;
    step.commit().await?;
    let together = "PRAGMA legacy_alter_table = OFF; PRAGMA foreign_keys = ON";
    sqlx::raw_sql(together).execute(connection).await?;
    Ok(())
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
