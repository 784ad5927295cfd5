//! What verification found, in words.

use assay_verify::{ItemReport, PaymentReport, PaymentState, Report, Verdict};

use crate::output::{self, Style};

/// Prints a report.
pub(super) fn report(report: &Report, style: Style) {
    output::line(format_args!("{}  {}", verdict(&report.verdict, style), meaning(&report.verdict)));
    if let Some(refusal) = &report.refusal {
        if let Some(item) = refusal.item {
            output::line(format_args!("  item        {item}"));
        }
        output::line(format_args!("  check       {}", refusal.check));
        output::line(format_args!("  expected    {}", refusal.expected));
        output::line(format_args!("  got         {}", refusal.got));
    }
    if let Some(operator) = &report.operator {
        output::line(format_args!("  operator    {operator}"));
    }
    if let (Some(transaction), Some(at)) = (&report.transaction, &report.issued_at) {
        output::line(format_args!("  transaction {transaction}"));
        output::line(format_args!("  signed      {at}"));
    }
    if report.verdict.refusal().is_some() {
        return;
    }
    for one in &report.items {
        item(one, style);
    }
    if let Some(paid) = &report.payment {
        payment(paid);
    }
    for note in &report.notes {
        output::line(format_args!("  {}", style.faint(&format!("not pinned  {note}"))));
    }
}

fn item(item: &ItemReport, style: Style) {
    let model = &item.model;
    output::line(format_args!(
        "  item {}      {}, certified as `{}`: you have to believe {}",
        item.index,
        verdict(&item.verdict, style),
        item.method,
        item.believe
    ));
    output::line(format_args!("    model     {} {} {}", model.name, model.version, model.id));
    output::line(format_args!("    engine    {}", model.engine));
    output::line(format_args!("    outcome   {}", item.outcome));
}

fn payment(payment: &PaymentReport) {
    let state = match payment.state {
        PaymentState::Authorized => "authorised, no word of its settlement",
        PaymentState::Settled => "settled",
        PaymentState::Failed => "failed, nothing charged",
        PaymentState::Refunded => "refunded",
        PaymentState::Reorged => "reorged, may settle again",
        PaymentState::Zero => "nothing owed",
        _ => "in a state this version does not know",
    };
    output::line(format_args!(
        "  payment     {state}: {} of {} units of {} on {}",
        payment.settled, payment.authorized, payment.asset, payment.network
    ));
    output::line(format_args!("    from      {} to {}", payment.payer, payment.pay_to));
    if let Some(transaction) = &payment.transaction {
        output::line(format_args!("    by        {transaction}"));
    }
}

pub(super) fn verdict(verdict: &Verdict, style: Style) -> String {
    match verdict {
        Verdict::Verified { .. } => style.good("verified"),
        Verdict::Refused(_) => style.bad("refused"),
        other => style.bold(other.as_str()),
    }
}

fn meaning(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Verified { .. } => {
            "all cryptography holds, and the policy pins operator and model"
        }
        Verdict::Simulated => {
            "all cryptography holds, on a development chain or under development roots"
        }
        Verdict::Consistent => "all cryptography holds, but no policy pins this operator and model",
        Verdict::Refused(_) => "a check failed",
        _ => "",
    }
}
