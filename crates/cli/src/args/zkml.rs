//! The command line of `assay zkml`.

use std::path::PathBuf;

use assay_zkml::program::Mode;
use assay_zkml_onnx::Activations;
use clap::{Args as ClapArgs, Subcommand, ValueEnum, value_parser};

const INPUT: &str = "\
INPUT.json is {\"input_data\": [[...], ...]}: one flattened list for each inference. Several are one
batch under one proof; whoever verifies it sees all of them.";

const CODES: &str = "\
Exit codes:
  0  done; for `verify`: proven
  1  refused: the proof does not prove it
  2  unusable: a file is not what it should be, or the model cannot be compiled

The proofs are succinct, not zero-knowledge: treat the weights as disclosed to whoever collects
proofs.";

#[derive(Debug, Subcommand)]
pub(crate) enum ZkmlCommand {
    /// Compile an ONNX model to the integer program that is served and proven
    Compile(CompileArgs),
    /// Run a compiled model
    #[command(after_help = INPUT)]
    Run(RunArgs),
    /// Run a compiled model and prove it
    #[command(after_help = INPUT)]
    Prove(ProveArgs),
    /// Verify a proof, without the weights
    #[command(after_help = CODES)]
    Verify(ZkmlVerifyArgs),
    /// Say what is in a compiled model, a verifying file or a proof
    Inspect(InspectArgs),
}

impl ZkmlCommand {
    pub(crate) const fn wants_json(&self) -> bool {
        match self {
            Self::Compile(args) => args.json,
            Self::Run(args) => args.json,
            Self::Prove(args) => args.json,
            Self::Verify(args) => args.json,
            Self::Inspect(args) => args.json,
        }
    }
}

/// How a program's weights are committed to and opened.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum ModeArg {
    #[default]
    Fast,
    Small,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Fast => Self::Fast,
            ModeArg::Small => Self::Small,
        }
    }
}

/// How finely a program stores the values between its layers.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum ActivationsArg {
    #[default]
    Int8,
    Int16,
}

impl From<ActivationsArg> for Activations {
    fn from(activations: ActivationsArg) -> Self {
        match activations {
            ActivationsArg::Int8 => Self::Int8,
            ActivationsArg::Int16 => Self::Int16,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CompileArgs {
    /// The ONNX model: float, or quantised (QDQ, QLinear)
    #[arg(value_name = "MODEL.onnx")]
    pub(crate) model: PathBuf,
    /// Inputs like those that will come, which the scales are chosen for; random numbers of -1 to 1
    /// without it
    #[arg(long, value_name = "INPUTS.json")]
    pub(crate) calibrate: Option<PathBuf>,
    /// The value to take for the output instead of the graph's: the logits in front of a Softmax
    #[arg(long, value_name = "NAME")]
    pub(crate) logits: Option<String>,
    /// How finely values between layers are stored: int16 is closer to the float model, and takes larger
    /// tables
    #[arg(long, value_enum, value_name = "TYPE", default_value_t)]
    pub(crate) activations: ActivationsArg,
    /// Whether its proofs are to be fast to make, or small; the model's id fixes it
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    pub(crate) mode: ModeArg,
    /// Where to write the compiled model
    #[arg(long, value_name = "M.zkml")]
    pub(crate) out: PathBuf,
    /// Where to write the verifying file; beside the compiled model without it, as M.vk
    #[arg(long, value_name = "M.vk")]
    pub(crate) key: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// The compiled model
    #[arg(value_name = "M.zkml")]
    pub(crate) model: PathBuf,
    /// The inputs
    #[arg(long, value_name = "INPUT.json")]
    pub(crate) input: PathBuf,
    /// Where to write the outputs
    #[arg(long, value_name = "OUTPUT.json")]
    pub(crate) output: Option<PathBuf>,
    /// Compare with the float model that it was compiled from
    #[arg(long, value_name = "MODEL.onnx")]
    pub(crate) against: Option<PathBuf>,
    /// Take input values outside the calibrated range for its ends, instead of refusing them
    #[arg(long)]
    pub(crate) clamp: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ProveArgs {
    /// The compiled model
    #[arg(value_name = "M.zkml")]
    pub(crate) model: PathBuf,
    /// The inputs
    #[arg(long, value_name = "INPUT.json")]
    pub(crate) input: PathBuf,
    /// Where to write the proof
    #[arg(long, value_name = "PROOF")]
    pub(crate) out: PathBuf,
    /// Where to write the outputs, which whoever verifies the proof needs
    #[arg(long, value_name = "OUTPUT.json")]
    pub(crate) output: Option<PathBuf>,
    /// A text that the proof is bound to, as the id of a request; to be given again to verify it
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) context: String,
    /// Do not verify the proof that was made
    #[arg(long)]
    pub(crate) no_check: bool,
    /// Take input values outside the calibrated range for its ends, instead of refusing them
    #[arg(long)]
    pub(crate) clamp: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ZkmlVerifyArgs {
    /// The proof
    #[arg(value_name = "PROOF")]
    pub(crate) proof: PathBuf,
    /// The verifying file
    #[arg(long, value_name = "M.vk")]
    pub(crate) key: PathBuf,
    /// The inputs
    #[arg(long, value_name = "INPUT.json")]
    pub(crate) input: PathBuf,
    /// The outputs, as `run` and `prove` write them
    #[arg(long, value_name = "OUTPUT.json")]
    pub(crate) output: PathBuf,
    /// The text that the proof is bound to
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) context: String,
    /// Take input values outside the calibrated range for its ends, instead of refusing them
    #[arg(long)]
    pub(crate) clamp: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InspectArgs {
    /// A compiled model, a verifying file or a proof
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Show the sizes and the security of a proof of this many inferences
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=1024))]
    pub(crate) batch: u16,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
