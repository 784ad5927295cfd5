use std::fmt;

use assay_primitives::{Account, Amount, Digest, Network, Timestamp, printable};
use assay_receipt::{
    Authorization, Envelope, KeyManifest, Receipt, SettlementPredicate, SettlementStatus,
};
use serde::{Deserialize, Serialize};

use crate::refusal::listed;
use crate::settlement::open_settlement;
use crate::{Check, Refusal, TimeBasis, Verified};

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
    /// Moved, within what was authorised.
    Settled,
    /// Nothing was owed.
    Zero,
}

impl PaymentReport {
    /// Returns what the time of the receipt is based on.
    pub(crate) const fn time_basis(&self) -> TimeBasis {
        if self.block_time.is_some() { TimeBasis::Settled } else { TimeBasis::Asserted }
    }
}

impl PaymentState {
    /// Returns the state's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorized => "authorized",
            Self::Failed => "failed",
            Self::Refunded => "refunded",
            Self::Reorged => "reorged",
            Self::Settled => "settled",
            Self::Zero => "zero",
        }
    }

    /// Returns the state that a record leads to, or `None` when it cannot follow on this one.
    const fn after(self, status: SettlementStatus) -> Option<Self> {
        match (self, status) {
            // What was given up as failed may have been carried out by somebody else after all.
            (Self::Authorized | Self::Failed | Self::Reorged, SettlementStatus::Settled) => {
                Some(Self::Settled)
            }
            (Self::Authorized | Self::Reorged, SettlementStatus::Failed) => Some(Self::Failed),
            (Self::Authorized, SettlementStatus::Zero) => Some(Self::Zero),
            (Self::Settled, SettlementStatus::Reorged) => Some(Self::Reorged),
            (Self::Settled | Self::Refunded, SettlementStatus::Refunded) => Some(Self::Refunded),
            _ => None,
        }
    }
}

impl fmt::Display for PaymentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Checks every settlement record of a receipt, oldest first, and sums up what they say.
/// `receipt_digest` is the digest of the envelope that `receipt` was opened from.
///
/// # Errors
/// One of the `settlement.*` checks.
pub fn open_payment(
    records: &[Envelope],
    manifest: &Verified<KeyManifest>,
    receipt: &Verified<Receipt>,
    receipt_digest: Digest,
    now: Timestamp,
) -> Result<PaymentReport, Refusal> {
    let opened = Refusal::all_or_first(
        records
            .iter()
            .map(|envelope| open_settlement(envelope, manifest, receipt, receipt_digest, now)),
    )?;
    check_each_once(records)?;
    let mut report = PaymentReport::of(&receipt.predicate().authorization);
    let mut before = None;
    for record in opened.iter().map(|record| record.predicate()) {
        if before.is_some_and(|before| record.recorded_at < before) {
            let expected = "the settlement records oldest first";
            return Err(Refusal::new(Check::SettlementOrder, expected, record.recorded_at));
        }
        before = Some(record.recorded_at);
        report.add(record)?;
    }
    Ok(report)
}

fn check_each_once(records: &[Envelope]) -> Result<(), Refusal> {
    let mut digests: Vec<Digest> = records.iter().map(|e| e.digest()).collect();
    digests.sort_unstable();
    match digests.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => {
            let expected = "each settlement record once";
            Err(Refusal::new(Check::SettlementOrder, expected, listed(pair)))
        }
        None => Ok(()),
    }
}

impl PaymentReport {
    fn of(terms: &Authorization) -> Self {
        Self {
            state: PaymentState::Authorized,
            scheme: printable(&terms.scheme, 64),
            network: terms.network.clone(),
            asset: terms.asset.clone(),
            payer: terms.payer.clone(),
            pay_to: terms.pay_to.clone(),
            authorized: terms.amount,
            settled: Amount::ZERO,
            refunded: Amount::ZERO,
            transaction: None,
            block_time: None,
        }
    }

    /// Takes the next record in.
    fn add(&mut self, record: &SettlementPredicate) -> Result<(), Refusal> {
        self.state = self.state.after(record.status).ok_or_else(|| {
            let expected = format!("what can follow on `{}`", self.state);
            let got = format!("{:?}", record.status).to_lowercase();
            Refusal::new(Check::SettlementOrder, expected, got)
        })?;
        match self.state {
            PaymentState::Settled => {
                self.settled = record.amount;
                self.transaction = record.transaction.as_deref().map(|text| printable(text, 128));
                self.block_time = record.block.as_ref().map(|block| block.time);
            }
            PaymentState::Refunded => {
                let refunded = self.refunded.checked_add(record.amount);
                let Some(refunded) = refunded.filter(|refunded| *refunded <= self.settled) else {
                    let expected = format!("refunds of at most {}", self.settled);
                    let got = format!("{} after {}", record.amount, self.refunded);
                    return Err(Refusal::new(Check::SettlementOrder, expected, got));
                };
                self.refunded = refunded;
            }
            _ => {
                self.settled = Amount::ZERO;
                self.transaction = None;
                self.block_time = None;
            }
        }
        Ok(())
    }
}
