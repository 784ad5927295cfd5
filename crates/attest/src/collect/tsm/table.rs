//! The table of certificates that a host may give with an SEV-SNP report (AMD 56421, section 4.1.8.1).

use super::DEVICE;
use crate::collect::CollectError;

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

/// Returns the certificates of a table: of the VCEK or VLEK, the ASK or ASVK, and the ARK, as far as
/// they are there.
pub(super) fn certificate_table(table: &[u8]) -> Result<Vec<Vec<u8>>, CollectError> {
    let mut found: [Option<Vec<u8>>; 3] = [None, None, None];
    let wrong = |got: String| CollectError::Answer {
        device: DEVICE,
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
