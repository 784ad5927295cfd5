//! The command line.

mod attest;
mod enclave;
mod zkml;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

pub(crate) use self::attest::{AttestCommand, AttestInspectArgs, AttestVerifyArgs};
pub(crate) use self::enclave::{AttesterKind, EnclaveArgs};
pub(crate) use self::zkml::{
    ActivationsArg, CompileArgs, InspectArgs, ModeArg, ProveArgs, RunArgs, ZkmlCommand,
    ZkmlVerifyArgs,
};

/// Where a global option stands in the help: after a command's own.
const LAST: usize = 900;

const ENVIRONMENT: &str = "\
Environment:
  ASSAY_LOG         What to log to standard error, as `debug` or `warn,assay_gateway=trace`
  ASSAY_LOG_FORMAT  How: `text`, or `json` for one object a line
  NO_COLOR          Print without colour

`assay config` prints the variables that configure `assay serve`.";

const SERVE_DEFAULTS: &str = "\
Without a configuration it sells the three models that this program carries, for play money, on a
development chain of its own. Ctrl-C or SIGTERM ends it once what was paid for is finished.";

const VERIFY_CODES: &str = "\
Exit codes:
  0  verified: every check held, and the policy pins all that it rests on
  1  refused: a check failed, or the command did
  2  unusable: the bundle or another input is not what it should be
  3  consistent or simulated: every check held, but no policy pins all that it rests on, or the
     money is play money";

const INFER_CODES: &str = "\
Exit codes:
  0  bought, and no check failed: the verdict says how much that is worth
  1  not bought, or what came does not verify
  2  unusable: an option, the input or the policy is not what it should be; nothing was paid
`assay verify` tells a verified bundle from one that is only consistent or simulated.";

const BUY_HELP: &str = "\
The file lists the items, each after those whose output it refers to:

  [[items]]
  id = \"grade\"
  model = \"wine\"
  method = \"zkml\"
  input = \"wine.json\"            # as for `assay infer`, relative to the file

  [[items]]
  id = \"digit\"
  model = \"digits\"
  method = \"signed\"              # the default
  sample = 0                     # of a model that this program carries

