//! The disclosed items together: their order, their evidence, their prices.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;

use assay_primitives::{Amount, Digest, InferenceOutput, InferenceRequest, TensorData};
use assay_receipt::{
    Authorization, Bundle, BundleItem, EvidenceBlob, EvidenceReference, ItemDetails, ItemStatement,
    Outcome, OutcomePolicy, Price, Receipt, ReceiptPredicate, Reference,
};

use crate::methods::ItemEvidence;
use crate::parts::open_item_from;
use crate::settlement::EXACT;
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

/// Checks that no two disclosed items have one id, and that every input was built of the outputs that it
/// refers to, where these are disclosed.
pub(crate) fn check_references(items: &[OpenedItem<'_>]) -> Result<(), Refusal> {
    let mut ids = HashSet::new();
    let mut outputs = HashMap::new();
    for item in items {
        let details = &item.statement.details;
        if let Some(id) = details.id.as_ref().filter(|id| !ids.insert(*id)) {
            let refusal = Refusal::new(Check::ItemIndex, "each id once", format!("`{id}` again"));
            return Err(refusal.in_item(details.index));
        }
        item.check_references(items, &mut outputs).map_err(|e| e.in_item(details.index))?;
    }
    Ok(())
}

impl OpenedItem<'_> {
    /// Finds a disclosed item by its index.
    fn find(items: &[Self], index: u32) -> Option<&Self> {
        let place = items.binary_search_by_key(&index, |item| item.statement.details.index);
        place.ok().and_then(|place| items.get(place))
    }

    /// Returns the items that this one's input refers to and that are not disclosed.
    pub(crate) fn hidden_sources(&self, items: &[Self]) -> Vec<u32> {
        let mut sources = Reference::items(&self.statement.details.references);
        sources.retain(|source| Self::find(items, *source).is_none());
        sources
    }

    fn check_references(
        &self,
        items: &[Self],
        outputs: &mut HashMap<u32, InferenceOutput>,
    ) -> Result<(), Refusal> {
        let ItemDetails { references, outcome, .. } = &self.statement.details;
        // What failed may never have had its input.
        if references.is_empty() || *outcome != Outcome::Ok {
            return Ok(());
        }
        let request = InferenceRequest::from_bytes(&self.disclosed.request).map_err(|error| {
            Refusal::new(Check::ItemDependency, "a request of tensors, to be referred from", error)
        })?;
        for reference in references {
            let Some(source) = Self::find(items, reference.item) else { continue };
            let output = match outputs.entry(reference.item) {
                Entry::Occupied(output) => output.into_mut(),
                Entry::Vacant(place) => place.insert(source.output_to_refer_to()?),
            };
            check_reference(reference, &request, output)?;
        }
        Ok(())
    }

    fn output_to_refer_to(&self) -> Result<InferenceOutput, Refusal> {
        let expected = "an output of tensors, to refer to";
        let refused = |got: &dyn Display| Refusal::new(Check::ItemDependency, expected, got);
        let output = self.disclosed.output.as_deref().ok_or_else(|| refused(&"none"))?;
        InferenceOutput::from_bytes(output).map_err(|error| refused(&error))
    }
}

/// Compares what stands at the two ends of a reference, to the last bit.
fn check_reference(
    reference: &Reference,
    request: &InferenceRequest,
    output: &InferenceOutput,
) -> Result<(), Refusal> {
    let Reference { item, pointer, at } = reference;
    let (expected, got) = (pointer.read(output), at.read(request));
    let shown = |data: &Option<TensorData>| match data {
        None => "nothing".to_owned(),
        Some(data) => format!("{} {}", data.datatype(), Digest::of(&data.to_le_bytes())),
    };
    let bits = |data: &TensorData| (data.datatype(), data.to_le_bytes());
    if expected.is_some() && expected.as_ref().map(bits) == got.as_ref().map(bits) {
        return Ok(());
    }
    let expected = format!("at {at}: {pointer} of item {item}, {}", shown(&expected));
    Err(Refusal::new(Check::ItemDependency, expected, shown(&got)))
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

/// What the disclosed items come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charged {
    /// The sum of what is charged.
    pub(crate) amount: Amount,
    /// Whether these are all of the transaction's items.
    pub(crate) is_complete: bool,
}

/// Checks that every price is in the asset of the payment, and that the prices add up to what was
/// authorised; of a transaction that is not wholly disclosed, that they are not more. Returns what is
/// charged.
///
/// Under `all` that is the prices of what did not fail. Under `each` all prices were authorised, and what is
/// charged is what has usage: all that did not fail, and of the rest at most what its buyer ended.
pub(crate) fn check_prices(
    receipt: &Receipt,
    items: &[OpenedItem<'_>],
) -> Result<Charged, Refusal> {
    let ReceiptPredicate { authorization: terms, outcome_policy, .. } = receipt.predicate();
    let is_each = *outcome_policy == OutcomePolicy::Each;
    if is_each && terms.scheme == EXACT {
        let expected = "the outcome policy `all`, as the scheme is `exact`";
        return Err(Refusal::new(Check::ReceiptPrice, expected, outcome_policy.as_str()));
    }
    let (mut authorized, mut charged) = (Some(Amount::ZERO), Some(Amount::ZERO));
    for item in items {
        let details = &item.statement.details;
        let price = check_price(details, terms, is_each);
        let (price, is_charged) = price.map_err(|refusal| refusal.in_item(details.index))?;
        let add = |sum: Option<Amount>| sum.and_then(|sum| sum.checked_add(price));
        authorized = if is_each || is_charged { add(authorized) } else { authorized };
        charged = if is_charged { add(charged) } else { charged };
    }
    let is_complete = items.len() == receipt.predicate().item_count as usize;
    match authorized.zip(charged) {
        Some((total, amount))
            if total == terms.amount || (!is_complete && total < terms.amount) =>
        {
            Ok(Charged { amount, is_complete })
        }
        sums => {
            let got = sums
                .map_or_else(|| "more than 2^128 - 1".to_owned(), |(total, _)| total.to_string());
            let at_most = if is_complete { "" } else { "at most " };
            let expected = format!("prices of {at_most}{}", terms.amount);
            Err(Refusal::new(Check::ReceiptPrice, expected, got))
        }
    }
}

/// Checks an item's price, and returns it with whether it is charged.
fn check_price(
    details: &ItemDetails,
    terms: &Authorization,
    is_each: bool,
) -> Result<(Amount, bool), Refusal> {
    let Price { amount, asset } = &details.price;
    if !asset.is_token(&terms.network, &terms.asset) {
        let expected = format!("a price in {} on {}", terms.asset, terms.network);
        return Err(Refusal::new(Check::ReceiptPrice, expected, asset));
    }
    let (is_ok, has_usage) = (details.outcome == Outcome::Ok, details.usage.inferences > 0);
    if !is_each {
        return Ok((*amount, is_ok));
    }
    if is_ok == has_usage || has_usage && details.outcome.is_by_buyer() {
        return Ok((*amount, has_usage));
    }
    let expected = if is_ok { "usage of what did not fail" } else { "no usage of what failed" };
    Err(Refusal::new(Check::ReceiptPrice, expected, details.usage.inferences))
}

/// Checks that no more was settled than is charged, where all items are there to tell.
pub(crate) fn check_settled(charged: Charged, settled: Amount) -> Result<(), Refusal> {
    let Charged { amount, is_complete } = charged;
    if !is_complete || settled <= amount {
        return Ok(());
    }
    let expected = format!("a settlement of at most {amount}, which is charged");
    Err(Refusal::new(Check::SettlementTerms, expected, settled))
}
