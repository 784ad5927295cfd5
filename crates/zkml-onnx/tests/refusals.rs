//! What cannot be compiled fails in one sentence with the node's name and operator; no file panics.

use assay_zkml_onnx::synthetic::{Attribute, Builder, Seeded, mlp, random_graph};
use assay_zkml_onnx::{
    CompileError, MAX_MODEL_BYTES, Options, Reference, Refusal, compile, input_values,
};
use prost::Message as _;
use tract_onnx::pb::ModelProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
use tract_onnx::pb::type_proto::Value as TypeValue;

use crate::models::package;

fn sample(inputs: usize) -> Vec<Vec<f32>> {
    vec![Seeded::new(1).uniform(inputs, 1.0)]
}

fn refused(bytes: &[u8], inputs: usize) -> String {
    compile(bytes, &sample(inputs), &Options::default()).unwrap_err().to_string()
}

fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}

/// A model `[N, 4] x [4, 3]`.
fn small() -> (Builder, String) {
    let mut builder = Builder::batched(&[4]);
    let weights = builder.floats(&[4, 3], &[0.5; 12]);
    let output = builder.node("MatMul", &["x", &weights], &[]);
    (builder, output)
}

/// The error of the small model after a change.
fn changed(change: impl FnOnce(&mut ModelProto)) -> String {
    let (builder, output) = small();
    let mut model = builder.model(&output);
    change(&mut model);
    refused(&model.encode_to_vec(), 4)
}

type Build = fn(&mut Builder) -> String;

/// Checks that each node is refused in one sentence.
fn check(cases: &[(Build, &str)]) {
    for (build, expected) in cases {
        let mut builder = Builder::batched(&[2, 6, 4]);
        let output = build(&mut builder);
        let bytes = builder.finish(&output);
        let text = refused(&bytes, 48);
        assert!(text.contains(expected), "{text}\n{expected}");
        assert!(text.starts_with("node `"), "{text}");
    }
}

/// Each node doubles what it joins, or copies what another made: the file stays small.
#[test]
fn constants_do_not_grow_without_bound() {
    let cases: [(Build, &str); 3] = [
        (
            |b| {
                let mut shape = b.integers(&[1; 1024]);
                for _ in 0..12 {
                    shape = b.node("Concat", &[&shape, &shape], &[("axis", Attribute::Int(0))]);
                }
                b.node("Reshape", &["x", &shape], &[])
            },
            "(Concat): values of the tensor must be at most 1048576, got 2097152",
        ),
        (
            |b| {
                let length = b.integers(&[1 << 20]);
                let mut shape = b.node("ConstantOfShape", &[&length], &[]);
                for _ in 0..20 {
                    shape = b.node("Identity", &[&shape], &[]);
                }
                b.node("Reshape", &["x", &shape], &[])
            },
            "(Identity): number of elements made of constants, with those before, must be at most \
             16777224, got 17825792",
        ),
        (
            |b| {
                let shape = b.integers(&[1; 9]);
                let filled = b.node("ConstantOfShape", &[&shape], &[]);
                b.node("Add", &["x", &filled], &[])
            },
            "(ConstantOfShape): rank must be at most 8, got 9",
        ),
    ];
    check(&cases);
}

