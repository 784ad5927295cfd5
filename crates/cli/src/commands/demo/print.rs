use std::time::Duration;

use assay_primitives::{Amount, InferenceOutput, ItemId, Method, Tensor};
use assay_receipt::SettlementBlock;
use assay_verify::{PaymentReport, Report};
use assay_x402::{PaymentRequirements, SettleResponse};
use serde::Serialize;

use super::{Asked, Balance, Disclosed, Story, Tampered};
use crate::args::DemoArgs;
use crate::commands::{picture, show};
use crate::error::CliError;
use crate::money;
use crate::output::{self, Style, detail, line, micros};

/// Says what is about to be bought; the table of the items follows.
pub(super) fn beginning(asked: &[Asked]) {
    let style = Style::of_stdout();
    heading("1. Ask three models, and choose for each how its answer is certified", style);
    let Some((one, lines)) =
        asked.iter().find_map(|one| Some((one, picture::draw(&one.sample.input)?)))
    else {
        return;
    };
    let beside = format!("`{}` is asked about this picture", one.id);
    for (row, text) in lines.iter().enumerate() {
        let beside = if row == lines.len() / 2 { beside.as_str() } else { "" };
        line(format!("  {text}   {beside}").trim_end());
    }
}

/// Tells the rest of the story in short parts, none wider than a terminal of 80 columns.
pub(super) fn text(story: &Story, args: &DemoArgs) {
    let style = Style::of_stdout();
    answers(story, style);
    pay(story, style);
    verify(story, style);
    tamper(story, style);
    disclose(&story.disclosed, story, style);
    line("");
    line(style.faint(&format!("All of it took {}.", millis(story.took))));
    match &args.out {
        Some(path) => {
            let (path, root) = (path.display(), super::root_beside(path));
            line(format_args!("Next: assay verify {path} --development-root {}", root.display()));
        }
        None => line("Next: `assay serve` to sell, `assay buy` to buy, `assay --help` for more."),
    }
}

fn answers(story: &Story, style: Style) {
    for (asked, output) in story.asked.iter().zip(outputs(story)) {
        let card = asked.card();
        let label = card.labels.get(asked.sample.label).map_or("unknown", String::as_str);
        let answer = card.top_label(output).unwrap_or("none");
        let right = if answer == label { style.good("right") } else { style.bad("wrong") };
        let text = format!("{} answers {}, which is {right}", card.name, style.bold(answer));
        line(format_args!("  {:<11} {text}", asked.id.as_str()));
    }
}

/// Returns what the items gave. None failed: the outcome policy is `all`.
fn outputs(story: &Story) -> impl Iterator<Item = &InferenceOutput> {
    story.bought.output.iter().filter_map(|output| output.as_ref().ok())
}

fn pay(story: &Story, style: Style) {
    heading("2. Pay once for all of it over x402, with the play money of a chain here", style);
    let Some(paid) = &story.report.payment else { return };
    let amount = |units: Amount| money::shown(units, &paid.network, &paid.asset);
    let count = story.asked.len();
    detail(
        "offer",
        format_args!("{} for {count} inferences, each at its price", amount(paid.authorized)),
    );
    detail("payer", moved(&story.payer, paid));
    detail("seller", moved(&story.seller, paid));
    if let (Some(block), Some(by)) = (&story.block, &paid.transaction) {
        detail("settled", format_args!("in block {}, {}", block.number, block.time));
        detail("by", by);
    }
    detail("took", format_args!("{}, answers and settlement", millis(story.bought.answered_in)));
}

fn moved(balance: &Balance, paid: &PaymentReport) -> String {
    let whole = |units| money::shown(units, &paid.network, &paid.asset);
    let before = whole(balance.before);
    let before = before.split(' ').next().unwrap_or_default();
    format!("{}  {before} -> {}", short(balance.account.as_str()), whole(balance.after))
}

fn verify(story: &Story, style: Style) {
    let report = &story.report;
    heading("3. Verify one receipt, without asking the seller: whom you have to believe", style);
    show::verdict_line(report, style);
    for (asked, item) in story.asked.iter().zip(&report.items) {
        detail(asked.id.as_str(), &item.believe);
    }
    if let (Some(operator), Some(at)) = (&report.operator, &report.issued_at) {
        let operator = short(&operator.to_string());
        detail("signed by", format_args!("operator {operator}, {at}"));
    }
    detail("pinned", "by the buyer beforehand: operator, models, methods, network,");
    detail("", "payee, highest price, age, and that it is settled");
    if story.asked.iter().any(|one| one.method == Method::TEE) {
        line(style.middling("  No TEE of this machine is used: the enclave is simulated."));
    }
    let (took, bytes) = (millis(story.verified_in), story.bought.file.len());
    detail("took", format_args!("{took}, offline, from a bundle of {bytes} bytes"));
}

