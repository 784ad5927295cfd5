//! What the evidence of a bundle's items claims, for people. Nothing is verified here.

use assay_primitives::{Digest, Method};
use assay_receipt::{Bundle, ItemStatement};
use assay_zkml::circuit::Circuit;
use assay_zkml::explain::{Layer, Part, layers, parts};
use assay_zkml::model::{PROOF_MEDIA_TYPE, ProofFile, VERIFYING_MEDIA_TYPE, VerifyingFile};
use serde::Serialize;

use crate::{Check, Refusal};

/// What the proof of an item claims, layer by layer, and what it is made of.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProofExplanation {
    /// The item.
    pub item: u32,
    /// The program's id.
    pub program: Digest,
    /// How many inferences the batch of the proof has room for.
    pub batch: u64,
    /// The bits of security that are proven.
    pub security_bits: f64,
    /// The layers of the program.
    pub layers: Vec<ExplainedLayer>,
    /// The parts of the proof, in order.
    pub parts: Vec<ExplainedPart>,
}

/// A layer of a program: what is claimed of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ExplainedLayer {
    /// The tensor that it gives; 0 is the input.
    pub tensor: usize,
    /// What it does, in one word.
    pub kind: &'static str,
    /// Rows, columns and channels of what it gives.
    pub shape: [u32; 3],
    /// The smallest and the largest value that it gives.
    pub range: [i32; 2],
    /// What it sums.
    pub sums: Vec<String>,
    /// What is claimed, in a sentence.
    pub claim: String,
    /// The values that a proof commits to, for one inference.
    pub committed: u64,
    /// The look-ups, for one inference.
    pub lookups: u64,
}

/// A part of a proof: what it shows.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ExplainedPart {
    /// The step of the protocol.
    pub step: u32,
    /// What is sent, in one word.
    pub name: &'static str,
    /// What it shows, in a sentence.
    pub shows: String,
    /// Its bytes.
    pub bytes: usize,
}

/// Explains the proofs of a bundle's items by `zkml`, in the order of its items.
///
/// # Errors
/// When an item or its evidence cannot be read.
pub fn explain_proofs(bundle: &Bundle) -> Result<Vec<ProofExplanation>, Refusal> {
    let mut explanations = Vec::new();
    for item in &bundle.items {
        let statement = ItemStatement::from_bytes(&item.statement)
            .map_err(|error| Refusal::new(Check::ItemStatement, "an item statement", error))?;
        if statement.details.method == Method::ZKML {
            let index = statement.details.index;
            let explained = explain(bundle, &statement).map_err(|why| why.in_item(index))?;
            explanations.push(explained);
        }
    }
    Ok(explanations)
}

fn explain(bundle: &Bundle, item: &ItemStatement) -> Result<ProofExplanation, Refusal> {
    let [verifying, proof] = [VERIFYING_MEDIA_TYPE, PROOF_MEDIA_TYPE].map(|kind| {
        let references = item.details.evidence.iter();
        let digest = references.filter(|one| one.kind == kind).map(|one| one.sha256).next();
        let found = bundle.evidence.iter().find(|blob| Some(blob.sha256) == digest);
        found.map(|blob| blob.content.as_slice()).ok_or_else(|| unreadable(kind, "none"))
    });
    let (verifying, proof) = (verifying?, proof?);
    let program = Digest::of(verifying);
    let file = VerifyingFile::decode(verifying)
        .map_err(|error| unreadable(VERIFYING_MEDIA_TYPE, error))?;
    let proof = ProofFile::decode(proof).map_err(|error| unreadable(PROOF_MEDIA_TYPE, error))?;
    let circuit = Circuit::new(file.descriptor(), proof.lb())
        .map_err(|error| unreadable(VERIFYING_MEDIA_TYPE, error))?;
    let parts =
        parts(&circuit, proof.proof()).map_err(|error| unreadable(PROOF_MEDIA_TYPE, error))?;
    Ok(ProofExplanation {
        item: item.details.index,
        program,
        batch: 1 << proof.lb(),
        security_bits: circuit.budget().bits(),
        layers: layers(circuit.program().program()).into_iter().map(Into::into).collect(),
        parts: parts.into_iter().map(Into::into).collect(),
    })
}

impl From<Layer> for ExplainedLayer {
    fn from(layer: Layer) -> Self {
        let Layer { tensor, kind, shape, range, sums, claim, committed, lookups, .. } = layer;
        Self { tensor, kind, shape, range, sums, claim, committed, lookups }
    }
}

impl From<Part> for ExplainedPart {
    fn from(part: Part) -> Self {
        let Part { step, name, shows, bytes, .. } = part;
        Self { step, name, shows, bytes }
    }
}

fn unreadable(kind: &str, got: impl std::fmt::Display) -> Refusal {
    Refusal::new(Check::ItemEvidence, format!("evidence `{kind}`"), got)
}
