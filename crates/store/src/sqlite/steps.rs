//! The steps of a transaction's life, each one statement, and so one database transaction: what goes
//! with a step is done by the schema's triggers.

use assay_primitives::{Digest, Timestamp, TransactionId};
use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};

use super::{SqliteStore, rows};
use crate::seal::{Column, Sealer};
use crate::{
    Commitment, Holder, OutboxEntry, Payment, Reservation, ReserveOutcome, SettlementState,
    SettlementUpdate, StoreError, TransactionRow, TransactionState, TransactionStore,
};

const RESERVE: &str = "INSERT INTO transactions (id, state, network, asset, payer, nonce, payload, \
    binding, access_token_hash, secret, reserved_at) \
    VALUES (?, 'reserved', ?, ?, ?, ?, ?, ?, ?, ?, ?) \
    ON CONFLICT (network, asset, payer, nonce) WHERE state <> 'released' DO NOTHING";

const COMMIT: &str = "UPDATE transactions SET state = 'committed', receipt = ?, \
    receipt_digest = ?, key_manifest = ?, items = ?, intent = ?, committed_at = ? \
    WHERE id = ? AND state = 'reserved'";

const SETTLE: &str = "INSERT INTO settlement_records \
    (transaction_id, state, envelope, digest, key_manifest, response, at) \
    SELECT id, ?, ?, ?, ?, ?, ? FROM transactions \
    WHERE id = ? AND state IN ('committed', 'failing')";

pub(super) const HOLDER: &str = "SELECT id, state, binding FROM transactions \
    WHERE network = ? AND asset = ? AND payer = ? AND nonce = ? AND state <> 'released'";

pub(super) const OPEN_AFTER: &str = "SELECT id, state FROM transactions \
    WHERE state IN ('reserved', 'committed', 'failing') AND id > ? ORDER BY id LIMIT ?";

#[async_trait]
impl TransactionStore for SqliteStore {
    async fn reserve(&self, reservation: &Reservation) -> Result<ReserveOutcome, StoreError> {
        let (id, payment) = (reservation.id, &reservation.payment);
        let payload = self.sealer.seal(id, Column::Payload, &reservation.payload)?;
        let secret = self.sealer.seal(id, Column::Secret, &reservation.secret)?;
        let mut writer = self.writer.acquire().await?;
        let inserted = sqlx::query(RESERVE)
            .bind(id.to_string())
            .bind(payment.network.as_str())
            .bind(payment.asset.as_str())
            .bind(payment.payer.as_str())
            .bind(payment.nonce.as_str())
            .bind(payload)
            .bind(reservation.binding.as_bytes().as_slice())
            .bind(reservation.access_token_hash.as_bytes().as_slice())
            .bind(secret)
            .bind(rows::millis(reservation.at))
            .execute(&mut *writer)
            .await?
            .rows_affected();
        if inserted == 1 {
            return Ok(ReserveOutcome::Reserved);
        }
        let holder = holder(&mut writer, payment).await?;
        holder
            .map(ReserveOutcome::Taken)
            .ok_or_else(|| StoreError::Damaged(format!("transaction id {id} is taken")))
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
        let items = self.sealer.seal(id, Column::Items, &commitment.items)?;
        let mut writer = self.writer.acquire().await?;
        let manifest = self.keep_manifest(&mut writer, &commitment.key_manifest).await?;
        let changed = sqlx::query(COMMIT)
            .bind(commitment.receipt.as_slice())
            .bind(commitment.receipt_digest.as_bytes().as_slice())
            .bind(manifest.as_bytes().as_slice())
            .bind(items)
            .bind(commitment.intent.as_slice())
            .bind(rows::millis(commitment.at))
            .bind(id.to_string())
            .execute(&mut *writer)
            .await?
            .rows_affected();
        expect_changed(&mut writer, id, TransactionState::Reserved, changed).await
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
        let manifest = self.keep_manifest(&mut writer, &update.key_manifest).await?;
        let state = match update.state {
            SettlementState::Failed => TransactionState::Failed,
            SettlementState::Settled => TransactionState::Settled,
        };
        let changed = sqlx::query(SETTLE)
            .bind(state.as_str())
            .bind(update.record.as_slice())
            .bind(update.record_digest.as_bytes().as_slice())
            .bind(manifest.as_bytes().as_slice())
            .bind(update.response.as_slice())
            .bind(rows::millis(update.at))
            .bind(id.to_string())
            .execute(&mut *writer)
            .await?
            .rows_affected();
        expect_changed(&mut writer, id, TransactionState::Committed, changed).await
    }

    async fn transaction(&self, id: TransactionId) -> Result<Option<TransactionRow>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        load(&mut reader, &self.sealer, id).await
    }

    async fn erase(&self, id: TransactionId, at: Timestamp) -> Result<(), StoreError> {
        self.erase_one(id, at).await
    }

    async fn erase_ended(
        &self,
        until: Timestamp,
        at: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.erase_all(until, at, limit).await
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

impl SqliteStore {
    /// Keeps a key manifest. It is kept before the step that refers to it: one that no step refers
    /// to does no harm.
    async fn keep_manifest(
        &self,
        writer: &mut SqliteConnection,
        envelope: &[u8],
    ) -> Result<Digest, StoreError> {
        let digest = Digest::of(envelope);
        if *self.kept_manifest.lock().await == Some(digest) {
            return Ok(digest);
        }
        sqlx::query(
            "INSERT INTO key_manifests (digest, envelope) VALUES (?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(digest.as_bytes().as_slice())
        .bind(envelope)
        .execute(writer)
        .await?;
        *self.kept_manifest.lock().await = Some(digest);
        Ok(digest)
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

async fn load(
    connection: &mut SqliteConnection,
    sealer: &Sealer,
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
    rows::transaction(&row, sealer, records).map(Some)
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
    let found = state_of(connection, id).await?;
    let found = found.unwrap_or_else(|| "no such transaction".to_owned());
    Err(StoreError::State { id, expected: expected.as_str(), found })
}

pub(super) async fn state_of(
    connection: &mut SqliteConnection,
    id: TransactionId,
) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT state FROM transactions WHERE id = ?")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.try_get("state")).transpose()?)
}
