//! The commitment to a model's weights: commit once, open and verify for each proof.
//! `cargo bench -p assay-zkml`
#![expect(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a bench that cannot go on says so by panicking"
)]

#[path = "../tests/words.rs"]
mod words;

use std::hint::black_box;

use assay_zkml::tensor_code::{CommittedWeights, OpeningProof, Shape, verify};
use assay_zkml::transcript::Transcript;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use crate::words::weights;

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("weights");
    group.sample_size(10);
    for count in [1 << 17, 1 << 20, 1 << 22] {
        let shape = Shape::for_weights(count).unwrap();
        let matrix = weights(1, shape.capacity());
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("commit", count), |bencher| {
            let commit = |matrix| CommittedWeights::commit(shape, matrix).unwrap();
            bencher.iter_batched(|| matrix.clone(), commit, BatchSize::LargeInput);
        });
        let committed = CommittedWeights::commit(shape, matrix).unwrap();
        let mut transcript = Transcript::new();
        let point = shape.sample_point(&mut transcript);
        let open = || committed.open(&mut transcript.clone(), &point).unwrap();
        group.bench_function(BenchmarkId::new("open", count), |bencher| bencher.iter(open));
        let opening = open();
        let (root, proof) = (committed.root(), opening.proof.encode());
        let name = format!("verify {} bytes", proof.len());
        group.bench_function(BenchmarkId::new(name, count), |bencher| {
            bencher.iter(|| {
                let mut transcript = transcript.clone();
                let proof = black_box(&proof);
                let proof = OpeningProof::decode(&shape, proof).unwrap();
                verify(&shape, &root, &mut transcript, &point, opening.value, &proof).unwrap();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
