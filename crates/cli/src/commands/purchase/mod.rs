//! What buying one inference and buying several have in common: who pays, what is accepted, and where what
//! was bought goes.

mod failure;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use assay_chain::{AccountKey, is_development_address};
use assay_client::{Bought, Buyer, BuyerConfig, ClientError};
use assay_primitives::{Account, Amount, AssetId, Clock, Network, SystemRandomness};
use assay_verify::{Report, Verifier};
use assay_x402::{Preferences, SettleResponse, UPTO};
use serde::Serialize;

pub(super) use self::failure::{client_error, keep};
use self::failure::{not_bought, not_saved};
use super::{system_clock, verify};
use crate::args::{PayerArgs, PurchaseArgs};
use crate::error::CliError;
use crate::files::OutFile;
use crate::money;
use crate::node::{account_key, development_key};
use crate::output::{self, Style};

/// Where the payer's key may stand in place of a file.
pub(super) const PAYER_KEY: &str = "ASSAY_PAYER_KEY";

/// A purchase that may begin: what its options name is there.
pub(super) struct Purchase<'a> {
    gateway: &'a str,
    args: &'a PurchaseArgs,
    key: Arc<AccountKey>,
    out: Option<OutFile>,
    /// What may be spent.
    pub(super) preferences: Preferences,
    /// What is accepted as verified.
    pub(super) verifier: Verifier,
}

/// What a purchase gave: serialised for programs, printed for people.
pub(super) trait Given: Serialize {
    /// Prints it, and what verification found.
    fn print(&self, report: &Report, style: Style) -> Result<(), CliError>;
}

/// What `--json` prints. Serialised at once: floats keep the spelling that was committed to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a, G> {
    #[serde(flatten)]
    given: &'a G,
    report: &'a Report,
    paid: Paid<'a>,
    settlement: &'a Option<SettleResponse>,
    answered_in_microseconds: Option<u64>,
    bundle: Option<&'a Path>,
    access_token: String,
}

#[derive(Serialize)]
struct Paid<'a> {
    amount: Amount,
    asset: &'a Account,
    network: &'a Network,
}

impl<'a> Purchase<'a> {
    /// Finds out what can be found out before anything is paid.
    pub(super) fn prepare(gateway: &'a str, args: &'a PurchaseArgs) -> Result<Self, CliError> {
        let verifier = verify::trusting(&args.trust)?;
        let (key, preferences) = payer(&args.payer)?;
        let out = args.out.as_deref().map(OutFile::prepare).transpose()?;
        Ok(Self { gateway, args, key: Arc::new(key), out, preferences, verifier })
    }

    pub(super) fn buyer(&self) -> Result<Buyer, CliError> {
        buyer(self.gateway, Arc::clone(&self.key), system_clock())
    }

    /// Waits for what a buyer does, and says why nothing was bought.
    pub(super) async fn wait<T>(
        &self,
        buying: impl Future<Output = Result<Bought<T>, ClientError>>,
    ) -> Result<Bought<T>, CliError> {
        let waiting = format!("Waiting for {} to answer and settle", self.gateway);
        let bought = output::patiently(&waiting, Box::pin(buying)).await;
        bought.map_err(|error| not_bought(error, self.args.out.as_deref(), self.gateway))
    }

    /// Saves what was bought, and then prints it.
    pub(super) fn finish<T, G: Given>(
        self,
        bought: &Bought<T>,
        given: impl FnOnce() -> Result<G, CliError>,
    ) -> Result<ExitCode, CliError> {
        let Self { gateway, args, out, .. } = self;
        let saved = out.map_or(Ok(()), |out| out.write(&bought.file));
        print(args, bought, &given()?)?;
        saved.map_err(|error| not_saved(&error, bought, gateway))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn print<T>(args: &PurchaseArgs, bought: &Bought<T>, given: &impl Given) -> Result<(), CliError> {
    let Bought { offer, report, settlement, .. } = bought;
    if args.json {
        return output::json(&Told {
            given,
            report,
            paid: Paid { amount: paid(bought), asset: &offer.asset, network: &offer.network },
            settlement,
            answered_in_microseconds: output::micros(bought.answered_in),
            bundle: args.out.as_deref(),
            access_token: bought.access_token.reveal(),
        });
    }
    given.print(report, Style::of_stdout())?;
    if let Some(path) = &args.out {
        output::field("bundle", path.display());
    }
    Ok(())
}

/// Returns what was paid: under `upto` what was settled of the most.
fn paid<T>(bought: &Bought<T>) -> Amount {
    let settled = bought.report.payment.as_ref().map(|payment| payment.settled);
    settled.filter(|_| bought.offer.scheme == UPTO).unwrap_or(bought.offer.amount)
}

/// Makes a buyer who pays with a key.
pub(super) fn buyer(
    gateway: &str,
    key: Arc<AccountKey>,
    clock: Arc<dyn Clock>,
) -> Result<Buyer, CliError> {
    Buyer::new(gateway, key, clock, Arc::new(SystemRandomness), BuyerConfig::default())
        .map_err(|error| client_error(error, gateway))
}

/// Who pays, and how much at the most.
fn payer(args: &PayerArgs) -> Result<(AccountKey, Preferences), CliError> {
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
