//! Liars: provers that commit to one thing and say another in one step, then make every later
//! message fit, as far as the steps allow. Each step's check is met by a lie that only it, or the
//! opening behind it, can refuse.

use assay_zkml::advice;
use assay_zkml::chain::Started;
use assay_zkml::circuit::{OpeningBatch, OpeningPoint};
use assay_zkml::columns::ClaimedValues;
use assay_zkml::field::{F, K};
use assay_zkml::layers::{self, LayerEnds, LayerError, LayerStatement};
use assay_zkml::lookups;
use assay_zkml::multilinear::{eq_table, evaluate};
use assay_zkml::proof::{Proof, SentEnds};
use assay_zkml::statement::Statement;
use assay_zkml::tensor_code::{CommittedWeights, OpeningError};
use assay_zkml::transcript::Transcript;
use assay_zkml::verifier::{VerifiedProof, VerifyError, verify_bytes};
use assay_zkml::weights::{self, WeightError, WeightStatement};
use assay_zkml::witness::Witness;
use p3_field::{Field, PrimeCharacteristicRing};

use super::{Check, Public, Stage, refused};
use crate::nets;
use crate::network::network;

/// What a liar says in each step, given what an honest prover would say.
#[derive(Default)]
pub(crate) struct Lies<'a> {
    /// Step 4, knowing `rho`.
    pub(crate) values: Option<&'a dyn Fn(&[K], &mut ClaimedValues)>,
    /// Step 6: which value of a convolution is false.
    pub(crate) conv: Option<usize>,
    /// Step 6, in a batch: the values of inputs, knowing `rho` and `tau`.
    pub(crate) inputs: Option<&'a dyn Fn(&[K], &[K], &mut Vec<K>)>,
    /// Step 6: whether the value of a tensor, by its place among those sent, is made to fit.
    pub(crate) fit_tensor: Option<usize>,
    /// Step 8: whether the value of the weights is made to fit.
    pub(crate) fit_value: bool,
    /// Step 9: whether the row is made to fit.
    pub(crate) fit_row: bool,
}

fn last(point: &[K], n: usize) -> &[K] {
    &point[point.len() - n..]
}

fn at(column: &[F], point: &[K]) -> K {
    evaluate(column, last(point, column.len().trailing_zeros() as usize)).unwrap()
}

/// In a batch, the value of each instance's slice of a column; `point` is without the batch.
fn slices(column: &[F], lb: u32, point: &[K]) -> Vec<K> {
    let slice = |b: usize| column.iter().skip(b).step_by(1 << lb).copied().collect::<Vec<_>>();
    (0..1 << lb).map(|b| at(&slice(b), point)).collect()
}

