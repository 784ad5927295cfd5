use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use assay_chain::{AccountKey, is_development_address};
use assay_client::{
    Bought, Buyer, BuyerConfig, ClientError, DeliveryError, InferenceOrder, SignedPayment,
    Undelivered,
};
use assay_primitives::{
    Account, Amount, AssetId, InferenceOutput, Method, Network, SystemRandomness, Tensor, printable,
};
use assay_verify::Report;
use assay_x402::{Preferences, SettleResponse};
use serde::{Deserialize, Serialize};

use super::input::InputSpec;
use super::{gateway, input, show, system_clock, verify};
use crate::args::{InferArgs, PayerArgs};
use crate::error::{self, CliError};
use crate::files::{self, OutFile, Readers};
use crate::money;
use crate::node::{account_key, development_key, packages};
use crate::output::{self, Style};

/// Where the payer's key may stand in place of a file.
pub(super) const PAYER_KEY: &str = "ASSAY_PAYER_KEY";
/// The most elements of an output that are printed for people.
const MAX_ELEMENTS: usize = 16;

#[derive(Deserialize)]
struct Metadata {
    inputs: Vec<InputSpec>,
}

pub(crate) async fn run(args: InferArgs) -> Result<ExitCode, CliError> {
    let method: Method =
        args.method.parse().map_err(|error| CliError::Input(format!("--method: {error}")))?;
    let verifier = verify::trusting(&args.purchase.trust)?;
    let (key, preferences) = payer(&args.purchase.payer)?;
    // Found out before it is paid for.
    let out = args.purchase.out.as_deref().map(OutFile::prepare).transpose()?;
    let metadata: Metadata = gateway::get(&args.gateway, &["v2", "models", &args.model]).await?;
    let request = input::read(&args.input, &metadata.inputs)?;
    let clock = system_clock();
    let (key, random) = (Arc::new(key), Arc::new(SystemRandomness));
    let buyer = Buyer::new(&args.gateway, key, clock, random, BuyerConfig::default())
        .map_err(|error| client_error(error, &args.gateway))?;
    let order = InferenceOrder { model: args.model.clone(), method, request, preferences };
    let waiting = format!("Waiting for {} to answer and settle", args.gateway);
    let bought = match output::patiently(&waiting, Box::pin(buyer.infer(order, &verifier))).await {
        Ok(bought) => bought,
        Err(error) => return Err(not_bought(error, args.purchase.out.as_deref(), &args.gateway)),
    };
    let saved = out.map_or(Ok(()), |out| out.write(&bought.file));
    print(&args, &bought)?;
    saved.map_err(|error| not_saved(&error, &bought, &args.gateway))?;
    Ok(ExitCode::SUCCESS)
}

/// Says how what was bought is fetched again that could not be saved.
pub(super) fn not_saved<T>(error: &CliError, bought: &Bought<T>, gateway: &str) -> CliError {
    let transaction = bought.report.transaction.map(|id| id.to_string()).unwrap_or_default();
    let again = how_to_fetch(gateway, &transaction, &bought.access_token.reveal());
    CliError::Failed(format!("the bundle could not be saved: {error}. {again}"))
}

/// What `--json` prints. Serialised at once: floats keep the spelling that was committed to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    outputs: &'a [Tensor],
    label: Option<String>,
    report: &'a Report,
    paid: Paid<'a>,
    settlement: &'a Option<SettleResponse>,
    answered_in_microseconds: Option<u64>,
    bundle: Option<&'a Path>,
    access_token: String,
}

#[derive(Serialize)]
pub(super) struct Paid<'a> {
    pub(super) amount: Amount,
    pub(super) asset: &'a Account,
    pub(super) network: &'a Network,
}

fn print(args: &InferArgs, bought: &Bought) -> Result<(), CliError> {
    let Bought { offer, output, report, settlement, .. } = bought;
    if args.purchase.json {
        return output::json(&Answer {
            outputs: &output.outputs,
            label: label(report, output),
            report,
            paid: Paid { amount: offer.amount, asset: &offer.asset, network: &offer.network },
            settlement,
            answered_in_microseconds: u64::try_from(bought.answered_in.as_micros()).ok(),
            bundle: args.purchase.out.as_deref(),
            access_token: bought.access_token.reveal(),
        });
    }
    let style = Style::of_stdout();
    answer(report, output, style)?;
    show::report(report, style);
    if let Some(path) = &args.purchase.out {
        output::field("bundle", path.display());
    }
    Ok(())
}

/// Prints what the model gave.
pub(super) fn answer(
    report: &Report,
    output: &InferenceOutput,
    style: Style,
) -> Result<(), CliError> {
    if let Some(label) = label(report, output) {
        output::line(format_args!("{:<11} {}", "answer", style.bold(&printable(&label, 128))));
    }
    for tensor in &output.outputs {
        output::field("output", shown(tensor)?);
    }
    Ok(())
}

/// Returns what the output says in a word, where this program carries the model that the receipt
/// names by its digest. The gateway's own word for it would be a word that nothing certifies.
pub(super) fn label(report: &Report, output: &InferenceOutput) -> Option<String> {
    let id = report.items.first()?.model.id;
    let packages = packages(None).ok()?;
    let package = packages.iter().find(|package| package.id() == id)?;
    package.card().top_label(output).map(str::to_owned)
}

pub(super) fn shown(tensor: &Tensor) -> Result<String, CliError> {
    let text = serde_json::to_string(tensor.data()).map_err(CliError::failed)?;
    let elements = text.trim_matches(['[', ']']).split(',');
    let mut texts: Vec<String> = elements.take(MAX_ELEMENTS).map(str::to_owned).collect();
    let all = tensor.data().len();
    if all > MAX_ELEMENTS {
        texts.push(format!("… {all} in all, --json prints them"));
    }
    Ok(format!("{} {:?} {}", tensor.name(), tensor.shape(), texts.join(" ")))
}

/// Who pays, and how much at the most.
pub(super) fn payer(args: &PayerArgs) -> Result<(AccountKey, Preferences), CliError> {
    let cap: Amount = args
        .max_amount
        .parse()
        .map_err(|error| CliError::Input(format!("--max-amount: {error}")))?;
    let assets: Vec<AssetId> = if args.asset.is_empty() {
        money::known_assets()?.into_iter().map(|(id, _)| id).collect()
    } else {
        let wrong = |error| CliError::Input(format!("--asset: {error}"));
        args.asset.iter().map(|id| id.parse()).collect::<Result<_, _>>().map_err(wrong)?
    };
    let preferences =
        assets.into_iter().fold(Preferences::new(), |all, asset| all.with_cap(asset, cap));
    let key = match args.development_account {
        Some(n) => development_key(n)?,
        None => account_key(args.key_file.as_deref(), PAYER_KEY)?.ok_or_else(|| {
            let message = "nobody pays: give --key-file, --development-account or ASSAY_PAYER_KEY";
            CliError::Input(message.to_owned())
        })?,
    };
    if !is_development_address(key.address()) {
        return Ok((key, preferences));
    }
    // What everybody can spend is no account for real money.
    let networks = [Network::eip155(assay_devchain::CHAIN_ID), Network::eip155(1_337)];
    Ok((key, preferences.on_networks(networks)))
}

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
pub(super) fn client_error(error: ClientError, gateway: &str) -> CliError {
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

/// Saves what does not verify beside where the bundle would be: nobody is to take it for one.
pub(super) fn keep(out: Option<&Path>, file: Option<&[u8]>) -> Option<Result<PathBuf, CliError>> {
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
