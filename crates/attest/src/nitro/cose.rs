//! COSE_Sign1 (RFC 9052 section 4.2) as the Nitro Secure Module makes it.

use super::cbor::{MAX_DEPTH, Reader, put_bytes, put_head};
use crate::refusal::Checks;
use crate::{Check, Refusal};

/// The most bytes of a document: what the Nitro Secure Module's interface answers at most.
const MAX_DOCUMENT: usize = 16 << 10;
/// COSE's tag of a COSE_Sign1, which may be left out.
const TAG_SIGN1: u64 = 18;
/// The label of the algorithm in a header.
pub(super) const LABEL_ALGORITHM: i64 = 1;
/// ECDSA with SHA-384 (RFC 9053 section 2.1); AWS prescribes the curve P-384.
pub(super) const ES384: i64 = -35;
/// r and s, each as long as the curve's order.
const SIGNATURE: usize = 96;
/// The most parameters of a header.
const MAX_PARAMETERS: usize = 8;

/// A COSE_Sign1.
#[derive(Clone, Debug)]
pub(super) struct Sign1<'a> {
    /// The protected header as it was signed.
    protected: &'a [u8],
    algorithm: Option<i64>,
    /// The labels of the protected header beside the algorithm's.
    others: Vec<i64>,
    /// The labels of the unprotected header.
    unprotected: Vec<i64>,
    /// What is signed.
    pub(super) payload: &'a [u8],
    /// r and s.
    pub(super) signature: &'a [u8],
}

impl<'a> Sign1<'a> {
    /// Reads a document that is not longer than any.
    pub(super) fn read_bounded(document: &'a [u8], checks: Checks) -> Result<Self, Refusal> {
        let length = document.len();
        let expected = format!("a document of at most {MAX_DOCUMENT} bytes");
        checks.require(Check::EvidenceSize, length <= MAX_DOCUMENT, expected, length)?;
        Self::read(document)
    }

    /// Returns the algorithm that the protected header names.
    pub(super) const fn algorithm(&self) -> Option<i64> {
        self.algorithm
    }

    /// Reads it, to its last byte.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(bytes);
        if let Some(tag) = reader.tag()?
            && tag != TAG_SIGN1
        {
            return Err(wrong("the tag 18 or none", format!("the tag {tag}")));
        }
        let mut items = reader.array("a COSE_Sign1")?;
        let mut next = |reader: &mut Reader<'a>| match reader.has_more(&mut items)? {
            true => Ok(()),
            false => Err(wrong("a COSE_Sign1 of 4 parts", "fewer")),
        };
        next(&mut reader)?;
        let protected = reader.bytes("a protected header")?;
        next(&mut reader)?;
        let (unprotected_algorithm, mut unprotected) = header(&mut reader)?;
        unprotected.extend(unprotected_algorithm.map(|_| LABEL_ALGORITHM));
        next(&mut reader)?;
        let payload = reader.bytes("a payload")?;
        next(&mut reader)?;
        let signature = reader.bytes("a signature")?;
        if reader.has_more(&mut items)? {
            return Err(wrong("a COSE_Sign1 of 4 parts", "more"));
        }
        reader.end("the end of the document")?;
        let (algorithm, others) = match protected {
            // What an empty header is (section 3).
            [] => (None, Vec::new()),
            _ => {
                let mut reader = Reader::new(protected);
                let header = header(&mut reader)?;
                reader.end("the end of the protected header")?;
                header
            }
        };
        Ok(Self { protected, algorithm, others, unprotected, payload, signature })
    }

    /// Checks what is prescribed: ES384 and nothing else in the protected header, so nothing critical
    /// that would not be understood; nothing in the other; r and s in full.
    pub(super) fn check(&self, checks: Checks) -> Result<(), Refusal> {
        let got = match self.algorithm {
            Some(algorithm) => format!("{algorithm}"),
            None => "none".to_owned(),
        };
        let expected = "the algorithm -35 (ES384) in the protected header";
        checks.require(Check::EvidenceAlgorithm, self.algorithm == Some(ES384), expected, got)?;
        let expected = "no other parameter in the protected header";
        let got = format!("labels {:?}", self.others);
        checks.require(Check::EvidenceEncoding, self.others.is_empty(), expected, got)?;
        let expected = "an empty unprotected header";
        let got = format!("labels {:?}", self.unprotected);
        checks.require(Check::EvidenceEncoding, self.unprotected.is_empty(), expected, got)?;
        let length = self.signature.len();
        let expected = format!("a signature of {SIGNATURE} bytes, r and s");
        let got = format!("{length} bytes");
        checks.require(Check::EvidenceEncoding, length == SIGNATURE, expected, got)
    }

    /// Returns what the signature is over.
    pub(super) fn signed(&self) -> Vec<u8> {
        sig_structure(self.protected, self.payload)
    }
}

/// Returns the Sig_structure of a COSE_Sign1 without external data (section 4.4), over header and
/// payload as they are.
pub(super) fn sig_structure(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 64);
    put_head(&mut out, 4, 4);
    put_head(&mut out, 3, 10);
    out.extend_from_slice(b"Signature1");
    put_bytes(&mut out, protected);
    put_bytes(&mut out, b"");
    put_bytes(&mut out, payload);
    out
}

/// Reads a header: its algorithm, and the labels of what else there is.
fn header(reader: &mut Reader<'_>) -> Result<(Option<i64>, Vec<i64>), Refusal> {
    let mut algorithm = None;
    let mut others: Vec<i64> = Vec::new();
    let mut items = reader.map("a header")?;
    while reader.has_more(&mut items)? {
        let label = reader.integer("a label")?;
        if others.contains(&label) || (label == LABEL_ALGORITHM && algorithm.is_some()) {
            return Err(wrong("each label once", format!("{label} twice")));
        }
        if label == LABEL_ALGORITHM {
            algorithm = Some(reader.integer("an algorithm")?);
            continue;
        }
        if others.len() == MAX_PARAMETERS {
            return Err(wrong(format!("at most {MAX_PARAMETERS} parameters"), "more"));
        }
        reader.skip(MAX_DEPTH)?;
        others.push(label);
    }
    Ok((algorithm, others))
}

fn wrong(expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Refusal {
    Refusal::new(Check::EvidenceEncoding, expected, got)
}
