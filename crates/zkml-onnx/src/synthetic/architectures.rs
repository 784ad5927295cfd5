//! Known architectures, with random weights.

use super::{Attribute, Builder, Seeded};

/// A graph under construction: the value that the next layer reads, and random weights.
struct Layers {
    builder: Builder,
    numbers: Seeded,
    value: String,
}

impl Layers {
    fn new(dims: &[u32], seed: u64) -> Self {
        let (builder, numbers) = (Builder::batched(dims), Seeded::new(seed));
        Self { builder, numbers, value: "x".to_owned() }
    }

    /// Adds random weights of variance `2 / inputs`, which keep activations of one size.
    fn weights(&mut self, dims: &[u32]) -> String {
        let count = dims.iter().map(|&dim| dim as usize).product();
        let inputs: u16 = dims.iter().skip(1).fold(1_u16, |product, &dim| {
            product.saturating_mul(u16::try_from(dim).unwrap_or(u16::MAX))
        });
        let values = self.numbers.uniform(count, (6.0 / f32::from(inputs)).sqrt());
        self.builder.floats(dims, &values)
    }

    fn bias(&mut self, outputs: u32) -> String {
        let values = self.numbers.uniform(outputs as usize, 0.1);
        self.builder.floats(&[outputs], &values)
    }

    fn gemm(&mut self, inputs: u32, outputs: u32) {
        let weights = self.weights(&[outputs, inputs]);
        let bias = self.bias(outputs);
        let transposed = [("transB", Attribute::Int(1))];
        self.value = self.builder.node("Gemm", &[&self.value, &weights, &bias], &transposed);
    }

    fn conv(&mut self, inputs: u32, outputs: u32, side: u32, stride: i64, pad: i64) {
        let weights = self.weights(&[outputs, inputs, side, side]);
        let bias = self.bias(outputs);
        let attributes = [
            ("strides", Attribute::Ints(vec![stride; 2])),
            ("pads", Attribute::Ints(vec![pad; 4])),
        ];
        self.value = self.builder.node("Conv", &[&self.value, &weights, &bias], &attributes);
    }

    fn apply(&mut self, operator: &str, attributes: &[(&str, Attribute)]) {
        self.value = self.builder.node(operator, &[&self.value], attributes);
    }

    fn relu(&mut self) {
        self.apply("Relu", &[]);
    }

    /// A 2x2 maximum with stride 2.
    fn pool(&mut self) {
        let side = Attribute::Ints(vec![2, 2]);
        self.apply("MaxPool", &[("kernel_shape", side.clone()), ("strides", side)]);
    }

    /// Two 3x3 convolutions and a shortcut; with stride 2 where the channels change.
    fn block(&mut self, inputs: u32, outputs: u32) {
        let input = self.value.clone();
        let stride = if inputs == outputs { 1 } else { 2 };
        if inputs != outputs {
            self.conv(inputs, outputs, 1, stride, 0);
        }
        let shortcut = std::mem::replace(&mut self.value, input);
        self.conv(inputs, outputs, 3, stride, 1);
        self.relu();
        self.conv(outputs, outputs, 3, 1, 1);
        self.value = self.builder.node("Add", &[&self.value, &shortcut], &[]);
        self.relu();
    }

    /// A global average, and a dense layer.
    fn classes(&mut self, inputs: u32, outputs: u32) {
        self.apply("GlobalAveragePool", &[]);
        self.apply("Flatten", &[]);
        self.gemm(inputs, outputs);
    }

    fn finish(self) -> Vec<u8> {
        self.builder.finish(&self.value)
    }
}

/// Dense layers of the sizes `sizes` with ReLU between them.
#[must_use]
pub fn dense(sizes: &[u32], seed: u64) -> Vec<u8> {
    let mut layers = Layers::new(sizes.get(..1).unwrap_or_default(), seed);
    for (index, pair) in sizes.windows(2).enumerate() {
        let [inputs, outputs] = *pair else { continue };
        if index > 0 {
            layers.relu();
        }
        layers.gemm(inputs, outputs);
    }
    layers.finish()
}

/// The MLP 784-128-10.
#[must_use]
pub fn mlp(seed: u64) -> Vec<u8> {
    dense(&[784, 128, 10], seed)
}

/// LeNet-5 on 28x28 images: 44 thousand weights.
#[must_use]
pub fn lenet(seed: u64) -> Vec<u8> {
    let mut layers = Layers::new(&[1, 28, 28], seed);
    layers.conv(1, 6, 5, 1, 0);
    layers.relu();
    layers.pool();
    layers.conv(6, 16, 5, 1, 0);
    layers.relu();
    layers.pool();
    layers.apply("Flatten", &[]);
    layers.gemm(256, 120);
    layers.relu();
    layers.gemm(120, 84);
    layers.relu();
    layers.gemm(84, 10);
    layers.finish()
}

/// A small residual network on 3x16x16 images: two blocks, one with a strided shortcut, and a global
/// average.
#[must_use]
pub fn residual(seed: u64) -> Vec<u8> {
    let mut layers = Layers::new(&[3, 16, 16], seed);
    layers.conv(3, 8, 3, 1, 1);
    layers.relu();
    layers.block(8, 8);
    layers.block(8, 16);
    layers.classes(16, 10);
    layers.finish()
}

/// ResNet-18 on 3x224x224 images: 11.7 million weights, BatchNormalization folded.
#[must_use]
pub fn resnet18(seed: u64) -> Vec<u8> {
    let mut layers = Layers::new(&[3, 224, 224], seed);
    layers.conv(3, 64, 7, 2, 3);
    layers.relu();
    let window = [
        ("kernel_shape", Attribute::Ints(vec![3; 2])),
        ("strides", Attribute::Ints(vec![2; 2])),
        ("pads", Attribute::Ints(vec![1; 4])),
    ];
    layers.apply("MaxPool", &window);
    let mut inputs = 64;
    for outputs in [64, 64, 128, 128, 256, 256, 512, 512] {
        layers.block(inputs, outputs);
        inputs = outputs;
    }
    layers.classes(512, 1000);
    layers.finish()
}
