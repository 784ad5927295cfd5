//! The item statement: the bytes of one Merkle leaf, made so that a contract can read the header and
//! a person the JSON.
//!
//! | bytes | word |
//! |---|---|
//! | 0..32 | version, a big-endian integer: 1 of an item bought alone, 2 of one that has an id |
//! | 32..64 | model id: the program's id if one ran, else the package's digest |
//! | 64..96 | method, ASCII from the left, zeros after it |
//! | 96..128 | request commitment |
//! | 128..160 | output commitment; zero when the item failed |
//! | 160..192 | SHA-256 of the JSON |
//! | 192.. | JSON: [`ItemDetails`] |

use assay_primitives::json::{self, StrictJsonError};
use assay_primitives::{
    Amount, AssetId, Digest, InputPointer, ItemId, Method, ModelId, OutputPointer,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Without an id and references, and with an id.
const VERSIONS: [u64; 2] = [1, 2];
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
    /// Another version than one with what the JSON has.
    #[error("item version: expected {expected}, got {got}")]
    Version {
        /// The version that has what the JSON has.
        expected: u64,
        /// The version word.
        got: Digest,
    },
    /// References of an item without an id.
    #[error("item without an id: expected no references, got {0}")]
    References(usize),
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
    /// An outcome `ok` without an output, or another outcome with one.
    #[error("item outcome: `{outcome}` with output commitment {commitment}")]
    Outcome {
        /// The outcome's status.
        outcome: &'static str,
        /// The output commitment.
        commitment: Digest,
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
    /// Its name within the transaction; none of an item that was bought alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ItemId>,
    /// What ran.
    pub model: ModelUsed,
    /// What certifies it.
    pub method: Method,
    /// What is billed.
    pub usage: Usage,
    /// What it costs.
    pub price: Price,
    /// The earlier items whose outputs went into this item's input, in order.
    pub depends_on: Vec<u32>,
    /// Which elements of its input are which of their outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// What backs the method.
    pub evidence: Vec<EvidenceReference>,
    /// How it went.
    pub outcome: Outcome,
}

/// A part of an item's input that is an earlier item's output.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The earlier item's index.
    pub item: u32,
    /// What of its output.
    pub pointer: OutputPointer,
    /// Where in the request of the item that has this reference.
    pub at: InputPointer,
}

impl Reference {
    /// Returns the indices of the items that references name, each once and in order: the `depends_on`
    /// of the item that has them.
    #[must_use]
    pub fn items<'a>(references: impl IntoIterator<Item = &'a Self>) -> Vec<u32> {
        let mut items: Vec<u32> = references.into_iter().map(|one| one.item).collect();
        items.sort_unstable();
        items.dedup();
        items
    }
}

impl ItemDetails {
    /// Returns the version of a statement with these details.
    fn version(&self) -> Result<u64, ItemError> {
        let [alone, named] = VERSIONS;
        match &self.id {
            Some(_) => Ok(named),
            None if self.references.is_empty() => Ok(alone),
            None => Err(ItemError::References(self.references.len())),
        }
    }
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
    /// Model runs that are charged: of an item that failed none, unless its buyer ended it.
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

/// Why an item failed that its buyer cancelled.
pub const CANCELLED: &str = "cancelled";

/// Why an item failed that ran out of a time which its buyer had set below the published floor.
pub const TIMEOUT_BELOW_FLOOR: &str = "timeout_below_floor";

impl Outcome {
    /// Says whether its buyer ended it: only then what failed is charged.
    #[must_use]
    pub fn is_by_buyer(&self) -> bool {
        matches!(self, Self::Failed { reason } if reason == CANCELLED || reason == TIMEOUT_BELOW_FLOOR)
    }
}

impl ItemStatement {
    /// Returns the statement's bytes.
    ///
    /// # Errors
    /// When outcome and output commitment contradict each other.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ItemError> {
        self.check_outcome()?;
        let json = json::to_vec(&self.details)?;
        let words: [[u8; 32]; WORDS] = [
            word_of(self.details.version()?),
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
        if VERSIONS.iter().all(|known| version.0 != word_of(*known)) {
            let [_, expected] = VERSIONS;
            return Err(ItemError::Version { expected, got: version });
        }
        let got = Digest::of(json);
        if expected != got {
            return Err(ItemError::JsonDigest { expected, got });
        }
        let details: ItemDetails = json::from_slice(json)?;
        let expected = details.version()?;
        if version.0 != word_of(expected) {
            return Err(ItemError::Version { expected, got: version });
        }
        let same = |word, header, json| {
            if header == json { Ok(()) } else { Err(ItemError::Header { word, header, json }) }
        };
        same("model", model, details.model.id().0)?;
        same("method", method, Digest(details.method.word()))?;
        let statement = Self { request_commitment, output_commitment, details };
        statement.check_outcome()?;
        Ok(statement)
    }

