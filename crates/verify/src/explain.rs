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
    pub layers: Vec<Layer>,
    /// The parts of the proof, in order.
    pub parts: Vec<Part>,
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
        let reference = item.details.evidence.iter().find(|one| one.kind == kind);
        let digest = reference.map(|one| one.sha256);
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
        layers: layers(circuit.program().program()),
        parts,
    })
}

fn unreadable(kind: &str, got: impl std::fmt::Display) -> Refusal {
    Refusal::new(Check::ItemEvidence, format!("evidence `{kind}`"), got)
}
