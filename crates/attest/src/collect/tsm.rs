//! Reports by the kernel's configfs interface for TDX and SEV-SNP guests (Linux
//! `Documentation/ABI/testing/configfs-tsm-report`).

mod configfs;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use assay_primitives::printable;

use self::configfs::{ConfigFs, Kernel, Report};
use self::table::certificate_table;
use super::{Attester, CollectError};
use crate::{Collateral, Evidence, KeyBinding};

/// Where the kernel has it.
const FOLDER: &str = "/sys/kernel/config/tsm/report";
/// What errors call it.
const DEVICE: &str = "configfs-tsm";
/// The certificates of an SEV-SNP report: of the VCEK or VLEK, the ASK or ASVK, the ARK.
const SNP_CERTIFICATES: usize = 3;
/// The most bytes of the file with Intel's collateral.
const MAX_COLLATERAL: u64 = 1 << 20;

/// A TDX or SEV-SNP guest that asks its kernel.
#[derive(Clone, Debug)]
pub struct Tsm {
    kernel: Arc<dyn ConfigFs>,
    certificates: Vec<Vec<u8>>,
    collateral: Option<PathBuf>,
}

impl Tsm {
    /// Looks for the kernel's interface.
    ///
    /// # Errors
    /// When this kernel or machine has none.
    pub fn open() -> Result<Self, CollectError> {
        let folder = Path::new(FOLDER);
        if !folder.is_dir() {
            let what = "TDX or SEV-SNP guest (configfs-tsm)";
            return Err(CollectError::Missing { what, path: folder.to_path_buf() });
        }
        Ok(Self::over(Arc::new(Kernel::at(folder))))
    }

    fn over(kernel: Arc<dyn ConfigFs>) -> Self {
        Self { kernel, certificates: Vec::new(), collateral: None }
    }

    /// Adds the certificates of an SEV-SNP machine, for a host that gives none with a report: of the
    /// VCEK or VLEK, the ASK or ASVK, and the ARK.
    #[must_use]
    pub fn with_certificates(mut self, certificates: Vec<Vec<u8>>) -> Self {
        self.certificates = certificates;
        self
    }

    /// Names the file with what Intel says of a TDX machine, as [`Collateral::from_json`] reads it. It
    /// is read for each evidence anew, as it expires within a month.
    #[must_use]
    pub fn with_collateral(mut self, path: PathBuf) -> Self {
        self.collateral = Some(path);
        self
    }

    fn snp(&self, report: Vec<u8>, table: &[u8]) -> Result<Evidence, CollectError> {
        let mut certificates = certificate_table(table)?;
        if certificates.len() < SNP_CERTIFICATES {
            let given = self.certificates.len();
            if given != SNP_CERTIFICATES {
                return Err(CollectError::Certificates {
                    device: "SEV-SNP guest",
                    expected: "those of the VCEK or VLEK, the ASK or ASVK, and the ARK".to_owned(),
                    got: format!("{} from the host, {given} in a file", certificates.len()),
                });
            }
            certificates.clone_from(&self.certificates);
        }
        Ok(Evidence::Snp { report, certificates })
    }

    fn tdx(&self, quote: Vec<u8>) -> Result<Evidence, CollectError> {
        let Some(path) = &self.collateral else {
            return Err(CollectError::Answer {
                device: DEVICE,
                expected: "a file with Intel's collateral, which a TDX quote needs".to_owned(),
                got: "none".to_owned(),
            });
        };
        let json = configfs::read_file(path, MAX_COLLATERAL)?;
        let collateral = Collateral::from_json(&json).map_err(|refusal| CollectError::Device {
            path: path.clone(),
            error: std::io::Error::new(std::io::ErrorKind::InvalidData, refusal),
        })?;
        Ok(Evidence::Tdx { quote, collateral: Box::new(collateral) })
    }
}

impl Attester for Tsm {
    fn attest(&self, binding: &KeyBinding) -> Result<Evidence, CollectError> {
        let Report { provider, report, auxiliary } =
            configfs::report(self.kernel.as_ref(), &binding.digest())?;
        match provider.as_str() {
            "sev_guest" => self.snp(report, &auxiliary),
            "tdx_guest" => self.tdx(report),
            _ => Err(CollectError::Answer {
                device: DEVICE,
                expected: "provider `tdx_guest` or `sev_guest`".to_owned(),
                got: format!("`{}`", printable(&provider, 64)),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
