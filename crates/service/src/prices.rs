use std::collections::BTreeMap;

use assay_primitives::{Amount, AmountError, AssetId, Method};
use serde::Deserialize;
use thiserror::Error;

/// The operator's prices (`prices.toml`): model by method by asset, exact decimals, in the order in
/// which they are offered.
#[derive(Clone, Debug, Default)]
pub struct PriceList {
    prices: Vec<Price>,
}

/// The price of a model by a method in an asset.
#[derive(Clone, Debug)]
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
}

/// What has to be known of an asset to be paid in it.
#[derive(Clone, Debug, Deserialize)]
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
        self.prices.push(Price { model, method, amount, asset });
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    const ASSET: &str = r#"
        [assets.usd]
        id = "eip155:31337/erc20:0x5FbDB2315678afecb367f032d93F642f64180aa3"
        decimals = 6
        name = "Dollar"
        version = "1"
    "#;

    fn price(amount: &str) -> String {
        format!(
            "[[prices]]\nmodel = \"m\"\nmethod = \"signed\"\nasset = \"usd\"\namount = \"{amount}\"\n"
        )
    }

    fn read(prices: &str) -> Result<PriceList, PriceError> {
        // Prices first: a table in TOML goes on to the next header.
        PriceList::from_toml(&format!("{prices}\n{ASSET}"))
    }

    #[test]
    fn amounts_are_exact() {
        let list = read(&price("0.001")).unwrap();
        assert_eq!(list.of_model("m").next().unwrap().amount, Amount(1_000));
        assert!(matches!(read(&price("0.0000001")), Err(PriceError::Amount { .. })));
        assert!(matches!(read(&price("0")), Err(PriceError::Free { .. })));
    }

    #[test]
    fn a_price_stands_once_and_in_a_known_asset() {
        let twice = price("1") + &price("2");
        assert!(matches!(read(&twice), Err(PriceError::Twice { .. })));
        assert!(matches!(PriceList::from_toml(&price("1")), Err(PriceError::Asset { .. })));
        assert!(matches!(read("[[price]]"), Err(PriceError::Toml(_))));
    }
}
