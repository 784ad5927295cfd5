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

/// Reads a model that is not part of the repository, from the folder `data/models` of
/// `ASSAY_REFERENCE` (`../shared` beside the repository if that is not set). Says so and returns
/// `None` if it is not there.
pub(crate) fn reference(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("ASSAY_REFERENCE");
    let folder = folder.map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let path = folder.join("data/models").join(name);
    let bytes = std::fs::read(&path);
    if let Err(error) = &bytes {
        eprintln!("left out: {}: {error}", path.display());
    }
    bytes.ok()
}
