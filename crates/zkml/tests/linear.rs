//! Layers and weights from outside: runs of programs in a batch, with the values of forms by
//! definition, and everything that can be changed changed.

use assay_zkml::execute::execute;
use assay_zkml::field::{F, K};
use assay_zkml::layers::{
    LayerEnds, LayerError, LayerStatement, ProvedLayers, form_claims, prove as prove_layers,
    remote_tensors, verify as verify_layers,
};
use assay_zkml::multilinear::evaluate;
use assay_zkml::program::{
    Axis, AxisMap, CheckedProgram, Conv, Form, Interval, Outside, Pick, SegmentSize, Site, Sizes,
    Table, TensorShape, Term, Window, layout_segments,
};
use assay_zkml::tensor_code::Point;
use assay_zkml::transcript::{Label, Transcript};
use assay_zkml::weights::{
    ProvedWeights, WeightError, WeightStatement, prove as prove_weights, verify as verify_weights,
};
use p3_field::PrimeCharacteristicRing;

use crate::columns::{at, at_if_shorter, form_by_definition, pad_value, padded, widened};
use crate::network::{INT8, Net, conv, network};
use crate::words::Words;

/// A batch of runs, with the challenges of the steps before.
struct Case {
    program: CheckedProgram,
    sizes: Sizes,
    weights: Vec<i16>,
    /// Padded columns in the order `[y][x][c][b]`.
    tensors: Vec<Vec<F>>,
    rho: Vec<K>,
    lambda_f: K,
    lambda_w: K,
    claims: Vec<K>,
}

/// What a prover sends.
#[derive(Clone)]
struct Sent {
    rounds: Vec<[K; 2]>,
    ends: LayerEnds,
    weight_rounds: Vec<[K; 2]>,
    weight_value: K,
}

#[derive(Debug, PartialEq)]
enum Refusal {
    Layers(LayerError),
    Weights(WeightError),
}

impl Case {
    fn new(net: &mut Net, lb: u32, seed: u64) -> Self {
        let program = net.checked();
        let sizes = program.sizes(lb).unwrap();
        let inputs: Vec<Vec<i32>> = (0..1 << lb).map(|_| net.input()).collect();
        let runs: Vec<_> =
            inputs.iter().map(|x| execute(&program, &net.weights, x).unwrap()).collect();
        let tensors: Vec<Vec<Vec<i64>>> = (0..net.program.tensors.len())
            .map(|t| runs.iter().map(|r| widened(r.tensor(t).unwrap())).collect())
            .collect();
        let mut rng = Transcript::new();
        rng.absorb(Label::Proof, &seed.to_le_bytes());
        let rho = rng.sample_point(sizes.claim_arity as usize);
        let columns = tensors.iter().enumerate().map(|(t, instances)| {
            padded(net.program.tensors[t].shape, lb, instances, pad_value(&net.program, t))
        });
        let columns = columns.collect::<Vec<Vec<F>>>();
        let at_rho: Vec<K> = columns.iter().map(|column| at_if_shorter(column, &rho)).collect();
        let mut forms = Vec::new();
        for (site, tensor) in net.program.sites.iter().zip(1..) {
            for form in site.forms() {
                let shape = net.program.tensors[tensor].shape;
                let instances: Vec<Vec<i64>> = (0..runs.len())
                    .map(|b| {
                        let read: Vec<&[i64]> = tensors.iter().map(|t| t[b].as_slice()).collect();
                        form_by_definition(net, shape, form, &read)
                    })
                    .collect();
                forms.push(at(&padded(shape, lb, &instances, 0), &rho));
            }
        }
        let claims = form_claims(&program, sizes, &rho, &forms, &at_rho).unwrap();
        let (lambda_f, lambda_w) = (rng.sample_k(), rng.sample_k());
        Self {
            program,
            sizes,
            weights: net.weights.clone(),
            tensors: columns,
            rho,
            lambda_f,
            lambda_w,
            claims,
        }
    }

