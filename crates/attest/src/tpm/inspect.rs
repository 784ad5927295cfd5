use super::azure::HclReport;
use super::quote::Quote;
use super::signature::{PublicKey, Signature};
use super::{MAX_QUOTE, MAX_SIGNATURE, Pcr, require_size};
use crate::inspect::Section;
use crate::refusal::Checks;
use crate::{EvidenceKind, Refusal, snp};

/// Returns the fields of a quote.
pub(crate) fn inspect_quote(bytes: &[u8]) -> Result<Vec<Section>, Refusal> {
    let checks = Checks::default();
    require_size("quote", bytes, MAX_QUOTE, checks)?;
    let quote = Quote::parse(bytes, checks)?;
    let banks: Vec<String> =
        quote.selected.iter().map(|(bank, index)| format!("{}:{index}", bank.as_str())).collect();
    let fields = Section::new("quote")
        .hex("qualifiedSigner", quote.qualified_signer)
        .hex("extraData", quote.extra_data)
        .number("clock in ms", quote.clock)
        .number("resetCount", quote.reset_count)
        .number("restartCount", quote.restart_count)
        .flag("safe", quote.safe)
        .text("firmwareVersion", format!("{:016x}", quote.firmware_version))
        .text("pcrSelect", banks.join(" "))
        .hex("pcrDigest", quote.pcr_digest);
    Ok(vec![fields])
}

/// Returns the fields of a signature.
pub(crate) fn inspect_signature(bytes: &[u8]) -> Result<Vec<Section>, Refusal> {
    require_size("signature", bytes, MAX_SIGNATURE, Checks::default())?;
    let signature = Signature::parse(bytes)?;
    let names = if signature.numbers.len() == 1 { ["sig", ""] } else { ["r", "s"] };
    let numbers = names.iter().zip(&signature.numbers);
    let fields = Section::new("signature")
        .text("sigAlg", signature.scheme.as_str())
        .text("hash", signature.hash.as_str())
        .all(numbers, |section, (name, number)| section.hex(name, number));
    Ok(vec![fields])
}

/// Returns values of PCRs.
pub(crate) fn inspect_pcrs(pcrs: &[Pcr]) -> Section {
    Section::new("PCRs").all(pcrs, |section, pcr| section.hex(pcr.name(), &pcr.value))
}

/// Returns the fields of a SubjectPublicKeyInfo.
pub(crate) fn inspect_public_key(name: &str, der: &[u8]) -> Result<Section, Refusal> {
    Ok(of_key(name, &PublicKey::from_der(der)?))
}

fn of_key(name: &str, key: &PublicKey) -> Section {
    let section = Section::new(name).text("algorithm", key.name());
    match key {
        PublicKey::Rsa(n, e) => section.hex("n", n).hex("e", e),
        PublicKey::P256(point) | PublicKey::P384(point) => section.hex("point", point),
    }
}

/// Returns the fields of an HCL report, and of the hardware's report in it.
pub(crate) fn inspect_hcl_report(bytes: &[u8]) -> Result<Vec<Section>, Refusal> {
    let report = HclReport::parse(bytes, Checks::default())?;
    let about = Section::new("HCL report")
        .number("version", report.version)
        .text("hardware", report.kind)
        .text("runtime data", String::from_utf8_lossy(report.runtime_data));
    let mut sections = vec![about, of_key("attestation key HCLAkPub", &report.key)];
    match report.kind {
        EvidenceKind::Snp => match snp::inspect(report.hardware) {
            Ok(of_hardware) => sections.extend(of_hardware),
            Err(refusal) => {
                let section = Section::new("report").text("unreadable", refusal);
                sections.push(section.hex("bytes", report.hardware));
            }
        },
        _ => sections.push(Section::new("TDREPORT").hex("bytes", report.hardware)),
    }
    Ok(sections)
}
