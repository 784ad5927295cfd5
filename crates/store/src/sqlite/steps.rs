//! The steps of a transaction's life. Those that change its state are one statement each: what goes with them is
//! done by the schema's triggers.

use std::sync::Arc;

use assay_primitives::{Digest, Timestamp, TransactionId};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};

use super::writer::Extent;
use super::{SqliteStore, erase, jobs, rows};
use crate::seal::{Column, Sealer};
use crate::{
    Commitment, Holder, Job, Lease, OutboxEntry, Payment, Refund, Requeued, Reservation,
    ReserveOutcome, SettledBlock, SettlementState, SettlementUpdate, StepKind, StoreError,
    TransactionRow, TransactionState, TransactionStore,
};

const RESERVE: &str = "INSERT INTO transactions (id, state, network, asset, payer, nonce, payload, \
    binding, access_token_hash, secret, method, request, echo, location, is_resumable, deadline, \
    not_before, attempts, lease, leased_until, reserved_at) \
    VALUES (?1, 'reserved', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, \
    ?17, ?16 IS NOT NULL, ?16 IS NOT NULL, ?16, ?17) \
    ON CONFLICT (network, asset, payer, nonce) WHERE state <> 'released' DO NOTHING";

const COMMIT: &str = "INSERT INTO commitments \
    (transaction_id, receipt, receipt_digest, key_manifest, items, intent, at) \
    SELECT id, ?, ?, ?, ?, ?, ? FROM transactions \
    WHERE id = ? AND state = 'reserved' AND lease = ?";

const SETTLE: &str = "INSERT INTO settlement_records \
    (transaction_id, state, envelope, digest, key_manifest, response, block_number, block_hash, at) \
    SELECT id, ?, ?, ?, ?, ?, ?, ?, ? FROM transactions \
    WHERE id = ? AND state IN ('committed', 'failing', 'reorged')";

const REORG: &str = "INSERT INTO settlement_records \
    (transaction_id, state, envelope, digest, key_manifest, response, block_number, block_hash, at) \
    SELECT id, ?, ?, ?, ?, ?, ?, ?, ? FROM transactions WHERE id = ? AND state = 'settled'";

const REFUND: &str = "INSERT INTO settlement_records \
    (transaction_id, state, envelope, digest, key_manifest, refund, at) \
    SELECT id, 'refunded', ?, ?, ?, ?, ? FROM transactions WHERE id = ? AND state = 'settled' \
    ON CONFLICT (refund) WHERE refund IS NOT NULL DO NOTHING";

pub(super) const SETTLED_BLOCKS: &str = "SELECT DISTINCT block_number, block_hash \
    FROM settlement_records WHERE block_number >= ? ORDER BY block_number LIMIT 4096";

/// The transactions whose latest record is about a block.
pub(super) const SETTLED_IN: &str = "SELECT t.id FROM settlement_records r \
    JOIN transactions t ON t.id = r.transaction_id \
    WHERE r.block_number = ? AND r.block_hash = ? AND t.state = 'settled' AND r.sequence = \
    (SELECT max(sequence) FROM settlement_records WHERE transaction_id = t.id) ORDER BY t.id";

pub(super) const HOLDER: &str = "SELECT id, state, binding FROM transactions \
    WHERE network = ? AND asset = ? AND payer = ? AND nonce = ? AND state <> 'released'";

pub(super) const OPEN_AFTER: &str = "SELECT id, state FROM transactions \
    WHERE state IN ('reserved', 'committed', 'failing', 'reorged') AND id > ? ORDER BY id LIMIT ?";

#[async_trait]
impl TransactionStore for SqliteStore {
    async fn reserve(&self, reservation: Reservation) -> Result<ReserveOutcome, StoreError> {
        let (binding, sealed) = (reservation.binding, self.seal(reservation)?);
        let taken = self
            .write(Extent::Statement, sealed, |writer, sealed| Box::pin(reserve(writer, sealed)))
            .await?;
        Ok(match taken {
            None => ReserveOutcome::Reserved,
            Some(holder) => ReserveOutcome::Taken(holder.open(&self.sealer, binding)?),
        })
    }

