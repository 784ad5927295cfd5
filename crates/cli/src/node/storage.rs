//! What of the data folder is not in its database: the key that contents are sealed with, and evidence.

use std::path::{Path, PathBuf};

use assay_primitives::Randomness;
use assay_store::{BlobStore, StorageKey};

use super::chain::{environment, warn_of_readers};
use crate::config::Config;
use crate::error::CliError;
use crate::files::{self, Readers};

/// Where the key may stand in place of a file.
pub(crate) const STORAGE_KEY: &str = "ASSAY_STORAGE_KEY";
/// Its file in a folder of keys, or in the data folder of a development chain.
const FILE: &str = "storage.key";
/// The most bytes the file may have.
const MAX_FILE: u64 = 4_096;

/// Makes a storage key in a folder, unless there is one.
pub(crate) fn make_storage_key(folder: &Path, randomness: &dyn Randomness) -> Result<(), CliError> {
    let path = folder.join(FILE);
    if path.exists() {
        return Ok(());
    }
    let key = StorageKey::generate(randomness).map_err(CliError::failed)?;
    files::write_new(&path, key.reveal().as_bytes(), Readers::Owner)
}

/// Opens the evidence of a data folder.
pub(crate) fn evidence(data: &Path) -> Result<BlobStore, CliError> {
    BlobStore::in_folder(&data.join("evidence")).map_err(CliError::failed)
}

/// Says whether the configuration gives a storage key.
pub(super) fn has_storage_key(config: &Config) -> bool {
    std::env::var_os(STORAGE_KEY).is_some_and(|key| !key.is_empty())
        || config.keys.storage_key_file.is_some()
        || beside_keys(config).is_some()
}

/// Reads the storage key: the environment's, or its file's; on a development chain one is made.
pub(super) fn storage_key(
    config: &Config,
    is_development: bool,
    randomness: &dyn Randomness,
) -> Result<StorageKey, CliError> {
    if let Some(text) = environment(STORAGE_KEY)? {
        return read(STORAGE_KEY, &text);
    }
    let path = match &config.keys.storage_key_file {
        Some(path) => path.clone(),
        // Of the data folder, so that it fits whatever keys somebody tries there.
        None if is_development => {
            make_storage_key(&config.data, randomness)?;
            config.data.join(FILE)
        }
        None => beside_keys(config).ok_or_else(|| CliError::Input(missing()))?,
    };
    warn_of_readers(&path);
    read(&path.display().to_string(), &files::read_text(&path, MAX_FILE)?)
}

/// Says how to give a storage key.
pub(super) fn missing() -> String {
    format!(
        "keys.storage_key_file (ASSAY_STORAGE_KEY_FILE, or the key in {STORAGE_KEY}; or {FILE} in \
         keys.folder, where `assay key new` makes it): the key that contents are sealed with, 64 \
         hexadecimal digits, as `openssl rand -hex 32` prints."
    )
}

/// Returns the file beside the operator's keys, if it is there.
fn beside_keys(config: &Config) -> Option<PathBuf> {
    let path = config.keys.folder.as_ref()?.join(FILE);
    path.exists().then_some(path)
}

fn read(place: &str, text: &str) -> Result<StorageKey, CliError> {
    let key = StorageKey::from_hex(text.trim());
    key.map_err(|error| CliError::Input(format!("{place}: {error}")))
}
