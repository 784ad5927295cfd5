//! From a payment to a released result.
//!
//! ```text
//! Order --admit--> Admitted --reserve--> Reserved --claim--> Work --run--> Certificated
//!       --commit--> Committed --settle--> Purchase
//! ```
//!
//! `reserve` stores the order as a job. Where there is a slot for it, it is claimed in the same step
//! and runs at once; otherwise it is queued, and a worker claims it in its turn. What an earlier
//! process had in hand is claimed anew.
//!
//! Until `commit` nothing is broadcast: a failure releases the payment and nothing is charged. After
//! it the receipt and the settlement intent are stored together, and the settlement is carried to its
//! end: by this request, or by [`Service::settle_pending`] when the process or the chain was gone in
//! between. No error after `commit` is answered as if nothing had happened: what is not known is
//! [pending](PurchaseError::Pending).

mod commit;
mod early;
mod error;
mod reorg;
mod resume;
mod run;
mod settle;
mod steps;
mod stored;
mod work;

use std::sync::Arc;

use assay_primitives::{
    AccessToken, Digest, InferenceOutput, ItemId, Method, TransactionId, failpoint,
};
use assay_receipt::ModelUsed;
use assay_store::StoreError;
use assay_x402::{PaymentPayload, PaymentRequirements, SettleResponse};
use tokio::sync::watch;
use tracing::Instrument as _;

pub use self::error::{PurchaseError, Taken};
pub use self::resume::Pass;
use self::steps::{Admitted, Reserved};
pub use self::work::Cancelled;
use crate::jobs::{Progress, Started};
use crate::{Plan, Service, trace};

/// Inferences that somebody wants to pay for, together.
#[derive(Debug)]
pub struct Order {
    /// What is to be run.
    pub plan: Plan,
    /// The offers that were made for this request.
    pub offers: Vec<PaymentRequirements>,
    /// The payment.
    pub payment: PaymentPayload,
    /// The HTTP request that the payment came with.
    pub binding: RequestBinding,
    /// What the client wants to find in the receipt, to know that it is fresh.
    pub nonce: Option<String>,
    /// The hash of the access token that the client keeps; without one a token is made.
    pub access_token_hash: Option<Digest>,
    /// Where the client asks for the result, if it does not wait for it: who knows the secret may
    /// see how far the purchase is, cancel it, and have its result.
    pub location: Option<AccessToken>,
    /// What the caller wants back with the result.
    pub echo: Vec<u8>,
}

/// The HTTP request that a payment came with. A signature of the `exact` scheme does not cover it,
/// so the first request with a payment takes it, and no other request can use it.
#[derive(Clone, Debug)]
pub struct RequestBinding {
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The digest of the body.
    pub body: Digest,
}

impl RequestBinding {
    /// Returns the digest of the request together with the accepted offer and the hash of the
    /// client's access token.
    ///
    /// The hash belongs to it because signature and authorisation are public once they are settled:
    /// without it, anyone could send a settled payment again with a guessed body, and learn from the
    /// answer whether the guess is right.
    #[must_use]
    pub fn digest(&self, offer: &PaymentRequirements, access_token_hash: Option<Digest>) -> Digest {
        let offer = serde_json::to_vec(offer).unwrap_or_default();
        let parts = [self.method.as_bytes(), self.target.as_bytes(), self.body.as_bytes(), &offer];
        let [method, target, body, offer] = parts.map(Digest::of);
        let token = access_token_hash.unwrap_or(Digest::ZERO);
        Digest::of_parts(&[method, target, body, offer, token].each_ref().map(|digest| {
            let bytes: &[u8] = digest.as_bytes();
            bytes
        }))
    }
}

/// Inferences that were bought, paid and released.
#[derive(Debug)]
pub struct Purchase {
    /// The transaction.
    pub transaction: TransactionId,
    /// Its items, in their order.
    pub items: Vec<PurchasedItem>,
    /// The receipt's digest.
    pub receipt: Digest,
    /// What the payer is told of the payment; `None` where the result was released before.
    pub settlement: Option<SettleResponse>,
}

/// An inference that was bought.
#[derive(Clone, Debug)]
pub struct PurchasedItem {
    /// Its name within the transaction, if it has one.
    pub id: Option<ItemId>,
    /// What ran.
    pub model: ModelUsed,
    /// How it was certified.
    pub method: Method,
    /// What became of it.
    pub outcome: ItemOutcome,
}

/// What became of an item that was bought.
#[derive(Clone, Debug)]
pub enum ItemOutcome {
    /// It failed, and the others were bought without it.
    Failed {
        /// Why, as the receipt has it.
        reason: String,
        /// Whether it is charged, as its buyer ended it.
        is_charged: bool,
    },
    /// What it gave.
    Ok(InferenceOutput),
}

impl Service {
    /// Begins an order: its payment is good, and this transaction's. What follows goes on by itself,
    /// also when the caller does not wait for [what becomes of it](Self::outcome_of).
    ///
    /// # Errors
    /// Says what failed; nothing was charged.
    pub async fn start(self: &Arc<Self>, order: Order) -> Result<Started, PurchaseError> {
        let service = self.clone();
        let work = async move { service.begin(order).await }.instrument(trace::purchase());
        let task = self.parts().tasks.spawn(work);
        task.await.unwrap_or(Err(PurchaseError::Interrupted))
    }

    /// Waits for what becomes of a purchase. One that is still queued when the process ends is told
    /// as pending: the next process carries it out.
    pub async fn outcome_of(&self, mut progress: watch::Receiver<Progress>) -> Outcome {
        let ended = progress.wait_for(|progress| matches!(progress, Progress::Ended(_)));
        match ended.await.as_deref() {
            Ok(Progress::Ended(outcome)) => Arc::clone(outcome),
            _ => Arc::new(Err(PurchaseError::Interrupted)),
        }
    }

    async fn begin(self: Arc<Self>, order: Order) -> Result<Started, PurchaseError> {
        let reserved = match Admitted::admit(&self, order).await {
            Ok(admitted) => admitted.reserve(&self).await,
            Err(error) => Err(error),
        };
        let reserved = reserved.inspect_err(|error| self.metrics.refused(error))?;
        let Reserved { id, access_token, place, queue, work } = reserved;
        let lease = work.as_ref().map(|(work, _)| work.lease);
        let progress = self.jobs.enter(id, lease, place);
        match work {
            Some((work, slot)) => self.set_to_work(work, slot),
            None => self.jobs.queue(&queue),
        }
        Ok(Started { transaction: id, access_token, progress })
    }

    /// Gives a payment back: nothing was charged.
    async fn release(&self, id: TransactionId, why: &PurchaseError) -> Result<(), StoreError> {
        failpoint!("service.release.before");
        self.parts().store.release(id, Some(why.to_string())).await?;
        failpoint!("service.release.after");
        Ok(())
    }
}

/// What became of a purchase, for everybody who waited for it.
pub type Outcome = Arc<Result<Purchase, PurchaseError>>;
