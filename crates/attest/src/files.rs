//! Evidence from files, as tools leave them: raw or in text, and in any order.

mod chain;
mod pcrs;
mod text;

use thiserror::Error;

use self::chain::Pool;
pub(crate) use self::pcrs::read as pcrs;
pub(crate) use self::text::{from_base64, has_pem, public_key, unwrapped};
use crate::tpm::{self, AttestationKey};
use crate::{Collateral, Evidence, EvidenceKind, Pcr, Refusal};

/// The most bytes of a file.
const MAX_FILE: usize = 1 << 20;

/// The contents of files that evidence is put together from. Which is which is told by what is in them.
#[derive(Clone, Debug, Default)]
pub struct Files<'a> {
    /// The evidence, raw or in hexadecimal or base64, and certificates in PEM or DER.
    pub files: &'a [Vec<u8>],
    /// Intel's collateral, for evidence of TDX and SGX.
    pub collateral: Option<Collateral>,
    /// Azure's HCL report, for the quote of a virtual TPM.
    pub hcl_report: Option<Vec<u8>>,
}

/// Files that make up no evidence.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum FilesError {
    /// A file is not one of those that are needed.
    #[error("file {}: {what}", .at + 1)]
    Unusable {
        /// Which, from 0.
        at: usize,
        /// Why.
        what: String,
    },
    /// A file is needed that is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
}

impl Evidence {
    /// Puts evidence of a kind together from files. Nothing is verified.
    ///
    /// # Errors
    /// Names the file that is none of those that the kind needs, or what is missing.
    pub fn from_files(kind: EvidenceKind, from: Files<'_>) -> Result<Self, FilesError> {
        match kind {
            EvidenceKind::Nitro => {
                let document = the_one(from.files, "the attestation document")?;
                Ok(Self::Nitro { document })
            }
            EvidenceKind::Tdx => {
                let quote = the_one(from.files, "the quote")?;
                Ok(Self::Tdx { quote, collateral: collateral(from.collateral)? })
            }
            EvidenceKind::Sgx => {
                let quote = the_one(from.files, "the quote")?;
                Ok(Self::Sgx { quote, collateral: collateral(from.collateral)? })
            }
            EvidenceKind::Snp => {
                let (report, pool) = with_certificates(from.files, "the report")?;
                Ok(Self::Snp { report, certificates: pool.of_amd()? })
            }
            EvidenceKind::Nvidia => {
                let (report, pool) = with_certificates(from.files, "the report")?;
                let certificates = pool.chain();
                if certificates.is_empty() {
                    return Err(FilesError::Missing("the certificate of the GPU"));
                }
                Ok(Self::Nvidia { report, certificates })
            }
            EvidenceKind::Tpm => of_tpm(from),
        }
    }
}

fn collateral(collateral: Option<Collateral>) -> Result<Box<Collateral>, FilesError> {
    collateral.map(Box::new).ok_or(FilesError::Missing("the collateral"))
}

fn the_one(files: &[Vec<u8>], what: &'static str) -> Result<Vec<u8>, FilesError> {
    match files {
        [] => Err(FilesError::Missing(what)),
        [file] => Ok(unwrapped(file).0.into_owned()),
        [_, _, ..] => Err(unusable(1, format!("expected {what} alone, got {} files", files.len()))),
    }
}

/// Tells the certificates of files from the one that has none.
fn with_certificates(files: &[Vec<u8>], what: &'static str) -> Result<(Vec<u8>, Pool), FilesError> {
    let mut pool = Pool::default();
    let mut found = None;
    for (at, file) in files.iter().enumerate() {
        if pool.add(at, file)? {
            continue;
        }
        if found.replace(unwrapped(file).0.into_owned()).is_some() {
            return Err(unusable(at, format!("neither certificates nor {what}, which was found")));
        }
    }
    Ok((found.ok_or(FilesError::Missing(what))?, pool))
}

