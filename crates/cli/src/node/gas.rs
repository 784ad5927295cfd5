//! Keeps an eye on what the settlement account has for gas.

use std::sync::Arc;
use std::time::Duration;

use assay_chain::{Address, Chain};
use assay_service::Service;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::PaymentRail;

/// How often it is looked at.
const PAUSE: Duration = Duration::from_secs(60);

/// A task that tells the figures what the settlement account has.
pub(super) struct GasWatch {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl GasWatch {
    /// Looks now and from time to time, where a key of one's own settles.
    pub(super) fn start(rail: &PaymentRail, service: &Arc<Service>) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        if let Some(settler) = rail.settler {
            let watching = watch(rail.end.chain.clone(), settler, service.clone());
            let stopped = stop.clone();
            tasks.spawn(async move { stopped.run_until_cancelled(watching).await });
        }
        Self { tasks, stop }
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn watch(chain: Chain, settler: Address, service: Arc<Service>) {
    loop {
        match chain.gas_balance(settler).await {
            Ok(balance) => service.metrics().gas_balance(balance.saturating_to()),
            Err(error) => debug!(%error, "The gas of the settlement account is not known."),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