    fn layers(&self) -> LayerStatement<'_> {
        LayerStatement {
            program: &self.program,
            sizes: self.sizes,
            rho: &self.rho,
            lambda: self.lambda_f,
        }
    }

    fn on_weights<'a>(&'a self, tau: &'a [K]) -> WeightStatement<'a> {
        WeightStatement {
            program: &self.program,
            sizes: self.sizes,
            rho: &self.rho,
            tau,
            lambda: self.lambda_w,
        }
    }

    fn prove(&self) -> Sent {
        let mut transcript = Transcript::new();
        let ProvedLayers { rounds, tau, ends, .. } = prove_layers(
            &self.layers(),
            &self.claims,
            &self.tensors,
            &self.weights,
            &mut transcript,
        )
        .unwrap();
        let statement = self.on_weights(&tau);
        let ProvedWeights { rounds: weight_rounds, point, .. } =
            prove_weights(&statement, &ends, &self.weights, &mut transcript).unwrap();
        Sent { rounds, ends, weight_rounds, weight_value: self.weights_at(&point) }
    }

    fn weights_at(&self, point: &Point) -> K {
        let mut all: Vec<F> = self.weights.iter().map(|&weight| F::from_i16(weight)).collect();
        let point = [point.rows.as_slice(), &point.columns].concat();
        all.resize(1 << point.len(), F::ZERO);
        evaluate(&all, &point).unwrap()
    }

    /// Verifies, and checks what is left against the tensors and the weights themselves.
    fn verify(&self, sent: &Sent) -> Result<(), Refusal> {
        self.verify_with(&self.claims, sent)
    }

    fn verify_with(&self, claims: &[K], sent: &Sent) -> Result<(), Refusal> {
        let (statement, mut transcript) = (self.layers(), Transcript::new());
        let claim = verify_layers(&statement, claims, &sent.rounds, &mut transcript)
            .map_err(Refusal::Layers)?;
        let tau = claim.tau().to_vec();
        claim.check_ends(&statement, &sent.ends).map_err(Refusal::Layers)?;
        let statement = self.on_weights(&tau);
        let claim = verify_weights(&statement, &sent.ends, &sent.weight_rounds, &mut transcript)
            .map_err(Refusal::Weights)?;
        claim.check_value(&statement, sent.weight_value).map_err(Refusal::Weights)
    }

    /// What the advice would be opened to, and the weights.
    fn check_openings(&self, sent: &Sent) {
        let (statement, mut transcript) = (self.layers(), Transcript::new());
        let claim = verify_layers(&statement, &self.claims, &sent.rounds, &mut transcript).unwrap();
        let tau = claim.tau().to_vec();
        let (lb, batch) = (self.sizes.lb as usize, self.rho.len() - self.sizes.lb as usize);
        let remote = remote_tensors(&self.program, self.sizes.lb);
        assert_eq!(remote.len(), sent.ends.tensors.len());
        for (&tensor, &value) in remote.iter().zip(&sent.ends.tensors) {
            let column = &self.tensors[tensor];
            let arity = column.len().trailing_zeros() as usize - lb;
            let point = [&tau[tau.len() - arity..], &self.rho[batch..]].concat();
            assert_eq!(evaluate(column, &point), Ok(value), "tensor {tensor}");
        }
        let statement = self.on_weights(&tau);
        let claim =
            verify_weights(&statement, &sent.ends, &sent.weight_rounds, &mut transcript).unwrap();
        assert_eq!(self.weights_at(claim.point()), sent.weight_value);
    }
}

