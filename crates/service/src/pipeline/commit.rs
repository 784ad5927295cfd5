//! The receipt and the settlement intent, stored together.

use std::collections::HashSet;
use std::time::Duration;

use assay_primitives::json::StrictJsonError;
use assay_primitives::{AssetId, Digest, Timestamp, TransactionId, failpoint, json};
use assay_receipt::{
    Authorization, Envelope, EvidenceBlob, IssuedTransaction, ItemDetails, NewItem, NewTransaction,
    Outcome, Price, Receipt, SettlementRecord, Usage, issue,
};
use assay_store::{Commitment, TransactionRow};
use assay_verify::{
    Check, ItemEvidence, MethodContext, Verified, open_item, open_manifest, open_receipt,
};
use assay_x402::{ErrorReason, FacilitatorError, SettleError, SettlementIntent};
use tracing::info;

use super::error::{PurchaseError, refused, written};
use super::run::Ran;
use super::steps::{Certificated, Work};
use crate::contents::Contents;
use crate::plan::Item;
use crate::{Certified, CertifiedEvidence, PurchasedItem, Service};

/// How long a payment that was verified is taken to hold.
const VERIFICATION_LASTS: Duration = Duration::from_millis(250);

/// A purchase that is certified and stored, and whose settlement may begin.
pub(super) struct Committed {
    pub(super) id: TransactionId,
    pub(super) receipt: Verified<Receipt>,
    pub(super) receipt_digest: Digest,
    pub(super) intent: SettlementIntent,
    pub(super) items: Vec<PurchasedItem>,
}

impl Certificated {
    pub(super) async fn commit(self, service: &Service) -> Result<Committed, PurchaseError> {
        let Self { work, mut ran } = self;
        let (receipt, receipt_digest, intent) = store(service, &work, &mut ran).await?;
        let id = work.lease.id;
        let bought = |(Item { id, method, .. }, Ran { certified, .. })| {
            let Certified { output, model, .. } = certified;
            PurchasedItem { id, model, method, output }
        };
        let items = work.items.into_iter().zip(ran).map(bought).collect();
        Ok(Committed { id, receipt, receipt_digest, intent, items })
    }
}

async fn store(
    service: &Service,
    work: &Work,
    ran: &mut [Ran],
) -> Result<(Verified<Receipt>, Digest, SettlementIntent), PurchaseError> {
    let parts = service.parts();
    let now = parts.clock.now();
    if now > work.deadline {
        return Err(PurchaseError::Late { deadline: work.deadline, now });
    }
    let issued = sign(service, work, ran, now)?;
    let receipt = check(service, &issued, ran, now)?;
    let evidence = ran.iter_mut().flat_map(|ran| std::mem::take(&mut ran.certified.evidence));
    let evidence = store_evidence(service, evidence.collect()).await?;
    let receipt_digest = issued.receipt.digest();
    check_again(service, work).await?;
    let intent = work.payment.intent();
    let commitment = Commitment {
        receipt: written(&issued.receipt)?,
        receipt_digest,
        key_manifest: written(parts.operator.manifest_envelope())?,
        items: written(&Contents { items: issued.items, evidence })?,
        intent: written(&intent)?,
        at: now,
    };
    failpoint!("service.commit.before");
    parts.store.commit(work.lease, commitment).await?;
    failpoint!("service.commit.after");
    info!(receipt = %receipt_digest, "Receipt and settlement intent are stored.");
    Ok((receipt, receipt_digest, intent))
}

/// Stores evidence that anybody may have, and returns what is about the item. It has to be what the
/// receipt says it is: nobody could verify it otherwise.
async fn store_evidence(
    service: &Service,
    evidence: Vec<CertifiedEvidence>,
) -> Result<Vec<EvidenceBlob>, PurchaseError> {
    let mut own: Vec<EvidenceBlob> = Vec::new();
    let mut known = HashSet::new();
    for CertifiedEvidence { reference, content, is_public } in evidence {
        // What several items refer to is the same bytes, not merely equal ones.
        if !known.insert((reference.sha256, reference.size, content.as_ptr().addr())) {
            continue;
        }
        let (digest, size) = (Digest::of(&content), content.len() as u64);
        if digest != reference.sha256 || size != reference.size {
            let (kind, expected, bytes) = (&reference.kind, reference.sha256, reference.size);
            return Err(PurchaseError::Receipt(format!(
                "evidence `{kind}`: expected {bytes} bytes with SHA-256 {expected}, got {size} with {digest}"
            )));
        }
        if is_public {
            let stored = service.parts().blobs.put(content).await;
            stored.map_err(|error| PurchaseError::Receipt(error.to_string()))?;
        } else if own.iter().all(|blob| blob.sha256 != digest) {
            own.push(EvidenceBlob { sha256: digest, content: content.into() });
        }
    }
    Ok(own)
}

/// Looks at a payment again whose model ran for long: the balance may be gone by now. One that was
/// carried out by somebody else meanwhile is as good as before: settling finds that transfer.
async fn check_again(service: &Service, work: &Work) -> Result<(), PurchaseError> {
    let parts = service.parts();
    if parts.clock.monotonic().saturating_sub(work.started) < VERIFICATION_LASTS {
        return Ok(());
    }
    let facilitator = &parts.facilitator;
    let refusal = match facilitator.verify(work.payment.payment()).await {
        Ok(_) => return Ok(()),
        Err(refusal @ FacilitatorError::Refused { .. }) => refusal,
        Err(error) => return Err(error.into()),
    };
    let is_used = refusal.reason() == ErrorReason::NonceAlreadyUsed;
    match facilitator.reconcile(&work.payment.intent()).await {
        Ok(_) | Err(SettleError::Pending { transaction: Some(_), .. }) => {}
        // Used, says the token, and nobody can say yet by whom.
        Err(SettleError::Pending { .. } | SettleError::Unreachable { .. }) if is_used => {}
        Err(_) => return Err(refusal.into()),
    }
    info!("A payment was carried out by a third party before it was settled here.");
    Ok(())
}

