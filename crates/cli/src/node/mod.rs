//! A whole gateway in this process: chain, facilitator, keys, store, catalogue, service, HTTP.

mod calm;
mod chain;
mod enclave;
mod gas;
mod packages;
mod programs;
mod shop;
mod storage;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use assay_gateway::{Gateway, GatewayConfig, RunningServer, ServeError, serve};
use assay_primitives::{Amount, Clock, Network, Randomness};
use assay_service::{Limits, Program, Service, ServiceMetrics, ServiceParts, Settings};
use assay_store::{BlobStore, SqliteStore, StoreError};
use assay_x402::{Facilitator, UptoSupport};
use tokio_util::task::TaskTracker;
use tracing::warn;

pub(crate) use self::chain::{
    ChainEnd, PaymentRail, RunningChain, SETTLEMENT_KEY, account_key, cannot_listen, connect,
    development_key, environment, facilitator_token, pay_to, settlement_key, warn_of_empty_account,
    warn_of_readers,
};
use self::enclave::Enclaves;
pub(crate) use self::enclave::{RunningEnclave, attestation_policy, has_enclaves};
use self::gas::GasWatch;
pub(crate) use self::packages::packages;
pub(crate) use self::programs::{Calibration, Programs};
use self::shop::Shop;
pub(crate) use self::shop::{priced, prover};
pub(crate) use self::storage::{evidence, make_storage_key};
use crate::config::Config;
use crate::error::{CliError, Plain};
use crate::files;

/// How often a free port is chosen again because somebody else took it first.
const PORT_ATTEMPTS: u32 = 8;
/// How long it is waited for what a facilitator settles.
const ANSWER: Duration = Duration::from_secs(5);
/// What chooses the gateway's address.
const LISTEN: &str = "`listen` or ASSAY_LISTEN";

/// A gateway that runs, with everything it stands on.
pub(crate) struct Node {
    service: Arc<Service>,
    server: RunningServer,
    store: Arc<SqliteStore>,
    rail: PaymentRail,
    watch: GasWatch,
    /// Runs as long as the gateway does.
    enclave: Option<RunningEnclave>,
}