/// A tensor with padded cells that are not 0, and one output with every kind of term, of random
/// shapes: strides, paddings, dilations, groups, windows and permutations.
fn random_net(seed: u64) -> Net {
    let mut words = Words::new(seed);
    let mut one_to = |bound: usize| 1 + words.below(bound) as u32;
    let groups = one_to(3);
    let input = TensorShape::new(one_to(6), one_to(6), groups * one_to(3));
    let output = TensorShape::new(one_to(5), one_to(5), groups * one_to(3));
    let function = Table::Function { bq: 130, values: (-130..=130).map(|q| q % 90 + 5).collect() };
    let mut net = Net::new(seed, input, vec![function]);
    let requant = Site::Requant {
        form: Form::new(vec![Term::Local { tensor: 0, m: 1 }]),
        shift: 0,
        table: 0,
    };
    net.site(input, INT8, requant);

    let mut terms = Vec::new();
    for tensor in [0, 1, 0] {
        let mut window = || Window {
            taps: one_to(3),
            stride: one_to(3),
            pad: one_to(4) - 1,
            dilation: one_to(2),
        };
        let (y, x) = (window(), window());
        let c_off = one_to(3) - 1;
        let (groups, c_off) = grouping(tensor, groups, c_off, input.c, output.c);
        let channels = input.c / groups + if groups == 1 { c_off + one_to(2) - 1 } else { 0 };
        let segment = net.segment(y.taps * x.taps, output.c, channels);
        terms.push(Term::Conv(Conv { tensor, segment, y, x, groups, c_off }));
        if tensor == 0 {
            terms.push(Term::Pick(random_pick(&mut one_to, 1, input, output)));
            terms.push(Term::Pick(random_pick(&mut one_to, 0, input, output)));
        }
    }
    let bias = net.segment(1, output.c, 1);
    terms.push(Term::Bias { segment: bias, m: 3 });
    terms.push(Term::Bias { segment: bias, m: -70 });
    terms.push(Term::Const { v: 11 });
    net.site(output, Interval::RAW, Site::Output { form: Form::new(terms) });
    net
}

/// Groups that the rules allow: powers of two, or depthwise; else one group and a window.
fn grouping(tensor: u32, groups: u32, c_off: u32, inputs: u32, outputs: u32) -> (u32, u32) {
    let depthwise = inputs == outputs && inputs > 1;
    if tensor == 1 && depthwise {
        return (inputs, 0);
    }
    let sizes = [inputs / groups, outputs / groups];
    if sizes.iter().all(|size| size.is_power_of_two()) { (groups, 0) } else { (1, c_off) }
}

fn random_pick(
    one_to: &mut impl FnMut(usize) -> u32,
    tensor: u32,
    input: TensorShape,
    output: TensorShape,
) -> Pick {
    use Axis::{C, X, Y};
    let orders = [[Y, X, C], [X, Y, C], [C, X, Y], [Y, C, X], [X, C, Y]];
    let order = orders[one_to(5) as usize - 1];
    let lowest = one_to(2) == 1;
    let mut taps = || {
        let first = one_to(3) - 1;
        let taps = if lowest { vec![first] } else { vec![first, first + one_to(3)] };
        AxisMap::Taps { stride: one_to(3), pad: one_to(4) - 1, taps }
    };
    let (y, x) = (taps(), taps());
    let (from, to) = (input.extents()[order[2].position()], output.c);
    let c = if from >= to {
        AxisMap::FromInput { start: one_to((from - to) as usize + 1) - 1 }
    } else {
        AxisMap::IntoOutput { start: one_to((to - from) as usize + 1) - 1 }
    };
    let outside = if lowest { Outside::Lowest } else { Outside::Zero };
    Pick { tensor, order, axes: [y, x, c], outside, m: one_to(9) as i32 - 5 }
}

