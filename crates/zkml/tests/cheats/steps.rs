//! Lies in one step after another. Each step's check is met by a lie that only it, or the opening
//! behind it, can refuse.

use assay_zkml::advice::AdviceError;
use assay_zkml::circuit::OpeningPoint;
use assay_zkml::columns::ClaimedValues;
use assay_zkml::field::{F, K};
use assay_zkml::layers::{LayerEnds, remote_tensors};
use assay_zkml::multilinear::eq_table;
use assay_zkml::tensor_code::OpeningError;
use assay_zkml::transcript::Transcript;
use assay_zkml::verifier::{VerifiedProof, VerifyError, verify, verify_bytes};
use assay_zkml::weights::{self, WeightError, WeightStatement};
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

/// The same against WHIR: a value of the weights that fits everything else is not that of the
/// committed weights.
#[test]
fn a_false_value_of_small_weights_is_refused_by_whir() {
    let stage = Stage::new(network(12).small(0), 0, 1);
    let outputs = honest(&stage);
    for conv in 0..6 {
        let lies = Lies { conv: Some(conv), fit_tensor: Some(0), ..Lies::default() };
        assert_eq!(refused("end", lie(&stage, &outputs, &lies)), Check::Weights);
        let lies = Lies { fit_value: true, ..lies };
        let error = lie(&stage, &outputs, &lies).unwrap_err();
        assert!(matches!(error, VerifyError::SmallOpening(AdviceError::Whir(_))), "{error}");
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

/// A value too many, absorbed like the others: nothing in the transcript tells, only the lengths.
#[test]
fn values_that_belong_to_nothing_are_refused_by_their_number() {
    let stage = Stage::new(network(14), 1, 1);
    let outputs = honest(&stage);
    let public = Public::new(&stage, &outputs);
    let refuse = |lies: &Lies<'_>, what: &str| {
        let proof = prove(&stage, &public.statement, &stage.witness, lies);
        let error = verify(&stage.circuit, &public.statement, &public.claims(), &proof);
        let Err(VerifyError::Arity(error)) = error else { panic!("{what}: {error:?}") };
        assert_eq!((error.what, error.got), (what, error.expected + 1), "{error}");
    };
    let column = |_: &[K], values: &mut ClaimedValues| values.columns.push(K::ONE);
    refuse(&Lies { values: Some(&column), ..Lies::default() }, "values of columns");
    let looked_up = |_: &[K], values: &mut ClaimedValues| values.virtuals.push(K::ONE);
    refuse(&Lies { values: Some(&looked_up), ..Lies::default() }, "values of lookups");
    let output = |_: &[K], values: &mut ClaimedValues| values.outputs.push(K::ONE);
    refuse(&Lies { values: Some(&output), ..Lies::default() }, "values of outputs");
    let input = |_: &[K], _: &[K], inputs: &mut Vec<K>| inputs.push(K::ONE);
    refuse(&Lies { inputs: Some(&input), ..Lies::default() }, "ends of inputs");
}

/// Section 3: the input of a batch is opened at `tau` and at `omega` whoever reads it.
#[test]
fn the_input_of_a_batch_is_opened_at_both_points() {
    for (name, net) in nets::all() {
        let stage = Stage::new(net(), 1, 1);
        let columns = stage.circuit.columns();
        let input = columns.of_tensor(0).unwrap();
        let output = columns.of_tensor(stage.program().sites.len()).unwrap();
        let opened = |at: OpeningPoint, column: usize| {
            let batches = stage.circuit.batches().iter();
            batches.filter(|batch| batch.at == at && batch.columns.contains(&column)).count()
        };
        for at in [OpeningPoint::Rho, OpeningPoint::Tau, OpeningPoint::Input] {
            assert_eq!(opened(at, input), 1, "{name}: {at:?}");
        }
        assert_eq!(opened(OpeningPoint::Output, output), 1, "{name}");
        let everything = (0..columns.list().len()).map(|column| opened(OpeningPoint::Rho, column));
        assert!(everything.into_iter().all(|times| times == 1), "{name}");
    }
}

#[test]
fn points_of_other_lengths_are_refused() {
    let stage = Stage::new(network(15), 0, 1);
    let (program, sizes) = (stage.circuit.program(), *stage.circuit.sizes());
    let (rho, tau) = (
        vec![K::ONE; 1 + sizes.claim_arity as usize],
        vec![K::ONE; sizes.layer_arity as usize + 1],
    );
    let ends = LayerEnds {
        tensors: vec![K::ZERO; remote_tensors(program, 0).len()],
        convs: vec![K::ZERO; 6],
        biases: vec![K::ZERO; 2],
    };
    let rounds = vec![[K::ZERO; 2]; stage.circuit.weights().log_weights()];
    let run = |rho: &[K], tau: &[K]| {
        let statement = WeightStatement { program, sizes, rho, tau, lambda: K::TWO };
        weights::verify(&statement, &ends, &rounds, &mut Transcript::new()).map(|_| ())
    };
    assert_eq!(run(&rho[1..], &tau[1..]), Ok(()));
    for (rho, tau) in [
        (&rho[..], &tau[1..]),
        (&rho[1..], &tau[..]),
        (&rho[2..], &tau[1..]),
        (&rho[1..], &tau[2..]),
    ] {
        assert!(matches!(run(rho, tau), Err(WeightError::Arity(_))));
    }
}
