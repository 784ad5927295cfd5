//! Softmax against the float model.

use assay_zkml_onnx::synthetic::{Attribute, Builder, Seeded, dense, lenet};
use assay_zkml_onnx::{Options, Reference, compile};
use prost::Message as _;
use tract_onnx::pb::{ModelProto, NodeProto};

use crate::net::{Net, ints};

/// Farthest that a probability may be off: its own half step is a 1020th, and the argument of the
/// exponential is known to a few hundredths where any input could reach far.
const OFF: f32 = 0.02;

fn last() -> [(&'static str, Attribute); 1] {
    [("axis", Attribute::Int(-1))]
}

/// Compiles `net`, whose output are `count` probabilities of each row, and compares them.
fn probabilities(net: &Net, output: &str, count: usize, most: f32) {
    let compiled = net.compile(output);
    let reference = Reference::new(&net.builder.finish(output)).unwrap();
    let mut numbers = Seeded::new(5);
    for _ in 0..20 {
        // Less far than the samples that it was calibrated on: nothing is clamped.
        let input = numbers.uniform(net.inputs, 0.8);
        let (got, _) = compiled.run(&input).unwrap();
        let expected = reference.run(&input).unwrap();
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.chunks(count).zip(expected.chunks(count)) {
            let off = got.iter().zip(expected).map(|(got, expected)| (got - expected).abs());
            let off = off.fold(0.0, f32::max);
            assert!(off < most, "{off}: {got:?} for {expected:?}");
            let sum: f32 = got.iter().sum();
            assert!((sum - 1.0).abs() < 0.02 + count as f32 / 1020.0, "{sum}: {got:?}");
            let largest = |values: &[f32]| {
                let places = (0..count).max_by(|&a, &b| values[a].total_cmp(&values[b]));
                places.unwrap()
            };
            // Where one is the largest by more than both may be off, it is the same.
            let less = expected[largest(expected)] - expected[largest(got)];
            assert!(less < 2.0 * most, "{got:?} for {expected:?}");
        }
    }
}

#[test]
fn a_model_may_end_in_probabilities() {
    // The steps of the input alone move large logits, and with them probabilities, by more.
    for (classes, size, most) in
        [(2, 1.0, OFF), (10, 1.0, OFF), (10, 8.0, 4.0 * OFF), (200, 2.0, 2.0 * OFF)]
    {
        let mut net = Net::new(&[16]);
        let values = net.numbers.uniform(16 * classes as usize, size);
        let weights = net.builder.floats(&[16, classes], &values);
        let bias = net.random(&[classes]);
        let logits = net.node("MatMul", &["x", &weights], &[]);
        let logits = net.node("Add", &[&logits, &bias], &[]);
        let output = net.node("Softmax", &[&logits], &last());
        probabilities(&net, &output, classes as usize, most);
    }
}

/// The logarithm needs no exponential of its own at the end.
#[test]
fn logarithms_of_probabilities() {
    let mut net = Net::new(&[16]);
    let weights = net.random(&[16, 10]);
    let logits = net.node("MatMul", &["x", &weights], &[]);
    let output = net.node("LogSoftmax", &[&logits], &last());
    assert_eq!(net.close(&output).len(), 1 + 4 + 2 + 1);
}

#[test]
fn rows_have_probabilities_of_their_own() {
    let mut net = Net::new(&[5, 12]);
    let weights = net.random(&[12, 6]);
    let logits = net.node("MatMul", &["x", &weights], &[]);
    let output = net.node("Softmax", &[&logits], &last());
    probabilities(&net, &output, 6, OFF);
    // Channels of an image become rows, and the last dimension the channels.
    let mut net = Net::new(&[3, 6, 5]);
    let conv = net.conv("x", &[4, 3, 3, 1], &[("pads", ints(&[1, 0, 1, 0]))]);
    let output = net.node("Softmax", &[&conv], &last());
    probabilities(&net, &output, 5, 2.0 * OFF);
}

/// In the middle of a model, read by a matrix product.
#[test]
fn probabilities_are_read_on() {
    let mut net = Net::new(&[12]);
    let weights = net.random(&[12, 6]);
    let logits = net.node("MatMul", &["x", &weights], &[]);
    let shares = net.node("Softmax", &[&logits], &last());
    let weights = net.random(&[6, 4]);
    let output = net.node("MatMul", &[&shares, &weights], &[]);
    net.close(&output);
}

#[test]
fn the_input_itself_and_a_joined_value() {
    let mut net = Net::new(&[8]);
    let output = net.node("Softmax", &["x"], &[]);
    probabilities(&net, &output, 8, OFF);
    let mut net = Net::new(&[8]);
    let left = net.node("Tanh", &["x"], &[]);
    let weights = net.random(&[8, 3]);
    let right = net.node("MatMul", &["x", &weights], &[]);
    let both = net.node("Concat", &[&left, &right], &last());
    let output = net.node("Softmax", &[&both], &last());
    // Of its largest, on the samples: what is joined is rounded, and cut to its range on them.
    net.close_within(0.05, &output);
}

/// Known architectures with probabilities behind them: their tables hold what any input could reach.
#[test]
fn architectures_with_probabilities() {
    for (bytes, inputs) in [(lenet(2), 784), (dense(&[64, 64, 64, 10], 4), 64)] {
        let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
        let graph = model.graph.as_mut().unwrap();
        let logits = graph.output[0].name.clone();
        graph.node.push(NodeProto {
            name: "last".to_owned(),
            op_type: "Softmax".to_owned(),
            input: vec![logits],
            output: vec!["shares".to_owned()],
            ..Default::default()
        });
        graph.output[0].name = "shares".to_owned();
        let bytes = model.encode_to_vec();
        let mut numbers = Seeded::new(7);
        let samples: Vec<_> = (0..8).map(|_| numbers.uniform(inputs, 1.0)).collect();
        let agreement = compile(&bytes, &samples, &Options::default()).unwrap().summary.agreement;
        assert!(agreement.greatest_error < 2.0 * OFF, "{agreement:?}");
    }
}

#[test]
fn other_dimensions_are_refused_in_one_sentence() {
    let cases: [(&[u32], Option<i64>, &str); 4] = [
        (&[3, 4, 4], Some(1), "(Softmax): axis 1 of 4 dimensions is not supported"),
        (&[3, 4, 4], None, "(Softmax): no axis beside 4 dimensions is not supported"),
        (&[3, 4, 1], Some(-1), "(Softmax): this over one value is not supported"),
        (&[3, 4, 4], Some(4), "(Softmax): axis must be -4 to 3, got 4"),
    ];
    for (dims, axis, expected) in cases {
        let mut builder = Builder::batched(dims);
        let attributes: Vec<_> =
            axis.map(|axis| ("axis", Attribute::Int(axis))).into_iter().collect();
        let output = builder.node("Softmax", &["x"], &attributes);
        let inputs = dims.iter().product::<u32>() as usize;
        let samples = [Seeded::new(1).uniform(inputs, 1.0)];
        let error = compile(&builder.finish(&output), &samples, &Options::default());
        let text = error.unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
}