    async fn holder(
        &self,
        payment: &Payment,
        binding: Digest,
    ) -> Result<Option<Holder>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        let found = holder(&mut reader, payment).await?;
        found.map(|holder| holder.open(&self.sealer, binding)).transpose()
    }

    async fn claim(
        &self,
        queue: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Job>, StoreError> {
        let step = (queue.to_owned(), now, until);
        let claimed = self
            .write(Extent::Transaction, step, |writer, (queue, now, until)| {
                Box::pin(jobs::claim(writer, queue, *now, *until))
            })
            .await?;
        claimed.map(|sealed| jobs::open(&sealed, &self.sealer)).transpose()
    }

    async fn renew(&self, leases: Vec<Lease>, until: Timestamp) -> Result<(), StoreError> {
        self.write(Extent::Transaction, (leases, until), |writer, step| {
            Box::pin(jobs::renew(writer, &step.0, step.1))
        })
        .await
    }

    async fn postpone(&self, lease: Lease, not_before: Timestamp) -> Result<(), StoreError> {
        let step = (lease, not_before);
        self.write(Extent::Statement, step, |writer, step| {
            Box::pin(jobs::postpone(writer, step.0, step.1))
        })
        .await
    }

    async fn do_not_resume(&self, id: TransactionId) -> Result<(), StoreError> {
        self.write(Extent::Statement, id, |writer, id| Box::pin(jobs::do_not_resume(writer, *id)))
            .await
    }

    async fn requeue(&self, queues: Vec<String>) -> Result<Requeued, StoreError> {
        self.write(Extent::Transaction, queues, |writer, queues| {
            Box::pin(jobs::requeue(writer, queues))
        })
        .await
    }

    async fn at_location(&self, location: Digest) -> Result<Option<TransactionId>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        jobs::at_location(&mut reader, location).await
    }

    async fn release(&self, id: TransactionId, failure: Option<String>) -> Result<(), StoreError> {
        self.write(Extent::Statement, (id, failure), |writer, step| {
            Box::pin(release(writer, step.0, step.1.as_deref()))
        })
        .await
    }

    async fn commit(&self, lease: Lease, mut commitment: Commitment) -> Result<(), StoreError> {
        commitment.items = self.sealer.seal(lease.id, Column::Items, &commitment.items)?;
        commitment.intent = self.sealer.seal(lease.id, Column::Intent, &commitment.intent)?;
        let manifest = std::mem::take(&mut commitment.key_manifest);
        self.write_under(manifest, (lease, commitment), |writer, step, manifest| {
            Box::pin(commit(writer, step.0, &step.1, manifest))
        })
        .await
    }

    async fn fail(&self, id: TransactionId, response: Vec<u8>) -> Result<(), StoreError> {
        self.write(Extent::Statement, (id, response), |writer, step| {
            Box::pin(fail(writer, step.0, &step.1))
        })
        .await
    }

    async fn settle(
        &self,
        id: TransactionId,
        mut update: SettlementUpdate,
    ) -> Result<(), StoreError> {
        let manifest = std::mem::take(&mut update.key_manifest);
        self.write_under(manifest, (id, update), |writer, step, manifest| {
            Box::pin(settle(writer, step.0, &step.1, manifest))
        })
        .await
    }

    async fn add_record(&self, id: TransactionId, mut refund: Refund) -> Result<bool, StoreError> {
        let manifest = std::mem::take(&mut refund.key_manifest);
        self.write_under(manifest, (id, refund), |writer, step, manifest| {
            Box::pin(add_record(writer, step.0, &step.1, manifest))
        })
        .await
    }

    async fn transaction(&self, id: TransactionId) -> Result<Option<TransactionRow>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        load(&mut reader, &self.sealer, id).await
    }

    async fn erase(&self, id: TransactionId, at: Timestamp) -> Result<(), StoreError> {
        let step = (Arc::clone(&self.log), id, at);
        self.write(Extent::Transaction, step, |writer, step| {
            Box::pin(erase::one(writer, &step.0, step.1, step.2))
        })
        .await
    }

    async fn erase_ended(
        &self,
        until: Timestamp,
        at: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let step = (Arc::clone(&self.log), until, at, limit);
        self.write(Extent::Transaction, step, |writer, step| {
            Box::pin(erase::ended(writer, &step.0, step.1, step.2, step.3))
        })
        .await
    }

    async fn erase_intents(&self, before_block: u64, limit: u32) -> Result<u64, StoreError> {
        let before = i64::try_from(before_block).unwrap_or(i64::MAX);
        let step = (Arc::clone(&self.log), before, limit);
        self.write(Extent::Transaction, step, |writer, step| {
            Box::pin(erase::intents(writer, &step.0, step.1, step.2))
        })
        .await
    }

    async fn forget_erased(&self) -> Result<bool, StoreError> {
        Ok(self.log.forget_erased().await?)
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

    async fn settled_blocks(&self, since: u64) -> Result<Vec<SettledBlock>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        sqlx::query(SETTLED_BLOCKS)
            .bind(rows::signed(since)?)
            .fetch_all(&mut *reader)
            .await?
            .iter()
            .map(|row| {
                let number = rows::unsigned(row.try_get("block_number")?)?;
                Ok(SettledBlock { number, hash: row.try_get("block_hash")? })
            })
            .collect()
    }

    async fn settled_in(&self, block: &SettledBlock) -> Result<Vec<TransactionId>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        sqlx::query(SETTLED_IN)
            .bind(rows::signed(block.number)?)
            .bind(block.hash.as_str())
            .fetch_all(&mut *reader)
            .await?
            .iter()
            .map(|row| rows::id(row.try_get("id")?))
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

    async fn keep_prices(&self, digest: Digest, list: Vec<u8>) -> Result<(), StoreError> {
        self.write(Extent::Statement, (digest, list), |writer, step| {
            Box::pin(keep_prices(writer, step.0, &step.1))
        })
        .await
    }

    async fn prices(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        let row = sqlx::query("SELECT list FROM price_lists WHERE digest = ?")
            .bind(digest.as_bytes().as_slice())
            .fetch_optional(&mut *reader)
            .await?;
        Ok(row.map(|row| row.try_get("list")).transpose()?)
    }

    fn authenticate(&self, text: &[u8]) -> Result<Digest, StoreError> {
        self.sealer.authenticate(text)
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

/// A reservation, and what of it is stored sealed.
struct SealedReservation {
    reservation: Reservation,
    payload: Vec<u8>,
    binding: Vec<u8>,
    secret: Vec<u8>,
    request: Vec<u8>,
    echo: Vec<u8>,
}

/// Who has a payment, as it is stored.
struct StoredHolder {
    id: TransactionId,
    state: TransactionState,
    /// Until its contents are erased.
    binding: Option<Digest>,
}

impl StoredHolder {
    fn open(&self, sealer: &Sealer, binding: Digest) -> Result<Holder, StoreError> {
        let same_binding =
            self.binding.map(|stored| sealer.is_bound(self.id, binding, stored)).transpose()?;
        Ok(Holder { id: self.id, state: self.state, same_binding })
    }
}

impl SqliteStore {
    fn seal(&self, reservation: Reservation) -> Result<SealedReservation, StoreError> {
        let seal = |column, value: &[u8]| self.sealer.seal(reservation.id, column, value);
        Ok(SealedReservation {
            payload: seal(Column::Payload, &reservation.payload)?,
            binding: self.sealer.bind(reservation.id, reservation.binding)?,
            secret: seal(Column::Secret, &reservation.secret)?,
            request: seal(Column::Request, &reservation.request)?,
            echo: seal(Column::Echo, &reservation.echo)?,
            reservation,
        })
    }

    /// Runs a step of the writer over what it was given. [`Extent::Statement`] is only for a step that changes
    /// something by at most one statement: alone it is not taken back when it fails later.
    pub(super) async fn write<I, T>(
        &self,
        extent: Extent,
        input: I,
        step: impl for<'c> Fn(&'c mut SqliteConnection, &'c I) -> BoxFuture<'c, Result<T, StoreError>>
        + Copy
        + Send
        + Sync
        + 'static,
    ) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        let input = Arc::new(input);
        let _timer = self.observer.as_ref().map(|observer| observer.time(StepKind::Write));
        self.writer
            .write(extent, move |connection| {
                let input = Arc::clone(&input);
                Box::pin(async move { step(connection, &input).await })
            })
            .await
    }
}

