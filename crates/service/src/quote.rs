//! What a transaction costs, as it is told before it is paid.

use std::time::Duration;

use assay_primitives::{Digest, json};
use serde_json::{Map, Value, json};

use crate::extension::{extension, methods};
use crate::{Plan, PurchaseError, Quote, Service};

/// How long what was quoted holds.
const QUOTE_LASTS: Duration = Duration::from_secs(300);

/// A quote as a 402 has it.
#[derive(Clone, Debug)]
pub struct Quoted {
    /// The extension: digest and expiry of the quote, however many items it has.
    pub extension: (String, Value),
    /// The quote itself: what each item costs.
    pub body: Value,
}

impl Service {
    /// Says what a transaction costs, item by item: each has its amount in the asset of each offer.
    ///
    /// # Errors
    /// Never for a plan; the signature is that of the JSON writer.
    pub fn quote(&self, plan: &Plan, quotes: &[Quote]) -> Result<Quoted, PurchaseError> {
        let expires_at = self.parts().clock.now().plus(QUOTE_LASTS);
        let items = plan.named().enumerate().map(|(index, (id, entry, method))| {
            let amounts: Vec<_> = quotes.iter().map(|quote| quote.items.get(index)).collect();
            let certifier = self.parts().certifiers.find(method);
            let program = certifier.and_then(|certifier| certifier.model(entry.package()));
            let model = program.unwrap_or_else(|| entry.used().id());
            json!({
                "id": id,
                "model": { "name": entry.used().name, "id": model },
                "method": method,
                "amounts": amounts,
            })
        });
        let assets: Vec<_> = quotes.iter().map(|quote| &quote.price.asset.id).collect();
        let totals: Vec<_> = quotes.iter().map(|quote| quote.amount).collect();
        let body = json!({
            "expiresAt": expires_at,
            "assets": assets,
            "totals": totals,
            "items": items.collect::<Vec<Value>>(),
        });
        let bytes = json::to_vec(&body).map_err(|e| PurchaseError::Receipt(e.to_string()))?;
        let own = Map::from_iter([
            (
                "quote".to_owned(),
                json!({ "sha256": Digest::of(&bytes), "expiresAt": expires_at, "items": plan.len() }),
            ),
            ("methods".to_owned(), methods(plan.methods(), &self.parts().certifiers)),
        ]);
        Ok(Quoted { extension: extension(&self.parts().operator, own), body })
    }
}
