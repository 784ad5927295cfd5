//! Lies in one step after another. Each step's check is met by a lie that only it, or the opening
//! behind it, can refuse.

use assay_zkml::columns::ClaimedValues;
use assay_zkml::field::{F, K};
use assay_zkml::multilinear::eq_table;
use assay_zkml::tensor_code::OpeningError;
use assay_zkml::verifier::{VerifiedProof, VerifyError, verify_bytes};
use p3_field::{Field, PrimeCharacteristicRing};

use super::liar::{Lies, at, last, prove};
use super::{Check, Public, Stage, refused};
use crate::nets;
use crate::network::network;

/// Proves an honest run with `lies`, and verifies it with the outputs given.
fn lie(stage: &Stage, outputs: &[Vec<i32>], lies: &Lies<'_>) -> Result<VerifiedProof, VerifyError> {
    let public = Public::new(stage, outputs);
    let proof = prove(stage, &public.statement, &stage.witness, lies).encode();
    verify_bytes(&stage.circuit, &public.statement, &public.claims(), &proof)
}

fn honest(stage: &Stage) -> Vec<Vec<i32>> {
    stage.outputs(&stage.run(&mut |_, _| {}))
}

#[test]
fn these_steps_are_those_of_the_prover() {
    for (net, lb, count) in [(network(8), 0, 1), (network(9), 2, 3), (nets::no_lookups(), 1, 2)] {
        let stage = Stage::new(net, lb, count);
        let outputs = honest(&stage);
        let public = Public::new(&stage, &outputs);
        let proof = prove(&stage, &public.statement, &stage.witness, &Lies::default());
        let same = stage.model.prove_witness(&stage.circuit, &public.statement, &stage.witness);
        assert_eq!(proof, same.unwrap());
        assert!(lie(&stage, &outputs, &Lies::default()).is_ok());
    }
}

/// The copy has no place among the leaves: only the layers and the opening speak of it.
#[test]
fn a_false_value_at_rho_that_the_layers_are_made_to_fit_is_refused_by_the_opening() {
    for (lb, count) in [(0, 1), (1, 1)] {
        let stage = Stage::new(network(10), lb, count);
        let outputs = honest(&stage);
        let copy = stage.circuit.columns().of_tensor(7).unwrap();
        let false_copy = |_: &[K], values: &mut ClaimedValues| values.columns[copy] += K::ONE;
        let lies = Lies { values: Some(&false_copy), ..Lies::default() };
        assert_eq!(refused("copy", lie(&stage, &outputs, &lies)), Check::Layers);
        for tensor in 0..3 {
            let lies = Lies { fit_tensor: Some(tensor), ..lies };
            assert_eq!(refused("copy, fitted", lie(&stage, &outputs, &lies)), Check::Advice);
        }
    }
}

#[test]
fn a_false_value_at_rho_is_refused_by_the_leaves() {
    let stage = Stage::new(network(11), 0, 1);
    let outputs = honest(&stage);
    for column in 0..stage.circuit.columns().list().len() {
        // Neither the copy nor the maxima themselves are looked up.
        if [2, 3, 7].iter().any(|&t| stage.circuit.columns().of_tensor(t) == Some(column)) {
            continue;
        }
        let lie_at = |_: &[K], values: &mut ClaimedValues| values.columns[column] += K::ONE;
        let lies = Lies { values: Some(&lie_at), ..Lies::default() };
        assert_eq!(
            refused("column", lie(&stage, &outputs, &lies)),
            Check::LookupLeaves,
            "{column}"
        );
    }
    for place in 0..stage.circuit.columns().virtuals() {
        let lie_at = |_: &[K], values: &mut ClaimedValues| values.virtuals[place] += K::ONE;
        let lies = Lies { values: Some(&lie_at), ..Lies::default() };
        assert_eq!(
            refused("virtual", lie(&stage, &outputs, &lies)),
            Check::LookupLeaves,
            "{place}"
        );
    }
}

