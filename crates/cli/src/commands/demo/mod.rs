//! The whole way in one command, on a development chain of its own.

mod print;
mod tamper;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use assay_attest::KeyAttestation;
use assay_chain::Address;
use assay_client::{Bought, Buyer, BuyerConfig, InferenceOrder};
use assay_engine::{ModelCard, Sample};
use assay_primitives::{Account, Amount, Clock, InferenceRequest, Method, SystemRandomness};
use assay_receipt::{SettlementBlock, SettlementRecord};
use assay_service::CatalogueEntry;
use assay_verify::{Expectation, Policy, Report, Verifier};
use assay_x402::Preferences;
use serde::Serialize;

use self::tamper::Tampered;
use super::infer::client_error;
use super::{system_clock, verify};
use crate::args::DemoArgs;
use crate::config::Config;
use crate::error::CliError;
use crate::files::OutFile;
use crate::node::{Node, RunningEnclave, development_key};
use crate::signals::Interrupts;
use crate::{money, output};

/// The development account that buys.
const PAYER: u8 = 2;
/// The most the demo pays: 0.10.
const CAP: Amount = Amount(100_000);

/// What the demo shows.
struct Story {
    card: ModelCard,
    sample: Sample,
    bought: Bought,
    payer: Balance,
    seller: Balance,
    block: Option<SettlementBlock>,
    report: Report,
    verified_in: Duration,
    tampered: Tampered,
    enclave: InEnclave,
    /// Not of a model without a program.
    proven: Option<Proven>,
    took: Duration,
    gateway: String,
}

/// The same inference, certified by an enclave.
struct InEnclave {
    bought: Bought,
    report: Report,
    verified_in: Duration,
    /// What is said of the bundle by who does not know the development root.
    without_root: Report,
    attestation: KeyAttestation,
}

/// The same inference, with a proof.
struct Proven {
    bought: Bought,
    report: Report,
    verified_in: Duration,
}

