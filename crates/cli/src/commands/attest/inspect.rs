use std::process::ExitCode;

use assay_attest::inspect::{Inspection, Value, inspect};
use assay_primitives::printable;

use super::{MAX_FILE, bytes_shown};
use crate::args::AttestInspectArgs;
use crate::error::CliError;
use crate::files;
use crate::output::{self, Style};

/// The most bytes and characters of a value that people are shown.
const MAX_BYTES: usize = 64;
const MAX_TEXT: usize = 512;
/// How wide the names of fields are at most.
const MAX_WIDTH: usize = 32;

pub(super) fn run(args: &AttestInspectArgs) -> Result<ExitCode, CliError> {
    let content = files::read(&args.file, MAX_FILE)?;
    let inspection = inspect(&content)
        .map_err(|error| CliError::Input(format!("{}: {error}", args.file.display())))?;
    if args.json {
        output::json(&serde_json::json!({
            "format": inspection.format,
            "verified": false,
            "sections": inspection.sections,
        }))?;
    } else {
        show(&inspection, Style::of_stdout());
    }
    Ok(ExitCode::SUCCESS)
}

fn show(inspection: &Inspection, style: Style) {
    output::line(style.bold(inspection.format.describe()));
    output::line("Nothing of it is verified.");
    for section in &inspection.sections {
        output::line(format_args!("\n{}", printable(&section.name, MAX_TEXT)));
        let names = section.fields.iter().map(|field| field.name.chars().count());
        let width = names.max().unwrap_or_default().min(MAX_WIDTH);
        for field in &section.fields {
            let value = match &field.value {
                Value::Text(text) => printable(text, MAX_TEXT),
                Value::Hex(bytes) => bytes_shown(bytes, MAX_BYTES),
                Value::Number(number) => number.to_string(),
                _ => "of a type that this version does not know".to_owned(),
            };
            let name = printable(&field.name, MAX_TEXT);
            output::line(format_args!("  {name:<width$} {value}"));
        }
    }
}
