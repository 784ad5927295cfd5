use std::time::Duration;

use assay_attest::KeyAttestation;
use assay_primitives::{Amount, Digest, Tensor, encoding};
use assay_receipt::SettlementBlock;
use assay_verify::{PaymentReport, Report};
use assay_x402::{PaymentRequirements, SettleResponse};
use serde::Serialize;

use super::{Balance, InEnclave, Proven, Story, Tampered};
use crate::args::DemoArgs;
use crate::commands::{picture, show};
use crate::error::CliError;
use crate::money;
use crate::output::{self, Style, detail, line};

/// Tells the story in short parts, none wider than a terminal of 80 columns.
pub(super) fn text(story: &Story, args: &DemoArgs) {
    let style = Style::of_stdout();
    ask(story, args, style);
    pay(story, style);
    verify(story, style);
    tamper(&story.tampered, style);
    enclave(&story.enclave, style);
    if let Some(proven) = &story.proven {
        proof(proven, story, style);
    }
    line("");
    line(style.faint(&format!("All of it took {}.", millis(story.took))));
    match &args.out {
        Some(path) => {
            let path = path.display();
            line(format_args!("Next: `assay verify {path}`, or `assay serve` to sell."));
        }
        None => line("Next: `assay serve` to sell, `assay infer` to buy, `assay --help` for more."),
    }
}

fn ask(story: &Story, args: &DemoArgs, style: Style) {
    let Story { card, sample, bought, .. } = story;
    let label = card.labels.get(sample.label).map_or("unknown", String::as_str);
    let answer = card.top_label(&bought.output).unwrap_or("none");
    let right = if answer == label { style.good("right") } else { style.bad("wrong") };
    let beside = [
        format!("model       {} {}", card.name, card.version),
        format!("input       one of its samples, number {}", args.sample),
        String::new(),
        format!("answer      {}", style.bold(answer)),
        format!("truth       {label}, so the model is {right}"),
    ];
    heading(&format!("1. Ask a model: {}", card.title), style);
    let lines = picture::draw(&sample.input).unwrap_or_default();
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
    for row in 0..lines.len().max(beside.len()) {
        let left = lines.get(row).map_or("", String::as_str);
        let right = beside.get(row).map_or("", String::as_str);
        let gap = if width == 0 { "" } else { "   " };
        line(format!("  {left:<width$}{gap}{right}").trim_end());
    }
}

fn pay(story: &Story, style: Style) {
    heading("2. Pay for it over x402, with the play money of a development chain", style);
    let Some(paid) = &story.report.payment else { return };
    let amount = |units: Amount| money::shown(units, &paid.network, &paid.asset);
    detail(
        "offer",
        format_args!("{} for one inference, certified as `signed`", amount(paid.authorized)),
    );
    detail("payer", moved(&story.payer, paid));
    detail("seller", moved(&story.seller, paid));
    if let (Some(block), Some(by)) = (&story.block, &paid.transaction) {
        detail("settled", format_args!("in block {}, {}", block.number, block.time));
        detail("by", by);
    }
    detail("took", format_args!("{}, answer and settlement", millis(story.bought.answered_in)));
}

fn moved(balance: &Balance, paid: &PaymentReport) -> String {
    let whole = |units| money::shown(units, &paid.network, &paid.asset);
    let before = whole(balance.before);
    let before = before.split(' ').next().unwrap_or_default();
    format!("{}  {before} -> {}", short(balance.account.as_str()), whole(balance.after))
}

fn verify(story: &Story, style: Style) {
    let report = &story.report;
    heading("3. Verify the receipt, without asking the seller", style);
    show::verdict_line(report, style);
    if let Some(item) = report.items.first() {
        let model = &item.model;
        let model_name = format!("{} {}", model.name, model.version);
        detail("says", format_args!("model {model_name} gave this output for this input"));
        detail("engine", &model.engine);
        detail("believe", format_args!("{}: the method is `{}`", item.believe, item.method));
        if let (Some(operator), Some(at)) = (&report.operator, &report.issued_at) {
            let operator = short(&operator.to_string());
            detail("signed by", format_args!("operator {operator}, {at}"));
        }
        let model = short(&model.id.to_string());
        detail("pinned", format_args!("by the buyer beforehand: this operator, model {model},"));
        detail("", "method, network, payee, highest price, age, and that it is settled");
    }
    for note in &report.notes {
        detail("note", note);
    }
    let bytes = story.bought.file.len();
    detail(
        "took",
        format_args!("{}, offline, from a bundle of {bytes} bytes", millis(story.verified_in)),
    );
}

fn tamper(tampered: &Tampered, style: Style) {
    let Tampered { byte, from, to, refusal } = tampered;
    heading("4. Change one byte of the answer, and verify again", style);
    let meaning = show::meaning(refusal.check);
    line(format_args!("  {} {meaning}", style.bad(&format!("{:<11}", "refused"))));
    detail("changed", format_args!("byte {byte} of the output, from `{from}` to `{to}`"));
    show::why(refusal);
}

