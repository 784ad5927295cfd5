//! What is stored of an order, to run it after a restart.

use std::borrow::Cow;
use std::sync::Arc;

use assay_primitives::{Amount, InferenceRequest, ItemId, Method, ModelId};
use assay_receipt::{OutcomePolicy, Reference};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{PurchaseError, written};
use crate::Service;
use crate::plan::{Item, Timeout};

/// An order that was read back.
pub(super) struct Stored {
    pub(super) nonce: Option<String>,
    pub(super) outcome_policy: OutcomePolicy,
    pub(super) items: Vec<Item>,
}

#[derive(Deserialize, Serialize)]
struct StoredOrder<'a> {
    nonce: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "OutcomePolicy::is_all")]
    outcome_policy: OutcomePolicy,
    #[serde(borrow)]
    items: Vec<StoredItem<'a>>,
}

#[derive(Deserialize, Serialize)]
struct StoredItem<'a> {
    id: Option<ItemId>,
    model: String,
    package: ModelId,
    method: Method,
    price: Amount,
    /// As it was asked, in the spelling that is committed to.
    #[serde(borrow)]
    request: Cow<'a, RawValue>,
    references: Cow<'a, [Reference]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Timeout>,
}

/// Writes what is stored of an order.
pub(super) fn write(
    nonce: Option<&str>,
    outcome_policy: OutcomePolicy,
    items: &[Item],
) -> Result<Vec<u8>, PurchaseError> {
    let items = items.iter().map(StoredItem::of).collect::<Result<_, _>>()?;
    written(&StoredOrder { nonce: nonce.map(Cow::Borrowed), outcome_policy, items })
}

/// Reads an order back, of models that are sold as they were.
pub(super) fn read(service: &Service, bytes: &[u8]) -> Result<Stored, PurchaseError> {
    let StoredOrder { nonce, outcome_policy, items } = serde_json::from_slice(bytes)
        .map_err(|error| PurchaseError::Receipt(format!("stored order: {error}")))?;
    let items = items.into_iter().map(|item| item.open(service)).collect::<Result<_, _>>()?;
    Ok(Stored { nonce: nonce.map(Cow::into_owned), outcome_policy, items })
}

impl<'a> StoredItem<'a> {
    fn of(item: &'a Item) -> Result<Self, PurchaseError> {
        let failed =
            |error: String| PurchaseError::Receipt(format!("a request to be stored: {error}"));
        let request = match item.refers() {
            // What its input will be is written later, and what it is now is not needed again.
            true => serde_json::value::to_raw_value(&**item.request).map(Cow::Owned),
            false => {
                let bytes = item.request.as_bytes().map_err(|error| failed(error.to_string()))?;
                serde_json::from_slice(bytes).map(Cow::Borrowed)
            }
        };
        Ok(Self {
            id: item.id.clone(),
            model: item.entry.package().card().name.clone(),
            package: item.entry.used().id(),
            method: item.method.clone(),
            price: item.price,
            request: request.map_err(|error| failed(error.to_string()))?,
            references: Cow::Borrowed(&item.references),
            timeout: item.timeout,
        })
    }

    fn open(self, service: &Service) -> Result<Item, PurchaseError> {
        let Self { id, model, package, method, price, request, references, timeout } = self;
        let entry = service.parts().catalogue.find(&model);
        let entry = entry.filter(|entry| entry.used().id() == package);
        let entry = entry.cloned().ok_or(PurchaseError::ModelGone(model))?;
        let request: InferenceRequest = serde_json::from_str(request.get())
            .map_err(|error| PurchaseError::Receipt(format!("stored request: {error}")))?;
        let (request, references) = (Arc::new(request.into()), references.into_owned());
        Ok(Item { id, entry, method, price, request, references, timeout })
    }
}
