//! Documents by the Nitro Secure Module, in a Nitro Enclave.

use std::path::Path;

use assay_primitives::printable;
use aws_nitro_enclaves_nsm_api::api::{Request, Response};
use aws_nitro_enclaves_nsm_api::driver::{nsm_exit, nsm_init, nsm_process_request};

use super::{Attester, CollectError};
use crate::{Evidence, KeyBinding};

/// The module's device.
const DEVICE: &str = "/dev/nsm";

/// The Nitro Secure Module of the enclave that this process runs in.
#[derive(Debug)]
pub struct Nsm {
    descriptor: i32,
}

impl Nsm {
    /// Opens the device.
    ///
    /// # Errors
    /// When this is no Nitro Enclave.
    pub fn open() -> Result<Self, CollectError> {
        let path = Path::new(DEVICE);
        if !path.exists() {
            let what = "Nitro Secure Module";
            return Err(CollectError::Missing { what, path: path.to_path_buf() });
        }
        match nsm_init() {
            descriptor @ 0.. => Ok(Self { descriptor }),
            _ => Err(CollectError::Device {
                path: path.to_path_buf(),
                error: std::io::Error::last_os_error(),
            }),
        }
    }
}

impl Attester for Nsm {
    fn attest(&self, binding: &KeyBinding) -> Result<Evidence, CollectError> {
        let request = Request::Attestation {
            user_data: Some(binding.digest().to_vec().into()),
            nonce: binding.nonce.clone().map(Into::into),
            public_key: Some(binding.epoch_key.clone().into()),
        };
        match nsm_process_request(self.descriptor, request) {
            Response::Attestation { document } => Ok(Evidence::Nitro { document }),
            other => Err(CollectError::Answer {
                device: "Nitro Secure Module",
                expected: "an attestation document".to_owned(),
                got: printable(&format!("{other:?}"), 128),
            }),
        }
    }
}

impl Drop for Nsm {
    fn drop(&mut self) {
        nsm_exit(self.descriptor);
    }
}
