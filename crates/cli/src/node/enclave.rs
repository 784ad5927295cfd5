//! The enclave that is started beside the gateway, and what certifies by `tee`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use assay_attest::{DevelopmentRoot, Policy, Roots, Strength};
use assay_enclave::{Address, Client};
use assay_primitives::Clock;
use assay_service::Tee;
use assay_verify::Methods;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::args::AttesterKind;
use crate::commands::enclave::ROOT;
use crate::config::Config;
use crate::error::CliError;
use crate::files;

/// How long an enclave's answer may take: less than a payment lasts, so that there is time to ask
/// another one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long an enclave may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it is waited before one that ended is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// The most bytes of a root or a policy.
const MAX_FILE: u64 = 1 << 20;

/// What certifies by `tee`, and how that is verified.
pub(crate) struct Enclaves {
    clients: Vec<Client>,
    roots: Roots,
    policy: Policy,
    child: Option<RunningEnclave>,
}

/// An enclave that runs beside the gateway. It ends with it.
pub(crate) struct RunningEnclave {
    attester: AttesterKind,
    address: Address,
    /// The root that its evidence ends at, if that is for development.
    root: Option<PathBuf>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Enclaves {
    /// Starts the enclave that the configuration asks for, and finds the others. `None` if nothing
    /// certifies by `tee` here.
    pub(crate) async fn start(
        config: &Config,
        is_development: bool,
    ) -> Result<Option<Self>, CliError> {
        let (attester, mut addresses) = asked_for(config, is_development)?;
        if let Some(attester) = attester.filter(|_| !is_development)
            && attester.is_simulated()
        {
            let message = format!(
                "tee.attester: \"{}\" is for development: on a network with real money nothing \
                 simulated is sold",
                attester.name()
            );
            return Err(CliError::Input(message));
        }
        let policy = policy(config.tee.policy.as_deref(), attester, is_development)?;
        let mut roots = Roots::vendors();
        let mut child = None;
        if let Some(attester) = attester {
            let folder = config.data.join("tee").join(attester.name());
            let launch = Launch::new(config, attester, &folder);
            let mut running = RunningEnclave::start(launch).await?;
            if attester.is_simulated() {
                let path = folder.join(ROOT);
                let root = DevelopmentRoot::from_bytes(&files::read(&path, MAX_FILE)?);
                roots = roots.with_development(root.map_err(CliError::input)?);
                running.root = Some(path);
            }
            addresses.push(running.address);
            child = Some(running);
        }
        if addresses.is_empty() {
            return Ok(None);
        }
        let clients = addresses.into_iter().map(|address| Client::new(address, ANSWER_TIMEOUT));
        Ok(Some(Self { clients: clients.collect(), roots, policy, child }))
    }

    /// Returns the methods as the gateway verifies them before it charges.
    pub(crate) fn methods(enclaves: Option<&Self>) -> Methods {
        match enclaves {
            Some(Self { roots, policy, .. }) => {
                let tee = assay_verify::Tee::new(roots.clone(), policy.clone());
                Methods::standard().with(tee)
            }
            None => Methods::standard(),
        }
    }

    /// Returns the certifier, and what runs beside it.
    pub(crate) fn into_certifier(
        self,
        parallel: usize,
        clock: Arc<dyn Clock>,
    ) -> (Tee, Option<RunningEnclave>) {
        (Tee::new(self.clients, parallel, clock), self.child)
    }
}

/// How an enclave is started.
struct Launch {
    attester: AttesterKind,
    arguments: Vec<OsString>,
}

/// An enclave's process. It ends when its standard input does.
struct Running {
    child: Child,
    address: Address,
    _stdin: Option<ChildStdin>,
}

/// What an enclave says when it has started, or why it has not.
#[derive(Deserialize)]
#[serde(untagged)]
enum Started {
    Running { enclave: String },
    Failed { error: String },
}

impl RunningEnclave {
    async fn start(launch: Launch) -> Result<Self, CliError> {
        let mut running = launch.start("tcp:127.0.0.1:0").await?;
        let (address, attester) = (running.address, launch.attester);
        info!(enclave = %address, attester = launch.attester.name(), "The enclave is started.");
        let supervising = async move {
            loop {
                let ended = running.child.wait().await;
                warn!(ended = ?ended.ok(), "The enclave ended: it is started again.");
                running = launch.start_again(address).await;
                info!(enclave = %address, "The enclave is started again.");
            }
        };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let stopped = stop.clone();
        tasks.spawn(async move { stopped.run_until_cancelled(supervising).await });
        Ok(Self { attester, address, root: None, tasks, stop })
    }

    /// Returns where its evidence comes from.
    pub(crate) const fn attester(&self) -> AttesterKind {
        self.attester
    }

    /// Returns where it is talked to.
    pub(crate) const fn address(&self) -> Address {
        self.address
    }

