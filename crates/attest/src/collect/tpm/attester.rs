//! A TPM as an attester.

use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use assay_primitives::{Digest, Timestamp, encoding};
use x509_cert::ext::pkix::BasicConstraints;

use super::{Key, SimulatedTpmRoot, Tpm, TpmError};
use crate::collect::{Attester, CollectError};
use crate::tpm::check_signer;
use crate::{AttestationKey, Evidence, KeyBinding, tpm_extra_data, x509};

/// The PCRs that are quoted: all that a boot measures once. 0 to 7 have the firmware, its
/// configuration and Secure Boot's keys, 8 and 9 what GRUB reads and does, 11 and 12 the unified kernel
/// image with its initial file system, and its command line (systemd-stub). 10 is left out: Linux' IMA
/// extends it with every program that is run, so no value can be expected of it.
pub const QUOTED_PCRS: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12];
/// The PCR that has the enclave program. On a machine that boots one image with the program in it, that
/// is where the image is measured; in development the program stands for the image. Until the next
/// boot nothing undoes what was measured into it: PCRs 16 and 23 can be reset by whoever may talk to
/// the TPM, and would show nothing.
pub const PROGRAM_PCR: u8 = 11;

/// Where a TPM is.
#[derive(Debug)]
#[non_exhaustive]
pub enum TpmPlace {
    /// A device, [`super::DEVICE`] for one.
    Device(PathBuf),
    /// The address at which a software TPM listens.
    Address(SocketAddr),
    /// The other end of this connection, the only one that there is.
    #[cfg(unix)]
    Connection(UnixStream),
}

/// A TPM that quotes what was booted, with a key that somebody certified.
#[derive(Debug)]
pub struct TpmAttester {
    /// One command at a time.
    place: Mutex<TpmPlace>,
    pub(super) key: Key,
    /// The key's, those between, the root.
    certificates: Vec<Vec<u8>>,
}

pub(super) trait Stream: Read + Write + Debug {}
impl<T: Read + Write + Debug> Stream for T {}

impl TpmPlace {
    fn open(&self) -> Result<Tpm<Box<dyn Stream>>, TpmError> {
        let stream: Box<dyn Stream> = match self {
            Self::Device(path) => Box::new(Tpm::open(path)?.connection),
            Self::Address(address) => Box::new(Tpm::<TcpStream>::connect(*address)?.connection),
            #[cfg(unix)]
            Self::Connection(stream) => {
                let absent = |source| TpmError::Absent { place: "its socket".to_owned(), source };
                Box::new(stream.try_clone().map_err(absent)?)
            }
        };
        let mut tpm = Tpm::new(stream);
        tpm.start()?;
        Ok(tpm)
    }

    /// Has the TPM do something.
    pub(super) fn with<R>(
        &self,
        work: impl FnOnce(&mut Tpm<Box<dyn Stream>>) -> Result<R, TpmError>,
    ) -> Result<R, TpmError> {
        let done = self.open().and_then(|mut tpm| work(&mut tpm));
        #[cfg(unix)]
        if let (Self::Connection(stream), Err(TpmError::Broken { .. })) = (self, &done) {
            // A response that came late would be taken for that of the next command.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        done
    }
}

impl TpmAttester {
    /// Takes a TPM, and finds the key that `certificates` are of. The first may be the certificate of
    /// this TPM's owner's key, which [`Tpm::quote`] signs with. Otherwise they begin with the one above
    /// that of the key that the TPM came with, as Google's and Azure's do. The last is the root.
    ///
    /// # Errors
    /// When there is no TPM, or the certificates are of no key of its.
    pub fn open(place: TpmPlace, certificates: &[Vec<u8>]) -> Result<Self, CollectError> {
        let is_leaf = match certificates.first() {
            Some(first) => !is_ca(first)?,
            None => false,
        };
        let found = match is_leaf {
            true => Some((Key::Own, Vec::new())),
            false => place.with(Tpm::makers_key)?,
        };
        let Some((key, leaf)) = found else {
            let key = encoding::base64(&place.with(Tpm::own_key)?);
            let expected = format!("the chain of its attestation key, in DER and base64 {key}");
            return Err(wrong(expected, "none: it did not come with one"));
        };
        let leaf = Some(leaf).filter(|leaf| !leaf.is_empty());
        let chain: Vec<Vec<u8>> = leaf.into_iter().chain(certificates.iter().cloned()).collect();
        let [leaf, _, ..] = chain.as_slice() else {
            let leaf = chain.first().map(|leaf| x509::read(leaf)).transpose()?;
            let name = leaf.as_ref().map(x509::name).unwrap_or_default();
            return Err(wrong(format!("those above `{name}`, up to the root"), "none"));
        };
        let tried = place.with(|tpm| tpm.quote_by(&key, &QUOTED_PCRS, &[]))?;
        check_signer(leaf, &tried.quote, &tried.signature).map_err(|refusal| {
            let expected = "the first to be of the key that signs";
            wrong(expected.to_owned(), &refusal.to_string())
        })?;
        Ok(Self { place: Mutex::new(place), key, certificates: chain })
    }

    /// Takes a TPM for development that nothing was measured with yet: measures a program into
    /// [`PROGRAM_PCR`], and has a simulated root certify the owner's key.
    ///
    /// # Errors
    /// When there is no TPM, or it does not do as it should.
    pub fn simulated(
        place: TpmPlace,
        root: &SimulatedTpmRoot,
        program: Digest,
        now: Timestamp,
    ) -> Result<Self, CollectError> {
        place.with(|tpm| tpm.extend(PROGRAM_PCR, program.as_bytes()))?;
        let leaf = root.certify(&place.with(Tpm::own_key)?, now)?;
        Self::open(place, &[leaf, root.certificate().as_der().to_vec()])
    }
}

impl Attester for TpmAttester {
    fn attest(&self, binding: &KeyBinding) -> Result<Evidence, CollectError> {
        let extra_data = tpm_extra_data(&binding.digest());
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = place.with(|tpm| tpm.quote_by(&self.key, &QUOTED_PCRS, &extra_data))?;
        Ok(Evidence::Tpm {
            quote: signed.quote,
            signature: signed.signature,
            pcrs: signed.pcrs,
            ak: AttestationKey::Certificates(self.certificates.clone()),
        })
    }
}

fn is_ca(der: &[u8]) -> Result<bool, CollectError> {
    let constraints = x509::extension::<BasicConstraints>(&x509::read(der)?)?;
    Ok(constraints.is_some_and(|constraints| constraints.ca))
}

fn wrong(expected: String, got: &str) -> CollectError {
    CollectError::Certificates { device: "TPM", expected, got: got.to_owned() }
}