fn enclave(enclave: &InEnclave, style: Style) {
    let InEnclave { bought, report, verified_in, without_root, attestation } = enclave;
    heading("5. Ask again, in an enclave: the method `tee`", style);
    show::verdict_line(report, style);
    line(style.middling("  No TEE of this machine is used: the enclave is simulated."));
    if let Some(paid) = &report.payment {
        let price = money::shown(paid.authorized, &paid.network, &paid.asset);
        detail("offer", format_args!("{price} for one inference, certified as `tee`"));
    }
    let binding = &attestation.binding;
    let key = encoding::hex(Digest::of(&binding.epoch_key).as_bytes());
    detail("signed by", format_args!("key {}, made in the enclave", short(&key)));
    let kind = attestation.evidence.kind();
    detail("attested", format_args!("key, engine and models, by a simulated `{kind}` document"));
    detail("", format_args!("the key is used until {}", binding.not_after));
    if let Some(item) = report.items.first() {
        detail("believe", &item.believe);
        detail("evidence", format_args!("{} bytes, in the bundle", item.evidence_bytes));
    }
    if without_root.refusal.is_some() {
        let refused = style.bad(&format!("{:<11}", "refused"));
        line(format_args!("  {refused} by a verifier that is not given the simulation's root"));
    }
    let (took, verified) = (millis(bought.answered_in), millis(*verified_in));
    detail("took", format_args!("{took} with settlement, {verified} to verify"));
}

fn proof(proven: &Proven, story: &Story, style: Style) {
    let Proven { bought, report, verified_in } = proven;
    heading("6. Ask again, with a proof: the method `zkml`", style);
    show::verdict_line(report, style);
    if let Some(paid) = &report.payment {
        let price = money::shown(paid.authorized, &paid.network, &paid.asset);
        detail("offer", format_args!("{price} for one inference, certified as `zkml`"));
    }
    let answer = story.card.top_label(&bought.output).unwrap_or("none");
    detail("answer", format_args!("{}, by the model's program in integers", style.bold(answer)));
    if let Some(item) = report.items.first() {
        let program = short(&item.model.id.to_string());
        detail("proven", format_args!("program {program} gives this output for this input"));
        detail("believe", &item.believe);
        detail("evidence", format_args!("{} bytes, in the bundle", item.evidence_bytes));
    }
    let (took, verified) = (seconds(bought.answered_in), millis(*verified_in));
    detail("took", format_args!("{took} with proof and settlement, {verified} to verify"));
}

fn heading(text: &str, style: Style) {
    line("");
    line(style.bold(text));
}

/// What `--json` prints. Serialised at once: floats keep the spelling that was committed to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    model: &'a str,
    label: Option<&'a str>,
    prediction: Option<&'a str>,
    input: &'a Tensor,
    outputs: &'a [Tensor],
    gateway: &'a str,
    offer: &'a PaymentRequirements,
    payer: &'a Balance,
    seller: &'a Balance,
    settlement: &'a Option<SettleResponse>,
    block: &'a Option<SettlementBlock>,
    report: &'a Report,
    bundle_bytes: usize,
    tampered: &'a Tampered,
    tee: ToldOfEnclave<'a>,
    zkml: Option<ToldOfProof<'a>>,
    answered_in_microseconds: Option<u64>,
    verified_in_microseconds: Option<u64>,
    took_microseconds: Option<u64>,
}

/// What it prints of the inference in an enclave.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToldOfEnclave<'a> {
    offer: &'a PaymentRequirements,
    report: &'a Report,
    without_root: &'a Report,
    attestation: &'a KeyAttestation,
    bundle_bytes: usize,
    answered_in_microseconds: Option<u64>,
    verified_in_microseconds: Option<u64>,
}

/// What it prints of the inference with a proof.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToldOfProof<'a> {
    offer: &'a PaymentRequirements,
    outputs: &'a [Tensor],
    report: &'a Report,
    bundle_bytes: usize,
    answered_in_microseconds: Option<u64>,
    verified_in_microseconds: Option<u64>,
}

pub(super) fn json(story: &Story) -> Result<(), CliError> {
    let Story { card, sample, bought, .. } = story;
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).ok();
    output::json(&Told {
        model: &card.name,
        label: card.labels.get(sample.label).map(String::as_str),
        prediction: card.top_label(&bought.output),
        input: &sample.input,
        outputs: &bought.output.outputs,
        gateway: &story.gateway,
        offer: &bought.offer,
        payer: &story.payer,
        seller: &story.seller,
        settlement: &bought.settlement,
        block: &story.block,
        report: &story.report,
        bundle_bytes: bought.file.len(),
        tampered: &story.tampered,
        tee: ToldOfEnclave {
            offer: &story.enclave.bought.offer,
            report: &story.enclave.report,
            without_root: &story.enclave.without_root,
            attestation: &story.enclave.attestation,
            bundle_bytes: story.enclave.bought.file.len(),
            answered_in_microseconds: micros(story.enclave.bought.answered_in),
            verified_in_microseconds: micros(story.enclave.verified_in),
        },
        zkml: story.proven.as_ref().map(|proven| ToldOfProof {
            offer: &proven.bought.offer,
            outputs: &proven.bought.output.outputs,
            report: &proven.report,
            bundle_bytes: proven.bought.file.len(),
            answered_in_microseconds: micros(proven.bought.answered_in),
            verified_in_microseconds: micros(proven.verified_in),
        }),
        answered_in_microseconds: micros(bought.answered_in),
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

fn seconds(duration: Duration) -> String {
    format!("{}.{:02} s", duration.as_secs(), duration.subsec_millis() / 10)
}

fn millis(duration: Duration) -> String {
    let micros = duration.as_micros();
    format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10)
}
