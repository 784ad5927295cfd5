//! The linear layers of a program and their weights: prove and verify.
//! `cargo bench -p assay-zkml --bench layers`
#![expect(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a bench that cannot go on says so by panicking"
)]

#[path = "../tests/words.rs"]
mod words;

use assay_zkml::execute::execute;
use assay_zkml::field::{F, K};
use assay_zkml::layers::{self, LayerStatement, ProvedLayers, form_claims};
use assay_zkml::multilinear::evaluate;
use assay_zkml::program::{
    AdviceProfile, CheckedProgram, Conv, Form, Interval, Mode, Program, SegmentSize, Site, Sizes,
    Tensor, TensorShape, Term, Window, layout_segments,
};
use assay_zkml::transcript::Transcript;
use assay_zkml::weights::{self, ProvedWeights, WeightStatement};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use p3_field::PrimeCharacteristicRing;

use crate::words::Words;

/// Convolutions of one tensor, added up, in a batch.
struct Layer {
    name: &'static str,
    program: CheckedProgram,
    weights: Vec<i16>,
    sizes: Sizes,
    columns: Vec<Vec<F>>,
    rho: Vec<K>,
    claims: Vec<K>,
}

impl Layer {
    fn new(
        name: &'static str,
        input: TensorShape,
        output: TensorShape,
        convs: &[Conv],
        lb: u32,
    ) -> Self {
        let size = |conv: &Conv| {
            SegmentSize::weights(conv.y.taps * conv.x.taps, output.c, input.c / conv.groups)
        };
        let layout = layout_segments(&convs.iter().map(size).collect::<Vec<_>>()).unwrap();
        let terms = convs.iter().zip(0..).map(|(conv, s)| Term::Conv(Conv { segment: s, ..*conv }));
        let program = Program {
            advice: AdviceProfile::default(),
            limb_bits: 8,
            tensors: vec![
                Tensor { shape: input, interval: Interval::new(-127, 127) },
                Tensor { shape: output, interval: Interval::RAW },
            ],
            tables: Vec::new(),
            segments: layout.segments,
            sites: vec![Site::Output { form: Form::new(terms.collect()) }],
            mode: Mode::Fast,
            weights: layout.shape,
        };
        let program = program.check().unwrap();
        let sizes = program.sizes(lb).unwrap();
        let mut words = Words::new(1);
        let weights: Vec<i16> = (0..layout.places).map(|_| words.below(255) as i16 - 127).collect();
        let mut instances = [Vec::new(), Vec::new()];
        for _ in 0..1 << lb {
            let x: Vec<i32> = (0..input.cells()).map(|_| words.below(255) as i32 - 127).collect();
            instances[1].push(execute(&program, &weights, &x).unwrap().output().to_vec());
            instances[0].push(x);
        }
        let shapes = [input, output].into_iter().zip(&instances);
        let columns: Vec<Vec<F>> = shapes.map(|(shape, x)| padded(shape, lb, x)).collect();
        let rho = Transcript::new().sample_point(sizes.claim_arity as usize);
        let arity = output.arity(lb) as usize;
        let form = evaluate(&columns[1], &rho[rho.len() - arity..]).unwrap();
        let claims = form_claims(&program, sizes, &rho, &[form], &[K::ZERO; 2]).unwrap();
        Self { name, program, weights, sizes, columns, rho, claims }
    }

