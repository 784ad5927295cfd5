//! The report: SPDM 1.1's GET_MEASUREMENTS request and the MEASUREMENTS response to it, one after the
//! other (DSP0274 1.1, section 10.11), as NVIDIA's driver gives it.

use std::collections::BTreeMap;
use std::fmt;

use crate::reader::Reader;
use crate::refusal::Checks;
use crate::{Check, Refusal};

/// The most bytes of a report: the driver's buffer.
const MAX_REPORT: usize = 8 << 10;
/// SPDM's major and minor version.
const VERSION: u8 = 0x11;
const GET_MEASUREMENTS: u8 = 0xe0;
const MEASUREMENTS: u8 = 0x60;
/// Asks for a signature.
const WITH_SIGNATURE: u8 = 1;
/// Asks for every measurement.
const ALL_MEASUREMENTS: u8 = 0xff;
/// The measurements are as DMTF specifies them.
const DMTF: u8 = 1;
/// The bit of a measurement's type that says that it is no digest.
const RAW: u8 = 0x80;
const SHA384: usize = 48;
/// r and s of P-384.
const SIGNATURE: usize = 96;
/// The most bytes of opaque data.
const MAX_OPAQUE: usize = 1024;

/// What NVIDIA puts into the opaque data, by the types that are read here.
pub(super) const DRIVER_VERSION: u16 = 3;
pub(super) const VBIOS_VERSION: u16 = 6;
pub(super) const FIRMWARE_ID: u16 = 20;

/// A report.
#[derive(Clone, Debug)]
pub(super) struct Report<'a> {
    /// What was asked with.
    pub(super) nonce: &'a [u8],
    /// The measurements by their index, from 1.
    pub(super) blocks: BTreeMap<u8, Block<'a>>,
    /// What else the driver and the GPU say, by its type.
    pub(super) opaque: BTreeMap<u16, &'a [u8]>,
    /// Request and response, up to the signature.
    pub(super) signed: &'a [u8],
    /// r and s.
    pub(super) signature: &'a [u8],
}

/// A measurement as DMTF specifies it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    /// What is measured, and whether the value is a digest.
    pub(super) kind: u8,
    /// The digest, or what was measured.
    pub(super) value: &'a [u8],
}

impl Block<'_> {
    pub(super) const fn is_digest(self) -> bool {
        self.kind & RAW == 0
    }
}

impl<'a> Report<'a> {
    /// Reads it, to its last byte; zeros may follow, as buffers leave them.
    pub(super) fn read(bytes: &'a [u8], checks: Checks) -> Result<Self, Refusal> {
        let length = bytes.len();
        let expected = format!("a report of at most {MAX_REPORT} bytes");
        checks.require(Check::EvidenceSize, length <= MAX_REPORT, expected, length)?;
        let mut reader = Reader::new(bytes);
        let (nonce, slot) = read_request(&mut reader, checks)?;
        let (blocks, opaque) = read_response(&mut reader, slot, checks)?;
        let signed = length.saturating_sub(reader.rest().len());
        let signed = bytes.get(..signed).unwrap_or_default();
        let signature = reader.take(SIGNATURE, "a signature")?;
        let rest = reader.rest();
        let holds = rest.iter().all(|byte| *byte == 0);
        let got = format!("{} bytes that are not", rest.len());
        checks.require(Check::EvidenceReserved, holds, "zeros after the report", got)?;
        Ok(Self { nonce, blocks, opaque, signed, signature })
    }
}

/// Reads the request: its nonce, and the slot of the certificates that it names.
fn read_request<'a>(reader: &mut Reader<'a>, checks: Checks) -> Result<(&'a [u8], u8), Refusal> {
    let [version, code, attributes, operation] = reader.array("a request")?;
    require_version(version, checks)?;
    require(code == GET_MEASUREMENTS, checks, "a GET_MEASUREMENTS request", hex(code))?;
    let expected = "a request for a signature and nothing else";
    require(attributes == WITH_SIGNATURE, checks, expected, hex(attributes))?;
    let expected = "a request for all measurements";
    require(operation == ALL_MEASUREMENTS, checks, expected, hex(operation))?;
    let nonce = reader.take(32, "a nonce")?;
    let [slot] = reader.array("a slot")?;
    checks.require(Check::EvidenceReserved, slot < 8, "a slot from 0 to 7", slot)?;
    Ok((nonce, slot))
}

