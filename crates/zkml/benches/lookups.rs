//! The lookups of a program: prove and verify, for trees of several sizes.
//! `cargo bench -p assay-zkml --bench lookups`
#![expect(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a bench that cannot go on says so by panicking"
)]

#[path = "../tests/words.rs"]
mod words;

use std::hint::black_box;

use assay_zkml::field::F;
use assay_zkml::lookups::{
    Layout, Lookup, LookupProof, leaf_values, multiplicities, prove, verify,
};
use assay_zkml::program::Table;
use assay_zkml::transcript::Transcript;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use p3_field::PrimeCharacteristicRing;

use crate::words::Words;

/// A quarter of the leaves are requantised cells in a clamp, a quarter are their remainders; an
/// eighth and an eighth are the same of a second site. The rest is tables and a gap.
fn layout(log_leaves: usize) -> Layout {
    let clamp = Table::Clamp { bq: 1 << 9, lo: -127, hi: 127 };
    let range = Table::Range { bits: 10 };
    let lookups = [(0, 2), (1, 2), (0, 3), (1, 3)];
    let lookups = lookups.map(|(table, part)| Lookup { table, arity: log_leaves - part });
    Layout::new(vec![clamp, range], lookups.to_vec()).unwrap()
}

fn columns(layout: &Layout) -> Vec<Vec<Vec<F>>> {
    let mut words = Words::new(1);
    let column = |lookup: &Lookup| {
        let mut cells = |offset: i32| -> Vec<i32> {
            (0..1 << lookup.arity).map(|_| words.below(1 << 10) as i32 - offset).collect()
        };
        let columns = if lookup.table == 1 {
            vec![cells(0)]
        } else {
            let q = cells(1 << 9);
            let y = q.iter().map(|&q| q.clamp(-127, 127)).collect();
            vec![q, y]
        };
        columns.into_iter().map(|c| c.into_iter().map(F::from_i32).collect()).collect()
    };
    layout.lookups().iter().map(column).collect()
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookups");
    group.sample_size(10);
    for log_leaves in [14, 18, 20] {
        let layout = layout(log_leaves);
        assert_eq!(layout.log_leaves(), log_leaves);
        let columns = columns(&layout);
        let tuples: Vec<Vec<&[F]>> =
            columns.iter().map(|columns| columns.iter().map(Vec::as_slice).collect()).collect();
        group.throughput(Throughput::Elements(1 << log_leaves));
        group.bench_function(BenchmarkId::new("count", log_leaves), |bencher| {
            bencher.iter(|| multiplicities(&layout, &tuples).unwrap());
        });
        let counts = multiplicities(&layout, &tuples).unwrap();
        let make = || prove(&layout, &tuples, &counts, &mut Transcript::new()).unwrap();
        group.bench_function(BenchmarkId::new("prove", log_leaves), |bencher| bencher.iter(make));
        let proved = make();
        let bytes = proved.proof.encode();
        let values = leaf_values(&layout, &tuples, &counts, &proved.point).unwrap();
        let name = format!("verify {} bytes", bytes.len());
        group.bench_function(BenchmarkId::new(name, log_leaves), |bencher| {
            bencher.iter(|| {
                let proof = LookupProof::decode(log_leaves, black_box(&bytes)).unwrap();
                let claim = verify(&layout, &proof, &mut Transcript::new()).unwrap();
                claim.check_leaves(&layout, &values).unwrap();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