    /// Returns the file of the root that its evidence ends at, if that is for development.
    pub(crate) fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Ends the enclave.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Launch {
    fn new(config: &Config, attester: AttesterKind, folder: &Path) -> Self {
        let mut arguments: Vec<OsString> = ["enclave", "--json", "--until-stdin-ends"]
            .into_iter()
            .chain(["--attester", attester.name(), "--epoch", &config.tee.epoch])
            .map(OsString::from)
            .collect();
        if let Some(models) = &config.models {
            arguments.extend(["--models".into(), models.into()]);
        }
        if attester.is_simulated() {
            arguments.extend(["--development-root".into(), folder.into()]);
        }
        let tee = &config.tee;
        for (option, file) in
            [("--certificates", &tee.certificates), ("--collateral", &tee.collateral)]
        {
            if let Some(file) = file {
                arguments.extend([option.into(), file.into()]);
            }
        }
        Self { attester, arguments }
    }

    async fn start(&self, listen: &str) -> Result<Running, CliError> {
        let program = std::env::current_exe().map_err(CliError::failed)?;
        let mut child = Command::new(program)
            .args(&self.arguments)
            .args(["--listen", listen])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(CliError::failed)?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let mut stdout = BufReader::new(stdout);
            let read = tokio::time::timeout(START_TIMEOUT, stdout.read_line(&mut line));
            read.await.map_err(CliError::failed)?.map_err(CliError::failed)?;
        }
        let address = match serde_json::from_str(&line) {
            Ok(Started::Running { enclave }) => enclave.parse().map_err(CliError::failed)?,
            Ok(Started::Failed { error }) => {
                return Err(CliError::Failed(format!("the enclave beside the gateway: {error}")));
            }
            Err(_) => {
                let message = "the enclave beside the gateway could not be started";
                return Err(CliError::Failed(message.to_owned()));
            }
        };
        Ok(Running { child, address, _stdin: stdin })
    }

    /// Starts it until it runs.
    async fn start_again(&self, address: Address) -> Running {
        loop {
            tokio::time::sleep(RESTART_PAUSE).await;
            match self.start(&address.to_string()).await {
                Ok(running) => return running,
                Err(error) => warn!(%error, "The enclave could not be started again."),
            }
        }
    }
}

/// Returns the attester of the enclave that is to be started, and the addresses of others.
fn asked_for(
    config: &Config,
    is_development: bool,
) -> Result<(Option<AttesterKind>, Vec<Address>), CliError> {
    let default = is_development.then_some(AttesterKind::SimulatedNitro);
    let attester = config.tee.attester().map_err(CliError::Input)?.unwrap_or(default);
    Ok((attester, config.tee.enclaves().map_err(CliError::Input)?))
}

/// Says whether anything certifies by `tee` under a configuration.
pub(crate) fn has_enclaves(config: &Config, is_development: bool) -> Result<bool, CliError> {
    let (attester, addresses) = asked_for(config, is_development)?;
    Ok(attester.is_some() || !addresses.is_empty())
}

/// Reads a policy for evidence; the default without a file.
pub(crate) fn attestation_policy(path: Option<&Path>) -> Result<Policy, CliError> {
    let Some(path) = path else { return Ok(Policy::default()) };
    Policy::from_toml(&files::read_text(path, MAX_FILE)?)
        .map_err(|error| CliError::Input(format!("{}: {error}", path.display())))
}

/// Returns the policy that evidence has to fulfil before anything is charged for.
fn policy(
    path: Option<&Path>,
    attester: Option<AttesterKind>,
    is_development: bool,
) -> Result<Policy, CliError> {
    let mut policy = attestation_policy(path)?;
    let of_boot = attester.filter(|attester| attester.is_of_boot());
    // It is simulated whatever its strength is, and there is nothing else to try it with.
    if of_boot.is_some_and(AttesterKind::is_simulated) && policy.min_strength.is_none() {
        policy.min_strength = Some(Strength::MeasuredBoot);
    }
    if policy.allow_debug && !is_development {
        let message = "tee.policy: allow_debug = true is for development: who debugs an enclave reads \
                       and changes what is in it";
        return Err(CliError::Input(message.to_owned()));
    }
    let least = policy.min_strength.unwrap_or(Strength::Tee);
    if let Some(attester) = of_boot.filter(|_| least > Strength::MeasuredBoot) {
        let message = format!(
            "tee.attester: \"{}\" measures what was booted and isolates nothing: it takes a \
             tee.policy with min_strength = \"{}\", on a development chain",
            attester.name(),
            Strength::MeasuredBoot
        );
        return Err(CliError::Input(message));
    }
    if least < Strength::Tee && !is_development {
        let message = format!(
            "tee.policy: min_strength = \"{least}\" is for development: on a network with real \
             money nothing is sold as `tee` that isolates nothing"
        );
        return Err(CliError::Input(message));
    }
    Ok(policy)
}
