//! The `assay` binary: sells inferences, buys them, and verifies what was bought.

mod args;
mod commands;
mod config;
mod error;
mod keys;
mod node;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = args::Args::parse();
    output::init_logging(&args);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return output::failure(&error::CliError::Io("runtime".into(), error)),
    };
    match runtime.block_on(commands::run(args)) {
        Ok(code) => code,
        Err(error) => output::failure(&error),
    }
}
