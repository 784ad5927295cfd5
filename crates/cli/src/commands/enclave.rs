//! The enclave process.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use assay_attest::collect::{Attester, SimulatedNitro, SimulatedNitroRoot, Tsm};
use assay_enclave::{Address, Enclave, Listener, Server, Settings};
use assay_engine::Tract;
use assay_primitives::{Clock, SystemRandomness};
use serde_json::json;
use sha2::{Digest as _, Sha384};
use tracing::warn;

use super::system_clock;
use crate::args::{AttesterKind, EnclaveArgs};
use crate::config::epoch;
use crate::error::CliError;
use crate::files::{self, Readers};
use crate::{node, output};

/// The most bytes of a root or its key.
const MAX_PEM: u64 = 16 << 10;
/// The files of a simulated root.
pub(crate) const ROOT: &str = "root.pem";
const ROOT_KEY: &str = "root-key.pem";

pub(crate) fn run(args: &EnclaveArgs) -> Result<ExitCode, CliError> {
    let clock = system_clock();
    let address: Address =
        args.listen.parse().map_err(|error| CliError::Input(format!("--listen: {error}")))?;
    let epoch = epoch(&args.epoch).map_err(|error| CliError::Input(format!("--epoch: {error}")))?;
    let settings = Settings {
        packages: node::packages(args.models.as_deref())?,
        epoch,
        attester: attester(args, &clock)?,
        clock,
        randomness: Arc::new(SystemRandomness),
    };
    let listener = Listener::bind(address)
        .map_err(|error| CliError::Failed(format!("--listen {address}: {error}")))?;
    let address = listener.address().map_err(CliError::failed)?;
    let enclave = Arc::new(Enclave::start(settings, &Tract).map_err(CliError::failed)?);
    if args.json {
        output::json(&json!({ "enclave": address.to_string(), "attester": args.attester.name() }))?;
    } else {
        output::field("enclave", address);
        output::field("attester", args.attester.name());
        if args.attester.is_simulated() {
            output::line("This is for development: the evidence is simulated.");
        }
    }
    let server = Server::new(listener, enclave);
    if !args.until_stdin_ends {
        return server.run().map(|()| ExitCode::SUCCESS).map_err(CliError::failed);
    }
    thread::Builder::new().spawn(move || server.run()).map_err(CliError::failed)?;
    wait_for_end_of_stdin();
    Ok(ExitCode::SUCCESS)
}

/// Waits until the process that started this one has ended.
fn wait_for_end_of_stdin() {
    let mut bytes = [0; 64];
    while matches!(std::io::stdin().read(&mut bytes), Ok(1..)) {}
}

fn attester(args: &EnclaveArgs, clock: &Arc<dyn Clock>) -> Result<Box<dyn Attester>, CliError> {
    match args.attester {
        AttesterKind::Nitro => nitro(),
        AttesterKind::Tsm => Ok(Box::new(Tsm::open().map_err(CliError::input)?)),
        AttesterKind::SimulatedNitro => {
            let folder = args.development_root.as_deref().ok_or_else(|| {
                CliError::Input("--development-root: the folder of the simulated root".to_owned())
            })?;
            let root = simulated_root(folder, clock.as_ref())?;
            Ok(Box::new(SimulatedNitro::new(root, own_image()?, clock.clone())))
        }
    }
}

#[cfg(target_os = "linux")]
fn nitro() -> Result<Box<dyn Attester>, CliError> {
    Ok(Box::new(assay_attest::collect::Nsm::open().map_err(CliError::input)?))
}

#[cfg(not(target_os = "linux"))]
fn nitro() -> Result<Box<dyn Attester>, CliError> {
    Err(CliError::Input("--attester nitro: a Nitro Enclave runs Linux".to_owned()))
}

/// Reads the simulated root of a folder, or makes one.
fn simulated_root(folder: &Path, clock: &dyn Clock) -> Result<SimulatedNitroRoot, CliError> {
    files::private_folder(folder).map_err(CliError::io(folder))?;
    let (certificate, key) = (folder.join(ROOT), folder.join(ROOT_KEY));
    if !certificate.exists() {
        let root = SimulatedNitroRoot::generate(clock.now()).map_err(CliError::failed)?;
        files::replace(&key, root.key_to_pem().as_bytes(), Readers::Owner)?;
        let pem = root.certificate().to_pem();
        files::write_new(&certificate, pem.as_bytes(), Readers::Everybody)?;
        return Ok(root);
    }
    let certificate = files::read_text(&certificate, MAX_PEM)?;
    let key = files::read_text(&key, MAX_PEM)?;
    SimulatedNitroRoot::from_pem(&certificate, &key).map_err(CliError::input)
}

/// Returns what stands for the measurement of an image: the SHA-384 of this program.
fn own_image() -> Result<[u8; 48], CliError> {
    let path = std::env::current_exe().map_err(CliError::failed)?;
    let mut file = std::fs::File::open(&path).map_err(CliError::io(&path))?;
    let mut hash = Sha384::new();
    let mut bytes = vec![0; 1 << 16];
    loop {
        match file.read(&mut bytes).map_err(CliError::io(&path))? {
            0 => break,
            read => hash.update(bytes.get(..read).unwrap_or_default()),
        }
    }
    if cfg!(debug_assertions) {
        warn!("This is a debug build: its measurement is no release's.");
    }
    Ok(hash.finalize().into())
}