#[test]
fn nodes_are_refused_in_one_sentence() {
    let cases: [(Build, &str); 10] = [
        (|b| b.node("LSTM", &["x"], &[]), "(LSTM): the operator is not supported"),
        (
            |b| b.node("Div", &["x", "x"], &[]),
            "(Div): division by a value that depends on the input is not supported",
        ),
        (|b| b.node("Relu", &["y"], &[]), "(Relu): reads `y`, which no earlier node gives"),
        (
            |b| {
                let relu = b.node("Relu", &["x"], &[]);
                let shape = b.integers(&[1, 6, 8]);
                b.node("Reshape", &[&relu, &shape], &[])
            },
            "a reshape from [1, 2, 6, 4] to [1, 6, 8], which takes an axis apart, is not supported",
        ),
        (
            |b| {
                let shape = b.integers(&[1, 47]);
                b.node("Reshape", &["x", &shape], &[])
            },
            "(Reshape): shape must be of 48 values, got [1, 47]",
        ),
        (
            |b| {
                let weights = b.floats(&[4, 3], &[1.0; 12]);
                b.node("Gemm", &["x", &weights], &[("transA", Attribute::Int(1))])
            },
            "(Gemm): transA is not supported",
        ),
        (
            |b| b.node("Pad", &["x"], &[("mode", Attribute::Text("reflect"))]),
            "(Pad): a mode other than constant is not supported",
        ),
        (
            |b| {
                let zero = b.floats(&[], &[0.0]);
                b.node("Div", &["x", &zero], &[])
            },
            "(Div): value 0 is inf, not a finite number",
        ),
        (
            |b| {
                let one = b.node("GlobalMaxPool", &["x"], &[]);
                let flat = b.node("ReduceMean", &["x"], &[("axes", ints(&[2]))]);
                let one = b.node("Transpose", &[&one], &[("perm", ints(&[0, 2, 1, 3]))]);
                b.node("Mul", &[&flat, &one], &[])
            },
            "(Mul): a product of values of shape [1, 2, 1, 4] and [1, 1, 2, 1] is not supported",
        ),
        (
            |b| {
                let image = b.floats(&[6, 4], &[1.0; 24]);
                b.node("Add", &["x", &image], &[])
            },
            "(Add): a constant of shape [6, 4] beside a value of shape [1, 2, 6, 4] is not supported",
        ),
    ];
    check(&cases);
}

#[test]
fn convolutions_and_pools_are_refused_in_one_sentence() {
    let cases: [(Build, &str); 5] = [
        (
            |b| {
                let window = [("kernel_shape", ints(&[3, 3])), ("pads", ints(&[1, 1, 1, 1]))];
                b.node("AveragePool", &["x"], &window)
            },
            "(AveragePool): an average that leaves padding out is not supported",
        ),
        (
            |b| b.node("MaxPool", &["x"], &[("kernel_shape", ints(&[7, 2]))]),
            "(MaxPool): reach of the kernel must be at most 6, got 7",
        ),
        (
            |b| {
                let kernel = b.floats(&[2, 3, 1, 1], &[1.0; 6]);
                b.node("Conv", &["x", &kernel], &[])
            },
            "(Conv): channels of the kernel, times its groups, must be 2 channels of the input",
        ),
        (
            |b| {
                let kernel = b.floats(&[2, 2, 1, 1], &[1.0; 4]);
                b.node("Conv", &["x", &kernel], &[("strides", ints(&[0, 1]))])
            },
            "(Conv): strides must be above 0, got 0",
        ),
        (
            |b| {
                let relu = b.node("Relu", &["x"], &[]);
                b.node("Conv", &["x", &relu], &[])
            },
            "(Conv): the kernel must be a constant",
        ),
    ];
    check(&cases);
}

/// Small files that ask for much: refused before anything of that size is made.
#[test]
fn sizes_are_checked_before_they_are_computed() {
    let cases: [(Build, &str); 6] = [
        (
            |b| {
                let pads = b.integers(&[0, 0, 1 << 20, 0, 0, 0, 0, 0]);
                b.node("Pad", &["x", &pads], &[])
            },
            "(Pad): an extent must be at most 1048576, got 1048582",
        ),
        (
            |b| {
                let kernel = b.floats(&[1, 2, 1, 1], &[1.0; 2]);
                let pads = [("pads", ints(&[1 << 19, 1 << 19, 1 << 18, 1 << 18]))];
                b.node("Conv", &["x", &kernel], &pads)
            },
            "(Conv): number of values of a tensor must be at most 134217728, got",
        ),
        (
            |b| b.node("MaxPool", &["x"], &[("kernel_shape", ints(&[1 << 20, 1]))]),
            "(MaxPool): kernel_shape must be 1 to 4096, got",
        ),
        (
            |b| {
                let mut value = b.node("Relu", &["x"], &[]);
                for _ in 0..21 {
                    let axis = [("axis", Attribute::Int(1))];
                    value = b.node("Concat", &[&value, &value], &axis);
                }
                value
            },
            "(Concat): number of tensors joined must be at most 1024, got 2048",
        ),
        (
            |b| {
                let mut value = "x".to_owned();
                for _ in 0..1100 {
                    let window = [("kernel_shape", ints(&[3, 3])), ("pads", ints(&[1, 1, 1, 1]))];
                    value = b.node("MaxPool", &[&value], &window);
                }
                value
            },
            "(MaxPool): number of sites, with those before, must be at most 4096, got 4100",
        ),
        (
            |b| {
                let window = [
                    ("kernel_shape", ints(&[4096, 4096])),
                    ("dilations", ints(&[1 << 20, 1 << 20])),
                ];
                b.node("AveragePool", &["x"], &window)
            },
            "(AveragePool): reach of the kernel must be at most 6, got 4293918721",
        ),
    ];
    check(&cases);
}

