//! An operator's keys in a folder:
//!
//! - `identity.pem`, the operator's identity. It signs the manifest and is kept offline.
//! - `manifest.json`, the signed list of the public keys, a DSSE envelope.
//! - `receipt-….pem`, a key that signs receipts, named by the first 16 characters of its id.
//! - `storage.key`, which the gateway seals contents with; see `node::storage`.
//!
//! A new key is written before the manifest that lists it, and the manifest is replaced in one
//! step. So a crash leaves either the keys as they were, with a file that nothing refers to, or the
//! keys as they should be.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_attest::Image;
use assay_primitives::{Account, Digest, KeyId, Network, OperatorId, Randomness, Timestamp, json};
use assay_receipt::{
    Envelope, KeyManifest, KeyPurpose, KeyRevocation, ManifestContent, ManifestKey,
    SettlementAddress, SigningKey,
};

use crate::error::CliError;
use crate::files::{self, Readers};
use crate::money;

/// How long a receipt key is used.
const KEY_LIFE: Duration = Duration::from_secs(365 * 86_400);
/// How long the key before stays good after a rotation: what a running gateway signs until it is
/// restarted has to verify too.
pub(crate) const OVERLAP: Duration = Duration::from_secs(3_600);
/// The most bytes that a file of the folder may have.
const MAX_FILE: u64 = 4 << 20;

/// The keys of a folder.
#[derive(Debug)]
pub(crate) struct KeyFolder {
    folder: PathBuf,
}

/// What makes a first manifest.
#[derive(Debug)]
pub(crate) struct NewOperator {
    pub(crate) settlement: Vec<SettlementAddress>,
    pub(crate) gateways: Vec<String>,
}

impl KeyFolder {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    pub(crate) fn exists(&self) -> bool {
        self.manifest_path().exists()
    }

    /// Makes identity, receipt key and the first manifest.
    pub(crate) fn create(
        &self,
        operator: NewOperator,
        now: Timestamp,
        randomness: &dyn Randomness,
    ) -> Result<KeyManifest, CliError> {
        files::private_folder(&self.folder).map_err(CliError::io(&self.folder))?;
        let _lock = self.lock()?;
        if self.exists() {
            let folder = self.folder.display();
            let message =
                format!("{folder} holds an operator's keys already: see `assay key show`");
            return Err(CliError::Input(message));
        }
        // One that is there without a manifest is from a run that broke off.
        let identity = if self.identity_path().exists() {
            self.identity()?
        } else {
            let identity = SigningKey::generate(randomness).map_err(CliError::failed)?;
            write_secret(&self.identity_path(), &identity)?;
            identity
        };
        let content = ManifestContent {
            operator: operator_of(&identity),
            identity_key: identity.public().as_der().to_vec(),
            version: 1,
            previous: None,
            issued_at: now,
            keys: vec![self.new_receipt_key(now, randomness)?],
            settlement_addresses: operator.settlement,
            gateways: operator.gateways,
            enclave_measurements: Vec::new(),
            revocations: Vec::new(),
        };
        self.publish(content, &identity)
    }

    /// Makes a new receipt key; the one before is used no longer.
    pub(crate) fn rotate(
        &self,
        now: Timestamp,
        randomness: &dyn Randomness,
    ) -> Result<KeyManifest, CliError> {
        let (identity, mut content, _lock) = self.next_version(now)?;
        for key in &mut content.keys {
            if key.purpose == KeyPurpose::Receipt {
                key.valid_to = key.valid_to.min(now.plus(OVERLAP));
            }
        }
        content.keys.push(self.new_receipt_key(now, randomness)?);
        self.publish(content, &identity)
    }

    /// Revokes a key, and makes a new receipt key when none is left to sign with.
    pub(crate) fn revoke(
        &self,
        key: KeyId,
        reason: &str,
        now: Timestamp,
        randomness: &dyn Randomness,
    ) -> Result<KeyManifest, CliError> {
        let (identity, mut content, _lock) = self.next_version(now)?;
        let manifest = self.manifest()?.1;
        if manifest.key(key, KeyPurpose::Receipt).is_none() {
            let message = format!("key {key} is not in the key manifest: see `assay key show`");
            return Err(CliError::Input(message));
        }
        if let Some(before) = manifest.revocation(key) {
            let message = format!("key {key} was revoked at {} already", before.time);
            return Err(CliError::Input(message));
        }
        content.revocations.push(KeyRevocation { key, reason: reason.to_owned(), time: now });
        let left = keys_in_use(&content, now).any(|(id, _)| self.receipt_path(id).exists());
        if !left {
            content.keys.push(self.new_receipt_key(now, randomness)?);
        }
        self.publish(content, &identity)
    }