impl Node {
    /// Starts everything that the configuration asks for. What can be found wrong without leaving
    /// anything behind is looked at first.
    pub(crate) async fn start(
        config: &Config,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Result<Self, CliError> {
        calm::calm_prover();
        let packages = packages(config.models.as_deref())?;
        let metrics = Arc::new(ServiceMetrics::default());
        let remote = ChainEnd::remote(config, &clock, &metrics).await?;
        let folder = config.data.display();
        files::private_folder(&config.data)
            .map_err(|error| CliError::Input(format!("data folder {folder}: {}", Plain(&error))))?;
        let durability = config.durability().map_err(CliError::Input)?;
        let is_development = remote.as_ref().is_none_or(|end| end.chain.network().is_development());
        let key = storage::storage_key(config, is_development, randomness.as_ref())?;
        let store = SqliteStore::open(&config.data, durability, &key, randomness.clone());
        let store = store.await.map_err(store_error)?;
        let store = Arc::new(store.observed(clock.clone(), metrics.clone()));
        let blobs = storage::evidence(&config.data)?;
        let end = match remote {
            Some(end) => end,
            None => ChainEnd::local(config, &clock, &metrics).await?,
        };
        let is_development = end.chain.network().is_development();
        let enclaves = Enclaves::start(config, is_development).await?;
        let (network, programs) = (end.chain.network(), Programs::of(&config.data));
        let (prices, programs) = priced(config, &packages, network, enclaves.is_some(), &programs)?;
        publish(&programs, &blobs).await?;
        let rail = PaymentRail::start(config, end, &prices, &store).await?;
        let methods = Enclaves::methods(enclaves.as_ref());
        let settings = settings(config, &rail).await?;
        let (shop, enclave) = Shop::open(
            config,
            packages,
            &prices,
            &rail,
            (enclaves, programs),
            &clock,
            &randomness,
        )?;
        let service = Service::new(ServiceParts {
            operator: shop.operator,
            catalogue: shop.catalogue,
            certifiers: shop.certifiers,
            methods,
            store: store.clone(),
            blobs,
            facilitator: rail.facilitator.clone(),
            clock,
            randomness,
            tasks: TaskTracker::new(),
            settings,
        });
        let service = Arc::new(service.with_metrics(metrics).with_limits(limits(config)));
        service.resume().await.map_err(CliError::failed)?;
        let server = listen(config, &service).await?;
        let watch = GasWatch::start(&rail, &service);
        Ok(Self { service, server, store, rail, watch, enclave })
    }

    /// Returns the gateway's URL on this machine.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    pub(crate) const fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Returns the enclave that runs beside it.
    pub(crate) const fn enclave(&self) -> Option<&RunningEnclave> {
        self.enclave.as_ref()
    }

    pub(crate) const fn rail(&self) -> &PaymentRail {
        &self.rail
    }

    /// Waits until the server ends by itself.
    pub(crate) async fn failed(&mut self) -> Result<(), CliError> {
        self.server.failed().await.map_err(CliError::failed)
    }

    /// Finishes what was paid for, and stops.
    pub(crate) async fn stop(self) -> Result<(), CliError> {
        let stopped = self.server.stop().await.map_err(CliError::failed);
        self.watch.stop().await;
        drop(self.service);
        self.store.close().await;
        self.rail.stop().await;
        if let Some(enclave) = self.enclave {
            enclave.stop().await;
        }
        stopped
    }
}

async fn settings(config: &Config, rail: &PaymentRail) -> Result<Settings, CliError> {
    Ok(Settings {
        pay_to: rail.pay_to.clone(),
        max_timeout_seconds: config.payment.max_timeout_seconds,
        reorg_depth: config.chain.reorg_depth,
        release: config.release().map_err(CliError::Input)?,
        retention: config.retention().map_err(CliError::Input)?,
        upto: upto(rail.facilitator.as_ref(), rail.network()).await,
    })
}

/// Asks how payments of the scheme `upto` are settled. What nobody can say now is not offered: the gateway sells by
/// `exact` alone until it is started again.
async fn upto(facilitator: &dyn Facilitator, network: &Network) -> Option<UptoSupport> {
    match tokio::time::timeout(ANSWER, facilitator.supported()).await {
        Ok(Ok(supported)) => supported.upto(network),
        Ok(Err(error)) => {
            warn!(%error, "Nobody can say whether `upto` is settled: it is not offered.");
            None
        }
        Err(_) => {
            warn!("Nobody says in time whether `upto` is settled: it is not offered.");
            None
        }
    }
}

fn limits(config: &Config) -> Limits {
    let mut limits = Limits::default();
    limits.exposure =
        Some(Amount(config.payment.exposure.into())).filter(|sum| *sum > Amount::ZERO);
    limits
}

async fn listen(config: &Config, service: &Arc<Service>) -> Result<RunningServer, CliError> {
    let body_timeout = config.body_timeout().map_err(CliError::Input)?;
    let any = config.listen.port() == 0;
    let mut attempt = 1;
    loop {
        let clients = config.clients().map_err(CliError::Input)?;
        let address = free_port(config.listen).await?;
        let public_url = config.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let gateway =
            GatewayConfig { public_url, body_limit: config.http.body_limit, body_timeout, clients };
        match serve(Gateway::new(service.clone(), gateway), address).await {
            Ok(server) => return Ok(server),
            Err(ServeError::Bind { .. }) if any && attempt < PORT_ATTEMPTS => attempt += 1,
            Err(ServeError::Bind { address, error }) => {
                return Err(cannot_listen(address, &error, LISTEN));
            }
            Err(error) => return Err(CliError::failed(error)),
        }
    }
}

/// Chooses a port, where any was asked for, so that the URL in a 402 can name it.
async fn free_port(address: SocketAddr) -> Result<SocketAddr, CliError> {
    if address.port() != 0 {
        return Ok(address);
    }
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|error| cannot_listen(address, &error, LISTEN))?;
    listener.local_addr().map_err(CliError::failed)
}

fn store_error(error: StoreError) -> CliError {
    match error {
        StoreError::InUse(path) => {
            let folder = path.parent().unwrap_or(&path).display().to_string();
            CliError::Failed(format!(
                "another gateway uses the data folder {folder}: `data` or ASSAY_DATA names another"
            ))
        }
        StoreError::WrongKey { path, expected, got } => CliError::Input(format!(
            "{}: its contents were sealed with another storage key: expected the one with check \
             value {expected}…, got {got}…; keys.storage_key_file or ASSAY_STORAGE_KEY gives the \
             key",
            path.display()
        )),
        StoreError::Folder { path, error } => {
            CliError::Failed(format!("data folder {}: {}", path.display(), Plain(&error)))
        }
        error => CliError::failed(error),
    }
}

/// Stores the verifying files for everybody, and for good: receipts of a model that is sold no longer
/// verify as before.
pub(crate) async fn publish(programs: &[Program], blobs: &BlobStore) -> Result<(), CliError> {
    for program in programs {
        let stored = blobs.put(program.verifying().clone()).await;
        stored.map_err(CliError::failed)?;
    }
    Ok(())
}
