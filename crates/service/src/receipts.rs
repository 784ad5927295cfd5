//! Reading back what was sold, and erasing it.

use assay_primitives::{Digest, Timestamp, TransactionId, json};
use assay_receipt::{
    BUNDLE_MEDIA_TYPE, Bundle, BundleItem, ERASE_STATEMENT, Envelope, EvidenceBlob, ItemStatement,
};
use assay_store::{BlobError, StoreError, TransactionRow, TransactionState};
use assay_verify::{ProofExplanation, explain_proofs};
use assay_x402::{FacilitatorError, SettleResponse, SignInRefusal};
use thiserror::Error;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::contents::Contents;
use crate::{Access, Release, Service};

/// How many transactions are erased in one step: others wait for it to write.
const ERASED_AT_A_TIME: u32 = 64;

/// What anyone may know of a transaction.
#[derive(Clone, Debug)]
pub struct PublicReceipt {
    /// How far it is.
    pub state: TransactionState,
    /// The receipt.
    pub receipt: Envelope,
    /// What became of the money.
    pub settlement_records: Vec<Envelope>,
    /// The operator's keys: the manifest that receipt and records verify under.
    pub key_manifest: Envelope,
}

/// A bundle that is released to its buyer.
#[derive(Clone, Debug)]
pub struct ReleasedBundle {
    /// The bundle.
    pub bundle: Bundle,
    /// What the payer was told of the settlement, for one who only learns of it now; `None` where
    /// results are released before.
    pub settlement: Option<SettleResponse>,
}

