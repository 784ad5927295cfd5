//! What a transaction costs, as it is told before it is paid.

use std::time::Duration;

use assay_primitives::{Digest, Timestamp, json};
use assay_x402::PaymentPayload;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::extension::{VERIFIED_INFERENCE, extension, methods};
use crate::{NamedItem, Plan, PriceList, PurchaseError, Quote, Service};

/// How long what was quoted holds.
const QUOTE_LASTS: Duration = Duration::from_secs(300);

/// A quote as a 402 has it.
#[derive(Clone, Debug)]
pub struct Quoted {
    /// The extension: id, digest and expiry of the quote, however many items it has.
    pub extension: (String, Value),
    /// The quote itself: what each item costs.
    pub body: Value,
}

/// What a 402's extension says of a quote, and a payment repeats.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    /// The MAC of the rest.
    id: Digest,
    /// Of the quote.
    sha256: Digest,
    /// The price list that it was made by.
    prices: Digest,
    expires_at: Timestamp,
}

impl Service {
    /// Says what a transaction costs, item by item: each has its amount in the asset of each offer.
    ///
    /// # Errors
    /// Never for a plan; the signature is that of the JSON writer and of the key that the id is made with.
    pub fn quote(&self, plan: &Plan, quotes: &[Quote]) -> Result<Quoted, PurchaseError> {
        let expires_at = self.parts().clock.now().plus(QUOTE_LASTS);
        let (body, sha256) = self.body(plan, quotes, expires_at)?;
        let (_, prices) = self.parts().catalogue.prices();
        let id = self.parts().store.authenticate(&text(sha256, prices, expires_at))?;
        let quote = json!({
            "id": id,
            "sha256": sha256,
            "prices": prices,
            "expiresAt": expires_at,
            "items": plan.len(),
        });
        let own = Map::from_iter([
            ("quote".to_owned(), quote),
            ("methods".to_owned(), methods(plan.methods(), &self.parts().certifiers)),
        ]);
        Ok(Quoted { extension: extension(&self.parts().operator, own), body })
    }

    /// Returns a plan at the prices that it was quoted at, if its payment shows a quote of one's own for it
    /// that still holds, and by other prices than those in force.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn as_quoted(
        &self,
        plan: Plan,
        payment: &PaymentPayload,
    ) -> Result<Plan, PurchaseError> {
        let extension = payment.extensions.as_ref().and_then(|all| all.get(VERIFIED_INFERENCE));
        let named = extension.and_then(|extension| extension.get("info")?.get("quote"));
        let Some(named) = named.and_then(|named| Named::deserialize(named).ok()) else {
            return Ok(plan);
        };
        let Named { id, sha256, prices, expires_at } = named;
        let store = &self.parts().store;
        if prices == self.parts().catalogue.prices().1
            || self.parts().clock.now() > expires_at
            || store.authenticate(&text(sha256, prices, expires_at))? != id
        {
            return Ok(plan);
        }
        let Some(list) = store.prices(prices).await? else { return Ok(plan) };
        let list = PriceList::from_bytes(&list)
            .map_err(|error| PurchaseError::Receipt(format!("stored prices: {error}")))?;
        let Ok(quoted) = plan.clone().at_prices(list) else { return Ok(plan) };
        let (_, got) = self.body(&quoted, &quoted.quotes(), expires_at)?;
        Ok(if got == sha256 { quoted } else { plan })
    }

    /// Returns a quote and its digest.
    fn body(
        &self,
        plan: &Plan,
        quotes: &[Quote],
        expires_at: Timestamp,
    ) -> Result<(Value, Digest), PurchaseError> {
        let items = plan.named().enumerate().map(|(index, item)| {
            let NamedItem { id, entry, method, timeout_floor } = item;
            let amounts: Vec<_> = quotes.iter().map(|quote| quote.items.get(index)).collect();
            let certifier = self.parts().certifiers.find(method);
            let program = certifier.and_then(|certifier| certifier.model(entry.package()));
            let model = program.unwrap_or_else(|| entry.used().id());
            json!({
                "id": id,
                "model": { "name": entry.used().name, "id": model },
                "method": method,
                "timeoutFloorMs": u64::try_from(timeout_floor.as_millis()).unwrap_or(u64::MAX),
                "amounts": amounts,
            })
        });
        let assets: Vec<_> = quotes.iter().map(|quote| &quote.price.asset.id).collect();
        let totals: Vec<_> = quotes.iter().map(|quote| quote.amount).collect();
        let body = json!({
            "expiresAt": expires_at,
            "outcomePolicy": plan.outcome_policy(),
            "assets": assets,
            "totals": totals,
            "items": items.collect::<Vec<Value>>(),
        });
        let bytes = json::to_vec(&body).map_err(|e| PurchaseError::Receipt(e.to_string()))?;
        Ok((body, Digest::of(&bytes)))
    }
}

/// Returns what the id of a quote is the MAC of.
fn text(sha256: Digest, prices: Digest, expires_at: Timestamp) -> Vec<u8> {
    let expires_at = expires_at.as_millis().to_be_bytes();
    [sha256.as_bytes().as_slice(), prices.as_bytes(), &expires_at].concat()
}
