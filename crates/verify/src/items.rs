//! The disclosed items together: their order, their evidence, their prices.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use assay_primitives::{Amount, Digest};
use assay_receipt::{
    Bundle, BundleItem, EvidenceBlob, EvidenceReference, ItemStatement, Outcome, Receipt,
};

use crate::methods::ItemEvidence;
use crate::parts::open_item_from;
use crate::{Check, Refusal, Verified};

/// A disclosed item that holds under the receipt.
pub(crate) struct OpenedItem<'a> {
    pub(crate) disclosed: &'a BundleItem,
    pub(crate) statement: Verified<ItemStatement>,
}

/// Checks every disclosed item under the receipt, and that they stand in order.
pub(crate) fn open_items<'a>(
    bundle: &'a Bundle,
    receipt: &Verified<Receipt>,
) -> Result<Vec<OpenedItem<'a>>, Refusal> {
    if bundle.items.is_empty() {
        return Err(Refusal::new(Check::ItemIndex, "at least one disclosed item", "none"));
    }
    let mut least = 0;
    Refusal::all_or_first(bundle.items.iter().map(|disclosed| {
        let statement = open_item_from(disclosed, receipt, least)?;
        least = statement.details.index.saturating_add(1);
        Ok(OpenedItem { disclosed, statement })
    }))
}

/// Finds the evidence of every item.
///
/// The bundle has each piece once, in the order in which the items first refer to it, and nothing
/// else: what no item refers to would be carried along unchecked.
pub(crate) fn open_evidence<'a>(
    bundle: &'a Bundle,
    items: &'a [OpenedItem<'_>],
) -> Result<Vec<Vec<ItemEvidence<'a>>>, Refusal> {
    let mut blobs = bundle.evidence.iter();
    let mut known: HashMap<Digest, &'a [u8]> = HashMap::new();
    let mut find = |reference: &'a EvidenceReference| {
        let content = match known.entry(reference.sha256) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => *entry.insert(open_blob(reference, blobs.next())?),
        };
        if content.len() as u64 != reference.size {
            return Err(evidence_refusal(reference, format!("{} bytes", content.len())));
        }
        Ok(ItemEvidence { reference, content })
    };
    let mut evidence = Vec::with_capacity(items.len());
    for item in items {
        let details = &item.statement.details;
        let of_item: Result<_, Refusal> = details.evidence.iter().map(&mut find).collect();
        evidence.push(of_item.map_err(|refusal| refusal.in_item(details.index))?);
    }
    match blobs.next() {
        Some(blob) => Err(Refusal::new(Check::ItemEvidence, "no more evidence", blob.sha256)),
        None => Ok(evidence),
    }
}

/// Checks that the next piece in the bundle is the one that is referred to.
fn open_blob<'a>(
    reference: &EvidenceReference,
    blob: Option<&'a EvidenceBlob>,
) -> Result<&'a [u8], Refusal> {
    let blob =
        blob.ok_or_else(|| evidence_refusal(reference, "no more in the bundle".to_owned()))?;
    if blob.sha256 != reference.sha256 {
        return Err(evidence_refusal(reference, format!("`{}` in its place", blob.sha256)));
    }
    let digest = Digest::of(&blob.content);
    if digest != reference.sha256 {
        return Err(evidence_refusal(reference, format!("content with SHA-256 {digest}")));
    }
    Ok(&blob.content)
}

fn evidence_refusal(reference: &EvidenceReference, got: String) -> Refusal {
    let expected = format!("{} bytes with SHA-256 {}", reference.size, reference.sha256);
    Refusal::new(Check::ItemEvidence, expected, got)
}

/// Checks that every price is in the asset of the payment, and that the prices of what did not fail
/// are what was authorised; of a transaction that is not wholly disclosed, that they are not more.
pub(crate) fn check_prices(receipt: &Receipt, items: &[OpenedItem<'_>]) -> Result<(), Refusal> {
    let terms = &receipt.predicate().authorization;
    let mut total = Some(Amount::ZERO);
    for item in items {
        let details = &item.statement.details;
        if !details.price.asset.is_token(&terms.network, &terms.asset) {
            let expected = format!("a price in {} on {}", terms.asset, terms.network);
            let refusal = Refusal::new(Check::ReceiptPrice, expected, &details.price.asset);
            return Err(refusal.in_item(details.index));
        }
        if details.outcome == Outcome::Ok {
            total = total.and_then(|total| total.checked_add(details.price.amount));
        }
    }
    let complete = items.len() == receipt.predicate().item_count as usize;
    match total {
        Some(total) if total == terms.amount || (!complete && total < terms.amount) => Ok(()),
        total => {
            let got = total.map_or_else(|| "more than 2^128 - 1".to_owned(), |t| t.to_string());
            let at_most = if complete { "" } else { "at most " };
            let expected = format!("prices of {at_most}{}", terms.amount);
            Err(Refusal::new(Check::ReceiptPrice, expected, got))
        }
    }
}