/// Verifies values that fit nothing: they are refused, whatever the program.
pub(crate) fn refuse_any_linear_proof(program: &CheckedProgram, lb: u32) {
    let Ok(sizes) = program.sizes(lb) else { return };
    let parts = program.program();
    let forms: Vec<&Form> = parts.sites.iter().flat_map(Site::forms).collect();
    let convs = forms.iter().flat_map(|form| &form.terms).filter(|t| matches!(t, Term::Conv(_)));
    let biased = |form: &&&Form| form.terms.iter().any(|t| matches!(t, Term::Bias { .. }));
    let (mut rng, mut transcript) = (Transcript::new(), Transcript::new());
    let ends = LayerEnds {
        tensors: rng.sample_point(remote_tensors(program, lb).len()),
        convs: rng.sample_point(convs.count()),
        biases: rng.sample_point(forms.iter().filter(biased).count()),
    };
    let rho = rng.sample_point(sizes.claim_arity as usize);
    let values = [forms.len(), parts.tensors.len()].map(|count| rng.sample_point(count));
    let claims = form_claims(program, sizes, &rho, &values[0], &values[1]).unwrap();
    let statement = LayerStatement { program, sizes, rho: &rho, lambda: rng.sample_k() };
    let rounds = vec![[K::ONE; 2]; sizes.layer_arity as usize];
    let claim = verify_layers(&statement, &claims, &rounds, &mut transcript).unwrap();
    let tau = claim.tau().to_vec();
    let error = claim.check_ends(&statement, &ends).unwrap_err();
    assert!(matches!(error, LayerError::End { .. }), "{error}");
    let statement = WeightStatement { program, sizes, rho: &rho, tau: &tau, lambda: K::TWO };
    let rounds = vec![[K::TWO; 2]; parts.weights.log_weights()];
    let claim = verify_weights(&statement, &ends, &rounds, &mut transcript).unwrap();
    let error = claim.check_value(&statement, K::ONE).unwrap_err();
    assert!(matches!(error, WeightError::End { .. }), "{error}");
}

#[test]
fn the_network_is_proven_in_every_batch() {
    // From 16 instances on the vectors are summed in full.
    for lb in [0, 1, 2, 4] {
        let case = Case::new(&mut network(7), lb, 1);
        let sent = case.prove();
        assert_eq!(case.verify(&sent), Ok(()), "lb {lb}");
        case.check_openings(&sent);
    }
}

#[test]
fn random_layers_are_proven() {
    for seed in 0..60 {
        let case = Case::new(&mut random_net(seed), (seed % 3) as u32, seed);
        let sent = case.prove();
        assert_eq!(case.verify(&sent), Ok(()), "seed {seed}: {:?}", case.program.program());
        case.check_openings(&sent);
    }
}

/// Segments as a compiler places them, so that rows of the matrix share their coefficients: several
/// outputs in a row, parts of an output in a row, depthwise, and biases.
#[test]
fn aligned_segments_are_proven() {
    let sizes = [
        SegmentSize::weights(9, 40, 8),
        SegmentSize::weights(9, 200, 1),
        SegmentSize::weights(4, 9, 2300),
        SegmentSize::bias(40),
        SegmentSize::weights(1, 40, 200),
    ];
    let layout = layout_segments(&sizes).unwrap();
    let kappa = layout.shape.log_columns();
    let logs: Vec<usize> = layout.segments.iter().map(|s| s.log_channels as usize).collect();
    assert!(logs[0] < kappa && logs[2] >= kappa, "both kinds of rows: {logs:?} and {kappa}");
    for lb in [0, 2] {
        let tables = vec![Table::Clamp { bq: 30_000, lo: -127, hi: 127 }, Table::Range { bits: 4 }];
        let mut net = Net::new(3, TensorShape::new(4, 3, 8), tables);
        let mut words = Words::new(5);
        net.weights = (0..layout.places).map(|_| words.below(61) as i16 - 30).collect();
        (net.program.segments, net.program.weights) = (layout.segments.clone(), layout.shape);
        let same = Window::new(3, 1, 1);
        let requant = |terms| Site::Requant { form: Form::new(terms), shift: 4, table: 0 };
        let terms = vec![Term::Conv(conv(0, 0, same, same, 1)), Term::Bias { segment: 3, m: 5 }];
        let t1 = net.site(TensorShape::new(4, 3, 40), INT8, requant(terms));
        let parts = (0..5).map(|part| {
            let mut pick = Pick::whole(t1, 1);
            pick.axes[2] = AxisMap::IntoOutput { start: 40 * part };
            Term::Pick(pick)
        });
        let copy = Site::Copy { form: Form::new(parts.collect()) };
        let t2 = net.site(TensorShape::new(4, 3, 200), INT8, copy);
        let depthwise = vec![Term::Conv(conv(t2, 1, same, same, 200))];
        let t3 = net.site(TensorShape::new(4, 3, 200), INT8, requant(depthwise));
        let last = vec![Term::Conv(conv(t3, 4, Window::UNIT, Window::UNIT, 1))];
        let t4 = net.site(TensorShape::new(4, 3, 40), INT8, requant(last));
        let square = Window::new(2, 3, 1);
        let wide = |tensor, c_off| Term::Conv(Conv { c_off, ..conv(tensor, 2, square, square, 1) });
        let terms = vec![wide(t3, 1 << kappa), wide(t2, 0), wide(t4, 17)];
        let output = Site::Output { form: Form::new(terms) };
        net.site(TensorShape::new(2, 2, 9), Interval::RAW, output);

        let case = Case::new(&mut net, lb, 1);
        let sent = case.prove();
        assert_eq!(case.verify(&sent), Ok(()), "lb {lb}");
        case.check_openings(&sent);
    }
}

