//! Cells chosen by constant indices, and tensors made larger, against the float model.

use assay_zkml_onnx::synthetic::{Attribute, Builder, Seeded};
use assay_zkml_onnx::{Options, compile};
use prost::Message as _;

use crate::net::{Attributes, Net, ints};

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

fn resized(dims: &[u32], scales: &[f32], attributes: &Attributes) -> Net {
    let mut net = Net::new(dims);
    let conv = net.conv("x", &[&[4, dims[0]], vec![3; dims.len() - 1].as_slice()].concat(), &[]);
    let scales = net.builder.floats(&[scales.len() as u32], scales);
    let value = net.node("Resize", &[&conv, "", &scales], attributes);
    net.close(&value);
    let kernel = [&[2, 4], vec![2; dims.len() - 1].as_slice()].concat();
    let output = net.conv(&value, &kernel, &[]);
    net.close(&output);
    net
}

#[test]
fn rows_and_columns_are_repeated() {
    let modes = [
        ("asymmetric", "floor"),
        ("half_pixel", "round_prefer_floor"),
        ("half_pixel", "round_prefer_ceil"),
        ("pytorch_half_pixel", "round_prefer_floor"),
    ];
    for (place, rounding) in modes {
        let attributes = vec![
            ("mode", Attribute::Text("nearest")),
            ("coordinate_transformation_mode", Attribute::Text(place)),
            ("nearest_mode", Attribute::Text(rounding)),
        ];
        resized(&[3, 6, 5], &[1.0, 1.0, 2.0, 2.0], &attributes);
        resized(&[3, 6, 5], &[1.0, 1.0, 3.0, 4.0], &attributes);
        resized(&[3, 6, 5], &[1.0, 1.0, 1.0, 2.0], &attributes);
        resized(&[3, 9], &[1.0, 1.0, 3.0], &attributes);
    }
}

/// A size instead of a scale, as exporters compute it.
#[test]
fn a_size_that_is_a_multiple_is_a_scale() {
    let mut net = Net::new(&[3, 4, 5]);
    let relu = net.node("Relu", &["x"], &[]);
    let sizes = net.builder.integers(&[1, 3, 8, 15]);
    let attributes = [
        ("coordinate_transformation_mode", Attribute::Text("asymmetric")),
        ("nearest_mode", Attribute::Text("floor")),
    ];
    let value = net.node("Resize", &[&relu, "", "", &sizes], &attributes);
    assert_eq!(net.close(&value), ["Relu", "Resize", "Resize", "output"]);
}

/// Before operator set 11 the scales come second, and cells are rounded down.
#[test]
fn older_files_are_resized_as_they_mean_it() {
    for (operator, version) in [("Resize", 10), ("Upsample", 9)] {
        let mut net = Net::new(&[3, 4, 5]);
        let conv = net.conv("x", &[4, 3, 3, 3], &[]);
        let scales = net.builder.floats(&[4], &[1.0, 1.0, 3.0, 2.0]);
        let value = net.node(operator, &[&conv, &scales], &[("mode", Attribute::Text("nearest"))]);
        let mut model = net.builder.model(&value);
        model.opset_import[0].version = version;
        let samples: Vec<_> = (0..4).map(|_| net.numbers.uniform(60, 1.0)).collect();
        let compiled = compile(&model.encode_to_vec(), &samples, &Options::default()).unwrap();
        let agreement = compiled.summary.agreement;
        assert!(agreement.greatest_error < 0.02 * agreement.greatest_output, "{agreement:?}");
    }
}

#[test]
fn transposed_convolutions_of_every_kind() {
    let pair = |name, values: [i64; 2]| (name, ints(&values));
    let group = |groups| ("group", Attribute::Int(groups));
    let cases: [(&[u32], Attributes); 9] = [
        (&[4, 3, 2, 2], vec![pair("strides", [2, 2])]),
        (&[4, 3, 3, 3], vec![pair("strides", [2, 2]), ("pads", ints(&[1, 1, 1, 1]))]),
        (
            &[4, 3, 3, 3],
            vec![
                pair("strides", [2, 2]),
                ("pads", ints(&[1, 1, 1, 1])),
                pair("output_padding", [1, 1]),
            ],
        ),
        (&[4, 3, 3, 2], vec![]),
        (&[4, 3, 2, 2], vec![pair("dilations", [2, 3]), pair("strides", [3, 1])]),
        // Padding beyond the kernel's reach, and a stride beyond it.
        (&[4, 3, 1, 1], vec![pair("strides", [3, 2]), ("pads", ints(&[2, 1, 0, 1]))]),
        (&[4, 1, 3, 3], vec![group(4), pair("strides", [2, 1]), ("pads", ints(&[0, 1, 1, 0]))]),
        (&[4, 3, 2, 2], vec![group(2), pair("strides", [2, 2])]),
        (&[4, 2, 2, 3], vec![group(4), pair("strides", [1, 2])]),
    ];
    for (kernel, attributes) in cases {
        let mut net = Net::new(&[3, 6, 5]);
        let conv = net.conv("x", &[4, 3, 1, 1], &[]);
        let relu = net.node("Relu", &[&conv], &[]);
        let groups =
            if let Some((_, Attribute::Int(groups))) = attributes.first() { *groups } else { 1 };
        let weights = net.random(kernel);
        let bias = net.random(&[kernel[1] * u32::try_from(groups).unwrap()]);
        let output = net.node("ConvTranspose", &[&relu, &weights, &bias], &attributes);
        net.close(&output);
    }
    let mut net = Net::new(&[3, 7]);
    let weights = net.random(&[3, 5, 4]);
    let attributes = [("strides", ints(&[2])), ("pads", ints(&[1, 1]))];
    let value = net.node("ConvTranspose", &["x", &weights], &attributes);
    assert_eq!(net.close(&value), ["ConvTranspose", "ConvTranspose"]);
}

