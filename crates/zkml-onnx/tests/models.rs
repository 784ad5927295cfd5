//! Models of this repository, with the samples that they were measured on.

use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Deserialize)]
struct Samples {
    samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    label: usize,
    data: Vec<f32>,
}

/// A model and its held-out split.
pub(crate) struct Model {
    pub(crate) bytes: Vec<u8>,
    pub(crate) inputs: Vec<Vec<f32>>,
    pub(crate) labels: Vec<usize>,
}

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Reads the package `name` of the folder `models`.
pub(crate) fn package(name: &str) -> Model {
    let folder = workspace().join("models").join(name);
    let bytes = std::fs::read(folder.join("model.onnx")).unwrap();
    let text = std::fs::read(folder.join("samples.json")).unwrap();
    let Samples { samples } = serde_json::from_slice(&text).unwrap();
    let labels = samples.iter().map(|sample| sample.label).collect();
    let inputs = samples.into_iter().map(|sample| sample.data).collect();
    Model { bytes, inputs, labels }
}

/// Reads a model that is not part of the repository.
pub(crate) fn reference(name: &str) -> Option<Vec<u8>> {
    let path = assay_testkit::reference(&format!("data/models/{name}"))?;
    Some(std::fs::read(path).unwrap())
}
