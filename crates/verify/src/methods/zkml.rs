use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use assay_primitives::{Digest, InferenceOutput, InferenceRequest, Method, Tensor, TensorData};
use assay_receipt::EvidenceScope;
use assay_zkml::circuit::Circuit;
use assay_zkml::model::{
    CLAIM_MEDIA_TYPE, ClaimFile, PROOF_MEDIA_TYPE, ProofFile, VERIFYING_MEDIA_TYPE, VerifyingFile,
    context as proof_context, statement_of,
};
use assay_zkml::statement::Claim;
use assay_zkml::verifier::{VerifiedProof, Watch, verify_watched};

use super::{Certification, ItemEvidence, MethodContext, MethodVerifier};
use crate::{Check, Refusal};

/// How many programs stay ready, for each size of batch.
const MAX_KNOWN: usize = 8;

/// The `zkml` method: a proof that the program gives this output for this input.
///
/// Three pieces of evidence: the verifying file, which is the program without its weights; the proof of
/// a batch; and the claim, which says which instance of the batch the item is. The receipt's program id
/// is the SHA-256 of the verifying file, so it fixes the program and how its numbers stand for real ones.
/// Real numbers become integers and back here, exactly: the proof is about what was asked and answered.
#[derive(Debug, Default)]
pub struct Zkml {
    known: Mutex<Vec<Arc<Program>>>,
}

/// A program that is ready to verify proofs of batches of one size.
#[derive(Debug)]
pub(crate) struct Program {
    id: Digest,
    file: VerifyingFile,
    circuit: Circuit,
}

/// What an item has of its own, beside the program and the proof.
struct OwnParts {
    claim: ClaimFile,
    commitment: Digest,
    input: Vec<i32>,
}

impl Zkml {
    /// Checks items that have one verifying file and one proof. What is wrong with an item of its own is told
    /// of it; a proof that does not show all of the others shows none of them.
    fn check(&self, contexts: &[&MethodContext<'_>]) -> Vec<Result<Certification, Refusal>> {
        let opened = contexts.first().map(|context| self.open(context));
        let (program, proof) = match opened {
            None => return Vec::new(),
            Some(Err(refusal)) => return contexts.iter().map(|_| Err(refusal.clone())).collect(),
            Some(Ok(opened)) => opened,
        };
        let own = contexts.iter().map(|context| program.own_parts(context));
        let own: Vec<Result<OwnParts, Refusal>> = each_once(own.collect());
        let held: Vec<&OwnParts> = own.iter().filter_map(|own| own.as_ref().ok()).collect();
        let verified = match held.is_empty() {
            true => None,
            false => Some(program.verify(&held, &proof, &mut |_| ())),
        };
        let certified = |own: Result<OwnParts, Refusal>| {
            own?;
            match &verified {
                Some(Ok(verified)) => Ok(certification(verified)),
                Some(Err(refusal)) => Err(refusal.clone()),
                None => Err(refusal("an item", "none")),
            }
        };
        own.into_iter().map(certified).collect()
    }

    /// Reads what items of one proof share.
    fn open(&self, context: &MethodContext<'_>) -> Result<(Arc<Program>, ProofFile), Refusal> {
        let [verifying, proof, _] = evidence(context)?;
        let id = Digest::of(verifying.content);
        let proof = ProofFile::decode(proof.content).map_err(|error| refusal("a proof", error))?;
        if !proof.salts().is_empty() {
            return Err(refusal("a proof without salts", proof.salts().len()));
        }
        let program = self.program(id, verifying.content, proof.lb())?;
        let (expected, got) = (program.circuit.model_id(), proof.model());
        if expected != got {
            return Err(refusal(format!("a proof of {expected}"), got));
        }
        Ok((program, proof))
    }

    /// Returns a program that is ready, which takes a while the first time.
    fn program(&self, id: Digest, verifying: &[u8], lb: u32) -> Result<Arc<Program>, Refusal> {
        let is_it = |program: &Arc<Program>| program.id == id && program.circuit.sizes().lb == lb;
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = known().iter().find(|program| is_it(program)) {
            return Ok(Arc::clone(program));
        }
        let program = Arc::new(Program::new(id, verifying, lb)?);
        let mut known = known();
        known.retain(|other| !is_it(other));
        if known.len() >= MAX_KNOWN {
            known.remove(0);
        }
        known.push(Arc::clone(&program));
        Ok(program)
    }
}

impl MethodVerifier for Zkml {
    fn method(&self) -> Method {
        Method::ZKML
    }