fn sign(
    service: &Service,
    work: &Work,
    ran: &[Ran],
    now: Timestamp,
) -> Result<IssuedTransaction, PurchaseError> {
    let failed = |error: String| PurchaseError::Receipt(error);
    let terms = work.payment.terms();
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
    let items = work.items.iter().zip(ran);
    let items = items.map(|(item, ran)| new_item(item, ran, &asset)).collect::<Result<_, _>>()?;
    let operator = &service.parts().operator;
    let transaction = NewTransaction {
        id: work.lease.id,
        operator: operator.id(),
        nonce: work.nonce.clone(),
        ledger: None,
        authorization,
        items,
    };
    issue(transaction, &work.secret, operator.receipt_key(), now)
        .map_err(|error| failed(error.to_string()))
}

fn new_item(item: &Item, ran: &Ran, asset: &AssetId) -> Result<NewItem, PurchaseError> {
    let failed = |error: StrictJsonError| PurchaseError::Receipt(error.to_string());
    let Ran { request, certified, output } = ran;
    let mut depends_on: Vec<u32> = item.references.iter().map(|one| one.item).collect();
    depends_on.sort_unstable();
    depends_on.dedup();
    let details = ItemDetails {
        // Set from its place.
        index: 0,
        id: item.id.clone(),
        model: certified.model.clone(),
        method: item.method.clone(),
        usage: Usage { inferences: 1 },
        price: Price { amount: item.price, asset: asset.clone() },
        depends_on,
        references: item.references.clone(),
        evidence: certified.evidence.iter().map(|one| one.reference.clone()).collect(),
        outcome: Outcome::Ok,
    };
    let request = request.to_bytes().map_err(failed)?;
    Ok(NewItem { details, request, output: Some(output.clone()) })
}

/// Reads the receipt back as a verifier will, so that nothing is settled that would not verify.
fn check(
    service: &Service,
    issued: &IssuedTransaction,
    ran: &[Ran],
    now: Timestamp,
) -> Result<Verified<Receipt>, PurchaseError> {
    let operator = &service.parts().operator;
    let receipt =
        open_receipt(&issued.receipt, operator.manifest(), now).map_err(|e| refused(&e))?;
    let items = issued.items.iter().map(|disclosed| open_item(disclosed, &receipt));
    let items = items.collect::<Result<Vec<_>, _>>().map_err(|error| refused(&error))?;
    let evidence: Vec<Vec<ItemEvidence<'_>>> = ran.iter().map(evidence_of).collect();
    let contexts = items.iter().zip(&issued.items).zip(&evidence);
    let contexts = contexts.map(|((item, disclosed), evidence)| MethodContext {
        receipt: &receipt,
        item,
        request: &disclosed.request,
        output: disclosed.output.as_deref(),
        images: operator.images(),
        evidence,
        now,
    });
    let contexts: Vec<MethodContext<'_>> = contexts.collect();
    for (index, certified) in (0..).zip(service.parts().methods.certify(&contexts)) {
        certified.map_err(|refusal| refused(&refusal.in_item(index)))?;
    }
    drop(contexts);
    Ok(receipt)
}

fn evidence_of(ran: &Ran) -> Vec<ItemEvidence<'_>> {
    let evidence = ran.certified.evidence.iter();
    evidence.map(|one| ItemEvidence { reference: &one.reference, content: &one.content }).collect()
}

/// A stored receipt of one's own, read and checked again.
pub(super) struct Reopened {
    pub(super) receipt: Verified<Receipt>,
    pub(super) digest: Digest,
    /// The key that signed it was revoked since: nobody will believe it any more.
    pub(super) is_revoked: bool,
    /// The time of its latest record, or its own.
    pub(super) latest: Timestamp,
}

/// Reads a stored receipt of one's own, checking it again, under the manifest of today: it lists the
/// key that the receipt was signed with as well as the one that will sign its settlement record. A
/// receipt whose key was revoked since holds under the manifest that it was stored with: its money
/// may have moved, and that has to be found out.
pub(super) fn reopen(
    service: &Service,
    row: &TransactionRow,
    now: Timestamp,
) -> Result<Reopened, PurchaseError> {
    let envelope = stored(row.receipt.as_deref())?;
    let digest = envelope.digest();
    let opened = open_receipt(&envelope, service.parts().operator.manifest(), now);
    let is_revoked = matches!(&opened, Err(refusal) if refusal.check == Check::ReceiptKeyRevoked);
    let receipt = if is_revoked {
        let manifest = open_manifest(&stored(row.key_manifest.as_deref())?);
        manifest.and_then(|manifest| open_receipt(&envelope, &manifest, now))
    } else {
        opened
    };
    let receipt = receipt.map_err(|refusal| refused(&refusal))?;
    let recorded = row.records.iter().filter_map(|record| {
        let envelope: Envelope = json::from_slice(record).ok()?;
        let record = SettlementRecord::from_bytes(&envelope.payload).ok()?;
        Some(record.predicate().recorded_at)
    });
    let latest = recorded.fold(receipt.predicate().issued_at, Timestamp::max);
    Ok(Reopened { receipt, digest, is_revoked, latest })
}

fn stored(envelope: Option<&[u8]>) -> Result<Envelope, PurchaseError> {
    json::from_slice(envelope.unwrap_or_default())
        .map_err(|error| PurchaseError::Receipt(format!("stored envelope: {error}")))
}
