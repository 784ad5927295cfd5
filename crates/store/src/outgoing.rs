use std::fmt::Debug;

use async_trait::async_trait;

use crate::StoreError;

/// Where the transactions of one's own accounts are kept before they are broadcast. Every method is
/// one atomic, durable step.
#[async_trait]
pub trait OutgoingStore: Debug + Send + Sync {
    /// Stores a transaction of an account: the first of its nonce, or a further version.
    ///
    /// # Errors
    /// When the store fails.
    async fn append_outgoing(&self, row: OutgoingRow) -> Result<(), StoreError>;

    /// Notes that a nonce is spent.
    ///
    /// # Errors
    /// When the store fails.
    async fn close_outgoing(&self, account: &str, nonce: u64) -> Result<(), StoreError>;

    /// Returns the transactions whose nonces are not closed, by nonce, versions oldest first.
    ///
    /// # Errors
    /// When the store fails.
    async fn open_outgoing(&self, account: &str) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Returns the versions of a nonce, closed or not, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    async fn outgoing_versions(
        &self,
        account: &str,
        nonce: u64,
    ) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Returns the highest nonce of an account that was ever stored.
    ///
    /// # Errors
    /// When the store fails.
    async fn highest_outgoing(&self, account: &str) -> Result<Option<u64>, StoreError>;
}

/// A transaction of an account of one's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutgoingRow {
    /// The account on its network.
    pub account: String,
    /// Its nonce.
    pub nonce: u64,
    /// The signed transaction and what it carries out, as the caller writes it.
    pub content: Vec<u8>,
}
