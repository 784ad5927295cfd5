//! The item statement: the bytes of one Merkle leaf, made so that a contract can read the header and
//! a person the JSON.
//!
//! | bytes | word |
//! |---|---|
//! | 0..32 | version, a big-endian integer: 1 |
//! | 32..64 | model id: the program's id if one ran, else the package's digest |
//! | 64..96 | method, ASCII from the left, zeros after it |
//! | 96..128 | request commitment |
//! | 128..160 | output commitment; zero when the item failed |
//! | 160..192 | SHA-256 of the JSON |
//! | 192.. | JSON: [`ItemDetails`] |

use assay_primitives::json::{self, StrictJsonError};
use assay_primitives::{Amount, AssetId, Digest, Method, ModelId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

const VERSION: u64 = 1;
const WORDS: usize = 6;
const HEADER: usize = 32 * WORDS;
/// The most bytes an item statement may have.
const MAX_BYTES: usize = 1 << 20;

/// What is wrong with the bytes of an item statement.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ItemError {
    /// Shorter than the header or longer than any statement.
    #[error("item statement has {got} bytes: expected {HEADER} to {MAX_BYTES}")]
    Length {
        /// How many bytes there are.
        got: usize,
    },
    /// Another version.
    #[error("item version: expected {VERSION}, got {got}")]
    Version {
        /// The version word.
        got: Digest,
    },
    /// The header's digest is not that of the JSON.
    #[error("digest of the item's JSON: header says {expected}, it is {got}")]
    JsonDigest {
        /// What the header says.
        expected: Digest,
        /// What the JSON hashes to.
        got: Digest,
    },
    /// The JSON is not that of an item.
    #[error("item JSON: {0}")]
    Json(#[from] StrictJsonError),
    /// A word of the header contradicts the JSON.
    #[error("item {word}: header says {header}, JSON says {json}")]
    Header {
        /// Which word.
        word: &'static str,
        /// The header's value.
        header: Digest,
        /// The JSON's value.
        json: Digest,
    },
}

/// One inference as it is certified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ItemStatement {
    /// The commitment to the request.
    pub request_commitment: Digest,
    /// The commitment to the output; zero when the item failed.
    pub output_commitment: Digest,
    /// The rest.
    pub details: ItemDetails,
}

/// The JSON of an item statement.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ItemDetails {
    /// The item's place in its transaction, from 0.
    pub index: u32,
    /// What ran.
    pub model: ModelUsed,
    /// What certifies it.
    pub method: Method,
    /// What is billed.
    pub usage: Usage,
    /// What it costs.
    pub price: Price,
    /// The items whose outputs went into this item's input.
    pub depends_on: Vec<u32>,
    /// What backs the method.
    pub evidence: Vec<EvidenceReference>,
    /// How it went.
    pub outcome: Outcome,
}

/// Which model ran, and in what.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ModelUsed {
    /// The model's name at this operator.
    pub name: String,
    /// The package's version.
    pub version: String,
    /// The package's digest.
    pub package: ModelId,
    /// The program's id, if the quantised program ran in place of the float model.
    pub program: Option<ModelId>,
    /// What computed it.
    pub engine: EngineUsed,
}

impl ModelUsed {
    /// Returns the id of what ran: the program if there is one, else the package.
    #[must_use]
    pub fn id(&self) -> ModelId {
        self.program.unwrap_or(self.package)
    }
}

/// An inference engine. Engines differ in the last bits of their results, so it is named.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EngineUsed {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What is billed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Model runs.
    pub inferences: u32,
}

/// What an item costs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// In atomic units of the asset.
    pub amount: Amount,
    /// The asset.
    pub asset: AssetId,
}

/// A piece of evidence by content.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceReference {
    /// What it is, a media type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its digest.
    pub sha256: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// How far it speaks.
    pub scope: EvidenceScope,
}

/// How far a piece of evidence speaks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EvidenceScope {
    /// About the whole gateway in which the model ran.
    Gateway,
    /// About the model's run itself.
    Model,
}

/// How an item went.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "status")]
pub enum Outcome {
    /// It has no output.
    Failed {
        /// Why, a short code.
        reason: String,
    },
    /// It has an output.
    Ok,
}

impl ItemStatement {
    /// Returns the statement's bytes.
    ///
    /// # Errors
    /// Never for details of this type; the signature is that of the JSON writer.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ItemError> {
        let json = json::to_vec(&self.details)?;
        let words: [[u8; 32]; WORDS] = [
            word_of(VERSION),
            *self.details.model.id().0.as_bytes(),
            self.details.method.word(),
            *self.request_commitment.as_bytes(),
            *self.output_commitment.as_bytes(),
            *Digest::of(&json).as_bytes(),
        ];
        Ok([words.as_flattened(), &json].concat())
    }

    /// Reads a statement, checking that header and JSON agree.
    ///
    /// # Errors
    /// Names the part that is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ItemError> {
        let length = || ItemError::Length { got: bytes.len() };
        if bytes.len() > MAX_BYTES {
            return Err(length());
        }
        let (header, json) = bytes.split_at_checked(HEADER).ok_or_else(length)?;
        let mut words = header.as_chunks::<32>().0.iter().copied().map(Digest);
        let mut word = || words.next().ok_or_else(length);
        let (version, model, method) = (word()?, word()?, word()?);
        let (request_commitment, output_commitment, expected) = (word()?, word()?, word()?);
        if version.0 != word_of(VERSION) {
            return Err(ItemError::Version { got: version });
        }
        let got = Digest::of(json);
        if expected != got {
            return Err(ItemError::JsonDigest { expected, got });
        }
        let details: ItemDetails = json::from_slice(json)?;
        let same = |word, header, json| {
            if header == json { Ok(()) } else { Err(ItemError::Header { word, header, json }) }
        };
        same("model", model, details.model.id().0)?;
        same("method", method, Digest(details.method.word()))?;
        Ok(Self { request_commitment, output_commitment, details })
    }
}

fn word_of(number: u64) -> [u8; 32] {
    let mut word = [0; 32];
    for (to, from) in word.iter_mut().rev().zip(number.to_le_bytes()) {
        *to = from;
    }
    word
}