/// A receipt that cannot be given.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// There is none.
    #[error("there is no receipt {0}")]
    Unknown(TransactionId),
    /// The token is another transaction's, or none's.
    #[error("the access token does not open this receipt")]
    Token,
    /// The payer's signature is refused.
    #[error("the sign-in does not open this receipt: {0}")]
    SignIn(#[from] SignInRefusal),
    /// Nobody here can ask the payer's wallet.
    #[error("the payer's signature is for a contract wallet to judge: {0}")]
    Wallet(FacilitatorError),
    /// The chain that the payer's wallet is on does not answer.
    #[error("the payer's wallet cannot be asked now: {0}")]
    Chain(String),
    /// The contents were erased.
    #[error("the contents of {id} were erased at {at}; its public part is still here")]
    Erased {
        /// The transaction.
        id: TransactionId,
        /// When.
        at: Timestamp,
    },
    /// Nothing was charged, so there is no receipt.
    #[error("the transaction was given up: nothing was charged, and there is no receipt")]
    Released,
    /// The transaction goes on, so its contents cannot be erased yet.
    #[error("the transaction is `{}`: its contents can be erased once it is settled or has failed", .0.as_str())]
    NotEnded(TransactionState),
    /// The money has not moved, so contents are not released.
    #[error("the transaction is `{}`: its contents are released when it is settled", .0.as_str())]
    NotSettled(TransactionState),
    /// What is stored cannot be read back.
    #[error("stored receipt: {0}")]
    Damaged(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The blob store failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl Service {
    /// Returns the public part of a receipt: it reveals nothing of the items.
    ///
    /// # Errors
    /// When there is no such receipt, or the store fails.
    pub async fn public_receipt(&self, id: TransactionId) -> Result<PublicReceipt, ReceiptError> {
        let row = self.parts().store.transaction(id).await?;
        let row = row.filter(|row| row.receipt.is_some());
        public(&row.ok_or(ReceiptError::Unknown(id))?)
    }

    /// Returns the whole bundle to who holds the transaction's access token or paid for it, once it is
    /// settled.
    ///
    /// # Errors
    /// When there is no such receipt, what was shown does not open it, it is not settled or was
    /// erased, or the store fails.
    pub async fn bundle(
        &self,
        id: TransactionId,
        access: &Access<'_>,
    ) -> Result<ReleasedBundle, ReceiptError> {
        let row = self.opened(id, access, None).await?;
        if let Some(at) = row.erased_at {
            return Err(ReceiptError::Erased { id, at });
        }
        if !self.is_released(row.state) {
            return Err(ReceiptError::NotSettled(row.state));
        }
        let public = public(&row)?;
        let Contents { items, evidence } = read(row.items.as_deref().unwrap_or_default())?;
        let evidence = self.evidence_of(&items, evidence).await?;
        let bundle = Bundle {
            media_type: BUNDLE_MEDIA_TYPE.to_owned(),
            receipt: public.receipt,
            settlement_records: public.settlement_records,
            key_manifest: public.key_manifest,
            items,
            evidence,
        };
        Ok(ReleasedBundle { bundle, settlement: settlement(&row)? })
    }

    /// Says what the proofs of a transaction's items claim, to who may have its bundle, and
    /// how long their parts take to check.
    ///
    /// # Errors
    /// As [`bundle`](Self::bundle), and when a proof cannot be read.
    pub async fn proofs(
        &self,
        id: TransactionId,
        access: &Access<'_>,
    ) -> Result<Vec<ProofExplanation>, ReceiptError> {
        let released = self.bundle(id, access).await?;
        // Reading a large program takes a while.
        let clock = self.parts().clock.clone();
        let explained = spawn_blocking(move || explain_proofs(&released.bundle, clock.as_ref()));
        let explained = explained.await;
        let explained = explained.map_err(|error| ReceiptError::Damaged(error.to_string()))?;
        explained.map_err(|error| ReceiptError::Damaged(error.to_string()))
    }

    /// Says whether the contents of transactions in a state are released to their buyers.
    pub(crate) fn is_released(&self, state: TransactionState) -> bool {
        match state {
            TransactionState::Settled => true,
            TransactionState::Committed => self.parts().settings.release == Release::Verification,
            _ => false,
        }
    }

    /// Erases a transaction's contents for who holds its access token or paid for it, once it is settled
    /// or has failed. Receipt, records and digests stay. Returns when they were erased: now, or
    /// before.
    ///
    /// # Errors
    /// When there is no such receipt, what was shown does not open it, it has not ended, or the store
    /// fails.
    pub async fn erase(
        &self,
        id: TransactionId,
        access: &Access<'_>,
    ) -> Result<Timestamp, ReceiptError> {
        let row = self.opened(id, access, Some(ERASE_STATEMENT)).await?;
        if let Some(at) = row.erased_at {
            return Ok(at);
        }
        if !matches!(row.state, TransactionState::Settled | TransactionState::Failed) {
            return Err(ReceiptError::NotEnded(row.state));
        }
        let now = self.parts().clock.now();
        self.parts().store.erase(id, now).await?;
        info!(transaction = %id, "Contents were erased for their buyer.");
        // They are: what is left in the log goes with the next pass.
        if let Err(error) = self.forget_erased().await {
            warn!(%error, "The database's log could not be emptied of what was erased.");
        }
        Ok(now)
    }

    /// Erases the contents of transactions that ended longer ago than they are to be kept, in small
    /// steps. Returns how many there were. It may be dropped at any point.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn erase_expired(&self) -> Result<u64, StoreError> {
        let now = self.parts().clock.now();
        let kept = u64::try_from(self.parts().settings.retention.as_millis()).unwrap_or(u64::MAX);
        let until = Timestamp::from_millis(now.as_millis().saturating_sub(kept));
        let mut erased = 0;
        loop {
            let step = self.parts().store.erase_ended(until, now, ERASED_AT_A_TIME).await?;
            erased += step;
            if step < u64::from(ERASED_AT_A_TIME) {
                break;
            }
        }
        if erased > 0 {
            info!(erased, "Contents were erased as their time was over.");
        }
        self.erase_payments().await?;
        self.forget_erased().await?;
        Ok(erased)
    }

    /// Erases what was paid with, once no reorganisation that is looked for can ask for it again.
    async fn erase_payments(&self) -> Result<(), StoreError> {
        let parts = self.parts();
        let depth = parts.settings.reorg_depth;
        let before_block = match parts.facilitator.chain().filter(|_| depth > 0) {
            // Where the chain does not answer, what needs no answer goes, and the rest the next time.
            Some(chain) => {
                let latest = chain.latest_block().await;
                latest.map_or(0, |latest| latest.number.saturating_sub(depth))
            }
            None => u64::MAX,
        };
        while parts.store.erase_intents(before_block, ERASED_AT_A_TIME).await? > 0 {}
        Ok(())
    }

    /// Says so while the store's log still holds what was erased.
    async fn forget_erased(&self) -> Result<(), StoreError> {
        if !self.parts().store.forget_erased().await? {
            warn!(
                "Another program reads the database: its log still holds contents that were erased, \
                 sealed, until that program is done."
            );
        }
        Ok(())
    }

    /// Returns a transaction to who may see its contents. Of one that was released nobody else learns that it was.
    async fn opened(
        &self,
        id: TransactionId,
        access: &Access<'_>,
        statement: Option<&str>,
    ) -> Result<TransactionRow, ReceiptError> {
        let row = self.parts().store.transaction(id).await?;
        let row = row.ok_or(ReceiptError::Unknown(id))?;
        let authorized = self.authorize(&row, access, statement).await;
        if row.state == TransactionState::Released {
            return Err(authorized.map_or(ReceiptError::Unknown(id), |()| ReceiptError::Released));
        }
        authorized.map(|()| row)
    }

    /// Returns the evidence that items refer to: their own, and what is stored for everybody.
    async fn evidence_of(
        &self,
        items: &[BundleItem],
        own: Vec<EvidenceBlob>,
    ) -> Result<Vec<EvidenceBlob>, ReceiptError> {
        let mut evidence: Vec<EvidenceBlob> = Vec::new();
        for item in items {
            let statement = ItemStatement::from_bytes(&item.statement)
                .map_err(|error| ReceiptError::Damaged(error.to_string()))?;
            for reference in &statement.details.evidence {
                if evidence.iter().any(|blob| blob.sha256 == reference.sha256) {
                    continue;
                }
                let sha256 = reference.sha256;
                if let Some(blob) = own.iter().find(|blob| blob.sha256 == sha256) {
                    evidence.push(blob.clone());
                    continue;
                }
                let content = self.evidence(sha256).await?;
                let content = content
                    .ok_or_else(|| ReceiptError::Damaged(format!("evidence {sha256} is gone")))?;
                evidence.push(EvidenceBlob { sha256, content: content.to_vec() });
            }
        }
        Ok(evidence)
    }

    /// Returns a piece of evidence that anybody may have, by its digest.
    ///
    /// # Errors
    /// When the blob store fails.
    pub async fn evidence(&self, digest: Digest) -> Result<Option<bytes::Bytes>, BlobError> {
        self.parts().blobs.get(digest).await
    }
}

pub(crate) fn public(row: &TransactionRow) -> Result<PublicReceipt, ReceiptError> {
    Ok(PublicReceipt {
        state: row.state,
        receipt: read(row.receipt.as_deref().unwrap_or_default())?,
        settlement_records: row.records.iter().map(|r| read(r)).collect::<Result<_, _>>()?,
        key_manifest: read(row.key_manifest.as_deref().unwrap_or_default())?,
    })
}

/// Returns what the payer is told of the payment, once its settlement is known.
pub(crate) fn response(row: &TransactionRow) -> Result<SettleResponse, ReceiptError> {
    serde_json::from_slice(row.response.as_deref().unwrap_or_default())
        .map_err(|error| ReceiptError::Damaged(error.to_string()))
}

/// The same, where it is settled.
pub(crate) fn settlement(row: &TransactionRow) -> Result<Option<SettleResponse>, ReceiptError> {
    (row.state == TransactionState::Settled).then(|| response(row)).transpose()
}

pub(crate) fn read<T: serde::de::DeserializeOwned + serde::Serialize>(
    bytes: &[u8],
) -> Result<T, ReceiptError> {
    json::from_slice(bytes).map_err(|error| ReceiptError::Damaged(error.to_string()))
}
