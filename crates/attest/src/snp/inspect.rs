use super::product::Product;
use super::report::{self, Field, Report};
use crate::Refusal;
use crate::inspect::Section;
use crate::refusal::Checks;

/// Bits of fields and what they are named (AMD 56860, sections 4.3 and 7.3).
const POLICY: &[(u32, &str)] = &[
    (16, "SMT"),
    (18, "MIGRATE_MA"),
    (19, "DEBUG"),
    (20, "SINGLE_SOCKET"),
    (21, "CXL_ALLOW"),
    (22, "MEM_AES_256_XTS"),
    (23, "RAPL_DIS"),
    (24, "CIPHERTEXT_HIDING_DRAM"),
    (25, "PAGE_SWAP_DISABLE"),
];
const PLATFORM: &[(u32, &str)] = &[
    (0, "SMT_EN"),
    (1, "TSME_EN"),
    (2, "ECC_EN"),
    (3, "RAPL_DIS"),
    (4, "CIPHERTEXT_HIDING_DRAM_EN"),
    (5, "ALIAS_CHECK_COMPLETE"),
    (7, "TIO_EN"),
];
const KEY_INFO: &[(u32, &str)] = &[(0, "AUTHOR_KEY_EN"), (1, "MASK_CHIP_KEY")];

/// Returns the fields of a report.
pub(crate) fn inspect(bytes: &[u8]) -> Result<Vec<Section>, Refusal> {
    let report = Report::read(bytes, Checks::default())?;
    let fields = Section::new("report").all(report.fields(), |section, field| {
        let (name, value) = (field.name, report.bytes(field));
        if field == report::POLICY {
            let policy = report.number(field);
            let [minor, major, ..] = policy.to_le_bytes();
            let abi = format!("ABI {major}.{minor}");
            section.text(name, bits(policy, POLICY, Some(abi)))
        } else if field == report::PLATFORM_INFO {
            section.text(name, bits(report.number(field), PLATFORM, None))
        } else if field == report::KEY_INFO {
            let info = report.number(field);
            let key = match report.signing_key() {
                Ok(key) => key.as_str().to_owned(),
                Err(refusal) => refusal.got,
            };
            section.text(name, bits(info, KEY_INFO, Some(format!("signed with {key}"))))
        } else if report::TCBS.contains(&field) {
            section.text(name, tcb(&report, field))
        } else if let [build, minor, major] = value {
            section.text(name, format!("{major}.{minor}.{build}"))
        } else if value.len() <= 4 {
            section.number(name, report.number(field))
        } else {
            section.hex(name, value)
        }
    });
    Ok(vec![fields])
}

/// Says a TCB version. Version 2 does not tell the product; it is of Milan and Genoa, which have one
/// layout.
fn tcb(report: &Report<'_>, field: Field) -> String {
    let product = match report.cpu() {
        Some((family, model)) => Product::of_cpu(family, model),
        None => Some(Product::Milan),
    };
    match product {
        Some(product) => report.tcb(field, product).to_string(),
        None => format!("{:#018x}", report.number(field)),
    }
}

fn bits(value: u64, names: &[(u32, &str)], first: Option<String>) -> String {
    let set =
        names.iter().filter(|(bit, _)| value >> bit & 1 != 0).map(|(_, name)| (*name).to_owned());
    let words: Vec<String> = first.into_iter().chain(set).collect();
    format!("{value:#x}: {}", if words.is_empty() { "none".to_owned() } else { words.join(", ") })
}
