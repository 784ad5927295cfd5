//! The commitment to a proof's advice: commit, open at two points, verify.
//! `cargo bench -p assay-zkml --bench advice`
#![expect(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a bench that cannot go on says so by panicking"
)]

#[path = "../tests/words.rs"]
mod words;

use std::hint::black_box;

use assay_zkml::advice::{self, AdviceProfile, AdviceProof, CommittedAdvice, Schedule};
use assay_zkml::field::{F, K};
use assay_zkml::multilinear::evaluate;
use assay_zkml::transcript::Transcript;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use p3_field::PrimeCharacteristicRing;

use crate::words::Words;

/// Columns of six sizes that fill almost all of `2^log_cells` cells. Each class is opened as a
/// whole at one point, and its first column at another.
struct Case {
    schedule: Schedule,
    columns: Vec<Vec<F>>,
    batches: Vec<Vec<usize>>,
}

impl Case {
    fn new(log_cells: u32) -> Self {
        let less = [2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 6];
        let arities: Vec<u32> = less.iter().map(|less| log_cells - less).collect();
        let of = |l: u32| (0..less.len()).filter(move |&c| less[c] == l).collect::<Vec<_>>();
        let batches: Vec<Vec<usize>> = (2..=6).flat_map(|l| [of(l), of(l)[..1].to_vec()]).collect();
        let schedule = Schedule::new(AdviceProfile::default(), arities.clone(), batches.clone());
        let mut words = Words::new(5);
        let mut column = |arity| (0..1 << arity).map(|_| F::from_u64(words.next() & 127)).collect();
        let columns = arities.iter().map(|&arity| column(arity)).collect();
        Self { schedule: schedule.unwrap(), columns, batches }
    }

    fn commit(&self) -> (CommittedAdvice<&Vec<F>>, Vec<Vec<K>>, Transcript) {
        let mut transcript = Transcript::new();
        let committed =
            advice::commit(&self.schedule, self.columns.iter().collect(), &mut transcript);
        let committed = committed.unwrap();
        let points = self.points(&mut transcript);
        (committed, points, transcript)
    }

    fn points(&self, transcript: &mut Transcript) -> Vec<Vec<K>> {
        let arity = |batch: &Vec<usize>| self.columns[batch[0]].len().ilog2() as usize;
        self.batches.iter().map(|batch| transcript.sample_point(arity(batch))).collect()
    }

    fn values(&self, points: &[Vec<K>]) -> Vec<Vec<K>> {
        let value = |column: usize, point: &[K]| evaluate(&self.columns[column], point).unwrap();
        let pairs = self.batches.iter().zip(points);
        pairs.map(|(batch, point)| batch.iter().map(|&c| value(c, point)).collect()).collect()
    }
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("advice");
    group.sample_size(10);
    for log_cells in [13, 14, 15, 16, 17, 18, 19, 21] {
        let case = Case::new(log_cells);
        group.throughput(Throughput::Elements(1 << log_cells));
        group.bench_function(BenchmarkId::new("commit", log_cells), |bencher| {
            bencher.iter_with_large_drop(|| case.commit());
        });
        group.bench_function(BenchmarkId::new("open", log_cells), |bencher| {
            let committed = || case.commit();
            let open =
                |(committed, points, mut transcript): (CommittedAdvice<_>, Vec<Vec<K>>, _)| {
                    committed.open(&points, &mut transcript).unwrap()
                };
            bencher.iter_batched(committed, open, BatchSize::LargeInput);
        });
        let (committed, points, mut transcript) = case.commit();
        let (root, values) = (committed.root(), case.values(&points));
        let proof = committed.open(&points, &mut transcript).unwrap().encode();
        let name = format!("verify {} bytes", proof.len());
        group.bench_function(BenchmarkId::new(name, log_cells), |bencher| {
            bencher.iter(|| {
                let mut transcript = Transcript::new();
                advice::observe_root(&root, &mut transcript);
                let points = case.points(&mut transcript);
                let proof = AdviceProof::decode(&case.schedule, black_box(&proof)).unwrap();
                advice::verify(&case.schedule, &root, &points, &values, &proof, &mut transcript)
                    .unwrap();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
