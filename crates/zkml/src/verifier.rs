//! The verifier: a key, a statement, some of its instances and a proof (sections 3, 10 and 11).
//!
//! It uses no code of the prover. The order of its checks is that of section 11: key and batch (when
//! the [`Circuit`] is made), sizes and encoding, inputs and outputs, then the transcript.

mod error;
mod instances;

use p3_field::PrimeCharacteristicRing;

pub use self::error::VerifyError;
use crate::advice;
use crate::chain::Started;
use crate::circuit::Circuit;
use crate::explain::part;
use crate::field::K;
use crate::layers::{self, LayerEnds, LayerStatement};
use crate::lookups::{self, LeafClaim};
use crate::multilinear::{ArityError, eq_table, inner_product, same_length};
use crate::proof::Proof;
use crate::statement::{Claim, Statement};
use crate::tensor_code;
use crate::transcript::Transcript;
use crate::weight_commitment::{self, WeightCommitment, WeightOpening};
use crate::weights::{self, WeightStatement};

/// Evidence that `y_i = Q(x_i)` for the instances that were given. Only [`verify`] makes one.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct VerifiedProof {
    statement: Statement,
    instances: Vec<u32>,
    security_bits: f64,
}

impl VerifiedProof {
    /// Returns the statement that was proven.
    #[must_use]
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Returns the indices of the instances whose input and output were compared.
    #[must_use]
    pub fn instances(&self) -> &[u32] {
        &self.instances
    }

    /// Returns the bits of proven security (section 8).
    #[must_use]
    pub const fn security_bits(&self) -> f64 {
        self.security_bits
    }
}

