//! Images of enclaves that an operator stands by, as its key manifest lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use assay_primitives::{encoding, printable};
use thiserror::Error;

use crate::{Claims, EvidenceKind};

/// The most characters of an image.
const MAX_TEXT: usize = 4_096;
/// The most bytes of a measurement: those of SHA-512.
const MAX_VALUE: usize = 64;
/// The most characters of a wrong text that are repeated.
const MAX_SHOWN: usize = 64;
/// How many images a refusal names.
const MAX_NAMED: usize = 4;
/// One more than the highest index of a PCR, and of a GPU's measurement.
const PCRS: u8 = 32;
const GPU_MEASUREMENTS: u8 = 254;

/// What of a TD is its code: the firmware, its configuration, the kernel, what that was started with,
/// and what it added.
const TD_CODE: &[&str] = &["mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"];
const TD: &[&str] = &[
    "mrconfigid",
    "mrowner",
    "mrownerconfig",
    "mrseam",
    "mrsignerseam",
    "seamattributes",
    "tdattributes",
    "xfam",
    "mrservicetd",
];
const SGX: &[&str] = &["mrenclave", "mrsigner", "isvprodid", "isvsvn", "attributes"];
const SNP: &[&str] =
    &["measurement", "host_data", "id_key_digest", "author_key_digest", "family_id", "image_id"];

/// An image of an enclave: the kind of its evidence, and measurements by their names. Its one text is
/// `KIND:NAME=HEX[,NAME=HEX...]`, as `nitro:pcr0=17bf8f…,pcr1=0001…`: kind and names are those of
/// policies, names are in ascending order, each once, and values in lower-case hexadecimal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    kind: EvidenceKind,
    measurements: BTreeMap<String, Vec<u8>>,
}

/// A text that is not the one of an image.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("enclave image: expected {expected}, got {got}")]
pub struct ImageError {
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub got: String,
}

/// The images that an operator stands by.
#[derive(Clone, Debug, Default)]
pub struct Images {
    /// Those that can be read.
    all: Vec<Image>,
    /// Whether any is listed, one that cannot be read included.
    is_any_listed: bool,
}

/// Evidence of an enclave whose operator lists images, and not this one.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("enclave image: expected {expected}, got {got}")]
pub struct UnlistedImage {
    /// The newest images of the evidence's kind in the list.
    pub expected: String,
    /// What the evidence has of what these name.
    pub got: String,
}

impl Image {
    /// Returns the image that evidence shows: of what was measured, what identifies the code that was
    /// loaded. Names of it may be left out of what is published, and others added. None for evidence
    /// of a debug mode, and of GPUs.
    #[must_use]
    pub fn of(claims: &Claims) -> Option<Self> {
        if claims.debug {
            return None;
        }
        Self::with(claims, |name| is_code(claims.kind, name))
    }

    /// Returns the measurements of claims that are named.
    fn with(claims: &Claims, is_named: impl Fn(&str) -> bool) -> Option<Self> {
        let named = claims.measurements.iter().filter(|measurement| is_named(&measurement.name));
        let measurements: BTreeMap<_, _> =
            named.map(|named| (named.name.clone(), named.value.clone())).collect();
        let kind = claims.kind;
        (!measurements.is_empty()).then_some(Self { kind, measurements })
    }

    /// Says whether evidence is of this image: all that it names is the same.
    #[must_use]
    pub fn matches(&self, claims: &Claims) -> bool {
        let same = |(name, value): (&String, &Vec<u8>)| {
            claims.measurement(name).is_some_and(|got| got == value)
        };
        self.kind == claims.kind && self.measurements.iter().all(same)
    }
}

impl Images {
    /// Reads the list of a key manifest. A text that cannot be read is no image that anything matches,
    /// and stands in the list all the same.
    #[must_use]
    pub fn from_texts(texts: &[String]) -> Self {
        let all = texts.iter().filter_map(|text| text.parse().ok()).collect();
        Self { all, is_any_listed: !texts.is_empty() }
    }

    /// Finds the image that evidence is of; none where none is listed at all.
    ///
    /// # Errors
    /// When images are listed, and the evidence is of none of them.
    pub fn find(&self, claims: &Claims) -> Result<Option<&Image>, UnlistedImage> {
        match self.all.iter().find(|image| image.matches(claims)) {
            None if !self.is_any_listed => Ok(None),
            None => Err(self.unlisted(claims)),
            found => Ok(found),
        }
    }

