//! The whole way in one command, on a development chain of its own.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use assay_client::{Bought, Buyer, BuyerConfig, InferenceOrder};
use assay_engine::{ModelCard, Sample};
use assay_primitives::{Amount, Clock, InferenceRequest, Method, SystemRandomness};
use assay_receipt::Bundle;
use assay_verify::{Expectation, Methods, Policy, Refusal, Report, Verifier};
use assay_x402::Preferences;
use serde::Serialize;
use serde_json::json;

use super::infer::client_error;
use super::{picture, show, system_clock};
use crate::args::DemoArgs;
use crate::config::Config;
use crate::error::CliError;
use crate::node::{Node, development_asset, development_key};
use crate::output::{self, Style};

/// The development account that buys.
const PAYER: u8 = 2;
/// The most the demo pays: 0.10.
const CAP: Amount = Amount(100_000);

/// What the demo shows.
struct Story {
    card: ModelCard,
    sample: Sample,
    bought: Bought,
    report: Report,
    verified_in: Duration,
    tampered: Tampered,
    took: Duration,
    gateway: String,
}

/// What became of a bundle with one byte changed.
#[derive(Serialize)]
struct Tampered {
    byte: usize,
    from: char,
    to: char,
    refusal: Refusal,
}

pub(crate) async fn run(args: DemoArgs) -> Result<ExitCode, CliError> {
    let clock = system_clock();
    let started = clock.monotonic();
    let folder = tempfile::tempdir().map_err(|e| CliError::Io("temporary folder".into(), e))?;
    let mut config = Config::load(None)?;
    config.data = folder.path().to_path_buf();
    config.models.clone_from(&args.models);
    let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    (config.listen, config.chain.devchain_listen) = (any_port, any_port);
    (config.chain.rpc_url, config.chain.network, config.prices) = (None, None, None);
    (config.keys.folder, config.payment.pay_to, config.public_url) = (None, None, None);
    (config.payment.settlement_key_file, config.payment.facilitator_url) = (None, None);
    if !args.json {
        output::note("Starting a gateway with a development chain.");
    }
    let node = Node::start(&config, clock.clone(), Arc::new(SystemRandomness)).await?;
    let told = tell(&args, &node, &clock, started).await;
    node.stop().await?;
    let story = told?;
    if let Some(path) = &args.out {
        std::fs::write(path, &story.bought.file).map_err(|e| CliError::Io(path.clone(), e))?;
    }
    if args.json {
        print_json(&story)?;
    } else {
        print(&story, &args);
    }
    Ok(ExitCode::SUCCESS)
}

async fn tell(
    args: &DemoArgs,
    node: &Node,
    clock: &Arc<dyn Clock>,
    started: Duration,
) -> Result<Story, CliError> {
    let entry = node.service().parts().catalogue.find(&args.model);
    let entry = entry.ok_or_else(|| CliError::Input(format!("no model `{}`", args.model)))?;
    let (card, samples) = (entry.package().card().clone(), entry.package().samples());
    let sample = samples.get(args.sample).cloned().ok_or_else(|| {
        let message =
            format!("`{}` has samples 0 to {}", args.model, samples.len().saturating_sub(1));
        CliError::Input(message)
    })?;
    let request = InferenceRequest { inputs: vec![sample.input.clone()] };
    // What a buyer would do: pin the operator and the model beforehand.
    let policy = format!(
        "operators = [\"{}\"]\n[models]\n{} = [\"{}\"]\n",
        node.service().parts().operator.id(),
        card.name,
        entry.used().id()
    );
    let policy = Policy::from_toml(&policy).map_err(CliError::failed)?;
    let verifier = Verifier::new(policy, Methods::standard());
    let key = Arc::new(development_key(PAYER)?);
    let random = Arc::new(SystemRandomness);
    let buyer = Buyer::new(&node.url(), key, clock.clone(), random, BuyerConfig::default());
    let order = InferenceOrder {
        model: card.name.clone(),
        method: Method::SIGNED,
        request: request.clone(),
        preferences: Preferences::new().with_cap(development_asset()?.id, CAP),
    };
    let bought =
        buyer.map_err(client_error)?.infer(order, &verifier).await.map_err(client_error)?;

    let expectation = Expectation { input: Some(request), nonce: None };
    let before = clock.monotonic();
    let report =
        verifier.verify(&bought.file, &expectation, clock.now()).map_err(CliError::failed)?;
    let verified_in = clock.monotonic().saturating_sub(before);
    let tampered = tamper(&bought, &verifier, &expectation, clock.as_ref())?;
    let took = clock.monotonic().saturating_sub(started);
    let gateway = node.url();
    Ok(Story { card, sample, bought, report, verified_in, tampered, took, gateway })
}

