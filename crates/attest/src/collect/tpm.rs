//! TPM 2.0 by its own commands (TPM 2.0 library, part 3), over a device or a socket.
//!
//! The attestation key is one that the TPM came with and that its maker certified (`maker`), or a
//! primary key of the owner's: the TPM makes the same one from the same template as long as its owner
//! does not change, so it has one certificate. Nothing is stored in the TPM.

mod attester;
mod maker;
mod simulated;
#[cfg(unix)]
mod software;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use crate::reader::Reader;
use crate::{Pcr, Refusal, TpmHash};

pub use self::attester::{PROGRAM_PCR, QUOTED_PCRS, TpmAttester, TpmPlace};
pub use self::simulated::SimulatedTpmRoot;
#[cfg(unix)]
pub use self::software::SoftwareTpm;

/// Where Linux has the TPM behind its resource manager.
pub const DEVICE: &str = "/dev/tpmrm0";
/// The most bytes of a response, as TPMs have it (TPM_PT_MAX_RESPONSE_SIZE).
const MAX_RESPONSE: usize = 4096;
/// How long a TPM at a socket may take; the kernel bounds a device's time.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often PCRs may change between reading and quoting.
const ATTEMPTS: usize = 4;
/// The most bytes of a digest or of a coordinate.
const MAX_DIGEST: usize = 64;

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
const OWNER: u32 = 0x4000_0001;
const ENDORSEMENT: u32 = 0x4000_000b;
/// TPM_RC_INITIALIZE: it was started before.
const IS_STARTED: u32 = 0x100;
/// TPM_ALG_SHA256.
const SHA256: [u8; 2] = [0, 0x0b];

/// Authorisation with the empty password (part 1, section 19.4): handle, nonce, attributes, secret.
const EMPTY_PASSWORD: [u8; 13] = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];

/// The template of the attestation key, a TPMT_PUBLIC: ECC, names with SHA-256; fixed to this TPM and
/// parent, made in it, used with its secret, outside the dictionary-attack lockout, restricted to what
/// the TPM makes, signing; no policy; no symmetric cipher; ECDSA with SHA-256 on P-256; no KDF; any
/// point.
const TEMPLATE: [u8; 24] =
    [0, 0x23, 0, 0x0b, 0, 5, 4, 0x72, 0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10, 0, 0, 0, 0];
/// A P-256 key's SubjectPublicKeyInfo up to the coordinates of its uncompressed point.
const P256_INFO: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// A TPM that could not be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TpmError {
    /// No TPM is where it was looked for.
    #[error("no TPM at {place}: {source}")]
    Absent {
        /// The device's path, or the address.
        place: String,
        /// Why it could not be opened.
        source: io::Error,
    },
    /// The connection to the TPM broke.
    #[error("{command}: the connection to the TPM broke: {source}")]
    Broken {
        /// Which command was sent.
        command: &'static str,
        /// How.
        source: io::Error,
    },
    /// The TPM refused a command.
    #[error("{command}: the TPM answered with {code:#x}")]
    Refused {
        /// Which command.
        command: &'static str,
        /// Its TPM_RC (part 2, section 6.6).
        code: u32,
    },
    /// The TPM answered what no TPM answers.
    #[error("{command}: {what}")]
    Malformed {
        /// Which command was sent.
        command: &'static str,
        /// What was expected, and what came.
        what: String,
    },
    /// PCRs that the TPM does not have, or that change faster than they are read.
    #[error("PCRs {pcrs:?} of SHA-256: {what}")]
    Pcrs {
        /// Which.
        pcrs: Vec<u8>,
        /// What is wrong with them.
        what: &'static str,
    },
}

/// A quote with what goes with it into [`crate::Evidence::Tpm`], once somebody has certified the key.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TpmQuote {
    /// TPMS_ATTEST.
    pub quote: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub signature: Vec<u8>,
    /// The values of the PCRs.
    pub pcrs: Vec<Pcr>,
    /// The key that signed, a SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
}

/// A quote without the key that signed it.
#[derive(Debug)]
struct Signed {
    quote: Vec<u8>,
    signature: Vec<u8>,
    pcrs: Vec<Pcr>,
}

/// Which of a TPM's keys signs.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Key {
    /// The owner's primary key of [`TEMPLATE`].
    Own,
    /// The endorsement hierarchy's primary key of a template, a TPMT_PUBLIC.
    Endorsement(Vec<u8>),
    /// A key that stays in the TPM, by its handle.
    Persistent(u32),
}