    /// Lists images of enclaves. Returns the manifest with those that it listed already, which change
    /// nothing: where there are no others, there is no new version.
    pub(crate) fn measure<'a>(
        &self,
        images: &'a [Image],
        now: Timestamp,
    ) -> Result<(KeyManifest, Vec<&'a Image>), CliError> {
        let (identity, mut content, _lock) = self.next_version(now)?;
        let (before, mut known) = (content.enclave_measurements.len(), Vec::new());
        for image in images {
            let text = image.to_string();
            if content.enclave_measurements.contains(&text) {
                known.push(image);
            } else {
                content.enclave_measurements.push(text);
            }
        }
        let manifest = if content.enclave_measurements.len() > before {
            self.publish(content, &identity)?
        } else {
            self.manifest()?.1
        };
        Ok((manifest, known))
    }

    /// Reads the manifest.
    pub(crate) fn manifest(&self) -> Result<(Envelope, KeyManifest), CliError> {
        let path = self.manifest_path();
        if !path.exists() {
            let folder = self.folder.display();
            let message = format!("{folder}: there are no keys here; `assay key new` makes them");
            return Err(CliError::Input(message));
        }
        let bytes = files::read(&path, MAX_FILE)?;
        let wrong = |error: String| CliError::Input(format!("{}: {error}", path.display()));
        let envelope: Envelope = json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        let manifest = KeyManifest::open(&envelope).map_err(|e| wrong(e.to_string()))?;
        Ok((envelope, manifest))
    }

    /// Returns the id of the key that signs receipts: of those that are in use and whose file is
    /// here, the newest.
    pub(crate) fn current(&self, manifest: &KeyManifest, now: Timestamp) -> Option<KeyId> {
        keys_in_use(manifest.content(), now)
            .filter(|(id, _)| self.receipt_path(*id).exists())
            .max_by_key(|(_, key)| key.valid_from)
            .map(|(id, _)| id)
    }

    /// Reads the key that signs receipts.
    pub(crate) fn receipt_key(
        &self,
        manifest: &KeyManifest,
        now: Timestamp,
    ) -> Result<SigningKey, CliError> {
        let id = self.current(manifest, now).ok_or_else(|| {
            let newest = keys_in_use(manifest.content(), now).max_by_key(|(_, key)| key.valid_from);
            CliError::Input(match newest {
                Some((id, _)) => format!(
                    "{}: not here, and the manifest says that this key signs receipts",
                    self.receipt_path(id).display()
                ),
                None => format!(
                    "{}: no receipt key is in use at {now}: run `assay key rotate`",
                    self.manifest_path().display()
                ),
            })
        })?;
        let path = self.receipt_path(id);
        let key = read_secret(&path)?;
        if key.public().id() != id {
            let message =
                format!("{}: expected key {id}, got {}", path.display(), key.public().id());
            return Err(CliError::Input(message));
        }
        Ok(key)
    }

    /// Returns the file of a receipt key.
    pub(crate) fn receipt_path(&self, id: KeyId) -> PathBuf {
        let name: String = id.to_string().chars().take(16).collect();
        self.folder.join(format!("receipt-{name}.pem"))
    }

    fn new_receipt_key(
        &self,
        now: Timestamp,
        randomness: &dyn Randomness,
    ) -> Result<ManifestKey, CliError> {
        let key = SigningKey::generate(randomness).map_err(CliError::failed)?;
        write_secret(&self.receipt_path(key.public().id()), &key)?;
        Ok(ManifestKey {
            purpose: KeyPurpose::Receipt,
            public_key: key.public().as_der().to_vec(),
            valid_from: now,
            valid_to: now.plus(KEY_LIFE),
        })
    }

    fn identity(&self) -> Result<SigningKey, CliError> {
        read_secret(&self.identity_path())
    }

    /// Returns the identity, the content of the next manifest and the lock under which to make it.
    fn next_version(
        &self,
        now: Timestamp,
    ) -> Result<(SigningKey, ManifestContent, File), CliError> {
        let (_, manifest) = self.manifest()?;
        let path = self.identity_path();
        if !path.exists() {
            let folder = self.folder.display();
            return Err(CliError::Input(format!(
                "{} is not here, and only it can sign a new key manifest. Run this where it is \
                 kept, on a copy of {folder}/manifest.json, and bring manifest.json and the new \
                 receipt-….pem back to the gateway",
                path.display()
            )));
        }
        let lock = self.lock()?;
        let identity = self.identity()?;
        let (expected, got) = (manifest.content().operator, operator_of(&identity));
        if expected != got {
            let message = format!(
                "{}: this is another operator's identity: manifest.json is of {expected}, this is \
                 {got}",
                path.display()
            );
            return Err(CliError::Input(message));
        }
        // Read again: another process may have published before this one had the lock.
        let (envelope, manifest) = self.manifest()?;
        let mut content = manifest.content().clone();
        content.previous = Some(envelope.digest());
        content.version += 1;
        content.issued_at = now;
        Ok((identity, content, lock))
    }

    fn publish(
        &self,
        content: ManifestContent,
        identity: &SigningKey,
    ) -> Result<KeyManifest, CliError> {
        let envelope = KeyManifest::sign(content, identity).map_err(CliError::failed)?;
        // Nothing is published that cannot be read, as it could not be replaced either.
        let manifest = KeyManifest::open(&envelope).map_err(CliError::failed)?;
        let bytes = json::to_vec(&envelope).map_err(CliError::failed)?;
        files::replace(&self.manifest_path(), &bytes, Readers::Everybody)?;
        Ok(manifest)
    }

    /// Keeps other processes from changing the keys at the same time.
    fn lock(&self) -> Result<File, CliError> {
        let path = self.folder.join("lock");
        let file = File::create(&path).map_err(CliError::io(&path))?;
        file.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => {
                let folder = self.folder.display();
                CliError::Failed(format!("{folder}: another process is changing these keys"))
            }
            fs::TryLockError::Error(error) => CliError::Io(path, error),
        })?;
        Ok(file)
    }

    fn identity_path(&self) -> PathBuf {
        self.folder.join("identity.pem")
    }

    fn manifest_path(&self) -> PathBuf {
        self.folder.join("manifest.json")
    }
}

