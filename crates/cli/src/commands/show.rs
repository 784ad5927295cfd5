//! What verification found, in words: the verdict, the reason, and then the facts.

use assay_primitives::printable;
use assay_verify::{
    Check, ItemReport, PaymentReport, PaymentState, Refusal, Report, TimeBasis, Verdict,
};

use crate::money;
use crate::output::{self, Style, detail};

/// Prints a report.
pub(super) fn report(report: &Report, style: Style) {
    head(report, style);
    if report.refusal.is_some() {
        return;
    }
    for one in &report.items {
        item(one, report.items.len() > 1, style);
    }
    tail(report, style);
}

/// Prints what a report says of the whole, for who prints the items otherwise.
pub(super) fn transaction(report: &Report, style: Style) {
    head(report, style);
    tail(report, style);
}

fn head(report: &Report, style: Style) {
    output::line(format_args!("{} {}", verdict(&report.verdict, style), reason(report)));
    if let Some(refusal) = &report.refusal {
        why(refusal);
    }
    if let Some(operator) = &report.operator {
        detail("operator", operator);
    }
    if let (Some(transaction), Some(at)) = (&report.transaction, &report.issued_at) {
        detail("transaction", transaction);
        detail("signed", format_args!("{at} {}", clock(report.time_basis)));
    }
}

fn tail(report: &Report, style: Style) {
    if let Some(paid) = &report.payment {
        payment(paid);
    }
    for note in &report.notes {
        let note = printable(note, 256);
        output::line(style.faint(&format!("  {:<11} {note}", "note")));
    }
}

/// Prints the verdict of a report alone, below a heading.
pub(super) fn verdict_line(report: &Report, style: Style) {
    output::line(format_args!("  {} {}", verdict(&report.verdict, style), reason(report)));
}

/// Prints a failed check with both values.
pub(super) fn why(refusal: &Refusal) {
    if let Some(item) = refusal.item {
        detail("item", item);
    }
    detail("check", refusal.check);
    detail("expected", &refusal.expected);
    detail("got", &refusal.got);
}

fn item(item: &ItemReport, many: bool, style: Style) {
    if many {
        let verdict = verdict(&item.verdict, style);
        let name = item.id.as_ref().map_or_else(String::new, |id| format!(" `{id}`"));
        output::line(format_args!("  {:<11} {verdict}{name}", format!("item {}", item.index)));
    }
    let model = &item.model;
    let pinned = if model.pinned { ", as the policy pins it" } else { "" };
    detail(
        "model",
        format_args!("{} {}, run by {}{pinned}", model.name, model.version, model.engine),
    );
    detail("model id", model.id);
    detail("method", format_args!("{}: you have to believe {}", item.method, item.believe));
    if let Some(at) = &item.signed_at {
        detail("ran at", format_args!("{at}, by the enclave's clock"));
    }
    detail("outcome", &item.outcome);
    for note in &item.notes {
        let note = printable(note, 256);
        output::line(style.faint(&format!("  {:<11} {note}", "note")));
    }
}

fn payment(payment: &PaymentReport) {
    let amount = |units| money::shown(units, &payment.network, &payment.asset);
    let (network, authorized) = (&payment.network, amount(payment.authorized));
    match payment.state {
        PaymentState::Authorized => {
            detail(
                "authorised",
                format_args!("{authorized} on {network}; no word of a settlement"),
            );
        }
        PaymentState::Settled => {
            detail("paid", format_args!("{} on {network}", amount(payment.settled)));
        }
        PaymentState::Refunded => {
            detail("paid", format_args!("{} on {network}", amount(payment.settled)));
            detail("refunded", format_args!("{} of it", amount(payment.refunded)));
        }
        PaymentState::Failed => detail("not paid", format_args!("{authorized}: it failed")),
        PaymentState::Reorged => {
            detail(
                "not paid",
                format_args!("{authorized}: its block is gone, it may settle again"),
            );
        }
        PaymentState::Zero => detail("paid", "nothing, as nothing was owed"),
        _ => detail("payment", "in a state this version does not know"),
    }
    detail("from", &payment.payer);
    detail("to", &payment.pay_to);
    if let Some(transaction) = &payment.transaction {
        detail("by", transaction);
    }
    if let Some(time) = &payment.block_time {
        detail("settled at", time);
    }
}

/// Returns the verdict's name, at least as wide as a label, so that colour does not shift a line.
pub(super) fn verdict(verdict: &Verdict, style: Style) -> String {
    let name = format!("{:<11}", verdict.as_str());
    match verdict {
        Verdict::Verified { .. } => style.good(&name),
        Verdict::Refused(_) => style.bad(&name),
        _ => style.middling(&name),
    }
}

fn reason(report: &Report) -> &'static str {
    match &report.verdict {
        Verdict::Verified { .. } => "every check held; the policy pins operator and model",
        Verdict::Simulated => match &report.payment {
            Some(paid) if !paid.network.is_development() => {
                "every check held, but under development roots"
            }
            Some(paid) if matches!(paid.state, PaymentState::Settled | PaymentState::Refunded) => {
                "every check held, but it was paid with play money"
            }
            Some(_) => "every check held, but on a development chain, and it is not paid",
            _ => "every check held, but under development roots",
        },
        Verdict::Consistent => "every check held, but no policy pins all that it rests on",
        Verdict::Refused(refusal) => meaning(refusal.check),
        _ => "a verdict that this version does not know",
    }
}

/// What it means that a check failed.
pub(super) fn meaning(check: Check) -> &'static str {
    match check {
        Check::BundleEncoding => "the file was changed after it was written",
        Check::ItemRequest => "the request is not the one that the receipt is about",
        Check::ItemOutput => "the output is not the one that the receipt is about",
        Check::ItemInclusion => "the item does not belong to this receipt",
        Check::ReceiptKeyRevoked => "the operator revoked the key that signed it",
        Check::ReceiptOperator => "receipt and key manifest are of different operators",
        Check::ReceiptTime => "it is from the future",
        Check::ExpectedInput => "it is about another input than yours",
        Check::ExpectedNonce => "it is about another request than yours",
        _ => match check.as_str().split('.').next() {
            Some("bundle") => "this bundle cannot be read here",
            Some("manifest") => "the operator's key manifest does not hold",
            Some("receipt") => "the receipt does not hold",
            Some("item") => "an item does not hold",
            Some("settlement") => "a settlement record does not hold",
            Some("policy") => "the policy does not accept it",
            _ => "a check failed",
        },
    }
}

/// Whose clock the time of a receipt is by.
fn clock(basis: Option<TimeBasis>) -> &'static str {
    match basis {
        Some(TimeBasis::Witnessed) => "by witnesses' clocks",
        _ => "by the operator's clock",
    }
}
