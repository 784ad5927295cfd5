//! Who is paid, and who settles.

use std::time::Duration;

use assay_chain::{AccountKey, Chain, FeeLimits, SettlementSigner, SignerError};
use assay_primitives::{Account, Network};
use assay_receipt::KeyManifest;
use assay_service::Release;
use assay_x402::{EXACT, Facilitator as _, HttpConfig, HttpFacilitator, X402_VERSION};

use super::Patient;
use super::report::Report;
use crate::error::{CliError, without_number};
use crate::node::{facilitator_token, pay_to as configured_pay_to, settlement_key};

/// For fewer settlements than these the gas is soon spent.
const FEW_SETTLEMENTS: u64 = 1_000;
/// How long a facilitator may take to say what it supports.
const ANSWER: Duration = Duration::from_secs(10);

pub(super) fn pay_to(patient: &Patient, report: &mut Report) {
    let mend = "payment.pay_to (ASSAY_PAY_TO): an account of the key manifest; `assay key show` lists \
                them as `paid to`";
    let Some(network) = &patient.network else { return };
    if patient.config.payment.pay_to.is_none() && patient.is_real() {
        return report.wrong("paid to", "nobody, and the money is real", mend);
    }
    let account = match configured_pay_to(&patient.config, network) {
        Ok(account) => account,
        Err(error) => return report.wrong("paid to", error.to_string(), mend),
    };
    match &patient.manifest {
        Some(manifest) if !lists(manifest, network, &account) => report.wrong(
            "paid to",
            format!(
                "{account} on {network} is not in the key manifest: every receipt would be refused"
            ),
            mend,
        ),
        _ => report.ok("paid to", format!("{account} on {network}")),
    }
}

/// What is released before it is paid is a credit, which should have a limit.
pub(super) fn release(patient: &Patient, report: &mut Report) {
    if patient.config.release() != Ok(Release::Verification) {
        return;
    }
    match patient.config.payment.exposure {
        0 => report.warning(
            "release",
            "at verification, and a payer may owe any sum",
            "payment.exposure (ASSAY_EXPOSURE): the most that a payer may owe",
        ),
        sum => report.ok("release", format!("at verification; a payer may owe {sum}")),
    }
}

fn lists(manifest: &KeyManifest, network: &Network, account: &Account) -> bool {
    let addresses = &manifest.content().settlement_addresses;
    addresses.iter().any(|a| a.network == *network && a.account.is_same(account))
}

pub(super) async fn settlement(patient: &Patient, report: &mut Report) {
    match &patient.config.payment.facilitator_url {
        Some(url) => facilitator(patient, url, report).await,
        None => account(patient, report).await,
    }
}

async fn facilitator(patient: &Patient, url: &str, report: &mut Report) {
    let shown = crate::money::public_part(url);
    let mend = "payment.facilitator_url (ASSAY_FACILITATOR_URL): a facilitator of the network";
    let kinds = match supported(patient, url).await {
        Ok(kinds) => kinds,
        Err(error) => {
            let error = error.to_string();
            return report.wrong(
                "facilitator",
                format!("{shown}: {}", without_number(&error)),
                mend,
            );
        }
    };
    let Some(network) = &patient.network else {
        return report.ok("facilitator", format!("{shown} answers"));
    };
    let settles = kinds.kinds.iter().any(|kind| {
        kind.x402_version == X402_VERSION
            && kind.scheme == EXACT
            && kind.network == network.as_str()
    });
    if settles {
        report.ok("facilitator", format!("{shown} settles {EXACT} on {network}"));
    } else {
        let kinds: Vec<String> =
            kinds.kinds.iter().map(|kind| format!("{} on {}", kind.scheme, kind.network)).collect();
        let found = format!(
            "{shown}: expected {EXACT} on {network}, got {}",
            if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") }
        );
        report.wrong("facilitator", found, mend);
    }
}

async fn supported(
    patient: &Patient,
    url: &str,
) -> Result<assay_x402::SupportedResponse, CliError> {
    let mut remote = HttpConfig::new(url::Url::parse(url).map_err(CliError::input)?);
    remote.timeout = ANSWER;
    remote.bearer = facilitator_token(&patient.config)?;
    let facilitator = HttpFacilitator::new(remote, None).map_err(CliError::failed)?;
    let asked = tokio::time::timeout(ANSWER, facilitator.supported()).await;
    asked.map_err(|_| CliError::failed("no answer in time"))?.map_err(CliError::failed)
}

async fn account(patient: &Patient, report: &mut Report) {
    let mend = "payment.settlement_key_file (ASSAY_SETTLEMENT_KEY_FILE, or the key in \
                ASSAY_SETTLEMENT_KEY): the key that pays the gas; or payment.facilitator_url";
    let key = match settlement_key(&patient.config) {
        Ok(Some(key)) => key,
        Ok(None) if patient.is_real() => {
            return report.wrong("settlement", "nobody settles, and the money is real", mend);
        }
        Ok(None) => return report.ok("settlement", "by a development account"),
        Err(error) => return report.wrong("settlement", error.to_string(), mend),
    };
    let address = key.address();
    if patient.is_real() && assay_chain::is_development_address(address) {
        let found = format!("the key of {address} is a public development key");
        return report.wrong("settlement", found, mend);
    }
    let Some(chain) = &patient.chain else {
        return report.ok("settlement", format!("by {address}"));
    };
    match settlements(chain, key).await {
        Err(error @ SignerError::FeeCap { .. }) => {
            report.warning("settlement", format!("by {address}: {error}"), "cheaper gas");
        }
        Err(error) => {
            report.wrong("settlement", format!("by {address}: {error}"), "another chain.rpc_url");
        }
        Ok(0) => report.wrong(
            "settlement",
            format!("{address} has no gas for a settlement"),
            format!("send it coins of {}", chain.network()),
        ),
        Ok(count) if count < FEW_SETTLEMENTS => report.warning(
            "settlement",
            format!("{address} has gas for {count} settlements"),
            format!("send it coins of {}", chain.network()),
        ),
        Ok(count) => report.ok("settlement", format!("{address} has gas for {count} settlements")),
    }
}

/// Says how many settlements a key's account can pay for.
async fn settlements(chain: &Chain, key: AccountKey) -> Result<u64, SignerError> {
    SettlementSigner::new(chain.clone(), key, FeeLimits::default())?.affordable().await
}