/// Reads a CAIP-10 account id: a network and an account on it.
pub(crate) fn settlement_address(text: &str) -> Result<SettlementAddress, CliError> {
    let wrong = || CliError::Input(format!("`{text}` is no CAIP-10 account, as eip155:8453:0x…"));
    let (network, account) = text.rsplit_once(':').ok_or_else(wrong)?;
    let network: Network = network.parse().map_err(|_| wrong())?;
    let account: Account = account.parse().map_err(|_| wrong())?;
    if network.evm_chain_id().is_some() {
        let address = money::address(account.as_str())?;
        money::refuse_development("--settlement", address, &network)?;
    }
    Ok(SettlementAddress { network, account })
}

/// The receipt keys that a manifest lists for this time and does not revoke.
fn keys_in_use(
    content: &ManifestContent,
    now: Timestamp,
) -> impl Iterator<Item = (KeyId, &ManifestKey)> {
    content
        .keys
        .iter()
        .filter(move |key| key.purpose == KeyPurpose::Receipt)
        .filter(move |key| key.valid_from <= now && now <= key.valid_to)
        .map(|key| (KeyId(Digest::of(&key.public_key)), key))
        .filter(|(id, _)| !content.revocations.iter().any(|revocation| revocation.key == *id))
}

fn operator_of(identity: &SigningKey) -> OperatorId {
    OperatorId(identity.public().id().0)
}

/// Writes a secret that only its owner can read, and never over another.
fn write_secret(path: &Path, key: &SigningKey) -> Result<(), CliError> {
    let pem = key.to_pem().map_err(CliError::failed)?;
    files::write_new(path, pem.as_bytes(), Readers::Owner)
}

fn read_secret(path: &Path) -> Result<SigningKey, CliError> {
    let pem = files::read_text(path, MAX_FILE)?;
    SigningKey::from_pem(&pem).map_err(|e| CliError::Input(format!("{}: {e}", path.display())))
}

#[cfg(test)]
mod tests;
