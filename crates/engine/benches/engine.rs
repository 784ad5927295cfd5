//! The bare run of the models of this repository: what everything around an inference is compared
//! with. `cargo bench -p assay-engine`

use std::hint::black_box;
use std::path::Path;

use assay_engine::{Engine as _, ModelPackage, Tract};
use criterion::{Criterion, criterion_group, criterion_main};

#[expect(clippy::unwrap_used, reason = "a bench that cannot be set up should stop")]
fn runs(criterion: &mut Criterion) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let mut group = criterion.benchmark_group("run");
    for name in ["digits", "tumour", "wine"] {
        let package = ModelPackage::open(&models.join(name)).unwrap();
        let model = Tract.load(&package).unwrap();
        let input = package.samples().get(0).unwrap().input.clone();
        let request = package.card().request(vec![input]).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| model.run(black_box(&request)).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, runs);
criterion_main!(benches);
