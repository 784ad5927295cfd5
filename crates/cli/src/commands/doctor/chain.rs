//! The chain: it answers, is the right one and up to date, and the contracts are there.

use std::collections::BTreeSet;
use std::time::Duration;

use assay_chain::{Address, Chain, ChainError, MULTICALL3};
use assay_devchain::CHAIN_ID;
use assay_primitives::Network;
use assay_service::AssetTerms;

use super::Patient;
use super::clock::{MUCH, judge};
use super::report::Report;
use crate::money;
use crate::node::connect;

/// How old the latest block of a chain with real money may be, and at the most.
const OLD: Duration = Duration::from_secs(60);
const STOOD_STILL: Duration = Duration::from_secs(600);

pub(super) async fn node(patient: &mut Patient, report: &mut Report) {
    let config = &patient.config;
    let Some(rpc_url) = &config.chain.rpc_url else {
        patient.network = Some(Network::eip155(CHAIN_ID));
        return report.ok("chain", "a development chain of its own, with play money");
    };
    let configured = config.network().ok().flatten();
    match connect(rpc_url, configured.clone(), &patient.clock, None).await {
        Ok(chain) => {
            let network = chain.network().clone();
            report.ok("chain", format!("{network} at {}", money::public_part(rpc_url)));
            if configured.is_none() && !network.is_development() {
                let mend = format!("chain.network (ASSAY_NETWORK) = \"{network}\"");
                report.warning("network", "any is taken that is behind chain.rpc_url", mend);
            }
            patient.network = Some(network);
            patient.chain = Some(chain);
        }
        Err(error) => {
            let mend = "chain.rpc_url (ASSAY_RPC_URL): a node of chain.network that answers";
            report.wrong("chain", error.to_string(), mend);
            patient.network = configured;
        }
    }
}

pub(super) async fn blocks(patient: &Patient, report: &mut Report) {
    let Some(chain) = &patient.chain else { return };
    let block = match chain.latest_block().await {
        Ok(block) => block,
        Err(error) => return report.wrong("blocks", error.to_string(), "another chain.rpc_url"),
    };
    let now = patient.clock.now();
    let (age, ahead) = (now.since(block.time), block.time.since(now));
    if ahead > MUCH {
        let whose = "the chain's latest block";
        return judge(report, whose, ahead, "behind");
    }
    let found = format!("{} is the latest, {} s old", block.number, age.as_secs());
    let mend = "a node that keeps up, by chain.rpc_url; or mend this machine's clock";
    if !patient.is_real() || age <= OLD {
        report.ok("blocks", found);
    } else if age <= STOOD_STILL {
        report.warning("blocks", found, mend);
    } else {
        report.wrong("blocks", found, mend);
    }
}

pub(super) async fn tokens(patient: &Patient, report: &mut Report) {
    let (Some(chain), Some(prices)) = (&patient.chain, &patient.prices) else { return };
    let mut seen = BTreeSet::new();
    for price in prices.iter() {
        if seen.insert(price.asset.id.to_string()) {
            match token(chain, &price.asset).await {
                Ok(found) => report.ok("token", found),
                Err(found) => {
                    let mend =
                        "the asset in `prices`: what is signed holds its address, name and version";
                    report.wrong("token", found, mend);
                }
            }
        }
    }
}

/// Compares a token with what the prices say of it.
async fn token(chain: &Chain, asset: &AssetTerms) -> Result<String, String> {
    let AssetTerms { id, name, version, .. } = asset;
    let told = |error: ChainError| format!("{id}: {error}");
    let address: Address = id
        .reference()
        .as_str()
        .parse()
        .map_err(|_| format!("{id}: this is no address of an EVM chain"))?;
    if !chain.is_contract(address).await.map_err(told)? {
        return Err(format!("{id}: there is no contract at this address"));
    }
    let got = chain.token_name(address).await.map_err(told)?;
    if got != *name {
        return Err(format!("{id}: name: expected `{name}`, got `{got}`"));
    }
    match chain.token_version(address).await {
        Ok(got) if got != *version => {
            Err(format!("{id}: version: expected `{version}`, got `{got}`"))
        }
        Ok(_) => Ok(format!("{id} is {name}, version {version}")),
        Err(error) if error.is_no_such_function() => {
            Ok(format!("{id} is {name}; it does not tell its version, taken as {version}"))
        }
        Err(error) => Err(told(error)),
    }
}

pub(super) async fn multicall(patient: &Patient, report: &mut Report) {
    let Some(chain) = &patient.chain else { return };
    match chain.is_contract(MULTICALL3).await {
        Ok(true) => report.ok("multicall", format!("Multicall3 is at {MULTICALL3}")),
        Ok(false) => report.ok(
            "multicall",
            format!("no Multicall3 at {MULTICALL3}: every settlement is a transaction of its own"),
        ),
        Err(error) => report.warning("multicall", error.to_string(), "another chain.rpc_url"),
    }
}
