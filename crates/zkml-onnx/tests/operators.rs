//! Each operator, the program in integers against the float model.

use assay_zkml_onnx::synthetic::{Attribute, Builder};
use assay_zkml_onnx::{Options, compile};

use crate::net::{Attributes, BOUND, Net, ints};

#[test]
fn gemm_with_every_attribute() {
    for (transposed, dims) in [(0, [6, 4]), (1, [4, 6])] {
        let mut net = Net::new(&[6]);
        let (weights, bias) = (net.random(&dims), net.random(&[4]));
        let attributes = [
            ("transB", Attribute::Int(transposed)),
            ("alpha", Attribute::Float(0.5)),
            ("beta", Attribute::Float(3.0)),
        ];
        let output = net.node("Gemm", &["x", &weights, &bias], &attributes);
        assert_eq!(net.close(&output), ["Gemm"]);
    }
}

#[test]
fn matmul_over_tokens_with_a_bias() {
    let mut net = Net::new(&[5, 6]);
    let (weights, bias) = (net.random(&[6, 4]), net.random(&[4]));
    let product = net.node("MatMul", &["x", &weights], &[]);
    let sum = net.node("Add", &[&bias, &product], &[]);
    let relu = net.node("Relu", &[&sum], &[]);
    let weights = net.random(&[4, 3]);
    let output = net.node("MatMul", &[&relu, &weights], &[]);
    assert_eq!(net.close(&output), ["Relu", "MatMul"]);
}

#[test]
fn matmul_over_a_transposed_tensor() {
    let mut net = Net::new(&[5, 6]);
    let weights = net.random(&[6, 4]);
    let product = net.node("MatMul", &["x", &weights], &[]);
    let moved = net.node("Transpose", &[&product], &[("perm", ints(&[0, 2, 1]))]);
    let weights = net.random(&[5, 3]);
    let output = net.node("MatMul", &[&moved, &weights], &[]);
    // The channels become rows: no view of one tensor, but a sum over its rows.
    net.close(&output);
}

/// An empty name stands for an input that is left out, also at the end.
#[test]
fn a_bias_that_is_left_out_by_an_empty_name() {
    let mut net = Net::new(&[3, 6, 5]);
    let (kernel, turned, weights) =
        (net.random(&[4, 3, 3, 3]), net.random(&[4, 2, 2, 2]), net.random(&[40, 7]));
    let conv = net.node("Conv", &["x", &kernel, ""], &[]);
    let relu = net.node("Relu", &[&conv], &[]);
    let wider = net.node("ConvTranspose", &[&relu, &turned, ""], &[]);
    let flat = net.node("Flatten", &[&wider], &[]);
    let output = net.node("Gemm", &[&flat, &weights, ""], &[]);
    assert_eq!(net.close(&output), ["Relu", "ConvTranspose", "Gemm"]);
}

#[test]
fn convolutions_of_every_shape() {
    let cases: [(&[u32], &[u32], Attributes); 8] = [
        (
            &[3, 9, 7],
            &[4, 3, 3, 2],
            vec![("strides", ints(&[2, 3])), ("pads", ints(&[0, 1, 2, 1]))],
        ),
        (
            &[3, 9, 7],
            &[4, 3, 3, 3],
            vec![("dilations", ints(&[2, 1])), ("pads", ints(&[2, 1, 0, 1]))],
        ),
        (&[4, 6, 6], &[4, 1, 3, 3], vec![("group", Attribute::Int(4))]),
        (&[4, 6, 6], &[8, 2, 3, 3], vec![("group", Attribute::Int(2))]),
        (&[6, 6, 6], &[6, 3, 3, 3], vec![("group", Attribute::Int(2))]),
        (
            &[3, 8, 7],
            &[4, 3, 3, 4],
            vec![("auto_pad", Attribute::Text("SAME_UPPER")), ("strides", ints(&[2, 2]))],
        ),
        (&[3, 8, 7], &[4, 3, 4, 3], vec![("auto_pad", Attribute::Text("SAME_LOWER"))]),
        (&[3, 12], &[4, 3, 3], vec![("strides", ints(&[2])), ("pads", ints(&[1, 0]))]),
    ];
    for (input, kernel, attributes) in cases {
        let mut net = Net::new(input);
        let output = net.conv("x", kernel, &attributes);
        assert_eq!(net.close(&output), ["Conv"], "{kernel:?}");
    }
}

