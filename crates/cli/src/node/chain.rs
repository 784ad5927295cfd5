//! How money moves: the chain, who settles on it, and who is paid.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assay_chain::{
    AccountKey, Address, Chain, ChainConfig, ChainError, FeeLimits, RpcObserver, SettlementSigner,
};
use assay_devchain::{DevChain, dev_accounts};
use assay_primitives::{Account, Clock, Network};
use assay_service::{PriceList, ServiceMetrics, StoredJournal};
use assay_store::SqliteStore;
use assay_x402::{Facilitator, HttpConfig, HttpFacilitator, LocalConfig, LocalFacilitator};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::storage;
use crate::config::Config;
use crate::error::{CliError, Plain, without_number};
use crate::{files, money, output};

/// The development account that settles, and the one that is paid.
const DEV_SETTLER: u8 = 0;
const DEV_PAID: u8 = 1;
/// The most bytes a file with a key may have.
const MAX_KEY_FILE: u64 = 4_096;
/// Where the key that settles may stand in place of a file.
pub(crate) const SETTLEMENT_KEY: &str = "ASSAY_SETTLEMENT_KEY";
/// Where the token of a remote facilitator may stand in place of a file.
const FACILITATOR_TOKEN: &str = "ASSAY_FACILITATOR_TOKEN";

/// A development chain that answers JSON-RPC.
pub(crate) struct RunningChain {
    pub(crate) server: assay_devchain::RunningServer,
    stop: CancellationToken,
}

/// A chain, and whether this process runs it.
pub(crate) struct ChainEnd {
    pub(crate) chain: Chain,
    pub(crate) rpc_url: String,
    running: Option<RunningChain>,
}

/// How money moves.
pub(crate) struct PaymentRail {
    pub(crate) facilitator: Arc<dyn Facilitator>,
    /// The account that pays the gas, where a key of one's own settles.
    pub(crate) settler: Option<Address>,
    pub(crate) pay_to: Account,
    pub(crate) end: ChainEnd,
}

impl ChainEnd {
    /// Connects to the chain of the configuration, if it names one.
    pub(crate) async fn remote(
        config: &Config,
        clock: &Arc<dyn Clock>,
        observer: &Arc<ServiceMetrics>,
    ) -> Result<Option<Self>, CliError> {
        let Some(rpc_url) = &config.chain.rpc_url else { return Ok(None) };
        let network = config.network().map_err(CliError::Input)?;
        let chain = connect(rpc_url, network, clock, Some(observer.clone())).await?;
        check_settings(config, chain.network())?;
        Ok(Some(Self { chain, rpc_url: rpc_url.clone(), running: None }))
    }

    /// Starts a development chain in the data folder, and connects to it.
    pub(crate) async fn local(
        config: &Config,
        clock: &Arc<dyn Clock>,
        observer: &Arc<ServiceMetrics>,
    ) -> Result<Self, CliError> {
        let folder = config.data.join("devchain");
        let setting = "chain.devchain_listen or ASSAY_DEVCHAIN_LISTEN";
        let listen = config.chain.devchain_listen;
        let running = RunningChain::start(Some(&folder), listen, setting, clock).await?;
        let rpc_url = running.server.url.clone();
        let network = config.network().map_err(CliError::Input)?;
        let chain = connect(&rpc_url, network, clock, Some(observer.clone())).await?;
        Ok(Self { chain, rpc_url, running: Some(running) })
    }
}

impl RunningChain {
    /// Starts a development chain and answers JSON-RPC for it, at an address that `setting` chose.
    pub(crate) async fn start(
        folder: Option<&Path>,
        listen: SocketAddr,
        setting: &str,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, CliError> {
        let config = folder.map_or_else(assay_devchain::Config::in_memory, |folder| {
            assay_devchain::Config::persistent(folder)
        });
        let chain = DevChain::open(config, clock.clone()).map_err(CliError::failed)?;
        let stop = CancellationToken::new();
        let server = assay_devchain::serve(chain, listen, stop.clone()).await;
        let server = server.map_err(|error| match error {
            assay_devchain::ServeError::Bind { address, source } => {
                cannot_listen(address, &source, setting)
            }
            error => CliError::input(error),
        })?;
        Ok(Self { server, stop })
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.server.stopped().await;
    }
}

impl PaymentRail {
    pub(crate) async fn start(
        config: &Config,
        end: ChainEnd,
        prices: &PriceList,
        store: &Arc<SqliteStore>,
    ) -> Result<Self, CliError> {
        let pay_to = pay_to(config, end.chain.network())?;
        let (facilitator, settler) =
            facilitator(config, end.chain.clone(), prices, &pay_to, store).await?;
        Ok(Self { facilitator, settler, pay_to, end })
    }

