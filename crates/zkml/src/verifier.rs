//! The verifier: a key, a statement, some of its instances and a proof (sections 3, 10 and 11).
//!
//! It uses no code of the prover. The order of its checks is that of section 11: key and batch (when
//! the [`Circuit`] is made), sizes and encoding, inputs and outputs, then the transcript.

use p3_field::PrimeCharacteristicRing;
use thiserror::Error;

use crate::advice::{self, AdviceError};
use crate::chain::Started;
use crate::circuit::{Circuit, last};
use crate::field::{F, K};
use crate::layers::{self, LayerEnds, LayerError, LayerStatement};
use crate::lookups::{self, LeafClaim, LookupError};
use crate::multilinear::{ArityError, eq_table, inner_product, same_length};
use crate::program::{Interval, ModelId, Tensor};
use crate::proof::{DecodeError, Proof};
use crate::statement::{Claim, Hash, Statement, root_of};
use crate::tensor_code::{self, OpeningError};
use crate::transcript::Transcript;
use crate::weights::{self, WeightError, WeightStatement};

/// A check that failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bytes are no proof for this model and batch.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The statement is about another model.
    #[error("statement is about model {got}, the key is of {expected}")]
    Model {
        /// The key's.
        expected: ModelId,
        /// The statement's.
        got: ModelId,
    },
    /// The statement is about another batch size.
    #[error("statement is about a batch of 2^{got}, the circuit is of 2^{expected}")]
    Batch {
        /// The circuit's.
        expected: u32,
        /// The statement's.
        got: u32,
    },
    /// A proof about no instance says nothing; one without batch is about exactly one.
    #[error("{got} instances were given, {least} to {most} can be checked")]
    Instances {
        /// At least.
        least: usize,
        /// At most.
        most: usize,
        /// Given.
        got: usize,
    },
    /// An instance's index is not in the batch.
    #[error("instance {got} is not in a batch of {count}")]
    Index {
        /// `2^lb`.
        count: u32,
        /// The index.
        got: u32,
    },
    /// The context of the statement is not that of its only instance, or not zero in a batch.
    #[error("context of the statement: expected {expected:02x?}, got {got:02x?}")]
    Context {
        /// What section 10 asks for.
        expected: Hash,
        /// The statement's.
        got: Hash,
    },
    /// A path has another length than `lb`.
    #[error("path of instance {index}: expected {expected} siblings, got {got}")]
    PathLength {
        /// The instance.
        index: u32,
        /// `lb`.
        expected: u32,
        /// Siblings given.
        got: usize,
    },
    /// An input, output, context or salt is not the one under the statement.
    #[error("instance {index} is not under io_root: expected {expected:02x?}, got {got:02x?}")]
    IoRoot {
        /// The instance.
        index: u32,
        /// The statement's root.
        expected: Hash,
        /// The root that the instance leads to.
        got: Hash,
    },
    /// An input or output has another length than its tensor.
    #[error("{what} of instance {index} has {got} values, its tensor has {expected}")]
    Length {
        /// Input or output.
        what: &'static str,
        /// The instance.
        index: u32,
        /// Cells of the tensor.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// A value is outside its tensor's interval.
    #[error("{what} of instance {index}: value {position} is {got}, outside {low}..={high}")]
    Value {
        /// Input or output.
        what: &'static str,
        /// The instance.
        index: u32,
        /// Position of the value.
        position: usize,
        /// Smallest allowed.
        low: i32,
        /// Largest allowed.
        high: i32,
        /// The value.
        got: i32,
    },
    /// The extension of an instance's input or output is not the one that the proof speaks of.
    #[error(
        "extension of the {what} of instance {index}: proof has {claimed}, computed {computed}"
    )]
    Extension {
        /// Input or output.
        what: &'static str,
        /// The instance.
        index: u32,
        /// `e_i` or `o_i` of the proof.
        claimed: K,
        /// The verifier's own.
        computed: K,
    },
    /// The outputs of a batch do not combine to the column's value.
    #[error("outputs of the batch at rho: column has {claimed}, instances give {computed}")]
    Outputs {
        /// The column's value at `rho`.
        claimed: K,
        /// `sum_i eq(rho_b, i) o_i`.
        computed: K,
    },
    /// The lookups.
    #[error(transparent)]
    Lookups(#[from] LookupError),
    /// The layers.
    #[error(transparent)]
    Layers(#[from] LayerError),
    /// The sumcheck over the weights.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The opening of the weights.
    #[error("weights: {0}")]
    Opening(#[from] OpeningError),
    /// The opening of the advice.
    #[error("advice: {0}")]
    Advice(#[from] AdviceError),
    /// A list has another length than the circuit's.
    #[error(transparent)]
    Arity(#[from] ArityError),
}

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
    let proof = Proof::decode(circuit, proof)?;
    verify(circuit, statement, claims, &proof)
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
    check_statement(circuit, statement, claims)?;
    claims.iter().try_for_each(|claim| check_instance(circuit, statement, claim))?;
    check_messages(circuit, statement, claims, proof)?;
    Ok(VerifiedProof {
        statement: *statement,
        instances: claims.iter().map(|claim| claim.index).collect(),
        security_bits: circuit.budget().bits(),
    })
}

fn check_statement(
    circuit: &Circuit,
    statement: &Statement,
    claims: &[Claim<'_>],
) -> Result<(), VerifyError> {
    let (expected, got) = (circuit.model_id(), statement.model);
    if expected != got {
        return Err(VerifyError::Model { expected, got });
    }
    let (expected, got) = (circuit.sizes().lb, statement.lb);
    if expected != got {
        return Err(VerifyError::Batch { expected, got });
    }
    let (least, most, got) = (1, 1 << expected, claims.len());
    if !(least..=most).contains(&got) {
        return Err(VerifyError::Instances { least, most, got });
    }
    let alone = claims.first().filter(|_| expected == 0);
    let expected = alone.map_or([0; 32], |claim| claim.instance.context);
    let got = statement.context;
    if expected == got { Ok(()) } else { Err(VerifyError::Context { expected, got }) }
}

/// Checks lengths, values and the path of one instance.
fn check_instance(
    circuit: &Circuit,
    statement: &Statement,
    claim: &Claim<'_>,
) -> Result<(), VerifyError> {
    let (lb, index) = (statement.lb, claim.index);
    let count = 1 << lb;
    if index >= count {
        return Err(VerifyError::Index { count, got: index });
    }
    let tensors = &circuit.program().program().tensors;
    check_values("input", index, tensors.first(), claim.instance.input)?;
    check_values("output", index, tensors.last(), claim.instance.output)?;
    let got = claim.path.len();
    if got != lb as usize {
        return Err(VerifyError::PathLength { index, expected: lb, got });
    }
    let (expected, got) = (statement.io_root, root_of(claim.instance.leaf(), index, &claim.path));
    if expected == got { Ok(()) } else { Err(VerifyError::IoRoot { index, expected, got }) }
}

fn check_values(
    what: &'static str,
    index: u32,
    tensor: Option<&Tensor>,
    values: &[i32],
) -> Result<(), VerifyError> {
    let expected = tensor.map_or(0, |tensor| tensor.shape.cells());
    let got = values.len();
    if expected != got {
        return Err(VerifyError::Length { what, index, expected, got });
    }
    let interval = tensor.map_or(Interval::new(0, 0), |tensor| tensor.interval);
    let outside = values.iter().enumerate().find(|(_, value)| !interval.contains(**value));
    outside.map_or(Ok(()), |(position, &got)| {
        let Interval { lo: low, hi: high } = interval;
        Err(VerifyError::Value { what, index, position, low, high, got })
    })
}

/// Walks the chain of section 3.
fn check_messages(
    circuit: &Circuit,
    statement: &Statement,
    claims: &[Claim<'_>],
    proof: &Proof,
) -> Result<(), VerifyError> {
    let (program, sizes) = (circuit.program(), *circuit.sizes());
    let started = Started::new(statement);
    let (committed, ()) = started.commit(|transcript| observe(circuit, proof, transcript))?;
    let run = |transcript: &mut Transcript| follow_tree(circuit, proof, transcript);
    let (looked, tree) = committed.look_up(run, sizes.claim_arity as usize)?;
    let public = check_outputs(circuit, claims, proof, looked.rho())?;
    let values = &proof.values;
    if let (Some(tree), Some(layout)) = (tree, circuit.columns().layout()) {
        let _verified = tree.check_leaves(layout, circuit.columns().leaf_values(values))?;
    }
    let tensors = circuit.columns().tensor_values(values, public);
    let forms = circuit.columns().form_values(values, &tensors);
    let forms = layers::form_claims(program, *circuit.sizes(), looked.rho(), &forms, &tensors)?;
    let claimed = looked.claim(&[&values.columns, &values.virtuals, &values.outputs]);
    let lambda = claimed.lambda();
    let (layered, layer) = claimed.layer(|rho, lambda, transcript| {
        let statement = LayerStatement { program, sizes, rho, lambda };
        let layer = layers::verify(&statement, &forms, &proof.layer_rounds, transcript)?;
        let tau = layer.tau().to_vec();
        Ok::<_, VerifyError>((layer, tau))
    })?;
    let ends = check_inputs(circuit, claims, proof, layered.rho(), layered.tau())?;
    let rho = layered.rho();
    let _verified = layer.check_ends(&LayerStatement { program, sizes, rho, lambda }, &ends)?;
    let sent = &proof.ends;
    let ended = layered.end(&[&sent.tensors, &sent.convs, &sent.biases, &sent.inputs], sizes.lb);
    let (weighed, ()) = ended.weigh(|rho, tau, lambda, transcript| {
        let statement = WeightStatement { program, sizes, rho, tau, lambda };
        check_weights(circuit, &statement, &ends, proof, transcript)
    })?;
    weighed.open(|points, transcript| check_advice(circuit, points, &ends, proof, transcript))
}

/// Step 1.
fn observe(
    circuit: &Circuit,
    proof: &Proof,
    transcript: &mut Transcript,
) -> Result<(), VerifyError> {
    if let Some((schedule, root)) =
        both("roots of the advice", circuit.schedule(), proof.advice_root.as_ref())?
    {
        advice::observe_root(schedule, root, transcript);
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

/// Step 4: compares the outputs given with those of the proof. Returns the public input's and
/// output's values at `rho`, which only matter without batch.
fn check_outputs(
    circuit: &Circuit,
    claims: &[Claim<'_>],
    proof: &Proof,
    rho: &[K],
) -> Result<[K; 2], VerifyError> {
    check_lengths(circuit, proof)?;
    let tensors = &circuit.program().program().tensors;
    let lb = circuit.sizes().lb;
    let (Some(input), Some(output)) = (tensors.first(), tensors.last()) else {
        return Ok([K::ZERO; 2]);
    };
    if lb == 0 {
        let [claim] = claims else {
            return Err(VerifyError::Instances { least: 1, most: 1, got: claims.len() });
        };
        // An input larger than `rho` stands in no form as it is: nobody asks for its value.
        let at = |tensor: &Tensor, values| match tensor.shape.arity(0) as usize {
            arity if arity > rho.len() => Ok(K::ZERO),
            _ => extension(tensor, 0, values, rho),
        };
        return Ok([at(input, claim.instance.input)?, at(output, claim.instance.output)?]);
    }
    let column = circuit.columns().of_tensor(tensors.len() - 1);
    let claimed = column.and_then(|column| proof.values.columns.get(column)).copied();
    let claimed = claimed.unwrap_or_default();
    let computed = inner_product(&eq_table(last(rho, lb as usize)), &proof.values.outputs)?;
    if claimed != computed {
        return Err(VerifyError::Outputs { claimed, computed });
    }
    let arity = output.shape.arity(lb) as usize;
    let own = last(rho, arity);
    let point = own.get(..arity.saturating_sub(lb as usize)).unwrap_or_default();
    for claim in claims {
        let computed = extension(output, lb, claim.instance.output, point)?;
        compare("output", claim.index, &proof.values.outputs, computed)?;
    }
    Ok([K::ZERO; 2])
}

/// Step 6: the values of the remote tensors, that of the input from the inputs given.
fn check_inputs(
    circuit: &Circuit,
    claims: &[Claim<'_>],
    proof: &Proof,
    rho: &[K],
    tau: &[K],
) -> Result<LayerEnds, VerifyError> {
    let lb = circuit.sizes().lb;
    let tensors = &circuit.program().program().tensors;
    let mut values = K::ZERO;
    if let Some(input) = tensors.first() {
        if lb > 0 {
            for claim in claims {
                let computed = extension(input, lb, claim.instance.input, tau)?;
                compare("input", claim.index, &proof.ends.inputs, computed)?;
            }
            values = inner_product(&eq_table(last(rho, lb as usize)), &proof.ends.inputs)?;
        } else if let (Some(0), [claim]) = (circuit.remote().first(), claims) {
            values = extension(input, 0, claim.instance.input, tau)?;
        }
    }
    let mut sent = proof.ends.tensors.iter().copied();
    let value = |&tensor: &usize| {
        if tensor == 0 { values } else { sent.next().unwrap_or_default() }
    };
    Ok(LayerEnds {
        tensors: circuit.remote().iter().map(value).collect(),
        convs: proof.ends.convs.clone(),
        biases: proof.ends.biases.clone(),
    })
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
    let (shape, root) = (circuit.weights(), circuit.weight_root());
    let (point, value) = (claim.point().clone(), proof.weight_value);
    let _verified = claim.check_value(statement, value)?;
    let _opened = tensor_code::verify(shape, &root, transcript, &point, value, &proof.weights)?;
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
    let values = circuit.values(&proof.values.columns, ends, at_omega);
    let root = proof.advice_root.unwrap_or(tensor_code::Digest::from([0; 32]));
    let points = circuit.points(points);
    let _verified = advice::verify(schedule, &root, &points, &values, opening, transcript)?;
    Ok(())
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

fn compare(what: &'static str, index: u32, claimed: &[K], computed: K) -> Result<(), VerifyError> {
    let claimed = claimed.get(index as usize).copied().unwrap_or_default();
    if claimed == computed {
        return Ok(());
    }
    Err(VerifyError::Extension { what, index, claimed, computed })
}

/// Returns the extension of one instance's values, padded with 0, at the last coordinates of
/// `point`: as many as the tensor has in a batch of `2^lb` without those of the batch.
fn extension(tensor: &Tensor, lb: u32, values: &[i32], point: &[K]) -> Result<K, ArityError> {
    let [log_y, log_x, log_c] = tensor.shape.arities(lb).map(|arity| arity as usize);
    let arity = log_y + log_x + log_c;
    let own = last(point, arity);
    same_length("coordinates of a tensor's point", arity, own.len())?;
    let (y, rest) = own.split_at(log_y);
    let (x, c) = rest.split_at(log_x);
    let (rows, columns, channels) = (eq_table(y), eq_table(x), eq_table(c));
    let (width, depth) = (tensor.shape.x as usize, tensor.shape.c as usize);
    let pixel = |cells: &[i32]| -> K {
        channels.iter().zip(cells).map(|(&weight, &cell)| weight * F::from_i32(cell)).sum()
    };
    let row = |cells: &[i32]| -> K {
        columns.iter().zip(cells.chunks(depth)).map(|(&weight, cells)| weight * pixel(cells)).sum()
    };
    Ok(rows
        .iter()
        .zip(values.chunks(width * depth))
        .map(|(&weight, cells)| weight * row(cells))
        .sum())
}
