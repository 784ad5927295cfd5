use assay_primitives::{Account, Amount, KeyId, Network, OperatorId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::statement::{Predicate, SETTLEMENT_PREDICATE_TYPE, Statement};

/// A settlement record: the signed statement about what became of a receipt's money. Its subject is
/// the receipt's digest. One receipt may have several, in the order in which they were made.
pub type SettlementRecord = Statement<SettlementPredicate>;

impl Predicate for SettlementPredicate {
    const TYPE: &'static str = SETTLEMENT_PREDICATE_TYPE;
    const SUBJECT: &'static str = "receipt";
}

/// What a settlement record says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SettlementPredicate {
    /// Who sold the transaction.
    pub operator: OperatorId,
    /// The key that signs this.
    pub receipt_key: KeyId,
    /// What became of the money.
    pub status: SettlementStatus,
    /// The network.
    pub network: Network,
    /// The asset on it.
    pub asset: Account,
    /// Who paid, or was refunded.
    pub payer: Account,
    /// Who was paid, or refunded.
    pub pay_to: Account,
    /// How much moved, in atomic units.
    pub amount: Amount,
    /// The network's transaction; none where nothing was broadcast.
    pub transaction: Option<String>,
    /// The block it is in.
    pub block: Option<SettlementBlock>,
    /// Why it failed, a short code.
    pub reason: Option<String>,
    /// When this was signed, by the operator's clock.
    pub recorded_at: Timestamp,
}

/// A block of the network.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SettlementBlock {
    /// Its height.
    pub number: u64,
    /// Its hash, as the network spells it.
    pub hash: String,
    /// Its time.
    pub time: Timestamp,
}

/// What became of the money.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SettlementStatus {
    /// It cannot be settled any more; nothing was charged.
    Failed,
    /// It was given back.
    Refunded,
    /// The block that settled it is no longer part of the chain.
    Reorged,
    /// It was moved, within what was authorised.
    Settled,
    /// Nothing was owed.
    Zero,
}
