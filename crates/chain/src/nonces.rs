//! What became of an account's nonce, by what the chain held at each block: to a question about a block
//! by its number every node that knows the block answers the same, and the others not at all.

use alloy_primitives::{Address, B256, U64};
use serde::Deserialize;
use serde_json::json;

use crate::chain::RpcBlock;
use crate::{Block, Chain, ChainError};

/// The block that brought an account past a nonce.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SpentNonce {
    /// The block.
    pub block: Block,
    /// The hashes of all its transactions.
    pub transactions: Vec<B256>,
}

#[derive(Debug, Deserialize)]
struct WholeBlock {
    #[serde(flatten)]
    block: RpcBlock,
    transactions: Vec<B256>,
}

impl Chain {
    /// Returns how many transactions of an account the chain holds up to a block.
    ///
    /// # Errors
    /// When the node does not answer, or does not know the block, or what was there in it any more.
    pub async fn transaction_count_at(
        &self,
        address: Address,
        block: u64,
    ) -> Result<u64, ChainError> {
        let params = json!([address, U64::from(block)]);
        let count: U64 = self.rpc().read("eth_getTransactionCount", params).await?;
        Ok(count.to())
    }

    /// Finds the block that brought an account past a nonce, up to the block `until`; `None` when
    /// the nonce is not spent by then. It asks for the counts of about twice as many blocks as the
    /// distance has binary digits, the nearest first, as many nodes forget what is long past.
    ///
    /// # Errors
    /// As [`Chain::transaction_count_at`].
    pub async fn nonce_spent(
        &self,
        address: Address,
        nonce: u64,
        until: u64,
    ) -> Result<Option<SpentNonce>, ChainError> {
        let is_spent = async |block| {
            let count = self.transaction_count_at(address, block).await;
            count.map(|count| count > nonce)
        };
        if !is_spent(until).await? {
            return Ok(None);
        }
        // The block is in `below + 1 ..= by`.
        let (mut by, mut step) = (until, 1_u64);
        let mut below = loop {
            let Some(before) = by.checked_sub(1) else { return self.whole_block(by).await };
            let block = before.saturating_sub(step - 1);
            if !is_spent(block).await? {
                break block;
            }
            (by, step) = (block, step.saturating_mul(2));
        };
        while by - below > 1 {
            let middle = below + (by - below) / 2;
            if is_spent(middle).await? {
                by = middle;
            } else {
                below = middle;
            }
        }
        self.whole_block(by).await
    }

    async fn whole_block(&self, number: u64) -> Result<Option<SpentNonce>, ChainError> {
        let params = json!([U64::from(number), false]);
        let found: Option<WholeBlock> = self.rpc().read("eth_getBlockByNumber", params).await?;
        Ok(found.map(|WholeBlock { block, transactions }| SpentNonce {
            block: block.into(),
            transactions,
        }))
    }
}
