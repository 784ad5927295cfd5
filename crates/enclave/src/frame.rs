use std::io::{self, Read, Write};

use assay_primitives::json::{self, StrictJsonError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The most bytes of a header.
const MAX_HEADER: u32 = 64 << 10;
/// The most bytes of a body.
const MAX_BODY: u32 = 64 << 20;

/// What goes between gateway and enclave: the header's length and the body's, 4 bytes big-endian each,
/// the header in JSON, spelt as it is written here, the body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame<T> {
    /// What is asked or answered.
    pub header: T,
    /// What it is about.
    pub body: Vec<u8>,
}

/// A frame that cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The connection ended between frames.
    #[error("the connection ended")]
    Ended,
    /// The connection failed, or ended within a frame.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// A part is longer than it may be.
    #[error("frame {part}: expected at most {limit} bytes, got {got}")]
    Length {
        /// Which part.
        part: &'static str,
        /// How long it may be.
        limit: u32,
        /// How long it says it is.
        got: u64,
    },
    /// The header is not what it should be.
    #[error("frame header: {0}")]
    Header(StrictJsonError),
}

impl<T: DeserializeOwned + Serialize> Frame<T> {
    /// Reads a frame. No more is allocated than what arrives. After [`FrameError::Header`] it is read to
    /// its end, and the next one may follow.
    ///
    /// # Errors
    /// When the connection ends or fails, or what comes is no frame.
    pub fn read(from: &mut impl Read) -> Result<Self, FrameError> {
        let mut lengths = [0; 8];
        let first = loop {
            match from.read(&mut lengths) {
                Ok(0) => return Err(FrameError::Ended),
                Ok(first) => break first,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        };
        from.read_exact(lengths.get_mut(first..).unwrap_or_default())?;
        let [a, b, c, d, e, f, g, h] = lengths;
        let header = read_part(from, "header", u32::from_be_bytes([a, b, c, d]), MAX_HEADER)?;
        let body = read_part(from, "body", u32::from_be_bytes([e, f, g, h]), MAX_BODY)?;
        let header = json::from_slice(&header).map_err(FrameError::Header)?;
        Ok(Self { header, body })
    }
}

impl<T: Serialize> Frame<T> {
    /// Writes a frame.
    ///
    /// # Errors
    /// When a part is too long, and nothing is written; or the connection fails.
    pub fn write(&self, to: &mut impl Write) -> Result<(), FrameError> {
        let header = json::to_vec(&self.header).map_err(FrameError::Header)?;
        let lengths =
            [length("header", &header, MAX_HEADER)?, length("body", &self.body, MAX_BODY)?];
        let start = [lengths.as_flattened(), &header].concat();
        to.write_all(&start)?;
        to.write_all(&self.body)?;
        to.flush()?;
        Ok(())
    }
}

fn length(part: &'static str, bytes: &[u8], limit: u32) -> Result<[u8; 4], FrameError> {
    match u32::try_from(bytes.len()) {
        Ok(length) if length <= limit => Ok(length.to_be_bytes()),
        _ => Err(FrameError::Length { part, limit, got: bytes.len() as u64 }),
    }
}

fn read_part(
    from: &mut impl Read,
    part: &'static str,
    length: u32,
    limit: u32,
) -> Result<Vec<u8>, FrameError> {
    if length > limit {
        return Err(FrameError::Length { part, limit, got: length.into() });
    }
    let mut bytes = Vec::new();
    from.take(length.into()).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != u64::from(length) {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(bytes)
}
