//! Quantised models: scales and zero points as they are given, held against the float model, in steps
//! of the output's scale.

use assay_zkml::program::Interval;
use assay_zkml_onnx::synthetic::{Attribute, Builder, Seeded};
use assay_zkml_onnx::{Compiled, Options, compile};

const INPUT: [u32; 3] = [3, 8, 8];

struct Net {
    builder: Builder,
    numbers: Seeded,
}

impl Net {
    fn new() -> Self {
        Self { builder: Builder::batched(&INPUT), numbers: Seeded::new(5) }
    }

    fn bytes(&mut self, count: usize) -> Vec<i8> {
        (0..count).map(|_| i8::try_from(self.numbers.below(255)).unwrap_or(-90)).collect()
    }

    fn scale(&mut self, scale: f32) -> String {
        self.builder.floats(&[], &[scale])
    }

    /// QuantizeLinear and DequantizeLinear with an unsigned zero point.
    fn pair(&mut self, value: &str, scale: f32, zero: u8) -> String {
        let (scale, zero) = (self.scale(scale), self.builder.uint8(&[], &[zero]));
        let stored = self.builder.node("QuantizeLinear", &[value, &scale, &zero], &[]);
        self.builder.node("DequantizeLinear", &[&stored, &scale, &zero], &[])
    }

    /// Signed weights with a scale for each output, and their DequantizeLinear.
    fn weights(&mut self, dims: &[u32]) -> String {
        let count = dims.iter().map(|&dim| dim as usize).product();
        let values = self.bytes(count);
        let stored = self.builder.int8(dims, &values);
        let scales: Vec<f32> =
            self.numbers.uniform(dims[0] as usize, 0.001).iter().map(|s| s + 0.004).collect();
        let scales = self.builder.floats(&dims[..1], &scales);
        let zeros = self.builder.int8(&dims[..1], &vec![0; dims[0] as usize]);
        let axis = [("axis", Attribute::Int(0))];
        self.builder.node("DequantizeLinear", &[&stored, &scales, &zeros], &axis)
    }
}

fn samples() -> Vec<Vec<f32>> {
    let mut numbers = Seeded::new(9);
    (0..16).map(|_| numbers.uniform(3 * 8 * 8, 1.0)).collect()
}

/// The greatest error in steps of the output.
fn steps(compiled: &Compiled, step: f32) -> f32 {
    compiled.summary.agreement.greatest_error / step
}

fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}

#[test]
fn pairs_around_float_operators_give_the_scales() {
    let mut net = Net::new();
    let x = net.pair("x", 1.0 / 127.0, 128);
    let weights = net.weights(&[4, 3, 3, 3]);
    let conv = net.builder.node("Conv", &[&x, &weights], &[("pads", ints(&[1, 1, 1, 1]))]);
    let relu = net.builder.node("Relu", &[&conv], &[]);
    let first = net.pair(&relu, 0.02, 0);
    let window = [("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2]))];
    let pool = net.builder.node("MaxPool", &[&first], &window);
    let pool = net.pair(&pool, 0.02, 0);
    let weights = net.weights(&[4, 4, 1, 1]);
    let conv = net.builder.node("Conv", &[&pool, &weights], &[]);
    let second = net.pair(&conv, 0.03, 120);
    let sum = net.builder.node("Add", &[&second, &pool], &[]);
    let sum = net.pair(&sum, 0.04, 100);
    let both = net.builder.node("Concat", &[&sum, &pool], &[("axis", Attribute::Int(1))]);
    let flat = net.builder.node("Flatten", &[&both], &[]);
    let weights = net.weights(&[10, 128]);
    let transposed = [("transB", Attribute::Int(1))];
    let product = net.builder.node("Gemm", &[&flat, &weights], &transposed);
    let output = net.pair(&product, 0.05, 130);
    let bytes = net.builder.finish(&output);
    let compiled = compile(&bytes, &samples(), &Options::default()).unwrap();
    let program = compiled.program.program();
    assert_eq!(compiled.input.interval(), Interval::new(-128, 127));
    assert_eq!(compiled.input.scales(), [f64::from(1.0_f32 / 127.0)]);
    // Behind a ReLU nothing negative is stored, whatever the zero point.
    assert_eq!(program.tensors[1].interval, Interval::new(0, 255));
    assert_eq!(compiled.output.scale(), f64::from(0.05_f32));
    let operators: Vec<&str> =
        compiled.summary.sites.iter().map(|site| site.operator.as_str()).collect();
    // The two parts of the Concat keep their scales: the Gemm reads them where they are.
    assert_eq!(operators, ["Relu", "MaxPool", "MaxPool", "Conv", "Add", "Gemm", "output"]);
    assert!(steps(&compiled, 0.05) <= 3.0, "{}", steps(&compiled, 0.05));
}

#[test]
fn integer_operators_give_the_scales() {
    let mut net = Net::new();
    let (x_scale, x_zero) = (net.scale(1.0 / 127.0), net.builder.uint8(&[], &[128]));
    let x = net.builder.node("QuantizeLinear", &["x", &x_scale, &x_zero], &[]);
    let values = net.bytes(4 * 3 * 3 * 3);
    let weights = net.builder.int8(&[4, 3, 3, 3], &values);
    let w_scale = net.builder.floats(&[4], &[0.004, 0.005, 0.006, 0.003]);
    let w_zero = net.builder.int8(&[4], &[0; 4]);
    let (y_scale, y_zero) = (net.scale(0.03), net.builder.uint8(&[], &[110]));
    let bias = net.builder.int32(&[4], &[3000, -2000, 0, 12345]);
    let inputs: [&str; 9] =
        [&x, &x_scale, &x_zero, &weights, &w_scale, &w_zero, &y_scale, &y_zero, &bias];
    let conv = net.builder.node("QLinearConv", &inputs, &[("strides", ints(&[2, 2]))]);
    let flat = net.builder.node("Flatten", &[&conv], &[]);
    let values: Vec<u8> = (0..36 * 5).map(|_| net.numbers.below(255) as u8).collect();
    let matrix = net.builder.uint8(&[36, 5], &values);
    let (m_scale, m_zero) = (net.scale(0.01), net.builder.uint8(&[], &[127]));
    let (z_scale, z_zero) = (net.scale(0.2), net.builder.uint8(&[], &[128]));
    let inputs: [&str; 8] =
        [&flat, &y_scale, &y_zero, &matrix, &m_scale, &m_zero, &z_scale, &z_zero];
    let product = net.builder.node("QLinearMatMul", &inputs, &[]);
    let output = net.builder.node("DequantizeLinear", &[&product, &z_scale, &z_zero], &[]);
    let bytes = net.builder.finish(&output);
    let compiled = compile(&bytes, &samples(), &Options::default()).unwrap();
    assert_eq!(compiled.program.program().tensors[1].interval, Interval::new(-110, 145));
    assert!(steps(&compiled, 0.2) <= 2.0, "{}", steps(&compiled, 0.2));
}

#[test]
fn integers_of_another_scale_are_refused() {
    let mut net = Net::new();
    let (scale, zero) = (net.scale(0.1), net.builder.uint8(&[], &[128]));
    let other = net.scale(0.2);
    let stored = net.builder.node("QuantizeLinear", &["x", &scale, &zero], &[]);
    let output = net.builder.node("DequantizeLinear", &[&stored, &other, &zero], &[]);
    let error = compile(&net.builder.finish(&output), &samples(), &Options::default());
    let text = error.unwrap_err().to_string();
    let expected = "(DequantizeLinear): the scale of the quantised value must be 0.2";
    assert!(text.contains(expected), "{text}");
}
