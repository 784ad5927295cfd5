use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct EnclaveArgs {
    /// Where to listen: tcp:HOST:PORT, or vsock:CID:PORT, where 4294967295 is any CID
    #[arg(long, value_name = "ADDRESS", default_value = "tcp:127.0.0.1:8404")]
    pub(crate) listen: String,
    /// A folder of model packages; by default the two that this program carries. No others can be loaded
    /// later
    #[arg(long, value_name = "FOLDER", env = "ASSAY_MODELS", hide_env_values = true)]
    pub(crate) models: Option<PathBuf>,
    /// Where evidence comes from
    #[arg(long, value_enum)]
    pub(crate) attester: AttesterKind,
    /// The folder of the root that simulated evidence ends at; it is made if it is not there
    #[arg(long, value_name = "FOLDER")]
    pub(crate) development_root: Option<PathBuf>,
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
    /// A Nitro Secure Module that is none, for development
    SimulatedNitro,
}

impl AttesterKind {
    /// Returns the name that the command line and the configuration have for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nitro => "nitro",
            Self::Tsm => "tsm",
            Self::SimulatedNitro => "simulated-nitro",
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
            Self::Nitro | Self::Tsm => false,
            Self::SimulatedNitro => true,
        }
    }
}
