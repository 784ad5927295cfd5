//! Products of two values against the float model.

use assay_zkml_onnx::synthetic::Attribute;

use crate::net::{Net, ints};

/// `x sigmoid(x)`, as exporters write SiLU, and squares.
#[test]
fn a_value_times_a_function_of_it() {
    let mut net = Net::new(&[3, 6, 6]);
    let conv = net.conv("x", &[4, 3, 3, 3], &[]);
    let gate = net.node("Sigmoid", &[&conv], &[]);
    let value = net.node("Mul", &[&conv, &gate], &[]);
    assert_eq!(net.close(&value), ["Conv", "Sigmoid", "Mul", "Mul", "Mul"]);
    let square = net.node("Mul", &[&value, &value], &[]);
    let last = net.conv(&square, &[2, 4, 2, 2], &[]);
    net.close_within(0.04, &last);
    let mut net = Net::new(&[8]);
    let value = net.node("Mul", &["x", "x"], &[]);
    net.close(&value);
}

/// The gates of channels that squeeze-and-excite networks have, and those of rows and columns.
#[test]
fn gates_are_repeated_along_rows_and_columns() {
    let mut net = Net::new(&[3, 6, 5]);
    let conv = net.conv("x", &[4, 3, 3, 3], &[("pads", ints(&[1, 1, 1, 1]))]);
    let relu = net.node("Relu", &[&conv], &[]);
    let mean = net.node("GlobalAveragePool", &[&relu], &[]);
    let gate = net.conv(&mean, &[4, 4, 1, 1], &[]);
    let gate = net.node("Sigmoid", &[&gate], &[]);
    for inputs in [[&relu, &gate], [&gate, &relu]] {
        let value = net.node("Mul", &inputs.map(String::as_str), &[]);
        net.close(&value);
        let last = net.conv(&value, &[2, 4, 3, 3], &[]);
        net.close(&last);
    }
    for along in [2, 3] {
        let rows = net.node("ReduceMean", &[&relu], &[("axes", ints(&[along]))]);
        let value = net.node("Mul", &[&relu, &rows], &[]);
        net.close(&value);
    }
}

/// Two values laid out differently, one of them negative, then added to.
#[test]
fn values_of_two_layouts() {
    let mut net = Net::new(&[3, 6, 6]);
    let left = net.conv("x", &[4, 3, 3, 3], &[]);
    let right = net.conv("x", &[4, 3, 3, 3], &[]);
    let moved = net.node("Transpose", &[&right], &[("perm", ints(&[0, 1, 3, 2]))]);
    let value = net.node("Mul", &[&left, &moved], &[]);
    let negative = net.node("Neg", &[&value], &[]);
    let sum = net.node("Add", &[&negative, &left], &[]);
    let output = net.node("Relu", &[&sum], &[]);
    net.close_within(0.03, &output);
    let mut net = Net::new(&[2, 9]);
    let left = net.conv("x", &[4, 2, 3], &[]);
    let right = net.conv("x", &[4, 2, 3], &[]);
    let right = net.node("Tanh", &[&right], &[]);
    let joined = net.node("Concat", &[&left, &right], &[("axis", Attribute::Int(1))]);
    let other = net.node("Concat", &[&right, &left], &[("axis", Attribute::Int(1))]);
    let value = net.node("Mul", &[&joined, &other], &[]);
    net.close(&value);
}
