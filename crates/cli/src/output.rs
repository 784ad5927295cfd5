//! What the commands print. Results go to standard output, everything else to standard error.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, Command};
use crate::error::CliError;

/// Sends log lines to standard error: warnings for a command, information for a server.
pub(crate) fn init_logging(args: &Args) {
    let server =
        matches!(args.command, Command::Serve(_) | Command::Facilitator(_) | Command::Devchain(_));
    let level = match (args.verbose, server) {
        (0, false) => "error",
        (0, true) => "info",
        (1, _) => "debug",
        (_, _) => "trace",
    };
    let default = format!("warn,assay={level}");
    let filter = EnvFilter::try_from_env("ASSAY_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// Prints a line of the result.
pub(crate) fn line(text: impl Display) {
    // A reader that went away is no reason to fail.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints the result as one JSON object.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value).map_err(CliError::failed)?;
    line(text);
    Ok(())
}

/// Prints a line for the person who waits.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints what ended the command, and gives its exit code.
pub(crate) fn failure(error: &CliError) -> ExitCode {
    note(format_args!("assay: {error}"));
    ExitCode::from(error.code())
}

/// How terminal output is coloured: not at all when it is no terminal or `NO_COLOR` is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    colour: bool,
}

impl Style {
    pub(crate) fn of_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: wanted && std::io::stdout().is_terminal() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
