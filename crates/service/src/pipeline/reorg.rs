//! Settlements whose block a reorganisation took out of the chain: they are recorded as such, and
//! settled again while their authorisation is valid.

use assay_primitives::TransactionId;
use assay_store::{SettledBlock, TransactionState};
use assay_x402::FacilitatorError;
use tracing::warn;

use super::PurchaseError;
use super::commit::reopen;
use super::settle::Settlement;
use crate::Service;
use crate::receipts::response;

impl Service {
    /// Looks whether the blocks of the latest settlements are still in the chain, and takes up again
    /// what is not settled any more. Returns how many settlements were lost.
    ///
    /// # Errors
    /// When the store or the chain does not answer.
    pub async fn watch_reorganisations(&self) -> Result<usize, PurchaseError> {
        let parts = self.parts();
        let depth = parts.settings.reorg_depth;
        let Some(chain) = parts.facilitator.chain().filter(|_| depth > 0) else { return Ok(0) };
        let latest = chain.latest_block().await.map_err(FacilitatorError::from)?.number;
        let mut lost = 0;
        for block in parts.store.settled_blocks(latest.saturating_sub(depth)).await? {
            let found = chain.block_at(block.number).await.map_err(FacilitatorError::from)?;
            // A node that does not have the block yet lags behind: only another in its place says
            // that it is gone.
            if found.is_none_or(|found| found.hash.to_string() == block.hash) {
                continue;
            }
            for id in parts.store.settled_in(&block).await? {
                self.lost(id, &block).await?;
                lost += 1;
            }
        }
        Ok(lost)
    }

    async fn lost(&self, id: TransactionId, block: &SettledBlock) -> Result<(), PurchaseError> {
        let Some(_in_flight) = self.admission.take_up(id) else { return Ok(()) };
        let Some(row) = self.parts().store.transaction(id).await? else { return Ok(()) };
        // One without its intent was deeper in the chain than is looked for when that was erased.
        if row.state != TransactionState::Settled || row.intent.is_none() {
            return Ok(());
        }
        let reopened = reopen(self, &row, self.parts().clock.now())?;
        let settlement = Settlement {
            id,
            receipt: &reopened.receipt,
            receipt_digest: reopened.digest,
            not_before: reopened.latest,
        };
        let response = response(&row).map_err(|error| PurchaseError::Receipt(error.to_string()))?;
        settlement.reorged(self, &response).await?;
        let SettledBlock { number, hash } = block;
        warn!(transaction = %id, number, hash, "A settlement's block is no longer in the chain.");
        Ok(())
    }
}
