//! Who works on what: claims on transactions that are reserved.

use assay_primitives::{Digest, Timestamp, TransactionId};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row as _};

use super::rows;
use crate::seal::{Column, Sealer};
use crate::{Job, Lease, Requeued, StoreError};

pub(super) const NEXT: &str = "SELECT id FROM transactions WHERE state = 'reserved' \
    AND method = ?1 AND not_before <= ?2 AND (leased_until IS NULL OR leased_until <= ?2) \
    ORDER BY id LIMIT 1";

const CLAIM: &str = "UPDATE transactions SET lease = lease + 1, attempts = attempts + 1, \
    leased_until = ? WHERE id = ? RETURNING id, lease, attempts, payload, secret, request, \
    deadline";

const RENEW: &str = "UPDATE transactions SET leased_until = ? \
    WHERE id = ? AND lease = ? AND state = 'reserved' AND leased_until IS NOT NULL";

const POSTPONE: &str = "UPDATE transactions SET leased_until = NULL, not_before = ? \
    WHERE id = ? AND lease = ? AND state = 'reserved'";

const RELEASE: &str = "UPDATE transactions SET state = 'released', request = NULL, \
    leased_until = NULL, failure = iif(is_resumable, 'its method is not certified here any more', \
    'the gateway was started anew') \
    WHERE state = 'reserved' AND (is_resumable = 0 OR method NOT IN (";

const DO_NOT_RESUME: &str =
    "UPDATE transactions SET is_resumable = 0 WHERE id = ? AND state = 'reserved'";

const REQUEUE: &str = "UPDATE transactions SET leased_until = NULL \
    WHERE state = 'reserved' RETURNING method";

/// A claimed job as it is stored.
pub(super) struct SealedJob {
    lease: Lease,
    attempts: u64,
    payload: Vec<u8>,
    secret: Vec<u8>,
    request: Vec<u8>,
    deadline: Timestamp,
}

pub(super) async fn claim(
    writer: &mut SqliteConnection,
    queue: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<SealedJob>, StoreError> {
    let next = sqlx::query(NEXT).bind(queue).bind(rows::millis(now));
    let Some(next) = next.fetch_optional(&mut *writer).await? else { return Ok(None) };
    let id: String = next.try_get("id")?;
    let claimed = sqlx::query(CLAIM).bind(rows::millis(until)).bind(id).fetch_one(writer).await?;
    sealed(&claimed).map(Some)
}

pub(super) async fn renew(
    writer: &mut SqliteConnection,
    leases: &[Lease],
    until: Timestamp,
) -> Result<(), StoreError> {
    for Lease { id, number } in leases {
        sqlx::query(RENEW)
            .bind(rows::millis(until))
            .bind(id.to_string())
            .bind(rows::signed(*number)?)
            .execute(&mut *writer)
            .await?;
    }
    Ok(())
}

pub(super) async fn postpone(
    writer: &mut SqliteConnection,
    lease: Lease,
    not_before: Timestamp,
) -> Result<(), StoreError> {
    let changed = sqlx::query(POSTPONE)
        .bind(rows::millis(not_before))
        .bind(lease.id.to_string())
        .bind(rows::signed(lease.number)?)
        .execute(writer)
        .await?
        .rows_affected();
    if changed == 1 { Ok(()) } else { Err(StoreError::LeaseLost(lease)) }
}

pub(super) async fn do_not_resume(
    writer: &mut SqliteConnection,
    id: TransactionId,
) -> Result<(), StoreError> {
    sqlx::query(DO_NOT_RESUME).bind(id.to_string()).execute(writer).await?;
    Ok(())
}

pub(super) async fn requeue(
    writer: &mut SqliteConnection,
    queues: &[String],
) -> Result<Requeued, StoreError> {
    let mut release = QueryBuilder::new(RELEASE);
    let mut known = release.separated(", ");
    for queue in queues {
        known.push_bind(queue.as_str());
    }
    release.push("))");
    let released = release.build().execute(&mut *writer).await?.rows_affected();
    let queued = sqlx::query(REQUEUE).fetch_all(writer).await?;
    let queued = queued.iter().map(|row| row.try_get("method")).collect::<Result<_, _>>()?;
    Ok(Requeued { queued, released })
}

pub(super) async fn at_location(
    reader: &mut SqliteConnection,
    location: Digest,
) -> Result<Option<TransactionId>, StoreError> {
    let row = sqlx::query("SELECT id FROM transactions WHERE location = ?")
        .bind(location.as_bytes().as_slice())
        .fetch_optional(reader)
        .await?;
    row.map(|row| rows::id(row.try_get("id")?)).transpose()
}

fn sealed(row: &SqliteRow) -> Result<SealedJob, StoreError> {
    let request: Option<Vec<u8>> = row.try_get("request")?;
    Ok(SealedJob {
        lease: Lease {
            id: rows::id(row.try_get("id")?)?,
            number: rows::unsigned(row.try_get("lease")?)?,
        },
        attempts: rows::unsigned(row.try_get("attempts")?)?,
        payload: row.try_get("payload")?,
        secret: row.try_get("secret")?,
        request: request.ok_or_else(|| StoreError::Damaged("a job without request".to_owned()))?,
        deadline: Timestamp::from_millis(rows::unsigned(row.try_get("deadline")?)?),
    })
}

pub(super) fn open(sealed: &SealedJob, sealer: &Sealer) -> Result<Job, StoreError> {
    let id = sealed.lease.id;
    let secret = sealer.open(id, Column::Secret, &sealed.secret)?;
    Ok(Job {
        lease: sealed.lease,
        attempts: sealed.attempts,
        payload: sealer.open(id, Column::Payload, &sealed.payload)?,
        secret: secret.as_slice().try_into().map_err(|_| {
            StoreError::Damaged(format!("a transaction secret of {} bytes", secret.len()))
        })?,
        request: sealer.open(id, Column::Request, &sealed.request)?,
        deadline: sealed.deadline,
    })
}
