//! Who sells what at which price.

use std::path::Path;
use std::thread::available_parallelism;

use assay_engine::{ModelPackage, Tract};
use assay_primitives::{Method, Network, Randomness, Timestamp};
use assay_receipt::SettlementAddress;
use assay_service::{Catalogue, Certifiers, Operator, PriceList};

use super::chain::{PaymentRail, development_asset};
use crate::config::Config;
use crate::error::CliError;
use crate::keys::{KeyFolder, NewOperator};

/// What a model costs on a development chain when no prices are given.
const DEV_PRICE: &str = "0.001";

/// Who sells what at which price.
pub(crate) struct Shop {
    pub(crate) operator: Operator,
    pub(crate) catalogue: Catalogue,
    pub(crate) certifiers: Certifiers,
}

impl Shop {
    pub(crate) fn open(
        config: &Config,
        rail: &PaymentRail,
        now: Timestamp,
        randomness: &dyn Randomness,
    ) -> Result<Self, CliError> {
        let parallel = config
            .parallel
            .unwrap_or_else(|| available_parallelism().map_or(1, std::num::NonZero::get));
        let certifiers = Certifiers::standard(parallel);
        let prices = prices(config, &rail.network)?;
        let foreign = prices.iter().find(|price| *price.asset.id.network() != rail.network);
        if let Some(price) = foreign {
            let message = format!(
                "prices: model `{}` is priced on {}, but the chain is {}",
                price.model,
                price.asset.id.network(),
                rail.network
            );
            return Err(CliError::Input(message));
        }
        let packages = packages(&config.models)?;
        let catalogue =
            Catalogue::new(packages, &prices, &Tract, &certifiers).map_err(CliError::failed)?;
        let operator = operator(config, rail, now, randomness)?;
        Ok(Self { operator, catalogue, certifiers })
    }
}

/// Reads the prices; on a development chain without a file every model costs the same.
pub(crate) fn prices(config: &Config, network: &Network) -> Result<PriceList, CliError> {
    if let Some(path) = &config.prices {
        let text = std::fs::read_to_string(path).map_err(|e| CliError::Io(path.clone(), e))?;
        return PriceList::from_toml(&text)
            .map_err(|error| CliError::Input(format!("{}: {error}", path.display())));
    }
    if !network.is_development() {
        let message = format!("prices is not set, and there are no default prices on {network}");
        return Err(CliError::Input(message));
    }
    let mut prices = PriceList::default();
    for package in packages(&config.models)? {
        let asset = development_asset()?;
        prices
            .add(package.card().name.clone(), Method::SIGNED, DEV_PRICE, asset)
            .map_err(CliError::failed)?;
    }
    Ok(prices)
}

/// Reads every model package below a folder, by name.
pub(crate) fn packages(folder: &Path) -> Result<Vec<ModelPackage>, CliError> {
    let io = |error| CliError::Io(folder.to_path_buf(), error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.join("model.toml").is_file() {
            found.push(ModelPackage::open(&path).map_err(CliError::input)?);
        }
    }
    if found.is_empty() {
        let message = format!("{}: there is no model package in this folder", folder.display());
        return Err(CliError::Input(message));
    }
    found.sort_by(|a, b| a.card().name.cmp(&b.card().name));
    Ok(found)
}

fn operator(
    config: &Config,
    rail: &PaymentRail,
    now: Timestamp,
    randomness: &dyn Randomness,
) -> Result<Operator, CliError> {
    let keys = match &config.keys.folder {
        Some(folder) => KeyFolder::new(folder),
        None if rail.network.is_development() => {
            let keys = KeyFolder::new(&config.data.join("keys"));
            if !keys.exists() {
                let (network, account) = (rail.network.clone(), rail.pay_to.clone());
                let settlement = vec![SettlementAddress { network, account }];
                let operator = NewOperator { settlement, gateways: Vec::new() };
                keys.create(operator, now, randomness)?;
            }
            keys
        }
        None => {
            let message = "keys.folder is not set: make keys with `assay key new`";
            return Err(CliError::Input(message.to_owned()));
        }
    };
    let (envelope, manifest) = keys.manifest()?;
    let listed =
        manifest.content().settlement_addresses.iter().any(|address| {
            address.network == rail.network && address.account.is_same(&rail.pay_to)
        });
    if !listed {
        let message = format!(
            "the key manifest has no settlement address {} on {}: receipts would be refused",
            rail.pay_to, rail.network
        );
        return Err(CliError::Input(message));
    }
    Operator::new(envelope, keys.receipt_key()?, now).map_err(CliError::failed)
}