/// The steps of section 3 from their public parts, with `lies` in them.
pub(crate) fn prove(
    stage: &Stage,
    statement: &Statement,
    witness: &Witness,
    lies: &Lies<'_>,
) -> Proof {
    let circuit = &stage.circuit;
    let (program, sizes, lb) = (circuit.program(), *circuit.sizes(), stage.lb);
    let columns = circuit.columns();
    let committed: Vec<Vec<_>> =
        witness.committed(columns).into_iter().map(<[_]>::to_vec).collect();
    let schedule = circuit.schedule().expect("columns");
    let commit =
        |transcript: &mut Transcript| advice::commit(schedule, committed.clone(), transcript);
    let (state, advice) = Started::new(statement).commit(commit).unwrap();

    let tuples = witness.tuples(program.program());
    let look_up = |transcript: &mut Transcript| {
        let Some(layout) = columns.layout() else { return Ok((None, Vec::new())) };
        let proved = lookups::prove(layout, &tuples, &witness.multiplicities, transcript)?;
        Ok::<_, lookups::ProveError>((Some(proved.proof), proved.point))
    };
    let (state, tree) = state.look_up(look_up, sizes.claim_arity as usize).unwrap();
    let rho = state.rho().to_vec();

    let output = witness.tensors.last().unwrap();
    let own = last(&rho, output.len().trailing_zeros() as usize);
    let mut values = ClaimedValues {
        columns: committed.iter().map(|column| at(column, &rho)).collect(),
        virtuals: witness.virtuals.iter().flatten().map(|column| at(column, &rho)).collect(),
        outputs: if lb == 0 {
            Vec::new()
        } else {
            slices(output, lb, &own[..own.len() - lb as usize])
        },
    };
    if let Some(lie) = lies.values {
        lie(&rho, &mut values);
    }
    let public = [at(&witness.tensors[0], &rho), at(output, &rho)];
    let tensors = columns.tensor_values(&values, if lb == 0 { public } else { [K::ZERO; 2] });
    let forms = columns.form_values(&values, &tensors);
    let claims = layers::form_claims(program, sizes, &rho, &forms, &tensors).unwrap();

    let state = state.claim(&[&values.columns, &values.virtuals, &values.outputs]);
    let mut before = None;
    let (state, proved) = state
        .layer(|rho, lambda, transcript| {
            let statement = LayerStatement { program, sizes, rho, lambda };
            let mut verifier = transcript.clone();
            let weights = stage.model.weights();
            let proved = layers::prove(&statement, &claims, &witness.tensors, weights, transcript)?;
            let claim = layers::verify(&statement, &claims, &proved.rounds, &mut verifier)?;
            before = Some((lambda, claim));
            let tau = proved.tau.clone();
            Ok::<_, LayerError>((proved, tau))
        })
        .unwrap();
    let tau = state.tau().to_vec();
    let mut ends = proved.ends.clone();
    if let Some(conv) = lies.conv {
        ends.convs[conv] += K::ONE;
    }
    let remote = layers::remote_tensors(program, lb);
    let skip = usize::from(remote.first() == Some(&0));
    if let Some(place) = lies.fit_tensor {
        let (lambda, claim) = before.unwrap();
        let statement = LayerStatement { program, sizes, rho: &rho, lambda };
        let missing = |ends: &LayerEnds| match claim.clone().check_ends(&statement, ends) {
            Ok(_) => K::ZERO,
            Err(LayerError::End { claimed, computed }) => claimed - computed,
            Err(error) => panic!("{error}"),
        };
        let mut more = ends.clone();
        more.tensors[skip + place] += K::ONE;
        let slope = missing(&ends) - missing(&more);
        let step = missing(&ends) * slope.inverse();
        ends.tensors[skip + place] += step;
        assert_eq!(missing(&ends), K::ZERO);
    }
    let mut inputs = if lb == 0 { Vec::new() } else { slices(&witness.tensors[0], lb, &tau) };
    if let Some(lie) = lies.inputs {
        lie(&rho, &tau, &mut inputs);
    }
    let sent = SentEnds {
        tensors: ends.tensors[skip..].to_vec(),
        convs: ends.convs.clone(),
        biases: ends.biases.clone(),
        inputs,
    };
    let state = state.end(&[&sent.tensors, &sent.convs, &sent.biases, &sent.inputs], lb);

    let weight = |rho: &[K], tau: &[K], lambda: K, transcript: &mut Transcript| {
        let statement = WeightStatement { program, sizes, rho, tau, lambda };
        let mut verifier = transcript.clone();
        let shape = program.program().weights;
        let own = CommittedWeights::commit(shape, stage.model.weights().to_vec()).unwrap();
        let summed = weights::prove(&statement, &ends, stage.model.weights(), transcript)?;
        let claim = weights::verify(&statement, &ends, &summed.rounds, &mut verifier)?;
        let (mut value, mut row) = own.combine(&summed.point)?;
        if lies.fit_value {
            let honest = value;
            if let Err(WeightError::End { claimed, computed }) =
                claim.check_value(&statement, value)
            {
                value = claimed * honest * computed.inverse();
            }
            if lies.fit_row {
                row[0] += (value - honest) * eq_table(&summed.point.columns)[0].inverse();
            }
        }
        Ok::<_, WeightError>((summed.rounds, value, own.open_columns(transcript, value, row)))
    };
    let (state, (weight_rounds, weight_value, weights)) = state.weigh(weight).unwrap();

    let advice_root = advice.root();
    let opening = state.open(|[rho, tau, omega], transcript| {
        let lb = lb as usize;
        let point = |batch: &OpeningBatch| {
            let own = last(rho, batch.arity);
            let inner = batch.arity - lb;
            match batch.at {
                OpeningPoint::Rho => own.to_vec(),
                OpeningPoint::Tau => [last(tau, inner), last(rho, lb)].concat(),
                OpeningPoint::Input => [last(tau, inner), omega].concat(),
                OpeningPoint::Output => [&own[..inner], omega].concat(),
            }
        };
        let points: Vec<Vec<K>> = circuit.batches().iter().map(point).collect();
        advice.open(&points, transcript)
    });
    Proof {
        advice_root: Some(advice_root),
        lookups: tree,
        values,
        layer_rounds: proved.rounds,
        ends: sent,
        weight_rounds,
        weight_value,
        weights,
        advice: Some(opening.unwrap()),
    }
}

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
