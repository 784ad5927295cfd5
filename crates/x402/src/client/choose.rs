use std::fmt;
use std::sync::Arc;

use assay_primitives::{Amount, AssetId, Network};
use thiserror::Error;

use crate::evm::address;
use crate::exact::uses_eip3009;
use crate::upto::Recipient;
use crate::wire::shown;
use crate::{EXACT, PaymentRequired, PaymentRequirements, UPTO};

/// The most offers looked at.
const MAX_OFFERS: usize = 64;

/// What a buyer is ready to pay with. Without a spend cap nothing is paid.
#[derive(Clone)]
pub struct Preferences {
    networks: Option<Vec<Network>>,
    caps: Vec<(AssetId, Amount)>,
    max_timeout_seconds: u64,
    upto: bool,
    filter: Arc<dyn Fn(&PaymentRequirements) -> bool + Send + Sync>,
}

/// The offer to pay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChosenOffer<'a> {
    /// Its place among the offers that could be read.
    pub index: usize,
    /// The offer.
    pub offer: &'a PaymentRequirements,
}

/// Why an offer is not paid.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum OfferRefusal {
    /// A field is not what this scheme needs.
    #[error("{field} cannot be paid: {got}")]
    Field {
        /// The field, as on the wire.
        field: &'static str,
        /// Its value.
        got: String,
    },
    /// The preferences' filter says no.
    #[error("not the kind of offer asked for")]
    Filtered,
    /// The network is not among the preferred.
    #[error("network {got} is not among those to pay on")]
    Network {
        /// The offer's network.
        got: Network,
    },
    /// There is no spend cap for the asset.
    #[error("asset {got} has no spend cap")]
    NoCap {
        /// The offer's asset.
        got: AssetId,
    },
    /// The price exceeds the spend cap.
    #[error("price {price} of {asset} exceeds the spend cap {cap}")]
    OverCap {
        /// The asset.
        asset: AssetId,
        /// The offer's amount.
        price: Amount,
        /// The cap.
        cap: Amount,
    },
    /// The payment would have to stay valid for too long.
    #[error("maxTimeoutSeconds {got} exceeds {cap}")]
    Timeout {
        /// The offer's.
        got: u64,
        /// The most that is signed.
        cap: u64,
    },
}

/// No offer is paid.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("no offer to pay among {}: {}", refusals.len(), list(refusals))]
pub struct ChooseError {
    /// Why not, one for each offer.
    pub refusals: Vec<OfferRefusal>,
}

impl Preferences {
    /// Returns preferences that pay nothing until a [cap](Self::with_cap) is added.
    #[must_use]
    pub fn new() -> Self {
        Self {
            networks: None,
            caps: Vec::new(),
            max_timeout_seconds: 3_600,
            upto: false,
            filter: Arc::new(|_| true),
        }
    }

    /// Allows payments in an asset up to an amount each, not in all. The highest cap of an asset
    /// counts.
    #[must_use]
    pub fn with_cap(mut self, asset: AssetId, cap: Amount) -> Self {
        self.caps.push((asset, cap));
        self
    }

    /// Allows payments on these networks alone.
    #[must_use]
    pub fn on_networks(mut self, networks: impl IntoIterator<Item = Network>) -> Self {
        self.networks = Some(networks.into_iter().collect());
        self
    }

    /// Signs no payment that stays valid for longer; an hour by default.
    #[must_use]
    pub const fn with_max_timeout(mut self, seconds: u64) -> Self {
        self.max_timeout_seconds = seconds;
        self
    }

    /// Pays offers of the scheme `upto` as well: what is charged is known in the end, and the cap holds
    /// against the most that can be. Permit2 needs an allowance of the token
    /// ([`pay_upto`](crate::pay_upto)).
    #[must_use]
    pub const fn with_upto(mut self) -> Self {
        self.upto = true;
        self
    }

    /// Takes only offers that the filter accepts, such as those with one's method in `extra`.
    #[must_use]
    pub fn with_filter(
        mut self,
        filter: impl Fn(&PaymentRequirements) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.filter = Arc::new(filter);
        self
    }