    fn verify(&self, context: &MethodContext<'_>) -> Result<Certification, Refusal> {
        let checked = self.check(&[context]).into_iter().next();
        checked.unwrap_or_else(|| Err(refusal("an item", "none")))
    }

    /// A proof of several items is checked once.
    fn verify_together(
        &self,
        contexts: &[&MethodContext<'_>],
    ) -> Vec<Result<Certification, Refusal>> {
        let mut batches: BTreeMap<Vec<Digest>, Vec<usize>> = BTreeMap::new();
        for (place, context) in contexts.iter().enumerate() {
            let shared = context.evidence.iter().take(2).map(|one| one.reference.sha256);
            batches.entry(shared.collect()).or_default().push(place);
        }
        let mut checked: BTreeMap<usize, Result<Certification, Refusal>> = BTreeMap::new();
        for places in batches.into_values() {
            let batch = places.iter().filter_map(|place| contexts.get(*place).copied());
            let batch: Vec<&MethodContext<'_>> = batch.collect();
            checked.extend(places.into_iter().zip(self.check(&batch)));
        }
        checked.into_values().collect()
    }
}

/// Refuses items that claim an instance which another claims: what ran once is no two inferences.
fn each_once(mut own: Vec<Result<OwnParts, Refusal>>) -> Vec<Result<OwnParts, Refusal>> {
    let mut claimed = BTreeSet::new();
    for own in &mut own {
        let Some(index) = own.as_ref().ok().map(|own| own.claim.index()) else { continue };
        if !claimed.insert(index) {
            *own = Err(refusal("an instance for each item", format!("instance {index} again")));
        }
    }
    own
}

fn certification(verified: &VerifiedProof) -> Certification {
    let bits = verified.security_bits();
    let note = format!("proof: {bits:.1} bits of security, proven; it is not zero-knowledge");
    Certification { notes: vec![note], ..Certification::by("mathematics and a hash function") }
}

impl Program {
    pub(crate) fn new(id: Digest, verifying: &[u8], lb: u32) -> Result<Self, Refusal> {
        let file =
            VerifyingFile::decode(verifying).map_err(|error| refusal("a verifying file", error))?;
        let circuit = Circuit::new(file.descriptor(), lb)
            .map_err(|error| refusal("a program that can be verified", error))?;
        Ok(Self { id, file, circuit })
    }

    pub(crate) const fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// Reads what an item has of its own, and checks that its answer is what is claimed.
    fn own_parts(&self, context: &MethodContext<'_>) -> Result<OwnParts, Refusal> {
        let [_, _, claim] = evidence(context)?;
        let id = self.id;
        let named = context.item.details.model.program;
        if named.is_none_or(|named| named.0 != id) {
            let got = named.map_or_else(|| "none".to_owned(), |named| named.to_string());
            return Err(refusal(format!("the program {id} of the verifying file"), got));
        }
        let got = context.item.details.usage.inferences;
        if got != 1 {
            return Err(refusal("1 inference", got));
        }
        let claim = ClaimFile::decode(claim.content).map_err(|error| refusal("a claim", error))?;
        self.check_output(&claim, context.output)?;
        let input = self.input(context.request)?;
        Ok(OwnParts { claim, commitment: context.item.request_commitment, input })
    }

    /// Verifies that the program gives what is claimed for what was asked, and tells the parts of the
    /// proof as they are checked. All items are instances of the batch that the first is one of.
    fn verify(
        &self,
        items: &[&OwnParts],
        proof: &ProofFile,
        watch: Watch<'_>,
    ) -> Result<VerifiedProof, Refusal> {
        let mut claims: Vec<Claim<'_>> = items.iter().map(|item| self.claim(item)).collect();
        claims.sort_unstable_by_key(|claim| claim.index);
        let first = claims.first().ok_or_else(|| refusal("an item", "none"))?;
        let statement = statement_of(&self.circuit, first);
        verify_watched(&self.circuit, &statement, &claims, proof.proof(), watch)
            .map_err(|error| refusal("a proof of this inference", error))
    }

