//! What was bought, fetched again or erased.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use assay_client::{ClientError, Credential, PublicReceipt, Receipts};
use assay_primitives::{AccessToken, InferenceOutput, SystemRandomness, Timestamp, TransactionId};
use assay_receipt::Bundle;
use assay_verify::{Expectation, Report, Verdict, Verifier};
use serde::Serialize;
use serde_json::{Value, json};

use super::buy::Answers;
use super::infer::Answer;
use super::purchase::{self, Given, PAYER_KEY, client_error};
use super::{system_clock, verify};
use crate::args::{ReceiptArgs, ReceiptCommand, ReceiptFetchArgs};
use crate::error::CliError;
use crate::files::{self, OutFile};
use crate::money;
use crate::node::{account_key, development_key, environment, packages, warn_of_readers};
use crate::output::{self, Style};

/// Where the access token may stand in place of a file.
const ACCESS_TOKEN: &str = "ASSAY_ACCESS_TOKEN";
/// How long an answer may take: a bundle may be long.
const ANSWER: Duration = Duration::from_secs(120);

pub(crate) async fn run(command: &ReceiptCommand) -> Result<ExitCode, CliError> {
    let of = command.of();
    let id: TransactionId = of.id.parse().map_err(CliError::input)?;
    let credential = credential(of)?;
    let random = Arc::new(SystemRandomness);
    let receipts = Receipts::new(&of.gateway, ANSWER, system_clock(), random)
        .map_err(|error| refused(error, &of.gateway))?;
    match (command, credential) {
        (ReceiptCommand::Fetch(args), Some(credential)) => {
            fetch(args, &receipts, id, &credential).await
        }
        (ReceiptCommand::Fetch(args), None) => public(args, &receipts, id).await,
        (ReceiptCommand::Erase(_), Some(credential)) => erase(of, &receipts, id, &credential).await,
        (ReceiptCommand::Erase(_), None) => Err(CliError::Input(format!(
            "only the buyer erases contents: give --token-file, --key-file, --development-account, \
             {ACCESS_TOKEN} or {PAYER_KEY}"
        ))),
    }
}

/// What a flag names counts more than the environment.
fn credential(args: &ReceiptArgs) -> Result<Option<Credential>, CliError> {
    if let Some(n) = args.development_account {
        return Ok(Some(Credential::Payer(Arc::new(development_key(n)?))));
    }
    if let Some(path) = &args.token_file {
        warn_of_readers(path);
        return token(&path.display().to_string(), &files::read_token(path)?).map(Some);
    }
    if args.key_file.is_none()
        && let Some(text) = environment(ACCESS_TOKEN)?
    {
        return token(ACCESS_TOKEN, &text).map(Some);
    }
    let key = account_key(args.key_file.as_deref(), PAYER_KEY)?;
    Ok(key.map(|key| Credential::Payer(Arc::new(key))))
}

fn token(place: &str, text: &str) -> Result<Credential, CliError> {
    let token: Result<AccessToken, _> = text.parse();
    token.map(Credential::Token).map_err(|error| CliError::Input(format!("{place}: {error}")))
}

/// What `fetch --json` prints of a bundle.
#[derive(Serialize)]
struct Fetched<'a, G> {
    #[serde(flatten)]
    given: &'a G,
    report: &'a Report,
    bundle: Option<&'a Path>,
}

async fn fetch(
    args: &ReceiptFetchArgs,
    receipts: &Receipts,
    id: TransactionId,
    credential: &Credential,
) -> Result<ExitCode, CliError> {
    let verifier = verify::trusting(&args.trust)?;
    let out = args.out.as_deref().map(|path| prepare(path, args.force)).transpose()?;
    let asking = receipts.bundle(id, credential);
    let waiting = format!("Fetching from {}", args.of.gateway);
    let file = output::patiently(&waiting, asking).await;
    let file = file.map_err(|error| refused(error, &args.of.gateway))?;
    let (report, bundle) = match examine(&file, &verifier, id) {
        Ok(found) => found,
        Err(error) => {
            let kept = purchase::keep(args.out.as_deref(), Some(&file));
            let kept = kept.transpose()?.map(|path| format!("; kept in {}", path.display()));
            return Err(CliError::Failed(format!("{error}{}", kept.unwrap_or_default())));
        }
    };
    let saved = out.map_or(Ok(()), |out| out.write(&file));
    // What was bought alone has no name.
    if report.items.iter().any(|item| item.id.is_some()) {
        print(args, &report, &Answers::of(&bundle, &report, &packages(None)?)?)?;
    } else {
        let output = bundle.items.first().and_then(|item| item.output.as_deref());
        let output = InferenceOutput::from_bytes(output.unwrap_or_default());
        print(args, &report, &Answer::new(&bundle, &output.map_err(CliError::failed)?)?)?;
    }
    saved.map(|()| ExitCode::SUCCESS)
}