    fn cap_of(&self, offer: &PaymentRequirements) -> Option<Amount> {
        let caps = self.caps.iter();
        let of_asset = caps.filter(|(asset, _)| asset.is_token(&offer.network, &offer.asset));
        of_asset.map(|(_, cap)| *cap).max()
    }
}

/// Chooses the first offer that can be paid under the preferences: the seller's order counts.
///
/// Only offers of the scheme `exact` by EIP-3009, and where the preferences say so of `upto` by Permit2,
/// with the payment flow `authorization` are paid: a flow that is not known may charge at another time.
///
/// # Errors
/// When there is none; the error says why for each.
pub fn choose_offer<'a>(
    required: &'a PaymentRequired,
    preferences: &Preferences,
) -> Result<ChosenOffer<'a>, ChooseError> {
    let mut refusals = Vec::new();
    for (index, offer) in required.accepts.iter().enumerate().take(MAX_OFFERS) {
        match refusal(offer, preferences) {
            None => return Ok(ChosenOffer { index, offer }),
            Some(refusal) => refusals.push(refusal),
        }
    }
    Err(ChooseError { refusals })
}

fn refusal(offer: &PaymentRequirements, preferences: &Preferences) -> Option<OfferRefusal> {
    if !(preferences.filter)(offer) {
        return Some(OfferRefusal::Filtered);
    }
    unpayable(offer, preferences.upto).or_else(|| unwanted(offer, preferences))
}

/// What the scheme cannot pay, or this client does not know.
fn unpayable(offer: &PaymentRequirements, upto: bool) -> Option<OfferRefusal> {
    let field = |field, got: &str| Some(OfferRefusal::Field { field, got: shown(got) });
    let extra = |key: &str| offer.extra.as_ref().and_then(|extra| extra.get(key));
    let is_upto = upto && offer.scheme == UPTO;
    if offer.scheme != EXACT && !is_upto {
        return field("scheme", &offer.scheme);
    }
    match extra("paymentFlow") {
        None => {}
        Some(flow) if flow == "authorization" => {}
        Some(flow) => return field("extra.paymentFlow", &flow.to_string()),
    }
    if is_upto {
        return Recipient::of(offer).err().and_then(|(name, got)| field(name, &got));
    }
    if !uses_eip3009(offer) {
        let method = extra("assetTransferMethod").map(ToString::to_string).unwrap_or_default();
        return field("extra.assetTransferMethod", &method);
    }
    for (name, account) in [("asset", &offer.asset), ("payTo", &offer.pay_to)] {
        if address(account.as_str()).is_none() {
            return field(name, account.as_str());
        }
    }
    if offer.network.evm_chain_id().is_none() {
        return field("network", offer.network.as_str());
    }
    for (name, key) in [("extra.name", "name"), ("extra.version", "version")] {
        if offer.extra_text(key).is_none_or(str::is_empty) {
            return field(name, "missing");
        }
    }
    None
}

/// What could be paid and is not to be.
fn unwanted(offer: &PaymentRequirements, preferences: &Preferences) -> Option<OfferRefusal> {
    if preferences.networks.as_ref().is_some_and(|networks| !networks.contains(&offer.network)) {
        return Some(OfferRefusal::Network { got: offer.network.clone() });
    }
    let asset = AssetId::erc20(offer.network.clone(), offer.asset.clone());
    let Some(cap) = preferences.cap_of(offer) else {
        return Some(OfferRefusal::NoCap { got: asset });
    };
    if offer.amount > cap {
        return Some(OfferRefusal::OverCap { asset, price: offer.amount, cap });
    }
    let (got, cap) = (offer.max_timeout_seconds, preferences.max_timeout_seconds);
    (got > cap).then_some(OfferRefusal::Timeout { got, cap })
}