    fn claim<'a>(&self, item: &'a OwnParts) -> Claim<'a> {
        item.claim.claim(proof_context(&self.file.digest(), &item.commitment.0), &item.input)
    }

    /// Verifies one item, and tells the parts of the proof as they are checked.
    pub(crate) fn verify_one(
        &self,
        request: &[u8],
        commitment: Digest,
        claim: ClaimFile,
        proof: &ProofFile,
        watch: Watch<'_>,
    ) -> Result<VerifiedProof, Refusal> {
        let input = self.input(request)?;
        self.verify(&[&OwnParts { claim, commitment, input }], proof, watch)
    }

    /// Returns the integers of what was asked.
    fn input(&self, request: &[u8]) -> Result<Vec<i32>, Refusal> {
        let request = InferenceRequest::from_bytes(request)
            .map_err(|error| refusal("a request of tensors", error))?;
        let values = floats("input", &request.inputs, self.file.input().order().dims())?;
        let what = "an input in the program's range";
        self.file.input().quantise_within(values).map_err(|error| refusal(what, error))
    }

    /// Checks that what was answered is what the claim's integers stand for, to the last bit.
    fn check_output(&self, claim: &ClaimFile, output: Option<&[u8]>) -> Result<(), Refusal> {
        let Some(output) = output else { return Err(refusal("an output", "none")) };
        let output = InferenceOutput::from_bytes(output)
            .map_err(|error| refusal("an output of tensors", error))?;
        let got = floats("output", &output.outputs, self.file.output().order().dims())?;
        let expected = self.file.output().dequantise(claim.output());
        let expected = expected.map_err(|error| refusal("the program's raw output", error))?;
        let differs = |(expected, got): &(&f32, &f32)| expected.to_bits() != got.to_bits();
        match expected.iter().zip(got).enumerate().find(|(_, values)| differs(values)) {
            None => Ok(()),
            Some((index, (expected, got))) => {
                Err(refusal(format!("output value {index} is {expected}"), got))
            }
        }
    }
}

/// Returns verifying file, proof and claim, which are all the evidence there is.
fn evidence<'a>(context: &MethodContext<'a>) -> Result<[&'a ItemEvidence<'a>; 3], Refusal> {
    const KINDS: [&str; 3] = [VERIFYING_MEDIA_TYPE, PROOF_MEDIA_TYPE, CLAIM_MEDIA_TYPE];
    let kinds: Vec<&str> =
        context.evidence.iter().map(|one| one.reference.kind.as_str()).take(4).collect();
    let [verifying, proof, claim] = match context.evidence {
        [verifying, proof, claim] if kinds == KINDS => [verifying, proof, claim],
        _ => {
            let expected = format!("`{}`", KINDS.join("`, `"));
            return Err(refusal(expected, format!("[{}]", kinds.join(", "))));
        }
    };
    let scopes = context.evidence.iter().map(|one| one.reference.scope);
    if let Some(scope) = scopes.into_iter().find(|scope| *scope != EvidenceScope::Model) {
        return Err(refusal(format!("scope {:?}", EvidenceScope::Model), format!("{scope:?}")));
    }
    Ok([verifying, proof, claim])
}

/// Returns the values of the only tensor, which has the program's shape.
fn floats<'a>(what: &str, tensors: &'a [Tensor], dims: &[u32]) -> Result<&'a [f32], Refusal> {
    let [tensor] = tensors else {
        return Err(refusal(format!("1 {what}"), tensors.len()));
    };
    let TensorData::Fp32(values) = tensor.data() else {
        let got = tensor.data().datatype();
        return Err(refusal(format!("an {what} of FP32"), got));
    };
    let is_same = tensor.shape().iter().copied().eq(dims.iter().map(|&dim| u64::from(dim)));
    if !is_same {
        let got = format!("{:?}", tensor.shape());
        return Err(refusal(format!("an {what} of shape {dims:?}"), got));
    }
    Ok(values)
}

fn refusal(expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Refusal {
    Refusal::new(Check::ItemCertification, expected, got)
}
