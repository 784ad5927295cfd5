//! The steps of a transaction's life, each one database transaction.

use assay_primitives::{Digest, Timestamp, TransactionId};
use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};

use super::{SqliteStore, rows};
use crate::{
    Commitment, NewOutbox, OutboxEntry, OutboxKind, Reservation, ReserveOutcome, SettlementState,
    SettlementUpdate, StoreError, TransactionRow, TransactionState, TransactionStore,
};

const RESERVE: &str = "INSERT INTO transactions (id, state, network, asset, payer, nonce, payload, \
    binding, access_token_hash, secret, reserved_at) \
    VALUES (?, 'reserved', ?, ?, ?, ?, ?, ?, ?, ?, ?) \
    ON CONFLICT (network, asset, payer, nonce) WHERE state <> 'released' DO NOTHING";

#[async_trait]
impl TransactionStore for SqliteStore {
    async fn reserve(&self, reservation: &Reservation) -> Result<ReserveOutcome, StoreError> {
        let mut writer = self.writer.acquire().await?;
        let payment = &reservation.payment;
        let inserted = sqlx::query(RESERVE)
            .bind(reservation.id.to_string())
            .bind(payment.network.as_str())
            .bind(payment.asset.as_str())
            .bind(payment.payer.as_str())
            .bind(payment.nonce.as_str())
            .bind(reservation.payload.as_slice())
            .bind(reservation.binding.as_bytes().as_slice())
            .bind(reservation.access_token_hash.as_bytes().as_slice())
            .bind(reservation.secret.as_slice())
            .bind(rows::millis(reservation.at))
            .execute(&mut *writer)
            .await?
            .rows_affected();
        if inserted == 1 {
            return Ok(ReserveOutcome::Reserved);
        }
        let taken = sqlx::query(
            "SELECT id FROM transactions WHERE network = ? AND asset = ? AND payer = ? \
             AND nonce = ? AND state <> 'released'",
        )
        .bind(payment.network.as_str())
        .bind(payment.asset.as_str())
        .bind(payment.payer.as_str())
        .bind(payment.nonce.as_str())
        .fetch_one(&mut *writer)
        .await?;
        let id = rows::id(taken.try_get("id")?)?;
        let row = load(&mut writer, id).await?;
        row.map(|row| ReserveOutcome::Taken(Box::new(row)))
            .ok_or_else(|| StoreError::Damaged(format!("transaction {id} is gone")))
    }

    async fn release(&self, id: TransactionId) -> Result<(), StoreError> {
        let mut writer = self.writer.acquire().await?;
        let changed = sqlx::query(
            "UPDATE transactions SET state = 'released' WHERE id = ? AND state = 'reserved'",
        )
        .bind(id.to_string())
        .execute(&mut *writer)
        .await?
        .rows_affected();
        expect_changed(&mut writer, id, TransactionState::Reserved, changed).await
    }

    async fn release_abandoned(&self) -> Result<u64, StoreError> {
        let mut writer = self.writer.acquire().await?;
        let changed =
            sqlx::query("UPDATE transactions SET state = 'released' WHERE state = 'reserved'")
                .execute(&mut *writer)
                .await?
                .rows_affected();
        Ok(changed)
    }

    async fn commit(&self, id: TransactionId, commitment: &Commitment) -> Result<(), StoreError> {
        let mut writer = self.writer.acquire().await?;
        let mut step = writer.begin().await?;
        let manifest = Digest::of(&commitment.key_manifest);
        sqlx::query(
            "INSERT INTO key_manifests (digest, envelope) VALUES (?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(manifest.as_bytes().as_slice())
        .bind(commitment.key_manifest.as_slice())
        .execute(&mut *step)
        .await?;
        let changed = sqlx::query(
            "UPDATE transactions SET state = 'committed', receipt = ?, receipt_digest = ?, \
             key_manifest = ?, items = ?, intent = ?, committed_at = ? \
             WHERE id = ? AND state = 'reserved'",
        )
        .bind(commitment.receipt.as_slice())
        .bind(commitment.receipt_digest.as_bytes().as_slice())
        .bind(manifest.as_bytes().as_slice())
        .bind(commitment.items.as_slice())
        .bind(commitment.intent.as_slice())
        .bind(rows::millis(commitment.at))
        .bind(id.to_string())
        .execute(&mut *step)
        .await?
        .rows_affected();
        expect_changed(&mut step, id, TransactionState::Reserved, changed).await?;
        let entry = (OutboxKind::Receipt, commitment.receipt_digest);
        append_outbox(&mut step, id, entry, commitment.at).await?;
        Ok(step.commit().await?)
    }

    async fn replace_intent(&self, id: TransactionId, intent: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.writer.acquire().await?;
        let changed =
            sqlx::query("UPDATE transactions SET intent = ? WHERE id = ? AND state = 'committed'")
                .bind(intent)
                .bind(id.to_string())
                .execute(&mut *writer)
                .await?
                .rows_affected();
        expect_changed(&mut writer, id, TransactionState::Committed, changed).await
    }

    async fn fail(&self, id: TransactionId, response: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.writer.acquire().await?;
        let changed = sqlx::query(
            "UPDATE transactions SET state = 'failing', response = ? \
             WHERE id = ? AND state = 'committed'",
        )
        .bind(response)
        .bind(id.to_string())
        .execute(&mut *writer)
        .await?
        .rows_affected();
        expect_changed(&mut writer, id, TransactionState::Committed, changed).await
    }

    async fn settle(&self, id: TransactionId, update: &SettlementUpdate) -> Result<(), StoreError> {
        let mut writer = self.writer.acquire().await?;
        let mut step = writer.begin().await?;
        let state = match update.state {
            SettlementState::Failed => TransactionState::Failed,
            SettlementState::Settled => TransactionState::Settled,
        };
        let changed = sqlx::query(
            "UPDATE transactions SET state = ?, response = ?, settled_at = ? \
             WHERE id = ? AND state IN ('committed', 'failing')",
        )
        .bind(state.as_str())
        .bind(update.response.as_slice())
        .bind(rows::millis(update.at))
        .bind(id.to_string())
        .execute(&mut *step)
        .await?
        .rows_affected();
        expect_changed(&mut step, id, TransactionState::Committed, changed).await?;
        sqlx::query("INSERT INTO settlement_records (transaction_id, envelope) VALUES (?, ?)")
            .bind(id.to_string())
            .bind(update.record.as_slice())
            .execute(&mut *step)
            .await?;
        let entry = (OutboxKind::Settlement, update.record_digest);
        append_outbox(&mut step, id, entry, update.at).await?;
        Ok(step.commit().await?)
    }

    async fn transaction(&self, id: TransactionId) -> Result<Option<TransactionRow>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        load(&mut reader, id).await
    }

