//! From a payment to a released result.
//!
//! ```text
//! Order --admit--> Admitted --reserve--> Reserved --certify--> Certificated
//!       --commit--> Committed --settle--> Purchase
//! ```
//!
//! Until `commit` nothing is broadcast: a failure releases the payment and nothing is charged. After
//! it the receipt and the settlement intent are stored together, and the settlement is carried to its
//! end: by this request, or by [`Service::settle_pending`] when the process or the chain was gone in
//! between. No error after `commit` is answered as if nothing had happened: what is not known is
//! [pending](PurchaseError::Pending).

mod commit;
mod error;
mod resume;
mod settle;
mod steps;

use std::sync::Arc;

use assay_primitives::{
    AccessToken, Digest, InferenceOutput, InferenceRequest, Method, TransactionId, failpoint,
};
use assay_receipt::ModelUsed;
use assay_store::StoreError;
use assay_x402::{PaymentPayload, PaymentRequirements, SettleResponse};
use tracing::Instrument as _;

pub use self::error::{PurchaseError, Taken};
pub use self::resume::Pass;
use self::steps::Admitted;
use crate::{CatalogueEntry, Service, trace};

/// An inference that somebody wants to pay for.
#[derive(Debug)]
pub struct Order {
    /// The model.
    pub entry: Arc<CatalogueEntry>,
    /// What it is asked.
    pub request: InferenceRequest,
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

/// An inference that was bought, paid and released.
#[derive(Debug)]
pub struct Purchase {
    /// The transaction.
    pub transaction: TransactionId,
    /// What ran.
    pub model: ModelUsed,
    /// How it was certified.
    pub method: Method,
    /// What it gave.
    pub output: InferenceOutput,
    /// The receipt's digest.
    pub receipt: Digest,
    /// The access token, if one was made here.
    pub access_token: Option<AccessToken>,
    /// What the payer is told of the payment.
    pub settlement: SettleResponse,
}

impl Service {
    /// Carries out an order to its end, also when the caller stops waiting for it.
    ///
    /// # Errors
    /// Says what failed and whether anything was charged.
    pub async fn purchase(self: &Arc<Self>, order: Order) -> Result<Purchase, PurchaseError> {
        let service = self.clone();
        let work = async move { service.carry_out(order).await }.instrument(trace::purchase());
        let task = self.parts().tasks.spawn(work);
        task.await.unwrap_or(Err(PurchaseError::Interrupted))
    }

    /// Gives a payment back: nothing was charged.
    async fn release(&self, id: TransactionId) -> Result<(), StoreError> {
        failpoint!("service.release.before");
        self.parts().store.release(id).await?;
        failpoint!("service.release.after");
        Ok(())
    }

    async fn carry_out(&self, order: Order) -> Result<Purchase, PurchaseError> {
        let outcome = self.take_steps(order).await;
        if let Err(error) = &outcome {
            self.metrics.refused(error);
        }
        outcome
    }

    async fn take_steps(&self, order: Order) -> Result<Purchase, PurchaseError> {
        let admitted = Admitted::admit(self, order).await?;
        let reserved = admitted.reserve(self).await?;
        let certificated = reserved.certify(self).await?;
        let committed = certificated.commit(self).await?;
        committed.settle(self).await
    }
}
