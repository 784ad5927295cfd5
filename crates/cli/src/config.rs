//! The gateway's configuration: one TOML file, and the environment over it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use confique::Config as _;
use serde::Serialize;

use crate::error::CliError;

/// Configuration of `assay serve`. Every setting can be given in this file or in the environment
/// variable named beside it, which counts more.
#[derive(Clone, Debug, confique::Config, Serialize)]
pub(crate) struct Config {
    /// Where the gateway listens.
    #[config(env = "ASSAY_LISTEN", default = "127.0.0.1:8402")]
    pub(crate) listen: SocketAddr,

    /// How clients reach the gateway, without a slash at the end. By default http:// and the
    /// address it listens on.
    #[config(env = "ASSAY_PUBLIC_URL")]
    pub(crate) public_url: Option<String>,

    /// The folder of the database, the evidence, and the development chain and keys.
    #[config(env = "ASSAY_DATA", default = "assay-data")]
    pub(crate) data: PathBuf,

    /// The folder of model packages.
    #[config(env = "ASSAY_MODELS", default = "models")]
    pub(crate) models: PathBuf,

    /// The file with the prices. On a development chain every model costs 0.001 without it.
    #[config(env = "ASSAY_PRICES")]
    pub(crate) prices: Option<PathBuf>,

    /// When a step is on the disk: "full" survives a loss of power, "normal" the end of the
    /// process.
    #[config(env = "ASSAY_DURABILITY", default = "full")]
    pub(crate) durability: String,

    /// How many inferences run at a time. By default one for each core.
    #[config(env = "ASSAY_PARALLEL")]
    pub(crate) parallel: Option<usize>,

    #[config(nested)]
    pub(crate) http: Http,

    #[config(nested)]
    pub(crate) keys: Keys,

    #[config(nested)]
    pub(crate) chain: Chain,

    #[config(nested)]
    pub(crate) payment: Payment,
}

/// Limits of HTTP requests.
#[derive(Clone, Debug, confique::Config, Serialize)]
pub(crate) struct Http {
    /// The most bytes a request's body may have.
    #[config(env = "ASSAY_BODY_LIMIT", default = 8_388_608)]
    pub(crate) body_limit: usize,

    /// How long a request's body may take to arrive.
    #[config(env = "ASSAY_BODY_TIMEOUT", default = "30s")]
    pub(crate) body_timeout: String,
}

/// The operator's keys.
#[derive(Clone, Debug, confique::Config, Serialize)]
pub(crate) struct Keys {
    /// The folder with `receipt.pem` and `manifest.json`; see `assay key new`. On a development
    /// chain it is made without it.
    #[config(env = "ASSAY_KEYS")]
    pub(crate) folder: Option<PathBuf>,
}

/// The chain that payments are settled on.
#[derive(Clone, Debug, confique::Config, Serialize)]
pub(crate) struct Chain {
    /// The chain's JSON-RPC URL. Without it a development chain is started.
    #[config(env = "ASSAY_RPC_URL")]
    pub(crate) rpc_url: Option<String>,

    /// The network that must be behind the URL, CAIP-2, as "eip155:8453".
    #[config(env = "ASSAY_NETWORK")]
    pub(crate) network: Option<String>,

    /// How many blocks have to hold a settlement, its own included.
    #[config(env = "ASSAY_CONFIRMATIONS", default = 1)]
    pub(crate) confirmations: u64,

    /// Where the development chain listens, when one is started.
    #[config(env = "ASSAY_DEVCHAIN_LISTEN", default = "127.0.0.1:8545")]
    pub(crate) devchain_listen: SocketAddr,
}

/// How payments are settled.
#[derive(Clone, Debug, confique::Config, Serialize)]
pub(crate) struct Payment {
    /// The account that is paid, an EVM address. It must be in the key manifest. On a development
    /// chain it is made without it.
    #[config(env = "ASSAY_PAY_TO")]
    pub(crate) pay_to: Option<String>,

    /// The file with the settling account's secp256k1 key in hexadecimal; it pays the gas. On a
    /// development chain a funded account without it. The key itself may stand in the environment
    /// variable ASSAY_SETTLEMENT_KEY.
    #[config(env = "ASSAY_SETTLEMENT_KEY_FILE")]
    pub(crate) settlement_key_file: Option<PathBuf>,

    /// The URL of an x402 facilitator that settles in place of a key of one's own.
    #[config(env = "ASSAY_FACILITATOR_URL")]
    pub(crate) facilitator_url: Option<String>,

    /// Seconds that a payer's authorisation has to be good for: more than the longest inference
    /// and settlement.
    #[config(env = "ASSAY_MAX_TIMEOUT_SECONDS", default = 60)]
    pub(crate) max_timeout_seconds: u64,
}

impl Config {
    /// Reads the file, if there is one, and the environment over it.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, CliError> {
        let mut builder = Self::builder().env();
        if let Some(file) = file {
            if !file.exists() {
                let message = format!("{}: there is no such configuration file", file.display());
                return Err(CliError::Input(message));
            }
            builder = builder.file(file);
        }
        builder.load().map_err(|error| CliError::Input(format!("configuration: {error:#}")))
    }

    /// Returns the configuration file with every setting, its meaning, variable and default.
    pub(crate) fn template() -> String {
        confique::toml::template::<Self>(confique::toml::FormatOptions::default())
    }
}
