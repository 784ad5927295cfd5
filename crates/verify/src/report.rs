use assay_primitives::{
    Digest, ItemId, Method, ModelId, OperatorId, Timestamp, TransactionId, printable,
};
use assay_receipt::{ItemDetails, Outcome};
use serde::{Serialize, Serializer};

use crate::{PaymentReport, Refusal, TimeBasis};

/// What a verifier says, of an item and of the whole.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// All cryptography holds, and the policy pins operator and model; of an enclave also what it
    /// measured, and what of its platform and of the time nobody else vouches for.
    #[non_exhaustive]
    Verified,
    /// All cryptography holds, but on a development chain or under development roots.
    Simulated,
    /// All cryptography holds, but no policy pins this operator, this model, or what its enclave rests on.
    Consistent,
    /// A check failed.
    Refused(Box<Refusal>),
}

impl Verdict {
    /// Returns the verdict's name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Simulated => "simulated",
            Self::Consistent => "consistent",
            Self::Refused(_) => "refused",
        }
    }

    /// Returns the failed check, if one failed.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }

    /// Returns the verdict on two things together: the worse one, the first on a tie.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        if other.badness() > self.badness() { other } else { self }
    }

    const fn badness(&self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::Consistent => 1,
            Self::Simulated => 2,
            Self::Refused(_) => 3,
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What was found out about a bundle.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Report {
    /// The verdict on the whole.
    pub verdict: Verdict,
    /// The check that failed; of several, the first in the order of [`crate::Check::ALL`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// Who sold it, once the key manifest held.
    pub operator: Option<OperatorId>,
    /// The version of the key manifest.
    pub manifest_version: Option<u64>,
    /// The transaction, once the receipt held.
    pub transaction: Option<TransactionId>,
    /// The receipt's digest.
    pub receipt: Option<Digest>,
    /// When the receipt was signed.
    pub issued_at: Option<Timestamp>,
    /// What that time is based on.
    pub time_basis: Option<TimeBasis>,
    /// The client's nonce.
    pub nonce: Option<String>,
    /// How many items the transaction has, disclosed or not.
    pub item_count: Option<u32>,
    /// The disclosed items, once they all held under the receipt.
    pub items: Vec<ItemReport>,
    /// What became of the money.
    pub payment: Option<PaymentReport>,
    /// What no policy pins, in words.
    pub notes: Vec<String>,
}

impl Report {
    pub(crate) const fn empty() -> Self {
        Self {
            verdict: Verdict::Consistent,
            refusal: None,
            operator: None,
            manifest_version: None,
            transaction: None,
            receipt: None,
            issued_at: None,
            time_basis: None,
            nonce: None,
            item_count: None,
            items: Vec::new(),
            payment: None,
            notes: Vec::new(),
        }
    }

    /// Closes the report with the verdict.
    pub(crate) fn conclude(mut self, verdict: Result<Verdict, Refusal>) -> Self {
        self.verdict = verdict.unwrap_or_else(Verdict::refused);
        self.refusal = self.verdict.refusal().cloned();
        self
    }
}

/// What was found out about an item.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ItemReport {
    /// The item's place in its transaction.
    pub index: u32,
    /// Its name within the transaction, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<ItemId>,
    /// The verdict on it: `refused` too when what is wrong concerns the whole transaction.
    pub verdict: Verdict,
    /// The method that certifies it.
    pub method: Method,
    /// What ran.
    pub model: ModelReport,
    /// Whom one has to believe; empty when nothing certifies it.
    pub believe: String,
    /// How it went.
    pub outcome: String,
    /// How many bytes of evidence it has.
    pub evidence_bytes: u64,
    /// When its evidence says that it was made: it was judged as of then, and may be again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<Timestamp>,
    /// What a reader should know of its evidence, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl ItemReport {
    pub(crate) fn new(
        item: &ItemDetails,
        pinned: bool,
        believe: Option<String>,
        verdict: Verdict,
    ) -> Self {
        let shown = |text: &str| printable(text, 128);
        let (model, engine) = (&item.model, &item.model.engine);
        Self {
            index: item.index,
            id: item.id.clone(),
            verdict,
            method: item.method.clone(),
            model: ModelReport {
                name: shown(&model.name),
                version: shown(&model.version),
                id: model.id(),
                pinned,
                engine: format!("{} {}", shown(&engine.name), shown(&engine.version)),
            },
            believe: believe.unwrap_or_default(),
            outcome: match &item.outcome {
                Outcome::Ok => "ok".to_owned(),
                Outcome::Failed { reason } => format!("failed: {}", shown(reason)),
            },
            evidence_bytes: item.evidence.iter().fold(0, |sum, one| one.size.saturating_add(sum)),
            signed_at: None,
            notes: Vec::new(),
        }
    }

    /// Adds when its evidence was made, and what a reader should know of it.
    pub(crate) fn with_evidence(mut self, at: Option<Timestamp>, notes: Vec<String>) -> Self {
        (self.signed_at, self.notes) = (at, notes);
        self
    }

    /// Adds that its input is built of outputs that nobody can look at here.
    pub(crate) fn with_hidden(mut self, sources: &[u32]) -> Self {
        self.notes.extend(sources.iter().map(|source| {
            format!("input: built of an output of item {source}, which is not disclosed")
        }));
        self
    }
}

/// What ran, by the receipt.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ModelReport {
    /// The model's name at the operator.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its id.
    pub id: ModelId,
    /// Whether the policy pins this id under this name.
    pub pinned: bool,
    /// The engine and its version.
    pub engine: String,
}
