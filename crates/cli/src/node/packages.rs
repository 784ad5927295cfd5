//! Model packages: the ones of a folder, or the ones that this program carries.

use std::path::Path;

use assay_engine::ModelPackage;

use crate::error::CliError;

/// The files of a package: artifact, card, samples.
type Files = [&'static [u8]; 3];

macro_rules! package {
    ($name:literal) => {
        [
            include_bytes!(concat!("../../../../models/", $name, "/model.onnx")),
            include_bytes!(concat!("../../../../models/", $name, "/model.toml")),
            include_bytes!(concat!("../../../../models/", $name, "/samples.json")),
        ]
    };
}

/// So that a first inference needs nothing but this program, wherever it is started.
const CARRIED: [Files; 3] = [package!("digits"), package!("tumour"), package!("wine")];

/// Reads the model packages below a folder, or without one those that the program carries, by name.
pub(crate) fn packages(folder: Option<&Path>) -> Result<Vec<ModelPackage>, CliError> {
    let mut found = match folder {
        Some(folder) => in_folder(folder)?,
        None => carried()?,
    };
    found.sort_by(|a, b| a.card().name.cmp(&b.card().name));
    Ok(found)
}

fn carried() -> Result<Vec<ModelPackage>, CliError> {
    let read = |[artifact, card, samples]: Files| {
        ModelPackage::from_parts(artifact.to_vec(), card, samples)
    };
    CARRIED.into_iter().map(read).collect::<Result<_, _>>().map_err(CliError::failed)
}

fn in_folder(folder: &Path) -> Result<Vec<ModelPackage>, CliError> {
    let io = |error| CliError::Io(folder.to_path_buf(), error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.join("model.toml").is_file() {
            found.push(ModelPackage::open(&path).map_err(CliError::input)?);
        }
    }
    if found.is_empty() {
        let message = format!(
            "{}: there is no model package in this folder, which would be a folder with a \
             model.toml",
            folder.display()
        );
        return Err(CliError::Input(message));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_carries_what_is_in_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        let ids = |folder: Option<&Path>| -> Vec<_> {
            packages(folder).unwrap().iter().map(ModelPackage::id).collect()
        };
        assert_eq!(ids(None).len(), CARRIED.len());
        assert_eq!(ids(None), ids(Some(&folder)));
    }

    #[test]
    fn a_folder_without_packages_is_said_to_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = packages(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("no model package"), "{error}");
    }
}
