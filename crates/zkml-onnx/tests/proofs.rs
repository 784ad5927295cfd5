//! A compiled model is proven and verified.

use assay_zkml::circuit::Circuit;
use assay_zkml::execute::execute_batch;
use assay_zkml::prover::ProvingModel;
use assay_zkml::statement::{Claim, Instance, IoTree, Statement};
use assay_zkml::verifier::verify_bytes;
use assay_zkml_onnx::synthetic::Attribute;
use assay_zkml_onnx::{Activations, Compiled, Options, compile};

use crate::net::{Net, ints};

/// Cells spread, repeated and chosen, a product and a Softmax: one proof, and no other output.
#[test]
fn what_operators_become_is_proven() {
    let mut net = Net::new(&[2, 4, 4]);
    let weights = net.random(&[2, 3, 2, 2]);
    let stride = [("strides", ints(&[2, 2]))];
    let large = net.node("ConvTranspose", &["x", &weights], &stride);
    let gate = net.node("Sigmoid", &[&large], &[]);
    let value = net.node("Mul", &[&large, &gate], &[]);
    let pool =
        net.node("MaxPool", &[&value], &[("kernel_shape", ints(&[3, 3])), stride[0].clone()]);
    let scales = net.builder.floats(&[4], &[1.0, 1.0, 2.0, 1.0]);
    let twice = net.node("Resize", &[&pool, "", &scales], &[]);
    let rows = net.builder.integers(&[5, 0, 3]);
    let some = net.node("Gather", &[&twice, &rows], &[("axis", Attribute::Int(2))]);
    let flat = net.node("Flatten", &[&some], &[]);
    let weights = net.random(&[27, 5]);
    let logits = net.node("MatMul", &[&flat, &weights], &[]);
    let output = net.node("Softmax", &[&logits], &[("axis", Attribute::Int(1))]);
    let compiled = net.compile(&output);
    let input = net.numbers.uniform(net.inputs, 0.8);
    proven(compiled, &input);
}

/// Convolutions, maxima, a shortcut and an average over cells of more than 8 bits.
#[test]
fn wide_cells_are_proven() {
    let mut net = Net::new(&[2, 6, 6]);
    let pads = [("pads", ints(&[1, 1, 1, 1]))];
    let conv = net.conv("x", &[3, 2, 3, 3], &pads);
    let first = net.node("Relu", &[&conv], &[]);
    let second = net.conv(&first, &[3, 3, 3, 3], &pads);
    let sum = net.node("Add", &[&second, &first], &[]);
    let side = [("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2]))];
    let pooled = net.node("MaxPool", &[&sum], &side);
    let mean = net.node("GlobalAveragePool", &[&pooled], &[]);
    let flat = net.node("Flatten", &[&mean], &[]);
    let weights = net.random(&[3, 5]);
    let output = net.node("MatMul", &[&flat, &weights], &[]);
    let samples: Vec<_> = (0..16).map(|_| net.numbers.uniform(net.inputs, 1.0)).collect();
    let mut options = Options::default();
    options.activations = Activations::Int16;
    let compiled = compile(&net.builder.finish(&output), &samples, &options).unwrap();
    let tensors = &compiled.program.program().tensors;
    assert!(tensors.iter().all(|tensor| tensor.interval.amax() > 510), "{tensors:?}");
    proven(compiled, &samples[0]);
}

/// Proves the program on one input: the proof is accepted for its output, and for no other.
fn proven(compiled: Compiled, input: &[f32]) {
    let input = compiled.input.quantise(input).unwrap().values;
    let model = ProvingModel::register(compiled.program, compiled.weights).unwrap();
    let circuit = Circuit::new(model.descriptor(), 0).unwrap();
    let inputs = [input.clone()];
    let runs = execute_batch(circuit.program(), model.weights(), 0, &inputs).unwrap();
    let output = runs[0].output().to_vec();
    let (context, salt) = ([1; 32], [2; 32]);
    let mut wrong = output.clone();
    wrong[3] += 1;
    for (shown, right) in [(output, true), (wrong, false)] {
        let instance = Instance { context, salt, input: &input, output: &shown };
        let tree = IoTree::new(0, std::slice::from_ref(&instance)).unwrap();
        let root = tree.root();
        let statement = Statement { model: circuit.model_id(), context, lb: 0, io_root: root };
        let proof = model.prove(&circuit, &statement, &runs).unwrap().encode();
        let claim = Claim { index: 0, instance, path: tree.path(0) };
        let result = verify_bytes(&circuit, &statement, &[claim], &proof);
        assert_eq!(result.is_ok(), right, "{shown:?}");
    }
}
