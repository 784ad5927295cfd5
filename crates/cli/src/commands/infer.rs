use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use assay_chain::AccountKey;
use assay_client::{Bought, Buyer, BuyerConfig, ClientError, InferenceOrder};
use assay_primitives::{Amount, AssetId, Method, SystemRandomness};
use assay_verify::{Methods, Verifier};
use assay_x402::Preferences;
use serde::Deserialize;
use serde_json::json;

use super::input::InputSpec;
use super::{input, show, system_clock, verify};
use crate::args::{InferArgs, PayerArgs};
use crate::error::CliError;
use crate::node::{account_key, development_asset, development_key};
use crate::output::{self, Style};

/// USDC on Base and on Base Sepolia.
const USDC: [&str; 2] = [
    "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
    "eip155:84532/erc20:0x036CbD53842c5426634e7929541eC2318f3dCF7e",
];

#[derive(Deserialize)]
struct Metadata {
    inputs: Vec<InputSpec>,
}

pub(crate) async fn run(args: InferArgs) -> Result<ExitCode, CliError> {
    let method: Method = args.method.parse().map_err(CliError::input)?;
    let verifier = Verifier::new(verify::policy(args.policy.as_deref())?, Methods::standard());
    let (key, preferences) = payer(&args.payer)?;
    let specs = metadata(&args.gateway, &args.model).await?.inputs;
    let request = input::read(&args.input, &specs)?;
    let buyer = Buyer::new(
        &args.gateway,
        Arc::new(key),
        system_clock(),
        Arc::new(SystemRandomness),
        BuyerConfig::default(),
    )
    .map_err(client_error)?;
    let order = InferenceOrder { model: args.model.clone(), method, request, preferences };
    if !args.json {
        output::note(format_args!("Asking {} for `{}`.", args.gateway, args.model));
    }
    let bought = buyer.infer(order, &verifier).await.map_err(client_error)?;
    if let Some(path) = &args.out {
        std::fs::write(path, &bought.file).map_err(|e| CliError::Io(path.clone(), e))?;
    }
    print(&args, &bought)?;
    Ok(ExitCode::SUCCESS)
}

fn print(args: &InferArgs, bought: &Bought) -> Result<(), CliError> {
    if args.json {
        return output::json(&json!({
            "outputs": bought.output.outputs,
            "report": bought.report,
            "paid": { "amount": bought.offer.amount, "asset": bought.offer.asset,
                      "network": bought.offer.network },
            "settlement": bought.settlement,
            "answeredInMicroseconds": u64::try_from(bought.answered_in.as_micros()).ok(),
            "bundle": args.out,
            "accessToken": bought.access_token.reveal(),
        }));
    }
    for tensor in &bought.output.outputs {
        let text = serde_json::to_string(tensor.data()).map_err(CliError::failed)?;
        output::line(format_args!("{} {:?} {text}", tensor.name(), tensor.shape()));
    }
    show::report(&bought.report, Style::of_stdout());
    if let Some(path) = &args.out {
        output::line(format_args!("bundle      {}", path.display()));
    }
    Ok(())
}

/// Who pays, and how much at the most.
fn payer(args: &PayerArgs) -> Result<(AccountKey, Preferences), CliError> {
    let cap: Amount = args.max_amount.parse().map_err(CliError::input)?;
    let development = development_asset()?.id;
    let assets: Vec<AssetId> = if args.asset.is_empty() {
        let known = USDC.iter().map(|id| id.parse()).collect::<Result<Vec<_>, _>>();
        known.map_err(CliError::input)?.into_iter().chain([development.clone()]).collect()
    } else {
        args.asset.iter().map(|id| id.parse()).collect::<Result<_, _>>().map_err(CliError::input)?
    };
    let mut preferences = Preferences::new();
    for asset in assets {
        preferences = preferences.with_cap(asset, cap);
    }
    if let Some(n) = args.development_account {
        let networks = [development.network().clone()];
        return Ok((development_key(n)?, preferences.on_networks(networks)));
    }
    let key = account_key(args.key_file.as_deref(), "ASSAY_PAYER_KEY")?.ok_or_else(|| {
        let message = "nobody pays: give --key-file, --development-account or ASSAY_PAYER_KEY";
        CliError::Input(message.to_owned())
    })?;
    Ok((key, preferences))
}

async fn metadata(gateway: &str, model: &str) -> Result<Metadata, CliError> {
    super::models::get(gateway, &["v2", "models", model], Duration::from_secs(10)).await
}

/// A result that does not verify is refused; what was asked wrongly is unusable input.
pub(super) fn client_error(error: ClientError) -> CliError {
    match error {
        ClientError::Refused(_) | ClientError::Unusable(_) | ClientError::OtherPayment { .. } => {
            CliError::Refused(error.to_string())
        }
        ClientError::Url(_) => CliError::input(error),
        ClientError::Gateway { status: 400..=499, .. } => CliError::input(error),
        other => CliError::failed(other),
    }
}
