use std::net::SocketAddr;
use std::time::Duration;

use tracing::warn;

use crate::http::{HttpLimits, listen};
use crate::{Gateway, HttpServer, ServeError, router};

/// How often contents whose time is over are looked for.
const ERASE: Duration = Duration::from_secs(60);
/// How often open settlements are carried on while they come to their ends, and at least.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// How often it is looked whether the blocks of the latest settlements are still in the chain.
const REORG_PAUSE: Duration = Duration::from_secs(6);

/// A gateway that listens.
#[derive(Debug)]
pub struct RunningServer {
    gateway: Gateway,
    http: HttpServer,
}

/// Listens on an address (port 0 for any) until told to stop.
///
/// # Errors
/// When the address cannot be had.
pub async fn serve(gateway: Gateway, address: SocketAddr) -> Result<RunningServer, ServeError> {
    let config = &gateway.config;
    let limits = HttpLimits { body_timeout: config.body_timeout, clients: config.clients.clone() };
    let metrics = gateway.metrics.connections().clone();
    let http = listen(router(gateway.clone()), address, limits, metrics).await?;
    http.until_stopped(work(gateway.clone()));
    http.until_stopped(settle(gateway.clone()));
    http.until_stopped(watch(gateway.clone()));
    http.until_stopped(erase(gateway.clone()));
    Ok(RunningServer { gateway, http })
}

impl RunningServer {
    /// Returns the address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.http.address()
    }

    /// Waits until the server ends by itself, which it does only by a defect.
    ///
    /// # Errors
    /// [`ServeError::BrokeOff`].
    pub async fn failed(&mut self) -> Result<(), ServeError> {
        self.http.failed().await
    }

    /// Stops: takes no more requests, finishes the ones that were paid for, and ends. A client that
    /// does not send its request to the end, or does not read its answer, is waited for no longer
    /// than a body may take.
    ///
    /// # Errors
    /// When the server had ended by itself.
    pub async fn stop(self) -> Result<(), ServeError> {
        self.gateway.service.stop_work();
        let purchases = &self.gateway.service.parts().tasks;
        let stopped = self.http.stop(purchases).await;
        purchases.close();
        purchases.wait().await;
        stopped
    }
}

/// Works on queued jobs.
async fn work(gateway: Gateway) {
    gateway.service.work().await;
}

/// Carries open settlements on, more rarely while nothing comes to its end. Stopping
/// breaks a pass off: what it was at is taken up by the next process.
async fn settle(gateway: Gateway) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        match gateway.service.settle_pending().await {
            Ok(pass) if pass.open > 0 && pass.ended == 0 => {
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Ok(_) => pause = SHORTEST_PAUSE,
            Err(error) => warn!(%error, "Open settlements could not be carried on."),
        }
        tokio::time::sleep(pause).await;
    }
}

/// Looks after settlements that a reorganisation may have taken back.
async fn watch(gateway: Gateway) {
    loop {
        tokio::time::sleep(REORG_PAUSE).await;
        if let Err(error) = gateway.service.watch_reorganisations().await {
            warn!(%error, "The blocks of the latest settlements could not be looked at.");
        }
    }
}

/// Erases contents whose time is over.
async fn erase(gateway: Gateway) {
    loop {
        if let Err(error) = gateway.service.erase_expired().await {
            warn!(%error, "Contents whose time is over could not be erased.");
        }
        tokio::time::sleep(ERASE).await;
    }
}
