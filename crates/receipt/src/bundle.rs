//! The bundle: one file with everything a verifier needs and nothing it has to fetch.

use std::collections::HashSet;

use assay_primitives::json::{self, StrictJsonError};
use assay_primitives::{Digest, encoding};
use serde::{Deserialize, Serialize};

use crate::{Envelope, ItemError, ItemStatement, Salt};

/// The media type of a bundle, which is also its version.
pub const BUNDLE_MEDIA_TYPE: &str = "application/vnd.assay.bundle.v1+json";

/// What a payer signs to have a gateway erase the contents of a receipt: a signature that opens them
/// does not erase them.
pub const ERASE_STATEMENT: &str = "Erase the contents of this receipt for good.";

/// A bundle, read but not verified. The file has exactly one accepted spelling.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Bundle {
    /// [`BUNDLE_MEDIA_TYPE`].
    pub media_type: String,
    /// The receipt.
    pub receipt: Envelope,
    /// What became of the money, oldest first.
    pub settlement_records: Vec<Envelope>,
    /// The operator's keys.
    pub key_manifest: Envelope,
    /// The disclosed items, in order.
    pub items: Vec<BundleItem>,
    /// The evidence that the items refer to, each once, in the order in which they first do.
    pub evidence: Vec<EvidenceBlob>,
}

/// A disclosed item.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BundleItem {
    /// The bytes of the item statement.
    #[serde(with = "encoding::base64_bytes")]
    pub statement: Vec<u8>,
    /// The salts of its leaf and commitments.
    pub salts: ItemSalts,
    /// Its siblings in the Merkle tree, from the bottom up.
    pub path: Vec<Digest>,
    /// What was asked, as committed.
    #[serde(with = "encoding::base64_bytes")]
    pub request: Vec<u8>,
    /// What was answered, as committed; none when the item failed.
    #[serde(with = "encoding::optional_base64_bytes")]
    pub output: Option<Vec<u8>>,
}

/// The salts of one item.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ItemSalts {
    /// Of the Merkle leaf.
    pub leaf: Salt,
    /// Of the request commitment.
    pub request: Salt,
    /// Of the output commitment; zero when the item failed.
    pub output: Salt,
}

/// A piece of evidence.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceBlob {
    /// Its digest.
    pub sha256: Digest,
    /// Its bytes.
    #[serde(with = "encoding::base64_bytes")]
    pub content: Vec<u8>,
}

impl Bundle {
    /// Reads a bundle from its file.
    ///
    /// # Errors
    /// When the file is not a bundle, or not its one spelling: reformatted or altered.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StrictJsonError> {
        json::from_slice(bytes)
    }

    /// Returns the bundle that shows only the items for which `keep` says so, with their evidence.
    ///
    /// It verifies as this one does, and has nothing of the other items but how many there are: what of the
    /// shown ones speaks of others, an input built of an output or a proof of several, still does.
    ///
    /// # Errors
    /// When an item's bytes are not an item statement.
    pub fn disclose(mut self, keep: impl Fn(&ItemStatement) -> bool) -> Result<Self, ItemError> {
        let mut items = Vec::new();
        let mut evidence = HashSet::new();
        for item in self.items {
            let statement = ItemStatement::from_bytes(&item.statement)?;
            if keep(&statement) {
                evidence.extend(statement.details.evidence.iter().map(|one| one.sha256));
                items.push(item);
            }
        }
        self.items = items;
        self.evidence.retain(|blob| evidence.contains(&blob.sha256));
        Ok(self)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Never for a bundle; the signature is that of the JSON writer.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StrictJsonError> {
        json::to_vec(self)
    }
}
