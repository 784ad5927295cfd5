//! What a policy says of a bundle that holds.

use std::fmt;

use assay_primitives::{Account, Amount, ModelId, Network, Timestamp};
use assay_receipt::{ItemDetails, KeyManifest, ReceiptPredicate};

use crate::refusal::listed;
use crate::{Announcement, Check, PaymentReport, Policy, Refusal, Verdict};

impl Policy {
    pub(crate) fn check_manifest(&self, manifest: &KeyManifest) -> Result<(), Refusal> {
        let content = manifest.content();
        one_of(Check::PolicyOperator, self.operators.as_deref(), &content.operator)?;
        match self.manifest_version {
            Some(least) if content.version < least => {
                let expected = format!("version {least} or newer");
                Err(Refusal::new(Check::PolicyManifestVersion, expected, content.version))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn check_item(&self, item: &ItemDetails) -> Result<(), Refusal> {
        one_of(Check::PolicyMethod, self.methods.as_deref(), &item.method)?;
        self.check_model(&item.model.name, item.model.id())
    }

    fn check_model(&self, name: &str, id: ModelId) -> Result<(), Refusal> {
        let Some(models) = &self.models else { return Ok(()) };
        match models.get(name) {
            Some(ids) if ids.contains(&id) => Ok(()),
            Some(ids) => {
                let expected = format!("`{name}` {}", listed(ids));
                Err(Refusal::new(Check::PolicyModel, expected, format!("`{name}` {id}")))
            }
            None => {
                let expected = "a model that the policy names";
                Err(Refusal::new(Check::PolicyModel, expected, format!("`{name}` {id}")))
            }
        }
    }

    /// Checks what a seller announces, as far as that goes before anything was paid or run.
    ///
    /// # Errors
    /// The `policy.*` check that a receipt would fail if it said the same.
    pub fn check_announcement(&self, announced: &Announcement<'_>) -> Result<(), Refusal> {
        let Announcement { operator, model, model_id, method, network, .. } = announced;
        one_of(Check::PolicyOperator, self.operators.as_deref(), operator)?;
        one_of(Check::PolicyMethod, self.methods.as_deref(), *method)?;
        self.check_model(model, *model_id)?;
        one_of(Check::PolicyNetwork, self.networks.as_deref(), *network)?;
        self.check_pay_to(announced.pay_to)?;
        self.check_price(network, announced.asset, announced.amount)
    }

    /// Returns the verdict on an item that nothing speaks against.
    pub(crate) fn verdict(&self, item: &ItemDetails, simulated: bool, is_pinned: bool) -> Verdict {
        if simulated {
            Verdict::Simulated
        } else if self.operators.is_some() && self.pins(item) && is_pinned {
            Verdict::Verified
        } else {
            Verdict::Consistent
        }
    }

    /// Checks what holds for the transaction as a whole.
    pub(crate) fn check_transaction(
        &self,
        receipt: &ReceiptPredicate,
        payment: &PaymentReport,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let terms = &receipt.authorization;
        one_of(Check::PolicyNetwork, self.networks.as_deref(), &terms.network)?;
        self.check_pay_to(&terms.pay_to)?;
        self.check_price(&terms.network, &terms.asset, terms.amount)?;
        self.check_age(receipt.issued_at, now)?;
        one_of(Check::PolicyTime, self.times.as_deref(), &payment.time_basis())?;
        one_of(Check::PolicyPayment, self.payments.as_deref(), &payment.state)
    }

    fn check_pay_to(&self, pay_to: &Account) -> Result<(), Refusal> {
        match &self.pay_to {
            Some(accounts) if !accounts.iter().any(|account| account.is_same(pay_to)) => {
                Err(Refusal::new(Check::PolicyPayTo, listed(accounts), pay_to))
            }
            _ => Ok(()),
        }
    }

    fn check_price(
        &self,
        network: &Network,
        asset: &Account,
        amount: Amount,
    ) -> Result<(), Refusal> {
        let Some(prices) = &self.max_price else { return Ok(()) };
        let of_asset = prices.iter().filter(|p| p.asset.is_token(network, asset));
        match of_asset.min_by_key(|price| price.amount) {
            Some(price) if amount <= price.amount => Ok(()),
            Some(price) => {
                let expected = format!("at most {} of {}", price.amount, price.asset);
                Err(Refusal::new(Check::PolicyPrice, expected, amount))
            }
            None => {
                let got = format!("{asset} on {network}");
                Err(Refusal::new(Check::PolicyPrice, "an asset the policy has a price for", got))
            }
        }
    }

    fn check_age(&self, issued_at: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        let age = now.since(issued_at);
        match self.max_age {
            Some(most) if age > most => {
                let expected = format!("an age of at most {} s", most.as_secs());
                Err(Refusal::new(Check::PolicyAge, expected, format!("{} s", age.as_secs())))
            }
            _ => Ok(()),
        }
    }

    /// Says in words what the policy leaves open.
    pub(crate) fn notes(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.operators.is_none(), "operator: any, no policy pins one"),
            (
                self.manifest_version.is_none(),
                "key manifest: of any version, an older one may hide a revocation",
            ),
            (self.methods.is_none(), "method: any that certifies"),
            (self.models.is_none(), "model: as claimed by the operator"),
            (self.networks.is_none(), "network: any"),
            (self.pay_to.is_none(), "payTo: any settlement address of the operator's"),
            (self.max_price.is_none(), "price: any amount of any asset"),
            (self.max_age.is_none(), "age: any"),
            (self.times.is_none(), "time: on any basis"),
            (self.payments.is_none(), "payment: in any state"),
        ]
        .into_iter()
        .filter_map(|(is_open, note)| is_open.then_some(note))
    }
}

fn one_of<T: fmt::Display + PartialEq>(
    check: Check,
    accepted: Option<&[T]>,
    got: &T,
) -> Result<(), Refusal> {
    match accepted {
        Some(accepted) if !accepted.contains(got) => {
            Err(Refusal::new(check, listed(accepted), got))
        }
        _ => Ok(()),
    }
}
