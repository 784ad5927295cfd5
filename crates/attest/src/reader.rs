//! How evidence in binary is read.

use crate::{Check, Refusal};

/// Reads bytes from front to back; what is missing is named.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8], Refusal> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.short(what, count));
        };
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Refusal> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else {
            return Err(self.short(what, N));
        };
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self, what: &str) -> Result<u8, Refusal> {
        self.array(what).map(u8::from_be_bytes)
    }

    pub(crate) fn u16_be(&mut self, what: &str) -> Result<u16, Refusal> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(crate) fn u16_le(&mut self, what: &str) -> Result<u16, Refusal> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(crate) fn u32_be(&mut self, what: &str) -> Result<u32, Refusal> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(crate) fn u32_le(&mut self, what: &str) -> Result<u32, Refusal> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64_be(&mut self, what: &str) -> Result<u64, Refusal> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// Reads bytes behind their count (a TPM2B), of which there may be so many.
    pub(crate) fn sized(&mut self, most: usize, what: &str) -> Result<&'a [u8], Refusal> {
        let count = usize::from(self.u16_be(what)?);
        if count > most {
            let expected = format!("{what} of at most {most} bytes");
            return Err(Refusal::new(Check::EvidenceEncoding, expected, count));
        }
        self.take(count, what)
    }

    /// Takes a part of so many bytes, to be read by itself.
    pub(crate) fn part(&mut self, count: u32, what: &str) -> Result<Self, Refusal> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.take(count, what).map(Self::new)
    }

    /// Ends reading: nothing may be left.
    pub(crate) fn finish(self, what: &str) -> Result<(), Refusal> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let got = format!("{} bytes behind it", self.rest.len());
        Err(Refusal::new(Check::EvidenceEncoding, format!("the end of {what}"), got))
    }

    pub(crate) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn short(&self, what: &str, count: usize) -> Refusal {
        let got = format!("{} bytes", self.rest.len());
        Refusal::new(Check::EvidenceEncoding, format!("{what}: {count} bytes"), got)
    }
}
