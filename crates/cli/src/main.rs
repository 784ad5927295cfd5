//! The `assay` binary: sells inferences, buys them, and verifies what was bought.

mod args;
mod commands;
mod config;
mod error;
mod files;
mod keys;
mod money;
mod node;
mod output;
mod signals;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use self::error::CliError;

/// How long tasks get that a second signal left behind.
const ABANDONED: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    // For tests, which end this process in the middle of a step.
    #[cfg(debug_assertions)]
    if let Ok(name) = std::env::var("ASSAY_FAILPOINT") {
        assay_primitives::arm_failpoint(name);
    }
    let args = args::Args::parse();
    let as_json = args.command.wants_json();
    let code = run(args).unwrap_or_else(|error| output::failure(&error, as_json));
    output::finish(code)
}

fn run(args: args::Args) -> Result<ExitCode, CliError> {
    output::init_logging(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(CliError::io("threads"))?;
    let code = runtime.block_on(commands::run(args));
    runtime.shutdown_timeout(ABANDONED);
    code
}
