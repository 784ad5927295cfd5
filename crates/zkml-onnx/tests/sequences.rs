//! Operators on `[batch, channels, length]`: an image of one column.

use assay_zkml_onnx::synthetic::{Attribute, Builder, Seeded};
use assay_zkml_onnx::{Options, compile};

use crate::net::{Attributes, Net, ints};

#[test]
fn convolutions_of_every_kind() {
    let group = |groups| ("group", Attribute::Int(groups));
    let cases: [(&[u32], Attributes); 7] = [
        (&[4, 6, 3], vec![("strides", ints(&[2])), ("pads", ints(&[1, 2]))]),
        (&[4, 6, 3], vec![("dilations", ints(&[3])), ("pads", ints(&[0, 3]))]),
        (&[6, 1, 4], vec![group(6), ("strides", ints(&[3]))]),
        (&[8, 3, 2], vec![group(2)]),
        (&[4, 6, 5], vec![("auto_pad", Attribute::Text("SAME_LOWER")), ("strides", ints(&[2]))]),
        (&[4, 6, 1], vec![("strides", ints(&[4]))]),
        (&[5, 6, 17], vec![]),
    ];
    for (kernel, attributes) in cases {
        let mut net = Net::new(&[6, 17]);
        let output = net.conv("x", kernel, &attributes);
        assert_eq!(net.close(&output), ["Conv"], "{kernel:?}");
        // Of an input that something else reads, too, and so is not laid out for it.
        let shifted = net.node("Add", &["x", "x"], &[]);
        let output = net.conv(&shifted, kernel, &attributes);
        net.close(&output);
    }
}

#[test]
fn pools_of_every_kind() {
    let window = |taps, stride| vec![("kernel_shape", ints(&[taps])), ("strides", ints(&[stride]))];
    let with = |mut attributes: Attributes, more: Attributes| {
        attributes.extend(more);
        attributes
    };
    let cases: Vec<(&str, Attributes)> = vec![
        ("MaxPool", window(2, 2)),
        ("MaxPool", with(window(3, 2), vec![("pads", ints(&[1, 1]))])),
        ("MaxPool", with(window(2, 3), vec![("ceil_mode", Attribute::Int(1))])),
        ("MaxPool", with(window(3, 1), vec![("dilations", ints(&[2]))])),
        ("MaxPool", window(11, 1)),
        ("AveragePool", window(4, 3)),
        (
            "AveragePool",
            with(
                window(3, 1),
                vec![("pads", ints(&[1, 0])), ("count_include_pad", Attribute::Int(1))],
            ),
        ),
        ("GlobalMaxPool", vec![]),
        ("GlobalAveragePool", vec![]),
        ("ReduceMean", vec![("axes", ints(&[2]))]),
        ("ReduceMean", vec![("axes", ints(&[-1])), ("keepdims", Attribute::Int(0))]),
    ];
    for (operator, attributes) in cases {
        let mut net = Net::new(&[3, 13]);
        let conv = net.conv("x", &[4, 3, 3], &[]);
        let relu = net.node("Relu", &[&conv], &[]);
        let output = net.node(operator, &[&relu], &attributes);
        net.close(&output);
    }
}

#[test]
fn normalisation_constants_and_slopes_of_channels() {
    let mut net = Net::new(&[3, 12]);
    let conv = net.conv("x", &[4, 3, 3], &[("pads", ints(&[1, 1]))]);
    let vectors = [net.random(&[4]), net.random(&[4]), net.random(&[4]), net.positive(&[4])];
    let [gain, bias, mean, variance] = &vectors;
    let norm = net.node("BatchNormalization", &[&conv, gain, bias, mean, variance], &[]);
    let slopes = net.random(&[4, 1]);
    let value = net.node("PRelu", &[&norm, &slopes], &[]);
    let gains = net.random(&[1, 4, 1]);
    let output = net.node("Mul", &[&value, &gains], &[]);
    net.close(&output);
}

/// Convolutions, a branch that is added and one that is joined, pools, a matrix product.
#[test]
fn a_network_over_a_sequence() {
    let mut net = Net::new(&[2, 32]);
    let first = net.conv("x", &[6, 2, 5], &[("pads", ints(&[2, 2]))]);
    let first = net.node("Relu", &[&first], &[]);
    let second =
        net.conv(&first, &[6, 6, 3], &[("pads", ints(&[2, 2])), ("dilations", ints(&[2]))]);
    let sum = net.node("Add", &[&second, &first], &[]);
    let sum = net.node("Relu", &[&sum], &[]);
    let joined = net.node("Concat", &[&sum, &first], &[("axis", Attribute::Int(1))]);
    let pads = net.builder.integers(&[0, 0, 1, 0, 0, 1]);
    let padded = net.node("Pad", &[&joined, &pads], &[]);
    let window = [("kernel_shape", ints(&[2])), ("strides", ints(&[2]))];
    let pool = net.node("MaxPool", &[&padded], &window);
    let last = net.conv(&pool, &[4, 12, 3], &[]);
    let all = net.node("GlobalAveragePool", &[&last], &[]);
    let flat = net.node("Flatten", &[&all], &[]);
    let weights = net.random(&[4, 3]);
    let output = net.node("MatMul", &[&flat, &weights], &[]);
    net.close_within(0.04, &output);
}

/// Exporters put a column behind the length, or the length behind a row.
#[test]
fn sequences_that_are_written_as_images() {
    for (dims, kernel, axis) in [([3, 9, 1], [4, 3, 3, 1], 3), ([3, 1, 9], [4, 3, 1, 3], 2)] {
        let mut net = Net::new(&dims);
        let conv = net.conv("x", &kernel, &[]);
        let relu = net.node("Relu", &[&conv], &[]);
        let axes = net.builder.integers(&[axis]);
        let narrow = net.node("Squeeze", &[&relu, &axes], &[]);
        let output = net.conv(&narrow, &[2, 4, 3], &[]);
        net.close(&output);
    }
}

#[test]
fn windows_of_another_rank_are_refused_in_one_sentence() {
    let refused = |operator: &str, attributes: &Attributes, kernel: Option<&[u32]>| {
        let mut builder = Builder::batched(&[3, 8]);
        let kernel = kernel.map(|dims| {
            let count = dims.iter().product::<u32>() as usize;
            builder.floats(dims, &vec![1.0; count])
        });
        let inputs: Vec<&str> = ["x"].into_iter().chain(kernel.as_deref()).collect();
        let output = builder.node(operator, &inputs, attributes);
        let samples = [Seeded::new(1).uniform(24, 1.0)];
        compile(&builder.finish(&output), &samples, &Options::default()).unwrap_err().to_string()
    };
    for (operator, attributes, kernel, expected) in [
        ("Conv", vec![], Some([2, 3, 1, 1].as_slice()), "rank of the kernel must be 3, got 4"),
        ("Conv", vec![("strides", ints(&[1, 1]))], Some(&[2, 3, 2]), "strides must be 1 values"),
        (
            "MaxPool",
            vec![("kernel_shape", ints(&[2, 2]))],
            None,
            "values of kernel_shape must be 1, got 2",
        ),
        ("Conv", vec![], Some(&[2, 3, 9]), "reach of the kernel must be at most 8, got 9"),
    ] {
        let text = refused(operator, &attributes, kernel);
        assert!(text.contains(expected), "{text}");
    }
}