#[test]
fn activations_end_in_the_clamp_of_one_requantisation() {
    let mut net = Net::new(&[3, 6, 6]);
    let conv = net.conv("x", &[4, 3, 3, 3], &[]);
    let (low, high) = (net.builder.floats(&[], &[0.0]), net.builder.floats(&[], &[2.0]));
    let clip = net.node("Clip", &[&conv, &low, &high], &[]);
    let relu = net.node("Relu", &[&clip], &[]);
    let conv = net.conv(&relu, &[2, 4, 3, 3], &[]);
    let (low, high) = (net.builder.floats(&[], &[-1.5]), net.builder.floats(&[], &[2.5]));
    let clip = net.node("Clip", &[&conv, &low, &high], &[]);
    assert_eq!(net.close(&clip), ["Relu", "Clip", "output"]);
}

#[test]
fn batch_normalisation_folds_or_becomes_a_convolution() {
    let mut net = Net::new(&[3, 6, 6]);
    let vectors =
        |net: &mut Net| [net.random(&[4]), net.random(&[4]), net.random(&[4]), net.positive(&[4])];
    let conv = net.conv("x", &[4, 3, 3, 3], &[]);
    let [gain, bias, mean, variance] = vectors(&mut net);
    let inputs = [conv.as_str(), &gain, &bias, &mean, &variance];
    let norm = net.node("BatchNormalization", &inputs, &[("epsilon", Attribute::Float(0.01))]);
    let relu = net.node("Relu", &[&norm], &[]);
    assert_eq!(net.close(&relu), ["Relu", "output"]);
    let [gain, bias, mean, variance] = vectors(&mut net);
    let inputs = [relu.as_str(), &gain, &bias, &mean, &variance];
    let norm = net.node("BatchNormalization", &inputs, &[]);
    assert_eq!(net.close(&norm), ["Relu", "BatchNormalization"]);
}

#[test]
fn sums_of_branches_are_one_requantisation() {
    let mut net = Net::new(&[3, 6, 6]);
    let conv = net.conv("x", &[4, 3, 3, 3], &[("pads", ints(&[1, 1, 1, 1]))]);
    let relu = net.node("Relu", &[&conv], &[]);
    let left = net.conv(&relu, &[4, 4, 3, 3], &[("pads", ints(&[1, 1, 1, 1]))]);
    let right = net.conv(&relu, &[4, 4, 1, 1], &[]);
    let sum = net.node("Add", &[&left, &relu], &[]);
    let difference = net.node("Sub", &[&sum, &right], &[]);
    let relu = net.node("Relu", &[&difference], &[]);
    assert_eq!(net.close(&relu), ["Relu", "Relu", "output"]);
}

#[test]
fn sums_with_constants_and_with_itself() {
    let mut net = Net::new(&[3, 4, 4]);
    let channels = net.random(&[3, 1, 1]);
    let one = net.builder.floats(&[], &[0.25]);
    let shifted = net.node("Sub", &["x", &channels], &[]);
    let scaled = net.node("Div", &[&shifted, &one], &[]);
    let relu = net.node("Relu", &[&scaled], &[]);
    let doubled = net.node("Add", &[&relu, &relu], &[]);
    let reversed = net.node("Sub", &[&one, &doubled], &[]);
    let negative = net.node("Neg", &[&reversed], &[]);
    let gains = net.random(&[1, 3, 1, 1]);
    let output = net.node("Mul", &[&gains, &negative], &[]);
    net.close(&output);
}

