//! Whole graphs against the float model.

use std::collections::BTreeSet;

use assay_zkml_onnx::synthetic::{Seeded, dense, lenet, mlp, random_graph, residual};
use assay_zkml_onnx::{CompileError, Options, compile};

fn samples(values: usize, count: usize) -> Vec<Vec<f32>> {
    let mut numbers = Seeded::new(7);
    (0..count).map(|_| numbers.uniform(values, 1.0)).collect()
}

/// Returns the greatest error on the samples as a part of the greatest output.
fn error(bytes: &[u8], samples: &[Vec<f32>]) -> Result<f32, CompileError> {
    let compiled = compile(bytes, samples, &Options::default())?;
    // N1 and N2: no input at all leaves the field or a table.
    for extreme in [f32::MAX, f32::MIN] {
        let input: Vec<f32> = vec![extreme; samples.first().map_or(0, Vec::len)];
        let (_, clamped) = compiled.run(&input)?;
        assert_eq!(clamped, input.len());
    }
    let summary = compiled.summary;
    let shifts: BTreeSet<u32> = summary.sites.iter().filter_map(|site| site.shift).collect();
    assert!(shifts.len() <= 3, "{shifts:?}");
    let agreement = summary.agreement;
    assert_eq!(agreement.samples as usize, samples.len());
    // A graph may give zeros only.
    Ok(agreement.greatest_error / agreement.greatest_output.max(f32::MIN_POSITIVE))
}

#[test]
fn architectures_stay_close_to_the_float_model() {
    for (name, bytes, inputs, bound) in [
        ("mlp", mlp(1), 784, 0.02),
        ("lenet", lenet(2), 784, 0.05),
        ("residual", residual(3), 3 * 16 * 16, 0.05),
        ("deep", dense(&[64, 64, 64, 64, 64, 10], 4), 64, 0.05),
    ] {
        let error = error(&bytes, &samples(inputs, 8)).unwrap();
        assert!(error < bound, "{name}: {error}");
    }
}

/// Each of many requantisations adds its half a step in 127, so deep graphs are off by more; a wrong
/// cell would be off by the whole output.
#[test]
fn random_graphs_compile_and_stay_close_to_the_float_model() {
    const GRAPHS: u16 = 80;
    let mut sum = 0.0;
    for seed in 0..GRAPHS {
        let graph = random_graph(u64::from(seed));
        let error = error(&graph.bytes, &graph.samples(1, 4));
        let error = error.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(error < 0.25, "seed {seed}: {error} in {:?}", graph.operators);
        sum += error;
    }
    let mean = sum / f32::from(GRAPHS);
    assert!(mean < 0.03, "{mean}");
}