fn print(args: &ReceiptFetchArgs, report: &Report, given: &impl Given) -> Result<(), CliError> {
    if args.of.json {
        return output::json(&Fetched { given, report, bundle: args.out.as_deref() });
    }
    given.print(report, Style::of_stdout())?;
    if let Some(path) = &args.out {
        output::field("bundle", path.display());
    }
    Ok(())
}

/// Finds out that the file can be written before anything is fetched. Nothing is replaced unasked,
/// and with `--force` nothing but a bundle.
fn prepare(path: &Path, force: bool) -> Result<OutFile, CliError> {
    if !force && path.is_file() {
        let path = path.display();
        return Err(CliError::Input(format!("{path}: exists already; --force replaces a bundle")));
    }
    OutFile::prepare(path)
}

/// Verifies a bundle, and that it is of this transaction.
fn examine(
    file: &[u8],
    verifier: &Verifier,
    id: TransactionId,
) -> Result<(Report, Bundle), String> {
    let report = verifier
        .verify(file, &Expectation::default(), system_clock().now())
        .map_err(|error| format!("what came cannot be used: {error}"))?;
    if let Verdict::Refused(refusal) = &report.verdict {
        return Err(format!("what came does not verify: {refusal}"));
    }
    if report.transaction != Some(id) {
        let got = report.transaction.map_or_else(|| "none".to_owned(), |got| got.to_string());
        return Err(format!("what came is another receipt: expected {id}, got {got}"));
    }
    let bundle = Bundle::from_bytes(file).map_err(|error| format!("what came: {error}"))?;
    Ok((report, bundle))
}

async fn public(
    args: &ReceiptFetchArgs,
    receipts: &Receipts,
    id: TransactionId,
) -> Result<ExitCode, CliError> {
    if args.out.is_some() || args.trust.policy.is_some() {
        return Err(CliError::Input(format!(
            "--out and --policy are for a bundle, which only its buyer gets: give --token-file, \
             --key-file, --development-account, {ACCESS_TOKEN} or {PAYER_KEY}"
        )));
    }
    let asking = receipts.public(id);
    let found = output::patiently(&format!("Fetching from {}", args.of.gateway), asking).await;
    let PublicReceipt { file, state, receipt, .. } =
        found.map_err(|error| refused(error, &args.of.gateway))?;
    if args.of.json {
        let whole: Value = serde_json::from_slice(&file).map_err(CliError::failed)?;
        output::json(&whole)?;
        return Ok(ExitCode::SUCCESS);
    }
    let predicate = receipt.predicate();
    let paid = &predicate.authorization;
    output::field("transaction", predicate.transaction_id);
    output::field("state", format_args!("{state}, by the gateway"));
    output::field("operator", predicate.operator);
    output::field("signed", predicate.issued_at);
    let amount = money::shown(paid.amount, &paid.network, &paid.asset);
    output::field("authorised", format_args!("{amount} on {}", paid.network));
    output::field("from", &paid.payer);
    output::field("to", &paid.pay_to);
    output::note(format_args!(
        "This is what anyone may know. With the access token or the payer's key it fetches the bundle."
    ));
    Ok(ExitCode::SUCCESS)
}

async fn erase(
    args: &ReceiptArgs,
    receipts: &Receipts,
    id: TransactionId,
    credential: &Credential,
) -> Result<ExitCode, CliError> {
    let asking = receipts.erase(id, credential);
    let at: Timestamp = output::patiently(&format!("Asking {}", args.gateway), asking)
        .await
        .map_err(|error| refused(error, &args.gateway))?;
    if args.json {
        output::json(&json!({ "transaction": id, "erasedAt": at }))?;
    } else {
        output::field("transaction", id);
        output::field("erased", format_args!("{at}, by the gateway"));
    }
    Ok(ExitCode::SUCCESS)
}

fn refused(error: ClientError, gateway: &str) -> CliError {
    match error {
        ClientError::NotPayer { .. } => CliError::input(error),
        other => client_error(other, gateway),
    }
}
