//! What compiling and committing cost, for the models of the design's table.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on says so by panicking")]

use std::hint::black_box;

use assay_zkml_onnx::synthetic::{Seeded, dense, lenet, mlp};
use assay_zkml_onnx::{Options, compile};
use criterion::{Criterion, criterion_group, criterion_main};

const SAMPLES: usize = 8;

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    for (name, bytes, inputs) in [
        ("mlp 784-128-10", mlp(1), 784),
        ("lenet 28x28", lenet(1), 784),
        ("dense 5x1024", dense(&[1024, 1024, 1024, 1024, 1024, 10], 1), 1024),
    ] {
        let mut numbers = Seeded::new(1);
        let samples: Vec<_> = (0..SAMPLES).map(|_| numbers.uniform(inputs, 1.0)).collect();
        let options = Options::default();
        group.bench_function(name, |b| {
            b.iter(|| compile(black_box(&bytes), &samples, &options).unwrap());
        });
        let compiled = compile(&bytes, &samples, &options).unwrap();
        group.bench_function(format!("{name}, commit"), |b| {
            b.iter(|| compiled.clone().into_file(name.to_owned()).unwrap());
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
