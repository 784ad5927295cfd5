//! The operator's keys: the manifest holds, a receipt key can sign for a while, secrets are secret.

use std::path::{Path, PathBuf};

use assay_receipt::KeyPurpose;
use assay_service::Operator;

use super::super::serve::ROTATE_SOON;
use super::Patient;
use super::report::Report;
use crate::error::CliError;
use crate::keys::KeyFolder;

/// How a receipt key is made and brought where it signs.
const ROTATE: &str = "run `assay key rotate` where identity.pem is, bring manifest.json and the new \
                      receipt-….pem here, and restart the gateway";

pub(super) fn operator(patient: &mut Patient, report: &mut Report) {
    let config = &patient.config;
    let folder = config.keys.folder.clone();
    if folder.is_none() && patient.is_real() {
        let mend = "keys.folder (ASSAY_KEYS): the folder that `assay key new` made";
        return report.wrong("keys", "none are set, and the money is real", mend);
    }
    let keys = KeyFolder::new(folder.as_deref().unwrap_or(&config.data.join("keys")));
    if folder.is_none() && !keys.exists() {
        return report.ok("keys", "made at the first start, as on a development chain");
    }
    let (envelope, manifest) = match keys.manifest() {
        Ok(found) => found,
        Err(error) => {
            let mend = "bring manifest.json here from where identity.pem is";
            return report.wrong("keys", error.to_string(), mend);
        }
    };
    let content = manifest.content();
    let operator: String = content.operator.to_string().chars().take(16).collect();
    report.ok("keys", format!("version {} of the manifest of {operator}…", content.version));
    let now = patient.clock.now();
    let signs = keys
        .receipt_key(&manifest, now)
        .and_then(|key| Operator::new(envelope, key, now).map_err(CliError::input));
    match signs {
        Err(error) => report.wrong("receipt key", error.to_string(), ROTATE),
        Ok(operator) => {
            let id = operator.receipt_key().public().id();
            let until = operator.manifest().key(id, KeyPurpose::Receipt).map(|key| key.valid_to);
            let until = until.unwrap_or(now);
            let id: String = id.to_string().chars().take(16).collect();
            let found = format!("{id}… signs until {until}");
            if until < now.plus(ROTATE_SOON) {
                report.warning("receipt key", found, ROTATE);
            } else {
                report.ok("receipt key", found);
            }
        }
    }
    patient.manifest = Some(manifest);
    secrets(patient, report);
}

/// Looks at the modes of every file with a secret.
fn secrets(patient: &Patient, report: &mut Report) {
    let config = &patient.config;
    let folder = config.keys.folder.clone().unwrap_or_else(|| config.data.join("keys"));
    let pems = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = pems
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "pem"))
        .collect();
    files.sort();
    files.extend(config.payment.settlement_key_file.clone());
    files.extend(config.payment.facilitator_token_file.clone());
    let open: Vec<String> =
        files.iter().filter(|path| is_open(path)).map(|path| path.display().to_string()).collect();
    if open.is_empty() {
        report.ok("secrets", "only their owner can read them");
    } else {
        let open = open.join(" ");
        let found = format!("others can read {open}");
        report.wrong("secrets", found, format!("chmod 600 {open}, and think of new keys"));
    }
    if patient.is_real() && folder.join("identity.pem").exists() {
        report.warning(
            "identity",
            format!("{} is where the gateway is", folder.join("identity.pem").display()),
            "keep it offline: the gateway does not need it, and whoever has it is the operator",
        );
    }
}

#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}
