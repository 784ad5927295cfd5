//! The document that is signed, as AWS's CDDL has it.

use std::collections::BTreeMap;

use assay_primitives::Timestamp;

use super::cbor::Reader;
use crate::refusal::Checks;
use crate::{Check, Refusal};

/// The most bytes of a certificate.
const MAX_CERTIFICATE: usize = 1024;
/// The most certificates of the bundle: with the document's own they are ten.
const MAX_BUNDLE: usize = 9;
/// The most bytes of `public_key`.
const MAX_PUBLIC_KEY: usize = 1024;
/// The most bytes of `user_data` and of `nonce`.
const MAX_USER_DATA: usize = 512;
/// The greatest index of a PCR.
const MAX_PCR: u64 = 31;
/// What a PCR is computed with.
pub(super) const DIGEST: &str = "SHA384";
/// The PCRs that tell which image runs; the module fills them in every mode.
const IMAGE: [u64; 3] = [0, 1, 2];

/// An attestation document.
#[derive(Clone, Debug)]
pub(super) struct Document<'a> {
    /// The Nitro Secure Module that made it.
    pub(super) module_id: &'a str,
    /// When, by the hypervisor's clock.
    pub(super) timestamp: Timestamp,
    /// The platform configuration registers.
    pub(super) pcrs: BTreeMap<u64, &'a [u8]>,
    /// The certificate of the key that signed it, DER.
    pub(super) certificate: &'a [u8],
    /// The certificates above it, the root first, DER.
    pub(super) cabundle: Vec<&'a [u8]>,
    /// A key that the enclave had signed.
    pub(super) public_key: Option<&'a [u8]>,
    /// What else it had signed.
    pub(super) user_data: Option<&'a [u8]>,
    /// The nonce that it was asked with.
    pub(super) nonce: Option<&'a [u8]>,
}

/// Fields as they come. Those that may be null are known to have come.
#[derive(Default)]
struct Fields<'a> {
    module_id: Option<&'a str>,
    timestamp: Option<u64>,
    digest: Option<&'a str>,
    pcrs: Option<BTreeMap<u64, &'a [u8]>>,
    certificate: Option<&'a [u8]>,
    cabundle: Option<Vec<&'a [u8]>>,
    public_key: Option<Option<&'a [u8]>>,
    user_data: Option<Option<&'a [u8]>>,
    nonce: Option<Option<&'a [u8]>>,
}

impl<'a> Document<'a> {
    /// Reads it, to its last byte.
    pub(super) fn read(payload: &'a [u8], checks: Checks) -> Result<Self, Refusal> {
        let mut reader = Reader::new(payload);
        let mut items = reader.map("a document")?;
        let mut fields = Fields::default();
        while reader.has_more(&mut items)? {
            fields.read(&mut reader, checks)?;
        }
        reader.end("the end of the payload")?;
        let digest = required(fields.digest, "digest")?;
        checks.require(Check::EvidenceEncoding, digest == DIGEST, "the digest SHA384", digest)?;
        let document = Self {
            module_id: required(fields.module_id, "module_id")?,
            timestamp: Timestamp::from_millis(required(fields.timestamp, "timestamp")?),
            pcrs: required(fields.pcrs, "pcrs")?,
            certificate: required(fields.certificate, "certificate")?,
            cabundle: required(fields.cabundle, "cabundle")?,
            public_key: fields.public_key.flatten(),
            user_data: fields.user_data.flatten(),
            nonce: fields.nonce.flatten(),
        };
        document.check(checks)?;
        Ok(document)
    }

    /// Says whether the enclave was started in debug mode, in which its console can be read: then the
    /// PCRs of the image are zero.
    pub(super) fn is_debug(&self) -> bool {
        IMAGE.iter().filter_map(|index| self.pcrs.get(index)).any(|pcr| is_zero(pcr))
    }