/// An autoencoder's two halves.
#[test]
fn a_network_that_makes_an_image_larger_again() {
    let mut net = Net::new(&[1, 8, 8]);
    let window = [("strides", ints(&[2, 2])), ("pads", ints(&[1, 1, 1, 1]))];
    let first = net.conv("x", &[4, 1, 3, 3], &window);
    let first = net.node("Relu", &[&first], &[]);
    let second = net.conv(&first, &[6, 4, 3, 3], &window);
    let second = net.node("Relu", &[&second], &[]);
    let weights = net.random(&[6, 4, 2, 2]);
    let back = net.node("ConvTranspose", &[&second, &weights], &[("strides", ints(&[2, 2]))]);
    let sum = net.node("Add", &[&back, &first], &[]);
    let sum = net.node("Relu", &[&sum], &[]);
    let scales = net.builder.floats(&[4], &[1.0, 1.0, 2.0, 2.0]);
    let attributes = [
        ("coordinate_transformation_mode", Attribute::Text("asymmetric")),
        ("nearest_mode", Attribute::Text("floor")),
    ];
    let large = net.node("Resize", &[&sum, "", &scales], &attributes);
    let image = net.conv(&large, &[1, 4, 3, 3], &[("pads", ints(&[1, 1, 1, 1]))]);
    let output = net.node("Sigmoid", &[&image], &[]);
    net.close_within(0.06, &output);
}

#[test]
fn other_ways_to_resize_are_refused_in_one_sentence() {
    let cases: [(Build, &str); 8] = [
        (
            |b| {
                let scales = b.floats(&[4], &[1.0, 1.0, 2.0, 2.0]);
                b.node("Resize", &["x", "", &scales], &[("mode", Attribute::Text("linear"))])
            },
            "(Resize): mode linear is not supported",
        ),
        (
            |b| {
                let scales = b.floats(&[4], &[1.0, 1.0, 1.5, 2.0]);
                b.node("Resize", &["x", "", &scales], &[])
            },
            "(Resize): a scale of 1.5 is not supported",
        ),
        (
            |b| {
                let scales = b.floats(&[4], &[1.0, 2.0, 1.0, 1.0]);
                b.node("Resize", &["x", "", &scales], &[])
            },
            "(Resize): a scale of [1, 2, 1, 1] is not supported",
        ),
        (
            |b| {
                let scales = b.floats(&[4], &[1.0, 1.0, 2.0, 2.0]);
                let place = Attribute::Text("align_corners");
                b.node("Resize", &["x", "", &scales], &[("coordinate_transformation_mode", place)])
            },
            "coordinate_transformation_mode align_corners with nearest_mode round_prefer_floor is not",
        ),
        (|b| b.node("Resize", &["x", "", ""], &[]), "(Resize): scales must be a constant"),
        (
            |b| {
                let kernel = b.floats(&[2, 1, 2, 2], &[1.0; 8]);
                b.node("ConvTranspose", &["x", &kernel], &[("output_shape", ints(&[12, 8]))])
            },
            "(ConvTranspose): output_shape is not supported",
        ),
        (
            |b| {
                let kernel = b.floats(&[2, 1, 2, 2], &[1.0; 8]);
                let pad = ("auto_pad", Attribute::Text("SAME_UPPER"));
                b.node("ConvTranspose", &["x", &kernel], &[pad])
            },
            "(ConvTranspose): auto_pad is not supported",
        ),
        (
            |b| {
                let kernel = b.floats(&[3, 1, 2, 2], &[1.0; 12]);
                b.node("ConvTranspose", &["x", &kernel], &[])
            },
            "(ConvTranspose): kernel must be 2 channels of the input in 1 groups, got [3, 1, 2, 2]",
        ),
    ];
    refused(&cases);
}
