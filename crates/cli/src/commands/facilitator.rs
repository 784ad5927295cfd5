use std::process::ExitCode;
use std::sync::Arc;

use assay_chain::{Address, FeeLimits, SettlementSigner};
use assay_x402::{LocalConfig, LocalFacilitator, RouterConfig, facilitator_router};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::{interrupted, system_clock};
use crate::args::FacilitatorArgs;
use crate::error::CliError;
use crate::node::{account_key, connect, development_key};
use crate::output;

pub(crate) async fn run(args: &FacilitatorArgs) -> Result<ExitCode, CliError> {
    let clock = system_clock();
    let key = match args.development_account {
        Some(n) => development_key(n)?,
        None => {
            account_key(args.key_file.as_deref(), "ASSAY_SETTLEMENT_KEY")?.ok_or_else(|| {
                let message = "give --key-file, --development-account or ASSAY_SETTLEMENT_KEY";
                CliError::Input(message.to_owned())
            })?
        }
    };
    let chain = connect(&args.rpc_url, None, &clock).await?;
    let network = chain.network().clone();
    let mut config = LocalConfig::new(addresses(&args.asset)?);
    config.confirmations = args.confirmations;
    config.pay_to = match args.pay_to.as_slice() {
        [] => None,
        accounts => Some(addresses(accounts)?),
    };
    let settle_token = args.settle_token_file.as_deref().map(read_token).transpose()?;
    let open = settle_token.is_none() && config.pay_to.is_none();
    if open && !args.listen.ip().is_loopback() {
        let message = "anyone could make this facilitator pay gas for their own transfers: give \
                       --pay-to or --settle-token-file, or listen on loopback";
        return Err(CliError::Input(message.to_owned()));
    }
    let signer =
        SettlementSigner::new(chain, key, FeeLimits::default()).map_err(CliError::failed)?;
    let settler = signer.address();
    let facilitator = Arc::new(LocalFacilitator::new(signer, config));
    let tasks = TaskTracker::new();
    let router_config = RouterConfig { settle_token, ..RouterConfig::default() };
    let router = facilitator_router(facilitator, clock, tasks.clone(), router_config);
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener
        .map_err(|error| CliError::Failed(format!("cannot listen on {}: {error}", args.listen)))?;
    let address = listener.local_addr().map_err(CliError::failed)?;
    output::line(format_args!("facilitator http://{address}"));
    output::line(format_args!("network     {network}"));
    output::line(format_args!("settles by  {settler}"));
    let stopped = async {
        // A failure to listen for signals leaves only the hard way to stop.
        if interrupted().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    axum::serve(listener, router)
        .with_graceful_shutdown(stopped)
        .await
        .map_err(CliError::failed)?;
    // A settlement that began is seen to its end.
    tasks.close();
    tasks.wait().await;
    Ok(ExitCode::SUCCESS)
}

fn addresses(texts: &[String]) -> Result<Vec<Address>, CliError> {
    let read = |text: &String| {
        text.parse().map_err(|_| CliError::Input(format!("`{text}` is no EVM address")))
    };
    texts.iter().map(read).collect()
}

fn read_token(path: &std::path::Path) -> Result<String, CliError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| CliError::Io(path.to_path_buf(), error))?;
    match text.trim() {
        "" => Err(CliError::Input(format!("{}: the token is empty", path.display()))),
        token => Ok(token.to_owned()),
    }
}