    fn unlisted(&self, claims: &Claims) -> UnlistedImage {
        let of_kind = self.all.iter().rev().filter(|image| image.kind == claims.kind);
        let newest: Vec<&Image> = of_kind.take(MAX_NAMED).collect();
        let named: BTreeSet<&String> =
            newest.iter().flat_map(|image| image.measurements.keys()).collect();
        let listed = newest.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        let got = match newest.is_empty() {
            true => Image::of(claims),
            false => Image::with(claims, |name| named.contains(&name.to_owned())),
        };
        let kind = claims.kind;
        UnlistedImage {
            expected: match newest.is_empty() {
                true => format!("an image of kind {kind} in the key manifest"),
                false => format!("an image of the key manifest: {listed}"),
            },
            got: got.map_or_else(|| format!("{kind} without these"), |image| image.to_string()),
        }
    }
}

impl FromStr for Image {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        if text.len() > MAX_TEXT {
            let got = format!("{} bytes", text.len());
            return Err(ImageError { expected: format!("at most {MAX_TEXT} characters"), got });
        }
        let (kind, list) = text
            .split_once(':')
            .ok_or_else(|| wrong("KIND:NAME=HEX[,NAME=HEX...], as nitro:pcr0=17bf8f…", text))?;
        let kind = EvidenceKind::ALL.iter().copied().find(|one| one.as_str() == kind).ok_or_else(
            || {
                let kinds: Vec<&str> = EvidenceKind::ALL.iter().map(|kind| kind.as_str()).collect();
                wrong(format!("one of the kinds {}", kinds.join(", ")), kind)
            },
        )?;
        let mut measurements = BTreeMap::new();
        for measurement in list.split(',') {
            let (name, value) = read(kind, measurement)?;
            if let Some((before, _)) =
                measurements.last_key_value().filter(|(key, _)| **key >= name)
            {
                return Err(wrong(format!("a name after `{before}`, in ascending order"), &name));
            }
            measurements.insert(name, value);
        }
        Ok(Self { kind, measurements })
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = ':';
        f.write_str(self.kind.as_str())?;
        for (name, value) in &self.measurements {
            write!(f, "{separator}{name}={}", encoding::hex(value))?;
            separator = ',';
        }
        Ok(())
    }
}

/// Reads `NAME=HEX`.
fn read(kind: EvidenceKind, text: &str) -> Result<(String, Vec<u8>), ImageError> {
    let (name, value) = text.split_once('=').ok_or_else(|| wrong("NAME=HEX", text))?;
    if !is_measured(kind, name) {
        return Err(wrong(format!("the name of a measurement of kind {kind}"), name));
    }
    let bytes = encoding::hex_bytes(value).filter(|bytes| (1..=MAX_VALUE).contains(&bytes.len()));
    let expected = || format!("1 to {MAX_VALUE} bytes in lower-case hexadecimal for `{name}`");
    Ok((name.to_owned(), bytes.ok_or_else(|| wrong(expected(), value))?))
}

/// Says whether evidence of a kind can have a measurement of this name. That of a confidential machine
/// of Azure's has its TPM's beside the hardware's.
fn is_measured(kind: EvidenceKind, name: &str) -> bool {
    match kind {
        EvidenceKind::Nitro => is_numbered(name, "pcr", PCRS),
        EvidenceKind::Tdx => TD_CODE.contains(&name) || TD.contains(&name) || is_tpm_pcr(name),
        EvidenceKind::Sgx => SGX.contains(&name),
        EvidenceKind::Snp => SNP.contains(&name) || is_tpm_pcr(name),
        EvidenceKind::Nvidia => is_numbered(name, "m", GPU_MEASUREMENTS),
        EvidenceKind::Tpm => is_tpm_pcr(name),
    }
}

/// Says whether a measurement is one of those that identify the code which was loaded.
fn is_code(kind: EvidenceKind, name: &str) -> bool {
    match kind {
        EvidenceKind::Nitro => matches!(name, "pcr0" | "pcr1" | "pcr2"),
        EvidenceKind::Tdx => TD_CODE.contains(&name) || is_tpm_pcr(name),
        EvidenceKind::Sgx => name == "mrenclave",
        EvidenceKind::Snp => name == "measurement" || is_tpm_pcr(name),
        EvidenceKind::Nvidia => false,
        EvidenceKind::Tpm => is_tpm_pcr(name),
    }
}

/// Says whether this is the name of a PCR: `pcr7`, in a bank other than SHA-256 `pcr7-sha384`.
fn is_tpm_pcr(name: &str) -> bool {
    let bare = name.strip_suffix("-sha384").or_else(|| name.strip_suffix("-sha512"));
    is_numbered(bare.unwrap_or(name), "pcr", PCRS)
}

fn is_numbered(name: &str, prefix: &str, end: u8) -> bool {
    let number = name.strip_prefix(prefix).unwrap_or_default();
    number.parse::<u8>().is_ok_and(|index| index < end && index.to_string() == number)
}

fn wrong(expected: impl Into<String>, got: &str) -> ImageError {
    ImageError { expected: expected.into(), got: format!("`{}`", printable(got, MAX_SHOWN)) }
}

#[cfg(test)]
mod tests;