/// Changes one byte of the output in the bundle's file, and verifies it again.
fn tamper(
    bought: &Bought,
    verifier: &Verifier,
    expectation: &Expectation,
    clock: &dyn Clock,
) -> Result<Tampered, CliError> {
    let mut bundle: Bundle = bought.bundle.clone();
    let output = bundle.items.first_mut().and_then(|item| item.output.as_mut());
    let output = output.ok_or_else(|| CliError::Failed("there is no output".to_owned()))?;
    // The first digit of the first number of the output's data.
    let data = output.windows(8).position(|window| window == b"\"data\":[").unwrap_or_default();
    let at = output.iter().skip(data).position(u8::is_ascii_digit).unwrap_or_default() + data;
    let byte =
        output.get_mut(at).ok_or_else(|| CliError::Failed("the output is empty".to_owned()))?;
    let from = char::from(*byte);
    *byte = if *byte == b'9' { b'1' } else { *byte + 1 };
    let to = char::from(*byte);
    let file = bundle.to_bytes().map_err(CliError::failed)?;
    let report = verifier.verify(&file, expectation, clock.now()).map_err(CliError::failed)?;
    match report.refusal {
        Some(refusal) => Ok(Tampered { byte: at, from, to, refusal }),
        None => Err(CliError::Failed("a changed output was not refused".to_owned())),
    }
}

fn print(story: &Story, args: &DemoArgs) {
    let style = Style::of_stdout();
    let Story { card, sample, bought, .. } = story;
    let label = card.labels.get(sample.label).map_or("unknown", String::as_str);
    let prediction = card.top_label(&bought.output).unwrap_or("none");
    let right = if prediction == label { style.good("right") } else { style.bad("wrong") };
    let beside = [
        format!("{} ({} {})", style.bold(&card.title), card.name, card.version),
        format!("sample {} of the held-out split", args.sample),
        String::new(),
        format!("prediction  {}", style.bold(prediction)),
        format!("label       {label}, so it is {right}"),
        format!("engine      {}", engine(&story.report)),
    ];
    output::line("");
    let lines = picture::draw(&sample.input).unwrap_or_default();
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
    for row in 0..lines.len().max(beside.len()) {
        let left = lines.get(row).map_or("", String::as_str);
        let right = beside.get(row).map_or("", String::as_str);
        output::line(format_args!("  {left:<width$}   {right}").to_string().trim_end());
    }
    let amount = bought.offer.amount.to_decimal(6);
    output::line("");
    output::line(style.bold("Bought over x402"));
    output::line(format_args!("  at          {}", story.gateway));
    output::line(format_args!(
        "  price       {amount} devUSD for `signed`, answered and settled in {}",
        millis(bought.answered_in)
    ));
    output::line("");
    output::line(style.bold("The receipt, verified offline"));
    show::report(&story.report, style);
    output::line(format_args!(
        "  took        {}, from a bundle of {} bytes",
        millis(story.verified_in),
        bought.file.len()
    ));
    output::line("");
    let Tampered { byte, from, to, refusal } = &story.tampered;
    output::line(style.bold("The same with one byte of the output changed"));
    output::line(format_args!("  changed     `{from}` to `{to}` at byte {byte} of the output"));
    output::line(format_args!("  verdict     {}: {}", style.bad("refused"), refusal.check));
    output::line(format_args!("  expected    {}", refusal.expected));
    output::line(format_args!("  got         {}", refusal.got));
    output::line("");
    output::line(style.faint(&format!("All of it took {}.", millis(story.took))));
}

fn print_json(story: &Story) -> Result<(), CliError> {
    let Story { card, sample, bought, report, tampered, .. } = story;
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    output::json(&json!({
        "model": card.name,
        "label": card.labels.get(sample.label),
        "prediction": card.top_label(&bought.output),
        "input": sample.input,
        "outputs": bought.output.outputs,
        "gateway": story.gateway,
        "offer": bought.offer,
        "settlement": bought.settlement,
        "report": report,
        "bundleBytes": bought.file.len(),
        "tampered": tampered,
        "answeredInMicroseconds": micros(bought.answered_in),
        "verifiedInMicroseconds": micros(story.verified_in),
        "tookMicroseconds": micros(story.took),
    }))
}

fn engine(report: &Report) -> String {
    report.items.first().map_or_else(String::new, |item| item.model.engine.clone())
}

fn millis(duration: Duration) -> String {
    let micros = duration.as_micros();
    format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10)
}