/// What the files of a TPM's quote are.
#[derive(Default)]
struct OfTpm {
    quote: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
    values: Option<Vec<Pcr>>,
    public_key: Option<Vec<u8>>,
    /// The TDX quote of the machine that the TPM belongs to.
    td_quote: Option<Vec<u8>>,
    pool: Pool,
    /// Files that the quote alone can tell what they are.
    others: Vec<(usize, Vec<u8>)>,
}

impl OfTpm {
    fn add(&mut self, at: usize, file: &[u8]) -> Result<(), FilesError> {
        if self.pool.add(at, file)? {
            return Ok(());
        }
        let (bytes, _) = unwrapped(file);
        let (what, is_new) = if let Some(key) = public_key(file) {
            ("a public key", self.public_key.replace(key).is_none())
        } else if bytes.starts_with(tpm::MAGIC) {
            ("a quote", self.quote.replace(bytes.into_owned()).is_none())
        } else if tpm::is_signature(&bytes) {
            ("a signature", self.signature.replace(bytes.into_owned()).is_none())
        } else if matches!(*bytes, [4 | 5, 0, 2, 0, 0x81, 0, 0, 0, ..]) {
            ("a TDX quote", self.td_quote.replace(bytes.into_owned()).is_none())
        } else if let Some(values) = pcrs(&bytes) {
            ("values of PCRs", self.values.replace(values).is_none())
        } else {
            self.others.push((at, bytes.into_owned()));
            return Ok(());
        };
        if is_new {
            Ok(())
        } else {
            Err(unusable(at, format!("{what}, of which there is another")))
        }
    }

    /// Returns the values of the PCRs that the quote is of.
    fn values(&mut self, quote: &[u8]) -> Result<Vec<Pcr>, FilesError> {
        let selected = tpm::selected(quote);
        for (at, bytes) in std::mem::take(&mut self.others) {
            let values = pcrs::bare(&bytes, &selected).filter(|_| self.values.is_none());
            let what = "neither a quote, its signature, values of its PCRs, nor certificates";
            self.values = Some(values.ok_or_else(|| unusable(at, what))?);
        }
        let values = self
            .values
            .take()
            .ok_or(FilesError::Missing("the file with the values of the PCRs"))?;
        Ok(pcrs::selected(values, &selected))
    }
}

fn of_tpm(from: Files<'_>) -> Result<Evidence, FilesError> {
    let mut of = OfTpm::default();
    for (at, file) in from.files.iter().enumerate() {
        of.add(at, file)?;
    }
    let quote = of.quote.take().ok_or(FilesError::Missing("the quote (TPMS_ATTEST)"))?;
    let pcrs = of.values(&quote)?;
    let signature = of.signature.ok_or(FilesError::Missing("the signature (TPMT_SIGNATURE)"))?;
    let Some(hcl_report) = from.hcl_report else {
        let ak = match (of.pool.is_empty(), of.public_key) {
            (true, None) => {
                return Err(FilesError::Missing("the certificate of the attestation key"));
            }
            (true, Some(key)) => AttestationKey::PublicKey(key),
            (false, _) => AttestationKey::Certificates(of.pool.chain()),
        };
        return Ok(Evidence::Tpm { quote, signature, pcrs, ak });
    };
    let (hcl_report, _) = unwrapped(&hcl_report);
    let hardware = match of.td_quote {
        Some(quote) => Evidence::Tdx { quote, collateral: collateral(from.collateral)? },
        None => Evidence::Snp {
            report: tpm::hardware_report(&hcl_report).to_vec(),
            certificates: of.pool.of_amd()?,
        },
    };
    let (hcl_report, hardware) = (hcl_report.into_owned(), Box::new(hardware));
    Ok(Evidence::AzureVtpm { hcl_report, quote, signature, pcrs, hardware })
}

fn unusable(at: usize, what: impl std::fmt::Display) -> FilesError {
    FilesError::Unusable { at, what: assay_primitives::printable(&what.to_string(), 256) }
}

fn refused(at: usize, refusal: &Refusal) -> FilesError {
    unusable(at, refusal)
}

#[cfg(test)]
mod tests;
