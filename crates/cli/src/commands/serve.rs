use std::process::ExitCode;
use std::sync::Arc;

use assay_devchain::dev_accounts;
use assay_primitives::SystemRandomness;
use assay_service::CatalogueEntry;
use tracing::info;

use super::{interrupted, system_clock};
use crate::args::ServeArgs;
use crate::config::Config;
use crate::error::CliError;
use crate::node::Node;
use crate::output;

pub(crate) async fn run(args: &ServeArgs) -> Result<ExitCode, CliError> {
    let config = Config::load(args.config.as_deref())?;
    let mut node = Node::start(&config, system_clock(), Arc::new(SystemRandomness)).await?;
    announce(&node, &config);
    let ended = tokio::select! {
        result = interrupted() => result,
        result = node.failed() => result.and(Err(CliError::Failed("the server ended".to_owned()))),
    };
    info!("Stopping: finishing what was paid for.");
    node.stop().await?;
    ended.map(|()| ExitCode::SUCCESS)
}

fn announce(node: &Node, config: &Config) {
    let rail = node.rail();
    output::line(format_args!("gateway     {}", node.url()));
    output::line(format_args!("operator    {}", node.service().parts().operator.id()));
    output::line(format_args!("network     {} at {}", rail.network, shown(&rail.rpc_url)));
    output::line(format_args!("paid to     {}", rail.pay_to));
    output::line(format_args!("data        {} ({})", config.data.display(), config.durability));
    for entry in node.service().parts().catalogue.iter() {
        output::line(format_args!("model       {}", offers(entry)));
    }
    if rail.runs_devchain() {
        output::line("");
        output::line(
            "This is a development chain: its money is play money, and these keys are public.",
        );
        accounts();
    }
}

/// Prints the development accounts with their keys.
pub(super) fn accounts() {
    for (n, account) in dev_accounts().iter().enumerate() {
        output::line(format_args!("account {n}   {}   key {}", account.address, account.key));
    }
}

fn offers(entry: &CatalogueEntry) -> String {
    let prices: Vec<String> = entry
        .prices()
        .iter()
        .map(|price| {
            let amount = price.amount.to_decimal(price.asset.decimals);
            format!("{} {amount} {}", price.method, price.asset.name)
        })
        .collect();
    let name = &entry.package().card().name;
    if prices.is_empty() {
        format!("{name}: not for sale")
    } else {
        format!("{name}: {}", prices.join(", "))
    }
}

/// Returns a URL without what may be a secret in it: credentials, path and query.
fn shown(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => "the configured URL".to_owned(),
    }
}