    fn check(&self, checks: Checks) -> Result<(), Refusal> {
        let require = |holds: bool, expected: &str, got: String| {
            checks.require(Check::EvidenceEncoding, holds, expected, got)
        };
        require(!self.module_id.is_empty(), "a module's id", "an empty text".to_owned())?;
        require(self.timestamp > Timestamp::from_millis(0), "a timestamp", "0".to_owned())?;
        let has_image = IMAGE.iter().all(|index| self.pcrs.contains_key(index));
        let indices: Vec<&u64> = self.pcrs.keys().collect();
        require(has_image, "PCRs 0, 1 and 2", format!("PCRs {indices:?}"))?;
        for (index, pcr) in &self.pcrs {
            let holds = matches!(pcr.len(), 32 | 48 | 64);
            let got = format!("{} of PCR {index}", pcr.len());
            require(holds, "32, 48 or 64 bytes of a PCR", got)?;
        }
        let most = |what: &str, bytes: &[u8], most: usize| {
            let expected = format!("`{what}` of at most {most} bytes");
            checks.require(Check::EvidenceSize, bytes.len() <= most, expected, bytes.len())
        };
        most("public_key", self.public_key.unwrap_or_default(), MAX_PUBLIC_KEY)?;
        most("user_data", self.user_data.unwrap_or_default(), MAX_USER_DATA)?;
        most("nonce", self.nonce.unwrap_or_default(), MAX_USER_DATA)?;
        most("certificate", self.certificate, MAX_CERTIFICATE)?;
        self.cabundle.iter().try_for_each(|der| most("cabundle", der, MAX_CERTIFICATE))
    }
}

impl<'a> Fields<'a> {
    /// Reads one field.
    fn read(&mut self, reader: &mut Reader<'a>, checks: Checks) -> Result<(), Refusal> {
        let key = reader.text("a field's name")?;
        let is_new = match key {
            "module_id" => self.module_id.replace(reader.text(key)?).is_none(),
            "timestamp" => self.timestamp.replace(reader.unsigned(key)?).is_none(),
            "digest" => self.digest.replace(reader.text(key)?).is_none(),
            "pcrs" => self.pcrs.replace(pcrs(reader, checks)?).is_none(),
            "certificate" => self.certificate.replace(reader.bytes(key)?).is_none(),
            "cabundle" => self.cabundle.replace(cabundle(reader)?).is_none(),
            "public_key" => self.public_key.replace(reader.optional_bytes(key)?).is_none(),
            "user_data" => self.user_data.replace(reader.optional_bytes(key)?).is_none(),
            "nonce" => self.nonce.replace(reader.optional_bytes(key)?).is_none(),
            _ => return Err(wrong("a field that documents have", format!("`{key}`"))),
        };
        let twice = format!("`{key}` twice");
        checks.require(Check::EvidenceEncoding, is_new, "each field once", twice)
    }
}

fn pcrs<'a>(reader: &mut Reader<'a>, checks: Checks) -> Result<BTreeMap<u64, &'a [u8]>, Refusal> {
    let mut pcrs = BTreeMap::new();
    let mut items = reader.map("pcrs")?;
    while reader.has_more(&mut items)? {
        let index = reader.unsigned("a PCR's index")?;
        if index > MAX_PCR {
            return Err(wrong(format!("a PCR's index of at most {MAX_PCR}"), index));
        }
        let is_new = pcrs.insert(index, reader.bytes("a PCR")?).is_none();
        let twice = format!("PCR {index} twice");
        checks.require(Check::EvidenceEncoding, is_new, "each PCR once", twice)?;
    }
    Ok(pcrs)
}

fn cabundle<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, Refusal> {
    let mut bundle = Vec::new();
    let mut items = reader.array("cabundle")?;
    while reader.has_more(&mut items)? {
        if bundle.len() == MAX_BUNDLE {
            let expected = format!("at most {MAX_BUNDLE} certificates in `cabundle`");
            return Err(Refusal::new(Check::EvidenceSize, expected, "more"));
        }
        bundle.push(reader.bytes("a certificate")?);
    }
    Ok(bundle)
}

fn required<T>(field: Option<T>, name: &str) -> Result<T, Refusal> {
    field.ok_or_else(|| wrong(format!("`{name}`"), "none"))
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn wrong(expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Refusal {
    Refusal::new(Check::EvidenceEncoding, expected, got)
}
