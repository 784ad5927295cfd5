//! Asking later what became of a purchase.

use assay_primitives::{AccessToken, InferenceOutput, TransactionId};
use assay_receipt::{BundleItem, ItemDetails, ItemStatement, Outcome};
use assay_store::{TransactionRow, TransactionState};
use assay_x402::SettleResponse;
use tokio::sync::watch;

use crate::contents::Contents;
use crate::receipts::{public, read, response, settlement};
use crate::{ItemOutcome, Progress, Purchase, PurchasedItem, ReceiptError, Service};

/// A purchase that is asked for at its location.
#[derive(Debug)]
pub struct Asked {
    /// The transaction.
    pub transaction: TransactionId,
    /// How far it is.
    pub status: Status,
    /// What the order wanted back with the result.
    pub echo: Vec<u8>,
}

/// How far a purchase is.
#[derive(Debug)]
pub enum Status {
    /// It is under way in this process.
    UnderWay(watch::Receiver<Progress>),
    /// It is queued, or its settlement is carried on in the background.
    Open(TransactionState),
    /// Its result is released.
    Released(Box<Purchase>),
    /// Its settlement failed; nothing was charged.
    NotSettled(Box<SettleResponse>),
    /// It ended before it was committed; nothing was charged.
    GivenUp(String),
}

impl Service {
    /// Returns how far the purchase is whose location has this secret, and its result once that is
    /// released.
    ///
    /// # Errors
    /// When there is no such location, its contents were erased, or the store fails.
    pub async fn purchase_at(&self, secret: &AccessToken) -> Result<Option<Asked>, ReceiptError> {
        let store = &self.parts().store;
        let Some(id) = store.at_location(secret.hash()).await? else { return Ok(None) };
        // What has an outcome is told as it is stored, also while its settlement goes on.
        let is_open = |p: &watch::Receiver<Progress>| !matches!(*p.borrow(), Progress::Ended(_));
        let under_way = self.jobs.progress(id).filter(is_open);
        let Some(row) = store.transaction(id).await? else { return Ok(None) };
        let echo = row.echo.clone().unwrap_or_default();
        let status = match under_way {
            Some(progress) if row.state != TransactionState::Settled => Status::UnderWay(progress),
            _ => self.status(&row)?,
        };
        Ok(Some(Asked { transaction: id, status, echo }))
    }

    fn status(&self, row: &TransactionRow) -> Result<Status, ReceiptError> {
        Ok(match row.state {
            state if self.is_released(state) => Status::Released(Box::new(purchase(row)?)),
            TransactionState::Failed | TransactionState::Failing => {
                Status::NotSettled(Box::new(response(row)?))
            }
            TransactionState::Released => {
                Status::GivenUp(row.failure.clone().unwrap_or_else(|| "no reason given".to_owned()))
            }
            open => Status::Open(open),
        })
    }
}

fn purchase(row: &TransactionRow) -> Result<Purchase, ReceiptError> {
    let damaged = |error: String| ReceiptError::Damaged(error);
    if let Some(at) = row.erased_at {
        return Err(ReceiptError::Erased { id: row.id, at });
    }
    let receipt = public(row)?.receipt.digest();
    let Contents { items, .. } = read(row.items.as_deref().unwrap_or_default())?;
    let items = items.iter().map(purchased).collect::<Result<_, _>>().map_err(damaged)?;
    Ok(Purchase { transaction: row.id, items, receipt, settlement: settlement(row)? })
}

fn purchased(item: &BundleItem) -> Result<PurchasedItem, String> {
    let statement =
        ItemStatement::from_bytes(&item.statement).map_err(|error| error.to_string())?;
    let ItemDetails { id, model, method, usage, outcome, .. } = statement.details;
    let outcome = match outcome {
        Outcome::Failed { reason } => {
            ItemOutcome::Failed { reason, is_charged: usage.inferences > 0 }
        }
        Outcome::Ok => {
            let output = item.output.as_deref().unwrap_or_default();
            let output = InferenceOutput::from_bytes(output).map_err(|error| error.to_string())?;
            ItemOutcome::Ok(output)
        }
    };
    Ok(PurchasedItem { id, model, method, outcome })
}
