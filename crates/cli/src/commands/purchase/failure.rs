//! Why a purchase ended otherwise than with what was bought, and what the buyer has in hand.

use std::path::{Path, PathBuf};

use assay_client::{Bought, ClientError, DeliveryError, SignedPayment, Undelivered};
use assay_primitives::printable;

use crate::error::{self, CliError};
use crate::files::{self, Readers};

/// Says why nothing was bought, and keeps what came in its place.
pub(super) fn not_bought(error: ClientError, out: Option<&Path>, gateway: &str) -> CliError {
    match error {
        ClientError::Undelivered(undelivered) => {
            let kept = keep(out, undelivered.file.as_deref());
            not_delivered(*undelivered, kept, gateway)
        }
        error => client_error(error, gateway),
    }
}

/// A result that does not verify is refused; what was asked wrongly is unusable input.
pub(in crate::commands) fn client_error(error: ClientError, gateway: &str) -> CliError {
    match error {
        ClientError::Undelivered(undelivered) => not_delivered(*undelivered, None, gateway),
        ClientError::Url(_) => CliError::input(error),
        ClientError::NotAccepted(refusal) => CliError::NotAccepted(refusal),
        ClientError::Gateway { status: 400..=499, code, message } => {
            let (message, code) = (printable(&message, 512), printable(&code, 64));
            CliError::Input(format!("gateway {gateway}: {message} ({code})"))
        }
        ClientError::NoOffer(error) => CliError::Input(format!(
            "{}: --asset, --max-amount and --method say what may be paid for",
            printable(&error.to_string(), 1_024)
        )),
        ClientError::PaymentRefused { reason, message, signed } => CliError::Failed(format!(
            "the payment was refused, and by the gateway's word nothing was charged: {}. {}",
            refused_because(&reason, &message),
            still_signed(&signed)
        )),
        ClientError::NotServed { status, code, message, signed } => CliError::Failed(format!(
            "gateway {gateway} answered {status} ({}) to the payment, and by its word nothing was \
             charged: {}. {}",
            printable(&code, 64),
            printable(&message, 512),
            still_signed(&signed)
        )),
        ClientError::Unanswered { cause, signed } => CliError::Failed(format!(
            "the payment was sent, and nothing tells what became of it: {}. {}",
            printable(&cause, 512),
            still_signed(&signed)
        )),
        ClientError::Http(error) => CliError::Failed(format!("gateway {gateway}: {error}")),
        other => CliError::Failed(printable(&other.to_string(), 1_024)),
    }
}

/// What is signed can be carried out, whatever the gateway says.
fn still_signed(signed: &SignedPayment) -> String {
    format!(
        "What was signed can be carried out until {}: do not pay again before, unless the network \
         shows that its nonce {} was not used. The access token {} opens the result, if there is one",
        signed.valid_before, signed.nonce, signed.access_token
    )
}

/// Says how what was bought is fetched again that could not be saved.
pub(super) fn not_saved<T>(error: &CliError, bought: &Bought<T>, gateway: &str) -> CliError {
    let transaction = bought.report.transaction.map(|id| id.to_string()).unwrap_or_default();
    let again = how_to_fetch(gateway, &transaction, &bought.access_token.reveal());
    CliError::Failed(format!("the bundle could not be saved: {error}. {again}"))
}

/// Saves what does not verify beside where the bundle would be: nobody is to take it for one.
pub(in crate::commands) fn keep(
    out: Option<&Path>,
    file: Option<&[u8]>,
) -> Option<Result<PathBuf, CliError>> {
    let (out, file) = (out?, file?);
    let mut name = out.file_name()?.to_os_string();
    name.push(".refused");
    let path = out.with_file_name(name);
    Some(files::replace(&path, file, Readers::Owner).map(|()| path))
}

/// The money has left or is about to, and there is no result: says what the buyer has in hand.
fn not_delivered(
    undelivered: Undelivered,
    kept: Option<Result<PathBuf, CliError>>,
    gateway: &str,
) -> CliError {
    let Undelivered { transaction, access_token, settlement, cause, .. } = undelivered;
    let paid = settlement.filter(|settlement| settlement.success).map_or_else(
        || "the payment was taken".to_owned(),
        |settled| format!("the payment was settled by {}", printable(&settled.transaction, 80)),
    );
    let said = printable(&cause.to_string(), 1_024);
    let transaction = transaction.to_string();
    let again = how_to_fetch(gateway, &transaction, &access_token);
    let (evidence, next) = match kept {
        Some(Ok(path)) => {
            let next = format!("What came is kept as evidence in {}", path.display());
            (Some(path), next)
        }
        Some(Err(error)) => (None, format!("What came could not be kept: {error}. {again}")),
        None => (None, again),
    };
    let late = matches!(cause, DeliveryError::Late(_));
    let advice = if late { "Do not pay again. " } else { "" };
    let message = format!("{paid}, and {said}. {advice}{next}");
    let refusal = match cause {
        DeliveryError::Refused(refusal) => Some(refusal),
        _ => None,
    };
    let undelivered = error::Undelivered { message, transaction, access_token, refusal, evidence };
    CliError::Undelivered(Box::new(undelivered))
}

fn how_to_fetch(gateway: &str, transaction: &str, token: &str) -> String {
    let gateway = gateway.trim_end_matches('/');
    format!(
        "Fetch it with:\n  ASSAY_ACCESS_TOKEN={token} \\\n    assay receipt fetch {transaction} \\\n    \
         --gateway {gateway} --out result.assay\nor, without the token, with the payer's key: --key-file"
    )
}

/// Returns why a payment is refused, with x402's code for it.
fn refused_because(reason: &str, message: &str) -> String {
    let meaning = match reason {
        "insufficient_funds" | "invalid_exact_evm_insufficient_balance" => {
            "the payer does not hold as much of the asset"
        }
        "invalid_exact_evm_nonce_already_used" => "this authorisation was used before",
        "permit2_allowance_required" => {
            "Permit2 may not move as much of the payer's asset: with --rpc-url, the address of a node, an \
             allowance is signed along where token and gateway take it; otherwise the payer approves Permit2 once"
        }
        _ => message,
    };
    format!("{} (`{}`)", printable(meaning, 512), printable(reason, 128))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command, ReceiptCommand};

    /// What a buyer without a result is told to type is a command that fetches it.
    #[test]
    fn what_to_type_is_a_command() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let told = how_to_fetch("http://127.0.0.1:8402/", id, "5e5e");
        let lines: Vec<&str> = told.lines().skip(1).take(3).collect();
        let text = lines.join(" ").replace('\\', " ");
        let mut words = text.split_whitespace();
        assert_eq!(words.next(), Some("ASSAY_ACCESS_TOKEN=5e5e"));
        let Command::Receipt(ReceiptCommand::Fetch(args)) =
            Args::try_parse_from(words).unwrap().command
        else {
            panic!("{told}")
        };
        assert_eq!((args.of.id.as_str(), args.of.gateway.as_str()), (id, "http://127.0.0.1:8402"));
        assert_eq!(args.out.as_deref(), Some(Path::new("result.assay")));
    }
}
