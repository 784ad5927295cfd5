//! int16 activations: closer to the float model than int8, on the same sites.

use assay_zkml::execute::execute;
use assay_zkml::model::argmax;
use assay_zkml_onnx::synthetic::{
    Attribute, Builder, Seeded, dense, lenet, mlp, random_graph, residual,
};
use assay_zkml_onnx::{Activations, Compiled, Options, Reference, compile};

use crate::models::package;

/// Samples that a model is calibrated on.
const CALIBRATION: usize = 64;

pub(crate) fn options(activations: Activations) -> Options {
    let mut options = Options::default();
    options.activations = activations;
    options
}

fn wide(bytes: &[u8], samples: &[Vec<f32>]) -> Compiled {
    compile(bytes, samples, &options(Activations::Int16)).unwrap()
}

/// Outputs of a program against those of the float model on samples that it was not calibrated on.
struct Errors {
    mean: f64,
    greatest: f64,
    same_argmax: usize,
}

fn errors(compiled: &Compiled, inputs: &[Vec<f32>], expected: &[Vec<f32>]) -> Errors {
    let (mut sum, mut count, mut greatest, mut same_argmax) = (0.0, 0_u32, 0.0_f64, 0);
    for (input, expected) in inputs.iter().zip(expected).skip(CALIBRATION) {
        let (got, _) = compiled.run(input).unwrap();
        same_argmax += usize::from(argmax(&got) == argmax(expected));
        for (got, expected) in got.iter().zip(expected) {
            let error = f64::from((got - expected).abs());
            (sum, count, greatest) = (sum + error, count + 1, greatest.max(error));
        }
    }
    Errors { mean: sum / f64::from(count), greatest, same_argmax }
}

#[test]
fn errors_are_a_tenth_of_those_of_int8() {
    let digits = package("digits");
    let samples = |values: usize| -> Vec<Vec<f32>> {
        let mut numbers = Seeded::new(7);
        (0..2 * CALIBRATION).map(|_| numbers.uniform(values, 1.0)).collect()
    };
    for (name, bytes, inputs) in [
        ("digits", digits.bytes, digits.inputs),
        ("mlp", mlp(1), samples(784)),
        ("lenet", lenet(2), samples(784)),
        ("residual", residual(3), samples(3 * 16 * 16)),
        ("deep", dense(&[64, 64, 64, 64, 64, 64, 64, 10], 4), samples(64)),
    ] {
        let float = Reference::new(&bytes).unwrap();
        let expected: Vec<_> = inputs.iter().map(|input| float.run(input).unwrap()).collect();
        let [narrow, wide] = [Activations::Int8, Activations::Int16].map(|activations| {
            let samples = inputs.get(..CALIBRATION).unwrap();
            compile(&bytes, samples, &options(activations)).unwrap()
        });
        assert_eq!(narrow.summary.activations, wide.summary.activations, "{name}");
        let [narrow, wide] = [narrow, wide].map(|compiled| errors(&compiled, &inputs, &expected));
        let held_out = inputs.len() - CALIBRATION;
        println!(
            "{name}: mean {:.6} {:.6}, greatest {:.6} {:.6}, argmax {} {} of {held_out}",
            narrow.mean,
            wide.mean,
            narrow.greatest,
            wide.greatest,
            narrow.same_argmax,
            wide.same_argmax
        );
        assert!(wide.mean < narrow.mean / 10.0, "{name}: {} {}", wide.mean, narrow.mean);
        assert!(wide.greatest < narrow.greatest / 7.0, "{name}: {}", wide.greatest);
        assert!(wide.same_argmax + 1 >= held_out, "{name}: {}", wide.same_argmax);
    }
}

/// The same graphs as with int8, all operators among them.
#[test]
fn random_graphs_are_closer_to_the_float_model_than_with_int8() {
    const GRAPHS: u16 = 80;
    let (mut sums, mut refused) = ([0.0_f32; 2], 0);
    for seed in 0..GRAPHS {
        let graph = random_graph(u64::from(seed));
        let samples = graph.samples(1, 4);
        let [narrow, wide] = [Activations::Int8, Activations::Int16]
            .map(|activations| compile(&graph.bytes, &samples, &options(activations)));
        let wide = match wide {
            Ok(wide) => wide,
            Err(error) => {
                // Its four samples show a two-thousandth of what any input could reach.
                assert!(error.to_string().contains("that int16 activations leave room for"));
                refused += 1;
                continue;
            }
        };
        let [narrow, wide] = [narrow.unwrap(), wide].map(|compiled| {
            // N1 and N2: no input at all leaves the field or a table.
            for extreme in [f32::MAX, f32::MIN] {
                compiled.run(&vec![extreme; graph.inputs]).unwrap();
            }
            let agreement = compiled.summary.agreement;
            agreement.greatest_error / agreement.greatest_output.max(f32::MIN_POSITIVE)
        });
        assert!(wide <= narrow, "seed {seed}: {wide} {narrow} in {:?}", graph.operators);
        sums[0] += narrow;
        sums[1] += wide;
    }
    assert!(sums[1] < sums[0] / 5.0 && refused < 2, "{sums:?}, {refused} refused");
}

