use super::report::{Block, DRIVER_VERSION, Report, VBIOS_VERSION};
use crate::Refusal;
use crate::inspect::Section;
use crate::refusal::Checks;

/// What NVIDIA's verifier names the fields of the opaque data.
const OPAQUE: &[(u16, &str)] = &[
    (1, "certificate issuer"),
    (2, "certificate authority key identifier"),
    (DRIVER_VERSION, "driver version"),
    (4, "GPU info"),
    (5, "SKU"),
    (VBIOS_VERSION, "VBIOS version"),
    (7, "manufacturer id"),
    (8, "tamper detection"),
    (9, "SMC"),
    (10, "VPR"),
    (11, "NVDEC0 status"),
    (12, "measurement counts"),
    (13, "CPR info"),
    (14, "board id"),
    (15, "chip SKU"),
    (16, "chip SKU modifier"),
    (17, "project"),
    (18, "project SKU"),
    (19, "project SKU modifier"),
    (super::FIRMWARE_ID, "firmware id"),
    (21, "protected PCIe status"),
];

/// Those of them that are text, which ends at a zero.
const TEXTS: &[u16] = &[DRIVER_VERSION, 11, 15, 16, 17, 18, 19, 21];

/// Returns the fields of a report.
pub(crate) fn inspect(report: &[u8]) -> Result<Vec<Section>, Refusal> {
    let report = Report::read(report, Checks::default())?;
    let about = Section::new("report")
        .text("SPDM", "1.1, GET_MEASUREMENTS and MEASUREMENTS")
        .hex("nonce", report.nonce)
        .text("driver", report.driver_version())
        .text("VBIOS", report.vbios_version())
        .number("measurements", report.blocks.len())
        .hex("signature", report.signature);
    // NVIDIA's reference values count from 0.
    let measured = Section::new("measurements").all(&report.blocks, |section, (index, block)| {
        let name = format!("m{} ({})", index.saturating_sub(1), what(*block));
        section.hex(name, block.value)
    });
    let opaque = Section::new("opaque data").all(&report.opaque, |section, (kind, value)| {
        let name = OPAQUE.iter().find(|(known, _)| known == kind);
        let name = name.map_or_else(|| format!("type {kind}"), |(_, name)| (*name).to_owned());
        if TEXTS.contains(kind) {
            let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
            return section.text(name, String::from_utf8_lossy(value.get(..end).unwrap_or(value)));
        }
        section.hex(name, value)
    });
    Ok(vec![about, measured, opaque])
}

/// Says what is measured (DSP0274 1.1, table 46).
fn what(block: Block<'_>) -> String {
    let of = match block.kind & 0x7f {
        0 => "immutable ROM",
        1 => "mutable firmware",
        2 => "hardware configuration",
        3 => "firmware configuration",
        4 => "manifest",
        _ => "something else",
    };
    format!("{of}{}", if block.is_digest() { "" } else { ", raw" })
}
