//! One file for each command.

mod attest;
mod buy;
mod config;
mod demo;
mod devchain;
mod disclose;
mod doctor;
pub(crate) mod enclave;
mod facilitator;
mod gateway;
mod infer;
mod input;
mod key;
mod models;
mod picture;
mod purchase;
mod receipt;
mod refund;
mod serve;
mod show;
#[cfg(debug_assertions)]
mod stepped;
mod verify;
mod zkml;

use std::process::ExitCode;
use std::sync::Arc;

use assay_primitives::{Clock, SystemClock};

use crate::args::{Args, Command};
use crate::error::CliError;

pub(crate) async fn run(args: Args) -> Result<ExitCode, CliError> {
    match args.command {
        Command::Demo(args) => demo::run(args).await,
        Command::Serve(args) => serve::run(&args).await,
        Command::Infer(args) => infer::run(args).await,
        Command::Buy(args) => buy::run(args).await,
        Command::Disclose(args) => disclose::run(&args),
        Command::Receipt(command) => receipt::run(&command).await,
        Command::Refund(args) => refund::run(&args).await,
        Command::Verify(args) => verify::run(&args),
        Command::Models(args) => models::run(&args).await,
        Command::Key(command) => key::run(&command),
        Command::Config(args) => config::run(&args),
        Command::Zkml(command) => zkml::run(&command),
        Command::Devchain(args) => devchain::run(&args).await,
        Command::Doctor(args) => doctor::run(&args).await,
        Command::Attest(command) => attest::run(&command),
        Command::Enclave(args) => enclave::run(&args),
        Command::Facilitator(args) => facilitator::run(&args).await,
    }
}

fn system_clock() -> Arc<dyn Clock> {
    // For tests, which have the clock of this process go wrong while it runs.
    #[cfg(debug_assertions)]
    if let Some(path) = std::env::var_os("ASSAY_CLOCK_STEP") {
        return Arc::new(stepped::SteppedClock::new(path.into()));
    }
    Arc::new(SystemClock::default())
}
