use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use assay_primitives::{KeyId, SystemRandomness, Timestamp};
use assay_receipt::KeyPurpose;
use assay_service::{CatalogueEntry, Price};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::devchain::{accounts_json, print_accounts};
use super::system_clock;
use crate::args::ServeArgs;
use crate::config::Config;
use crate::error::CliError;
use crate::node::{Node, RunningEnclave};
use crate::signals::Interrupts;
use crate::{money, output};

/// How long before its end a receipt key is spoken of.
pub(super) const ROTATE_SOON: Duration = Duration::from_secs(30 * 86_400);

pub(crate) async fn run(args: &ServeArgs) -> Result<ExitCode, CliError> {
    let file = args.config.as_deref().filter(|path| !path.as_os_str().is_empty());
    let config = Config::load(file)?;
    let mut interrupts = Interrupts::listen()?;
    let starting = Box::pin(Node::start(&config, system_clock(), Arc::new(SystemRandomness)));
    let mut node = tokio::select! {
        node = output::patiently("Starting the gateway", starting) => node?,
        () = interrupts.next() => {
            info!("Stopped while starting.");
            return Ok(ExitCode::SUCCESS);
        }
    };
    if args.json {
        output::json(&to_json(&node, &config))?;
    } else {
        announce(&node, &config);
    }
    if config.listen.ip().is_unspecified() && config.public_url.is_none() {
        warn!("`public_url` is not set: payers are told an address that leads nowhere.");
    }
    if let Some((_, until)) = receipt_key(&node)
        && until < system_clock().now().plus(ROTATE_SOON)
    {
        warn!(%until, "The receipt key is soon used no longer: run `assay key rotate`.");
    }
    let ended = tokio::select! {
        () = interrupts.next() => Ok(()),
        result = node.failed() => result.and(Err(CliError::Failed("the server ended".to_owned()))),
    };
    info!("Stopping: finishing what was paid for. A second signal stops at once.");
    tokio::select! {
        stopped = Box::pin(node.stop()) => stopped.and(ended).map(|()| ExitCode::SUCCESS),
        () = interrupts.next() => {
            let message = "stopped at once: what is unfinished is taken up at the next start";
            Err(CliError::Failed(message.to_owned()))
        }
    }
}

/// Returns the key that signs receipts, and until when it may.
fn receipt_key(node: &Node) -> Option<(KeyId, Timestamp)> {
    let operator = &node.service().parts().operator;
    let id = operator.receipt_key().public().id();
    Some((id, operator.manifest().key(id, KeyPurpose::Receipt)?.valid_to))
}

fn announce(node: &Node, config: &Config) {
    let rail = node.rail();
    output::field("gateway", node.url());
    output::field("operator", node.service().parts().operator.id());
    let rpc = money::public_part(&rail.end.rpc_url);
    output::field("network", format_args!("{} at {rpc}", rail.network()));
    output::field("paid to", &rail.pay_to);
    if let Some((id, until)) = receipt_key(node) {
        let id: String = id.to_string().chars().take(16).collect();
        output::field("receipt key", format_args!("{id}…, until {until}"));
    }
    output::field(
        "data",
        format_args!("{} (durability: {})", config.data.display(), config.durability),
    );
    if let Some(enclave) = node.enclave() {
        let simulated = if enclave.attester().is_simulated() { ", simulated" } else { "" };
        let (address, attester) = (enclave.address(), enclave.attester().name());
        output::field("enclave", format_args!("{attester}{simulated}, at {address}"));
    }
    for entry in node.service().parts().catalogue.iter() {
        output::field("model", offers(entry));
    }
    if rail.runs_devchain() {
        output::line("");
        output::line("This is a development chain: its money is play money, its keys are public.");
        print_accounts();
    }
    if rail.network().is_development() {
        try_it(node);
    }
}

/// Says how to buy something here: the first thing anybody does.
fn try_it(node: &Node) {
    let sold = |entry: &&Arc<CatalogueEntry>| !entry.prices().is_empty();
    let Some(entry) = node.service().parts().catalogue.iter().find(sold) else { return };
    let (name, url) = (&entry.package().card().name, node.url());
    output::line("");
    output::line("To buy an inference, in another terminal:");
    output::line(format_args!("  assay models --example {name} > input.json"));
    output::line(format_args!("  assay infer --gateway {url} --model {name} \\"));
    output::line("    --input input.json --development-account 2 --out bought.assay");
    if let Some(root) = node.enclave().and_then(RunningEnclave::root) {
        let root = root.display();
        output::line("In the enclave, whose simulation ends at a root of its own:");
        output::line(format_args!("  … --method tee --development-root {root}"));
    }
    output::line("Ctrl-C stops.");
}

fn offers(entry: &CatalogueEntry) -> String {
    let price = |price: &Price| {
        let amount = price.amount.to_decimal(price.asset.decimals);
        format!("{} {amount} {}", price.method, price.asset.name)
    };
    let name = &entry.package().card().name;
    match entry.prices() {
        [] => format!("{name}: not for sale"),
        prices => format!("{name}: {}", prices.iter().map(price).collect::<Vec<_>>().join(", ")),
    }
}

fn to_json(node: &Node, config: &Config) -> Value {
    let rail = node.rail();
    let parts = node.service().parts();
    let price = |price: &Price| json!({ "method": price.method, "amount": price.amount, "asset": price.asset.id });
    let models = parts.catalogue.iter().map(|entry| {
        let prices: Vec<Value> = entry.prices().iter().map(price).collect();
        json!({ "name": entry.package().card().name, "id": entry.used().id(), "prices": prices })
    });
    json!({
        "gateway": node.url(),
        "operator": parts.operator.id(),
        "network": rail.network(),
        "rpcUrl": money::public_part(&rail.end.rpc_url),
        "payTo": rail.pay_to,
        "receiptKey": receipt_key(node).map(|(id, until)| json!({ "id": id, "validTo": until })),
        "data": config.data,
        "enclave": node.enclave().map(|enclave| json!({
            "address": enclave.address().to_string(),
            "attester": enclave.attester().name(),
            "simulated": enclave.attester().is_simulated(),
            "developmentRoot": enclave.root(),
        })),
        "models": models.collect::<Vec<Value>>(),
        "accounts": rail.runs_devchain().then(accounts_json),
    })
}
