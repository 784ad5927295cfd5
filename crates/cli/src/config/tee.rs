//! The enclaves of the method `tee`.

use std::path::PathBuf;
use std::time::Duration;

use assay_enclave::Address;
use assay_primitives::parse_duration;
use serde::Serialize;

use crate::args::AttesterKind;

/// A key has to be used for a while, and for an hour at most.
const EPOCHS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(3_600);

/// The enclaves that certify by the method `tee`.
#[derive(Clone, Debug, confique::Config, Serialize)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Tee {
    /// Where the evidence of an enclave comes from that is started beside the gateway: "nitro", or
    /// "tsm" in a TDX or SEV-SNP guest. "tpm" measures what was booted and isolates nothing: it takes a
    /// policy that accepts that. "simulated-nitro" and "swtpm" (a TPM that is a program) are for
    /// development, and their evidence is simulated. "none" starts no enclave. By default
    /// "simulated-nitro" on a development chain, and "none" on others.
    #[config(env = "ASSAY_TEE_ATTESTER")]
    pub(crate) attester: Option<String>,

    /// Enclaves that run `assay enclave` elsewhere, as "vsock:16:5005" or "tcp:10.0.0.7:8404"; in the
    /// environment with commas between them. All have the same models.
    #[config(
        env = "ASSAY_TEE_ENCLAVES",
        default = [],
        parse_env = confique::env::parse::list_by_comma
    )]
    pub(crate) enclaves: Vec<String>,

    /// For how long a key of an enclave's is used: from 1m to 1h.
    #[config(env = "ASSAY_TEE_EPOCH", default = "30m")]
    pub(crate) epoch: String,

    /// The file with the certificates of the device's key, in PEM: for "tsm" on an SEV-SNP machine whose
    /// host gives none, and for "tpm".
    #[config(env = "ASSAY_TEE_CERTIFICATES")]
    pub(crate) certificates: Option<PathBuf>,

    /// The file with what Intel says of a TDX machine, as JSON, for "tsm". It is read anew for each key.
    #[config(env = "ASSAY_TEE_COLLATERAL")]
    pub(crate) collateral: Option<PathBuf>,

    /// The file with the attestation policy that evidence has to fulfil before anything is charged
    /// for. By default every kind of TEE that is not in debug mode, and of Intel's what is up to date.
    /// That with less than min_strength = "tee" is for development: on a network with real money nothing
    /// else is sold.
    #[config(env = "ASSAY_TEE_POLICY")]
    pub(crate) policy: Option<PathBuf>,
}

impl Tee {
    /// Returns the attester that is asked for; `None` for the default, `Some(None)` for none.
    pub(crate) fn attester(&self) -> Result<Option<Option<AttesterKind>>, String> {
        match self.attester.as_deref() {
            None => Ok(None),
            Some("none") => Ok(Some(None)),
            Some(name) => {
                let kind = AttesterKind::from_name(name).ok_or_else(|| {
                    let known = AttesterKind::names().join("\", \"");
                    format!("tee.attester: expected \"none\", \"{known}\", got \"{name}\"")
                })?;
                Ok(Some(Some(kind)))
            }
        }
    }

    /// Returns the addresses of enclaves elsewhere.
    pub(crate) fn enclaves(&self) -> Result<Vec<Address>, String> {
        let given = self.enclaves.iter().filter(|address| !address.trim().is_empty());
        let addresses = given.map(|address| address.trim().parse()).collect::<Result<_, _>>();
        addresses.map_err(|error: assay_enclave::AddressError| format!("tee.enclaves: {error}"))
    }

    pub(crate) fn epoch(&self) -> Result<Duration, String> {
        epoch(&self.epoch).map_err(|error| format!("tee.epoch: {error}"))
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.attester()?;
        self.enclaves()?;
        self.epoch()?;
        Ok(())
    }
}

/// Reads how long an epoch is.
pub(crate) fn epoch(text: &str) -> Result<Duration, String> {
    let epoch = parse_duration(text).map_err(|error| error.to_string())?;
    match EPOCHS.contains(&epoch) {
        true => Ok(epoch),
        false => Err(format!("expected 1m to 1h, got {text}")),
    }
}