fn list(refusals: &[OfferRefusal]) -> String {
    refusals.iter().take(8).map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Default for Preferences {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Preferences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preferences")
            .field("networks", &self.networks)
            .field("caps", &self.caps)
            .field("max_timeout_seconds", &self.max_timeout_seconds)
            .field("upto", &self.upto)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixture::{asset, offer, required};

    fn refused(offer: PaymentRequirements, preferences: &Preferences) -> OfferRefusal {
        let required = required(vec![offer]);
        choose_offer(&required, preferences).unwrap_err().refusals.remove(0)
    }

    fn with_extra(key: &str, value: Value) -> PaymentRequirements {
        let mut offer = offer();
        offer.extra.as_mut().unwrap().insert(key.to_owned(), value);
        offer
    }

    fn ready() -> Preferences {
        Preferences::new().with_cap(asset(), Amount(1_000))
    }

    #[test]
    fn the_sellers_order_counts() {
        let cheaper = PaymentRequirements { amount: Amount(1), ..offer() };
        let required = required(vec![offer(), cheaper]);
        assert_eq!(choose_offer(&required, &ready()).unwrap().index, 0);
        let poor = Preferences::new().with_cap(asset(), Amount(999));
        assert_eq!(choose_offer(&required, &poor).unwrap().index, 1);
        let picky = ready().with_filter(|offer| offer.amount == Amount(1));
        assert_eq!(choose_offer(&required, &picky).unwrap().index, 1);
    }

    #[test]
    fn nothing_is_paid_without_a_cap() {
        let refusal = refused(offer(), &Preferences::new());
        assert_eq!(refusal, OfferRefusal::NoCap { got: asset() });
        let poor = Preferences::new().with_cap(asset(), Amount(999));
        let refusal = refused(offer(), &poor);
        let (price, cap) = (Amount(1_000), Amount(999));
        assert_eq!(refusal, OfferRefusal::OverCap { asset: asset(), price, cap });
        assert!(refusal.to_string().contains("price 1000"), "{refusal}");
        assert!(refusal.to_string().contains("cap 999"), "{refusal}");
    }

    #[test]
    fn caps_know_no_case() {
        let lower: AssetId = asset().to_string().to_lowercase().parse().unwrap();
        let preferences = Preferences::new().with_cap(lower, Amount(1_000));
        assert!(choose_offer(&required(vec![offer()]), &preferences).is_ok());
    }

    #[test]
    fn only_what_is_known_is_paid() {
        let field = |offer| match refused(offer, &ready()) {
            OfferRefusal::Field { field, .. } => field,
            other => panic!("{other}"),
        };
        assert_eq!(field(with_extra("paymentFlow", json!("upfront"))), "extra.paymentFlow");
        assert_eq!(field(with_extra("paymentFlow", json!(null))), "extra.paymentFlow");
        let permit2 = with_extra("assetTransferMethod", json!("permit2"));
        assert_eq!(field(permit2), "extra.assetTransferMethod");
        let odd = with_extra("assetTransferMethod", json!(7));
        assert_eq!(field(odd), "extra.assetTransferMethod");
        assert_eq!(field(with_extra("name", json!(""))), "extra.name");
        assert_eq!(field(with_extra("version", json!(2))), "extra.version");
        assert_eq!(field(PaymentRequirements { scheme: "upto".into(), ..offer() }), "scheme");
        let solana = PaymentRequirements { network: "solana:mainnet".parse().unwrap(), ..offer() };
        assert_eq!(field(solana), "network");
        let base58 = PaymentRequirements { pay_to: "9xQeWvG8".parse().unwrap(), ..offer() };
        assert_eq!(field(base58), "payTo");
        let known = with_extra("paymentFlow", json!("authorization"));
        assert!(choose_offer(&required(vec![known]), &ready()).is_ok());
    }

    #[test]
    fn networks_and_times_are_limited() {
        let elsewhere = ready().on_networks([Network::eip155(1)]);
        assert!(matches!(refused(offer(), &elsewhere), OfferRefusal::Network { .. }));
        let hasty = ready().with_max_timeout(59);
        assert_eq!(refused(offer(), &hasty), OfferRefusal::Timeout { got: 60, cap: 59 });
    }
}
