//! What is sold: the models load, and the prices fit them.

use std::sync::Arc;

use assay_devchain::CHAIN_ID;
use assay_engine::Tract;
use assay_primitives::{Network, SystemRandomness};
use assay_service::{Catalogue, Certifiers, PriceList, Tee};

use super::Patient;
use super::report::Report;
use crate::commands::system_clock;
use crate::node::{Programs, has_enclaves, packages, priced, prover};

pub(super) fn models_and_prices(patient: &mut Patient, report: &mut Report) {
    let mend =
        "`models` (ASSAY_MODELS): a folder of model packages that `assay models --folder` lists";
    let packages = match packages(patient.config.models.as_deref()) {
        Ok(packages) => packages,
        Err(error) => return report.wrong("models", error.to_string(), mend),
    };
    let certifiers = Certifiers::standard(1);
    let nothing = PriceList::default();
    if let Err(error) = Catalogue::new(packages.clone(), &nothing, &Tract, &certifiers) {
        return report.wrong("models", error.to_string(), mend);
    }
    let names: Vec<&str> = packages.iter().map(|package| package.card().name.as_str()).collect();
    report.ok("models", format!("{} load", names.join(", ")));

    let config = &patient.config;
    let is_own = config.chain.rpc_url.is_none();
    let network = patient.network.clone();
    let Some(network) = network.or_else(|| is_own.then(|| Network::eip155(CHAIN_ID))) else {
        let mend = "mend the chain, or name it by chain.network (ASSAY_NETWORK), and look again";
        return report.warning("prices", "not looked at: the network is not known", mend);
    };
    let mend = "`prices` (ASSAY_PRICES): a file with a price for what is to be sold";
    if config.prices.is_none() && !network.is_development() {
        return report.wrong("prices", format!("none are set for {network}"), mend);
    }
    let has_enclaves = has_enclaves(config, network.is_development()).unwrap_or_default();
    let programs = Programs::seen_in(&config.data);
    let (prices, programs) = match priced(config, &packages, &network, has_enclaves, &programs) {
        Ok(priced) => priced,
        Err(error) => return report.wrong("prices", error.to_string(), mend),
    };
    let certifiers = match has_enclaves {
        true => certifiers.with(Tee::new(Vec::new(), 1, system_clock())),
        false => certifiers,
    };
    let certifiers = certifiers.with(prover(config, programs, Arc::new(SystemRandomness)));
    if let Err(error) = Catalogue::new(packages, &prices, &Tract, &certifiers) {
        return report.wrong("prices", error.to_string(), mend);
    }
    match prices.iter().count() {
        0 => report.wrong("prices", "nothing is for sale", mend),
        1 => report.ok("prices", "one offer"),
        count => report.ok("prices", format!("{count} offers")),
    }
    patient.prices = Some(prices);
}