/// The float model alone is refused, too, before tract makes what it asks for.
#[test]
fn the_float_model_is_checked_before_it_is_run() {
    let refused = |builder: &Builder, output: &str| {
        Reference::new(&builder.model(output).encode_to_vec()).unwrap_err().to_string()
    };
    let mut builder = Builder::batched(&[1, 4, 4]);
    let window = [("kernel_shape", ints(&[1 << 31, 1 << 31])), ("pads", ints(&[1 << 30; 4]))];
    let output = builder.node("MaxPool", &["x"], &window);
    assert!(refused(&builder, &output).contains("(MaxPool): kernel_shape must be 1 to 4096"));

    let mut builder = Builder::batched(&[1, 4, 4]);
    let kernel = builder.floats(&[1, 1, 3, 3], &[1.0; 9]);
    let output = builder.node("Conv", &["x", &kernel], &[("strides", ints(&[0, 0]))]);
    assert!(refused(&builder, &output).contains("(Conv): strides must be above 0, got 0"));

    let mut builder = Builder::batched(&[4]);
    let shape = builder.integers(&[1 << 16, 1 << 16]);
    let ones = builder.node("ConstantOfShape", &[&shape], &[]);
    let output = builder.node("EyeLike", &[&ones], &[]);
    assert!(refused(&builder, &output).contains("(ConstantOfShape): values of the tensor"));

    let (mut builder, logits) = small();
    let axis = [("axis", Attribute::Int(1))];
    let output = builder.node("Softmax", &[&logits], &axis);
    let bytes = builder.model(&output).encode_to_vec();
    let reference = Reference::new(&bytes).unwrap();
    let sum: f32 = reference.run(&[1.0, 2.0, 3.0, 4.0]).unwrap().iter().sum();
    assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    assert_eq!(input_values(&bytes, None), Ok(4));
    assert_eq!(input_values(&bytes, Some(&logits)), Ok(4));
}

/// By the compiler, and by the float model of trees, which take an input as floats.
#[test]
fn an_input_that_is_not_of_floats_is_refused() {
    let to_doubles = |model: &mut ModelProto| {
        let input = &mut model.graph.as_mut().unwrap().input[0];
        let Some(TypeValue::TensorType(tensor)) = &mut input.r#type.as_mut().unwrap().value else {
            panic!("{input:?}")
        };
        tensor.elem_type = DataType::Double as i32;
    };
    let expected = "element type of the input must be float, got 11";
    assert_eq!(changed(to_doubles), format!("tensor `x`: {expected}"));
    let mut builder = Builder::batched(&[2]);
    let output = builder.node("TreeEnsembleRegressor", &["x"], &[]);
    let mut model = builder.model(&output);
    to_doubles(&mut model);
    let error = Reference::new(&model.encode_to_vec()).unwrap_err().to_string();
    assert!(error.contains(&format!("(TreeEnsembleRegressor): {expected}")), "{error}");
}