/// A TPM at the other end of a connection.
#[derive(Debug)]
pub struct Tpm<T> {
    connection: T,
}

impl Tpm<File> {
    /// Opens a device, [`DEVICE`] for one.
    ///
    /// # Errors
    /// Names the path.
    pub fn open(device: &Path) -> Result<Self, TpmError> {
        let connection = OpenOptions::new().read(true).write(true).open(device);
        let absent = |source| TpmError::Absent { place: device.display().to_string(), source };
        Ok(Self::new(connection.map_err(absent)?))
    }
}

impl Tpm<TcpStream> {
    /// Connects to a software TPM: `swtpm socket --tpm2 --server type=tcp,port=… --flags startup-clear`
    /// (without `disconnect`, which would end the connection after each command).
    ///
    /// # Errors
    /// Names the address.
    pub fn connect(address: SocketAddr) -> Result<Self, TpmError> {
        let connect = || {
            let connection = TcpStream::connect_timeout(&address, TIMEOUT)?;
            connection.set_read_timeout(Some(TIMEOUT))?;
            connection.set_write_timeout(Some(TIMEOUT))?;
            connection.set_nodelay(true)?;
            Ok(connection)
        };
        let absent = |source| TpmError::Absent { place: address.to_string(), source };
        Ok(Self::new(connect().map_err(absent)?))
    }
}

impl<T: Read + Write> Tpm<T> {
    /// Takes a connection over which commands go and responses come. Who makes it bounds its time.
    #[must_use]
    pub const fn new(connection: T) -> Self {
        Self { connection }
    }

