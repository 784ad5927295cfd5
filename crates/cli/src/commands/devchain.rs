use std::process::ExitCode;

use assay_devchain::{CHAIN_ID, DEV_TOKEN, dev_accounts};
use serde_json::{Value, json};

use super::system_clock;
use crate::args::DevchainArgs;
use crate::error::CliError;
use crate::node::RunningChain;
use crate::output;
use crate::signals::Interrupts;

pub(crate) async fn run(args: &DevchainArgs) -> Result<ExitCode, CliError> {
    let mut interrupts = Interrupts::listen()?;
    let (folder, clock) = (args.data.as_deref(), system_clock());
    let running = RunningChain::start(folder, args.listen, "--listen", &clock).await?;
    if args.json {
        output::json(&json!({
            "rpcUrl": running.server.url,
            "network": format!("eip155:{CHAIN_ID}"),
            "token": DEV_TOKEN,
            "data": args.data,
            "accounts": accounts_json(),
        }))?;
    } else {
        output::field("chain", &running.server.url);
        output::field("network", format_args!("eip155:{CHAIN_ID}"));
        output::field("token", DEV_TOKEN);
        match &args.data {
            Some(folder) => output::field("data", folder.display()),
            None => output::field("data", "in memory: gone when this ends; --data keeps it"),
        }
        output::line("");
        output::line("These keys are public. They are refused on networks that move real money.");
        print_accounts();
    }
    interrupts.next().await;
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Prints the development accounts with their keys.
pub(super) fn print_accounts() {
    for (n, account) in dev_accounts().iter().enumerate() {
        output::line(format_args!("account {n}   {}   key {}", account.address, account.key));
    }
}

pub(super) fn accounts_json() -> Vec<Value> {
    let accounts = dev_accounts().into_iter();
    accounts.map(|account| json!({ "address": account.address, "key": account.key })).collect()
}
