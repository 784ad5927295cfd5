use std::io::{self, Read};

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};

use crate::block::Block;

/// What the file says of a block.
#[derive(Clone, Debug, Eq, PartialEq, RlpDecodable, RlpEncodable)]
pub(crate) struct Record {
    /// The block's time, in seconds since 1970.
    pub(crate) timestamp: u64,
    /// The block's hash.
    pub(crate) hash: B256,
    /// Its transaction in network encoding; empty if it has none.
    pub(crate) transaction: Bytes,
}

/// What comes next in the file.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// A record, and its length in the file.
    Record(Record, u64),
    /// Nothing.
    End,
    /// The start of a record that was not completely written.
    Incomplete,
    /// Something that no interrupted write leaves behind.
    Damaged(String),
}

impl Record {
    pub(super) fn of(block: &Block) -> Self {
        let head = block.head();
        let transaction =
            block.mined().map(|mined| mined.transaction.encoded_2718()).unwrap_or_default();
        Self { timestamp: head.timestamp, hash: head.hash, transaction: transaction.into() }
    }

    /// Returns the record as it stands in the file.
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        let mut payload = Vec::with_capacity(self.length());
        Encodable::encode(self, &mut payload);
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?.to_be_bytes();
        let digest = keccak256(&payload);
        let digest = digest.first_chunk::<8>().map(<[u8; 8]>::as_slice).unwrap_or_default();
        Ok([&length, check_of(length).as_slice(), digest, &payload].concat())
    }
}

/// Reads the next record from a file of which `remaining` bytes are left.
pub(super) fn read_next(reader: &mut impl Read, remaining: u64) -> io::Result<Next> {
    if remaining == 0 {
        return Ok(Next::End);
    }
    if remaining < PREFIX_LENGTH {
        return Ok(Next::Incomplete);
    }
    let (mut length, mut check, mut digest) = ([0; 4], [0; 4], [0; 8]);
    reader.read_exact(&mut length)?;
    reader.read_exact(&mut check)?;
    reader.read_exact(&mut digest)?;
    if check != check_of(length) {
        // No record has a digest and a payload of zeros, so the write stopped before them.
        let unwritten = digest == [0; 8] && all_zero(reader)?;
        let damaged = || Next::Damaged("the length of a record does not check".to_owned());
        return Ok(if unwritten { Next::Incomplete } else { damaged() });
    }
    let length = u64::from(u32::from_be_bytes(length));
    let read = PREFIX_LENGTH.saturating_add(length);
    if read > remaining {
        return Ok(Next::Incomplete);
    }
    let mut payload = Vec::new();
    reader.take(length).read_to_end(&mut payload)?;
    if keccak256(&payload).first_chunk() != Some(&digest) {
        let last = read == remaining;
        let damaged = || Next::Damaged("a record does not match its digest".to_owned());
        return Ok(if last { Next::Incomplete } else { damaged() });
    }
    let mut rest = payload.as_slice();
    Ok(match Record::decode(&mut rest) {
        Ok(record) if rest.is_empty() => Next::Record(record, read),
        Ok(_) => Next::Damaged(format!("{} bytes follow a record's fields", rest.len())),
        Err(error) => Next::Damaged(format!("a record cannot be decoded: {error}")),
    })
}

/// The bytes before a payload.
const PREFIX_LENGTH: u64 = 16;

fn check_of(length: [u8; 4]) -> [u8; 4] {
    keccak256(length).first_chunk().copied().unwrap_or_default()
}

fn all_zero(reader: &mut impl Read) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        let read = reader.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(true);
        };
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
}
