//! What a verifier accepts, as it is written down.

mod checks;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use assay_primitives::{
    Account, Amount, AssetId, Method, ModelId, Network, OperatorId, optional_duration,
};
use assay_receipt::ItemDetails;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::PaymentState;

/// What a verifier accepts. Every field left out accepts anything, and a report says so.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Policy {
    /// The operators that are believed.
    pub operators: Option<Vec<OperatorId>>,
    /// The least version of the operator's key manifest: an older one may hide a revocation.
    pub manifest_version: Option<u64>,
    /// The models that are accepted: name to the ids it may have.
    pub models: Option<BTreeMap<String, Vec<ModelId>>>,
    /// The methods that are accepted.
    pub methods: Option<Vec<Method>>,
    /// The networks that are accepted.
    pub networks: Option<Vec<Network>>,
    /// The accounts that may be paid.
    pub pay_to: Option<Vec<Account>>,
    /// The most a transaction may cost, for each asset; an asset not listed is refused. Of two for
    /// one asset, the lower counts.
    pub max_price: Option<Vec<PinnedPrice>>,
    /// The greatest age of a receipt, as `30d`.
    #[serde(default, deserialize_with = "optional_duration")]
    pub max_age: Option<Duration>,
    /// What a receipt's time may be based on.
    pub times: Option<Vec<TimeBasis>>,
    /// The states a payment may be in.
    pub payments: Option<Vec<PaymentState>>,
    /// What is accepted of the evidence of enclaves; by [`assay_attest::Policy::default`] if not given.
    pub attestation: Option<assay_attest::Policy>,
}

/// The most a transaction may cost in one asset.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedPrice {
    /// The asset.
    pub asset: AssetId,
    /// In its atomic units.
    pub amount: Amount,
}

/// What a seller announces of an inference before it is paid. It is a word and no more: what counts is
/// the receipt. But who would not accept the receipt need not pay for it.
#[derive(Clone, Copy, Debug)]
pub struct Announcement<'a> {
    /// Who sells.
    pub operator: OperatorId,
    /// The model's name.
    pub model: &'a str,
    /// The model's id.
    pub model_id: ModelId,
    /// How it would be certified.
    pub method: &'a Method,
    /// The network that is paid on.
    pub network: &'a Network,
    /// The asset that is paid with.
    pub asset: &'a Account,
    /// The price in its atomic units.
    pub amount: Amount,
    /// Who is paid.
    pub pay_to: &'a Account,
}

/// What a receipt's time is based on, from weak to strong.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TimeBasis {
    /// The operator's word.
    Asserted,
    /// The block that the operator says it settled in.
    Settled,
    /// A cosigned checkpoint of the ledger.
    Witnessed,
}

/// A policy that cannot be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("policy: {0}")]
pub struct PolicyError(String);

impl Policy {
    /// Reads a policy in TOML.
    ///
    /// # Errors
    /// Names the line and the field.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        toml::from_str(text).map_err(|error| PolicyError(error.to_string().trim_end().to_owned()))
    }

    /// Says whether the policy pins what ran under the name it ran by.
    pub(crate) fn pins(&self, item: &ItemDetails) -> bool {
        let ids = self.models.as_ref().and_then(|models| models.get(&item.model.name));
        ids.is_some_and(|ids| ids.contains(&item.model.id()))
    }
}

impl TimeBasis {
    /// Returns the basis' name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asserted => "asserted",
            Self::Settled => "settled",
            Self::Witnessed => "witnessed",
        }
    }
}

impl fmt::Display for TimeBasis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_known_or_refused() {
        let policy = Policy::from_toml("methods = [\"signed\"]\nmax_age = \"30d\"\n").unwrap();
        assert_eq!(policy.max_age, Some(Duration::from_secs(30 * 86_400)));
        let error = Policy::from_toml("operator = []\n").unwrap_err().to_string();
        assert!(error.contains("unknown field `operator`"), "{error}");
    }
}
