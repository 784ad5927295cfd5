use assay_primitives::{Account, Amount, Network, Timestamp};
use assay_receipt::{
    Authorization, ReceiptPredicate, SettlementPredicate, SettlementRecord, SettlementStatus,
};
use serde::{Deserialize, Serialize};

use crate::{Check, Refusal, Verified};

/// What became of the money, as the operator's records say. A verifier that wants more than the
/// operator's word looks the transaction up on its network.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PaymentReport {
    /// How far the payment is.
    pub state: PaymentState,
    /// The x402 scheme.
    pub scheme: String,
    /// The network.
    pub network: Network,
    /// The asset on it.
    pub asset: Account,
    /// Who pays.
    pub payer: Account,
    /// Who is paid.
    pub pay_to: Account,
    /// What was authorised, in atomic units.
    pub authorized: Amount,
    /// What was moved, in atomic units.
    pub settled: Amount,
    /// What was given back, in atomic units.
    pub refunded: Amount,
    /// The network's transaction that settled it.
    pub transaction: Option<String>,
    /// The time of the block it is in.
    pub block_time: Option<Timestamp>,
}

/// How far a payment is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PaymentState {
    /// Authorised, and no word yet of what became of it.
    Authorized,
    /// Cannot be settled any more.
    Failed,
    /// Given back, in part or whole.
    Refunded,
    /// The block that settled it is gone; it may settle again.
    Reorged,
    /// Moved as authorised.
    Settled,
    /// Nothing was owed.
    Zero,
}

/// Checks that a record moves money as the receipt authorises, and says all its status asks for.
pub(crate) fn check_terms(
    record: &SettlementPredicate,
    receipt: &ReceiptPredicate,
) -> Result<(), Refusal> {
    let terms = &receipt.authorization;
    let wrong = |what: &str, expected: String, got: String| {
        Err(Refusal::new(Check::SettlementTerms, format!("{what} {expected}"), got))
    };
    if record.operator != receipt.operator {
        return wrong("operator", receipt.operator.to_string(), record.operator.to_string());
    }
    if record.network != terms.network {
        return wrong("network", terms.network.to_string(), record.network.to_string());
    }
    // A refund goes the other way.
    let (from, to) = match record.status {
        SettlementStatus::Refunded => (&terms.pay_to, &terms.payer),
        _ => (&terms.payer, &terms.pay_to),
    };
    for (what, expected, got) in [
        ("asset", &terms.asset, &record.asset),
        ("payer", from, &record.payer),
        ("payTo", to, &record.pay_to),
    ] {
        if !expected.is_same(got) {
            return wrong(what, expected.to_string(), got.to_string());
        }
    }
    check_amount(record, terms)
}

fn check_amount(record: &SettlementPredicate, terms: &Authorization) -> Result<(), Refusal> {
    let wrong =
        |expected: String, got: String| Err(Refusal::new(Check::SettlementTerms, expected, got));
    let moves = matches!(record.status, SettlementStatus::Settled | SettlementStatus::Refunded);
    if moves && (record.amount == Amount::ZERO || record.amount > terms.amount) {
        return wrong(format!("an amount from 1 to {}", terms.amount), record.amount.to_string());
    }
    if !moves && record.amount != Amount::ZERO {
        return wrong("amount 0".to_owned(), record.amount.to_string());
    }
    if moves && (record.transaction.is_none() || record.block.is_none()) {
        return wrong("a transaction and its block".to_owned(), "none".to_owned());
    }
    if let (SettlementStatus::Settled, Some(block)) = (record.status, &record.block)
        && block.time >= terms.valid_before
    {
        return wrong(format!("a block before {}", terms.valid_before), block.time.to_string());
    }
    Ok(())
}

/// Sums up what the records say, oldest first.
///
/// # Errors
/// [`Check::SettlementTerms`] when more was given back than moved.
pub(crate) fn report(
    terms: &Authorization,
    records: &[Verified<SettlementRecord>],
) -> Result<PaymentReport, Refusal> {
    let mut report = PaymentReport {
        state: PaymentState::Authorized,
        scheme: terms.scheme.clone(),
        network: terms.network.clone(),
        asset: terms.asset.clone(),
        payer: terms.payer.clone(),
        pay_to: terms.pay_to.clone(),
        authorized: terms.amount,
        settled: Amount::ZERO,
        refunded: Amount::ZERO,
        transaction: None,
        block_time: None,
    };
    for record in records.iter().map(|record| record.predicate()) {
        match record.status {
            SettlementStatus::Refunded => {
                report.state = PaymentState::Refunded;
                report.refunded = Amount(report.refunded.0.saturating_add(record.amount.0));
            }
            SettlementStatus::Settled => {
                report.state = PaymentState::Settled;
                report.settled = record.amount;
                report.transaction.clone_from(&record.transaction);
                report.block_time = record.block.as_ref().map(|block| block.time);
            }
            status => {
                report.state = match status {
                    SettlementStatus::Reorged => PaymentState::Reorged,
                    SettlementStatus::Zero => PaymentState::Zero,
                    _ => PaymentState::Failed,
                };
                report.settled = Amount::ZERO;
                report.transaction = None;
                report.block_time = None;
            }
        }
        if report.refunded > report.settled {
            let expected = format!("refunds of at most {}", report.settled);
            return Err(Refusal::new(Check::SettlementTerms, expected, report.refunded));
        }
    }
    Ok(report)
}
