//! Who sells what at which price.

use std::sync::Arc;
use std::thread::available_parallelism;

use assay_engine::{ModelPackage, Tract};
use assay_primitives::{Clock, Method, Network, Randomness, Timestamp};
use assay_receipt::SettlementAddress;
use assay_service::{Catalogue, Certifiers, Operator, PriceList, Program, Zkml};
use tracing::warn;

use super::chain::PaymentRail;
use super::enclave::{Enclaves, RunningEnclave};
use super::programs::{Programs, Wanted};
use crate::config::Config;
use crate::error::CliError;
use crate::keys::{KeyFolder, NewOperator};
use crate::{files, money};

/// What a model costs on a development chain when no prices are given.
const DEV_PRICE: &str = "0.001";
/// And when an enclave runs it.
const DEV_TEE_PRICE: &str = "0.002";
/// And when it is proven.
const DEV_ZKML_PRICE: &str = "0.005";
/// How many proofs are made at a time: each takes every processor.
const PROVERS: usize = 1;
/// The most bytes the price list may have.
const MAX_PRICES: u64 = 4 << 20;

/// Who sells what at which price.
pub(crate) struct Shop {
    pub(crate) operator: Operator,
    pub(crate) catalogue: Catalogue,
    pub(crate) certifiers: Certifiers,
}

impl Shop {
    pub(crate) fn open(
        config: &Config,
        packages: Vec<ModelPackage>,
        prices: &PriceList,
        rail: &PaymentRail,
        (enclaves, programs): (Option<Enclaves>, Vec<Program>),
        clock: &Arc<dyn Clock>,
        randomness: &Arc<dyn Randomness>,
    ) -> Result<(Self, Option<RunningEnclave>), CliError> {
        let parallel = match config.parallel {
            0 => available_parallelism().map_or(1, std::num::NonZero::get),
            parallel => parallel,
        };
        let mut certifiers = Certifiers::standard(parallel);
        let mut enclave = None;
        if let Some(enclaves) = enclaves {
            let (tee, running) = enclaves.into_certifier(parallel, clock.clone());
            (certifiers, enclave) = (certifiers.with(tee), running);
        }
        if !programs.is_empty() {
            certifiers = certifiers.with(prover(config, programs, randomness.clone()));
        }
        let catalogue =
            Catalogue::new(packages, prices, &Tract, &certifiers).map_err(CliError::input)?;
        let operator = operator(config, rail, clock.now(), randomness.as_ref())?;
        Ok((Self { operator, catalogue, certifiers }, enclave))
    }
}

/// Makes the certifier of programs.
pub(crate) fn prover(
    config: &Config,
    programs: Vec<Program>,
    randomness: Arc<dyn Randomness>,
) -> Zkml {
    Zkml::new(programs, PROVERS, config.zkml.memory(), randomness)
}

/// Returns the prices, and the programs of what they sell by `zkml`; on a development chain without a
/// file of prices every model costs the same.
pub(crate) fn priced(
    config: &Config,
    packages: &[ModelPackage],
    network: &Network,
    has_enclave: bool,
    programs: &Programs,
) -> Result<(PriceList, Vec<Program>), CliError> {
    if let Some(prices) = given_prices(config, network)? {
        let proven: Vec<String> = prices
            .iter()
            .filter(|price| price.method == Method::ZKML)
            .map(|price| price.model.clone())
            .collect();
        let programs = programs.open(packages, Wanted::Of(&proven))?;
        return Ok((prices, programs));
    }
    let mut programs = programs.open(packages, Wanted::WhereItCan)?;
    programs.retain(|program| match program.check_memory(PROVERS, config.zkml.memory()) {
        Ok(()) => true,
        Err(reason) => {
            warn!(package = %program.package(), %reason, "The model is not sold with proofs.");
            false
        }
    });
    Ok((development_prices(packages, has_enclave, &programs)?, programs))
}

fn given_prices(config: &Config, network: &Network) -> Result<Option<PriceList>, CliError> {
    let Some(path) = &config.prices else { return Ok(None) };
    let prices = PriceList::from_toml(&files::read_text(path, MAX_PRICES)?)
        .map_err(|error| CliError::Input(format!("{}: {error}", path.display())))?;
    if let Some(price) = prices.iter().find(|price| price.asset.id.network() != network) {
        let message = format!(
            "{}: model `{}` is priced on {}, but the chain is {network}",
            path.display(),
            price.model,
            price.asset.id.network(),
        );
        return Err(CliError::Input(message));
    }
    Ok(Some(prices))
}

fn development_prices(
    packages: &[ModelPackage],
    has_enclave: bool,
    programs: &[Program],
) -> Result<PriceList, CliError> {
    let mut prices = PriceList::default();
    for package in packages {
        let is_proven = programs.iter().any(|program| program.package() == package.id());
        let methods = [(Method::SIGNED, DEV_PRICE)].into_iter();
        let methods = methods.chain(has_enclave.then_some((Method::TEE, DEV_TEE_PRICE)));
        let methods = methods.chain(is_proven.then_some((Method::ZKML, DEV_ZKML_PRICE)));
        for (method, price) in methods {
            let (name, asset) = (package.card().name.clone(), money::development_asset()?);
            prices.add(name, method, price, asset).map_err(CliError::failed)?;
        }
    }
    Ok(prices)
}

fn operator(
    config: &Config,
    rail: &PaymentRail,
    now: Timestamp,
    randomness: &dyn Randomness,
) -> Result<Operator, CliError> {
    let (network, account) = (rail.network().clone(), rail.pay_to.clone());
    let keys = match &config.keys.folder {
        Some(folder) => KeyFolder::new(folder),
        None => KeyFolder::new(&config.data.join("keys")),
    };
    if config.keys.folder.is_none() && !keys.exists() {
        let settlement = vec![SettlementAddress { network, account }];
        let operator = NewOperator { settlement, gateways: Vec::new() };
        keys.create(operator, now, randomness)?;
    }
    let (envelope, manifest) = keys.manifest()?;
    let listed =
        manifest.content().settlement_addresses.iter().any(|address| {
            address.network == *rail.network() && address.account.is_same(&rail.pay_to)
        });
    if !listed {
        let message = format!(
            "{} is to be paid on {}, and the key manifest does not list it: every receipt would be \
             refused",
            rail.pay_to,
            rail.network()
        );
        return Err(CliError::Input(message));
    }
    let key = keys.receipt_key(&manifest, now)?;
    Operator::new(envelope, key, now).map_err(CliError::input)
}