/// Returns who has the payment already, if anybody has.
async fn reserve(
    writer: &mut SqliteConnection,
    sealed: &SealedReservation,
) -> Result<Option<StoredHolder>, StoreError> {
    let reservation = &sealed.reservation;
    let payment = &reservation.payment;
    let inserted = sqlx::query(RESERVE)
        .bind(reservation.id.to_string())
        .bind(payment.network.as_str())
        .bind(payment.asset.as_str())
        .bind(payment.payer.as_str())
        .bind(payment.nonce.as_str())
        .bind(sealed.payload.as_slice())
        .bind(sealed.binding.as_slice())
        .bind(reservation.access_token_hash.as_bytes().as_slice())
        .bind(sealed.secret.as_slice())
        .bind(reservation.queue.as_str())
        .bind(sealed.request.as_slice())
        .bind(sealed.echo.as_slice())
        .bind(reservation.location.as_ref().map(|hash| hash.as_bytes().as_slice()))
        .bind(reservation.is_resumable)
        .bind(rows::millis(reservation.deadline))
        .bind(reservation.leased_until.map(rows::millis))
        .bind(rows::millis(reservation.at))
        .execute(&mut *writer)
        .await?
        .rows_affected();
    if inserted == 1 {
        return Ok(None);
    }
    let taken = || StoreError::Damaged(format!("transaction id {} is taken", reservation.id));
    holder(writer, payment).await?.ok_or_else(taken).map(Some)
}

async fn keep_prices(
    writer: &mut SqliteConnection,
    digest: Digest,
    list: &[u8],
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO price_lists (digest, list) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(digest.as_bytes().as_slice())
        .bind(list)
        .execute(writer)
        .await?;
    Ok(())
}

