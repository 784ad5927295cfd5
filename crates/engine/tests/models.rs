//! The models of this repository, as the engine runs them.

use std::sync::Arc;

use assay_engine::{Engine as _, EngineError, LoadedModel, ModelPackage, Tract};
use assay_primitives::{InferenceRequest, Tensor, TensorData};

use crate::{folder, open};

fn run_all(package: &ModelPackage, model: &dyn LoadedModel) -> Vec<Vec<u8>> {
    let run = |sample: &assay_engine::Sample| {
        let request = package.card().request(vec![sample.input.clone()]).unwrap();
        model.run(&request).unwrap().to_bytes().unwrap()
    };
    package.samples().iter().map(run).collect()
}

/// The card says how many of the samples the model gets right. It is measured here, not believed.
#[test]
fn accuracy_is_what_the_card_says() {
    for name in ["digits", "tumour", "wine"] {
        let package = open(name);
        let model = Tract.load(&package).unwrap();
        let (card, samples) = (package.card(), package.samples());
        let right = samples
            .iter()
            .filter(|sample| {
                let request = card.request(vec![sample.input.clone()]).unwrap();
                let output = model.run(&request).unwrap();
                card.top_label(&output) == card.labels.get(sample.label).map(String::as_str)
            })
            .count();
        let accuracy = &card.accuracy;
        assert_eq!(
            (right as u64, samples.len() as u64),
            (accuracy.correct, accuracy.samples),
            "{name}"
        );
        let value = format!("{:.4}", accuracy.correct as f64 / accuracy.samples as f64);
        assert_eq!(value, accuracy.value, "{name}");
    }
}

/// Receipts name engine and version: what they say has to be what was compiled in.
#[test]
fn the_version_is_that_of_the_lock_file() {
    let lock = std::fs::read_to_string(folder("../Cargo.lock")).unwrap();
    let lock: toml::Value = toml::from_str(&lock).unwrap();
    let versions: Vec<&str> = lock["package"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| package["name"].as_str() == Some(Tract.name()))
        .map(|package| package["version"].as_str().unwrap())
        .collect();
    assert_eq!(versions, [Tract.version()]);
}

#[test]
fn runs_at_the_same_time_do_not_disturb_each_other() {
    let package = Arc::new(open("digits"));
    let model = Tract.load(&package).unwrap();
    let expected = run_all(&package, model.as_ref());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(run_all(&package, model.as_ref()), expected));
        }
    });
    // Loaded again it gives the same bytes.
    assert_eq!(run_all(&package, Tract.load(&package).unwrap().as_ref()), expected);
}

fn contents(name: &str) -> [Vec<u8>; 3] {
    ["model.onnx", "model.toml", "samples.json"]
        .map(|file| std::fs::read(folder(name).join(file)).unwrap())
}

/// Returns the digits package with its card edited.
fn edited(from: &str, to: &str) -> ModelPackage {
    let [artifact, card, _] = contents("digits");
    let card = String::from_utf8(card).unwrap();
    assert!(card.contains(from));
    let card = card.replacen(from, to, 1);
    ModelPackage::from_parts(artifact, card.as_bytes(), br#"{"samples":[]}"#).unwrap()
}

#[test]
fn an_artifact_that_is_not_the_cards_is_not_loaded() {
    for (from, to, says) in [
        ("name = \"image\"", "name = \"picture\"", "inputs picture"),
        ("name = \"logits\"", "name = \"scores\"", "outputs scores"),
        ("shape = [1, 1, 8, 8]", "shape = [1, 1, 64]", "[1, 1, 64]"),
        ("shape = [1, 10]", "shape = [1, 11]", "[1, 11]"),
        ("datatype = \"FP32\"", "datatype = \"FP64\"", "FP64"),
    ] {
        let error = Tract.load(&edited(from, to)).unwrap_err();
        assert!(matches!(error, EngineError::Card { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let [_, card, samples] = contents("digits");
    for artifact in [vec![], b"not ONNX".to_vec()] {
        let package = ModelPackage::from_parts(artifact, &card, &samples).unwrap();
        let error = Tract.load(&package).unwrap_err();
        assert!(matches!(error, EngineError::Load { .. } | EngineError::Card { .. }), "{error}");
    }
}

/// tract reads this branch as a leaf, and would answer what the model does not say.
#[test]
fn trees_that_the_engine_would_mistake_are_not_loaded() {
    let [mut artifact, card, samples] = contents("wine");
    let found = artifact.windows(10).position(|bytes| bytes == b"BRANCH_LEQ").unwrap();
    artifact[found..found + 10].copy_from_slice(b"BRANCH_GTE");
    let package = ModelPackage::from_parts(artifact, &card, &samples).unwrap();
    let error = Tract.load(&package).unwrap_err();
    assert!(matches!(error, EngineError::Load { .. }), "{error}");
    assert!(error.to_string().contains("BRANCH_GTE"), "{error}");
}

/// An artifact with a changed byte is refused or runs; it never brings the process down.
#[test]
fn damaged_artifacts_do_no_harm() {
    let [artifact, card, samples] = contents("digits");
    for at in (0..artifact.len()).step_by(artifact.len() / 40) {
        let mut damaged = artifact.clone();
        damaged[at] ^= 0x55;
        let package = ModelPackage::from_parts(damaged, &card, &samples).unwrap();
        let Ok(model) = Tract.load(&package) else { continue };
        let input = package.samples().get(0).unwrap().input.clone();
        match model.run(&InferenceRequest { inputs: vec![input] }) {
            Ok(output) => assert_eq!(output.outputs[0].shape(), [1, 10]),
            Err(error) => assert!(error.to_string().starts_with("model `digits`"), "{error}"),
        }
    }
}

/// A request that was not made by the card is an error, not a panic.
#[test]
fn a_request_of_another_model_is_refused() {
    let model = Tract.load(&open("digits")).unwrap();
    let error = model.run(&InferenceRequest { inputs: vec![] }).unwrap_err();
    let expected = EngineError::Request { model: "digits".to_owned(), expected: 1, got: 0 };
    assert_eq!(error, expected);
    let small = Tensor::new("image".to_owned(), vec![1], TensorData::Fp32(vec![0.0])).unwrap();
    assert!(model.run(&InferenceRequest { inputs: vec![small] }).is_err());
}

/// Numbers that overflow in the model are an error: a receipt has no word for NaN.
#[test]
fn an_output_that_is_not_finite_is_an_error() {
    let package = open("digits");
    let model = Tract.load(&package).unwrap();
    let huge = TensorData::Fp32(vec![f32::MAX; 64]);
    let tensor = Tensor::new("image".to_owned(), vec![1, 1, 8, 8], huge).unwrap();
    let error = model.run(&package.card().request(vec![tensor]).unwrap()).unwrap_err();
    assert!(matches!(error, EngineError::Output { .. }), "{error}");
}
