//! TPMT_SIGNATURE (TPM 2.0 library, part 2, section 11.3.4), and the keys that it is checked with.

use der::asn1::{ObjectIdentifier, UintRef};
use der::{Decode as _, Encode as _};
use ring::signature::{
    self, EcdsaVerificationAlgorithm, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::quote::TpmHash;
use crate::reader::Reader;
use crate::{Check, Refusal};

/// The most bytes of a number in an RSA key or signature: 4096 bits.
const MAX_RSA: usize = 512;
/// The most bytes of a number in an ECDSA signature: P-384.
const MAX_ECDSA: usize = 48;
/// The most bytes of a public key.
const MAX_KEY: usize = 1024;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// How a signature was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scheme {
    /// RSASSA-PKCS1-v1_5.
    Rsassa,
    /// RSASSA-PSS, with a salt as long as the digest: TPMs that salt with as much as fits are refused.
    Rsapss,
    /// ECDSA.
    Ecdsa,
}

impl Scheme {
    /// Returns the name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rsassa => "RSASSA",
            Self::Rsapss => "RSAPSS",
            Self::Ecdsa => "ECDSA",
        }
    }
}

/// A signature as a TPM gives it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Signature<'a> {
    /// How it was made.
    pub(crate) scheme: Scheme,
    /// What was hashed with.
    pub(crate) hash: TpmHash,
    /// The signature's number, of ECDSA `r` and `s`.
    pub(crate) numbers: Vec<&'a [u8]>,
}

impl<'a> Signature<'a> {
    /// Reads a signature to its last byte.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(bytes);
        let scheme = match reader.u16_be("sigAlg")? {
            0x0014 => Scheme::Rsassa,
            0x0016 => Scheme::Rsapss,
            0x0018 => Scheme::Ecdsa,
            id => {
                let got = format!("TPM_ALG_ID {id:#06x}");
                return Err(unknown("a signature with RSASSA, RSAPSS or ECDSA", got));
            }
        };
        let hash = TpmHash::from_id(reader.u16_be("hash")?, "a signature")?;
        let numbers = match scheme {
            Scheme::Rsassa | Scheme::Rsapss => vec![reader.sized(MAX_RSA, "sig")?],
            Scheme::Ecdsa => {
                vec![reader.sized(MAX_ECDSA, "signatureR")?, reader.sized(MAX_ECDSA, "signatureS")?]
            }
        };
        reader.finish("the signature")?;
        Ok(Self { scheme, hash, numbers })
    }
}

/// A key that may sign quotes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PublicKey {
    /// An RSA key: modulus and exponent, big-endian.
    Rsa(Vec<u8>, Vec<u8>),
    /// A point of P-256, uncompressed.
    P256(Vec<u8>),
    /// A point of P-384, uncompressed.
    P384(Vec<u8>),
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in DER.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, Refusal> {
        if der.len() > MAX_KEY {
            let expected = format!("a public key of at most {MAX_KEY} bytes");
            return Err(Refusal::new(Check::EvidenceSize, expected, der.len()));
        }
        let info = SubjectPublicKeyInfoOwned::from_der(der).map_err(|error| malformed(&error))?;
        Self::from_info(&info)
    }

    /// Takes the key of a certificate.
    pub(crate) fn from_info(info: &SubjectPublicKeyInfoOwned) -> Result<Self, Refusal> {
        let bytes = info.subject_public_key.raw_bytes();
        let algorithm = info.algorithm.oid;
        if algorithm == RSA_ENCRYPTION {
            // RSAPublicKey (RFC 8017, appendix A.1.1): the sequence of modulus and exponent.
            let numbers = Vec::<UintRef<'_>>::from_der(bytes).map_err(|error| malformed(&error))?;
            let [n, e] = numbers.as_slice() else {
                return Err(malformed(&"other than two numbers"));
            };
            return Ok(Self::Rsa(n.as_bytes().to_vec(), e.as_bytes().to_vec()));
        }
        let parameters = info.algorithm.parameters.as_ref();
        let curve = parameters.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        match (algorithm == EC_PUBLIC_KEY, curve) {
            (true, Some(P256)) => Ok(Self::P256(bytes.to_vec())),
            (true, Some(P384)) => Ok(Self::P384(bytes.to_vec())),
            _ => Err(unknown("an attestation key of RSA, P-256 or P-384", algorithm)),
        }
    }

    /// Checks a signature over a message.
    pub(crate) fn verify(&self, message: &[u8], signature: &Signature<'_>) -> Result<(), Refusal> {
        let is_good = match (self, signature.numbers.as_slice()) {
            (Self::Rsa(n, e), [number]) => {
                let algorithm = rsa(signature.scheme, signature.hash)?;
                RsaPublicKeyComponents { n, e }.verify(algorithm, message, number)
            }
            (Self::P256(point) | Self::P384(point), [r, s]) => {
                let algorithm = self.ecdsa(signature.hash)?;
                let signature = ecdsa_der(r, s).map_err(|error| malformed(&error))?;
                UnparsedPublicKey::new(algorithm, point).verify(message, &signature)
            }
            _ => return Err(unknown("a signature of the attestation key's kind", self.name())),
        };
        let expected = format!("a signature of the attestation key, {}", self.name());
        is_good.map_err(|_| Refusal::new(Check::EvidenceSignature, expected, "another"))
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Rsa(..) => "RSA",
            Self::P256(_) => "P-256",
            Self::P384(_) => "P-384",
        }
    }

    fn ecdsa(&self, hash: TpmHash) -> Result<&'static EcdsaVerificationAlgorithm, Refusal> {
        match (self, hash) {
            (Self::P256(_), TpmHash::Sha256) => Ok(&signature::ECDSA_P256_SHA256_ASN1),
            (Self::P384(_), TpmHash::Sha256) => Ok(&signature::ECDSA_P384_SHA256_ASN1),
            (Self::P384(_), TpmHash::Sha384) => Ok(&signature::ECDSA_P384_SHA384_ASN1),
            _ => {
                let got = format!("{} with {}", self.name(), hash.as_str());
                Err(unknown("P-256 with SHA-256, or P-384 with that or SHA-384", got))
            }
        }
    }
}

fn rsa(scheme: Scheme, hash: TpmHash) -> Result<&'static RsaParameters, Refusal> {
    match (scheme, hash) {
        (Scheme::Rsassa, TpmHash::Sha256) => Ok(&signature::RSA_PKCS1_2048_8192_SHA256),
        (Scheme::Rsapss, TpmHash::Sha256) => Ok(&signature::RSA_PSS_2048_8192_SHA256),
        _ => Err(unknown("RSA with SHA-256", hash.as_str())),
    }
}

/// Writes Ecdsa-Sig-Value (RFC 3279, section 2.2.3): the sequence of `r` and `s`.
fn ecdsa_der(r: &[u8], s: &[u8]) -> der::Result<Vec<u8>> {
    vec![UintRef::new(r)?, UintRef::new(s)?].to_der()
}

fn malformed(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Check::EvidenceEncoding, "a public key and a signature in their encodings", error)
}

fn unknown(expected: &str, got: impl std::fmt::Display) -> Refusal {
    Refusal::new(Check::EvidenceAlgorithm, expected, got)
}