type Response<'a> = (BTreeMap<u8, Block<'a>>, BTreeMap<u16, &'a [u8]>);

/// Reads the response up to its signature. Its own nonce makes it unique, and has no other meaning.
fn read_response<'a>(
    reader: &mut Reader<'a>,
    slot: u8,
    checks: Checks,
) -> Result<Response<'a>, Refusal> {
    let [version, code, reserved, answered, count] = reader.array("a response")?;
    require_version(version, checks)?;
    require(code == MEASUREMENTS, checks, "a MEASUREMENTS response", hex(code))?;
    checks.require(Check::EvidenceReserved, reserved == 0, "param1 0", hex(reserved))?;
    let expected = format!("an answer from slot {slot}");
    require(answered == slot, checks, &expected, hex(answered))?;
    let [low, middle, high] = reader.array("a length")?;
    let length = u32::from_le_bytes([low, middle, high, 0]);
    let blocks = read_blocks(reader.part(length, "a measurement record")?, checks)?;
    let expected = format!("{count} measurements");
    require(blocks.len() == usize::from(count), checks, &expected, blocks.len())?;
    require(count > 0, checks, "measurements", "none")?;
    reader.take(32, "a nonce of the response")?;
    let length = reader.u16_le("a length")?;
    let opaque = reader.take(usize::from(length), "opaque data")?;
    let expected = format!("at most {MAX_OPAQUE} bytes of opaque data");
    let holds = opaque.len() <= MAX_OPAQUE;
    checks.require(Check::EvidenceSize, holds, expected, opaque.len())?;
    Ok((blocks, read_opaque(opaque, checks)?))
}

/// Reads the measurement record: blocks of an index, the specification, a length and that many bytes.
fn read_blocks<'a>(
    mut reader: Reader<'a>,
    checks: Checks,
) -> Result<BTreeMap<u8, Block<'a>>, Refusal> {
    let mut blocks = BTreeMap::new();
    while !reader.is_at_end() {
        let [index, specification] = reader.array("a measurement")?;
        require((1..=254).contains(&index), checks, "an index from 1 to 254", index)?;
        require(specification == DMTF, checks, "DMTF's specification", hex(specification))?;
        let length = reader.u16_le("a length")?;
        let mut block = reader.part(length.into(), "a measurement")?;
        let [kind] = block.array("a measurement's type")?;
        let length = block.u16_le("a length")?;
        let value = block.take(usize::from(length), "a measurement's value")?;
        require(block.is_at_end(), checks, "the end of the measurement", "more")?;
        let block = Block { kind, value };
        let holds = !block.is_digest() || value.len() == SHA384;
        let expected = format!("{SHA384} bytes of digest {index}");
        require(holds, checks, &expected, value.len())?;
        let is_new = blocks.insert(index, block).is_none();
        require(is_new, checks, "each measurement once", format!("{index} twice"))?;
    }
    Ok(blocks)
}

/// Reads the opaque data: fields of a type, a length and that many bytes.
fn read_opaque(bytes: &[u8], checks: Checks) -> Result<BTreeMap<u16, &[u8]>, Refusal> {
    let mut fields = BTreeMap::new();
    let mut reader = Reader::new(bytes);
    while !reader.is_at_end() {
        let kind = reader.u16_le("an opaque field's type")?;
        let length = reader.u16_le("a length")?;
        let is_new = fields.insert(kind, reader.take(usize::from(length), "a field")?).is_none();
        require(is_new, checks, "each opaque field once", format!("{kind} twice"))?;
    }
    Ok(fields)
}

fn require_version(version: u8, checks: Checks) -> Result<(), Refusal> {
    checks.require(Check::EvidenceVersion, version == VERSION, "SPDM 0x11", hex(version))
}

fn require(
    holds: bool,
    checks: Checks,
    expected: &str,
    got: impl fmt::Display,
) -> Result<(), Refusal> {
    checks.require(Check::EvidenceEncoding, holds, expected, got)
}

fn hex(byte: u8) -> String {
    format!("{byte:#04x}")
}
