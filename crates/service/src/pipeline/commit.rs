//! The receipt and the settlement intent, stored together.

use assay_primitives::{AccessToken, AssetId, Digest, Timestamp, TransactionId, json};
use assay_receipt::{
    Authorization, BundleItem, Envelope, IssuedTransaction, ItemDetails, NewItem, NewTransaction,
    Outcome, Price, Receipt, Usage, issue,
};
use assay_store::{Commitment, TransactionRow};
use assay_verify::{Verified, open_item, open_manifest, open_receipt};
use assay_x402::{PreparedSettlement, SettlementIntent};
use bytes::Bytes;

use super::PurchaseError;
use super::steps::{Certificated, Reserved};
use crate::service::InFlight;
use crate::{Certified, Service};

/// A purchase that is certified and stored, and whose settlement may begin.
pub(super) struct Committed {
    pub(super) id: TransactionId,
    pub(super) receipt: Verified<Receipt>,
    pub(super) receipt_digest: Digest,
    pub(super) intent: SettlementIntent,
    pub(super) payload: Vec<u8>,
    pub(super) certified: Certified,
    pub(super) access_token: Option<AccessToken>,
    pub(super) _in_flight: InFlight,
}

impl Certificated {
    pub(super) async fn commit(self, service: &Service) -> Result<Committed, PurchaseError> {
        let Self { reserved, certified } = self;
        match store(service, &reserved, &certified).await {
            Ok((receipt, receipt_digest, intent)) => Ok(Committed {
                id: reserved.id,
                receipt,
                receipt_digest,
                intent,
                payload: reserved.payload,
                certified,
                access_token: reserved.access_token,
                _in_flight: reserved.in_flight,
            }),
            Err(error) => {
                reserved.release(service).await;
                Err(error)
            }
        }
    }
}

async fn store(
    service: &Service,
    reserved: &Reserved,
    certified: &Certified,
) -> Result<(Verified<Receipt>, Digest, SettlementIntent), PurchaseError> {
    let parts = service.parts();
    let now = parts.clock.now();
    for (_, content) in &certified.evidence {
        let stored = parts.blobs.put(Bytes::copy_from_slice(content)).await;
        stored.map_err(|error| PurchaseError::Receipt(error.to_string()))?;
    }
    let issued = sign(service, reserved, certified, now)?;
    let receipt = check(service, &issued, now)?;
    let receipt_digest = issued.receipt.digest();
    let prepared: PreparedSettlement = parts.facilitator.prepare(&reserved.payment).await?;
    let commitment = Commitment {
        receipt: written(&issued.receipt)?,
        receipt_digest,
        key_manifest: written(parts.operator.manifest_envelope())?,
        items: written::<Vec<BundleItem>>(&issued.items)?,
        intent: written(prepared.intent())?,
        at: now,
    };
    parts.store.commit(reserved.id, &commitment).await?;
    // From here on the intent is stored, so its nonce is spent whatever happens.
    Ok((receipt, receipt_digest, prepared.keep()))
}

fn sign(
    service: &Service,
    reserved: &Reserved,
    certified: &Certified,
    now: Timestamp,
) -> Result<IssuedTransaction, PurchaseError> {
    let failed = |error: String| PurchaseError::Receipt(error);
    let terms = reserved.payment.payment().terms();
    let authorization = Authorization {
        scheme: terms.scheme.clone(),
        network: terms.network.clone(),
        asset: terms.asset.clone(),
        payer: terms.payer.clone(),
        pay_to: terms.pay_to.clone(),
        amount: terms.amount,
        nonce: terms.nonce.to_string(),
        valid_before: terms.valid_before,
    };
    let asset = AssetId::erc20(terms.network.clone(), terms.asset.clone());
    let details = ItemDetails {
        index: 0,
        model: certified.model.clone(),
        method: reserved.method.clone(),
        usage: Usage { inferences: 1 },
        price: Price { amount: terms.amount, asset },
        depends_on: Vec::new(),
        evidence: certified.evidence.iter().map(|(reference, _)| reference.clone()).collect(),
        outcome: Outcome::Ok,
    };
    let item = NewItem {
        details,
        request: reserved.request.to_bytes().map_err(|error| failed(error.to_string()))?,
        output: Some(certified.output.to_bytes().map_err(|error| failed(error.to_string()))?),
    };
    let operator = &service.parts().operator;
    let transaction = NewTransaction {
        id: reserved.id,
        operator: operator.id(),
        nonce: reserved.nonce.clone(),
        ledger: None,
        authorization,
        items: vec![item],
    };
    issue(transaction, &reserved.secret, operator.receipt_key(), now)
        .map_err(|error| failed(error.to_string()))
}

/// Reads the receipt back as a verifier will, so that nothing is settled that would not verify.
fn check(
    service: &Service,
    issued: &IssuedTransaction,
    now: Timestamp,
) -> Result<Verified<Receipt>, PurchaseError> {
    let refused = |refusal: assay_verify::Refusal| PurchaseError::Receipt(refusal.to_string());
    let manifest = service.parts().operator.manifest();
    let receipt = open_receipt(&issued.receipt, manifest, now).map_err(refused)?;
    for item in &issued.items {
        open_item(item, &receipt).map_err(refused)?;
    }
    Ok(receipt)
}

pub(super) fn written<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, PurchaseError> {
    json::to_vec(value).map_err(|error| PurchaseError::Receipt(error.to_string()))
}

/// Reads a stored receipt of one's own, checking it again, under the manifest it was signed under.
pub(super) fn reopen(
    row: &TransactionRow,
    now: Timestamp,
) -> Result<(Verified<Receipt>, Digest), PurchaseError> {
    let refused = |refusal: assay_verify::Refusal| PurchaseError::Receipt(refusal.to_string());
    let manifest = open_manifest(&stored(row.key_manifest.as_deref())?).map_err(refused)?;
    let envelope = stored(row.receipt.as_deref())?;
    let receipt = open_receipt(&envelope, &manifest, now).map_err(refused)?;
    Ok((receipt, envelope.digest()))
}

fn stored(envelope: Option<&[u8]>) -> Result<Envelope, PurchaseError> {
    json::from_slice(envelope.unwrap_or_default())
        .map_err(|error| PurchaseError::Receipt(format!("stored envelope: {error}")))
}
