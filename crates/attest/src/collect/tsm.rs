//! Reports by the kernel's configfs interface for TDX and SEV-SNP guests (Linux
//! `Documentation/ABI/testing/configfs-tsm-report`).

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use assay_primitives::printable;

use super::{Attester, CollectError};
use crate::{Evidence, KeyBinding};

/// Where the kernel has it.
const FOLDER: &str = "/sys/kernel/config/tsm/report";
/// The most bytes of a report or its certificates: what the kernel has room for.
const MAX_BLOB: u64 = 32 << 10;
/// How often a report is asked for again because somebody else changed what it is about.
const ATTEMPTS: u32 = 3;

/// The GUIDs of a table's entries, and where their certificates stand in a chain.
const CERTIFICATES: [([u8; 16], usize); 4] = [
    // VCEK: 63da758d-e664-4564-adc5-f4b93be8accd
    (guid(0x63da_758d_e664_4564_adc5_f4b9_3be8_accd), 0),
    // VLEK: a8074bc2-a25a-483e-aae6-39c045a0b8a1
    (guid(0xa807_4bc2_a25a_483e_aae6_39c0_45a0_b8a1), 0),
    // ASK: 4ab7b379-bbac-4fe4-a02f-05aef327c782
    (guid(0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782), 1),
    // ARK: c0b406a4-a803-4952-9743-3fb6014cd0ae
    (guid(0xc0b4_06a4_a803_4952_9743_3fb6_014c_d0ae), 2),
];

/// A TDX or SEV-SNP guest that asks its kernel.
#[derive(Clone, Debug)]
pub struct Tsm {
    folder: PathBuf,
}

/// What the kernel gave.
#[derive(Debug)]
struct Report {
    provider: String,
    report: Vec<u8>,
    auxiliary: Vec<u8>,
}

impl Tsm {
    /// Looks for the kernel's interface.
    ///
    /// # Errors
    /// When this kernel or machine has none.
    pub fn open() -> Result<Self, CollectError> {
        Self::in_folder(Path::new(FOLDER))
    }

    fn in_folder(folder: &Path) -> Result<Self, CollectError> {
        if !folder.is_dir() {
            let what = "TDX or SEV-SNP guest (configfs-tsm)";
            return Err(CollectError::Missing { what, path: folder.to_path_buf() });
        }
        Ok(Self { folder: folder.to_path_buf() })
    }

    /// Asks for a report in an entry of one's own, which is removed again.
    fn report(&self, user_data: &[u8; 64]) -> Result<Report, CollectError> {
        let entry = self.folder.join(format!("assay-{}", std::process::id()));
        let failed = |error| CollectError::Device { path: entry.clone(), error };
        match fs::create_dir(&entry) {
            // Left by a process before that had this number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(failed)?,
        }
        let report = read_report(&entry, user_data);
        let removed = fs::remove_dir(&entry).map_err(failed);
        let report = report?;
        removed?;
        Ok(report)
    }
}

impl Attester for Tsm {
    fn attest(&self, binding: &KeyBinding) -> Result<Evidence, CollectError> {
        let Report { provider, report, auxiliary } = self.report(&binding.digest())?;
        match provider.as_str() {
            "sev_guest" => {
                let certificates = certificate_table(&auxiliary)?;
                Ok(Evidence::Snp { report, certificates })
            }
            _ => Err(CollectError::Answer {
                device: "configfs-tsm",
                expected: "provider `tdx_guest` or `sev_guest`".to_owned(),
                got: format!("`{}`", printable(&provider, 64)),
            }),
        }
    }
}

fn read_report(entry: &Path, user_data: &[u8; 64]) -> Result<Report, CollectError> {
    let mut attempt = 1;
    loop {
        let before = generation(entry)?;
        let inblob = entry.join("inblob");
        fs::write(&inblob, user_data)
            .map_err(|error| CollectError::Device { path: inblob.clone(), error })?;
        let report = read(&entry.join("outblob"))?;
        let auxiliary = match read(&entry.join("auxblob")) {
            Err(CollectError::Device { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                Vec::new()
            }
            other => other?,
        };
        let provider = String::from_utf8_lossy(&read(&entry.join("provider"))?).trim().to_owned();
        // One write, and so one generation, was this process's own.
        let after = generation(entry)?;
        if before.wrapping_add(1) == after {
            return Ok(Report { provider, report, auxiliary });
        }
        if attempt == ATTEMPTS {
            return Err(CollectError::Answer {
                device: "configfs-tsm",
                expected: format!("generation {}", before.wrapping_add(1)),
                got: after.to_string(),
            });
        }
        attempt += 1;
    }
}

fn generation(entry: &Path) -> Result<u64, CollectError> {
    let bytes = read(&entry.join("generation"))?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    text.parse().map_err(|_| CollectError::Answer {
        device: "configfs-tsm",
        expected: "a generation".to_owned(),
        got: format!("`{text}`"),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CollectError> {
    let failed = |error| CollectError::Device { path: path.to_path_buf(), error };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_BLOB + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BLOB {
        return Err(CollectError::Answer {
            device: "configfs-tsm",
            expected: format!("at most {MAX_BLOB} bytes"),
            got: bytes.len().to_string(),
        });
    }
    Ok(bytes)
}

/// Returns the certificates of the table that the host may give with a report (AMD 56421 section
/// 4.1.8.1): of the VCEK or VLEK, the ASK or ASVK, and the ARK. Empty if it gave none.
fn certificate_table(table: &[u8]) -> Result<Vec<Vec<u8>>, CollectError> {
    let mut found: [Option<Vec<u8>>; 3] = [None, None, None];
    let wrong = |got: String| CollectError::Answer {
        device: "configfs-tsm",
        expected: "a table of certificates".to_owned(),
        got,
    };
    let (entries, _) = table.as_chunks::<24>();
    for entry in entries {
        let Some((guid, place)) = entry.split_first_chunk::<16>() else { continue };
        if *guid == [0; 16] {
            break;
        }
        let number = |at: usize| {
            let bytes = place.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize
        };
        let (offset, length) = (number(0), number(4));
        let content = offset.checked_add(length).and_then(|end| table.get(offset..end));
        let content = content.ok_or_else(|| wrong(format!("{length} bytes at {offset}")))?;
        let kind = CERTIFICATES.iter().find(|(known, _)| known == guid);
        if let Some(slot) = kind.and_then(|(_, slot)| found.get_mut(*slot)) {
            *slot = Some(content.to_vec());
        }
    }
    Ok(found.into_iter().flatten().collect())
}

/// Returns a GUID's bytes in their order on the wire (RFC 4122 section 4.1.2).
const fn guid(number: u128) -> [u8; 16] {
    number.to_be_bytes()
}
