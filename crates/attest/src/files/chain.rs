//! Certificates in any order.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_cert::Certificate;

use super::{FilesError, has_pem, refused, unusable};
use crate::x509;

/// The most certificates of all files.
const MAX_CERTIFICATES: usize = 64;

/// What the certificates of keys that sign SEV-SNP reports are named.
const VEKS: &[&str] = &["SEV-VCEK", "SEV-VLEK"];

/// Certificates, each once, in the order of the files.
#[derive(Default)]
pub(super) struct Pool {
    all: Vec<(Vec<u8>, Certificate)>,
}

impl Pool {
    /// Takes the certificates of a file; says whether it has any.
    pub(super) fn add(&mut self, at: usize, file: &[u8]) -> Result<bool, FilesError> {
        let ders: Vec<Vec<u8>> = if has_pem(file) {
            CertificateDer::pem_slice_iter(file)
                .map(|der| der.map(|der| der.to_vec()))
                .collect::<Result<_, _>>()
                .map_err(|error| unusable(at, format!("certificates in PEM: {error}")))?
        } else if matches!(file, [0x30, 0x82, ..]) {
            vec![file.to_vec()]
        } else {
            return Ok(false);
        };
        for der in ders {
            if self.all.iter().any(|(other, _)| *other == der) {
                continue;
            }
            if self.all.len() == MAX_CERTIFICATES {
                return Err(unusable(at, format!("more than {MAX_CERTIFICATES} certificates")));
            }
            let read = x509::read(&der).map_err(|refusal| refused(at, &refusal))?;
            self.all.push((der, read));
        }
        Ok(true)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns the chain from the certificate that signs no other, in order. Where it breaks off, the
    /// others follow, roots last: what is wrong with them is for the verifier to say.
    pub(super) fn chain(mut self) -> Vec<Vec<u8>> {
        let signs_none = |(_, one): &(Vec<u8>, Certificate)| {
            let mut others = self.all.iter().map(|(_, other)| other).filter(|other| *other != one);
            !others.any(|other| x509::is_issued_by(other, one))
        };
        let leaf = self.all.iter().position(signs_none).unwrap_or_default();
        let mut chain = self.from(leaf);
        let is_whole = chain.last().is_some_and(|(_, last)| x509::is_issued_by(last, last));
        if !is_whole {
            let (roots, others): (Vec<_>, Vec<_>) =
                self.all.into_iter().partition(|(_, one)| x509::is_issued_by(one, one));
            chain.extend(others);
            chain.extend(roots);
        }
        chain.into_iter().map(|(der, _)| der).collect()
    }

    /// Returns the certificates of a VEK, of the CA that signed it, and of the root.
    pub(super) fn of_amd(mut self) -> Result<Vec<Vec<u8>>, FilesError> {
        let is_vek = |(_, one): &(Vec<u8>, Certificate)| VEKS.contains(&&*x509::common_name(one));
        let Some(vek) = self.all.iter().position(is_vek) else {
            return Err(FilesError::Missing("the certificate of the VCEK or VLEK"));
        };
        let chain = self.from(vek);
        match chain.len() {
            1 => Err(FilesError::Missing(
                "the certificate of the ASK or ASVK, which signed the VEK's",
            )),
            2 => Err(FilesError::Missing("the certificate of the ARK, which signed the CA's")),
            _ => Ok(chain.into_iter().take(3).map(|(der, _)| der).collect()),
        }
    }

    /// Takes out a certificate and, by their names, those above it.
    fn from(&mut self, leaf: usize) -> Vec<(Vec<u8>, Certificate)> {
        let mut chain: Vec<(Vec<u8>, Certificate)> = Vec::new();
        let mut next = (leaf < self.all.len()).then_some(leaf);
        while let Some(at) = next {
            let one = self.all.remove(at);
            let is_root = x509::is_issued_by(&one.1, &one.1);
            next = self.all.iter().position(|(_, other)| x509::is_issued_by(&one.1, other));
            next = next.filter(|_| !is_root);
            chain.push(one);
        }
        chain
    }
}
