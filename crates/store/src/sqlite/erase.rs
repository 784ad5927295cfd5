//! Erasing contents so that their bytes are gone from the files. The items go with a trigger of the schema.

use assay_primitives::{Timestamp, TransactionId};
use sqlx::sqlite::SqliteConnection;

use super::checkpoint::Log;
use super::rows;
use super::steps::state_of;
use crate::{StoreError, TransactionState};

const ERASE: &str = "UPDATE transactions \
    SET payload = x'', secret = x'', binding = x'', echo = x'', request = NULL, erased_at = ? \
    WHERE id = ? AND erased_at IS NULL AND state IN ('settled', 'failed', 'released')";

pub(super) const ERASE_ENDED: &str = "UPDATE transactions \
    SET payload = x'', secret = x'', binding = x'', echo = x'', request = NULL, erased_at = ? \
    WHERE id IN (SELECT id FROM transactions \
    WHERE erased_at IS NULL AND state IN ('settled', 'failed', 'released') \
    AND coalesce(settled_at, reserved_at) <= ? \
    ORDER BY coalesce(settled_at, reserved_at) LIMIT ?)";

const ERASE_INTENTS: &str = "UPDATE commitments SET intent = x'' \
    WHERE transaction_id IN (SELECT c.transaction_id \
    FROM commitments c JOIN transactions t ON t.id = c.transaction_id \
    WHERE c.items = x'' AND c.intent <> x'' AND t.state IN ('settled', 'failed') \
    AND (t.state = 'failed' OR NOT EXISTS (SELECT 1 FROM settlement_records \
    WHERE transaction_id = t.id AND block_number >= ?)) LIMIT ?)";

pub(super) async fn one(
    writer: &mut SqliteConnection,
    log: &Log,
    id: TransactionId,
    at: Timestamp,
) -> Result<(), StoreError> {
    let erased = sqlx::query(ERASE)
        .bind(rows::millis(at))
        .bind(id.to_string())
        .execute(&mut *writer)
        .await?
        .rows_affected();
    if erased == 1 {
        log.note_erasure();
        return Ok(());
    }
    let found = state_of(writer, id).await?;
    match found.as_deref() {
        Some("settled" | "failed" | "released") => Ok(()),
        found => Err(StoreError::State {
            id,
            expected: TransactionState::Settled.as_str(),
            found: found.unwrap_or("no such transaction").to_owned(),
        }),
    }
}

pub(super) async fn ended(
    writer: &mut SqliteConnection,
    log: &Log,
    until: Timestamp,
    at: Timestamp,
    limit: u32,
) -> Result<u64, StoreError> {
    let erased = sqlx::query(ERASE_ENDED)
        .bind(rows::millis(at))
        .bind(rows::millis(until))
        .bind(limit)
        .execute(writer)
        .await?
        .rows_affected();
    if erased > 0 {
        log.note_erasure();
    }
    Ok(erased)
}

pub(super) async fn intents(
    writer: &mut SqliteConnection,
    log: &Log,
    before_block: i64,
    limit: u32,
) -> Result<u64, StoreError> {
    let erased = sqlx::query(ERASE_INTENTS).bind(before_block).bind(limit);
    let erased = erased.execute(writer).await?.rows_affected();
    if erased > 0 {
        log.note_erasure();
    }
    Ok(erased)
}