#[test]
fn inputs_and_dimensions_are_checked() {
    let dims = |model: &mut ModelProto, index: usize, value: Dimension| {
        let input = &mut model.graph.as_mut().unwrap().input[0];
        let Some(TypeValue::TensorType(tensor)) = input.r#type.as_mut().unwrap().value.as_mut()
        else {
            return;
        };
        tensor.shape.as_mut().unwrap().dim[index].value = Some(value);
    };
    let dynamic = changed(|model| dims(model, 1, Dimension::DimParam("width".to_owned())));
    let expected = "tensor `x`: dimension 1 (`width`) must be fixed when compiling";
    assert_eq!(dynamic, expected);
    let batch = changed(|model| dims(model, 0, Dimension::DimValue(2)));
    assert_eq!(batch, "tensor `x`: the batch, dimension 0, must be 1, got 2");
    let huge = changed(|model| dims(model, 1, Dimension::DimValue(1 << 21)));
    assert_eq!(huge, "tensor `x`: an extent must be at most 1048576, got 2097152");
    let negative = changed(|model| dims(model, 1, Dimension::DimValue(-4)));
    assert_eq!(negative, "tensor `x`: dimension 1 (`-4`) must be fixed when compiling");
    let second = changed(|model| {
        let graph = model.graph.as_mut().unwrap();
        let mut input = graph.input[0].clone();
        input.name = "y".to_owned();
        graph.input.push(input);
    });
    assert_eq!(second, "model: expected 1 input, got 2");
    let none = changed(|model| model.graph.as_mut().unwrap().output.clear());
    assert_eq!(none, "model: expected 1 output, got 0");
    let old = changed(|model| model.opset_import[0].version = 3);
    assert_eq!(old, "model: not an ONNX file: operator set 3 is not one of 7..=22");
}

#[test]
fn tensors_are_checked() {
    let tensor = |change: fn(&mut tract_onnx::pb::TensorProto)| {
        changed(|model| change(&mut model.graph.as_mut().unwrap().initializer[0]))
    };
    let nan = tensor(|t| t.raw_data[..4].copy_from_slice(&f32::NAN.to_le_bytes()));
    assert_eq!(nan, "tensor `t1`: value 0 is NaN, not a finite number");
    let infinite = tensor(|t| t.raw_data[4..8].copy_from_slice(&f32::INFINITY.to_le_bytes()));
    assert_eq!(infinite, "tensor `t1`: value 1 is inf, not a finite number");
    let short = tensor(|t| t.raw_data.truncate(44));
    assert_eq!(short, "tensor `t1`: number of values must be 12, got 11");
    let odd = tensor(|t| t.raw_data.truncate(45));
    assert_eq!(odd, "tensor `t1`: bytes of raw data must be a multiple of 4, got 45");
    let negative = tensor(|t| t.dims[0] = -4);
    assert_eq!(negative, "tensor `t1`: dimension must be 0 to 2^32 - 1, got -4");
    let huge = tensor(|t| t.dims = vec![1 << 31; 3]);
    assert_eq!(huge, "tensor `t1`: number of values must be below 2^64, got 12");
    let outside = tensor(|t| t.data_location = Some(1));
    assert_eq!(outside, "tensor `t1`: data outside the file is not supported");
    let text = tensor(|t| t.data_type = 8);
    assert_eq!(text, "tensor `t1`: element type STRING is not supported");
    let other = tensor(|t| t.dims = vec![6, 2]);
    assert_eq!(other, "node `MatMul_v2` (MatMul): last dimension of the input must be 6, got 4");
}

#[test]
fn files_that_are_too_large_are_not_read() {
    let got = MAX_MODEL_BYTES + 1;
    let error = compile(&vec![0; got], &sample(1), &Options::default()).unwrap_err();
    assert_eq!(error, CompileError::Limit { what: "bytes", limit: MAX_MODEL_BYTES, got });
}