/// One weight of 1: what is stored is what came in.
#[test]
fn the_largest_and_the_smallest_value_and_zero_are_what_they_are() {
    let mut builder = Builder::batched(&[1]);
    let weights = builder.floats(&[1, 1], &[1.0]);
    let product = builder.node("MatMul", &["x", &weights], &[]);
    let clamped = builder.node("Clip", &[&product, "", ""], &[]);
    let again = builder.node("MatMul", &[&clamped, &weights], &[]);
    let negative = builder.node("Neg", &[&again], &[]);
    let relu = builder.node("Relu", &[&again], &[]);
    let output = builder.node("Add", &[&relu, &negative], &[]);
    let samples: Vec<Vec<f32>> = vec![vec![-1.0], vec![1.0]];
    let compiled = wide(&builder.finish(&output), &samples);
    let program = compiled.program.program();
    for (tensor, interval) in program.tensors.iter().map(|tensor| tensor.interval).enumerate() {
        assert!(interval.hi > 510 || interval.lo < -510, "tensor {tensor}: {interval:?}");
    }
    let (low, high) = (program.tensors[0].interval.lo, program.tensors[0].interval.hi);
    for stored in [low, low + 1, -1, 0, 1, high - 1, high] {
        let run = execute(&compiled.program, &compiled.weights, &[stored]).unwrap();
        let got = compiled.output.dequantise(run.output()).unwrap()[0];
        let x = f64::from(stored) * compiled.input.scales()[0];
        // `relu(x) - x`, off by some steps of 2^-12.
        let expected = (-x).max(0.0);
        assert!((f64::from(got) - expected).abs() < 2e-3, "{stored}: {got} {expected}");
        assert!(stored != 0 || got == 0.0, "{got}");
    }
}

/// Products, a Softmax and functions have finer tables, too.
#[test]
fn functions_are_finer() {
    let mut builder = Builder::batched(&[6]);
    let mut numbers = Seeded::new(5);
    let weights = builder.floats(&[6, 6], &numbers.uniform(36, 1.0));
    let values = builder.node("MatMul", &["x", &weights], &[]);
    let gate = builder.node("Sigmoid", &[&values], &[]);
    let product = builder.node("Mul", &[&values, &gate], &[]);
    let again = builder.node("MatMul", &[&product, &weights], &[]);
    let output = builder.node("Softmax", &[&again], &[("axis", Attribute::Int(1))]);
    let bytes = builder.finish(&output);
    let samples: Vec<_> = (0..32).map(|_| numbers.uniform(6, 1.0)).collect();
    let [narrow, wide] = [Activations::Int8, Activations::Int16]
        .map(|activations| compile(&bytes, &samples, &options(activations)).unwrap())
        .map(|compiled| compiled.summary.agreement.greatest_error);
    assert!(wide < narrow / 5.0, "{wide} {narrow}");
}

#[test]
fn what_has_scales_of_its_own_is_refused_by_name() {
    let refused = |bytes: &[u8], samples: &[Vec<f32>]| {
        compile(bytes, samples, &options(Activations::Int16)).unwrap_err().to_string()
    };
    let digits = package("digits");
    let text = refused(include_bytes!("data/digits-qdq.onnx"), &digits.inputs[..1]);
    assert!(text.ends_with("a scale of the model's own with int16 activations is not supported"));
    assert!(text.starts_with("tensor `") || text.starts_with("node `"), "{text}");
    let wine = package("wine");
    let text = refused(&wine.bytes, &wine.inputs[..1]);
    assert!(text.starts_with("node `") && text.contains("(TreeEnsemble"), "{text}");
    assert!(text.ends_with("a tree ensemble with int16 activations is not supported"), "{text}");
    // The samples show a thousandth of what any input could reach.
    let mut builder = Builder::batched(&[2]);
    let weights = builder.floats(&[2, 1], &[1.0, -1.0]);
    let product = builder.node("MatMul", &["x", &weights], &[]);
    let relu = builder.node("Relu", &[&product], &[]);
    let weights = builder.floats(&[1, 1], &[1.0]);
    let output = builder.node("MatMul", &[&relu, &weights], &[]);
    let text = refused(&builder.finish(&output), &[vec![1.0, 0.9995], vec![1.0, 1.0]]);
    assert!(text.starts_with("node `") && text.contains("(Relu): largest stored value"), "{text}");
}
