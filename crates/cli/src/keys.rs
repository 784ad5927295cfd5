//! An operator's keys in a folder: `identity.pem` (to be kept offline), `receipt.pem`, and
//! `manifest.json`, the signed list of the public ones.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_primitives::{Account, KeyId, Network, Randomness, Timestamp, json};
use assay_receipt::{
    Envelope, KeyManifest, KeyPurpose, KeyRevocation, ManifestContent, ManifestKey,
    SettlementAddress, SigningKey,
};

use crate::error::CliError;

/// How long a receipt key is used.
const KEY_LIFE: Duration = Duration::from_secs(365 * 86_400);

/// The keys of a folder.
pub(crate) struct KeyFolder {
    folder: PathBuf,
}

/// What makes a first manifest.
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
        fs::create_dir_all(&self.folder).map_err(|e| CliError::Io(self.folder.clone(), e))?;
        let identity = SigningKey::generate(randomness).map_err(CliError::failed)?;
        let receipt = SigningKey::generate(randomness).map_err(CliError::failed)?;
        write_secret(&self.identity_path(), &identity)?;
        write_secret(&self.receipt_path(), &receipt)?;
        let content = ManifestContent {
            operator: assay_primitives::OperatorId(identity.public().id().0),
            identity_key: identity.public().as_der().to_vec(),
            version: 1,
            previous: None,
            issued_at: now,
            keys: vec![receipt_entry(&receipt, now)],
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
        let identity = self.identity()?;
        let receipt = SigningKey::generate(randomness).map_err(CliError::failed)?;
        let mut content = self.next_version(now)?;
        for key in &mut content.keys {
            if key.purpose == KeyPurpose::Receipt && key.valid_to > now {
                key.valid_to = now;
            }
        }
        content.keys.push(receipt_entry(&receipt, now));
        let old = self.receipt_path();
        let kept = self.folder.join(format!("receipt-before-version-{}.pem", content.version));
        fs::rename(&old, &kept).map_err(|error| CliError::Io(old, error))?;
        write_secret(&self.receipt_path(), &receipt)?;
        self.publish(content, &identity)
    }

    /// Revokes a key.
    pub(crate) fn revoke(
        &self,
        key: KeyId,
        reason: &str,
        now: Timestamp,
    ) -> Result<KeyManifest, CliError> {
        let identity = self.identity()?;
        let manifest = self.manifest()?.1;
        if manifest.key(key, KeyPurpose::Receipt).is_none() {
            return Err(CliError::Input(format!("key {key} is not in the key manifest")));
        }
        if manifest.revocation(key).is_some() {
            return Err(CliError::Input(format!("key {key} is revoked already")));
        }
        let mut content = self.next_version(now)?;
        content.revocations.push(KeyRevocation { key, reason: reason.to_owned(), time: now });
        self.publish(content, &identity)
    }

    /// Reads the manifest.
    pub(crate) fn manifest(&self) -> Result<(Envelope, KeyManifest), CliError> {
        let path = self.manifest_path();
        let bytes = fs::read(&path).map_err(|error| CliError::Io(path.clone(), error))?;
        let wrong = |error: String| CliError::Input(format!("{}: {error}", path.display()));
        let envelope: Envelope = json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        let manifest = KeyManifest::open(&envelope).map_err(|e| wrong(e.to_string()))?;
        Ok((envelope, manifest))
    }

    /// Reads the key that signs receipts.
    pub(crate) fn receipt_key(&self) -> Result<SigningKey, CliError> {
        read_secret(&self.receipt_path())
    }

    fn identity(&self) -> Result<SigningKey, CliError> {
        read_secret(&self.identity_path())
    }

    fn next_version(&self, now: Timestamp) -> Result<ManifestContent, CliError> {
        let (envelope, manifest) = self.manifest()?;
        let mut content = manifest.content().clone();
        content.previous = Some(envelope.digest());
        content.version += 1;
        content.issued_at = now;
        Ok(content)
    }

    fn publish(
        &self,
        content: ManifestContent,
        identity: &SigningKey,
    ) -> Result<KeyManifest, CliError> {
        let envelope = KeyManifest::sign(content, identity).map_err(CliError::failed)?;
        let bytes = json::to_vec(&envelope).map_err(CliError::failed)?;
        // Whole or not at all: a half-written manifest would stop the gateway.
        let (path, draft) = (self.manifest_path(), self.folder.join("manifest.json.new"));
        fs::write(&draft, bytes).map_err(|error| CliError::Io(draft.clone(), error))?;
        fs::rename(&draft, &path).map_err(|error| CliError::Io(path, error))?;
        KeyManifest::open(&envelope).map_err(CliError::failed)
    }

    fn identity_path(&self) -> PathBuf {
        self.folder.join("identity.pem")
    }

    fn receipt_path(&self) -> PathBuf {
        self.folder.join("receipt.pem")
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
        account.as_str().parse::<assay_chain::Address>().map_err(|_| wrong())?;
    }
    Ok(SettlementAddress { network, account })
}

fn receipt_entry(key: &SigningKey, now: Timestamp) -> ManifestKey {
    ManifestKey {
        purpose: KeyPurpose::Receipt,
        public_key: key.public().as_der().to_vec(),
        valid_from: now,
        valid_to: now.plus(KEY_LIFE),
    }
}

/// Writes a secret that only its owner can read, and never over another.
fn write_secret(path: &Path, key: &SigningKey) -> Result<(), CliError> {
    let pem = key.to_pem().map_err(CliError::failed)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(pem.as_bytes()));
    written.map_err(|error| CliError::Io(path.to_path_buf(), error))
}

fn read_secret(path: &Path) -> Result<SigningKey, CliError> {
    let pem = fs::read_to_string(path).map_err(|error| CliError::Io(path.to_path_buf(), error))?;
    SigningKey::from_pem(&pem).map_err(|e| CliError::Input(format!("{}: {e}", path.display())))
}
