//! The instances that a verifier was given: that they are those of the statement, and their values
//! where the protocol needs them (sections 10 and 11, steps 4 and 6).

use p3_field::PrimeCharacteristicRing;

use super::error::VerifyError;
use crate::circuit::Circuit;
use crate::field::{F, K};
use crate::layers::LayerEnds;
use crate::multilinear::{ArityError, eq_table, inner_product, suffix};
use crate::program::{Interval, Tensor};
use crate::proof::Proof;
use crate::statement::{Claim, Statement, root_of};

/// Checks that the statement is about the circuit's model and batch, and in the one context.
pub(super) fn check_statement(
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
pub(super) fn check_instance(
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

/// Returns the values at `rho` of the public input and output of a proof without batch (step 4).
pub(super) fn public_values(
    circuit: &Circuit,
    claim: &Claim<'_>,
    rho: &[K],
) -> Result<[K; 2], ArityError> {
    let tensors = &circuit.program().program().tensors;
    // An input larger than `rho` stands in no form as it is: nobody asks for its value.
    let at = |tensor: Option<&Tensor>, values| match tensor {
        Some(tensor) if tensor.shape.arity(0) as usize <= rho.len() => {
            extension(tensor, 0, values, rho)
        }
        _ => Ok(K::ZERO),
    };
    let instance = &claim.instance;
    Ok([at(tensors.first(), instance.input)?, at(tensors.last(), instance.output)?])
}

/// Checks the outputs of a batch: that the values `o_i` combine to the column's value at `rho`, and
/// that the instances given have theirs (step 4).
pub(super) fn check_outputs(
    circuit: &Circuit,
    claims: &[Claim<'_>],
    proof: &Proof,
    rho: &[K],
) -> Result<(), VerifyError> {
    let tensors = &circuit.program().program().tensors;
    let Some(output) = tensors.last() else { return Ok(()) };
    let lb = circuit.sizes().lb;
    let column = circuit.columns().of_tensor(tensors.len() - 1);
    let claimed = column.and_then(|column| proof.values.columns.get(column)).copied();
    let claimed = claimed.unwrap_or_default();
    let outputs = &proof.values.outputs;
    let computed = inner_product(&eq_table(suffix(rho, lb as usize)?), outputs)?;
    if claimed != computed {
        return Err(VerifyError::Outputs { claimed, computed });
    }
    let arity = output.shape.arity(lb) as usize;
    let own = suffix(rho, arity)?;
    let point = own.get(..arity.saturating_sub(lb as usize)).unwrap_or_default();
    for claim in claims {
        let computed = extension(output, lb, claim.instance.output, point)?;
        compare("output", claim.index, outputs, computed)?;
    }
    Ok(())
}

/// Returns the ends of the layers with the input's value, which is computed from the inputs given:
/// directly without batch, else from the values `e_i`, after comparing those given (step 6).
pub(super) fn check_inputs(
    circuit: &Circuit,
    claims: &[Claim<'_>],
    proof: &Proof,
    rho: &[K],
    tau: &[K],
) -> Result<LayerEnds, VerifyError> {
    let lb = circuit.sizes().lb;
    let mut value = K::ZERO;
    if let Some(input) = circuit.program().program().tensors.first() {
        if lb > 0 {
            for claim in claims {
                let computed = extension(input, lb, claim.instance.input, tau)?;
                compare("input", claim.index, &proof.ends.inputs, computed)?;
            }
            value = inner_product(&eq_table(suffix(rho, lb as usize)?), &proof.ends.inputs)?;
        } else if let (Some(0), [claim]) = (circuit.remote().first(), claims) {
            value = extension(input, 0, claim.instance.input, tau)?;
        }
    }
    let mut sent = proof.ends.tensors.iter().copied();
    let at_tau =
        |&tensor: &usize| if tensor == 0 { value } else { sent.next().unwrap_or_default() };
    Ok(LayerEnds {
        tensors: circuit.remote().iter().map(at_tau).collect(),
        convs: proof.ends.convs.clone(),
        biases: proof.ends.biases.clone(),
    })
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
    let own = suffix(point, arity)?;
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