    async fn unsettled(&self, limit: u32) -> Result<Vec<TransactionRow>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        let ids = sqlx::query(
            "SELECT id FROM transactions WHERE state IN ('committed', 'failing') ORDER BY id LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&mut *reader)
        .await?;
        let mut found = Vec::with_capacity(ids.len());
        for row in ids {
            let id = rows::id(row.try_get("id")?)?;
            found.extend(load(&mut reader, id).await?);
        }
        Ok(found)
    }

    async fn outbox(&self, after: u64, limit: u32) -> Result<Vec<OutboxEntry>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        sqlx::query("SELECT * FROM outbox WHERE sequence > ? ORDER BY sequence LIMIT ?")
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(&mut *reader)
            .await?
            .iter()
            .map(rows::outbox)
            .collect()
    }

    async fn count_by_state(&self) -> Result<Vec<(TransactionState, u64)>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        sqlx::query("SELECT state, COUNT(*) AS n FROM transactions GROUP BY state")
            .fetch_all(&mut *reader)
            .await?
            .iter()
            .map(|row| {
                Ok((rows::state(row.try_get("state")?)?, rows::unsigned(row.try_get("n")?)?))
            })
            .collect()
    }
}

async fn load(
    connection: &mut SqliteConnection,
    id: TransactionId,
) -> Result<Option<TransactionRow>, StoreError> {
    // One snapshot, so that state and records belong together.
    let mut snapshot = connection.begin().await?;
    let row =
        sqlx::query(rows::TRANSACTION).bind(id.to_string()).fetch_optional(&mut *snapshot).await?;
    let Some(row) = row else { return Ok(None) };
    let records = sqlx::query(
        "SELECT envelope FROM settlement_records WHERE transaction_id = ? ORDER BY sequence",
    )
    .bind(id.to_string())
    .fetch_all(&mut *snapshot)
    .await?
    .iter()
    .map(|row| row.try_get("envelope"))
    .collect::<Result<_, _>>()?;
    rows::transaction(&row, records).map(Some)
}

async fn append_outbox(
    step: &mut SqliteConnection,
    id: TransactionId,
    (kind, digest): NewOutbox,
    at: Timestamp,
) -> Result<(), StoreError> {
    let kind = match kind {
        OutboxKind::Receipt => "receipt",
        OutboxKind::Settlement => "settlement",
    };
    sqlx::query("INSERT INTO outbox (kind, transaction_id, digest, at) VALUES (?, ?, ?, ?)")
        .bind(kind)
        .bind(id.to_string())
        .bind(digest.as_bytes().as_slice())
        .bind(rows::millis(at))
        .execute(step)
        .await?;
    Ok(())
}

/// Says which state a transaction is in when a step found it in another than it begins with.
async fn expect_changed(
    connection: &mut SqliteConnection,
    id: TransactionId,
    expected: TransactionState,
    changed: u64,
) -> Result<(), StoreError> {
    if changed == 1 {
        return Ok(());
    }
    let row = sqlx::query("SELECT state FROM transactions WHERE id = ?")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    let found = match row {
        Some(row) => row.try_get("state")?,
        None => "no such transaction".to_owned(),
    };
    Err(StoreError::State { id, expected: expected.as_str(), found })
}