/// What an account holds of the development token, before and after.
#[derive(Serialize)]
struct Balance {
    account: Account,
    before: Amount,
    after: Amount,
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
        told = output::patiently("Buying", Box::pin(tell(&args, &node, &clock))) => told,
        () = interrupts.next() => Err(CliError::Interrupted),
    };
    node.stop().await?;
    let mut story = told?;
    story.took = clock.monotonic().saturating_sub(started);
    if let Some(out) = out {
        out.write(&story.bought.file)?;
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
fn configuration(args: &DemoArgs, folder: &std::path::Path) -> Result<Config, CliError> {
    let mut config = Config::defaults()?;
    config.data = folder.to_path_buf();
    config.models = args.models.clone().filter(|path| !path.as_os_str().is_empty());
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    (config.listen, config.chain.devchain_listen) = (any_port, any_port);
    Ok(config)
}

async fn tell(args: &DemoArgs, node: &Node, clock: &Arc<dyn Clock>) -> Result<Story, CliError> {
    let entry = find(args, node)?;
    let card = entry.package().card().clone();
    let sample = sample(args, entry)?;
    let request = InferenceRequest { inputs: vec![sample.input.clone()] };
    let verifier = verify::verifier(policy(node, entry)?, &[])?;
    let key = development_key(PAYER)?;
    let seller: Address = node.rail().pay_to.as_str().parse().map_err(CliError::failed)?;
    let holders = [key.address(), seller];
    let before = balances(node, holders).await?;
    let (key, random) = (Arc::new(key), Arc::new(SystemRandomness));
    let buyer = Buyer::new(&node.url(), key, clock.clone(), random, BuyerConfig::default())
        .map_err(|error| client_error(error, &node.url()))?;
    let preferences = Preferences::new().with_cap(money::development_asset()?.id, CAP);
    let order = |method| {
        let (model, request) = (card.name.clone(), request.clone());
        InferenceOrder { model, method, request, preferences: preferences.clone() }
    };
    let buy = async |method, verifier: &Verifier| {
        let bought = buyer.infer(order(method), verifier).await;
        bought.map_err(|error| client_error(error, &node.url()))
    };
    let bought = buy(Method::SIGNED, &verifier).await?;
    let after = balances(node, holders).await?;

    let expectation = Expectation { input: Some(request.clone()), nonce: None };
    let (report, verified_in) = verified(&bought, &verifier, &expectation, clock)?;
    let tampered = tamper::tamper(&bought.bundle, &verifier, &expectation, clock.now())?;
    let root = node.enclave().and_then(RunningEnclave::root).map(Path::to_path_buf);
    let knowing = verify::verifier(policy(node, entry)?, root.as_slice())?;
    let in_enclave = buy(Method::TEE, &knowing).await?;
    let enclave = enclave(in_enclave, [&knowing, &verifier], &expectation, clock)?;
    let proven = match entry.methods().contains(&&Method::ZKML) {
        true => {
            let bought = buy(Method::ZKML, &verifier).await?;
            let (report, verified_in) = verified(&bought, &verifier, &expectation, clock)?;
            Some(Proven { bought, report, verified_in })
        }
        false => None,
    };
    let [payer, seller] = moved(holders, before, after)?;
    Ok(Story {
        payer,
        seller,
        block: block(&bought),
        card,
        sample,
        bought,
        report,
        verified_in,
        tampered,
        enclave,
        proven,
        took: Duration::ZERO,
        gateway: node.url(),
    })
}

/// Verifies what an enclave certified, by who knows its development root and by who does not.
fn enclave(
    bought: Bought,
    [knowing, unknowing]: [&Verifier; 2],
    expectation: &Expectation,
    clock: &Arc<dyn Clock>,
) -> Result<InEnclave, CliError> {
    let (report, verified_in) = verified(&bought, knowing, expectation, clock)?;
    let (without_root, _) = verified(&bought, unknowing, expectation, clock)?;
    let attestation = bought.bundle.evidence.first();
    let attestation = attestation.ok_or_else(|| CliError::failed("there is no evidence"))?;
    let attestation = KeyAttestation::from_bytes(&attestation.content).map_err(CliError::failed)?;
    Ok(InEnclave { bought, report, verified_in, without_root, attestation })
}

/// Verifies what was bought, and says how long that took.
fn verified(
    bought: &Bought,
    verifier: &Verifier,
    expectation: &Expectation,
    clock: &Arc<dyn Clock>,
) -> Result<(Report, Duration), CliError> {
    let start = clock.monotonic();
    let report = verifier.verify(&bought.file, expectation, clock.now());
    let took = clock.monotonic().saturating_sub(start);
    Ok((report.map_err(CliError::failed)?, took))
}

fn find<'a>(args: &DemoArgs, node: &'a Node) -> Result<&'a Arc<CatalogueEntry>, CliError> {
    let catalogue = &node.service().parts().catalogue;
    catalogue.find(&args.model).ok_or_else(|| {
        let names: Vec<&str> =
            catalogue.iter().map(|entry| entry.package().card().name.as_str()).collect();
        let message =
            format!("there is no model `{}`; there are: {}", args.model, names.join(", "));
        CliError::Input(message)
    })
}

fn sample(args: &DemoArgs, entry: &CatalogueEntry) -> Result<Sample, CliError> {
    let samples = entry.package().samples();
    samples.get(args.sample).cloned().ok_or_else(|| {
        let message = match samples.len().checked_sub(1) {
            Some(last) => format!("`{}` has samples 0 to {last}, no {}", args.model, args.sample),
            None => format!("`{}` has no samples", args.model),
        };
        CliError::Input(message)
    })
}

/// What a buyer would pin beforehand: nearly everything.
fn policy(node: &Node, entry: &CatalogueEntry) -> Result<Policy, CliError> {
    let certifiers = &node.service().parts().certifiers;
    let program = certifiers.find(&Method::ZKML);
    let program = program.and_then(|certifier| certifier.model(entry.package()));
    let models = [Some(entry.used().id()), program];
    let models: Vec<String> = models.iter().flatten().map(ToString::to_string).collect();
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
        {name} = ["{models}"]
        "#,
        operator = node.service().parts().operator.id(),
        signed = Method::SIGNED,
        tee = Method::TEE,
        network = node.rail().network(),
        pay_to = node.rail().pay_to,
        asset = money::development_asset()?.id,
        name = entry.package().card().name,
        zkml = Method::ZKML,
        models = models.join("\", \""),
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

/// Returns the block that the payment was settled in, by the settlement record that was verified.
fn block(bought: &Bought) -> Option<SettlementBlock> {
    let record = bought.bundle.settlement_records.last()?;
    SettlementRecord::from_bytes(&record.payload).ok()?.predicate().block.clone()
}