/// Pitfall 12: with no remote term there is no round (`nS = 0`), and each `C_l` is still enforced;
/// with no weights either, nothing is left of them to check.
#[test]
fn programs_without_remote_terms_are_proven() {
    for (lb, biased) in [(0, false), (0, true), (2, false), (2, true)] {
        let mut net = Net::new(1, TensorShape::new(3, 2, 5), Vec::new());
        let mut terms = vec![Term::Local { tensor: 0, m: 3 }, Term::Const { v: -9 }];
        if biased {
            let segment = net.segment(1, 5, 1);
            terms.push(Term::Bias { segment, m: 2 });
        }
        let shape = TensorShape::new(3, 2, 5);
        net.site(shape, Interval::RAW, Site::Output { form: Form::new(terms) });
        let case = Case::new(&mut net, lb, 1);
        assert_eq!(case.sizes.layer_arity == 0, lb == 0);
        let sent = case.prove();
        assert_eq!(case.verify(&sent), Ok(()), "lb {lb}");
        case.check_openings(&sent);
        let claims = [case.claims[0] + K::ONE];
        assert!(is_layer_end(&case.verify_with(&claims, &sent)));
        if biased {
            let mut wrong = sent.clone();
            wrong.ends.biases[0] += K::ONE;
            assert!(is_layer_end(&case.verify(&wrong)));
        } else {
            assert_eq!(case.claims, [K::ZERO]);
        }
    }
}

/// A public input has no column, so it may have more variables than `rho`; and a kernel of many rows
/// is summed with the vectors in full.
#[test]
fn an_input_larger_than_everything_else_is_proven() {
    for (lb, height) in [(0, 5), (0, 20), (1, 20)] {
        let mut net = Net::new(1, TensorShape::new(height, 6, 4), Vec::new());
        let segment = net.segment(height * 6, 3, 4);
        let (y, x) = (Window::new(height, 1, 0), Window::new(6, 1, 0));
        let conv = Conv { tensor: 0, segment, y, x, groups: 1, c_off: 0 };
        let form = Form::new(vec![Term::Conv(conv)]);
        net.site(TensorShape::vector(3), Interval::RAW, Site::Output { form });
        let case = Case::new(&mut net, lb, 1);
        assert!(lb > 0 || case.rho.len() < case.sizes.layer_arity as usize);
        let sent = case.prove();
        assert_eq!(case.verify(&sent), Ok(()));
        case.check_openings(&sent);
    }
}