/// Is told each part of a proof as it begins to be checked, by its name among [`crate::explain::parts`].
pub type Watch<'a> = &'a mut dyn FnMut(&'static str);

/// Decodes a proof and verifies it: see [`verify`].
///
/// # Errors
///
/// Returns the first check that fails.
pub fn verify_bytes(
    circuit: &Circuit,
    statement: &Statement,
    claims: &[Claim<'_>],
    proof: &[u8],
) -> Result<VerifiedProof, VerifyError> {
    verify_watched(circuit, statement, claims, proof, &mut |_| ())
}

/// Verifies as [`verify_bytes`] does, and tells each part as it begins to be checked.
///
/// # Errors
///
/// Returns the first check that fails.
pub fn verify_watched(
    circuit: &Circuit,
    statement: &Statement,
    claims: &[Claim<'_>],
    proof: &[u8],
    watch: Watch<'_>,
) -> Result<VerifiedProof, VerifyError> {
    let proof = Proof::decode(circuit, proof)?;
    verify_parts(circuit, statement, claims, &proof, watch)
}

/// Checks that `proof` proves `statement`, and that each of `claims` is one of its instances.
///
/// # Errors
///
/// Returns the first check that fails.
pub fn verify(
    circuit: &Circuit,
    statement: &Statement,
    claims: &[Claim<'_>],
    proof: &Proof,
) -> Result<VerifiedProof, VerifyError> {
    verify_parts(circuit, statement, claims, proof, &mut |_| ())
}

fn verify_parts(
    circuit: &Circuit,
    statement: &Statement,
    claims: &[Claim<'_>],
    proof: &Proof,
    watch: Watch<'_>,
) -> Result<VerifiedProof, VerifyError> {
    instances::check_statement(circuit, statement, claims)?;
    claims.iter().try_for_each(|claim| instances::check_instance(circuit, statement, claim))?;
    check_messages(circuit, statement, claims, proof, watch)?;
    Ok(VerifiedProof {
        statement: *statement,
        instances: claims.iter().map(|claim| claim.index).collect(),
        security_bits: circuit.budget().bits(),
    })
}

/// Walks the chain of section 3.
fn check_messages(
    circuit: &Circuit,
    statement: &Statement,
    claims: &[Claim<'_>],
    proof: &Proof,
    watch: Watch<'_>,
) -> Result<(), VerifyError> {
    watch(part::COMMITMENT);
    check_lengths(circuit, proof)?;
    let (program, sizes) = (circuit.program(), *circuit.sizes());
    let started = Started::new(statement);
    let (committed, ()) = started.commit(|transcript| observe(circuit, proof, transcript))?;
    watch(part::LOOKUPS);
    let run = |transcript: &mut Transcript| follow_tree(circuit, proof, transcript);
    let (looked, tree) = committed.look_up(run, sizes.claim_arity as usize)?;
    watch(part::VALUES);
    let public = match claims {
        [claim] if sizes.lb == 0 => instances::public_values(circuit, claim, looked.rho())?,
        _ => {
            instances::check_outputs(circuit, claims, proof, looked.rho())?;
            [K::ZERO; 2]
        }
    };
    let values = &proof.values;
    if let (Some(tree), Some(layout)) = (tree, circuit.columns().layout()) {
        tree.check_leaves(layout, &circuit.columns().leaf_values(values))?;
    }
    let tensors = circuit.columns().tensor_values(values, public);
    let forms = circuit.columns().form_values(values, &tensors);
    let forms = layers::form_claims(program, sizes, looked.rho(), &forms, &tensors)?;
    let claimed = looked.claim(&[&values.columns, &values.virtuals, &values.outputs]);
    let lambda = claimed.lambda();
    watch(part::LAYERS);
    let (layered, layer) = claimed.layer(|rho, lambda, transcript| {
        let statement = LayerStatement { program, sizes, rho, lambda };
        let layer = layers::verify(&statement, &forms, &proof.layer_rounds, transcript)?;
        let tau = layer.tau().to_vec();
        Ok::<_, VerifyError>((layer, tau))
    })?;
    let ends = instances::check_inputs(circuit, claims, proof, layered.rho(), layered.tau())?;
    let rho = layered.rho();
    layer.check_ends(&LayerStatement { program, sizes, rho, lambda }, &ends)?;
    let sent = &proof.ends;
    let ended = layered.end(&[&sent.tensors, &sent.convs, &sent.biases, &sent.inputs], sizes.lb);
    watch(part::WEIGHTS);
    let (weighed, ()) = ended.weigh(|rho, tau, lambda, transcript| {
        let statement = WeightStatement { program, sizes, rho, tau, lambda };
        check_weights(circuit, &statement, &ends, proof, transcript)
    })?;
    watch(part::OPENING);
    weighed.open(|points, transcript| check_advice(circuit, points, &ends, proof, transcript))
}

/// Step 1.
fn observe(
    circuit: &Circuit,
    proof: &Proof,
    transcript: &mut Transcript,
) -> Result<(), VerifyError> {
    if let Some((_, root)) =
        both("roots of the advice", circuit.schedule(), proof.advice_root.as_ref())?
    {
        advice::observe_root(root, transcript);
    }
    Ok(())
}

/// Steps 2 and 3.
fn follow_tree(
    circuit: &Circuit,
    proof: &Proof,
    transcript: &mut Transcript,
) -> Result<(Option<LeafClaim>, Vec<K>), VerifyError> {
    let layout = circuit.columns().layout();
    let Some((layout, tree)) = both("lookup trees", layout, proof.lookups.as_ref())? else {
        return Ok((None, Vec::new()));
    };
    let claim = lookups::verify(layout, tree, transcript)?;
    let point = claim.point().to_vec();
    Ok((Some(claim), point))
}

/// Steps 7 to 9.
fn check_weights(
    circuit: &Circuit,
    statement: &WeightStatement<'_>,
    ends: &LayerEnds,
    proof: &Proof,
    transcript: &mut Transcript,
) -> Result<(), VerifyError> {
    let claim = weights::verify(statement, ends, &proof.weight_rounds, transcript)?;
    let (point, value) = (claim.point().clone(), proof.weight_value);
    claim.check_value(statement, value)?;
    let shape = circuit.weights();
    match (circuit.commitment(), circuit.weight_schedule(), &proof.weights) {
        (WeightCommitment::Fast { root }, None, WeightOpening::Fast(opening)) => {
            tensor_code::verify(shape, &root, transcript, &point, value, opening)?;
        }
        (
            WeightCommitment::Small { root, sample },
            Some(schedule),
            WeightOpening::Small(opening),
        ) => {
            let key = (&root, sample);
            weight_commitment::verify((shape, schedule), key, transcript, &point, value, opening)
                .map_err(VerifyError::SmallOpening)?;
        }
        (_, _, opening) => {
            let (expected, got) = (circuit.mode(), opening.mode());
            return Err(VerifyError::Mode { expected, got });
        }
    }
    Ok(())
}

/// Step 10.
fn check_advice(
    circuit: &Circuit,
    points: [&[K]; 3],
    ends: &LayerEnds,
    proof: &Proof,
    transcript: &mut Transcript,
) -> Result<(), VerifyError> {
    let opening = both("openings of the advice", circuit.schedule(), proof.advice.as_ref())?;
    let Some((schedule, opening)) = opening else { return Ok(()) };
    let [_, _, omega] = points;
    let at_omega = |values: &[K]| match circuit.sizes().lb {
        0 => Ok(K::ZERO),
        _ => inner_product(&eq_table(omega), values),
    };
    let at_omega = [at_omega(&proof.ends.inputs)?, at_omega(&proof.values.outputs)?];
    let values = circuit.values(&proof.values.columns, ends, at_omega)?;
    let points = circuit.points(points)?;
    let root = proof.advice_root.unwrap_or(tensor_code::Digest::from([0; 32]));
    Ok(advice::verify(schedule, &root, &points, &values, opening, transcript)?)
}

/// Checks every list of a proof that was not decoded for this circuit.
fn check_lengths(circuit: &Circuit, proof: &Proof) -> Result<(), ArityError> {
    let lengths = circuit.lengths();
    let lists = [
        ("values of columns", lengths.columns, proof.values.columns.len()),
        ("values of lookups", lengths.virtuals, proof.values.virtuals.len()),
        ("values of outputs", lengths.instances, proof.values.outputs.len()),
        ("rounds of the layers", lengths.layer_rounds, proof.layer_rounds.len()),
        ("ends of tensors", lengths.ends, proof.ends.tensors.len()),
        ("ends of convolutions", lengths.convs, proof.ends.convs.len()),
        ("ends of biases", lengths.biases, proof.ends.biases.len()),
        ("ends of inputs", lengths.instances, proof.ends.inputs.len()),
        ("rounds of the weights", lengths.weight_rounds, proof.weight_rounds.len()),
    ];
    lists.into_iter().try_for_each(|(what, expected, got)| same_length(what, expected, got))
}

/// A part that the circuit has and the proof must have, or neither.
fn both<A, B>(
    what: &'static str,
    circuit: Option<A>,
    proof: Option<B>,
) -> Result<Option<(A, B)>, ArityError> {
    match (circuit, proof) {
        (Some(circuit), Some(proof)) => Ok(Some((circuit, proof))),
        (None, None) => Ok(None),
        (circuit, proof) => {
            let (expected, got) = (usize::from(circuit.is_some()), usize::from(proof.is_some()));
            Err(ArityError { what, expected, got })
        }
    }
}
