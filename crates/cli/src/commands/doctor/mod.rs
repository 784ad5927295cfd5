//! Looks at a deployment and says what to mend. It reads what `assay serve` reads, starts nothing
//! and changes nothing: the one file that it writes, to see whether it can, it removes again.
//!
//! A file for each subject; a check is a function there that adds lines to the [`Report`]. The order
//! is that in which things stand on one another.

mod certificates;
mod chain;
mod clock;
mod disk;
mod enclaves;
mod keys;
mod payment;
mod report;
mod sale;
mod system;

use std::process::ExitCode;
use std::sync::Arc;

use assay_chain::Chain;
use assay_primitives::{Clock, Network};
use assay_receipt::KeyManifest;
use assay_service::PriceList;

use self::report::{Report, State};
use super::system_clock;
use crate::args::DoctorArgs;
use crate::config::Config;
use crate::error::CliError;

/// What is looked at, and what the checks have learnt so far.
struct Patient {
    config: Config,
    clock: Arc<dyn Clock>,
    /// Whether a gateway runs on the data folder.
    is_running: bool,
    /// The chain, once it has answered.
    chain: Option<Chain>,
    /// The network, by the chain or else by the configuration.
    network: Option<Network>,
    prices: Option<PriceList>,
    manifest: Option<KeyManifest>,
}

pub(crate) async fn run(args: &DoctorArgs) -> Result<ExitCode, CliError> {
    let file = args.config.as_deref().filter(|path| !path.as_os_str().is_empty());
    let config = Config::load(file)?;
    let mut report = Report::default();
    report.ok(
        "configuration",
        match file {
            Some(file) => format!("{} and the environment", file.display()),
            None => "the defaults and the environment".to_owned(),
        },
    );
    let clock = system_clock();
    let mut patient = Patient {
        config,
        clock,
        is_running: false,
        chain: None,
        network: None,
        prices: None,
        manifest: None,
    };
    Box::pin(patient.examine(&mut report)).await;
    report.print(args.json)?;
    Ok(if report.count(State::Wrong) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Patient {
    async fn examine(&mut self, report: &mut Report) {
        system::open_files(report);
        disk::folder(self, report);
        disk::database(self, report).await;
        system::listen(self, report).await;
        system::proxies(self, report);
        chain::node(self, report).await;
        chain::blocks(self, report).await;
        sale::models_and_prices(self, report);
        chain::tokens(self, report).await;
        chain::multicall(self, report).await;
        keys::operator(self, report);
        enclaves::all(self, report).await;
        payment::pay_to(self, report);
        payment::release(self, report);
        payment::settlement(self, report).await;
        certificates::all(self, report).await;
        clock::dates(self, report).await;
    }

    /// Says whether the money is known not to be play money.
    fn is_real(&self) -> bool {
        self.network.as_ref().is_some_and(|network| !network.is_development())
    }
}

/// Returns the settings that name services, with their URLs.
fn services(config: &Config) -> impl Iterator<Item = (&'static str, url::Url)> {
    [
        ("public_url", &config.public_url),
        ("chain.rpc_url", &config.chain.rpc_url),
        ("payment.facilitator_url", &config.payment.facilitator_url),
        ("telemetry.otlp_endpoint", &config.telemetry.otlp_endpoint),
    ]
    .into_iter()
    .filter_map(|(setting, url)| Some((setting, url::Url::parse(url.as_deref()?).ok()?)))
}