async fn release(
    writer: &mut SqliteConnection,
    id: TransactionId,
    failure: Option<&str>,
) -> Result<(), StoreError> {
    let changed = sqlx::query(
        "UPDATE transactions SET state = 'released', failure = ?, request = NULL, \
         leased_until = NULL WHERE id = ? AND state = 'reserved'",
    )
    .bind(failure)
    .bind(id.to_string())
    .execute(&mut *writer)
    .await?
    .rows_affected();
    expect_changed(writer, id, TransactionState::Reserved, changed).await
}

async fn commit(
    writer: &mut SqliteConnection,
    lease: Lease,
    commitment: &Commitment,
    manifest: Digest,
) -> Result<(), StoreError> {
    let Lease { id, number } = lease;
    let changed = sqlx::query(COMMIT)
        .bind(commitment.receipt.as_slice())
        .bind(commitment.receipt_digest.as_bytes().as_slice())
        .bind(manifest.as_bytes().as_slice())
        .bind(commitment.items.as_slice())
        .bind(commitment.intent.as_slice())
        .bind(rows::millis(commitment.at))
        .bind(id.to_string())
        .bind(rows::signed(number)?)
        .execute(&mut *writer)
        .await?
        .rows_affected();
    expect_changed(writer, id, TransactionState::Reserved, changed).await.map_err(|error| {
        match error {
            // It is in the right state, and another's.
            StoreError::State { expected, found, .. } if found == expected => {
                StoreError::LeaseLost(lease)
            }
            error => error,
        }
    })
}

async fn fail(
    writer: &mut SqliteConnection,
    id: TransactionId,
    response: &[u8],
) -> Result<(), StoreError> {
    let changed = sqlx::query(
        "UPDATE transactions SET state = 'failing', response = ? \
         WHERE id = ? AND state IN ('committed', 'reorged')",
    )
    .bind(response)
    .bind(id.to_string())
    .execute(&mut *writer)
    .await?
    .rows_affected();
    expect_changed(writer, id, TransactionState::Committed, changed).await
}

async fn settle(
    writer: &mut SqliteConnection,
    id: TransactionId,
    update: &SettlementUpdate,
    manifest: Digest,
) -> Result<(), StoreError> {
    let (state, from) = match update.state {
        SettlementState::Failed => (TransactionState::Failed, SETTLE),
        SettlementState::Settled => (TransactionState::Settled, SETTLE),
        SettlementState::Reorged => (TransactionState::Reorged, REORG),
    };
    let (number, hash) = match &update.block {
        Some(SettledBlock { number, hash }) => (Some(rows::signed(*number)?), Some(hash.as_str())),
        None => (None, None),
    };
    let changed = sqlx::query(from)
        .bind(state.as_str())
        .bind(update.record.as_slice())
        .bind(update.record_digest.as_bytes().as_slice())
        .bind(manifest.as_bytes().as_slice())
        .bind(update.response.as_slice())
        .bind(number)
        .bind(hash)
        .bind(rows::millis(update.at))
        .bind(id.to_string())
        .execute(&mut *writer)
        .await?
        .rows_affected();
    let expected = match update.state {
        SettlementState::Reorged => TransactionState::Settled,
        _ => TransactionState::Committed,
    };
    expect_changed(writer, id, expected, changed).await
}

async fn add_record(
    writer: &mut SqliteConnection,
    id: TransactionId,
    refund: &Refund,
    manifest: Digest,
) -> Result<bool, StoreError> {
    let changed = sqlx::query(REFUND)
        .bind(refund.record.as_slice())
        .bind(refund.record_digest.as_bytes().as_slice())
        .bind(manifest.as_bytes().as_slice())
        .bind(refund.transaction.as_str())
        .bind(rows::millis(refund.at))
        .bind(id.to_string())
        .execute(&mut *writer)
        .await?
        .rows_affected();
    let settled = TransactionState::Settled;
    if changed == 0 && state_of(writer, id).await?.as_deref() == Some(settled.as_str()) {
        return Ok(false);
    }
    expect_changed(writer, id, settled, changed).await.map(|()| true)
}

async fn holder(
    connection: &mut SqliteConnection,
    payment: &Payment,
) -> Result<Option<StoredHolder>, StoreError> {
    let row = sqlx::query(HOLDER)
        .bind(payment.network.as_str())
        .bind(payment.asset.as_str())
        .bind(payment.payer.as_str())
        .bind(payment.nonce.as_str())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let binding: &[u8] = row.try_get("binding")?;
    Ok(Some(StoredHolder {
        id: rows::id(row.try_get("id")?)?,
        state: rows::state(row.try_get("state")?)?,
        binding: (!binding.is_empty()).then(|| rows::digest(binding)).transpose()?,
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
