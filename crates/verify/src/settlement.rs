//! A settlement record, against the receipt that it is about.

use assay_primitives::{Amount, Digest, Timestamp};
use assay_receipt::{
    Authorization, Envelope, KeyManifest, Receipt, ReceiptPredicate, SettlementPredicate,
    SettlementRecord, SettlementStatus,
};

use crate::parts::{CLOCK_TOLERANCE, SETTLEMENT_SIGNER};
use crate::{Check, Refusal, Verified};

/// The one x402 scheme in which what is settled is exactly what was authorised.
pub(crate) const EXACT: &str = "exact";

/// Checks a settlement record: signed by a receipt key of the manifest's, about this receipt, and
/// moving the money as that authorises. `receipt_digest` is the digest of the envelope that `receipt`
/// was opened from.
///
/// # Errors
/// One of the `settlement.*` checks.
pub fn open_settlement(
    envelope: &Envelope,
    manifest: &Verified<KeyManifest>,
    receipt: &Verified<Receipt>,
    receipt_digest: Digest,
    now: Timestamp,
) -> Result<Verified<SettlementRecord>, Refusal> {
    let record = SettlementRecord::from_bytes(&envelope.payload)
        .map_err(|error| Refusal::new(Check::SettlementContent, "a settlement record", error))?;
    let predicate = record.predicate();
    SETTLEMENT_SIGNER.check(envelope, manifest, predicate.receipt_key, predicate.recorded_at)?;
    if record.subject() != receipt_digest {
        return Err(Refusal::new(Check::SettlementReceipt, receipt_digest, record.subject()));
    }
    check_terms(predicate, receipt.predicate())?;
    check_times(predicate, receipt.predicate(), now)?;
    Ok(Verified::assertion(record))
}

/// Checks that a record moves money as the receipt authorises, and says all its status asks for.
fn check_terms(record: &SettlementPredicate, receipt: &ReceiptPredicate) -> Result<(), Refusal> {
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
    let settles = record.status == SettlementStatus::Settled;
    let moves = settles || record.status == SettlementStatus::Refunded;
    if settles && terms.scheme == EXACT && record.amount != terms.amount {
        return wrong(format!("exactly {}", terms.amount), record.amount.to_string());
    }
    if moves && (record.amount == Amount::ZERO || record.amount > terms.amount) {
        return wrong(format!("an amount from 1 to {}", terms.amount), record.amount.to_string());
    }
    if !moves && record.amount != Amount::ZERO {
        return wrong("amount 0".to_owned(), record.amount.to_string());
    }
    if moves && (record.transaction.is_none() || record.block.is_none()) {
        return wrong("a transaction and its block".to_owned(), "none".to_owned());
    }
    match &record.block {
        Some(block) if settles && block.time >= terms.valid_before => {
            wrong(format!("a block before {}", terms.valid_before), block.time.to_string())
        }
        _ => Ok(()),
    }
}

/// Checks that a record was made after its receipt and before now, and that its block lies between
/// receipt and record.
fn check_times(
    record: &SettlementPredicate,
    receipt: &ReceiptPredicate,
    now: Timestamp,
) -> Result<(), Refusal> {
    let within = |what: &str, time: Timestamp, earliest: Timestamp, latest: Timestamp| {
        if time.plus(CLOCK_TOLERANCE) >= earliest && time <= latest.plus(CLOCK_TOLERANCE) {
            return Ok(());
        }
        let expected = format!("{what} from {earliest} to {latest}");
        Err(Refusal::new(Check::SettlementTime, expected, time))
    };
    let (issued_at, recorded_at) = (receipt.issued_at, record.recorded_at);
    within("a record", recorded_at, issued_at, now)?;
    match &record.block {
        Some(block) => within("a block", block.time, issued_at, recorded_at),
        None => Ok(()),
    }
}
