//! From columns to values and back.

use std::fmt::Display;
use std::str::FromStr;

use assay_primitives::{Digest, Timestamp, TransactionId};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::seal::{Column, Sealer};
use crate::{OutboxEntry, OutboxKind, StoreError, TransactionRow, TransactionState};

/// The columns [`transaction`] reads.
pub(super) const TRANSACTION: &str = "SELECT t.id, t.state, t.network, t.payer, t.payload, \
    t.access_token_hash, t.echo, t.failure, c.receipt, m.envelope AS key_manifest, c.items, c.intent, \
    t.response, t.erased_at FROM transactions t \
    LEFT JOIN commitments c ON c.transaction_id = t.id \
    LEFT JOIN key_manifests m ON m.digest = t.key_manifest WHERE t.id = ?";

pub(super) fn transaction(
    row: &SqliteRow,
    sealer: &Sealer,
    records: Vec<Vec<u8>>,
) -> Result<TransactionRow, StoreError> {
    let id = id(row.try_get("id")?)?;
    let erased_at: Option<i64> = row.try_get("erased_at")?;
    let erased_at = erased_at.map(unsigned).transpose()?.map(Timestamp::from_millis);
    // What was erased is empty, and what is sealed never is.
    let opened = |column: Column| -> Result<Option<Vec<u8>>, StoreError> {
        let sealed: Option<&[u8]> = row.try_get(column.as_str())?;
        let sealed = sealed.filter(|sealed| erased_at.is_none() || !sealed.is_empty());
        sealed.map(|sealed| sealer.open(id, column, sealed)).transpose()
    };
    Ok(TransactionRow {
        id,
        state: state(row.try_get("state")?)?,
        network: named(row.try_get("network")?)?,
        payer: named(row.try_get("payer")?)?,
        payload: opened(Column::Payload)?.unwrap_or_default(),
        access_token_hash: digest(row.try_get("access_token_hash")?)?,
        echo: opened(Column::Echo)?,
        failure: row.try_get("failure")?,
        receipt: row.try_get("receipt")?,
        key_manifest: row.try_get("key_manifest")?,
        items: opened(Column::Items)?,
        erased_at,
        intent: opened(Column::Intent)?,
        response: row.try_get("response")?,
        records,
    })
}

pub(super) fn outbox(row: &SqliteRow) -> Result<OutboxEntry, StoreError> {
    let kind: &str = row.try_get("kind")?;
    Ok(OutboxEntry {
        sequence: unsigned(row.try_get("sequence")?)?,
        kind: match kind {
            "receipt" => OutboxKind::Receipt,
            "settlement" => OutboxKind::Settlement,
            other => return Err(StoreError::Damaged(format!("outbox kind `{other}`"))),
        },
        transaction: id(row.try_get("transaction_id")?)?,
        digest: digest(row.try_get("digest")?)?,
        at: Timestamp::from_millis(unsigned(row.try_get("at")?)?),
    })
}

pub(super) fn state(text: &str) -> Result<TransactionState, StoreError> {
    TransactionState::ALL
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| StoreError::Damaged(format!("transaction state `{text}`")))
}

pub(super) fn id(text: &str) -> Result<TransactionId, StoreError> {
    named(text)
}

fn named<T: FromStr<Err: Display>>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error: T::Err| StoreError::Damaged(error.to_string()))
}

pub(super) fn digest(bytes: &[u8]) -> Result<Digest, StoreError> {
    bytes
        .try_into()
        .map(Digest)
        .map_err(|_| StoreError::Damaged(format!("a digest of {} bytes", bytes.len())))
}

pub(super) fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Damaged(format!("a negative number {number}")))
}

/// A number that SQLite can hold.
pub(super) fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Damaged(format!("a number of {number}")))
}

/// Milliseconds since 1970 fit: the greatest timestamp is far below 2^63.
pub(super) fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}