In place of `input`, `input_data = [[0.5, ...]]` or `inputs = [{ name, shape, datatype,
data }]` say it in the file. { \"$from\" = \"grade\", pointer = \"/outputs/0/data/0\" } stands for
an element of an earlier output.

By default one failure means no charge and no results. With `outcome_policy = \"each\"` above
the items, what failed is not charged and the rest is delivered; it is paid by x402's scheme
`upto`, through Permit2. An item may have `timeout_ms`: what ends by it is charged if it is
below the floor that the gateway publishes.

Exit codes:
  0  bought, and no check failed: the verdict says how much that is worth
  1  not bought, or what came does not verify
  2  unusable: an option, the file or the policy is not what it should be; nothing was paid";

const DISCLOSE_HELP: &str = "\
What it writes verifies by itself. It has the request, the output, the salts and the evidence of the items
that are shown; of the others it says how many there are, unless it is said otherwise: an input that was
built of another item's output holds that output, and a proof of several items is not zero-knowledge, so
who has it may learn something of all of them.";

const FETCH_CODES: &str = "\
Exit codes:
  0  fetched, and no check failed: the verdict says how much that is worth
  1  not fetched, or what came does not verify
  2  unusable: an option is not what it should be, or the gateway does not give it";

const ERASE_HELP: &str = "\
While another program reads the gateway's database, the database's log keeps an old copy, sealed
with the operator's storage key. The gateway removes it when that program is done.";

const REFUND_HELP: &str = "\
Run it where the gateway runs: it signs with the operator's receipt key, keeps what it signs in the data
folder, and hands the record to the gateway. When it breaks off, run it again: what was begun is
carried on, and nothing is given back twice.

Exit codes:
  0  given back, and the gateway has the record
  1  not given back, or given back and not recorded yet: it is said which
  2  unusable: an option is not what it should be, or the receipt cannot be refunded; nothing moved";

const DOCTOR_CODES: &str = "\
Exit codes:
  0  nothing is wrong: what is told as a warning works
  1  something is wrong, and it is said how to mend it
  2  the configuration is unusable";

const ENCLAVE_HELP: &str = "\
It runs in the TEE; the gateway outside talks to it (`tee.enclaves`). Payments, storage and HTTP are the
gateway's. Its keys are made in memory, and end with it.";

const MEASURE_HELP: &str = "\
`assay attest verify` tells an enclave's image as this takes it. Names may be left out: what an
image names has to be the same, and the rest may be anything. An image that is listed stays.";

const MODELS_ADD_HELP: &str = "\
A program stays as it was compiled: policies pin its id. To compile a model anew, delete its file in
the folder `programs` of the data folder first; what was sold with the old program verifies as before.
`assay serve` compiles what it sells by `zkml` and finds no program of, calibrated on the samples.";

/// Sells AI inference whose result the buyer can check, buys it, and checks it
#[derive(Debug, Parser)]
#[command(name = "assay", version, propagate_version = true, after_help = ENVIRONMENT)]
pub(crate) struct Args {
    /// Say more of what goes on (can be repeated)
    #[arg(short, long, action = clap::ArgAction::Count, global = true, display_order = LAST)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show all of it: buy three inferences on a development chain, verify them, tamper with them
    Demo(DemoArgs),
    /// Run a gateway that sells inferences
    #[command(after_help = SERVE_DEFAULTS)]
    Serve(ServeArgs),
    /// Buy an inference, verify it and keep the bundle
    #[command(after_help = INFER_CODES)]
    Infer(InferArgs),
    /// Buy several inferences, each with its own method, under one payment and one receipt
    #[command(after_help = BUY_HELP)]
    Buy(BuyArgs),
    /// Make a bundle that shows some items of a transaction, and says nothing of the others
    #[command(after_help = DISCLOSE_HELP)]
    Disclose(DiscloseArgs),
    /// Fetch what was bought from a gateway, or have it erased there
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Give a buyer money back, as the operator who sold: a transfer and a settlement record
    #[command(after_help = REFUND_HELP)]
    Refund(RefundArgs),
    /// Verify a bundle offline
    #[command(after_help = VERIFY_CODES)]
    Verify(VerifyArgs),
    /// List models: what a gateway sells, what is in a folder, or what this program carries
    Models(ModelsArgs),
    /// Make and change an operator's keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print the configuration of `assay serve` with every default
    Config(ConfigArgs),
    /// Look at a deployment, and say what to mend
    #[command(after_help = DOCTOR_CODES)]
    Doctor(DoctorArgs),
    /// Compile a model for zkML proofs, run it, prove and verify
    #[command(subcommand)]
    Zkml(ZkmlCommand),
    /// Verify attestation evidence, or look into it
    #[command(subcommand)]
    Attest(AttestCommand),
    /// Run an enclave: what the method `tee` runs and signs in
    #[command(after_help = ENCLAVE_HELP)]
    Enclave(EnclaveArgs),
    /// Run a development chain
    Devchain(DevchainArgs),
    /// Run an x402 facilitator: /verify, /settle, /supported
    Facilitator(FacilitatorArgs),
}

impl Command {
    /// Says whether the output is for a program.
    pub(crate) const fn wants_json(&self) -> bool {
        match self {
            Self::Demo(args) => args.json,
            Self::Serve(args) => args.json,
            Self::Infer(args) => args.purchase.json,
            Self::Buy(args) => args.purchase.json,
            Self::Disclose(args) => args.json,
            Self::Receipt(command) => command.of().json,
            Self::Refund(args) => args.json,
            Self::Verify(args) => args.json,
            Self::Models(args) => match &args.command {
                Some(ModelsCommand::Add(add)) => add.json,
                None => args.json,
            },
            Self::Key(command) => command.folder().json,
            Self::Config(args) => args.json,
            Self::Zkml(command) => command.wants_json(),
            Self::Attest(command) => command.wants_json(),
            Self::Enclave(args) => args.json,
            Self::Devchain(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Facilitator(args) => args.json,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// The model to ask by every method; by default another one for each
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Which of a model's sample inputs to buy an inference on
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) sample: usize,
    /// A folder of model packages; by default the three that this program carries
    #[arg(long, value_name = "FOLDER", env = "ASSAY_MODELS", hide_env_values = true)]
    pub(crate) models: Option<PathBuf>,
    /// Keep the bundle in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ServeArgs {
    /// The configuration file; see `assay config`
    #[arg(long, value_name = "FILE", env = "ASSAY_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Print what was started as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DoctorArgs {
    /// The configuration file of `assay serve`
    #[arg(long, value_name = "FILE", env = "ASSAY_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ConfigArgs {
    /// Print the settings in force, from this file and the environment, instead of the defaults
    #[arg(long, value_name = "FILE", env = "ASSAY_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Print the settings in force as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InferArgs {
    /// The gateway's URL
    #[arg(long, value_name = "URL", env = "ASSAY_GATEWAY", hide_env_values = true)]
    pub(crate) gateway: String,
    /// The model's name
    #[arg(long, value_name = "NAME")]
    pub(crate) model: String,
    /// How the inference is to be certified
    #[arg(long, default_value = "signed")]
    pub(crate) method: String,
    /// The input: an Open Inference Protocol request, or {"input_data": [[...]]}
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    #[command(flatten)]
    pub(crate) purchase: PurchaseArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BuyArgs {
    /// The transaction
    #[arg(value_name = "TRANSACTION.toml")]
    pub(crate) transaction: PathBuf,
    /// The gateway's URL
    #[arg(long, value_name = "URL", env = "ASSAY_GATEWAY", hide_env_values = true)]
    pub(crate) gateway: String,
    /// A JSON-RPC URL of the chain that is paid on: under `each`, where Permit2 has no allowance of the token
    /// yet, it is asked for what has to be signed to give it one
    #[arg(long, value_name = "URL", env = "ASSAY_RPC_URL", hide_env_values = true)]
    pub(crate) rpc_url: Option<String>,
    #[command(flatten)]
    pub(crate) purchase: PurchaseArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DiscloseArgs {
    /// The bundle
    pub(crate) bundle: PathBuf,
    /// An item to show: its id, or its index (can be repeated)
    #[arg(long, value_name = "ITEM", required = true)]
    pub(crate) item: Vec<String>,
    /// The bundle to write
    #[arg(long, value_name = "BUNDLE")]
    pub(crate) out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a purchase is made with, and where it goes.
#[derive(Debug, ClapArgs)]
pub(crate) struct PurchaseArgs {
    /// Keep the bundle in this file
    #[arg(long, value_name = "BUNDLE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    #[command(flatten)]
    pub(crate) payer: PayerArgs,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to accept as verified.
#[derive(Debug, ClapArgs)]
pub(crate) struct TrustArgs {
    /// The policy to verify under
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// A root that simulated evidence of an enclave may end at, PEM or DER (can be repeated): what ends
    /// at it is simulated, whatever it says
    #[arg(long, value_name = "FILE")]
    pub(crate) development_root: Vec<PathBuf>,
}

/// Who pays, and how much at the most.
#[derive(Debug, ClapArgs)]
pub(crate) struct PayerArgs {
    /// The file with the payer's secp256k1 key in hexadecimal; or set ASSAY_PAYER_KEY to the key
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Pay with a development account (0 to 9), on a development chain alone
    #[arg(long, value_name = "N", conflicts_with = "key_file")]
    pub(crate) development_account: Option<u8>,
    /// An asset to pay in, CAIP-19 (can be repeated); by default USDC on Base and Base Sepolia, and
    /// the development token
    #[arg(long, value_name = "ASSET")]
    pub(crate) asset: Vec<String>,
    /// The most to pay, in atomic units of the asset (USDC has 6 decimals: 100000 is 0.10)
    #[arg(long, value_name = "UNITS", default_value = "100000")]
    pub(crate) max_amount: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Fetch a bundle and verify it; without token and key, the public part of the receipt
    #[command(after_help = FETCH_CODES)]
    Fetch(ReceiptFetchArgs),
    /// Have the contents of a receipt erased at the gateway; its public part stays
    #[command(after_help = ERASE_HELP)]
    Erase(ReceiptEraseArgs),
}

impl ReceiptCommand {
    pub(crate) const fn of(&self) -> &ReceiptArgs {
        match self {
            Self::Fetch(args) => &args.of,
            Self::Erase(args) => &args.of,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReceiptFetchArgs {
    #[command(flatten)]
    pub(crate) of: ReceiptArgs,
    /// Keep the bundle in this file
    #[arg(long, value_name = "BUNDLE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace the file, if it is a bundle
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReceiptEraseArgs {
    #[command(flatten)]
    pub(crate) of: ReceiptArgs,
}

/// Which receipt, and what opens it.
#[derive(Debug, ClapArgs)]
pub(crate) struct ReceiptArgs {
    /// The transaction's id
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// The gateway's URL
    #[arg(long, value_name = "URL", env = "ASSAY_GATEWAY", hide_env_values = true)]
    pub(crate) gateway: String,
    /// The file with the access token; or set ASSAY_ACCESS_TOKEN to the token
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key_file", "development_account"])]
    pub(crate) token_file: Option<PathBuf>,
    /// The file with the payer's secp256k1 key, to sign in with; or set ASSAY_PAYER_KEY to the key
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Sign in as a development account (0 to 9)
    #[arg(long, value_name = "N", conflicts_with = "key_file")]
    pub(crate) development_account: Option<u8>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RefundArgs {
    /// The receipt: a bundle file, or a transaction's id
    #[arg(value_name = "RECEIPT")]
    pub(crate) receipt: String,
    /// How much, as 0.0005; of an asset that is not known here, in atomic units. By default all that is
    /// not given back yet
    #[arg(long, value_name = "DECIMAL")]
    pub(crate) amount: Option<String>,
    /// The file with the secp256k1 key of the account that was paid; or set ASSAY_REFUND_KEY to the key
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Give back from a development account (0 to 9), on a development chain alone
    #[arg(long, value_name = "N", conflicts_with = "key_file")]
    pub(crate) development_account: Option<u8>,
    /// The gateway's URL; by default the configuration's
    #[arg(long, value_name = "URL", env = "ASSAY_GATEWAY", hide_env_values = true)]
    pub(crate) gateway: Option<String>,
    /// The configuration file of `assay serve`
    #[arg(long, value_name = "FILE", env = "ASSAY_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct VerifyArgs {
    /// The bundle
    pub(crate) bundle: PathBuf,
    /// What to accept; without a policy the best verdict is `consistent`
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// A root that simulated evidence of an enclave may end at, PEM or DER (can be repeated): what ends
    /// at it is simulated, whatever it says
    #[arg(long, value_name = "FILE")]
    pub(crate) development_root: Vec<PathBuf>,
    /// Compare the request that was committed to with this input of your own
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Compare the receipt's nonce with the one that was sent
    #[arg(long, value_name = "TEXT")]
    pub(crate) nonce: Option<String>,
    /// Verify under the operator's key manifest of today, so that a key revoked since is refused
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Verify as of this time (RFC 3339) instead of now
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Say as well what proofs claim, layer by layer, and what each part of them shows
    #[arg(long)]
    pub(crate) explain: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ModelsCommand>,
    /// The URL of a gateway that sells them
    #[arg(long, value_name = "URL", env = "ASSAY_GATEWAY", hide_env_values = true)]
    pub(crate) gateway: Option<String>,
    /// A folder of model packages; counts more than the gateway
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// Print an input for this model, as `assay infer --input` takes it, instead of a list
    #[arg(long, value_name = "MODEL")]
    pub(crate) example: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Compile a model's program, so that `assay serve` can sell it by `zkml`
    #[command(after_help = MODELS_ADD_HELP)]
    Add(ModelsAddArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ModelsAddArgs {
    /// The folder of the model package, or the `model.onnx` in it
    pub(crate) package: PathBuf,
    /// Calibrate on these inputs, `{"input_data": [[...], ...]}`, instead of the package's samples
    #[arg(long, value_name = "FILE")]
    pub(crate) calibrate: Option<PathBuf>,
    /// Take this value of the graph for the output, such as the one in front of a Softmax
    #[arg(long, value_name = "NAME")]
    pub(crate) logits: Option<String>,
    /// How finely values between layers are stored: int16 is closer to the float model, and takes larger
    /// tables
    #[arg(long, value_enum, value_name = "TYPE", default_value_t)]
    pub(crate) activations: ActivationsArg,
    /// Whether its proofs are to be fast to make, or small; the program's id fixes it
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    pub(crate) mode: ModeArg,
    /// The configuration file of `assay serve`, whose data folder the program is kept in
    #[arg(long, value_name = "FILE", env = "ASSAY_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make an operator's identity, a receipt key and a key manifest
    New(KeyNewArgs),
    /// Make a new receipt key; the one before stays good for an hour
    Rotate(KeyRotateArgs),
    /// Revoke a key: nothing it signed counts any more
    Revoke(KeyRevokeArgs),
    /// Stand by images of enclaves: once any is listed, no other enclave certifies what is sold
    #[command(after_help = MEASURE_HELP)]
    Measure(KeyMeasureArgs),
    /// Show the key manifest
    Show(KeyShowArgs),
}

impl KeyCommand {
    pub(crate) const fn folder(&self) -> &KeyFolderArgs {
        match self {
            Self::New(args) => &args.folder,
            Self::Rotate(args) => &args.folder,
            Self::Revoke(args) => &args.folder,
            Self::Measure(args) => &args.folder,
            Self::Show(args) => &args.folder,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KeyNewArgs {
    /// An account to be paid at, CAIP-10, as eip155:8453:0x… (can be repeated)
    #[arg(long, value_name = "ACCOUNT", required = true)]
    pub(crate) settlement: Vec<String>,
    /// A URL of a gateway (can be repeated)
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Vec<String>,
    #[command(flatten)]
    pub(crate) folder: KeyFolderArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KeyRotateArgs {
    #[command(flatten)]
    pub(crate) folder: KeyFolderArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KeyShowArgs {
    #[command(flatten)]
    pub(crate) folder: KeyFolderArgs,
}

/// Which keys, and how they are shown.
#[derive(Debug, ClapArgs)]
pub(crate) struct KeyFolderArgs {
    /// The folder of the keys
    #[arg(long = "folder", value_name = "FOLDER", default_value = "assay-keys")]
    pub(crate) path: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KeyRevokeArgs {
    /// The id of the key, as `assay key show` prints it
    pub(crate) key: String,
    /// Why, in words; published in the key manifest
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) folder: KeyFolderArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KeyMeasureArgs {
    /// An image: KIND:NAME=HEX[,NAME=HEX...], as nitro:pcr0=17bf…,pcr1=0001…
    #[arg(value_name = "TEXT", required = true)]
    pub(crate) images: Vec<String>,
    #[command(flatten)]
    pub(crate) folder: KeyFolderArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DevchainArgs {
    /// Where to listen, on loopback; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8545")]
    pub(crate) listen: SocketAddr,
    /// Keep the blocks in this folder; in memory without it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,
    /// Print what was started as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct FacilitatorArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8403")]
    pub(crate) listen: SocketAddr,
    /// The chain's JSON-RPC URL
    #[arg(long, value_name = "URL", env = "ASSAY_RPC_URL", hide_env_values = true)]
    pub(crate) rpc_url: String,
    /// The file with the settling account's secp256k1 key; or set ASSAY_SETTLEMENT_KEY to the key
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
    /// How many blocks have to hold a settlement, its own included
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) confirmations: u64,
    /// The file with the token that /settle asks for as `Authorization: Bearer`
    #[arg(long, value_name = "FILE")]
    pub(crate) settle_token_file: Option<PathBuf>,
    /// Print what was started as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
