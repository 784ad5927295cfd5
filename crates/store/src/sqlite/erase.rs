//! Erasing contents so that their bytes are gone from the files.

use std::time::Duration;

use assay_primitives::{Timestamp, TransactionId};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::steps::state_of;
use super::{SqliteStore, rows};
use crate::{StoreError, TransactionState};

/// How often it is tried to empty the log, and the pause between.
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(25);

const ERASE: &str = "UPDATE transactions \
    SET items = iif(items IS NULL, NULL, x''), payload = x'', secret = x'', \
    echo = x'', request = NULL, erased_at = ? \
    WHERE id = ? AND erased_at IS NULL AND state IN ('settled', 'failed', 'released')";

pub(super) const ERASE_ENDED: &str = "UPDATE transactions \
    SET items = iif(items IS NULL, NULL, x''), payload = x'', secret = x'', \
    echo = x'', request = NULL, erased_at = ? \
    WHERE id IN (SELECT id FROM transactions \
    WHERE erased_at IS NULL AND state IN ('settled', 'failed', 'released') \
    AND coalesce(settled_at, reserved_at) <= ? \
    ORDER BY coalesce(settled_at, reserved_at) LIMIT ?)";

/// Returns whether there was something to erase.
pub(super) async fn one(
    writer: &mut SqliteConnection,
    id: TransactionId,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let erased = sqlx::query(ERASE)
        .bind(rows::millis(at))
        .bind(id.to_string())
        .execute(&mut *writer)
        .await?
        .rows_affected();
    if erased == 1 {
        return Ok(true);
    }
    let found = state_of(writer, id).await?;
    match found.as_deref() {
        Some("settled" | "failed" | "released") => Ok(false),
        found => Err(StoreError::State {
            id,
            expected: TransactionState::Settled.as_str(),
            found: found.unwrap_or("no such transaction").to_owned(),
        }),
    }
}

pub(super) async fn ended(
    writer: &mut SqliteConnection,
    until: Timestamp,
    at: Timestamp,
    limit: u32,
) -> Result<u64, StoreError> {
    let erased = sqlx::query(ERASE_ENDED)
        .bind(rows::millis(at))
        .bind(rows::millis(until))
        .bind(limit)
        .execute(writer)
        .await?;
    Ok(erased.rows_affected())
}

impl SqliteStore {
    /// Writes the log back and empties it: it holds the pages as they were before. A reader in the
    /// middle of one of them is waited for a moment, and then puts that off to the next time.
    pub(super) async fn empty_log(&self) -> Result<(), StoreError> {
        // Not beside the one that writes it back now and then.
        let _alone = self.checkpointing.acquire().await?;
        let mut connection = self.writing.acquire().await?;
        for _ in 0..ATTEMPTS {
            let emptied = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
            let is_busy: i64 = emptied.fetch_one(&mut *connection).await?.try_get(0)?;
            if is_busy == 0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}