fn tamper(story: &Story, style: Style) {
    heading("4. Change one byte of each answer, and verify again", style);
    let refused = style.bad(&format!("{:<11}", "refused"));
    for Tampered { item, byte, from, to, refusal } in &story.tampered {
        let item = item.as_ref().map(ItemId::as_str).unwrap_or_default();
        line(format_args!(
            "  {refused} {item:<10}  byte {byte}, `{from}` to `{to}`: {}",
            refusal.check
        ));
    }
    if story.without_root.refusal.is_some() {
        line(format_args!("  {refused} unchanged, by who is not given the simulation's root"));
    }
}

fn disclose(disclosed: &Disclosed, story: &Story, style: Style) {
    let Disclosed { item, bytes, report } = disclosed;
    heading("5. Show somebody one item, and nothing of the others", style);
    show::verdict_line(report, style);
    let of = story.bought.file.len();
    detail("shown", format_args!("`{item}` alone, {bytes} of the bundle's {of} bytes"));
}

fn heading(text: &str, style: Style) {
    line("");
    line(style.bold(text));
}

/// What `--json` prints. Serialised at once: floats keep the spelling that was committed to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    items: Vec<ToldOfItem<'a>>,
    gateway: &'a str,
    offer: &'a PaymentRequirements,
    payer: &'a Balance,
    seller: &'a Balance,
    settlement: &'a Option<SettleResponse>,
    block: &'a Option<SettlementBlock>,
    report: &'a Report,
    without_root: &'a Report,
    bundle_bytes: usize,
    tampered: &'a [Tampered],
    disclosed: ToldOfDisclosed<'a>,
    answered_in_microseconds: Option<u64>,
    verified_in_microseconds: Option<u64>,
    took_microseconds: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToldOfItem<'a> {
    id: &'a ItemId,
    model: &'a str,
    method: &'a Method,
    label: Option<&'a str>,
    prediction: Option<&'a str>,
    price: Amount,
    input: &'a Tensor,
    outputs: &'a [Tensor],
    latency_microseconds: Option<u64>,
}

#[derive(Serialize)]
struct ToldOfDisclosed<'a> {
    item: &'a ItemId,
    bytes: usize,
    report: &'a Report,
}

pub(super) fn json(story: &Story) -> Result<(), CliError> {
    let items = story.asked.iter().zip(outputs(story)).zip(&story.latencies);
    let items = items.map(|((asked, output), latency)| ToldOfItem {
        id: &asked.id,
        model: &asked.card().name,
        method: &asked.method,
        label: asked.card().labels.get(asked.sample.label).map(String::as_str),
        prediction: asked.card().top_label(output),
        price: asked.price.amount,
        input: &asked.sample.input,
        outputs: &output.outputs,
        latency_microseconds: latency.and_then(micros),
    });
    output::json(&Told {
        items: items.collect(),
        gateway: &story.gateway,
        offer: &story.bought.offer,
        payer: &story.payer,
        seller: &story.seller,
        settlement: &story.bought.settlement,
        block: &story.block,
        report: &story.report,
        without_root: &story.without_root,
        bundle_bytes: story.bought.file.len(),
        tampered: &story.tampered,
        disclosed: ToldOfDisclosed {
            item: &story.disclosed.item,
            bytes: story.disclosed.bytes,
            report: &story.disclosed.report,
        },
        answered_in_microseconds: micros(story.bought.answered_in),
        verified_in_microseconds: micros(story.verified_in),
        took_microseconds: micros(story.took),
    })
}

/// Returns both ends of a long id.
fn short(id: &str) -> String {
    let chars: Vec<char> = id.chars().collect();
    let (Some(first), Some(last)) = (chars.get(..10), chars.len().checked_sub(6)) else {
        return id.to_owned();
    };
    let last = chars.get(last..).unwrap_or_default();
    first.iter().chain(&['…']).chain(last).collect()
}

pub(super) fn millis(duration: Duration) -> String {
    let micros = duration.as_micros();
    format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10)
}