#[test]
fn maxima_with_padding_ceiling_and_dilation() {
    let cases: [Vec<(&str, Attribute)>; 6] = [
        vec![("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2]))],
        vec![
            ("kernel_shape", ints(&[3, 3])),
            ("strides", ints(&[2, 2])),
            ("pads", ints(&[1, 1, 1, 1])),
        ],
        vec![
            ("kernel_shape", ints(&[3, 2])),
            ("strides", ints(&[2, 3])),
            ("ceil_mode", Attribute::Int(1)),
        ],
        vec![("kernel_shape", ints(&[2, 3])), ("dilations", ints(&[2, 3]))],
        vec![("kernel_shape", ints(&[1, 1])), ("strides", ints(&[2, 1]))],
        vec![("kernel_shape", ints(&[8, 7]))],
    ];
    for attributes in cases {
        let mut net = Net::new(&[3, 8, 7]);
        let conv = net.conv("x", &[4, 3, 1, 1], &[]);
        let output = net.node("MaxPool", &[&conv], &attributes);
        net.close(&output);
    }
    let mut net = Net::new(&[3, 9]);
    let conv = net.conv("x", &[4, 3, 3], &[]);
    let output = net.node("MaxPool", &[&conv], &[("kernel_shape", ints(&[3]))]);
    net.close(&output);
    let mut net = Net::new(&[3, 9, 5]);
    let conv = net.conv("x", &[4, 3, 1, 1], &[]);
    let output = net.node("GlobalMaxPool", &[&conv], &[]);
    // By halves: 3 sites for 5 columns, 4 for 9 rows.
    assert_eq!(net.close(&output).len(), 1 + 3 + 4 + 1);
}

#[test]
fn an_activation_behind_a_maximum_goes_in_front_of_it() {
    let window = [("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2]))];
    let mut net = Net::new(&[3, 8, 8]);
    let conv = net.conv("x", &[4, 3, 1, 1], &[]);
    let pool = net.node("MaxPool", &[&conv], &window);
    let relu = net.node("Relu", &[&pool], &[]);
    assert_eq!(net.close(&relu), ["Conv", "MaxPool", "MaxPool", "output"]);
    // Not if something else reads the maximum, or what it is taken of.
    let sum = net.node("Add", &[&relu, &pool], &[]);
    assert_eq!(net.close(&sum), ["Conv", "MaxPool", "MaxPool", "Relu", "Add"]);
    let sum = net.node("Add", &[&conv, &conv], &[]);
    let all = net.node("GlobalMaxPool", &[&sum], &[]);
    let joined = net.node("Concat", &[&all, &all], &[("axis", Attribute::Int(1))]);
    let last = net.node("GlobalAveragePool", &[&relu], &[]);
    let joined = net.node("Concat", &[&joined, &last], &[("axis", Attribute::Int(1))]);
    net.close(&joined);
}

#[test]
fn means_of_every_kind() {
    let cases: [(&str, Vec<(&str, Attribute)>); 6] = [
        ("AveragePool", vec![("kernel_shape", ints(&[2, 3])), ("strides", ints(&[2, 1]))]),
        (
            "AveragePool",
            vec![
                ("kernel_shape", ints(&[3, 3])),
                ("pads", ints(&[1, 0, 1, 1])),
                ("count_include_pad", Attribute::Int(1)),
            ],
        ),
        ("GlobalAveragePool", vec![]),
        ("ReduceMean", vec![("axes", ints(&[2, 3])), ("keepdims", Attribute::Int(0))]),
        ("ReduceMean", vec![("axes", ints(&[-1]))]),
        ("ReduceMean", vec![("axes", ints(&[2])), ("keepdims", Attribute::Int(0))]),
    ];
    for (operator, attributes) in cases {
        let mut net = Net::new(&[3, 6, 5]);
        let conv = net.conv("x", &[4, 3, 3, 3], &[("pads", ints(&[1, 1, 1, 1]))]);
        let relu = net.node("Relu", &[&conv], &[]);
        let output = net.node(operator, &[&relu], &attributes);
        assert_eq!(net.close(&output), ["Relu", operator], "{attributes:?}");
    }
}

#[test]
fn layouts_move_nothing() {
    let mut net = Net::new(&[8, 6, 3]);
    let order = ints(&[0, 3, 1, 2]);
    let image = net.node("Transpose", &["x"], &[("perm", order)]);
    let conv = net.conv(&image, &[4, 3, 3, 3], &[]);
    let relu = net.node("Relu", &[&conv], &[]);
    let same = net.node("Dropout", &[&relu], &[]);
    let last = net.node("Transpose", &[&same], &[("perm", ints(&[0, 2, 3, 1]))]);
    let shape = net.builder.integers(&[0, -1]);
    let flat = net.node("Reshape", &[&last, &shape], &[]);
    let weights = net.random(&[6 * 4 * 4, 5]);
    let product = net.node("MatMul", &[&flat, &weights], &[]);
    let axes = net.builder.integers(&[1, 3]);
    let wide = net.node("Unsqueeze", &[&product, &axes], &[]);
    let axes = net.builder.integers(&[0]);
    let narrow = net.node("Squeeze", &[&wide, &axes], &[]);
    let output = net.node("Identity", &[&narrow], &[]);
    assert_eq!(net.close(&output), ["Relu", "MatMul"]);
}

#[test]
fn an_input_is_taken_apart_as_the_model_reads_it() {
    let mut net = Net::new(&[48]);
    let shape = net.builder.integers(&[-1, 2, 4, 6]);
    let image = net.node("Reshape", &["x", &shape], &[]);
    let moved = net.node("Transpose", &[&image], &[("perm", ints(&[0, 1, 3, 2]))]);
    let output = net.conv(&moved, &[3, 2, 3, 3], &[]);
    assert_eq!(net.close(&output), ["Conv"]);
}

#[test]
fn joined_channels_are_read_in_place() {
    let mut net = Net::new(&[3, 6, 6]);
    let left = net.conv("x", &[4, 3, 3, 3], &[]);
    let right = net.conv("x", &[5, 3, 3, 3], &[]);
    let right = net.node("Relu", &[&right], &[]);
    let both = net.node("Concat", &[&left, &right], &[("axis", Attribute::Int(1))]);
    let all = net.node("Concat", &[&both, &right], &[("axis", Attribute::Int(-3))]);
    let output = net.conv(&all, &[3, 14, 2, 2], &[]);
    let sites = net.close(&output);
    assert_eq!(sites, ["Relu", "Conv", "Conv"]);
}

#[test]
fn joined_rows_and_columns_and_channels_are_requantised() {
    for (axis, kernel) in [(1, [2, 8, 2, 2]), (2, [2, 4, 2, 2]), (3, [2, 4, 2, 2])] {
        let mut net = Net::new(&[3, 6, 6]);
        let left = net.conv("x", &[4, 3, 3, 3], &[]);
        let right = net.conv("x", &[4, 3, 3, 3], &[]);
        let both = net.node("Concat", &[&left, &right], &[("axis", Attribute::Int(axis))]);
        let pool = net.node("MaxPool", &[&both], &[("kernel_shape", ints(&[2, 2]))]);
        let output = net.conv(&pool, &kernel, &[]);
        net.close(&output);
    }
}

#[test]
fn padding_goes_into_the_window_behind_it() {
    let pads = [0, 0, 1, 2, 0, 0, 0, 1];
    let window = [("kernel_shape", ints(&[2, 2]))];
    let kernel = [2, 3, 3, 3];
    for (operator, sites) in [("Conv", 1), ("AveragePool", 1), ("MaxPool", 4)] {
        let mut net = Net::new(&[3, 6, 6]);
        let pads = net.builder.integers(&pads);
        let padded = net.node("Pad", &["x", &pads], &[]);
        let output = match operator {
            "Conv" => net.conv(&padded, &kernel, &[("pads", ints(&[1, 0, 0, 0]))]),
            _ => net.node(operator, &[&padded], &window),
        };
        assert_eq!(net.close(&output).len(), sites, "{operator}");
    }
}

#[test]
fn shapes_that_exporters_compute_are_constants() {
    let mut net = Net::new(&[3, 4, 4]);
    let conv = net.conv("x", &[2, 3, 1, 1], &[]);
    let shape = net.node("Shape", &["x"], &[]);
    let zero = net.builder.integers(&[0]);
    let batch = net.node("Gather", &[&shape, &zero], &[("axis", Attribute::Int(0))]);
    let rest = net.node("Constant", &[], &[("value_ints", ints(&[-1]))]);
    let target = net.node("Concat", &[&batch, &rest], &[("axis", Attribute::Int(0))]);
    let flat = net.node("Reshape", &[&conv, &target], &[]);
    let weights = net.random(&[3, 32]);
    let output = net.node("Gemm", &[&flat, &weights], &[("transB", Attribute::Int(1))]);
    assert_eq!(net.close(&output), ["Conv", "Gemm"]);
}

#[test]
fn every_kind_of_folded_constant() {
    let mut net = Net::new(&[3, 4, 4]);
    let conv = net.conv("x", &[2, 3, 1, 1], &[]);
    // [1, 2, 4, 4] -> rows 16 = 4 * 4.
    let shape = net.node("Shape", &[&conv], &[("start", Attribute::Int(1))]);
    let (start, end) = (net.builder.integers(&[1]), net.builder.integers(&[3]));
    let sides = net.node("Slice", &[&shape, &start, &end], &[]);
    let sides = net.node("Cast", &[&sides], &[("to", Attribute::Int(7))]);
    let (zero, one) = (net.builder.integers(&[0]), net.builder.integers(&[-1]));
    let first = net.node("Gather", &[&sides, &zero], &[]);
    let last = net.node("Gather", &[&sides, &one], &[]);
    let area = net.node("Mul", &[&first, &last], &[]);
    let length = net.builder.integers(&[1]);
    let ones = net.node("ConstantOfShape", &[&length], &[]);
    let ones = net.node("Cast", &[&ones], &[("to", Attribute::Int(1))]);
    let shifted = net.node("Add", &[&conv, &ones], &[]);
    let two = net.builder.integers(&[2]);
    let target = net.node("Concat", &[&zero, &two, &area], &[("axis", Attribute::Int(0))]);
    let rows = net.node("Reshape", &[&shifted, &target], &[]);
    let matrix = net.random(&[3, 32]);
    let matrix = net.node("Transpose", &[&matrix], &[]);
    let flat = net.node("Flatten", &[&rows], &[]);
    let output = net.node("MatMul", &[&flat, &matrix], &[]);
    assert_eq!(net.close(&output), ["Add", "MatMul"]);
}

#[test]
fn an_input_without_a_batch() {
    let mut net = Net::new(&[]);
    (net.builder, net.inputs) = (Builder::new(&[7]), 7);
    let weights = net.random(&[7, 4]);
    let output = net.node("MatMul", &["x", &weights], &[]);
    assert_eq!(net.close(&output), ["MatMul"]);
}

/// Outputs are given back in the model's order, whatever the program's.
#[test]
fn images_and_transposed_images_are_outputs() {
    let mut net = Net::new(&[3, 5, 4]);
    let conv = net.conv("x", &[2, 3, 2, 2], &[]);
    net.close(&conv);
    let relu = net.node("Relu", &[&conv], &[]);
    let moved = net.node("Transpose", &[&relu], &[("perm", ints(&[3, 1, 0, 2]))]);
    net.close(&moved);
}

#[test]
fn a_named_value_can_be_the_output() {
    let mut net = Net::new(&[6]);
    let weights = net.random(&[6, 4]);
    let logits = net.node("MatMul", &["x", &weights], &[]);
    let output = net.node("ArgMax", &[&logits], &[("axis", Attribute::Int(1))]);
    let bytes = net.builder.finish(&output);
    let samples = [vec![0.5; 6]];
    let error = compile(&bytes, &samples, &Options::default()).unwrap_err();
    let hint = format!("up to its input, output `{logits}`) is not supported");
    assert!(error.to_string().ends_with(&hint), "{error}");
    let mut options = Options::default();
    options.output = Some(logits);
    let compiled = compile(&bytes, &samples, &options).unwrap();
    assert_eq!(compiled.summary.sites.len(), 1);
}

/// Functions of one value are one requantisation behind what they are taken of, whatever that is.
#[test]
fn functions_are_tables_of_one_requantisation() {
    let alpha = |value| vec![("alpha", Attribute::Float(value))];
    let cases: Vec<(&str, Attributes)> = vec![
        ("Abs", vec![]),
        ("Elu", vec![]),
        ("Elu", alpha(0.3)),
        ("HardSigmoid", vec![]),
        ("HardSigmoid", vec![("alpha", Attribute::Float(0.5)), ("beta", Attribute::Float(0.1))]),
        ("HardSwish", vec![]),
        ("LeakyRelu", vec![]),
        ("LeakyRelu", alpha(0.3)),
        ("Selu", vec![]),
        ("Sigmoid", vec![]),
        ("Softplus", vec![]),
        ("Softsign", vec![]),
        ("Tanh", vec![]),
    ];
    for (operator, attributes) in cases {
        let mut net = Net::new(&[3, 6, 6]);
        let conv = net.conv("x", &[4, 3, 3, 3], &[]);
        let value = net.node(operator, &[&conv], &attributes);
        assert_eq!(net.close(&value), [operator, "output"], "{attributes:?}");
        // Of the input itself, and read by a padded convolution, to which what is outside is 0.
        let mut net = Net::new(&[3, 6, 6]);
        let value = net.node(operator, &["x"], &attributes);
        let conv = net.conv(&value, &[4, 3, 3, 3], &[("pads", ints(&[1, 1, 1, 1]))]);
        assert_eq!(net.close(&conv), [operator, "Conv"], "{attributes:?}");
    }
}

#[test]
fn a_value_that_is_read_twice_has_both_functions() {
    let mut net = Net::new(&[3, 6, 6]);
    let conv = net.conv("x", &[4, 3, 3, 3], &[]);
    let tanh = net.node("Tanh", &[&conv], &[]);
    let sigmoid = net.node("Sigmoid", &[&conv], &[]);
    let sum = net.node("Add", &[&tanh, &sigmoid], &[]);
    let relu = net.node("Relu", &[&sum], &[]);
    // Three requantisations one behind another.
    let sites = net.close_within(2.0 * BOUND, &relu);
    assert_eq!(sites, ["Conv", "Tanh", "Sigmoid", "Relu", "output"]);
}

#[test]
fn slopes_are_one_for_all_or_one_for_each_channel() {
    let mut net = Net::new(&[3, 6, 6]);
    let conv = net.conv("x", &[4, 3, 3, 3], &[]);
    let slope = net.builder.floats(&[1], &[0.2]);
    let value = net.node("PRelu", &[&conv, &slope], &[]);
    assert_eq!(net.close(&value), ["PRelu", "output"]);
    let mut net = Net::new(&[3, 6, 6]);
    let conv = net.conv("x", &[4, 3, 3, 3], &[]);
    let slopes = net.builder.floats(&[4, 1, 1], &[0.2, -0.5, 0.0, 1.5]);
    let value = net.node("PRelu", &[&conv, &slopes], &[]);
    assert_eq!(net.close(&value), ["PRelu", "PRelu", "PRelu"]);
}

#[test]
fn windows_are_cut() {
    let mut net = Net::new(&[4, 8, 7]);
    let conv = net.conv("x", &[6, 4, 3, 3], &[("pads", ints(&[1, 1, 1, 1]))]);
    let integers = |net: &mut Net, values: &[i64]| net.builder.integers(values);
    // Channels 2 to 5, rows from 1 on, all columns but the last.
    let [starts, ends, axes, steps] = [[2, 1, 0], [6, i64::MAX, -1], [1, 2, -1], [1, 1, 1]]
        .map(|values| integers(&mut net, &values));
    let slice = net.node("Slice", &[&conv, &starts, &ends, &axes, &steps], &[]);
    let conv = net.conv(&slice, &[3, 4, 2, 2], &[]);
    assert_eq!(net.close(&conv), ["Conv", "Slice", "Slice", "Slice", "Conv"]);
}

#[test]
fn windows_of_the_input_and_sums_that_are_not_divided() {
    let mut net = Net::new(&[4, 8, 7]);
    let integers = |net: &mut Net, values: &[i64]| net.builder.integers(values);
    let [starts, ends, axes] = [[-3], [100], [3]].map(|values| integers(&mut net, &values));
    let slice = net.node("Slice", &["x", &starts, &ends, &axes], &[]);
    let rows = net.builder.integers(&[2, 3]);
    let sum = net.node("ReduceSum", &[&slice, &rows], &[("keepdims", Attribute::Int(0))]);
    assert_eq!(net.close(&sum), ["Slice", "ReduceSum"]);
}

#[test]
fn parts_of_a_split_are_read_apart() {
    for (parts, expected) in [(Some([1, 3, 2]), "given"), (None, "even")] {
        let mut net = Net::new(&[6, 5, 5]);
        let axis = [("axis", Attribute::Int(1))];
        let mut inputs = vec!["x".to_owned()];
        inputs.extend(parts.map(|parts| net.builder.integers(&parts)));
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let outputs = net.builder.node_with_outputs("Split", &inputs, &axis, 3);
        let [one, _, three] = outputs.as_slice() else { panic!("{expected}") };
        let channels = if parts.is_some() { [1, 2] } else { [2, 2] };
        let left = net.conv(one, &[4, channels[0], 3, 3], &[]);
        let right = net.conv(three, &[4, channels[1], 3, 3], &[]);
        let sum = net.node("Add", &[&left, &right], &[]);
        assert_eq!(net.close(&sum), ["Split", "Split", "Split", "Add"], "{expected}");
    }
}
