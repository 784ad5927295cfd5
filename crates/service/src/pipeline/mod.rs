//! From a payment to a released result.
//!
//! ```text
//! Order --admit--> Admitted --reserve--> Reserved --certify--> Certificated
//!       --commit--> Committed --settle--> Purchase
//! ```
//!
//! Until `commit` a failure releases the payment and nothing is charged. After it the receipt and the
//! settlement intent are stored together, and the settlement is carried to its end: by this request,
//! or by [`Service::settle_pending`] when the process or the chain was gone in between.

mod commit;
mod error;
mod settle;
mod steps;

use std::sync::Arc;

use assay_primitives::{AccessToken, Digest, InferenceOutput, InferenceRequest, TransactionId};
use assay_receipt::ModelUsed;
use assay_x402::{PaymentPayload, PaymentRequirements, SettleResponse};

pub use self::error::{PurchaseError, Taken};
use self::steps::Admitted;
use crate::{CatalogueEntry, Service};

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
    /// Returns the digest of the request together with the accepted offer.
    #[must_use]
    pub fn digest(&self, offer: &PaymentRequirements) -> Digest {
        let offer = serde_json::to_vec(offer).unwrap_or_default();
        let parts = [self.method.as_bytes(), self.target.as_bytes(), self.body.as_bytes(), &offer];
        let digests = parts.map(Digest::of);
        Digest::of_parts(&digests.each_ref().map(|digest| digest.as_bytes().as_slice()))
    }
}

/// An inference that was bought, paid and released.
#[derive(Debug)]
pub struct Purchase {
    /// The transaction.
    pub transaction: TransactionId,
    /// What ran.
    pub model: ModelUsed,
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
        let task = self.parts().tasks.spawn(async move { service.carry_out(order).await });
        task.await.unwrap_or(Err(PurchaseError::Interrupted))
    }

    async fn carry_out(self: Arc<Self>, order: Order) -> Result<Purchase, PurchaseError> {
        let admitted = Admitted::admit(&self, order).await?;
        let reserved = admitted.reserve(&self).await?;
        let certificated = reserved.certify(&self).await?;
        let committed = certificated.commit(&self).await?;
        committed.settle(&self).await
    }
}
