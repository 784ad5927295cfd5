//! Attestation keys that a virtual TPM comes with, certified by who makes it.
//!
//! | cloud | certificate, at NV index | key |
//! |---|---|---|
//! | Google, Confidential VM | 0x01C10002 of P-256, 0x01C10000 of RSA | of the template at the index after it, in the endorsement hierarchy |
//! | Azure, Trusted Launch | 0x01C101D0 | persistent, 0x81000003 |

use std::io::{Read, Write};

use super::{
    EMPTY_PASSWORD, Key, MAX_RESPONSE, NO_SESSIONS, OWNER, Reader, SESSIONS, Tpm, TpmError,
    malformed, parameters_of,
};
use crate::Refusal;

/// Google's certificates; the template of each key stands at the index after it.
const GOOGLE: [u32; 2] = [0x01c1_0002, 0x01c1_0000];
/// Azure's certificate and key.
const AZURE: (u32, u32) = (0x01c1_01d0, 0x8100_0003);

/// The most bytes of an index that is read: a certificate, with zeros behind it.
const MAX_SIZE: u16 = 8 << 10;
/// How many bytes are read at a time; every TPM gives so many (TPM_PT_NV_BUFFER_MAX).
const CHUNK: u16 = 512;
/// TPM_RC_HANDLE, whichever handle it is about: there is no such index.
const NO_HANDLE: u32 = 0x8b;
/// TPMA_NV: the owner may read; it was written.
const OWNER_READ: u32 = 1 << 17;
const WRITTEN: u32 = 1 << 29;

impl<T: Read + Write> Tpm<T> {
    /// Finds the key that the TPM came with, and its certificate in DER.
    pub(super) fn makers_key(&mut self) -> Result<Option<(Key, Vec<u8>)>, TpmError> {
        for index in GOOGLE {
            if let Some(certificate) = self.read_nv(index)?
                && let Some(template) = self.read_nv(index + 1)?
            {
                return Ok(Some((Key::Endorsement(template), without_padding(certificate))));
            }
        }
        let (index, handle) = AZURE;
        let certificate = self.read_nv(index)?;
        Ok(certificate.map(|found| (Key::Persistent(handle), without_padding(found))))
    }

    /// Reads an index to its end (TPM2_NV_Read); `None` if it is not defined or was never written.
    fn read_nv(&mut self, index: u32) -> Result<Option<Vec<u8>>, TpmError> {
        let Some((attributes, size)) = self.describe_nv(index)? else { return Ok(None) };
        let command = "TPM2_NV_Read";
        if attributes & WRITTEN == 0 {
            return Ok(None);
        }
        if size > MAX_SIZE {
            let what = format!("index {index:#010x} has {size} bytes, of at most {MAX_SIZE}");
            return Err(TpmError::Malformed { command, what });
        }
        let malformed = |refusal: Refusal| malformed(command, &refusal);
        let reader = if attributes & OWNER_READ == 0 { index } else { OWNER };
        let mut content = Vec::new();
        let mut offset = 0;
        while offset < size {
            let count = CHUNK.min(size - offset);
            let parameters = [
                &reader.to_be_bytes()[..],
                &index.to_be_bytes(),
                &EMPTY_PASSWORD,
                &count.to_be_bytes(),
                &offset.to_be_bytes(),
            ];
            let response = self.send(command, SESSIONS, 0x14e, &parameters)?;
            let mut reader = parameters_of(&response).map_err(malformed)?;
            let read = reader.sized(usize::from(count), "data").map_err(malformed)?;
            if read.len() != usize::from(count) {
                let what = format!("expected {count} bytes, got {}", read.len());
                return Err(TpmError::Malformed { command, what });
            }
            content.extend_from_slice(read);
            offset += count;
        }
        Ok(Some(content))
    }

    /// Returns the attributes and the size of an index (TPM2_NV_ReadPublic), if there is one.
    fn describe_nv(&mut self, index: u32) -> Result<Option<(u32, u16)>, TpmError> {
        let command = "TPM2_NV_ReadPublic";
        let response = match self.send(command, NO_SESSIONS, 0x169, &[&index.to_be_bytes()]) {
            Err(TpmError::Refused { code, .. }) if code & 0xff == NO_HANDLE => return Ok(None),
            other => other?,
        };
        let malformed = |refusal: Refusal| malformed(command, &refusal);
        let mut reader = Reader::new(&response);
        let public = reader.sized(MAX_RESPONSE, "nvPublic").map_err(malformed)?;
        let mut reader = Reader::new(public);
        let mut read = || {
            reader.u32_be("nvIndex")?;
            reader.u16_be("nameAlg")?;
            let attributes = reader.u32_be("attributes")?;
            reader.sized(MAX_RESPONSE, "authPolicy")?;
            Ok((attributes, reader.u16_be("dataSize")?))
        };
        read().map(Some).map_err(malformed)
    }
}

/// Returns a certificate without what stands behind it: an index may be longer.
fn without_padding(mut index: Vec<u8>) -> Vec<u8> {
    // A SEQUENCE whose length has two bytes: certificates are neither shorter nor longer.
    if let [0x30, 0x82, high, low, ..] = index.as_slice() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        index.truncate(4 + length);
    }
    index
}
