//! What is sealed of a transaction: what its buyer alone may have.

use assay_receipt::{BundleItem, EvidenceBlob};
use serde::{Deserialize, Serialize};

/// The items of a transaction, with the evidence that is about them alone.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contents {
    pub(crate) items: Vec<BundleItem>,
    /// What is not here was stored for everybody.
    pub(crate) evidence: Vec<EvidenceBlob>,
}
