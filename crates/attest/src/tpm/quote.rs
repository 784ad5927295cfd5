//! TPMS_ATTEST with a TPMS_QUOTE_INFO (TPM 2.0 library, part 2, sections 10.12.8 and 10.12.1).

use assay_primitives::encoding;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::reader::Reader;
use crate::refusal::Checks;
use crate::{Check, Refusal};

/// TPM_GENERATED_VALUE: a restricted key signs nothing from outside that starts with it, so what does
/// was made by the TPM.
pub(crate) const MAGIC: &[u8; 4] = &[0xff, b'T', b'C', b'G'];
/// TPM_ST_ATTEST_QUOTE.
const QUOTE: u16 = 0x8018;
/// The most bytes of a name: TPMI_ALG_HASH and SHA-512.
const MAX_NAME: usize = 66;
/// The most bytes of TPM2B_DATA: a TPMT_HA of SHA-512.
const MAX_DATA: usize = 66;
/// The most banks that are selected.
const MAX_SELECTIONS: u32 = 3;
/// The most bytes of a bitmap of PCRs.
const MAX_BITMAP: u8 = 4;

/// A hash algorithm of a TPM: of a bank of PCRs, of a signature.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TpmHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl TpmHash {
    /// Returns the algorithm of a TPM_ALG_ID. SHA-1, which some TPMs have, is not accepted.
    pub(crate) fn from_id(id: u16, what: &str) -> Result<Self, Refusal> {
        match id {
            0x000b => Ok(Self::Sha256),
            0x000c => Ok(Self::Sha384),
            0x000d => Ok(Self::Sha512),
            _ => {
                let expected = format!("SHA-256, SHA-384 or SHA-512 for {what}");
                let got = format!("TPM_ALG_ID {id:#06x}");
                Err(Refusal::new(Check::EvidenceAlgorithm, expected, got))
            }
        }
    }

    /// Returns the name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Returns how many bytes a digest has.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    pub(crate) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

/// What a quote says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Quote<'a> {
    /// The qualified name of the key that signed.
    pub(crate) qualified_signer: &'a [u8],
    /// What the caller had signed with it.
    pub(crate) extra_data: &'a [u8],
    /// Milliseconds that the TPM has been powered.
    pub(crate) clock: u64,
    /// How often the TPM was reset.
    pub(crate) reset_count: u32,
    /// How often it was restarted since.
    pub(crate) restart_count: u32,
    /// Whether no greater clock was ever reported.
    pub(crate) safe: bool,
    /// The version of the firmware, as the vendor counts.
    pub(crate) firmware_version: u64,
    /// Which PCRs are quoted, in the order in which they are hashed.
    pub(crate) selected: Vec<(TpmHash, u8)>,
    /// The digest of their values.
    pub(crate) pcr_digest: &'a [u8],
}

impl<'a> Quote<'a> {
    /// Reads a quote to its last byte.
    pub(crate) fn parse(bytes: &'a [u8], checks: Checks) -> Result<Self, Refusal> {
        let mut reader = Reader::new(bytes);
        let magic: [u8; 4] = reader.array("magic")?;
        let expected = format!("{}, with which what a TPM made starts", encoding::hex(MAGIC));
        let (is_made_by_tpm, got) = (magic == *MAGIC, encoding::hex(&magic));
        checks.require(Check::EvidenceEncoding, is_made_by_tpm, expected, got)?;
        let kind = reader.u16_be("type")?;
        let expected = format!("a quote, {QUOTE:#06x}");
        checks.require(Check::EvidenceEncoding, kind == QUOTE, expected, format!("{kind:#06x}"))?;
        let quote = Self {
            qualified_signer: reader.sized(MAX_NAME, "qualifiedSigner")?,
            extra_data: reader.sized(MAX_DATA, "extraData")?,
            clock: reader.u64_be("clock")?,
            reset_count: reader.u32_be("resetCount")?,
            restart_count: reader.u32_be("restartCount")?,
            safe: yes_no(reader.u8("safe")?)?,
            firmware_version: reader.u64_be("firmwareVersion")?,
            selected: selected(&mut reader)?,
            pcr_digest: reader.sized(TpmHash::Sha512.size(), "pcrDigest")?,
        };
        reader.finish("the quote")?;
        Ok(quote)
    }
}

fn yes_no(byte: u8) -> Result<bool, Refusal> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Refusal::new(Check::EvidenceEncoding, "0 or 1 for safe", byte)),
    }
}

/// Reads a TPML_PCR_SELECTION (sections 10.9.7 and 10.6.2): in each bank, bit 0 of byte 0 is PCR 0.
fn selected(reader: &mut Reader<'_>) -> Result<Vec<(TpmHash, u8)>, Refusal> {
    let wrong =
        |expected: String, got: String| Err(Refusal::new(Check::EvidenceEncoding, expected, got));
    let count = reader.u32_be("pcrSelect")?;
    if count > MAX_SELECTIONS {
        return wrong(format!("at most {MAX_SELECTIONS} banks"), count.to_string());
    }
    let mut banks = Vec::new();
    let mut selected = Vec::new();
    for _ in 0..count {
        let bank = TpmHash::from_id(reader.u16_be("bank")?, "a bank of PCRs")?;
        if banks.contains(&bank) {
            return wrong("each bank once".to_owned(), bank.as_str().to_owned());
        }
        banks.push(bank);
        let size = reader.u8("sizeofSelect")?;
        if size > MAX_BITMAP {
            return wrong(format!("at most {MAX_BITMAP} bytes of PCRs"), size.to_string());
        }
        let mut index = 0;
        for byte in reader.take(usize::from(size), "pcrSelect")? {
            for bit in 0..8 {
                if byte & (1 << bit) != 0 {
                    selected.push((bank, index));
                }
                index += 1;
            }
        }
    }
    Ok(selected)
}
