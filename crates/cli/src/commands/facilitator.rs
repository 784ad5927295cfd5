use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use assay_chain::{AccountKey, Address, FeeLimits, MemoryJournal, SettlementSigner};
use assay_gateway::{HttpServer, ServeError, serve_routes};
use assay_x402::{LocalConfig, LocalFacilitator, RouterConfig, facilitator_router};
use serde_json::json;
use tokio_util::task::TaskTracker;

use super::system_clock;
use crate::args::FacilitatorArgs;
use crate::error::CliError;
use crate::node::{
    SETTLEMENT_KEY, account_key, cannot_listen, connect, development_key, warn_of_empty_account,
};
use crate::signals::Interrupts;
use crate::{files, money, output};

/// How long the body of a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: &FacilitatorArgs) -> Result<ExitCode, CliError> {
    let mut interrupts = Interrupts::listen()?;
    let clock = system_clock();
    let key = key(args)?;
    let mut config = LocalConfig::new(addresses(&args.asset)?);
    config.confirmations = args.confirmations;
    config.pay_to = match args.pay_to.as_slice() {
        [] => None,
        accounts => Some(addresses(accounts)?),
    };
    let settle_token = args.settle_token_file.as_deref().map(files::read_token).transpose()?;
    let open = settle_token.is_none() && config.pay_to.is_none();
    if open && !args.listen.ip().is_loopback() {
        let message = "anyone could make this facilitator pay gas for their own transfers: give \
                       --pay-to or --settle-token-file, or listen on loopback";
        return Err(CliError::Input(message.to_owned()));
    }
    let chain = tokio::select! {
        chain = connect(&args.rpc_url, None, &clock, None) => chain?,
        () = interrupts.next() => return Ok(ExitCode::SUCCESS),
    };
    let network = chain.network().clone();
    let signer =
        SettlementSigner::new(chain, key, FeeLimits::default()).map_err(CliError::input)?;
    warn_of_empty_account(&signer).await;
    let settler = signer.address();
    let facilitator =
        Arc::new(LocalFacilitator::new(signer, Arc::<MemoryJournal>::default(), config));
    let tasks = TaskTracker::new();
    let router_config = RouterConfig { settle_token, ..RouterConfig::default() };
    let router = facilitator_router(facilitator, clock, tasks.clone(), router_config);
    let server = match serve_routes(router, args.listen, BODY_TIMEOUT).await {
        Ok(server) => server,
        Err(ServeError::Bind { address, error }) => {
            return Err(cannot_listen(address, &error, "--listen"));
        }
        Err(error) => return Err(CliError::failed(error)),
    };
    let url = format!("http://{}", server.address());
    if args.json {
        output::json(&json!({ "facilitator": url, "network": network, "settler": settler }))?;
    } else {
        output::field("facilitator", url);
        output::field("network", network);
        output::field("settles by", settler);
    }
    until_told(&server, &tasks, &mut interrupts).await?;
    // A settlement that began is seen to its end.
    tasks.close();
    tokio::select! {
        () = tasks.wait() => Ok(ExitCode::SUCCESS),
        () = interrupts.next() => {
            Err(CliError::Failed("stopped at once, with a settlement on its way".to_owned()))
        }
    }
}

/// Answers until told to stop; told twice, it does not wait for the requests that came before.
async fn until_told(
    server: &HttpServer,
    settlements: &TaskTracker,
    interrupts: &mut Interrupts,
) -> Result<(), CliError> {
    tokio::select! {
        ended = server.failed() => return ended.map_err(CliError::failed),
        () = interrupts.next() => {}
    }
    tokio::select! {
        stopped = server.stop(settlements) => stopped.map_err(CliError::failed),
        () = interrupts.next() => {
            server.abandon();
            Ok(())
        }
    }
}

fn key(args: &FacilitatorArgs) -> Result<AccountKey, CliError> {
    if let Some(n) = args.development_account {
        return development_key(n);
    }
    account_key(args.key_file.as_deref(), SETTLEMENT_KEY)?.ok_or_else(|| {
        let message = "nobody settles: give --key-file, --development-account or \
                       ASSAY_SETTLEMENT_KEY";
        CliError::Input(message.to_owned())
    })
}

fn addresses(texts: &[String]) -> Result<Vec<Address>, CliError> {
    texts.iter().map(|text| money::address(text)).collect()
}