/// From `a_j` on, each later message is made to fit until nothing is left but the code itself.
#[test]
fn a_false_value_of_a_convolution_is_refused_whatever_fits() {
    for (lb, count) in [(0, 1), (2, 2)] {
        let stage = Stage::new(network(12), lb, count);
        let outputs = honest(&stage);
        for conv in 0..6 {
            let lies = Lies { conv: Some(conv), ..Lies::default() };
            assert_eq!(refused("a_j", lie(&stage, &outputs, &lies)), Check::Layers);
            let lies = Lies { fit_tensor: Some(0), ..lies };
            assert_eq!(refused("end", lie(&stage, &outputs, &lies)), Check::Weights);
            let lies = Lies { fit_value: true, ..lies };
            let error = lie(&stage, &outputs, &lies).unwrap_err();
            assert!(matches!(error, VerifyError::Opening(OpeningError::Value { .. })), "{error}");
            let lies = Lies { fit_row: true, ..lies };
            let error = lie(&stage, &outputs, &lies).unwrap_err();
            assert!(matches!(error, VerifyError::Opening(OpeningError::Column { .. })), "{error}");
        }
    }
}

/// Moves the difference of instance `i` to instance `j` such that the sum at `rho_b` is kept.
fn shift(values: &mut [K], rho: &[K], lb: u32, [i, j]: [usize; 2], wanted: K) {
    let weights = eq_table(last(rho, lb as usize));
    let difference = wanted - values[i];
    values[i] += difference;
    values[j] -= difference * weights[i] * weights[j].inverse();
}

/// Section 10: `rho_b` is known before the `e_i` are sent. Everything but `omega` fits a changed
/// input or output; the instance that takes the error is one that nobody looks at.
#[test]
fn an_error_moved_between_instances_is_refused_by_omega() {
    for (net, lb) in [(network(13), 1), (nets::residual(), 2), (nets::one_layer(), 3)] {
        let mut stage = Stage::new(net, lb, 1);
        let mut outputs = honest(&stage);
        let spare = (1 << lb) - 1;

        // Another output than the column's.
        outputs[0][0] += 1;
        let grid = stage.grid(stage.program().sites.len());
        let arity = grid.cells().trailing_zeros() as usize;
        let reference = stage.reference();
        let padded = |tensor: usize, cells: &[i32]| -> Vec<F> {
            let grid = reference.grid(tensor);
            let mut column = vec![F::ZERO; grid.cells() >> lb];
            let real = (0..grid.cells()).filter(|&i| grid.is_real(i) && grid.place(i)[3] == 0);
            for (index, &cell) in real.zip(cells) {
                column[index >> lb] = F::from_i32(cell);
            }
            column
        };
        let column = padded(stage.program().sites.len(), &outputs[0]);
        let move_output = |rho: &[K], values: &mut ClaimedValues| {
            let own = last(rho, arity);
            let wanted = at(&column, &own[..arity - lb as usize]);
            shift(&mut values.outputs, rho, lb, [0, spare], wanted);
        };
        let lies = Lies { values: Some(&move_output), ..Lies::default() };
        assert_eq!(refused("output, fitted", lie(&stage, &outputs, &lies)), Check::Advice);
        assert_eq!(refused("output", lie(&stage, &outputs, &Lies::default())), Check::Output);
        outputs[0][0] -= 1;

        // Another input than the column's.
        let mut input = stage.inputs[0].clone();
        input[0] = if input[0] > 0 { input[0] - 1 } else { input[0] + 1 };
        let column = padded(0, &input);
        stage.inputs[0] = input;
        let move_input = |rho: &[K], tau: &[K], inputs: &mut Vec<K>| {
            let wanted = at(&column, tau);
            shift(inputs, rho, lb, [0, spare], wanted);
        };
        let lies = Lies { inputs: Some(&move_input), ..Lies::default() };
        assert_eq!(refused("input, fitted", lie(&stage, &outputs, &lies)), Check::Advice);
        assert_eq!(refused("input", lie(&stage, &outputs, &Lies::default())), Check::Input);
    }
}
