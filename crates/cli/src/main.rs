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
mod telemetry;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use mimalloc::MiMalloc;

use self::args::Command;
use self::config::Config;
use self::error::CliError;
use self::telemetry::Telemetry;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How long tasks get that a second signal left behind.
const ABANDONED: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    // For tests, which end this process in the middle of a step.
    #[cfg(debug_assertions)]
    if let Ok(name) = std::env::var("ASSAY_FAILPOINT") {
        assay_primitives::arm_failpoint(&name);
    }
    let args = args::Args::parse();
    let as_json = args.command.wants_json();
    let code = run(args).unwrap_or_else(|error| output::failure(&error, as_json));
    output::finish(code)
}

fn run(args: args::Args) -> Result<ExitCode, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(CliError::io("threads"))?;
    let telemetry = telemetry(&args, runtime.handle())?;
    output::init_logging(&args, telemetry.as_ref())?;
    let code = runtime.block_on(commands::run(args));
    if let Some(telemetry) = telemetry {
        telemetry.stop();
    }
    runtime.shutdown_timeout(ABANDONED);
    code
}

/// Begins to send traces, where `assay serve` is configured to. A configuration that cannot be used
/// is told by the command.
fn telemetry(
    args: &args::Args,
    runtime: &tokio::runtime::Handle,
) -> Result<Option<Telemetry>, CliError> {
    let Command::Serve(args) = &args.command else { return Ok(None) };
    let file = args.config.as_deref().filter(|path| !path.as_os_str().is_empty());
    let Ok(config) = Config::load(file) else { return Ok(None) };
    let endpoint = config.telemetry.otlp_endpoint;
    endpoint.map(|endpoint| Telemetry::start(&endpoint, runtime)).transpose()
}