    /// Nobody may sell an item as `ok` that has no output.
    fn check_outcome(&self) -> Result<(), ItemError> {
        let commitment = self.output_commitment;
        match &self.details.outcome {
            Outcome::Ok if commitment == Digest::ZERO => {
                Err(ItemError::Outcome { outcome: "ok", commitment })
            }
            Outcome::Failed { .. } if commitment != Digest::ZERO => {
                Err(ItemError::Outcome { outcome: "failed", commitment })
            }
            _ => Ok(()),
        }
    }
}

fn word_of(number: u64) -> [u8; 32] {
    let mut word = [0; 32];
    for (to, from) in word.iter_mut().rev().zip(number.to_le_bytes()) {
        *to = from;
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> ItemStatement {
        let digest = |text: &str| Digest::of(text.as_bytes());
        ItemStatement {
            request_commitment: digest("request"),
            output_commitment: digest("output"),
            details: ItemDetails {
                index: 0,
                id: None,
                model: ModelUsed {
                    name: "digits".into(),
                    version: "1".into(),
                    package: ModelId(digest("package")),
                    program: None,
                    engine: EngineUsed { name: "tract".into(), version: "0.23.9".into() },
                },
                method: Method::SIGNED,
                usage: Usage { inferences: 1 },
                price: Price { amount: Amount(5), asset: "eip155:1/erc20:0x1".parse().unwrap() },
                depends_on: vec![],
                references: vec![],
                evidence: vec![],
                outcome: Outcome::Ok,
            },
        }
    }

    #[test]
    fn bytes_round_trip_and_the_header_is_laid_out_in_words() {
        let statement = statement();
        let bytes = statement.to_bytes().unwrap();
        assert_eq!(ItemStatement::from_bytes(&bytes), Ok(statement.clone()));
        let word = |at: usize| Digest(bytes[32 * at..][..32].try_into().unwrap());
        assert_eq!(word(0).to_string(), format!("{:064x}", 1));
        assert_eq!(word(1), statement.details.model.package.0);
        assert_eq!(word(2).0, Method::SIGNED.word());
        assert_eq!(word(3), statement.request_commitment);
        assert_eq!(word(4), statement.output_commitment);
        assert_eq!(word(5), Digest::of(&bytes[192..]));
    }

    #[test]
    fn an_item_with_an_id_has_the_second_version_and_may_refer_to_others() {
        let alone = statement();
        let mut named = alone.clone();
        let pointer = "/outputs/0/data/1".parse().unwrap();
        let at = InputPointer::new(0, Some(2));
        named.details.references = vec![Reference { item: 0, pointer, at }];
        assert_eq!(named.to_bytes(), Err(ItemError::References(1)));
        named.details.id = Some("risk".parse().unwrap());
        let bytes = named.to_bytes().unwrap();
        assert_eq!(ItemStatement::from_bytes(&bytes), Ok(named));
        assert_eq!(bytes[..32], word_of(2));
        for (mut bytes, wrong, expected) in [(bytes, 1, 2), (alone.to_bytes().unwrap(), 2, 1)] {
            bytes[31] = wrong;
            let error = ItemStatement::from_bytes(&bytes).unwrap_err();
            assert_eq!(error, ItemError::Version { expected, got: Digest(word_of(wrong.into())) });
        }
    }

    #[test]
    fn the_program_is_what_ran_when_there_is_one() {
        let mut statement = statement();
        let program = ModelId(Digest::of(b"program"));
        statement.details.model.program = Some(program);
        let bytes = statement.to_bytes().unwrap();
        assert_eq!(bytes[32..64], program.0.0);
        assert_eq!(ItemStatement::from_bytes(&bytes), Ok(statement));
    }

    #[test]
    fn an_outcome_and_its_output_agree() {
        let without = ItemStatement { output_commitment: Digest::ZERO, ..statement() };
        assert!(matches!(without.to_bytes(), Err(ItemError::Outcome { outcome: "ok", .. })));
        let mut failed = statement();
        failed.details.outcome = Outcome::Failed { reason: "engine".into() };
        assert!(matches!(failed.to_bytes(), Err(ItemError::Outcome { outcome: "failed", .. })));
        failed.output_commitment = Digest::ZERO;
        let mut bytes = failed.to_bytes().unwrap();
        assert_eq!(ItemStatement::from_bytes(&bytes), Ok(failed));
        bytes[159] = 1;
        let read = ItemStatement::from_bytes(&bytes);
        assert!(matches!(read, Err(ItemError::Outcome { outcome: "failed", .. })));
    }

    #[test]
    fn each_word_of_the_header_is_checked() {
        let bytes = statement().to_bytes().unwrap();
        let with = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            ItemStatement::from_bytes(&bytes).unwrap_err()
        };
        for at in [0, 31] {
            assert!(matches!(with(at), ItemError::Version { .. }));
        }
        for at in [32, 63] {
            assert!(matches!(with(at), ItemError::Header { word: "model", .. }));
        }
        for at in [64, 95] {
            assert!(matches!(with(at), ItemError::Header { word: "method", .. }));
        }
        for at in [160, 191, 192, bytes.len() - 1] {
            assert!(matches!(with(at), ItemError::JsonDigest { .. }));
        }
        assert!(matches!(ItemStatement::from_bytes(&bytes[..191]), Err(ItemError::Length { .. })));
        let long = [bytes.as_slice(), &vec![b' '; MAX_BYTES]].concat();
        assert!(matches!(ItemStatement::from_bytes(&long), Err(ItemError::Length { .. })));
    }
}