    /// Starts the TPM (TPM2_Startup), unless it was: behind a resource manager it always was.
    ///
    /// # Errors
    /// Those of the connection and of the TPM.
    pub fn start(&mut self) -> Result<(), TpmError> {
        match self.send("TPM2_Startup", NO_SESSIONS, 0x144, &[&[0, 0]]) {
            Ok(_) | Err(TpmError::Refused { code: IS_STARTED, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Quotes PCRs of the SHA-256 bank over data of at most 64 bytes, with the owner's key.
    ///
    /// # Errors
    /// Those of the connection and of the TPM.
    pub fn quote(&mut self, pcrs: &[u8], extra_data: &[u8]) -> Result<TpmQuote, TpmError> {
        let selection = Selection::of(pcrs)?;
        let (signed, public_key) = self.with_key(&Key::Own, |tpm, handle, public| {
            let signed = tpm.quote_with(handle, &selection, extra_data)?;
            Ok((signed, public_key_of(public)?))
        })?;
        let Signed { quote, signature, pcrs } = signed;
        Ok(TpmQuote { quote, signature, pcrs, public_key })
    }

    /// Extends a PCR of the SHA-256 bank (TPM2_PCR_Extend): its value becomes the SHA-256 of itself and
    /// the digest.
    ///
    /// # Errors
    /// Those of the connection and of the TPM.
    pub fn extend(&mut self, pcr: u8, digest: &[u8; 32]) -> Result<(), TpmError> {
        let handle = u32::from(pcr).to_be_bytes();
        let parameters = [&handle[..], &EMPTY_PASSWORD, &[0, 0, 0, 1], &SHA256, digest];
        self.send("TPM2_PCR_Extend", SESSIONS, 0x182, &parameters).map(|_| ())
    }

    /// Quotes with one of the TPM's keys.
    fn quote_by(&mut self, key: &Key, pcrs: &[u8], extra_data: &[u8]) -> Result<Signed, TpmError> {
        let selection = Selection::of(pcrs)?;
        self.with_key(key, |tpm, handle, _| tpm.quote_with(handle, &selection, extra_data))
    }

    /// Returns the owner's key, a SubjectPublicKeyInfo in DER.
    fn own_key(&mut self) -> Result<Vec<u8>, TpmError> {
        self.with_key(&Key::Own, |_, _, public| public_key_of(public))
    }

    /// Has a key for as long as `work` takes. It gets the key's handle, and its TPMT_PUBLIC if the key
    /// is made for it.
    fn with_key<R>(
        &mut self,
        key: &Key,
        work: impl FnOnce(&mut Self, u32, &[u8]) -> Result<R, TpmError>,
    ) -> Result<R, TpmError> {
        let (handle, public) = match key {
            Key::Persistent(handle) => return work(self, *handle, &[]),
            Key::Own => self.create_key(OWNER, &TEMPLATE)?,
            Key::Endorsement(template) => self.create_key(ENDORSEMENT, template)?,
        };
        let done = work(self, handle, &public);
        // Behind a resource manager it would go with the connection; a bare TPM has room for three.
        let flushed = self.send("TPM2_FlushContext", NO_SESSIONS, 0x165, &[&handle.to_be_bytes()]);
        let done = done?;
        flushed?;
        Ok(done)
    }

    fn quote_with(
        &mut self,
        handle: u32,
        selection: &Selection,
        extra_data: &[u8],
    ) -> Result<Signed, TpmError> {
        let command = "TPM2_Quote";
        let malformed = |refusal: Refusal| malformed(command, &refusal);
        for _ in 0..ATTEMPTS {
            let pcrs = self.read_pcrs(selection)?;
            let parameters = [
                &handle.to_be_bytes()[..],
                &EMPTY_PASSWORD,
                &sized(extra_data, command)?,
                // The key's own scheme.
                &[0, 0x10],
                &selection.list(),
            ];
            let response = self.send(command, SESSIONS, 0x158, &parameters)?;
            let mut reader = parameters_of(&response).map_err(malformed)?;
            let quote = reader.sized(MAX_RESPONSE, "quoted").map_err(malformed)?;
            let values: Vec<u8> = pcrs.iter().flat_map(|pcr| pcr.value.iter().copied()).collect();
            if quote.ends_with(&TpmHash::Sha256.digest(&values)) {
                let (quote, signature) = (quote.to_vec(), reader.rest().to_vec());
                return Ok(Signed { quote, signature, pcrs });
            }
        }
        Err(selection.wrong("they change faster than they are read"))
    }

    /// Makes a primary key (TPM2_CreatePrimary); returns its handle and TPMT_PUBLIC.
    fn create_key(&mut self, hierarchy: u32, template: &[u8]) -> Result<(u32, Vec<u8>), TpmError> {
        let command = "TPM2_CreatePrimary";
        let malformed = |refusal: Refusal| malformed(command, &refusal);
        let parameters = [
            &hierarchy.to_be_bytes()[..],
            &EMPTY_PASSWORD,
            // No secret, no data.
            &[0, 4, 0, 0, 0, 0],
            &sized(template, command)?,
            // No outside information, no PCRs.
            &[0, 0, 0, 0, 0, 0],
        ];
        let response = self.send(command, SESSIONS, 0x131, &parameters)?;
        let mut reader = Reader::new(&response);
        let handle = reader.u32_be("objectHandle").map_err(malformed)?;
        let mut reader = parameters_of(reader.rest()).map_err(malformed)?;
        let public = reader.sized(MAX_RESPONSE, "outPublic").map_err(malformed)?;
        Ok((handle, public.to_vec()))
    }

    /// Reads PCRs (TPM2_PCR_Read), of which a TPM gives a few at a time.
    fn read_pcrs(&mut self, selection: &Selection) -> Result<Vec<Pcr>, TpmError> {
        let command = "TPM2_PCR_Read";
        let malformed = |refusal: Refusal| malformed(command, &refusal);
        let mut values = Vec::new();
        let mut rest = selection.clone();
        while !rest.pcrs.is_empty() {
            let response = self.send(command, NO_SESSIONS, 0x17e, &[&rest.list()])?;
            let mut reader = Reader::new(&response);
            reader.u32_be("pcrUpdateCounter").map_err(malformed)?;
            let read = Selection::parse(&mut reader).map_err(malformed)?;
            let count = reader.u32_be("digests").map_err(malformed)?;
            let is_asked = read.pcrs.iter().all(|pcr| rest.pcrs.contains(pcr));
            if read.pcrs.is_empty() || !is_asked || usize::try_from(count) != Ok(read.pcrs.len()) {
                return Err(selection.wrong("the TPM does not have them"));
            }
            for pcr in &read.pcrs {
                let value = reader.sized(MAX_DIGEST, "digest").map_err(malformed)?;
                values.push(Pcr::new(TpmHash::Sha256, *pcr, value.to_vec()));
            }
            rest.pcrs.retain(|pcr| !read.pcrs.contains(pcr));
        }
        values.sort_by_key(|pcr| pcr.index);
        Ok(values)
    }

    /// Sends a command, and returns the response behind its header.
    fn send(
        &mut self,
        command: &'static str,
        tag: u16,
        code: u32,
        parameters: &[&[u8]],
    ) -> Result<Vec<u8>, TpmError> {
        let body = parameters.concat();
        let size = u32::try_from(10 + body.len()).unwrap_or(u32::MAX);
        let message = [&tag.to_be_bytes()[..], &size.to_be_bytes(), &code.to_be_bytes(), &body];
        let broken = |source| TpmError::Broken { command, source };
        // In one piece: a device takes each write for a command.
        self.connection.write_all(&message.concat()).map_err(broken)?;
        self.connection.flush().map_err(broken)?;
        let response = self.receive().map_err(broken)?;
        let malformed = |refusal: Refusal| malformed(command, &refusal);
        let mut reader = Reader::new(&response);
        reader.u16_be("tag").map_err(malformed)?;
        reader.u32_be("responseSize").map_err(malformed)?;
        match reader.u32_be("responseCode").map_err(malformed)? {
            0 => Ok(reader.rest().to_vec()),
            code => Err(TpmError::Refused { command, code }),
        }
    }

    /// Reads one response, whose size its header says. A device gives it in one read, a socket in any.
    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let mut buffer = vec![0; MAX_RESPONSE];
        let mut filled = 0;
        loop {
            let room = buffer.get_mut(filled..).unwrap_or_default();
            let count = match self.connection.read(room) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            filled += count;
            let Some(size) = buffer.get(2..6).filter(|_| filled >= 10) else { continue };
            let size = size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
            if !(10..=MAX_RESPONSE).contains(&size) || size < filled {
                return Err(wrong(format!("a response of {size} bytes, of which came {filled}")));
            }
            if size == filled {
                buffer.truncate(size);
                return Ok(buffer);
            }
        }
    }
}

/// PCRs of the SHA-256 bank, in order.
#[derive(Clone, Debug)]
struct Selection {
    pcrs: Vec<u8>,
}

impl Selection {
    fn of(pcrs: &[u8]) -> Result<Self, TpmError> {
        let mut selection = Self { pcrs: pcrs.to_vec() };
        selection.pcrs.sort_unstable();
        selection.pcrs.dedup();
        if selection.pcrs.is_empty() || selection.pcrs.iter().any(|pcr| *pcr >= 24) {
            return Err(selection.wrong("expected at least one, each below 24"));
        }
        Ok(selection)
    }

    /// Writes a TPML_PCR_SELECTION.
    fn list(&self) -> [u8; 10] {
        let bits = self.pcrs.iter().fold(0_u32, |bits, pcr| bits | 1 << pcr);
        let [one, two, three, _] = bits.to_le_bytes();
        let [high, low] = SHA256;
        [0, 0, 0, 1, high, low, 3, one, two, three]
    }

    /// Reads what [`Self::list`] writes, with any PCRs or none.
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let [.., one, two, three] = match reader.u32_be("pcrSelectionOut")? {
            0 => [0; 6],
            _ => reader.array("pcrSelectionOut")?,
        };
        let bits = u32::from_le_bytes([one, two, three, 0]);
        Ok(Self { pcrs: (0..24).filter(|pcr| bits & 1 << pcr != 0).collect() })
    }

    fn wrong(&self, what: &'static str) -> TpmError {
        TpmError::Pcrs { pcrs: self.pcrs.clone(), what }
    }
}

/// Returns the parameters of a response with sessions, which stand between their size and the session.
fn parameters_of(response: &[u8]) -> Result<Reader<'_>, Refusal> {
    let mut reader = Reader::new(response);
    let size = reader.u32_be("parameterSize")?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    Ok(Reader::new(reader.take(size, "parameters")?))
}

fn public_key_of(public: &[u8]) -> Result<Vec<u8>, TpmError> {
    public_key(public).map_err(|refusal| malformed("TPM2_CreatePrimary", &refusal))
}

/// Takes the point out of a TPMT_PUBLIC that follows [`TEMPLATE`].
fn public_key(public: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut reader = Reader::new(public);
    reader.take(TEMPLATE.len() - 4, "the template")?;
    let mut key = P256_INFO.to_vec();
    for what in ["x", "y"] {
        let coordinate = reader.sized(32, what)?;
        key.resize(key.len() + 32 - coordinate.len(), 0);
        key.extend(coordinate);
    }
    reader.finish("the public key")?;
    Ok(key)
}

fn sized(bytes: &[u8], command: &'static str) -> Result<Vec<u8>, TpmError> {
    let too_long = |_| TpmError::Malformed { command, what: "a parameter is too long".to_owned() };
    let size = u16::try_from(bytes.len()).map_err(too_long)?;
    Ok([&size.to_be_bytes(), bytes].concat())
}

fn malformed(command: &'static str, refusal: &Refusal) -> TpmError {
    TpmError::Malformed { command, what: refusal.to_string() }
}

#[cfg(test)]
mod tests;