    fn layers(&self) -> LayerStatement<'_> {
        let (program, sizes) = (&self.program, self.sizes);
        LayerStatement { program, sizes, rho: &self.rho, lambda: K::TWO }
    }

    fn on_weights<'a>(&'a self, tau: &'a [K]) -> WeightStatement<'a> {
        let (program, sizes) = (&self.program, self.sizes);
        WeightStatement { program, sizes, rho: &self.rho, tau, lambda: K::TWO }
    }

    fn prove_layers(&self) -> ProvedLayers {
        let transcript = &mut Transcript::new();
        layers::prove(&self.layers(), &self.claims, &self.columns, &self.weights, transcript)
            .unwrap()
    }

    fn prove_weights(&self, proved: &ProvedLayers) -> ProvedWeights {
        let statement = self.on_weights(&proved.tau);
        weights::prove(&statement, &proved.ends, &self.weights, &mut Transcript::new()).unwrap()
    }

    fn verify(&self, layers: &ProvedLayers, weights: &ProvedWeights, value: K) {
        let statement = self.layers();
        let claim =
            layers::verify(&statement, &self.claims, &layers.rounds, &mut Transcript::new());
        let claim = claim.unwrap();
        let tau = claim.tau().to_vec();
        claim.check_ends(&statement, &layers.ends).unwrap();
        let statement = self.on_weights(&tau);
        let transcript = &mut Transcript::new();
        let claim = weights::verify(&statement, &layers.ends, &weights.rounds, transcript);
        claim.unwrap().check_value(&statement, value).unwrap();
    }

    /// The value of the weights at the point where they are opened.
    fn value(&self, proved: &ProvedWeights) -> K {
        let point = [proved.point.rows.as_slice(), &proved.point.columns].concat();
        let mut all: Vec<F> = self.weights.iter().map(|&weight| F::from_i16(weight)).collect();
        all.resize(1 << point.len(), F::ZERO);
        evaluate(&all, &point).unwrap()
    }
}

fn padded(shape: TensorShape, lb: u32, instances: &[Vec<i32>]) -> Vec<F> {
    let [_, x, c] = shape.arities(lb);
    let mut column = vec![F::ZERO; 1 << shape.arity(lb)];
    for (b, cells) in instances.iter().enumerate() {
        for (index, &value) in cells.iter().enumerate() {
            let (pixel, channel) = (index / shape.c as usize, index % shape.c as usize);
            let (row, at) = (pixel / shape.x as usize, pixel % shape.x as usize);
            column[(((((row << x) + at) << c) + channel) << lb) + b] = F::from_i32(value);
        }
    }
    column
}

fn conv(taps: u32, groups: u32) -> Conv {
    let window = Window::new(taps, 1, taps / 2);
    Conv { tensor: 0, segment: 0, y: window, x: window, groups, c_off: 0 }
}

fn all_layers() -> Vec<Layer> {
    let image = TensorShape::new(32, 32, 64);
    let vector = TensorShape::vector(1024);
    let whole = Window::new(8, 1, 0);
    let flatten = Conv { tensor: 0, segment: 0, y: whole, x: whole, groups: 1, c_off: 0 };
    let small = TensorShape::new(8, 8, 64);
    vec![
        Layer::new("conv 3x3 64-64, 32x32", image, image, &[conv(3, 1)], 0),
        Layer::new("conv 3x3 64-64, 32x32, batch 8", image, image, &[conv(3, 1)], 3),
        Layer::new("depthwise 3x3 64, 32x32", image, image, &[conv(3, 64)], 0),
        Layer::new("flatten 8x8x64-256", small, TensorShape::vector(256), &[flatten], 0),
        Layer::new("5 dense 1024-1024", vector, vector, &[conv(1, 1); 5], 0),
        Layer::new("5 dense 1024-1024, batch 64", vector, vector, &[conv(1, 1); 5], 6),
    ]
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layers");
    group.sample_size(10);
    for layer in all_layers() {
        let proved = layer.prove_layers();
        let of_weights = layer.prove_weights(&proved);
        let value = layer.value(&of_weights);
        group.throughput(Throughput::Elements(layer.columns[0].len() as u64));
        group.bench_function(BenchmarkId::new("prove, by cell", layer.name), |bencher| {
            bencher.iter(|| layer.prove_layers());
        });
        group.throughput(Throughput::Elements(layer.weights.len() as u64));
        group.bench_function(BenchmarkId::new("prove weights, by weight", layer.name), |bencher| {
            bencher.iter(|| layer.prove_weights(&proved));
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("verify", layer.name), |bencher| {
            bencher.iter(|| layer.verify(&proved, &of_weights, value));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
