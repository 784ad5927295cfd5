//! Values of PCRs, in what tpm2-tools write.

use super::text::from_hex;
use crate::{Pcr, TpmHash};

/// The C structures that `tpm2_quote --pcr` writes by default, little-endian: a selection with room
/// for 16 banks, how many lists there are, and lists with room for 8 digests of 64 bytes.
const BANKS: usize = 16;
const BANK: usize = 8;
const SELECTION: usize = 4 + BANKS * BANK;
const DIGESTS: usize = 8;
const DIGEST: usize = 2 + 64;
const LIST: usize = 4 + DIGESTS * DIGEST;
/// The most PCRs: of three banks.
const MAX_PCRS: usize = 3 * 32;

/// Takes the values of the PCRs that a quote is of, in its order. If some are missing all are returned,
/// and the verifier refuses them.
pub(super) fn selected(pcrs: Vec<Pcr>, selected: &[(TpmHash, u8)]) -> Vec<Pcr> {
    let find = |(bank, index): &(TpmHash, u8)| {
        pcrs.iter().find(|pcr| pcr.bank == *bank && pcr.index == *index).cloned()
    };
    let found: Option<Vec<Pcr>> = selected.iter().map(find).collect();
    found.filter(|found| !found.is_empty()).unwrap_or(pcrs)
}

/// Reads values without names, one after the other (`--pcrs_format=values`): they are of the PCRs that
/// the quote is of, if they are as long.
pub(super) fn bare(file: &[u8], selected: &[(TpmHash, u8)]) -> Option<Vec<Pcr>> {
    let mut rest = file;
    let mut pcrs = Vec::new();
    for (bank, index) in selected {
        let (value, after) = rest.split_at_checked(bank.size())?;
        pcrs.push(Pcr::new(*bank, *index, value.to_vec()));
        rest = after;
    }
    (rest.is_empty() && !pcrs.is_empty()).then_some(pcrs)
}

/// Reads values with their names: the default format of `tpm2_quote --pcr`, or what `tpm2_pcrread` and
/// `tpm2_quote` print.
pub(crate) fn read(file: &[u8]) -> Option<Vec<Pcr>> {
    serialized(file).or_else(|| printed(file))
}

fn serialized(file: &[u8]) -> Option<Vec<Pcr>> {
    let (selection, rest) = file.split_at_checked(SELECTION)?;
    let (count, banks) = selection.split_first_chunk()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let mut names = Vec::new();
    for bank in banks.chunks(BANK).take(count) {
        let [low, high, size, bits @ ..] = bank else { return None };
        let hash = TpmHash::from_id(u16::from_le_bytes([*low, *high]), "a bank").ok()?;
        let indices = bits.iter().take(usize::from(*size).min(4)).zip([0_u8, 8, 16, 24]);
        for (byte, first) in indices {
            names.extend((0..8).filter(|bit| byte & 1 << bit != 0).map(|bit| (hash, first + bit)));
        }
    }
    let (lists, rest) = rest.split_first_chunk()?;
    let lists = usize::try_from(u32::from_le_bytes(*lists)).ok()?;
    if count > BANKS || names.len() > MAX_PCRS || rest.len() != lists.checked_mul(LIST)? {
        return None;
    }
    let mut values = Vec::new();
    for list in rest.chunks(LIST) {
        let (count, digests) = list.split_first_chunk()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        for digest in digests.chunks(DIGEST).take(count) {
            let (size, value) = digest.split_first_chunk()?;
            values.push(value.get(..usize::from(u16::from_le_bytes(*size)))?.to_vec());
        }
    }
    let named =
        names.iter().zip(&values).map(|((bank, at), value)| Pcr::new(*bank, *at, value.clone()));
    (names.len() == values.len() && !names.is_empty()).then(|| named.collect())
}

/// Reads lines of `sha256:` and, below it, of `7 : 0x0000…`. Other lines are about something else.
fn printed(file: &[u8]) -> Option<Vec<Pcr>> {
    let text = std::str::from_utf8(file).ok()?;
    let mut bank = None;
    let mut pcrs: Vec<Pcr> = Vec::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let (name, value) = (name.trim(), value.trim());
        if value.is_empty() {
            bank = [TpmHash::Sha256, TpmHash::Sha384, TpmHash::Sha512]
                .into_iter()
                .find(|hash| hash.as_str() == name);
            continue;
        }
        let (Some(bank), Ok(index)) = (bank, name.parse::<u8>()) else { continue };
        let value = from_hex(value.strip_prefix("0x").unwrap_or(value).as_bytes())?;
        let is_new = !pcrs.iter().any(|pcr| pcr.bank == bank && pcr.index == index);
        if !is_new || pcrs.len() == MAX_PCRS {
            return None;
        }
        pcrs.push(Pcr::new(bank, index, value));
    }
    (!pcrs.is_empty()).then_some(pcrs)
}
