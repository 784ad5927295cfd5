//! Records of money that the operator gave back.

use assay_chain::{Address, B256, Chain, TransactionOutcome, Transfer, U256, transfers_of};
use assay_primitives::{Digest, TransactionId, json};
use assay_receipt::{Envelope, SettlementPredicate, SettlementStatus};
use assay_store::{Refund, StoreError, TransactionState};
use assay_verify::{Refusal, open_payment, open_receipt, open_settlement};
use thiserror::Error;
use tracing::info;

use crate::receipts::public;
use crate::{ReceiptError, Service};

/// A record of a refund that is not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RefundError {
    /// There is no such receipt, or what is stored cannot be read back.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// Nothing was paid that could be given back.
    #[error("the transaction is `{}`: what is refunded was settled before", .0.as_str())]
    NotSettled(TransactionState),
    /// The record does not hold: it is not the operator's, about another receipt, or refunds too much.
    #[error("the record does not hold: {0}")]
    Refused(#[from] Refusal),
    /// The record is about something else.
    #[error("expected the record of a refund, got one that says `{0:?}`")]
    Status(SettlementStatus),
    /// The chain does not show the transfer.
    #[error("the chain does not show the refund: expected {expected}, got {got}")]
    Transfer {
        /// What the record says.
        expected: String,
        /// What the chain says.
        got: String,
    },
    /// The money is in another record already.
    #[error("transaction {0} of the chain is in another settlement record already")]
    Taken(String),
    /// Somebody else works on the transaction.
    #[error("the transaction is being worked on: try again")]
    Busy,
    /// The chain does not answer, or there is none to ask.
    #[error("the chain cannot be asked now: {0}")]
    Chain(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A record that holds, as far as can be told without the chain.
struct Examined {
    predicate: SettlementPredicate,
    /// Whether it is stored already.
    is_stored: bool,
}

impl Service {
    /// Stores the record of a refund: signed by a receipt key of the operator's, within what was
    /// settled, and of a transfer that the chain shows. The same record again changes nothing. Returns
    /// its digest.
    ///
    /// # Errors
    /// Says what of it does not hold; nothing was stored.
    pub async fn add_refund(
        &self,
        id: TransactionId,
        envelope: &Envelope,
    ) -> Result<Digest, RefundError> {
        // Before anything is held or asked: a stranger's record costs its signature.
        if self.examine(id, envelope).await?.is_stored {
            return Ok(envelope.digest());
        }
        let _in_flight = self.admission.take_up(id).ok_or(RefundError::Busy)?;
        let Examined { predicate, is_stored } = self.examine(id, envelope).await?;
        if is_stored {
            return Ok(envelope.digest());
        }
        let chain = self.parts().facilitator.chain();
        let chain = chain.ok_or_else(|| RefundError::Chain("there is none".to_owned()))?;
        let transaction = check_transfer(chain, &predicate).await?;
        let written = |envelope: &Envelope| {
            json::to_vec(envelope).map_err(|error| ReceiptError::Damaged(error.to_string()))
        };
        let refund = Refund {
            record: written(envelope)?,
            record_digest: envelope.digest(),
            key_manifest: written(self.parts().operator.manifest_envelope())?,
            transaction: transaction.to_string(),
            at: self.parts().clock.now(),
        };
        if !self.parts().store.add_record(id, refund).await? {
            return Err(RefundError::Taken(transaction.to_string()));
        }
        info!(transaction = %id, amount = %predicate.amount, "A refund is recorded.");
        Ok(envelope.digest())
    }

    /// Checks a record together with those before it, as a verifier will.
    async fn examine(
        &self,
        id: TransactionId,
        envelope: &Envelope,
    ) -> Result<Examined, RefundError> {
        let row = self.parts().store.transaction(id).await?;
        let row = row.filter(|row| row.receipt.is_some()).ok_or(ReceiptError::Unknown(id))?;
        let stored = public(&row)?;
        let digest = stored.receipt.digest();
        let (manifest, now) = (self.parts().operator.manifest(), self.parts().clock.now());
        let receipt = open_receipt(&stored.receipt, manifest, now)?;
        let record = open_settlement(envelope, manifest, &receipt, digest, now)?;
        let predicate = record.predicate().clone();
        if predicate.status != SettlementStatus::Refunded {
            return Err(RefundError::Status(predicate.status));
        }
        let mut records = stored.settlement_records;
        let is_stored = records.iter().any(|record| record.digest() == envelope.digest());
        if !is_stored {
            if row.state != TransactionState::Settled {
                return Err(RefundError::NotSettled(row.state));
            }
            records.push(envelope.clone());
            open_payment(&records, manifest, &receipt, digest, now)?;
        }
        Ok(Examined { predicate, is_stored })
    }
}

/// Checks that the chain shows what a record says: this transfer, in this transaction and block.
async fn check_transfer(chain: &Chain, record: &SettlementPredicate) -> Result<B256, RefundError> {
    let differs = |expected: String, got: String| RefundError::Transfer { expected, got };
    if record.network != *chain.network() {
        return Err(differs(record.network.to_string(), chain.network().to_string()));
    }
    let text = record.transaction.as_deref().unwrap_or_default();
    let transaction: B256 =
        text.parse().map_err(|_| differs("a transaction hash".to_owned(), text.to_owned()))?;
    let looking = chain.look_at(transaction, 1).await;
    let mined = match looking.map_err(|error| RefundError::Chain(error.to_string()))? {
        TransactionOutcome::Mined(mined) => mined,
        TransactionOutcome::Reverted(_) => {
            return Err(differs(format!("{transaction} carried out"), "reverted".to_owned()));
        }
        TransactionOutcome::Unknown { .. } => {
            return Err(differs(format!("{transaction} in a block"), "none".to_owned()));
        }
    };
    let said = record.block.as_ref().map(|block| (block.number, block.hash.clone(), block.time));
    let found = (mined.block.number, mined.block.hash.to_string(), mined.block.time);
    if said.as_ref() != Some(&found) {
        return Err(differs(format!("block {said:?}"), format!("{found:?}")));
    }
    let address = |account: &assay_primitives::Account| -> Result<Address, RefundError> {
        let wrong = |_| differs("an EVM address".to_owned(), account.to_string());
        account.as_str().parse().map_err(wrong)
    };
    let transfer = Transfer {
        from: address(&record.payer)?,
        to: address(&record.pay_to)?,
        value: U256::from(record.amount.0),
    };
    let transfers = transfers_of(&mined.receipt, address(&record.asset)?);
    if transfers.contains(&transfer) {
        Ok(transaction)
    } else {
        Err(differs(format!("{transfer:?}"), format!("{transfers:.8?}")))
    }
}
