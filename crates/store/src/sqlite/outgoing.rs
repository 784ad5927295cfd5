//! The transactions of one's own accounts.

use async_trait::async_trait;
use sqlx::Row as _;

use super::writer::Extent;
use super::{SqliteStore, rows};
use crate::{OutgoingRow, OutgoingStore, StoreError};

const APPEND: &str = "INSERT INTO outgoing_transactions (account, nonce, version, content, is_open) \
    SELECT ?1, ?2, coalesce(max(version), 0) + 1, ?3, 1 \
    FROM outgoing_transactions WHERE account = ?1 AND nonce = ?2";

const CLOSE: &str = "UPDATE outgoing_transactions SET is_open = 0 \
    WHERE account = ? AND nonce = ? AND is_open = 1";

pub(super) const OPEN: &str = "SELECT content FROM outgoing_transactions \
    WHERE account = ? AND is_open = 1 ORDER BY nonce, version";

pub(super) const VERSIONS: &str = "SELECT content FROM outgoing_transactions \
    WHERE account = ? AND nonce = ? ORDER BY version";

pub(super) const HIGHEST: &str =
    "SELECT max(nonce) AS nonce FROM outgoing_transactions WHERE account = ?";

#[async_trait]
impl OutgoingStore for SqliteStore {
    async fn append_outgoing(&self, row: OutgoingRow) -> Result<(), StoreError> {
        self.write(Extent::Statement, row, |writer, row| {
            Box::pin(async move {
                sqlx::query(APPEND)
                    .bind(row.account.as_str())
                    .bind(rows::signed(row.nonce)?)
                    .bind(row.content.as_slice())
                    .execute(writer)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    async fn close_outgoing(&self, account: &str, nonce: u64) -> Result<(), StoreError> {
        let step = (account.to_owned(), nonce);
        self.write(Extent::Statement, step, |writer, (account, nonce)| {
            Box::pin(async move {
                let closed = sqlx::query(CLOSE).bind(account.as_str()).bind(rows::signed(*nonce)?);
                closed.execute(writer).await?;
                Ok(())
            })
        })
        .await
    }

    async fn open_outgoing(&self, account: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        let rows = sqlx::query(OPEN).bind(account).fetch_all(&mut *reader).await?;
        rows.iter().map(|row| Ok(row.try_get("content")?)).collect()
    }

    async fn outgoing_versions(
        &self,
        account: &str,
        nonce: u64,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        let versions = sqlx::query(VERSIONS).bind(account).bind(rows::signed(nonce)?);
        let rows = versions.fetch_all(&mut *reader).await?;
        rows.iter().map(|row| Ok(row.try_get("content")?)).collect()
    }

    async fn highest_outgoing(&self, account: &str) -> Result<Option<u64>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        let row = sqlx::query(HIGHEST).bind(account).fetch_one(&mut *reader).await?;
        row.try_get::<Option<i64>, _>("nonce")?.map(rows::unsigned).transpose()
    }
}