fn is_layer_end(result: &Result<(), Refusal>) -> bool {
    matches!(result, Err(Refusal::Layers(LayerError::End { .. })))
}

fn is_weight_end(result: &Result<(), Refusal>) -> bool {
    matches!(result, Err(Refusal::Weights(WeightError::End { .. })))
}

fn cases() -> Vec<Case> {
    let mut cases = vec![Case::new(&mut network(3), 0, 2), Case::new(&mut network(3), 2, 3)];
    cases.extend((100..104).map(|seed| Case::new(&mut random_net(seed), seed as u32 % 2, seed)));
    cases
}

#[test]
fn every_round_claim_and_value_of_the_layers_counts() {
    for case in cases() {
        let sent = case.prove();
        for round in 0..sent.rounds.len() {
            for part in 0..2 {
                let mut wrong = sent.clone();
                wrong.rounds[round][part] += K::ONE;
                assert!(is_layer_end(&case.verify(&wrong)), "round {round} {part}");
            }
        }
        for form in 0..case.claims.len() {
            let mut claims = case.claims.clone();
            claims[form] += K::ONE;
            assert!(is_layer_end(&case.verify_with(&claims, &sent)), "claim {form}");
        }
    }
}

/// The network reads every remote tensor; in a random one all taps may be outside.
#[test]
fn every_value_at_the_end_of_the_layers_counts() {
    for lb in [0, 2] {
        let case = Case::new(&mut network(3), lb, 2);
        let sent = case.prove();
        let lists: [fn(&mut LayerEnds) -> &mut Vec<K>; 3] =
            [|ends| &mut ends.tensors, |ends| &mut ends.convs, |ends| &mut ends.biases];
        for list in lists {
            for index in 0..list(&mut sent.ends.clone()).len() {
                let mut wrong = sent.clone();
                list(&mut wrong.ends)[index] += K::ONE;
                let result = case.verify(&wrong);
                assert!(is_layer_end(&result), "value {index}: {result:?}");
            }
        }
    }
}

#[test]
fn every_round_and_the_value_of_the_weights_count() {
    for case in cases() {
        let sent = case.prove();
        for round in 0..sent.weight_rounds.len() {
            for part in 0..2 {
                let mut wrong = sent.clone();
                wrong.weight_rounds[round][part] += K::ONE;
                assert!(is_weight_end(&case.verify(&wrong)), "round {round} {part}");
            }
        }
        let mut wrong = sent.clone();
        wrong.weight_value += K::ONE;
        assert!(is_weight_end(&case.verify(&wrong)));
    }
}

/// Values that only the weights refuse: two convolutions of one form on one tensor.
#[test]
fn values_that_the_layers_cannot_tell_apart_are_refused_by_the_weights() {
    for seed in 100..104 {
        let case = Case::new(&mut random_net(seed), 1, seed);
        let mut sent = case.prove();
        sent.ends.convs[0] += K::ONE;
        sent.ends.convs[2] -= K::ONE;
        assert!(is_weight_end(&case.verify(&sent)), "seed {seed}");
    }
}

/// A run that is not the program's: a changed cell, also a padded one, or a changed weight.
#[test]
fn another_witness_is_refused() {
    for base in [0, 1] {
        let honest = Case::new(&mut network(5), base, 4);
        for tensor in remote_tensors(&honest.program, base) {
            let mut case = Case::new(&mut network(5), base, 4);
            case.tensors[tensor][0] += F::ONE;
            let sent = case.prove();
            assert!(is_layer_end(&case.verify(&sent)), "tensor {tensor}");
        }
        let mut case = Case::new(&mut network(5), base, 4);
        case.weights[0] += 1;
        assert!(is_layer_end(&case.verify(&case.prove())), "a weight");
    }
}

