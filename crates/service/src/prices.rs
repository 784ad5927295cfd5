use std::collections::BTreeMap;
use std::time::Duration;

use assay_primitives::json::{self, StrictJsonError};
use assay_primitives::{Amount, AmountError, AssetId, Method};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The operator's prices (`prices.toml`): model by method by asset, exact decimals, in the order in
/// which they are offered.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PriceList {
    prices: Vec<Price>,
}

/// The price of a model by a method in an asset.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Price {
    /// The model's name.
    pub model: String,
    /// The method.
    pub method: Method,
    /// In atomic units of the asset.
    pub amount: Amount,
    /// The asset.
    pub asset: AssetTerms,
    /// How long the seller asks for at least, in milliseconds: what is not done by then its buyer may end
    /// without being charged. The method's own time where it is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_floor_ms: Option<u32>,
}

/// What has to be known of an asset to be paid in it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AssetTerms {
    /// The asset.
    pub id: AssetId,
    /// Its decimal places.
    pub decimals: u8,
    /// The name of the token's EIP-712 domain.
    pub name: String,
    /// The version of the token's EIP-712 domain.
    pub version: String,
}

/// Prices that cannot be used.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PriceError {
    /// Not the TOML of prices.
    #[error("prices: {0}")]
    Toml(String),
    /// A price in an asset that the file does not describe.
    #[error("prices: asset `{asset}` of model `{model}` is not described under [assets]")]
    Asset {
        /// The model.
        model: String,
        /// The asset's name.
        asset: String,
    },
    /// An asset whose payments nobody could sign: the name and version of its EIP-712 domain are a
    /// part of what is signed.
    #[error("prices: asset {asset} has an empty {field}")]
    Domain {
        /// The asset.
        asset: AssetId,
        /// `name` or `version`.
        field: &'static str,
    },
    /// A price that is not an exact amount.
    #[error("prices: model `{model}`, method `{method}`: {error}")]
    Amount {
        /// The model.
        model: String,
        /// The method.
        method: Method,
        /// What is wrong.
        error: AmountError,
    },
    /// A price of nothing: x402 has no free offers.
    #[error("prices: model `{model}`, method `{method}`: the price must be above 0")]
    Free {
        /// The model.
        model: String,
        /// The method.
        method: Method,
    },
    /// Two prices for one model, method and asset.
    #[error("prices: model `{model}`, method `{method}` has two prices in {asset}")]
    Twice {
        /// The model.
        model: String,
        /// The method.
        method: Method,
        /// The asset.
        asset: AssetId,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default)]
    assets: BTreeMap<String, AssetTerms>,
    #[serde(default)]
    prices: Vec<WirePrice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WirePrice {
    model: String,
    method: Method,
    asset: String,
    amount: String,
    timeout_floor_ms: Option<u32>,
}

/// Returns how long the seller of these prices, all of one model and method, asks for at least.
pub(crate) fn timeout_floor<'a>(
    prices: impl IntoIterator<Item = &'a Price>,
    of_method: Duration,
) -> Duration {
    let floors = prices.into_iter().filter_map(|price| price.timeout_floor_ms);
    floors.max().map_or(of_method, |floor| Duration::from_millis(floor.into()))
}

impl PriceList {
    /// Reads a price list.
    ///
    /// # Errors
    /// Names the line, or the model and method, that is wrong.
    pub fn from_toml(text: &str) -> Result<Self, PriceError> {
        let wire: Wire = toml::from_str(text)
            .map_err(|error| PriceError::Toml(error.to_string().trim_end().to_owned()))?;
        let mut list = Self::default();
        for price in wire.prices {
            let Some(asset) = wire.assets.get(&price.asset) else {
                return Err(PriceError::Asset { model: price.model, asset: price.asset });
            };
            list.add(price.model, price.method, &price.amount, asset.clone())?;
            if let Some(added) = list.prices.last_mut() {
                added.timeout_floor_ms = price.timeout_floor_ms;
            }
        }
        Ok(list)
    }

    /// Adds a price after the others.
    ///
    /// # Errors
    /// When it is not an exact amount above zero, or there is one already.
    pub fn add(
        &mut self,
        model: String,
        method: Method,
        amount: &str,
        asset: AssetTerms,
    ) -> Result<(), PriceError> {
        for (field, text) in [("name", &asset.name), ("version", &asset.version)] {
            if text.is_empty() {
                return Err(PriceError::Domain { asset: asset.id, field });
            }
        }
        let amount = match Amount::from_decimal(amount, asset.decimals) {
            Ok(Amount::ZERO) => return Err(PriceError::Free { model, method }),
            Ok(amount) => amount,
            Err(error) => return Err(PriceError::Amount { model, method, error }),
        };
        let twice = self.prices.iter().any(|other| {
            other.model == model && other.method == method && other.asset.id == asset.id
        });
        if twice {
            return Err(PriceError::Twice { model, method, asset: asset.id });
        }
        self.prices.push(Price { model, method, amount, asset, timeout_floor_ms: None });
        Ok(())
    }

    /// Returns the list as it is kept for what was quoted by it: canonical JSON.
    ///
    /// # Errors
    /// Never for a price list; the signature is that of the JSON writer.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, StrictJsonError> {
        json::to_vec(self)
    }

    /// Reads a list that was kept.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, StrictJsonError> {
        json::from_slice(bytes)
    }

    /// Returns the prices of a model, in order.
    pub fn of_model(&self, model: &str) -> impl Iterator<Item = &Price> {
        self.prices.iter().filter(move |price| price.model == model)
    }

    /// Returns all prices, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Price> {
        self.prices.iter()
    }
}
