//! The receipt and the settlement intent, stored together.

use std::collections::HashSet;
use std::time::Duration;

use assay_primitives::json::StrictJsonError;
use assay_primitives::{Amount, AssetId, Digest, Timestamp, TransactionId, failpoint, json};
use assay_receipt::{
    Authorization, Envelope, EvidenceBlob, IssuedTransaction, ItemDetails, ModelUsed, NewItem,
    NewTransaction, Outcome, Price, Receipt, Reference, SettlementRecord, Usage, issue,
};
use assay_store::{Commitment, TransactionRow};
use assay_verify::{
    Check, ItemEvidence, MethodContext, Verified, open_item, open_manifest, open_receipt,
};
use assay_x402::{ErrorReason, FacilitatorError, SettleError, SettlementIntent};
use tracing::info;

use super::error::{PurchaseError, refused, written};
use super::run::{Ended, Failed};
use super::steps::{Certificated, Work};
use crate::contents::Contents;
use crate::plan::Item;
use crate::{Certified, CertifiedEvidence, ItemOutcome, PurchasedItem, Service};

/// How long a payment that was verified is taken to hold.
const VERIFICATION_LASTS: Duration = Duration::from_millis(250);

/// A purchase that is certified and stored, and whose settlement may begin.
pub(super) struct Committed {
    pub(super) id: TransactionId,
    pub(super) receipt: Verified<Receipt>,
    pub(super) receipt_digest: Digest,
    pub(super) intent: SettlementIntent,
    pub(super) items: Vec<PurchasedItem>,
    /// How many failed by what their payer asked, and are not charged.
    pub(super) for_nothing: usize,
}

impl Certificated {
    pub(super) async fn commit(self, service: &Service) -> Result<Committed, PurchaseError> {
        let Self { work, mut ended } = self;
        let (receipt, receipt_digest, intent) = store(service, &work, &mut ended).await?;
        let id = work.lease.id;
        let is_for_nothing = |ended: &&Ended| matches!(ended, Ended::Failed(failed) if failed.failure.is_for_nothing());
        let for_nothing = ended.iter().filter(is_for_nothing).count();
        let bought = |(item, ended): (Item, Ended)| {
            let (model, outcome) = match ended {
                Ended::Ran(ran) => {
                    let Certified { output, model, .. } = ran.certified;
                    (model, ItemOutcome::Ok(output))
                }
                Ended::Failed(Failed { failure, .. }) => {
                    let (reason, is_charged) = (failure.as_str().to_owned(), failure.is_charged());
                    (would_run(service, &item), ItemOutcome::Failed { reason, is_charged })
                }
            };
            PurchasedItem { id: item.id, model, method: item.method, outcome }
        };
        let items = work.items.into_iter().zip(ended).map(bought).collect();
        Ok(Committed { id, receipt, receipt_digest, intent, items, for_nothing })
    }
}

