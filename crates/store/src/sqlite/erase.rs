//! Erasing contents so that their bytes are gone from the files.

use assay_primitives::{Timestamp, TransactionId};
use sqlx::sqlite::SqliteConnection;

use super::{SqliteStore, rows};
use crate::{StoreError, TransactionState};

const ERASE: &str = "UPDATE transactions \
    SET items = iif(items IS NULL, NULL, x''), payload = x'', secret = x'', erased_at = ? \
    WHERE id = ? AND erased_at IS NULL AND state IN ('settled', 'failed', 'released')";

pub(super) const ERASE_ENDED: &str = "UPDATE transactions \
    SET items = iif(items IS NULL, NULL, x''), payload = x'', secret = x'', erased_at = ? \
    WHERE id IN (SELECT id FROM transactions \
    WHERE erased_at IS NULL AND state IN ('settled', 'failed', 'released') \
    AND coalesce(settled_at, reserved_at) <= ? \
    ORDER BY coalesce(settled_at, reserved_at) LIMIT ?)";

impl SqliteStore {
    pub(super) async fn erase_one(
        &self,
        id: TransactionId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer.acquire().await?;
        let erased = sqlx::query(ERASE)
            .bind(rows::millis(at))
            .bind(id.to_string())
            .execute(&mut *writer)
            .await?
            .rows_affected();
        if erased == 1 {
            return empty_log(&mut writer).await;
        }
        let row = super::steps::state_of(&mut writer, id).await?;
        match row.as_deref() {
            Some("settled" | "failed" | "released") => Ok(()),
            found => Err(StoreError::State {
                id,
                expected: TransactionState::Settled.as_str(),
                found: found.unwrap_or("no such transaction").to_owned(),
            }),
        }
    }

    pub(super) async fn erase_all(
        &self,
        until: Timestamp,
        at: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let mut writer = self.writer.acquire().await?;
        let erased = sqlx::query(ERASE_ENDED)
            .bind(rows::millis(at))
            .bind(rows::millis(until))
            .bind(limit)
            .execute(&mut *writer)
            .await?
            .rows_affected();
        if erased > 0 {
            empty_log(&mut writer).await?;
        }
        Ok(erased)
    }
}

/// Writes the log back and empties it: it holds the pages as they were before. A reader in the middle
/// of one of them puts that off to the next time.
async fn empty_log(writer: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(writer).await?;
    Ok(())
}
