//! How money moves: the chain, who settles on it, and who is paid.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assay_chain::{AccountKey, Address, Chain, ChainConfig, FeeLimits, SettlementSigner};
use assay_devchain::{DEV_TOKEN, DevChain, dev_accounts};
use assay_primitives::{Account, AssetId, Clock, Network};
use assay_service::AssetTerms;
use assay_x402::{Facilitator, HttpConfig, HttpFacilitator, LocalConfig, LocalFacilitator};
use tokio_util::sync::CancellationToken;

use super::shop;
use crate::config::Config;
use crate::error::CliError;

/// The development account that settles, and the one that is paid.
const DEV_SETTLER: u8 = 0;
const DEV_PAID: u8 = 1;

/// How money moves.
pub(crate) struct PaymentRail {
    pub(crate) facilitator: Arc<dyn Facilitator>,
    pub(crate) network: Network,
    pub(crate) pay_to: Account,
    pub(crate) rpc_url: String,
    devchain: Option<(assay_devchain::RunningServer, CancellationToken)>,
}

impl PaymentRail {
    pub(crate) async fn start(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, CliError> {
        let (rpc_url, devchain) = match &config.chain.rpc_url {
            Some(url) => (url.clone(), None),
            None => {
                let folder = config.data.join("devchain");
                let (server, stop) =
                    start_devchain(Some(&folder), config.chain.devchain_listen, clock).await?;
                (server.url.clone(), Some((server, stop)))
            }
        };
        let chain = connect(&rpc_url, config.chain.network.as_deref(), clock).await?;
        let network = chain.network().clone();
        let pay_to = pay_to(config, &network)?;
        let facilitator = facilitator(config, chain, &pay_to).await?;
        Ok(Self { facilitator, network, pay_to, rpc_url, devchain })
    }

    /// Says whether this process runs the chain.
    pub(crate) const fn runs_devchain(&self) -> bool {
        self.devchain.is_some()
    }

    pub(crate) async fn stop(self) {
        drop(self.facilitator);
        if let Some((server, stop)) = self.devchain {
            stop.cancel();
            server.stopped().await;
        }
    }
}

/// Starts a development chain and answers JSON-RPC for it.
pub(crate) async fn start_devchain(
    folder: Option<&Path>,
    listen: std::net::SocketAddr,
    clock: &Arc<dyn Clock>,
) -> Result<(assay_devchain::RunningServer, CancellationToken), CliError> {
    let config = folder.map_or_else(assay_devchain::Config::in_memory, |folder| {
        assay_devchain::Config::persistent(folder)
    });
    let chain = DevChain::open(config, clock.clone()).map_err(CliError::failed)?;
    let stop = CancellationToken::new();
    let server =
        assay_devchain::serve(chain, listen, stop.clone()).await.map_err(CliError::failed)?;
    Ok((server, stop))
}

/// Connects to a chain, which must be the network that is named, if one is.
pub(crate) async fn connect(
    rpc_url: &str,
    network: Option<&str>,
    clock: &Arc<dyn Clock>,
) -> Result<Chain, CliError> {
    let mut config = ChainConfig::new(rpc_url);
    if let Some(network) = network {
        config = config.on(network.parse().map_err(CliError::input)?);
    }
    Chain::connect(config, clock.clone()).await.map_err(CliError::failed)
}

/// Reads a secp256k1 key from a file, or else from an environment variable.
pub(crate) fn account_key(
    file: Option<&Path>,
    variable: &str,
) -> Result<Option<AccountKey>, CliError> {
    let text = match file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| CliError::Io(path.to_path_buf(), error))?,
        None => match std::env::var(variable) {
            Ok(text) => text,
            Err(_) => return Ok(None),
        },
    };
    AccountKey::from_hex(text.trim()).map(Some).map_err(CliError::input)
}

/// Returns the key of a development account.
pub(crate) fn development_key(n: u8) -> Result<AccountKey, CliError> {
    let account = dev_accounts().into_iter().nth(usize::from(n));
    let account = account
        .ok_or_else(|| CliError::Input(format!("there are development accounts 0 to 9, no {n}")))?;
    AccountKey::from_bytes(&account.key.0).map_err(CliError::input)
}

/// What has to be known of the development token to be paid in it.
pub(crate) fn development_asset() -> Result<AssetTerms, CliError> {
    let network = Network::eip155(assay_devchain::CHAIN_ID);
    Ok(AssetTerms {
        id: AssetId::erc20(network, account(DEV_TOKEN)?),
        decimals: 6,
        name: "Assay Development Dollar".to_owned(),
        version: "1".to_owned(),
    })
}

/// Returns an address as an account in its usual spelling.
pub(crate) fn account(address: Address) -> Result<Account, CliError> {
    address.to_string().parse().map_err(CliError::failed)
}

fn pay_to(config: &Config, network: &Network) -> Result<Account, CliError> {
    if let Some(text) = &config.payment.pay_to {
        let address: Address = text
            .parse()
            .map_err(|_| CliError::Input(format!("payment.pay_to: `{text}` is no EVM address")))?;
        return account(address);
    }
    if network.is_development() {
        return account(development_key(DEV_PAID)?.address());
    }
    Err(CliError::Input(format!("payment.pay_to is not set, and {network} moves real money")))
}

async fn facilitator(
    config: &Config,
    chain: Chain,
    pay_to: &Account,
) -> Result<Arc<dyn Facilitator>, CliError> {
    if let Some(url) = &config.payment.facilitator_url {
        let url = url::Url::parse(url).map_err(CliError::input)?;
        let mut remote = HttpConfig::new(url);
        remote.confirmations = config.chain.confirmations;
        let remote = HttpFacilitator::new(remote, Some(chain)).map_err(CliError::failed)?;
        return Ok(Arc::new(remote));
    }
    let file = config.payment.settlement_key_file.as_deref();
    let key = match account_key(file, "ASSAY_SETTLEMENT_KEY")? {
        Some(key) => key,
        None if chain.network().is_development() => development_key(DEV_SETTLER)?,
        None => {
            let message = "payment.settlement_key_file is not set: a real network needs a key that \
                           pays the gas, or payment.facilitator_url";
            return Err(CliError::Input(message.to_owned()));
        }
    };
    let assets = shop::prices(config, chain.network())?
        .iter()
        .filter(|price| price.asset.id.network() == chain.network())
        .filter_map(|price| price.asset.id.reference().as_str().parse().ok())
        .collect();
    let signer =
        SettlementSigner::new(chain, key, FeeLimits::default()).map_err(CliError::failed)?;
    let mut local = LocalConfig::new(assets);
    local.confirmations = config.chain.confirmations;
    local.pay_to = pay_to.as_str().parse().ok().map(|address| vec![address]);
    local.timeout = Duration::from_secs(30);
    Ok(Arc::new(LocalFacilitator::new(signer, local)))
}