#[test]
fn samples_are_checked() {
    let (builder, output) = small();
    let bytes = builder.finish(&output);
    let refused = |samples: &[Vec<f32>]| {
        compile(&bytes, samples, &Options::default()).unwrap_err().to_string()
    };
    assert_eq!(refused(&[]), "sample 0: number of samples must be 1 or more, got 0");
    let short = [vec![0.0; 4], vec![0.0; 3]];
    assert_eq!(refused(&short), "sample 1: number of values must be 4, got 3");
    let nan = [vec![0.0, f32::NAN, 0.0, 0.0]];
    assert_eq!(refused(&nan), "sample 0: value 1 is NaN, not a finite number");
}

/// Two large weights that cancel on every sample: the output's range says nothing of what the
/// accumulator can reach.
#[test]
fn accumulators_that_could_overflow_are_refused() {
    for (weight, expected) in [
        (3e8, "(Relu): the accumulator of channel 1 could reach"),
        (3e7, "(Relu): a weight in units of the accumulator must be at most 32767, got"),
        (3e4, "(Relu): number of rows of the lookup table must be at most 131072, got"),
    ] {
        let mut builder = Builder::batched(&[2]);
        let weights = builder.floats(&[2, 2], &[1.0, weight, 1.0, -weight]);
        let product = builder.node("MatMul", &["x", &weights], &[]);
        let relu = builder.node("Relu", &[&product], &[]);
        let samples = [vec![0.5, 0.5], vec![0.25, 0.25]];
        let bytes = builder.finish(&relu);
        let error = compile(&bytes, &samples, &Options::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let CompileError::Node { refusal, .. } = error else { panic!("{error}") };
        assert_eq!(matches!(refusal, Refusal::Accumulator { .. }), weight > 1e8);
    }
}

/// Numbers of the graph at their extremes: attributes, dimensions, and the integers of shapes.
#[test]
fn no_extreme_number_panics() {
    const EXTREMES: [i64; 12] =
        [0, 1, -1, 2, 3, 7, -7, 1 << 20, (1 << 20) + 1, 1 << 31, i64::MAX, i64::MIN];
    let mut numbers = Seeded::new(8);
    let mut pick = |count: usize| numbers.below(u32::try_from(count).unwrap()) as usize;
    for seed in 0..150 {
        let graph = random_graph(seed);
        let mut model = ModelProto::decode(graph.bytes.as_slice()).unwrap();
        let proto = model.graph.as_mut().unwrap();
        let extreme = EXTREMES[pick(EXTREMES.len())];
        match pick(3) {
            0 => {
                let index = pick(proto.initializer.len());
                let dims = &mut proto.initializer[index].dims;
                if !dims.is_empty() {
                    let axis = pick(dims.len());
                    dims[axis] = extreme;
                }
            }
            1 => {
                let index = pick(proto.initializer.len());
                let raw = &mut proto.initializer[index].raw_data;
                let place = pick(raw.len() / 8 + 1) * 8;
                if let Some(word) = raw.get_mut(place..place + 8) {
                    word.copy_from_slice(&extreme.to_le_bytes());
                }
            }
            _ => {
                let index = pick(proto.node.len());
                for attribute in &mut proto.node[index].attribute {
                    attribute.i = extreme;
                    if !attribute.ints.is_empty() {
                        let place = pick(attribute.ints.len());
                        attribute.ints[place] = extreme;
                    }
                }
            }
        }
        let bytes = model.encode_to_vec();
        let _ = compile(&bytes, &graph.samples(1, 1), &Options::default());
    }
}

#[test]
fn no_truncation_and_no_changed_byte_panics() {
    let mut numbers = Seeded::new(2);
    for bytes in [package("tumour").bytes, mlp(1).get(..2000).unwrap().to_vec()] {
        for length in (0..bytes.len()).step_by(197) {
            let _ = compile(&bytes[..length], &sample(30), &Options::default());
        }
        for _ in 0..150 {
            let mut changed = bytes.clone();
            let at = numbers.below(u32::try_from(bytes.len()).unwrap()) as usize;
            changed[at] ^= 1 << numbers.below(8);
            let _ = compile(&changed, &sample(30), &Options::default());
        }
    }
}
