//! The steps of a transaction's life, each one database transaction.

use assay_primitives::{Digest, Timestamp, TransactionId};
use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};

use super::{SqliteStore, rows};
use crate::{
    Commitment, Holder, OutboxEntry, OutboxKind, Payment, Reservation, ReserveOutcome,
    SettlementState, SettlementUpdate, StoreError, TransactionRow, TransactionState,
    TransactionStore,
};

const RESERVE: &str = "INSERT INTO transactions (id, state, network, asset, payer, nonce, payload, \
    binding, access_token_hash, secret, reserved_at) \
    VALUES (?, 'reserved', ?, ?, ?, ?, ?, ?, ?, ?, ?) \
    ON CONFLICT (network, asset, payer, nonce) WHERE state <> 'released' DO NOTHING";

pub(super) const HOLDER: &str = "SELECT id, state, binding FROM transactions \
    WHERE network = ? AND asset = ? AND payer = ? AND nonce = ? AND state <> 'released'";

pub(super) const OPEN_AFTER: &str = "SELECT id, state FROM transactions \
    WHERE state IN ('reserved', 'committed', 'failing') AND id > ? ORDER BY id LIMIT ?";

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
        let holder = holder(&mut writer, payment).await?;
        holder.map(ReserveOutcome::Taken).ok_or_else(|| {
            StoreError::Damaged(format!("transaction id {} is taken", reservation.id))
        })
    }

    async fn holder(&self, payment: &Payment) -> Result<Option<Holder>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        holder(&mut reader, payment).await
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

    async fn commit(&self, id: TransactionId, commitment: &Commitment) -> Result<(), StoreError> {
        let mut writer = self.writer.acquire().await?;
        let mut step = writer.begin().await?;
        let manifest = keep_manifest(&mut step, &commitment.key_manifest).await?;
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
        let digest = commitment.receipt_digest;
        append_outbox(&mut step, id, OutboxKind::Receipt, digest, commitment.at).await?;
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
        let manifest = keep_manifest(&mut step, &update.key_manifest).await?;
        let changed = sqlx::query(
            "UPDATE transactions SET state = ?, key_manifest = ?, response = ?, settled_at = ? \
             WHERE id = ? AND state IN ('committed', 'failing')",
        )
        .bind(state.as_str())
        .bind(manifest.as_bytes().as_slice())
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
        let digest = update.record_digest;
        append_outbox(&mut step, id, OutboxKind::Settlement, digest, update.at).await?;
        Ok(step.commit().await?)
    }

    async fn transaction(&self, id: TransactionId) -> Result<Option<TransactionRow>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        load(&mut reader, id).await
    }

    async fn open_after(
        &self,
        after: Option<TransactionId>,
        limit: u32,
    ) -> Result<Vec<(TransactionId, TransactionState)>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        sqlx::query(OPEN_AFTER)
            // Before any id there is.
            .bind(after.map_or_else(String::new, |id| id.to_string()))
            .bind(limit)
            .fetch_all(&mut *reader)
            .await?
            .iter()
            .map(|row| Ok((rows::id(row.try_get("id")?)?, rows::state(row.try_get("state")?)?)))
            .collect()
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
        sqlx::query("SELECT state, count FROM transaction_counts")
            .fetch_all(&mut *reader)
            .await?
            .iter()
            .map(|row| {
                Ok((rows::state(row.try_get("state")?)?, rows::unsigned(row.try_get("count")?)?))
            })
            .collect()
    }
}

async fn holder(
    connection: &mut SqliteConnection,
    payment: &Payment,
) -> Result<Option<Holder>, StoreError> {
    let row = sqlx::query(HOLDER)
        .bind(payment.network.as_str())
        .bind(payment.asset.as_str())
        .bind(payment.payer.as_str())
        .bind(payment.nonce.as_str())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Holder {
        id: rows::id(row.try_get("id")?)?,
        state: rows::state(row.try_get("state")?)?,
        binding: rows::digest(row.try_get("binding")?)?,
    }))
}

async fn keep_manifest(step: &mut SqliteConnection, envelope: &[u8]) -> Result<Digest, StoreError> {
    let digest = Digest::of(envelope);
    sqlx::query(
        "INSERT INTO key_manifests (digest, envelope) VALUES (?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(digest.as_bytes().as_slice())
    .bind(envelope)
    .execute(step)
    .await?;
    Ok(digest)
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
    kind: OutboxKind,
    digest: Digest,
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
