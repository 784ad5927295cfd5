//! Reading back what was sold.

use assay_primitives::{AccessToken, Digest, TransactionId, json};
use assay_receipt::{BUNDLE_MEDIA_TYPE, Bundle, BundleItem, Envelope, EvidenceBlob, ItemStatement};
use assay_store::{BlobError, StoreError, TransactionRow, TransactionState};
use assay_x402::SettleResponse;
use thiserror::Error;

use crate::{Release, Service};

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

    /// Returns the whole bundle to who holds the transaction's access token, once it is settled.
    ///
    /// # Errors
    /// When there is no such receipt, the token is not its own, it is not settled, or the store
    /// fails.
    pub async fn bundle(
        &self,
        id: TransactionId,
        token: &AccessToken,
    ) -> Result<ReleasedBundle, ReceiptError> {
        let row = self.parts().store.transaction(id).await?;
        let row = row.filter(|row| row.state != TransactionState::Released);
        let row = row.ok_or(ReceiptError::Unknown(id))?;
        // Hashes of secrets: how long the comparison takes tells nothing of a token.
        if token.hash() != row.access_token_hash {
            return Err(ReceiptError::Token);
        }
        let is_settled = row.state == TransactionState::Settled;
        let is_released = is_settled
            || row.state == TransactionState::Committed
                && self.parts().settings.release == Release::Verification;
        if !is_released {
            return Err(ReceiptError::NotSettled(row.state));
        }
        let public = public(&row)?;
        let items: Vec<BundleItem> = read(row.items.as_deref().unwrap_or_default())?;
        let evidence = self.evidence_of(&items).await?;
        let bundle = Bundle {
            media_type: BUNDLE_MEDIA_TYPE.to_owned(),
            receipt: public.receipt,
            settlement_records: public.settlement_records,
            key_manifest: public.key_manifest,
            items,
            evidence,
        };
        let settlement = row.response.as_deref().filter(|_| is_settled).map(serde_json::from_slice);
        let settlement =
            settlement.transpose().map_err(|error| ReceiptError::Damaged(error.to_string()))?;
        Ok(ReleasedBundle { bundle, settlement })
    }

    async fn evidence_of(&self, items: &[BundleItem]) -> Result<Vec<EvidenceBlob>, ReceiptError> {
        let mut evidence: Vec<EvidenceBlob> = Vec::new();
        for item in items {
            let statement = ItemStatement::from_bytes(&item.statement)
                .map_err(|error| ReceiptError::Damaged(error.to_string()))?;
            for reference in &statement.details.evidence {
                if evidence.iter().any(|blob| blob.sha256 == reference.sha256) {
                    continue;
                }
                let content = self.evidence(reference.sha256).await?;
                let content = content.ok_or_else(|| {
                    ReceiptError::Damaged(format!("evidence {} is gone", reference.sha256))
                })?;
                evidence.push(EvidenceBlob { sha256: reference.sha256, content: content.to_vec() });
            }
        }
        Ok(evidence)
    }

    /// Returns a piece of evidence by its digest.
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

pub(crate) fn read<T: serde::de::DeserializeOwned + serde::Serialize>(
    bytes: &[u8],
) -> Result<T, ReceiptError> {
    json::from_slice(bytes).map_err(|error| ReceiptError::Damaged(error.to_string()))
}
