use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{Gateway, router};

/// How often open settlements are carried on.
const SETTLE_INTERVAL: Duration = Duration::from_secs(2);

/// A gateway that listens.
#[derive(Debug)]
pub struct RunningServer {
    address: SocketAddr,
    server: JoinHandle<std::io::Result<()>>,
    settling: JoinHandle<()>,
    gateway: Gateway,
    stop: CancellationToken,
}

/// A gateway that cannot listen, or stopped listening.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// The server failed.
    #[error("server: {0}")]
    Server(#[from] std::io::Error),
    /// The server's task broke off.
    #[error("server broke off")]
    BrokeOff,
}

/// Listens on an address (port 0 for any) until told to stop.
///
/// # Errors
/// When the address cannot be had.
pub async fn serve(gateway: Gateway, address: SocketAddr) -> Result<RunningServer, ServeError> {
    let bind = |error| ServeError::Bind { address, error };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let stop = CancellationToken::new();
    let tasks = &gateway.service.parts().tasks;
    let stopped = stop.clone().cancelled_owned();
    let routes = router(gateway.clone());
    let server = tasks
        .spawn(async move { axum::serve(listener, routes).with_graceful_shutdown(stopped).await });
    let settling = tasks.spawn(settle(gateway.clone(), stop.clone()));
    Ok(RunningServer { address, server, settling, gateway, stop })
}

impl RunningServer {
    /// Returns the address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the server ends by itself, which it does only when it fails.
    ///
    /// # Errors
    /// Says how it failed.
    pub async fn failed(&mut self) -> Result<(), ServeError> {
        Ok((&mut self.server).await.map_err(|_| ServeError::BrokeOff)??)
    }

    /// Stops: takes no more requests, finishes the ones that were paid for, and ends.
    ///
    /// # Errors
    /// When the server failed before.
    pub async fn stop(self) -> Result<(), ServeError> {
        self.stop.cancel();
        let served = self.server.await;
        let settled = self.settling.await;
        let tasks = &self.gateway.service.parts().tasks;
        tasks.close();
        tasks.wait().await;
        settled.map_err(|_| ServeError::BrokeOff)?;
        Ok(served.map_err(|_| ServeError::BrokeOff)??)
    }
}

/// Carries open settlements on until stopped.
async fn settle(gateway: Gateway, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SETTLE_INTERVAL) => {}
        }
        if let Err(error) = gateway.service.settle_pending().await {
            warn!(%error, "Open settlements could not be carried on.");
        }
    }
}
