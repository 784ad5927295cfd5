//! The whole way in one command, on a development chain of its own: three models, each answer certified
//! in its own way, one payment, one receipt.

mod board;
mod print;
mod tamper;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use assay_chain::Address;
use assay_client::{Bought, ItemOrder, ItemResult, TensorOrder, TransactionOrder};
use assay_engine::{ModelCard, Sample};
use assay_primitives::{Account, Amount, Clock, ItemId, Method, ModelId, SystemRandomness};
use assay_receipt::{Bundle, OutcomePolicy, SettlementBlock, SettlementRecord};
use assay_service::{CatalogueEntry, Price};
use assay_verify::{Expectation, Policy, Report, Verifier};
use assay_x402::Preferences;
use serde::Serialize;

use self::board::Board;
use self::tamper::Tampered;
use super::purchase::{buyer, client_error};
use super::{system_clock, verify};
use crate::args::DemoArgs;
use crate::config::Config;
use crate::error::CliError;
use crate::files::{self, OutFile, Readers};
use crate::node::{Node, RunningEnclave, development_key};
use crate::signals::Interrupts;
use crate::{money, output};

/// The development account that buys.
const PAYER: u8 = 2;
/// The most the demo pays: 0.10.
const CAP: Amount = Amount(100_000);
/// The most bytes the root of a simulation may have.
const MAX_ROOT: u64 = 64 << 10;
/// The items, by their names and methods.
const ITEMS: [(&str, Method); 3] =
    [("in-enclave", Method::TEE), ("with-proof", Method::ZKML), ("signed", Method::SIGNED)];

/// An item that is bought.
struct Asked {
    id: ItemId,
    method: Method,
    entry: Arc<CatalogueEntry>,
    sample: Sample,
    price: Price,
}

/// What the demo shows.
struct Story {
    asked: Vec<Asked>,
    bought: Bought<Vec<ItemResult>>,
    /// How long each item took, where that was told.
    latencies: Vec<Option<Duration>>,
    payer: Balance,
    seller: Balance,
    block: Option<SettlementBlock>,
    report: Report,
    verified_in: Duration,
    /// What is said of the bundle by who does not know the root of the simulated enclave.
    without_root: Report,
    /// What became of the bundle with a byte changed, in the answer of each item.
    tampered: Vec<Tampered>,
    /// The bundle of one item alone.
    disclosed: Disclosed,
    /// The root that the simulated enclave's evidence ends at.
    root: Vec<u8>,
    took: Duration,
    gateway: String,
}

/// One item, shown without the others.
struct Disclosed {
    item: ItemId,
    bytes: usize,
    report: Report,
}

/// What an account holds of the development token, before and after.
#[derive(Serialize)]
struct Balance {
    account: Account,
    before: Amount,
    after: Amount,
}

impl Asked {
    fn card(&self) -> &ModelCard {
        self.entry.package().card()
    }

    fn price(&self) -> String {
        money::shown(
            self.price.amount,
            self.price.asset.id.network(),
            self.price.asset.id.reference(),
        )
    }
}

pub(crate) async fn run(args: DemoArgs) -> Result<ExitCode, CliError> {
    let mut interrupts = Interrupts::listen()?;
    let clock = system_clock();
    let started = clock.monotonic();
    let out = args.out.as_deref().map(OutFile::prepare).transpose()?;
    let folder = tempfile::Builder::new().prefix("assay-demo-").tempdir();
    let folder = folder.map_err(CliError::io("temporary folder"))?;
    let config = configuration(&args, folder.path())?;
    if !args.json {
        output::note("Starting a gateway and a development chain on this machine.");
    }
    let starting = Box::pin(Node::start(&config, clock.clone(), Arc::new(SystemRandomness)));
    let node = tokio::select! {
        node = output::patiently("Starting", starting) => node?,
        () = interrupts.next() => return Err(CliError::Interrupted),
    };
    let told = tokio::select! {
        told = Box::pin(tell(&args, &node, &clock)) => told,
        () = interrupts.next() => Err(CliError::Interrupted),
    };
    node.stop().await?;
    let mut story = told?;
    story.took = clock.monotonic().saturating_sub(started);
    if let (Some(out), Some(path)) = (out, &args.out) {
        out.write(&story.bought.file)?;
        files::replace(&root_beside(path), &story.root, Readers::Everybody)?;
    }
    if args.json {
        print::json(&story)?;
    } else {
        print::text(&story, &args);
    }
    Ok(ExitCode::SUCCESS)
}