async fn store(
    service: &Service,
    work: &Work,
    ended: &mut [Ended],
) -> Result<(Verified<Receipt>, Digest, SettlementIntent), PurchaseError> {
    let parts = service.parts();
    let now = parts.clock.now();
    if now > work.deadline {
        return Err(PurchaseError::Late { deadline: work.deadline, now });
    }
    let issued = sign(service, work, ended, now)?;
    let receipt = check(service, &issued, ended, now)?;
    let charged = charged(&work.items, ended)?;
    let evidence = ended.iter_mut().filter_map(|ended| match ended {
        Ended::Ran(ran) => Some(std::mem::take(&mut ran.certified.evidence)),
        Ended::Failed(_) => None,
    });
    let evidence = evidence.flatten();
    let evidence = store_evidence(service, evidence.collect()).await?;
    let receipt_digest = issued.receipt.digest();
    let intent = work.payment.intent_of(charged)?;
    check_again(service, work, &intent).await?;
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
async fn check_again(
    service: &Service,
    work: &Work,
    intent: &SettlementIntent,
) -> Result<(), PurchaseError> {
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
    match facilitator.reconcile(intent).await {
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
    ended: &[Ended],
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
    let items = work.items.iter().zip(ended);
    let items = items.map(|(item, ended)| new_item(service, item, ended, &asset));
    let items = items.collect::<Result<_, _>>()?;
    let operator = &service.parts().operator;
    let transaction = NewTransaction {
        id: work.lease.id,
        operator: operator.id(),
        nonce: work.nonce.clone(),
        ledger: None,
        outcome_policy: work.outcome_policy,
        authorization,
        items,
    };
    issue(transaction, &work.secret, operator.receipt_key(), now)
        .map_err(|error| failed(error.to_string()))
}

/// Returns the sum of what is charged.
fn charged(items: &[Item], ended: &[Ended]) -> Result<Amount, PurchaseError> {
    let is_charged = |ended: &Ended| match ended {
        Ended::Ran(_) => true,
        Ended::Failed(failed) => failed.failure.is_charged(),
    };
    let prices = items.iter().zip(ended).filter(|(_, ended)| is_charged(ended));
    let sum = prices.map(|(item, _)| item.price).try_fold(Amount::ZERO, Amount::checked_add);
    sum.ok_or_else(|| PurchaseError::Receipt("the prices are too large to add".to_owned()))
}

/// Returns what would have run of an item that failed.
fn would_run(service: &Service, item: &Item) -> ModelUsed {
    let certifier = service.parts().certifiers.find(&item.method);
    let program = certifier.and_then(|certifier| certifier.model(item.entry.package()));
    ModelUsed { program, ..item.entry.used().clone() }
}

fn new_item(
    service: &Service,
    item: &Item,
    ended: &Ended,
    asset: &AssetId,
) -> Result<NewItem, PurchaseError> {
    let failed = |error: StrictJsonError| PurchaseError::Receipt(error.to_string());
    let (request, model, evidence, usage, outcome, output) = match ended {
        Ended::Ran(ran) => {
            let Certified { model, evidence, .. } = &ran.certified;
            let evidence = evidence.iter().map(|one| one.reference.clone()).collect();
            let output = Some(ran.output.clone());
            (&ran.request, model.clone(), evidence, 1, Outcome::Ok, output)
        }
        Ended::Failed(Failed { request, failure }) => {
            let outcome = Outcome::Failed { reason: failure.as_str().to_owned() };
            let usage = u32::from(failure.is_charged());
            (request, would_run(service, item), Vec::new(), usage, outcome, None)
        }
    };
    let details = ItemDetails {
        // Set from its place.
        index: 0,
        id: item.id.clone(),
        model,
        method: item.method.clone(),
        usage: Usage { inferences: usage },
        price: Price { amount: item.price, asset: asset.clone() },
        depends_on: Reference::items(&item.references),
        references: item.references.clone(),
        evidence,
        outcome,
    };
    let request = request.as_bytes().map_err(failed)?.to_vec();
    Ok(NewItem { details, request, output })
}

/// Reads the receipt back as a verifier will, so that nothing is settled that would not verify.
fn check(
    service: &Service,
    issued: &IssuedTransaction,
    ended: &[Ended],
    now: Timestamp,
) -> Result<Verified<Receipt>, PurchaseError> {
    let operator = &service.parts().operator;
    let receipt =
        open_receipt(&issued.receipt, operator.manifest(), now).map_err(|e| refused(&e))?;
    let items = issued.items.iter().map(|disclosed| open_item(disclosed, &receipt));
    let items = items.collect::<Result<Vec<_>, _>>().map_err(|error| refused(&error))?;
    let evidence: Vec<Vec<ItemEvidence<'_>>> = ended.iter().map(evidence_of).collect();
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

fn evidence_of(ended: &Ended) -> Vec<ItemEvidence<'_>> {
    let Ended::Ran(ran) = ended else { return Vec::new() };
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
