//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// Sells AI inference whose result the buyer can check
#[derive(Debug, Parser)]
#[command(name = "assay", version, about, propagate_version = true)]
pub(crate) struct Args {
    /// Say more of what goes on (can be repeated)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole way: buy an inference on a development chain, verify it, tamper with it
    Demo(DemoArgs),
    /// Run a gateway that sells inferences
    Serve(ServeArgs),
    /// Buy an inference, verify it and keep the bundle
    Infer(InferArgs),
    /// Verify a bundle offline
    Verify(VerifyArgs),
    /// List what a gateway sells, or what is in a folder of model packages
    Models(ModelsArgs),
    /// Make and change an operator's keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print the configuration with every default
    Config(ConfigArgs),
    /// Run a development chain
    Devchain(DevchainArgs),
    /// Run an x402 facilitator: /verify, /settle, /supported
    Facilitator(FacilitatorArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Which of the model's sample inputs to buy an inference on
    #[arg(long, default_value_t = 0)]
    pub(crate) sample: usize,
    /// The model
    #[arg(long, default_value = "digits")]
    pub(crate) model: String,
    /// The folder of model packages
    #[arg(long, default_value = "models", env = "ASSAY_MODELS")]
    pub(crate) models: PathBuf,
    /// Keep the bundle in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ServeArgs {
    /// The configuration file; see `assay config`
    #[arg(long, value_name = "FILE", env = "ASSAY_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ConfigArgs {
    /// Print the settings in force, from this file and the environment, instead of the defaults
    #[arg(long, value_name = "FILE", env = "ASSAY_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print the settings in force as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InferArgs {
    /// The gateway's URL
    #[arg(long, env = "ASSAY_GATEWAY")]
    pub(crate) gateway: String,
    /// The model's name
    #[arg(long)]
    pub(crate) model: String,
    /// How the inference is to be certified
    #[arg(long, default_value = "signed")]
    pub(crate) method: String,
    /// The input: an Open Inference Protocol request, or {"input_data": [[...]]}
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Keep the bundle in this file
    #[arg(long, value_name = "BUNDLE")]
    pub(crate) out: Option<PathBuf>,
    /// The policy to verify under
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) payer: PayerArgs,
}

/// Who pays, and how much at the most.
#[derive(Debug, ClapArgs)]
pub(crate) struct PayerArgs {
    /// The file with the payer's secp256k1 key in hexadecimal; or set ASSAY_PAYER_KEY
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Pay with a development account (0 to 9), on a development chain alone
    #[arg(long, value_name = "N", conflicts_with = "key_file")]
    pub(crate) development_account: Option<u8>,
    /// The asset to pay in, CAIP-19 (can be repeated); by default USDC on Base and Base Sepolia, and
    /// the development token
    #[arg(long, value_name = "ASSET")]
    pub(crate) asset: Vec<String>,
    /// The most to pay, in atomic units of the asset (USDC has 6 decimals: 100000 is 0.10)
    #[arg(long, value_name = "UNITS", default_value = "100000")]
    pub(crate) max_amount: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct VerifyArgs {
    /// The bundle
    pub(crate) bundle: PathBuf,
    /// What to accept; without a policy the best verdict is `consistent`
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Compare the request that was committed to with this input of your own
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Verify as of this time (RFC 3339) instead of now
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ModelsArgs {
    /// The gateway's URL
    #[arg(long, env = "ASSAY_GATEWAY", conflicts_with = "folder")]
    pub(crate) gateway: Option<String>,
    /// A folder of model packages
    #[arg(long, default_value = "models")]
    pub(crate) folder: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make an operator's identity, a receipt key and a key manifest
    New(KeyNewArgs),
    /// Make a new receipt key and end the use of the one before
    Rotate(KeyFolderArgs),
    /// Revoke a key: nothing it signed counts any more
    Revoke(KeyRevokeArgs),
    /// Show the key manifest
    Show(KeyFolderArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KeyNewArgs {
    /// The folder to put the keys in; made, and must hold none yet
    #[arg(long, default_value = "assay-keys")]
    pub(crate) folder: PathBuf,
    /// An account to be paid at, CAIP-10, as eip155:8453:0x… (can be repeated)
    #[arg(long, value_name = "ACCOUNT", required = true)]
    pub(crate) settlement: Vec<String>,
    /// A URL of a gateway (can be repeated)
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KeyFolderArgs {
    /// The folder of the keys
    #[arg(long, default_value = "assay-keys")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KeyRevokeArgs {
    /// The id of the key
    pub(crate) key: String,
    /// Why, in words
    #[arg(long)]
    pub(crate) reason: String,
    /// The folder of the keys
    #[arg(long, default_value = "assay-keys")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DevchainArgs {
    /// Where to listen; loopback alone
    #[arg(long, default_value = "127.0.0.1:8545")]
    pub(crate) listen: SocketAddr,
    /// Keep the blocks in this folder; in memory without it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct FacilitatorArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8403")]
    pub(crate) listen: SocketAddr,
    /// The chain's JSON-RPC URL
    #[arg(long, env = "ASSAY_RPC_URL")]
    pub(crate) rpc_url: String,
    /// The file with the settling account's secp256k1 key; or set ASSAY_SETTLEMENT_KEY
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Settle with a development account (0 to 9), on a development chain alone
    #[arg(long, value_name = "N", conflicts_with = "key_file")]
    pub(crate) development_account: Option<u8>,
    /// A token to settle in (can be repeated)
    #[arg(long, value_name = "ADDRESS", required = true)]
    pub(crate) asset: Vec<String>,
    /// An account that may be paid (can be repeated); anyone without it
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) pay_to: Vec<String>,
    /// How many blocks have to hold a settlement
    #[arg(long, default_value_t = 1)]
    pub(crate) confirmations: u64,
    /// The file with the token that /settle asks for as `Authorization: Bearer`
    #[arg(long, value_name = "FILE")]
    pub(crate) settle_token_file: Option<PathBuf>,
}
