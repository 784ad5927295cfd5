//! Cells chosen by constant indices, and tensors made larger, against the float model.

use assay_zkml_onnx::synthetic::{Attribute, Builder, Seeded};
use assay_zkml_onnx::{Options, compile};

use crate::net::{Attributes, Net};

fn axis(axis: i64) -> Attributes {
    vec![("axis", Attribute::Int(axis))]
}

#[test]
fn cells_are_gathered_along_every_axis() {
    let cases: [(i64, &[i64], usize); 9] = [
        // A run is a window.
        (1, &[1, 2, 3], 3),
        (2, &[-2, -1], 2),
        (3, &[4], 1),
        (1, &[5, 0, -2, 0, 3], 5),
        (2, &[6, 5, 4, 3, 2, 1, 0], 7),
        (-1, &[0, 0, 1, 1, 2, 2], 6),
        (1, &[2, 2], 2),
        (3, &[4, 0], 2),
        (0, &[0], 1),
    ];
    for (along, indices, count) in cases {
        let mut net = Net::new(&[3, 9, 7]);
        let conv = net.conv("x", &[6, 3, 3, 3], &[]);
        let list = net.builder.integers(indices);
        let value = net.node("Gather", &[&conv, &list], &axis(along));
        net.close(&value);
        // Read by a convolution, which asks for its own layout.
        let channels = if along == 1 { count as u32 } else { 6 };
        let next = net.conv(&value, &[2, channels, 1, 1], &[]);
        net.close(&next);
    }
}

#[test]
fn one_index_takes_the_dimension_away() {
    for (along, index, rest) in [(1, 4, 35), (2, -1, 30), (3, 2, 42)] {
        let mut net = Net::new(&[3, 9, 7]);
        let conv = net.conv("x", &[6, 3, 3, 3], &[]);
        let index = net.builder.scalar(index);
        let value = net.node("Gather", &[&conv, &index], &axis(along));
        net.close(&value);
        let flat = net.node("Flatten", &[&value], &[]);
        let weights = net.random(&[rest, 4]);
        let output = net.node("MatMul", &[&flat, &weights], &[]);
        net.close(&output);
    }
}

/// The last of a sequence, and measurements of a vector in another order.
#[test]
fn inputs_are_gathered() {
    let mut net = Net::new(&[12, 5]);
    let index = net.builder.scalar(-1);
    let last = net.node("Gather", &["x", &index], &axis(1));
    let weights = net.random(&[5, 3]);
    let output = net.node("MatMul", &[&last, &weights], &[]);
    assert_eq!(net.close(&output), ["Gather", "MatMul"]);
    let mut net = Net::new(&[8]);
    let list = net.builder.integers(&[7, 2, 2, 0]);
    let some = net.node("Gather", &["x", &list], &axis(1));
    let weights = net.random(&[4, 3]);
    let output = net.node("MatMul", &[&some, &weights], &[]);
    assert_eq!(net.close(&output), ["Gather", "MatMul"]);
}

type Build = fn(&mut Builder) -> String;

fn refused(cases: &[(Build, &str)]) {
    for (build, expected) in cases {
        let mut builder = Builder::batched(&[2, 6, 4]);
        let output = build(&mut builder);
        let samples = [Seeded::new(1).uniform(48, 1.0)];
        let result = compile(&builder.finish(&output), &samples, &Options::default());
        let text = result.unwrap_err().to_string();
        assert!(text.contains(expected), "{text}\n{expected}");
        assert!(text.starts_with("node `"), "{text}");
    }
}

#[test]
fn selections_are_refused_in_one_sentence() {
    let cases: [(Build, &str); 6] = [
        (
            |b| {
                let list = b.integers(&[0, 6]);
                b.node("Gather", &["x", &list], &[("axis", Attribute::Int(2))])
            },
            "(Gather): an index must be -6 to 5, got 6",
        ),
        (
            |b| {
                let list = b.integers(&[]);
                b.node("Gather", &["x", &list], &[("axis", Attribute::Int(2))])
            },
            "(Gather): number of indices must be 1 or more, got 0",
        ),
        (
            |b| b.node("Gather", &["x", "x"], &[("axis", Attribute::Int(2))]),
            "(Gather): indices must be a constant",
        ),
        (
            |b| {
                let list = b.int64(&[2, 2], &[0, 1, 1, 0]);
                b.node("Gather", &["x", &list], &[("axis", Attribute::Int(2))])
            },
            "(Gather): a selection by indices of shape [2, 2] is not supported",
        ),
        (
            |b| {
                let list = b.integers(&[0; 20_000]);
                b.node("Gather", &["x", &list], &[("axis", Attribute::Int(2))])
            },
            "(Gather): number of cells chosen must be at most 16384, got 20000",
        ),
        (
            |b| {
                let list = b.integers(&[0, 0]);
                b.node("Gather", &["x", &list], &[("axis", Attribute::Int(0))])
            },
            "a selection of dimension 0 of [1, 2, 6, 4], which is not one axis, is not supported",
        ),
    ];
    refused(&cases);
}
