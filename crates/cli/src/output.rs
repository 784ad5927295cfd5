//! What the commands print. Results go to standard output, everything else to standard error.

use std::fmt::Display;
use std::future::Future;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use assay_primitives::printable;
use serde::Serialize;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::args::{Args, Command};
use crate::error::{CliError, Plain};
use crate::telemetry::Telemetry;

/// The most characters of a value that are printed.
const MAX_VALUE: usize = 4_096;

/// The first line that could not be written to standard output.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// Sends log lines to standard error, errors for a command, information for a server; and spans to a
/// collector, if there is one.
pub(crate) fn init_logging(args: &Args, telemetry: Option<&Telemetry>) -> Result<(), CliError> {
    let server =
        matches!(args.command, Command::Serve(_) | Command::Facilitator(_) | Command::Devchain(_));
    let level = match (args.verbose, server) {
        (0, false) => "error",
        (0, true) => "info",
        (1, _) => "debug",
        (_, _) => "trace",
    };
    let filter = match std::env::var("ASSAY_LOG") {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(text)
            .map_err(|error| CliError::Input(format!("ASSAY_LOG: {error}")))?,
        _ => EnvFilter::new(format!("warn,assay={level}")),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match std::env::var("ASSAY_LOG_FORMAT").as_deref() {
        Ok("json") => lines.json().flatten_event(true).with_current_span(false).boxed(),
        Ok("" | "text") | Err(std::env::VarError::NotPresent) => lines
            .with_ansi(wants_colour() && std::io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
        _ => {
            let message = "ASSAY_LOG_FORMAT: expected `text` or `json`";
            return Err(CliError::Input(message.to_owned()));
        }
    };
    let traces = telemetry.map(Telemetry::layer);
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(traces).init();
    Ok(())
}

/// Prints a line of the result.
pub(crate) fn line(text: impl Display) {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Ok(()) => {}
        // A reader that went away has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => {
            // Only the first is told.
            let _ = UNWRITTEN.set(Plain(&error).to_string());
        }
    }
}

/// Prints a label and its value, in which nothing can move the cursor.
pub(crate) fn field(label: &str, value: impl Display) {
    line(format_args!("{label:<11} {}", printable(&value.to_string(), MAX_VALUE)));
}

/// Prints a label and its value below a heading.
pub(crate) fn detail(label: &str, value: impl Display) {
    line(format_args!("  {label:<11} {}", printable(&value.to_string(), MAX_VALUE)));
}

/// Prints the result as one JSON object.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value).map_err(CliError::failed)?;
    line(text);
    Ok(())
}

/// Returns how long something took, as `--json` says it.
pub(crate) fn micros(duration: Duration) -> Option<u64> {
    u64::try_from(duration.as_micros()).ok()
}

/// Prints a line for the person who waits.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Waits for what may take long; after a second it says what for, and then every ten.
pub(crate) async fn patiently<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let (mut waited, mut pause) = (Duration::ZERO, Duration::from_secs(1));
    loop {
        tokio::select! {
            result = &mut work => return result,
            () = tokio::time::sleep(pause) => {}
        }
        waited += pause;
        pause = Duration::from_secs(10);
        note(format_args!("{what} ({} s).", waited.as_secs()));
    }
}

/// Prints what ended the command, and gives its exit code.
pub(crate) fn failure(error: &CliError, as_json: bool) -> ExitCode {
    if as_json {
        line(error.to_json());
    }
    note(format_args!("assay: {error}"));
    ExitCode::from(error.code())
}

/// Gives the exit code, unless what it stands for could not be printed.
pub(crate) fn finish(code: ExitCode) -> ExitCode {
    match UNWRITTEN.get() {
        None => code,
        Some(error) => {
            note(format_args!("assay: standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Says whether the user wants colour: not with `NO_COLOR`, and not on a dumb terminal.
fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

/// How terminal output is coloured: not at all when it is no terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    colour: bool,
}

impl Style {
    pub(crate) fn of_stdout() -> Self {
        Self { colour: wants_colour() && std::io::stdout().is_terminal() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("1;32", text)
    }

    pub(crate) fn middling(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
