//! Part of a bundle: some items, and nothing of the others.

use std::collections::HashSet;
use std::process::ExitCode;

use assay_primitives::Digest;
use assay_receipt::{Bundle, ItemStatement, Reference};
use serde_json::json;

use super::verify::MAX_BUNDLE;
use crate::args::DiscloseArgs;
use crate::error::CliError;
use crate::files::{self, Readers};
use crate::output;

pub(crate) fn run(args: &DiscloseArgs) -> Result<ExitCode, CliError> {
    let wrong = |error: String| CliError::Input(format!("{}: {error}", args.bundle.display()));
    let file = files::read(&args.bundle, MAX_BUNDLE)?;
    let bundle = Bundle::from_bytes(&file).map_err(|error| wrong(error.to_string()))?;
    let statements = bundle.items.iter().map(|item| ItemStatement::from_bytes(&item.statement));
    let statements =
        statements.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(error.to_string()))?;
    for item in &args.item {
        if !statements.iter().any(|statement| is_called(statement, item)) {
            let names: Vec<String> = statements.iter().map(name).collect();
            return Err(wrong(format!(
                "there is no item `{item}`; there are: {}",
                names.join(", ")
            )));
        }
    }
    let is_shown =
        |statement: &ItemStatement| args.item.iter().any(|item| is_called(statement, item));
    let (told, sources) = (told_of_others(&statements, is_shown), sources(&statements, is_shown));
    let shown = bundle.disclose(is_shown).map_err(|error| wrong(error.to_string()))?;
    let bytes = shown.to_bytes().map_err(|error| wrong(error.to_string()))?;
    files::write_new(&args.out, &bytes, Readers::Owner)?;
    if args.json {
        output::json(&json!({
            "bundle": args.out,
            "bytes": bytes.len(),
            "items": shown.items.len(),
            "proofsOfOthers": told,
            "outputsOfOthers": sources,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let count = format!("{} of {} items", shown.items.len(), statements.len());
    output::field("shown", count);
    output::field("bundle", format_args!("{} ({} bytes)", args.out.display(), bytes.len()));
    output::note("Nothing of it was verified: `assay verify` does that.");
    if !sources.is_empty() {
        let others = sources.join(", ");
        output::note(format_args!("Inputs in it hold outputs of these items, too: {others}."));
    }
    if !told.is_empty() {
        let others = told.join(", ");
        output::note(format_args!(
            "A proof in it is of these items, too, and it is not zero-knowledge: {others}."
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// An item goes by its id, or by its index.
fn is_called(statement: &ItemStatement, text: &str) -> bool {
    let details = &statement.details;
    details.id.as_ref().is_some_and(|id| id.as_str() == text) || details.index.to_string() == text
}

fn name(statement: &ItemStatement) -> String {
    let details = &statement.details;
    details.id.as_ref().map_or_else(|| details.index.to_string(), ToString::to_string)
}

/// Returns the items that are not shown, and whose outputs are in inputs that are.
fn sources(statements: &[ItemStatement], is_shown: impl Fn(&ItemStatement) -> bool) -> Vec<String> {
    let shown = statements.iter().filter(|one| is_shown(one));
    let used = Reference::items(shown.flat_map(|one| &one.details.references));
    let hidden = statements.iter().filter(|one| !is_shown(one));
    hidden.filter(|one| used.binary_search(&one.details.index).is_ok()).map(name).collect()
}

/// Returns the items that are not shown, and that evidence of their own is handed over of: what several
/// items share and is not the same for every transaction is a proof of all of them.
fn told_of_others(
    statements: &[ItemStatement],
    is_shown: impl Fn(&ItemStatement) -> bool,
) -> Vec<String> {
    let proofs = |statement: &ItemStatement| -> HashSet<Digest> {
        let evidence = statement.details.evidence.iter();
        let proofs = evidence.filter(|one| one.kind == assay_zkml::model::PROOF_MEDIA_TYPE);
        proofs.map(|one| one.sha256).collect()
    };
    let (shown, hidden): (Vec<_>, Vec<_>) = statements.iter().partition(|one| is_shown(one));
    let handed_over: HashSet<Digest> = shown.into_iter().flat_map(proofs).collect();
    let hidden = hidden.into_iter().filter(|one| !proofs(one).is_disjoint(&handed_over));
    hidden.map(name).collect()
}
