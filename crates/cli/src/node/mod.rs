//! A whole gateway in this process: chain, facilitator, keys, store, catalogue, service, HTTP.

mod chain;
mod shop;

use std::net::SocketAddr;
use std::sync::Arc;

use assay_gateway::{Gateway, GatewayConfig, RunningServer, serve};
use assay_primitives::{Clock, Randomness, parse_duration};
use assay_service::{Service, ServiceParts, Settings};
use assay_store::{BlobStore, Durability, SqliteStore};
use tokio_util::task::TaskTracker;

use self::chain::PaymentRail;
pub(crate) use self::chain::{
    account_key, connect, development_asset, development_key, start_devchain,
};
use self::shop::Shop;
pub(crate) use self::shop::packages;
use crate::config::Config;
use crate::error::CliError;

/// A gateway that runs, with everything it stands on.
pub(crate) struct Node {
    service: Arc<Service>,
    server: RunningServer,
    store: Arc<SqliteStore>,
    rail: PaymentRail,
}

impl Node {
    /// Starts everything that the configuration asks for.
    pub(crate) async fn start(
        config: &Config,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Result<Self, CliError> {
        let durability = match config.durability.as_str() {
            "full" => Durability::Full,
            "normal" => Durability::Normal,
            other => {
                let message =
                    format!("durability: expected \"full\" or \"normal\", got \"{other}\"");
                return Err(CliError::Input(message));
            }
        };
        let body_timeout = parse_duration(&config.http.body_timeout).map_err(CliError::input)?;
        let store = SqliteStore::open(&config.data, durability).await.map_err(CliError::failed)?;
        let store = Arc::new(store);
        let blobs =
            BlobStore::in_folder(&config.data.join("evidence")).map_err(CliError::failed)?;
        let rail = PaymentRail::start(config, &clock).await?;
        let shop = Shop::open(config, &rail, clock.now(), randomness.as_ref())?;
        let service = Arc::new(Service::new(ServiceParts {
            operator: shop.operator,
            catalogue: shop.catalogue,
            certifiers: shop.certifiers,
            store: store.clone(),
            blobs,
            facilitator: rail.facilitator.clone(),
            clock,
            randomness,
            tasks: TaskTracker::new(),
            settings: Settings {
                pay_to: rail.pay_to.clone(),
                max_timeout_seconds: config.payment.max_timeout_seconds,
            },
        }));
        service.resume().await.map_err(CliError::failed)?;
        let gateway = |public_url| {
            let config =
                GatewayConfig { public_url, body_limit: config.http.body_limit, body_timeout };
            Gateway::new(service.clone(), config)
        };
        let server = match &config.public_url {
            Some(url) => serve(gateway(url.clone()), config.listen).await,
            None => {
                let address = free_port(config.listen).await?;
                serve(gateway(format!("http://{address}")), address).await
            }
        };
        let server = server.map_err(CliError::failed)?;
        Ok(Self { service, server, store, rail })
    }

    /// Returns the gateway's URL on this machine.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    pub(crate) const fn service(&self) -> &Arc<Service> {
        &self.service
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
        drop(self.service);
        self.store.close().await;
        self.rail.stop().await;
        stopped
    }
}

/// Chooses a port, where any was asked for, so that the URL in a 402 can name it.
async fn free_port(address: SocketAddr) -> Result<SocketAddr, CliError> {
    if address.port() != 0 {
        return Ok(address);
    }
    let listener = tokio::net::TcpListener::bind(address).await.map_err(CliError::failed)?;
    listener.local_addr().map_err(CliError::failed)
}
