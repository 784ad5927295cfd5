//! Whole proofs of dense and convolutional networks with random weights: execute, prove, verify.
//! `cargo bench -p assay-zkml --bench proofs`
#![expect(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench that cannot go on says so by panicking"
)]

#[path = "../tests/words.rs"]
mod words;

use std::hint::black_box;

use assay_zkml::advice::AdviceProfile;
use assay_zkml::circuit::Circuit;
use assay_zkml::execute::execute_batch;
use assay_zkml::program::{
    Conv, Form, Interval, Mode, Program, Segment, Site, Table, Tensor, TensorShape, Term, Window,
};
use assay_zkml::prover::ProvingModel;
use assay_zkml::statement::{Claim, Instance, IoTree, Statement};
use assay_zkml::tensor_code::Shape;
use assay_zkml::verifier::verify_bytes;
use criterion::Criterion;
use words::Words;

const SHIFT: u32 = 13;

/// A network of convolutions with ReLU; dense layers have the whole input for a kernel.
struct Net {
    program: Program,
    weights: Vec<i16>,
    words: Words,
}

impl Net {
    fn new(input: TensorShape) -> Self {
        let tensor = Tensor { shape: input, interval: Interval::new(-127, 127) };
        let program = Program {
            advice: AdviceProfile::default(),
            limb_bits: SHIFT,
            tensors: vec![tensor],
            tables: vec![Table::Range { bits: SHIFT }, Table::Clamp { bq: 8000, lo: 0, hi: 127 }],
            segments: Vec::new(),
            sites: Vec::new(),
            mode: Mode::Fast,
            weights: Shape::for_weights(1).unwrap(),
        };
        Self { program, weights: Vec::new(), words: Words::new(1) }
    }

    fn last(&self) -> TensorShape {
        self.program.tensors.last().unwrap().shape
    }

    fn form(&mut self, y: Window, x: Window, outputs: u32) -> (Form, TensorShape) {
        let input = self.last();
        let mut segment = Segment::new(0, y.taps * x.taps, outputs, input.c);
        segment.off = (self.weights.len() as u64).next_multiple_of(1 << segment.log_channels);
        let products = y.taps * x.taps * input.c;
        // Outputs of the size of the inputs.
        let most = (f64::from(1 << SHIFT) * 3.0 / f64::from(products).sqrt()) as usize;
        let end = segment.end().unwrap() as usize;
        while self.weights.len() < end {
            self.weights.push(self.words.below(2 * most + 1) as i16 - most as i16);
        }
        let conv = Conv {
            tensor: self.program.tensors.len() as u32 - 1,
            segment: self.program.segments.len() as u32,
            y,
            x,
            groups: 1,
            c_off: 0,
        };
        self.program.segments.push(segment);
        let shape = conv.output_shape(input, outputs).unwrap();
        (Form::new(vec![Term::Conv(conv)]), shape)
    }

    fn conv(mut self, taps: u32, stride: u32, pad: u32, outputs: u32) -> Self {
        let window = Window::new(taps, stride, pad);
        let (form, shape) = self.form(window, window, outputs);
        self.program.sites.push(Site::Requant { form, shift: SHIFT, table: 1 });
        self.program.tensors.push(Tensor { shape, interval: Interval::new(0, 127) });
        self
    }

    fn dense(mut self, outputs: u32) -> Self {
        let TensorShape { y, x, .. } = self.last();
        let (form, shape) = self.form(Window::new(y, 1, 0), Window::new(x, 1, 0), outputs);
        self.program.sites.push(Site::Requant { form, shift: SHIFT, table: 1 });
        self.program.tensors.push(Tensor { shape, interval: Interval::new(0, 127) });
        self
    }

    fn output(mut self, outputs: u32) -> Self {
        let TensorShape { y, x, .. } = self.last();
        let (form, shape) = self.form(Window::new(y, 1, 0), Window::new(x, 1, 0), outputs);
        self.program.sites.push(Site::Output { form });
        self.program.tensors.push(Tensor { shape, interval: Interval::RAW });
        self.program.weights = Shape::for_weights(self.weights.len()).unwrap();
        self
    }
}

fn nets() -> Vec<(&'static str, Net)> {
    let vector = TensorShape::vector;
    let dense = (0..4).fold(Net::new(vector(1024)), |net, _| net.dense(1024));
    vec![
        ("mlp 784-128-10", Net::new(vector(784)).dense(128).output(10)),
        (
            "conv 28x28, stride 2",
            Net::new(TensorShape::new(28, 28, 1))
                .conv(5, 2, 2, 6)
                .conv(5, 2, 2, 16)
                .dense(120)
                .output(10),
        ),
        (
            "conv 32x32, 3x3 64-64",
            Net::new(TensorShape::new(32, 32, 3))
                .conv(3, 1, 1, 64)
                .conv(3, 2, 1, 64)
                .conv(3, 2, 1, 64)
                .output(10),
        ),
        ("dense 5x1024", dense.output(1024)),
    ]
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    for mode in [Mode::Fast, Mode::Small] {
        for (name, net) in nets() {
            let Net { mut program, weights, mut words } = net;
            program.mode = mode;
            program.weights = mode.shape(program.weights);
            let model = ProvingModel::register(program.check().unwrap(), weights).unwrap();
            for lb in [0, 3] {
                let name = format!("{name}, {mode}, batch {}", 1 << lb);
                measure(&mut criterion, &name, &model, lb, &mut words);
            }
        }
    }
    criterion.final_summary();
}

fn measure(
    criterion: &mut Criterion,
    name: &str,
    model: &ProvingModel,
    lb: u32,
    words: &mut Words,
) {
    let circuit = Circuit::new(model.descriptor(), lb).unwrap();
    let cells = circuit.program().program().tensors[0].shape.cells();
    let mut input = || (0..cells).map(|_| words.below(255) as i32 - 127).collect();
    let inputs: Vec<Vec<i32>> = (0..1 << lb).map(|_| input()).collect();
    let run = || execute_batch(circuit.program(), model.weights(), lb, &inputs).unwrap();
    let runs = run();
    let instances: Vec<Instance<'_>> = runs
        .iter()
        .zip(&inputs)
        .map(|(run, input)| Instance {
            context: [0; 32],
            salt: [0; 32],
            input,
            output: run.output(),
        })
        .collect();
    let tree = IoTree::new(lb, &instances).unwrap();
    let statement =
        Statement { model: circuit.model_id(), context: [0; 32], lb, io_root: tree.root() };
    let claims: Vec<Claim<'_>> = (0..)
        .zip(&instances)
        .map(|(index, &instance)| Claim { index, instance, path: tree.path(index as usize) })
        .collect();
    let prove = || model.prove(&circuit, &statement, &runs).unwrap().encode();
    let proof = prove();
    let bits = verify_bytes(&circuit, &statement, &claims, &proof).unwrap().security_bits();
    println!("{name}: {} bytes, {bits:.1} bits", proof.len());
    let mut group = criterion.benchmark_group(name);
    group.bench_function("execute", |bench| bench.iter(|| black_box(run())));
    group.bench_function("prove", |bench| bench.iter(|| black_box(prove())));
    group.bench_function("verify", |bench| {
        bench.iter(|| verify_bytes(&circuit, &statement, &claims, &proof).unwrap());
    });
    group.finish();
}
