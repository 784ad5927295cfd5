use std::path::{Path, PathBuf};

/// Finds a file or folder that nobody here made and that is no part of the repository, in the folder
/// that `ASSAY_REFERENCE` names (`shared` beside the repository if it is not set). Says so and returns
/// `None` if it is not there: what needs it is left out.
#[must_use]
#[expect(clippy::print_stderr, reason = "who runs the tests is to know what was left out")]
pub fn reference(path: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("ASSAY_REFERENCE").map_or_else(beside, PathBuf::from);
    let found = folder.join(path);
    if found.exists() {
        return Some(found);
    }
    eprintln!("left out: {} is not there", found.display());
    None
}