/// The defaults, on free ports and in a folder that goes away: what is configured for a gateway of
/// the user's own is none of the demo's business.
fn configuration(args: &DemoArgs, folder: &Path) -> Result<Config, CliError> {
    let mut config = Config::defaults()?;
    config.data = folder.to_path_buf();
    config.models = args.models.clone().filter(|path| !path.as_os_str().is_empty());
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    (config.listen, config.chain.devchain_listen) = (any_port, any_port);
    Ok(config)
}

async fn tell(args: &DemoArgs, node: &Node, clock: &Arc<dyn Clock>) -> Result<Story, CliError> {
    let asked = asked(args, node)?;
    let root = node.enclave().and_then(RunningEnclave::root).map(Path::to_path_buf);
    let knowing = verify::verifier(policy(node, &asked)?, root.as_slice())?;
    let unknowing = verify::verifier(policy(node, &asked)?, &[])?;
    let key = development_key(PAYER)?;
    let seller: Address = node.rail().pay_to.as_str().parse().map_err(CliError::failed)?;
    let holders = [key.address(), seller];
    let before = balances(node, holders).await?;
    let buyer = buyer(&node.url(), Arc::new(key), clock.clone())?;

    if !args.json {
        print::beginning(&asked);
    }
    let board = Board::new(&asked, args.json);
    let watch = |update: &_| board.update(update);
    let order = order(&asked)?;
    let bought = buyer.transact(order, &knowing, Some(&watch)).await;
    let bought = bought.map_err(|error| client_error(error, &node.url()))?;
    let latencies = board.finish(&bought.report);
    let after = balances(node, holders).await?;

    let (report, verified_in) = verified(&bought.file, &knowing, clock)?;
    let (without_root, _) = verified(&bought.file, &unknowing, clock)?;
    let tampered =
        (0..asked.len()).map(|index| tamper::tamper(&bought.bundle, index, &knowing, clock.now()));
    let tampered = tampered.collect::<Result<_, _>>()?;
    let disclosed = disclosed(&asked, &bought.bundle, &unknowing, clock)?;
    let [payer, seller] = moved(holders, before, after)?;
    Ok(Story {
        payer,
        seller,
        block: block(&bought),
        asked,
        latencies,
        report,
        verified_in,
        without_root,
        tampered,
        disclosed,
        root: root
            .as_deref()
            .map(|path| files::read(path, MAX_ROOT))
            .transpose()?
            .unwrap_or_default(),
        took: Duration::ZERO,
        gateway: node.url(),
        bought,
    })
}

/// Chooses a model and an input for each item: a model of its own, as far as there are.
fn asked(args: &DemoArgs, node: &Node) -> Result<Vec<Asked>, CliError> {
    let catalogue = &node.service().parts().catalogue;
    let wanted: Vec<&Arc<CatalogueEntry>> = match &args.model {
        None => catalogue.iter().collect(),
        Some(name) => match catalogue.find(name) {
            Some(entry) => vec![entry],
            None => {
                let names: Vec<&str> =
                    catalogue.iter().map(|entry| entry.package().card().name.as_str()).collect();
                let message =
                    format!("there is no model `{name}`; there are: {}", names.join(", "));
                return Err(CliError::Input(message));
            }
        },
    };
    let asset = money::development_asset()?.id;
    let mut asked: Vec<Asked> = Vec::new();
    for (id, method) in ITEMS {
        let is_new = |entry: &Arc<CatalogueEntry>| {
            asked.iter().all(|one| one.entry.package().id() != entry.package().id())
        };
        let sells = |entry: &&&Arc<CatalogueEntry>| entry.methods().contains(&&method);
        let unused = wanted.iter().filter(|entry| is_new(entry)).find(sells);
        let Some(entry) = unused.or_else(|| wanted.iter().find(sells)) else { continue };
        let mut prices = entry.prices().iter().filter(|price| price.method == method);
        let price = prices.find(|price| price.asset.id == asset).cloned();
        asked.push(Asked {
            id: id.parse().map_err(CliError::failed)?,
            sample: sample(args, entry)?,
            price: price.ok_or_else(|| CliError::failed("no price in the development token"))?,
            entry: Arc::clone(entry),
            method,
        });
    }
    Ok(asked)
}

fn sample(args: &DemoArgs, entry: &CatalogueEntry) -> Result<Sample, CliError> {
    let samples = entry.package().samples();
    samples.get(args.sample).cloned().ok_or_else(|| {
        let name = &entry.package().card().name;
        let message = match samples.len().checked_sub(1) {
            Some(last) => format!("`{name}` has samples 0 to {last}, no {}", args.sample),
            None => format!("`{name}` has no samples"),
        };
        CliError::Input(message)
    })
}

