//! What a 402 says of itself, held against the buyer's policy before anything is signed.

use std::time::Duration;

use assay_primitives::{Amount, Digest, ItemId, Method, ModelId, OperatorId};
use assay_verify::{Announcement, Policy};
use assay_x402::{ChosenOffer, PaymentRequired};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ClientError;
use crate::delivery::Expected;

/// The extension that announces it.
const VERIFIED_INFERENCE: &str = "verified-inference";

#[derive(Deserialize)]
struct Info {
    operator: OperatorId,
    /// Of a 402 for one inference.
    model: Option<Model>,
    /// Of a 402 for a transaction.
    quote: Option<QuoteDigest>,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    id: ModelId,
}

#[derive(Deserialize)]
struct QuoteDigest {
    sha256: Digest,
}

/// The body of a 402 for a transaction.
#[derive(Deserialize)]
struct Body {
    quote: Box<RawValue>,
}

#[derive(Deserialize)]
struct Quote {
    items: Vec<QuotedItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QuotedItem {
    id: ItemId,
    model: Model,
    method: Method,
    /// In the asset of each offer.
    amounts: Vec<Option<Amount>>,
    /// How long its buyer has to give it, in milliseconds.
    timeout_floor_ms: u32,
}

/// What one item is said to be and to cost: the receipt has to say the same.
pub(crate) struct Announced {
    model: String,
    pub(crate) model_id: ModelId,
    pub(crate) amount: Amount,
    /// How long its buyer has to give it.
    pub(crate) timeout_floor: Option<Duration>,
}

/// Checks an offer, and returns what it says of each item. A seller that announces nothing is paid only where
/// the policy pins neither operator nor model: its receipt could be anybody's.
pub(crate) fn check(
    expected: &[Expected<'_>],
    asked: &PaymentRequired,
    body: &[u8],
    chosen: ChosenOffer<'_>,
    policy: &Policy,
) -> Result<Vec<Announced>, ClientError> {
    let extension = asked.extensions.as_ref().and_then(|all| all.get(VERIFIED_INFERENCE));
    let Some(info) = extension.and_then(|extension| extension.get("info")) else {
        if policy.operators.is_none() && policy.models.is_none() {
            return Ok(Vec::new());
        }
        let got = "none, and the policy pins who sells what".to_owned();
        return Err(ClientError::Protocol { expected: "a verified-inference extension", got });
    };
    let wrong = |expected, got: String| ClientError::Protocol { expected, got };
    let info = Info::deserialize(info).map_err(|error| {
        wrong("a verified-inference extension with operator and model", error.to_string())
    })?;
    let offer = chosen.offer;
    let items = match (info.model, info.quote) {
        (Some(Model { name, id }), _) => {
            vec![Announced { model: name, model_id: id, amount: offer.amount, timeout_floor: None }]
        }
        (None, Some(quote)) => quoted(expected, quote.sha256, body, chosen.index)?,
        (None, None) => {
            let what = "a verified-inference extension with a model or a quote";
            return Err(wrong(what, "neither".to_owned()));
        }
    };
    let sum = items.iter().try_fold(Amount::ZERO, |sum, item| sum.checked_add(item.amount));
    if items.len() != expected.len() || sum != Some(offer.amount) {
        let got = format!("{} items for {}", items.len(), offer.amount);
        return Err(wrong("a 402 for what was asked for", got));
    }
    for (item, expected) in items.iter().zip(expected) {
        if item.model != expected.model {
            return Err(wrong("a 402 for the model that was asked for", item.model.clone()));
        }
        let announced = Announcement {
            operator: info.operator,
            model: &item.model,
            model_id: item.model_id,
            method: expected.method,
            network: &offer.network,
            asset: &offer.asset,
            // A policy's highest price is that of the whole.
            amount: offer.amount,
            pay_to: &offer.pay_to,
        };
        let checked = policy.check_announcement(&announced);
        checked.map_err(|error| ClientError::NotAccepted(Box::new(error)))?;
    }
    Ok(items)
}

/// Reads the quote for the items, which the header's extension fixes by its digest.
fn quoted(
    expected: &[Expected<'_>],
    digest: Digest,
    body: &[u8],
    offer: usize,
) -> Result<Vec<Announced>, ClientError> {
    let wrong = |expected, got: String| ClientError::Protocol { expected, got };
    let body: Body = serde_json::from_slice(body)
        .map_err(|error| wrong("a 402 with a quote in its body", error.to_string()))?;
    let got = Digest::of(body.quote.get().as_bytes());
    if got != digest {
        return Err(wrong("the quote that the header names", got.to_string()));
    }
    let quote: Quote = serde_json::from_str(body.quote.get())
        .map_err(|error| wrong("a quote for each item", error.to_string()))?;
    if quote.items.len() != expected.len() {
        return Err(wrong("a quote for each item", format!("{} items", quote.items.len())));
    }
    let item = |(quoted, expected): (QuotedItem, &Expected<'_>)| {
        let amount = quoted.amounts.get(offer).copied().flatten();
        match amount {
            Some(amount)
                if Some(&quoted.id) == expected.id && quoted.method == *expected.method =>
            {
                let Model { name: model, id: model_id } = quoted.model;
                let floor = Duration::from_millis(quoted.timeout_floor_ms.into());
                Ok(Announced { model, model_id, amount, timeout_floor: Some(floor) })
            }
            _ => Err(wrong("a quote for each item", format!("one for `{}`", quoted.id))),
        }
    };
    quote.items.into_iter().zip(expected).map(item).collect()
}
