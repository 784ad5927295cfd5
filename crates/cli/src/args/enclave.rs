use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct EnclaveArgs {
    /// Where to listen: tcp:IP:PORT, or vsock:CID:PORT, where 4294967295 is any CID
    #[arg(long, value_name = "ADDRESS", default_value = "tcp:127.0.0.1:8404")]
    pub(crate) listen: String,
    /// A folder of model packages; by default the three that this program carries. No others can be loaded
    /// later
    #[arg(long, value_name = "FOLDER", env = "ASSAY_MODELS", hide_env_values = true)]
    pub(crate) models: Option<PathBuf>,
    /// Where evidence comes from
    #[arg(long, value_enum)]
    pub(crate) attester: AttesterKind,
    /// The folder of the root that simulated evidence ends at; it is made if it is not there
    #[arg(long, value_name = "FOLDER")]
    pub(crate) development_root: Option<PathBuf>,
    /// The certificates of the device's key in PEM, from its own to the root: of an SEV-SNP machine whose
    /// host gives none, or of a TPM's attestation key. Where the TPM came with a key those above its
    /// certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) certificates: Option<PathBuf>,
    /// What Intel says of a TDX machine, as JSON. It is read anew for each key, and has to be renewed
    /// before it expires
    #[arg(long, value_name = "FILE")]
    pub(crate) collateral: Option<PathBuf>,
    /// For how long a key is used: from 1m to 1h
    #[arg(long, value_name = "TIME", default_value = "30m")]
    pub(crate) epoch: String,
    /// End when standard input does
    #[arg(long)]
    pub(crate) until_stdin_ends: bool,
    /// Print what was started as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where an enclave's evidence comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum AttesterKind {
    /// The Nitro Secure Module of an AWS Nitro Enclave
    Nitro,
    /// The kernel of a TDX or SEV-SNP guest (configfs-tsm)
    Tsm,
    /// The TPM 2.0 of this machine (/dev/tpmrm0): it measures what was booted and isolates nothing
    Tpm,
    /// A Nitro Secure Module that is none, for development
    SimulatedNitro,
    /// A TPM that is a program, for development
    Swtpm,
}

impl AttesterKind {
    /// Returns the name that the command line and the configuration have for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nitro => "nitro",
            Self::Tsm => "tsm",
            Self::Tpm => "tpm",
            Self::SimulatedNitro => "simulated-nitro",
            Self::Swtpm => "swtpm",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::value_variants().iter().copied().find(|kind| kind.name() == name)
    }

    pub(crate) fn names() -> Vec<&'static str> {
        Self::value_variants().iter().map(|kind| kind.name()).collect()
    }

    /// Says whether its evidence ends at a development root.
    pub(crate) const fn is_simulated(self) -> bool {
        match self {
            Self::Nitro | Self::Tsm | Self::Tpm => false,
            Self::SimulatedNitro | Self::Swtpm => true,
        }
    }

    /// Says whether its evidence shows what was booted, and no isolation.
    pub(crate) const fn is_of_boot(self) -> bool {
        matches!(self, Self::Tpm | Self::Swtpm)
    }
}
