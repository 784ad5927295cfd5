//! Trained models, calibrated on a few samples and compared with the float model on others.

use assay_zkml::model::argmax;
use assay_zkml_onnx::synthetic::Seeded;
use assay_zkml_onnx::{Options, compile};

use crate::models::{Model, package, reference};

/// Samples that a model is calibrated on.
const CALIBRATION: usize = 64;

/// Compiles on the first samples; returns how many of all have their label's output largest.
fn correct(model: &Model) -> usize {
    let samples = model.inputs.get(..CALIBRATION).unwrap();
    let compiled = compile(&model.bytes, samples, &Options::default()).unwrap();
    assert!(compiled.summary.agreement.same_argmax as usize * 100 >= 99 * CALIBRATION);
    let pairs = model.inputs.iter().zip(&model.labels);
    let right = pairs.filter(|(input, label)| {
        let (output, _) = compiled.run(input).unwrap();
        argmax(&output) == Some(**label)
    });
    right.count()
}

/// The float model is right on 359 of 360 (`models/README.md`).
#[test]
fn digits_is_as_accurate_as_the_float_model() {
    let model = package("digits");
    assert_eq!((correct(&model), model.inputs.len()), (359, 360));
}

/// The float model is right on 110 of 114. Its inputs are measurements of different units, so each
/// has a scale of its own.
#[test]
fn tumour_is_as_accurate_as_the_float_model() {
    let model = package("tumour");
    assert_eq!((correct(&model), model.inputs.len()), (110, 114));
}

/// The float model is right on 35 of 36. Trees need no calibration, and lose nothing.
#[test]
fn wine_is_as_accurate_as_the_float_model() {
    let model = package("wine");
    let compiled = compile(&model.bytes, &model.inputs, &Options::default()).unwrap();
    let pairs = model.inputs.iter().zip(&model.labels);
    let right = pairs
        .filter(|(input, label)| argmax(&compiled.run(input).unwrap().0) == Some(**label))
        .count();
    assert_eq!((right, model.inputs.len()), (35, 36));
    let agreement = compiled.summary.agreement;
    assert_eq!((agreement.same_argmax, agreement.clamped), (36, 0), "{agreement:?}");
    assert!(agreement.greatest_error < 1e-6 * agreement.greatest_output, "{agreement:?}");
}

/// Models that others trained, on random inputs of the size of their training data.
#[test]
fn models_of_others_agree_with_the_float_model() {
    for (name, inputs) in
        [("deepprove_cnn_cifar_01.onnx", 3 * 32 * 32), ("deepprove_mlp_iris_01.onnx", 4)]
    {
        let Some(bytes) = reference(name) else { continue };
        let mut numbers = Seeded::new(1);
        let samples: Vec<Vec<f32>> = (0..40).map(|_| numbers.uniform(inputs, 1.0)).collect();
        let compiled = compile(&bytes, &samples, &Options::default()).unwrap();
        let agreement = compiled.summary.agreement;
        assert_eq!(agreement.same_argmax as usize, samples.len(), "{name}: {agreement:?}");
        let error = agreement.greatest_error / agreement.greatest_output;
        assert!(error < 0.05, "{name}: {agreement:?}");
    }
}

/// What onnxruntime says of `digits` (`fixtures.py`).
#[derive(serde::Deserialize)]
struct Onnxruntime {
    float: Vec<usize>,
    quantised: Vec<Vec<f32>>,
}

fn onnxruntime() -> Onnxruntime {
    serde_json::from_slice(include_bytes!("data/digits.json")).unwrap()
}

#[test]
fn digits_agrees_with_onnxruntime() {
    let model = package("digits");
    let samples = model.inputs.get(..CALIBRATION).unwrap();
    let compiled = compile(&model.bytes, samples, &Options::default()).unwrap();
    let pairs = model.inputs.iter().zip(onnxruntime().float);
    let same = pairs
        .filter(|(input, expected)| argmax(&compiled.run(input).unwrap().0) == Some(*expected));
    assert_eq!(same.count(), 360);
}

/// A model that onnxruntime quantised, as it is.
#[test]
fn quantised_digits_agrees_with_onnxruntime() {
    let (model, quantised) = (package("digits"), include_bytes!("data/digits-qdq.onnx"));
    let samples = model.inputs.get(..1).unwrap();
    let compiled = compile(quantised, samples, &Options::default()).unwrap();
    let agreement = compiled.compare(&model.inputs, &onnxruntime().quantised).unwrap();
    assert_eq!(agreement.same_argmax, 360, "{agreement:?}");
    // One step of the output; the fixture has four decimals.
    let step = compiled.output.scale();
    assert!(f64::from(agreement.greatest_error) < step + 1e-3, "{agreement:?} {step}");
}
