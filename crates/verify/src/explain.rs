//! What the evidence of a bundle's items claims, for people: nobody has to believe it, as whether it
//! holds is the report's to say.

use std::time::Duration;

use assay_primitives::{Clock, Digest, Method};
use assay_receipt::{Bundle, BundleItem, ItemStatement};
use assay_zkml::explain::{Layer, Part, layers, parts};
use assay_zkml::model::{
    CLAIM_MEDIA_TYPE, ClaimFile, PROOF_MEDIA_TYPE, ProofFile, VERIFYING_MEDIA_TYPE,
};
use serde::Serialize;

use crate::methods::Program;
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
    pub parts: Vec<CheckedPart>,
}

/// A part of a proof, and how long its check takes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CheckedPart {
    /// The part.
    #[serde(flatten)]
    pub part: Part,
    /// How long it took to check it, in microseconds; none when the proof was refused there or before.
    pub checked_in_us: Option<u64>,
}

/// Explains the proofs of a bundle's items by `zkml`, in the order of its items. Each is checked once, for
/// the times that the clock gives.
///
/// # Errors
/// When an item or its evidence cannot be read.
pub fn explain_proofs(
    bundle: &Bundle,
    clock: &dyn Clock,
) -> Result<Vec<ProofExplanation>, Refusal> {
    let mut explanations = Vec::new();
    for item in &bundle.items {
        let statement = ItemStatement::from_bytes(&item.statement)
            .map_err(|error| Refusal::new(Check::ItemStatement, "an item statement", error))?;
        if statement.details.method == Method::ZKML {
            let index = statement.details.index;
            let explained = explain(bundle, item, &statement, clock);
            let explained = explained.map_err(|why| why.in_item(index))?;
            explanations.push(explained);
        }
    }
    Ok(explanations)
}

fn explain(
    bundle: &Bundle,
    item: &BundleItem,
    statement: &ItemStatement,
    clock: &dyn Clock,
) -> Result<ProofExplanation, Refusal> {
    let kinds = [VERIFYING_MEDIA_TYPE, PROOF_MEDIA_TYPE, CLAIM_MEDIA_TYPE];
    let [verifying, proof, claim] = kinds.map(|kind| {
        let reference = statement.details.evidence.iter().find(|one| one.kind == kind);
        let digest = reference.map(|one| one.sha256);
        let found = bundle.evidence.iter().find(|blob| Some(blob.sha256) == digest);
        found.map(|blob| blob.content.as_slice()).ok_or_else(|| unreadable(kind, "none"))
    });
    let (verifying, proof, claim) = (verifying?, proof?, claim?);
    let proof = ProofFile::decode(proof).map_err(|error| unreadable(PROOF_MEDIA_TYPE, error))?;
    let claim = ClaimFile::decode(claim).map_err(|error| unreadable(CLAIM_MEDIA_TYPE, error))?;
    let id = Digest::of(verifying);
    let program = Program::new(id, verifying, proof.lb())?;
    let circuit = program.circuit();
    let parts =
        parts(circuit, proof.proof()).map_err(|error| unreadable(PROOF_MEDIA_TYPE, error))?;
    let mut times = Times { clock, began: Vec::new() };
    let commitment = statement.request_commitment;
    let mut watch = |part| times.begin(part);
    let verified = program.verify_one(&item.request, commitment, claim, &proof, &mut watch);
    if verified.is_ok() {
        times.begin("");
    }
    let checked = |part: Part| CheckedPart { checked_in_us: times.of(part.name), part };
    Ok(ProofExplanation {
        item: statement.details.index,
        program: id,
        batch: 1 << proof.lb(),
        security_bits: circuit.budget().bits(),
        layers: layers(circuit.program().program()),
        parts: parts.into_iter().map(checked).collect(),
    })
}

/// When the check of each part began.
struct Times<'a> {
    clock: &'a dyn Clock,
    began: Vec<(&'static str, Duration)>,
}

impl Times<'_> {
    fn begin(&mut self, part: &'static str) {
        self.began.push((part, self.clock.monotonic()));
    }

    /// Returns the microseconds until the next part began.
    fn of(&self, part: &str) -> Option<u64> {
        let index = self.began.iter().position(|(name, _)| *name == part)?;
        let (_, began) = self.began.get(index)?;
        let (_, ended) = self.began.get(index + 1)?;
        u64::try_from(ended.saturating_sub(*began).as_micros()).ok()
    }
}

fn unreadable(kind: &str, got: impl std::fmt::Display) -> Refusal {
    Refusal::new(Check::ItemEvidence, format!("evidence `{kind}`"), got)
}