    pub(crate) fn network(&self) -> &Network {
        self.end.chain.network()
    }

    /// Says whether this process runs the chain.
    pub(crate) const fn runs_devchain(&self) -> bool {
        self.end.running.is_some()
    }

    pub(crate) async fn stop(self) {
        drop(self.facilitator);
        if let Some(running) = self.end.running {
            running.stop().await;
        }
    }
}

/// Connects to a chain, which must be the network that is named, if one is.
pub(crate) async fn connect(
    rpc_url: &str,
    network: Option<Network>,
    clock: &Arc<dyn Clock>,
    observer: Option<Arc<ServiceMetrics>>,
) -> Result<Chain, CliError> {
    let mut config = ChainConfig::new(rpc_url);
    config.observer = observer.map(|observer| observer as Arc<dyn RpcObserver>);
    if let Some(network) = network {
        config = config.on(network);
    }
    let shown = money::public_part(rpc_url);
    let waiting = format!("Connecting to the chain at {shown}");
    output::patiently(&waiting, Chain::connect(config, clock.clone())).await.map_err(|error| {
        match error {
            // What lies before the last colon names layers of this program.
            ChainError::NotConnected { detail, .. } => {
                let cause = without_number(detail.rsplit(": ").next().unwrap_or_default());
                CliError::Failed(format!("chain at {shown}: cannot be reached: {cause}"))
            }
            ChainError::Url(_) | ChainError::WrongNetwork { .. } => CliError::input(error),
            error => CliError::Failed(format!("chain at {shown}: {error}")),
        }
    })
}

/// Tells that an address cannot be listened on, and which setting chose it.
pub(crate) fn cannot_listen(
    address: SocketAddr,
    error: &std::io::Error,
    setting: &str,
) -> CliError {
    let error = Plain(error);
    CliError::Failed(format!(
        "cannot listen on {address}: {error}; {setting} chooses the address, port 0 a free port"
    ))
}

/// Reads a secp256k1 key from a file, or else from an environment variable.
pub(crate) fn account_key(
    file: Option<&Path>,
    variable: &str,
) -> Result<Option<AccountKey>, CliError> {
    let (place, text) = match file {
        Some(path) => {
            warn_of_readers(path);
            (path.display().to_string(), files::read_text(path, MAX_KEY_FILE)?)
        }
        None => match environment(variable)? {
            Some(text) => (variable.to_owned(), text),
            None => return Ok(None),
        },
    };
    let key = AccountKey::from_hex(text.trim());
    key.map(Some).map_err(|error| CliError::Input(format!("{place}: {error}")))
}

/// Returns the key of a development account.
pub(crate) fn development_key(n: u8) -> Result<AccountKey, CliError> {
    let account = dev_accounts().into_iter().nth(usize::from(n));
    let account = account
        .ok_or_else(|| CliError::Input(format!("there are development accounts 0 to 9, no {n}")))?;
    AccountKey::from_bytes(&account.key.0).map_err(CliError::input)
}

/// On a network with real money nothing has a default. Names everything that is missing at once.
fn check_settings(config: &Config, network: &Network) -> Result<(), CliError> {
    if network.is_development() {
        return Ok(());
    }
    let payment = &config.payment;
    let has_key = payment.settlement_key_file.is_some()
        || std::env::var_os(SETTLEMENT_KEY).is_some_and(|key| !key.is_empty());
    let mut missing = Vec::new();
    let mut need = |given: bool, text: String| {
        if !given {
            missing.push(format!("\n  {text}"));
        }
    };
    need(
        payment.pay_to.is_some(),
        "payment.pay_to (ASSAY_PAY_TO): the account that is paid.".to_owned(),
    );
    need(
        config.keys.folder.is_some(),
        format!(
            "keys.folder (ASSAY_KEYS): the operator's keys, made by `assay key new --settlement \
             {network}:0x…`."
        ),
    );
    need(
        config.prices.is_some(),
        "prices (ASSAY_PRICES): the file that says what each model costs.".to_owned(),
    );
    need(
        has_key || payment.facilitator_url.is_some(),
        format!(
            "payment.settlement_key_file (ASSAY_SETTLEMENT_KEY_FILE, or the key in \
             {SETTLEMENT_KEY}): the key that pays the gas; or payment.facilitator_url."
        ),
    );
    need(storage::has_storage_key(config), storage::missing());
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.concat();
    Err(CliError::Input(format!("{network} moves real money, so this has to be set:{missing}")))
}

/// A secret that others can read is none.
pub(crate) fn warn_of_readers(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
        if mode & 0o077 != 0 {
            let path = path.display();
            output::note(format_args!("Others can read {path}, which holds a secret: chmod 600."));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Returns who is paid.
pub(crate) fn pay_to(config: &Config, network: &Network) -> Result<Account, CliError> {
    let address = match &config.payment.pay_to {
        Some(text) => money::address(text)
            .map_err(|error| CliError::Input(format!("payment.pay_to: {error}")))?,
        None => development_key(DEV_PAID)?.address(),
    };
    money::refuse_development("payment.pay_to", address, network)?;
    money::account(address)
}

async fn facilitator(
    config: &Config,
    chain: Chain,
    prices: &PriceList,
    pay_to: &Account,
    store: &Arc<SqliteStore>,
) -> Result<(Arc<dyn Facilitator>, Option<Address>), CliError> {
    if let Some(url) = &config.payment.facilitator_url {
        let url = url::Url::parse(url).map_err(CliError::input)?;
        let mut remote = HttpConfig::new(url);
        remote.confirmations = config.chain.confirmations;
        remote.bearer = facilitator_token(config)?;
        let remote = HttpFacilitator::new(remote, Some(chain)).map_err(CliError::failed)?;
        return Ok((Arc::new(remote), None));
    }
    let key = match settlement_key(config)? {
        Some(key) => key,
        None => development_key(DEV_SETTLER)?,
    };
    let assets = prices
        .iter()
        .filter(|price| price.asset.id.network() == chain.network())
        .filter_map(|price| price.asset.id.reference().as_str().parse().ok())
        .collect();
    let signer =
        SettlementSigner::new(chain, key, FeeLimits::default()).map_err(CliError::input)?;
    warn_of_empty_account(&signer).await;
    let mut local = LocalConfig::new(assets);
    local.confirmations = config.chain.confirmations;
    local.pay_to = pay_to.as_str().parse().ok().map(|address| vec![address]);
    local.timeout = Duration::from_secs(30);
    let settler = Some(signer.address());
    let journal = StoredJournal::new(store.clone(), signer.chain().network().clone());
    Ok((Arc::new(LocalFacilitator::new(signer, Arc::new(journal), local)), settler))
}

/// Returns the key that settles, if one is configured.
pub(crate) fn settlement_key(config: &Config) -> Result<Option<AccountKey>, CliError> {
    account_key(config.payment.settlement_key_file.as_deref(), SETTLEMENT_KEY)
}

/// Returns the token that a remote facilitator wants, if it wants one.
pub(crate) fn facilitator_token(config: &Config) -> Result<Option<String>, CliError> {
    match &config.payment.facilitator_token_file {
        Some(path) => {
            warn_of_readers(path);
            files::read_token(path).map(Some)
        }
        None => environment(FACILITATOR_TOKEN),
    }
}

/// Returns a secret that stands in an environment variable.
pub(crate) fn environment(variable: &str) -> Result<Option<String>, CliError> {
    match std::env::var(variable) {
        Ok(text) if !text.trim().is_empty() => Ok(Some(text.trim().to_owned())),
        Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
        Err(_) => Err(CliError::Input(format!("{variable}: this is no text"))),
    }
}

/// Without gas no settlement is sent, and the first buyer would be the one to find out.
pub(crate) async fn warn_of_empty_account(signer: &SettlementSigner) {
    let address = signer.address();
    let balance = signer.chain().gas_balance(address).await;
    if balance.is_ok_and(|balance| balance.is_zero()) {
        warn!(%address, "The account that settles has nothing to pay gas with.");
    }
}
