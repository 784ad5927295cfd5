//! Reports of NVIDIA's GPUs: measurements by SPDM 1.1 (DMTF DSP0274), signed by a key that the GPU's
//! boot ROM derives from its firmware, under the root that NVIDIA's verifiers have.
//!
//! The report shows that a genuine GPU measured what it has, and nothing more: NVIDIA's reference values
//! (its RIM files) are not read, so the strength is [`Strength::SignatureOnly`]. Nor does it say in
//! which mode of confidential computing the GPU is: that only the driver is asked, and the driver is
//! measured by the evidence of the machine's CPU. What ties the GPU to that machine is the nonce.

mod inspect;
#[cfg(test)]
pub(crate) mod made;
mod report;
#[cfg(test)]
mod tests;

use assay_primitives::{encoding, printable};
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode as _, Reader as _, SliceReader};
use x509_cert::Certificate;

pub(crate) use self::inspect::inspect;
use self::report::{DRIVER_VERSION, FIRMWARE_ID, Report, VBIOS_VERSION};
use crate::evidence::Context;
use crate::refusal::Checks;
use crate::x509::{self, Chain, Endorsed};
use crate::{Check, Claims, EvidenceKind, Measurement, Refusal, Strength, Tcb};

/// The extension of the leaf that names the firmware that its key was derived from (TCG DICE).
const DEVICE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1");
/// The digest that the firmware is named with.
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
/// The most characters of a text that is shown.
const MAX_SHOWN: usize = 64;

pub(crate) fn claims(
    report: &[u8],
    certificates: &[Vec<u8>],
    context: &Context<'_>,
) -> Result<Claims, Refusal> {
    let checks = context.checks;
    let report = Report::read(report, checks)?;
    let [leaf, intermediates @ .., root] = certificates else {
        let expected = "the certificates from the GPU's to the root";
        return Err(Refusal::new(Check::ChainPath, expected, certificates.len()));
    };
    // Before the chain, which costs several times as much.
    x509::verify_p384(&x509::read(leaf)?, report.signed, report.signature, checks)?;
    let intermediates: Vec<&[u8]> = intermediates.iter().map(Vec::as_slice).collect();
    let chain = Chain {
        kind: EvidenceKind::Nvidia,
        leaf,
        intermediates: &intermediates,
        root,
        extended_key_usage: None,
    };
    let endorsed = chain.verify(context)?;
    let firmware = firmware(&endorsed.leaf)?;
    check_firmware(&report, firmware, checks)?;
    Ok(report.claims(&endorsed))
}

/// The firmware that the report names, where it does, is the one that the key was derived from.
fn check_firmware(
    report: &Report<'_>,
    firmware: Option<&[u8]>,
    checks: Checks,
) -> Result<(), Refusal> {
    let Some(reported) = report.opaque.get(&FIRMWARE_ID) else { return Ok(()) };
    let expected = match firmware {
        Some(firmware) => format!("the firmware {} of the certificate", encoding::hex(firmware)),
        None => "a certificate that names a firmware".to_owned(),
    };
    let holds = firmware == Some(reported);
    checks.require(Check::ChainPlatform, holds, expected, encoding::hex(reported))
}

/// Reads which firmware a certificate is for: the last part of a sequence of a version, the key of the
/// boot ROM, and the name and value of a digest.
fn firmware(certificate: &Certificate) -> Result<Option<&[u8]>, Refusal> {
    let extensions = certificate.tbs_certificate().extensions().into_iter().flatten();
    let mut found = extensions.filter(|extension| extension.extn_id == DEVICE_ID);
    let Some(extension) = found.next() else { return Ok(None) };
    let wrong =
        |error: String| Refusal::new(Check::ChainEncoding, format!("extension {DEVICE_ID}"), error);
    if found.next().is_some() {
        return Err(wrong("twice".to_owned()));
    }
    let (algorithm, digest) =
        read_firmware(extension.extn_value.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    if algorithm != SHA384 {
        return Err(wrong(format!("the digest {algorithm}")));
    }
    Ok(Some(digest))
}

fn read_firmware(value: &[u8]) -> der::Result<(ObjectIdentifier, &[u8])> {
    let mut reader = SliceReader::new(value)?;
    let firmware = reader.sequence(|reader| {
        UintRef::decode(reader)?;
        AnyRef::decode(reader)?;
        reader.sequence(|reader| {
            let algorithm = ObjectIdentifier::decode(reader)?;
            der::Result::Ok((algorithm, <&OctetStringRef>::decode(reader)?.as_bytes()))
        })
    })?;
    reader.finish()?;
    Ok(firmware)
}

impl Report<'_> {
    fn claims(&self, endorsed: &Endorsed) -> Claims {
        // NVIDIA's reference values count from 0.
        let measurements = self.blocks.iter().map(|(index, block)| Measurement {
            name: format!("m{}", index.saturating_sub(1)),
            value: block.value.to_vec(),
        });
        let versions = format!("driver {}, VBIOS {}", self.driver_version(), self.vbios_version());
        let warning = "the report does not say whether the GPU is in a mode for developers, in which \
                       its memory can be read";
        Claims {
            kind: EvidenceKind::Nvidia,
            strength: Strength::SignatureOnly,
            trust: endorsed.trust,
            platform: printable(&x509::common_name(&endorsed.leaf), MAX_SHOWN),
            measurements: measurements.collect(),
            debug: false,
            user_data: Some(self.nonce.to_vec()),
            public_key: None,
            nonce: None,
            time: None,
            validity: endorsed.validity,
            tcb: Some(Tcb { status: None, versions, advisories: Vec::new(), open: Vec::new() }),
            warnings: vec![warning.to_owned()],
        }
    }

    /// The driver's version: text that ends with a zero.
    fn driver_version(&self) -> String {
        let Some(bytes) = self.opaque.get(&DRIVER_VERSION) else { return "unknown".to_owned() };
        let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        printable(&String::from_utf8_lossy(text), MAX_SHOWN)
    }

    /// The firmware's version as NVIDIA writes it: four bytes, the last first, and a fifth.
    fn vbios_version(&self) -> String {
        match self.opaque.get(&VBIOS_VERSION) {
            Some([a, b, c, d, e, ..]) => format!("{d:02x}.{c:02x}.{b:02x}.{a:02x}.{e:02x}"),
            _ => "unknown".to_owned(),
        }
    }
}
