//! The enclave process.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;

use assay_attest::collect::tpm::{DEVICE, TpmAttester, TpmPlace};
use assay_attest::collect::{
    Attester, SimulatedDevice, SimulatedNitro, SimulatedRoot, Tsm, certificates,
};
use assay_enclave::{Address, Enclave, Listener, Server, Settings};
use assay_engine::Tract;
use assay_primitives::{Clock, SystemRandomness, Timestamp};
use serde_json::json;
use sha2::digest::Output;
use sha2::{Digest, Sha384};
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
/// The folder beside them with the state of a software TPM.
#[cfg(unix)]
const SWTPM: &str = "swtpm";

/// What evidence comes from.
struct Source {
    attester: Box<dyn Attester>,
    /// Waits for the end of what the enclave cannot do without.
    end: Option<Box<dyn FnOnce() -> CliError + Send>>,
}

pub(crate) fn run(args: &EnclaveArgs) -> Result<ExitCode, CliError> {
    let clock = system_clock();
    let address: Address =
        args.listen.parse().map_err(|error| CliError::Input(format!("--listen: {error}")))?;
    let epoch = epoch(&args.epoch).map_err(|error| CliError::Input(format!("--epoch: {error}")))?;
    let packages = node::packages(args.models.as_deref())?;
    let Source { attester, end } = source(args, &clock)?;
    let settings =
        Settings { packages, epoch, attester, clock, randomness: Arc::new(SystemRandomness) };
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
    let (ended, ends) = mpsc::channel();
    let server = Server::new(listener, enclave);
    when(&ended, move || server.run().map_err(CliError::failed))?;
    if args.until_stdin_ends {
        when(&ended, || {
            wait_for_end_of_stdin();
            Ok(())
        })?;
    }
    if let Some(end) = end {
        when(&ended, move || Err(end()))?;
    }
    ends.recv().map_err(CliError::failed)?.map(|()| ExitCode::SUCCESS)
}

/// Tells how something ends, once it does.
fn when(
    ended: &mpsc::Sender<Result<(), CliError>>,
    wait: impl FnOnce() -> Result<(), CliError> + Send + 'static,
) -> Result<(), CliError> {
    let ended = ended.clone();
    let waiting = move || {
        // Nobody listens when something else ended before.
        let _ = ended.send(wait());
    };
    thread::Builder::new().spawn(waiting).map(|_| ()).map_err(CliError::failed)
}

/// Waits until the process that started this one has ended.
fn wait_for_end_of_stdin() {
    let mut bytes = [0; 64];
    while matches!(std::io::stdin().read(&mut bytes), Ok(1..)) {}
}

fn source(args: &EnclaveArgs, clock: &Arc<dyn Clock>) -> Result<Source, CliError> {
    let kind = args.attester;
    let of_device = matches!(kind, AttesterKind::Tsm | AttesterKind::Tpm);
    for (option, is_given, has_use) in [
        ("--certificates", args.certificates.is_some(), of_device),
        ("--collateral", args.collateral.is_some(), kind == AttesterKind::Tsm),
    ] {
        if is_given && !has_use {
            let message = format!("{option}: the attester {} has no use for it", kind.name());
            return Err(CliError::Input(message));
        }
    }
    let attester: Box<dyn Attester> = match kind {
        AttesterKind::Nitro => nitro()?,
        AttesterKind::Tsm => Box::new(tsm(args)?),
        AttesterKind::Tpm => {
            let place = TpmPlace::Device(DEVICE.into());
            let attester = TpmAttester::open(place, &given_certificates(args)?);
            Box::new(attester.map_err(CliError::input)?)
        }
        AttesterKind::SimulatedNitro => {
            let folder = development_folder(args)?;
            let root = simulated_root(folder, clock.now())?;
            let image = own_image::<Sha384>()?.into();
            Box::new(SimulatedNitro::new(root, image, clock.clone()))
        }
        AttesterKind::Swtpm => return swtpm(development_folder(args)?, clock.now()),
    };
    Ok(Source { attester, end: None })
}

fn development_folder(args: &EnclaveArgs) -> Result<&Path, CliError> {
    args.development_root.as_deref().ok_or_else(|| {
        CliError::Input("--development-root: the folder of the simulated root".to_owned())
    })
}

/// Reads the certificates that are given, if any are.
fn given_certificates(args: &EnclaveArgs) -> Result<Vec<Vec<u8>>, CliError> {
    let Some(path) = &args.certificates else { return Ok(Vec::new()) };
    certificates(&files::read(path, MAX_PEM)?)
        .map_err(|error| CliError::Input(format!("{}: {error}", path.display())))
}

fn tsm(args: &EnclaveArgs) -> Result<Tsm, CliError> {
    let tsm = Tsm::open().map_err(CliError::input)?.with_certificates(given_certificates(args)?);
    Ok(match &args.collateral {
        Some(path) => tsm.with_collateral(path.clone()),
        None => tsm,
    })
}

/// Starts a software TPM that ends with this process, and measures this program into it.
#[cfg(unix)]
fn swtpm(folder: &Path, now: Timestamp) -> Result<Source, CliError> {
    use assay_attest::collect::tpm::SoftwareTpm;
    use sha2::Sha256;

    let state = folder.join(SWTPM);
    files::private_folder(&state).map_err(CliError::io(&state))?;
    let (mut process, place) = SoftwareTpm::start(&state).map_err(CliError::input)?;
    let root = simulated_root(folder, now)?;
    let program = assay_primitives::Digest(own_image::<Sha256>()?.into());
    let attester = TpmAttester::simulated(place, &root, program, now).map_err(|error| {
        CliError::Failed(format!("swtpm, whose log is in {}: {error}", state.display()))
    })?;
    let end = move || {
        // However it ended: its state is what it was when the program was measured no longer.
        let _ = process.wait();
        CliError::Failed("swtpm ended, and an enclave ends with its TPM".to_owned())
    };
    Ok(Source { attester: Box::new(attester), end: Some(Box::new(end)) })
}

#[cfg(not(unix))]
fn swtpm(_: &Path, _: Timestamp) -> Result<Source, CliError> {
    Err(CliError::Input("--attester swtpm: swtpm runs on Unix".to_owned()))
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
fn simulated_root<D: SimulatedDevice>(
    folder: &Path,
    now: Timestamp,
) -> Result<SimulatedRoot<D>, CliError> {
    files::private_folder(folder).map_err(CliError::io(folder))?;
    let (certificate, key) = (folder.join(ROOT), folder.join(ROOT_KEY));
    if !certificate.exists() {
        let root = SimulatedRoot::generate(now).map_err(CliError::failed)?;
        files::replace(&key, root.key_to_pem().as_bytes(), Readers::Owner)?;
        let pem = root.certificate().to_pem();
        files::write_new(&certificate, pem.as_bytes(), Readers::Everybody)?;
        return Ok(root);
    }
    let certificate = files::read_text(&certificate, MAX_PEM)?;
    let key = files::read_text(&key, MAX_PEM)?;
    SimulatedRoot::from_pem(&certificate, &key)
        .map_err(|error| CliError::Input(format!("{}: {error}", folder.display())))
}

/// Returns what stands for the measurement of an image: the hash of this program.
fn own_image<D: Digest>() -> Result<Output<D>, CliError> {
    let path = std::env::current_exe().map_err(CliError::failed)?;
    let mut file = std::fs::File::open(&path).map_err(CliError::io(&path))?;
    let mut hash = D::new();
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
    Ok(hash.finalize())
}