fn order(asked: &[Asked]) -> Result<TransactionOrder, CliError> {
    let item = |one: &Asked| {
        Ok(ItemOrder {
            id: one.id.clone(),
            model: one.card().name.clone(),
            method: one.method.clone(),
            inputs: vec![TensorOrder::of(&one.sample.input).map_err(CliError::failed)?],
            timeout: None,
        })
    };
    let items = asked.iter().map(item).collect::<Result<_, CliError>>()?;
    let preferences = Preferences::new().with_cap(money::development_asset()?.id, CAP);
    Ok(TransactionOrder { items, outcome_policy: OutcomePolicy::All, preferences })
}

/// Verifies a bundle, and says how long that took.
fn verified(
    file: &[u8],
    verifier: &Verifier,
    clock: &Arc<dyn Clock>,
) -> Result<(Report, Duration), CliError> {
    let start = clock.monotonic();
    let report = verifier.verify(file, &Expectation::default(), clock.now());
    let took = clock.monotonic().saturating_sub(start);
    Ok((report.map_err(CliError::failed)?, took))
}

/// Shows the last item alone, and verifies it.
fn disclosed(
    asked: &[Asked],
    bundle: &Bundle,
    verifier: &Verifier,
    clock: &Arc<dyn Clock>,
) -> Result<Disclosed, CliError> {
    let last = asked.last().ok_or_else(|| CliError::failed("nothing was asked"))?;
    let shown = bundle.clone().disclose(|item| item.details.id.as_ref() == Some(&last.id));
    let file = shown.map_err(CliError::failed)?.to_bytes().map_err(CliError::failed)?;
    let (report, _) = verified(&file, verifier, clock)?;
    Ok(Disclosed { item: last.id.clone(), bytes: file.len(), report })
}

/// What a buyer would pin beforehand: nearly everything.
fn policy(node: &Node, asked: &[Asked]) -> Result<Policy, CliError> {
    let certifiers = &node.service().parts().certifiers;
    let program = certifiers.find(&Method::ZKML);
    let mut models = String::new();
    let mut named: Vec<&str> = Vec::new();
    for entry in asked.iter().map(|one| &one.entry) {
        let name = entry.package().card().name.as_str();
        if named.contains(&name) {
            continue;
        }
        named.push(name);
        let program = program.and_then(|certifier| certifier.model(entry.package()));
        let ids = [Some(entry.used().id()), program].into_iter().flatten();
        let ids: Vec<String> = ids.map(|id: ModelId| format!("\"{id}\"")).collect();
        models.push_str(&format!("{name} = [{}]\n", ids.join(", ")));
    }
    let text = format!(
        r#"
        operators = ["{operator}"]
        manifest_version = 1
        methods = ["{signed}", "{tee}", "{zkml}"]
        networks = ["{network}"]
        pay_to = ["{pay_to}"]
        max_price = [{{ asset = "{asset}", amount = "{CAP}" }}]
        max_age = "1h"
        times = ["settled"]
        payments = ["settled"]
        [models]
        {models}
        "#,
        operator = node.service().parts().operator.id(),
        signed = Method::SIGNED,
        tee = Method::TEE,
        zkml = Method::ZKML,
        network = node.rail().network(),
        pay_to = node.rail().pay_to,
        asset = money::development_asset()?.id,
    );
    Policy::from_toml(&text).map_err(CliError::failed)
}

/// Returns what two accounts hold of the development token, as the chain says.
async fn balances(node: &Node, [payer, seller]: [Address; 2]) -> Result<[Amount; 2], CliError> {
    let chain = &node.rail().end.chain;
    let token = assay_devchain::DEV_TOKEN;
    let (payer, seller) =
        tokio::try_join!(chain.balance(token, payer), chain.balance(token, seller))
            .map_err(CliError::failed)?;
    Ok([payer, seller].map(|balance| Amount(balance.saturating_to())))
}

/// Returns what two accounts held before and after.
fn moved(
    [payer, seller]: [Address; 2],
    [of_payer, of_seller]: [Amount; 2],
    [to_payer, to_seller]: [Amount; 2],
) -> Result<[Balance; 2], CliError> {
    let balance =
        |account, before, after| Ok(Balance { account: money::account(account)?, before, after });
    Ok([balance(payer, of_payer, to_payer)?, balance(seller, of_seller, to_seller)?])
}

/// Returns where the root of the simulation is kept, beside the bundle: without it nobody could verify
/// the bundle when the simulation has ended.
fn root_beside(bundle: &Path) -> PathBuf {
    bundle.with_extension("root.pem")
}

/// Returns the block that the payment was settled in, by the settlement record that was verified.
fn block<T>(bought: &Bought<T>) -> Option<SettlementBlock> {
    let record = bought.bundle.settlement_records.last()?;
    SettlementRecord::from_bytes(&record.payload).ok()?.predicate().block.clone()
}
