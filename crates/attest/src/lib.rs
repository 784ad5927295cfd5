//! Attestation evidence: what a TEE's vendor vouches for, checked offline.
//!
//! The words are those of RATS (RFC 9334): [`Evidence`] comes from an attester, is judged with the
//! vendor's [`Roots`] and endorsements under an appraisal [`Policy`] that holds reference values, and
//! gives [`Attested`] [`Claims`]. Nothing here touches a network or a clock: time, roots, collateral
//! and policy are arguments of [`appraise`].
//!
//! | evidence | module | follows |
//! |---|---|---|
//! | AWS Nitro attestation document | `nitro` | AWS "Nitro Enclaves attestation process"; COSE (RFC 9052) |
//! | Intel TDX and SGX quotes | `dcap` | Intel DCAP quote formats 3 to 5, by `dcap-qvl` |
//! | AMD SEV-SNP reports | `snp` | AMD 56860 (SEV-SNP firmware ABI) and 57230 (VCEK certificates) |
//! | NVIDIA GPU reports | `nvidia` | DMTF DSP0274 (SPDM 1.1) |
//! | TPM 2.0 quotes | `tpm` | TCG TPM 2.0 library, part 2; Azure's HCL report |
//!
//! Every refusal names its [`Check`] and both values.

mod claims;
#[cfg(feature = "collect")]
pub mod collect;
mod dcap;
mod evidence;
mod expectation;
mod files;
mod image;
pub mod inspect;
mod key;
mod nitro;
mod nvidia;
mod policy;
mod reader;
mod refusal;
mod roots;
mod snp;
#[cfg(test)]
mod testing;
mod tpm;
mod x509;

pub use claims::{Attested, Claims, EvidenceKind, Measurement, Strength, Tcb, Trust, Validity};
pub use dcap::Collateral;
pub use evidence::{Evidence, appraise};
pub use expectation::Expectation;
pub use files::{Files, FilesError};
pub use image::{Image, ImageError, Images, UnlistedImage};
pub use key::{
    AttestedKey, Beacon, EnclaveConfiguration, KEY_ATTESTATION_MEDIA_TYPE, KeyAppraiser,
    KeyAttestation, KeyBinding, MAX_EPOCH, MAX_NONCE, gpu_nonce, tpm_extra_data,
};
pub use policy::{MAX_SKEW, Policy, PolicyError, ReferenceValue, SnpPolicy, TcbStatus};
pub use refusal::{Check, Refusal};
pub use roots::{DevelopmentRoot, RootError, Roots};
pub use tpm::{AttestationKey, Pcr, TpmHash};
