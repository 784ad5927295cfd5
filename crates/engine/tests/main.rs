//! Model packages and the engine, on the models of this repository.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod cards;
mod models;
mod packages;

use std::path::{Path, PathBuf};

use assay_engine::ModelPackage;

/// Returns the folder of a model of this repository.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name)
}

fn open(name: &str) -> ModelPackage {
    ModelPackage::open(&folder(name)).unwrap()
}