/// Cells far outside any interval are summed as they are.
#[test]
fn columns_of_any_elements_are_proven_as_they_are() {
    let mut case = Case::new(&mut network(5), 1, 4);
    let honest = case.prove();
    // The last cell of the input is a pad: 5 of 8 columns, 3 of 4 channels.
    let last = case.tensors[0].len() - 1;
    case.tensors[0][last] = F::from_i32(1 << 29);
    let sent = case.prove();
    assert_eq!(case.verify(&sent), Ok(()));
    assert_ne!(sent.ends.tensors[0], honest.ends.tensors[0], "the end is that of the raw column");
    case.check_openings(&sent);
}

#[test]
fn lists_of_other_lengths_are_refused_before_anything_else() {
    let case = Case::new(&mut network(3), 1, 2);
    let sent = case.prove();
    let changes: [fn(&mut Sent); 12] = [
        |sent| sent.rounds.truncate(sent.rounds.len() - 1),
        |sent| sent.rounds.push([K::ZERO; 2]),
        |sent| sent.ends.tensors.truncate(sent.ends.tensors.len() - 1),
        |sent| sent.ends.tensors.push(K::ZERO),
        |sent| sent.ends.convs.truncate(sent.ends.convs.len() - 1),
        |sent| sent.ends.convs.push(K::ZERO),
        |sent| sent.ends.biases.truncate(sent.ends.biases.len() - 1),
        |sent| sent.ends.biases.push(K::ZERO),
        |sent| sent.weight_rounds.truncate(sent.weight_rounds.len() - 1),
        |sent| sent.weight_rounds.push([K::ZERO; 2]),
        |sent| sent.rounds.clear(),
        |sent| sent.weight_rounds.clear(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut wrong = sent.clone();
        change(&mut wrong);
        let result = case.verify(&wrong);
        let layers = matches!(result, Err(Refusal::Layers(LayerError::Arity(_))));
        let weights = matches!(result, Err(Refusal::Weights(WeightError::Arity(_))));
        assert!(layers || weights, "change {index}: {result:?}");
    }
    assert!(matches!(
        case.verify_with(&case.claims[1..], &sent),
        Err(Refusal::Layers(LayerError::Arity(_)))
    ));
}

#[test]
fn the_prover_refuses_lists_of_other_lengths() {
    let case = Case::new(&mut network(3), 1, 2);
    let layers = |claims: &[K], tensors: &[Vec<F>], weights: &[i16], rho: &[K]| {
        let statement = LayerStatement { rho, ..case.layers() };
        prove_layers(&statement, claims, tensors, weights, &mut Transcript::new()).is_ok()
    };
    let (claims, tensors, weights, rho) = (&case.claims, &case.tensors, &case.weights, &case.rho);
    assert!(layers(claims, tensors, weights, rho));
    assert!(!layers(&claims[1..], tensors, weights, rho));
    assert!(!layers(claims, &tensors[1..], weights, rho));
    assert!(!layers(claims, tensors, weights, &rho[1..]));
    let many = vec![0; case.program.program().weights.capacity() + 1];
    assert!(!layers(claims, tensors, &many, rho));
    let mut short = tensors.clone();
    short[1].pop();
    assert!(!layers(claims, &short, weights, rho));

    let sent = case.prove();
    let tau = vec![K::ONE; case.sizes.layer_arity as usize];
    let weights = |tau: &[K], ends: &LayerEnds, weights: &[i16]| {
        prove_weights(&case.on_weights(tau), ends, weights, &mut Transcript::new()).is_ok()
    };
    assert!(weights(&tau, &sent.ends, &case.weights));
    assert!(!weights(&tau[1..], &sent.ends, &case.weights));
    assert!(!weights(&tau, &LayerEnds::default(), &case.weights));
    assert!(!weights(&tau, &sent.ends, &many));
}

/// What [`random_layers_are_proven`] and the network rest on.
#[test]
fn the_network_has_pads_that_are_not_zero() {
    let net = network(1);
    assert!((0..net.program.tensors.len()).any(|tensor| pad_value(&net.program, tensor) != 0));
}
