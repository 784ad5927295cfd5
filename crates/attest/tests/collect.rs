//! Collecting from a software TPM that the test starts, if `swtpm` is installed.
#![expect(clippy::print_stderr, reason = "who runs the tests is to know what was left out")]

use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use assay_attest::collect::tpm::{self, SimulatedTpmRoot, Tpm, TpmAttester, TpmPlace, TpmQuote};
use assay_attest::collect::{Attester as _, CollectError, SimulatedNitroRoot};
use assay_attest::{
    AttestationKey, Check, EnclaveConfiguration, Evidence, KeyBinding, Policy, Roots, Strength,
    appraise, tpm_extra_data,
};
use assay_primitives::{Digest, Timestamp};
use assay_receipt::{EngineUsed, EvidenceScope};

use crate::samples::tpm::{AT, certified, policy};

/// A software TPM that ends with this, and then the folder of its state.
struct SoftwareTpm {
    process: Child,
    folder: Folder,
    address: SocketAddr,
}

impl SoftwareTpm {
    /// Starts one. Says so and returns `None` if it is not installed.
    fn start(name: &str) -> Option<Self> {
        // Somebody else may take a port between the moment it is found free and the one it is used.
        for _ in 0..20 {
            let mut tpm = match Self::spawn(name) {
                Ok(tpm) => tpm,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    eprintln!("left out: `swtpm` is not installed");
                    return None;
                }
                Err(error) => panic!("swtpm: {error}"),
            };
            if tpm.listens() {
                return Some(tpm);
            }
        }
        panic!("swtpm had no port of its own in 20 attempts")
    }

    fn spawn(name: &str) -> std::io::Result<Self> {
        let folder = Folder::new(name);
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let process = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "startup-clear", "--tpmstate"])
            .arg(format!("dir={}", folder.0.display()))
            .args(["--server", &format!("type=tcp,port={}", address.port())])
            .args(["--pid", &format!("file={}", folder.0.join("pid").display())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { process, folder, address })
    }

    /// Waits until it has its port, after which it writes its process id, or until it ends.
    fn listens(&mut self) -> bool {
        let pid = self.folder.0.join("pid");
        for _ in 0..1000 {
            if std::fs::read(&pid).is_ok_and(|id| !id.is_empty()) {
                return true;
            }
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("swtpm neither listens nor ends")
    }

    fn quote(&self, pcrs: &[u8], extra_data: &[u8]) -> TpmQuote {
        let mut tpm = Tpm::connect(self.address).unwrap();
        tpm.start().unwrap();
        tpm.quote(pcrs, extra_data).unwrap()
    }
}

impl Drop for SoftwareTpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("swtpm-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const BOUND: [u8; 32] = [0xb1; 32];

fn evidence(quote: &TpmQuote) -> Evidence {
    Evidence::Tpm {
        quote: quote.quote.clone(),
        signature: quote.signature.clone(),
        pcrs: quote.pcrs.clone(),
        ak: AttestationKey::PublicKey(quote.public_key.clone()),
    }
}

#[test]
fn a_software_tpms_quote_is_simulated_measured_boot() {
    let Some(tpm) = SoftwareTpm::start("quote") else { return };
    let all: Vec<u8> = (0..24).collect();
    let quote = tpm.quote(&all, &BOUND);
    let now = AT.parse().unwrap();
    let bare = evidence(&quote);
    let refusal = appraise(&bare, &Roots::vendors(), &policy(), now).unwrap_err();
    assert_eq!(refusal.check, Check::BindingAttestationKey);
    let (evidence, roots) = certified(bare);
    let attested = appraise(&evidence, &roots, &policy(), now).unwrap();
    assert!(attested.is_simulated());
    assert_eq!(attested.strength, Strength::MeasuredBoot);
    assert_eq!(attested.user_data.as_deref(), Some(&BOUND[..]));
    assert_eq!(attested.measurements.len(), 24);
    assert_eq!(attested.measurement("pcr0"), Some(&[0; 32][..]));
    assert_eq!(attested.measurement("pcr17"), Some(&[0xff; 32][..]));
}

#[test]
fn the_key_is_the_same_each_time_and_another_on_another_tpm() {
    let Some(tpm) = SoftwareTpm::start("one") else { return };
    let Some(other) = SoftwareTpm::start("other") else { return };
    // A TPM has room for three keys: they are flushed.
    let quotes: Vec<TpmQuote> = (0..5).map(|_| tpm.quote(&[7, 0], &BOUND)).collect();
    assert!(quotes.iter().all(|quote| quote.public_key == quotes[0].public_key));
    let other = other.quote(&[0, 7], &BOUND);
    assert_ne!(other.public_key, quotes[0].public_key);
    let (mut evidence, roots) = certified(evidence(&quotes[0]));
    let Evidence::Tpm { quote, signature, .. } = &mut evidence else { panic!() };
    (*quote, *signature) = (other.quote, other.signature);
    let refusal = appraise(&evidence, &roots, &policy(), AT.parse().unwrap()).unwrap_err();
    assert_eq!(refusal.check, Check::EvidenceSignature);
}

#[test]
fn a_quote_holds_for_the_tools_of_others() {
    let Some(tpm) = SoftwareTpm::start("tools") else { return };
    let quote = tpm.quote(&[0, 7, 16], &BOUND);
    let write = |name: &str, bytes: &[u8]| {
        let path = tpm.folder.0.join(name);
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        path
    };
    let base64 = assay_primitives::encoding::base64(&quote.public_key);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n");
    let (key, message) = (write("ak.pem", pem.as_bytes()), write("quote.msg", &quote.quote));
    let signature = write("quote.sig", &quote.signature);
    let holds = |bound: &[u8]| {
        let status = Command::new("tpm2_checkquote")
            .arg("-u")
            .arg(&key)
            .arg("-m")
            .arg(&message)
            .arg("-s")
            .arg(&signature)
            .args(["-g", "sha256", "-q", &assay_primitives::encoding::hex(bound)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.map(|status| status.success())
    };
    match holds(&BOUND) {
        Ok(holds_for_it) => {
            assert!(holds_for_it);
            assert!(!holds(&[0; 32]).unwrap());
        }
        Err(error) => eprintln!("left out: tpm2_checkquote: {error}"),
    }
}

/// A `swtpm` as an enclave starts it for itself, and the folder of its state.
struct OwnTpm {
    process: tpm::SoftwareTpm,
    attester: TpmAttester,
}

impl OwnTpm {
    fn start(folder: &Folder, root: &SimulatedTpmRoot) -> Option<Self> {
        match tpm::SoftwareTpm::start(&folder.0) {
            Ok((process, place)) => {
                let attester = TpmAttester::simulated(place, root, PROGRAM, now()).unwrap();
                Some(Self { process, attester })
            }
            Err(error @ CollectError::NotInstalled { .. }) => {
                eprintln!("left out: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Ends its connection, and asserts that it ends by itself.
    fn stop(self) {
        let Self { mut process, attester } = self;
        drop(attester);
        assert!(process.wait().unwrap().success());
    }
}

const PROGRAM: Digest = Digest([0x5a; 32]);

fn now() -> Timestamp {
    AT.parse().unwrap()
}

fn binding(nonce: Option<&[u8]>) -> KeyBinding {
    KeyBinding {
        epoch_key: vec![1, 2, 3],
        hpke_key: None,
        tls_key: None,
        not_before: now(),
        not_after: now(),
        configuration: EnclaveConfiguration {
            engine: EngineUsed { name: "tract".to_owned(), version: "0".to_owned() },
            models: Vec::new(),
            scope: EvidenceScope::Model,
        },
        beacon: None,
        nonce: nonce.map(<[u8]>::to_vec),
    }
}

fn leaf(evidence: &Evidence) -> &[u8] {
    let Evidence::Tpm { ak: AttestationKey::Certificates(chain), .. } = evidence else {
        panic!("{evidence:?}")
    };
    &chain[0]
}

#[test]
fn an_enclaves_software_tpm_is_simulated_and_has_measured_the_program() {
    let folder = Folder::new("attester");
    let root = SimulatedTpmRoot::generate(now()).unwrap();
    let Some(tpm) = OwnTpm::start(&folder, &root) else { return };
    let roots = Roots::vendors().with_development(root.certificate().clone());
    for binding in [binding(None), binding(Some(b"nonce"))] {
        let evidence = tpm.attester.attest(&binding).unwrap();
        let attested = appraise(&evidence, &roots, &policy(), now()).unwrap();
        assert!(attested.is_simulated());
        assert_eq!(attested.strength, Strength::MeasuredBoot);
        let extra_data = tpm_extra_data(&binding.digest());
        assert_eq!(attested.user_data.as_deref(), Some(&extra_data[..]));
        let program = Digest::of_parts(&[&[0; 32], PROGRAM.as_bytes()]);
        assert_eq!(attested.measurement("pcr11"), Some(&program.0[..]));
        let names: Vec<_> = attested.measurements.iter().map(|m| m.name.as_str()).collect();
        let expected = "pcr0 pcr1 pcr2 pcr3 pcr4 pcr5 pcr6 pcr7 pcr8 pcr9 pcr11 pcr12";
        assert_eq!(names.join(" "), expected);
        assert!(attested.warnings[0].contains("nothing isolates"), "{:?}", attested.warnings);
        // Without the root nobody vouches for it, and as a TEE it is not strong enough.
        let refused = |roots: &Roots, policy: &Policy| {
            appraise(&evidence, roots, policy, now()).unwrap_err().check
        };
        assert_eq!(refused(&Roots::vendors(), &policy()), Check::ChainRoot);
        assert_eq!(refused(&roots, &Policy::default()), Check::PolicyStrength);
    }
    tpm.stop();
}

#[test]
fn a_software_tpm_that_is_started_again_has_its_key_and_measures_anew() {
    let folder = Folder::new("again");
    let generated = SimulatedTpmRoot::generate(now()).unwrap();
    let (pem, key) = (generated.certificate().to_pem(), generated.key_to_pem());
    let root = SimulatedTpmRoot::from_pem(&pem, &key).unwrap();
    let roots = Roots::vendors().with_development(root.certificate().clone());
    let mut before: Option<(Vec<u8>, Vec<u8>)> = None;
    for _ in 0..2 {
        let Some(tpm) = OwnTpm::start(&folder, &root) else { return };
        let evidence = tpm.attester.attest(&binding(None)).unwrap();
        let attested = appraise(&evidence, &roots, &policy(), now()).unwrap();
        let program = attested.measurement("pcr11").unwrap().to_vec();
        let key = x509_key(leaf(&evidence));
        if let Some(before) = before.replace((program.clone(), key.clone())) {
            assert_eq!(before, (program, key));
        }
        tpm.stop();
    }
}

/// Returns the point of a certificate's key of P-256.
fn x509_key(der: &[u8]) -> Vec<u8> {
    // id-ecPublicKey with P-256, and the bit string of an uncompressed point.
    let start = [0x03, 0x01, 0x07, 0x03, 0x42, 0x00];
    let at = der.windows(6).position(|window| window == start).unwrap() + 6;
    der[at..at + 65].to_vec()
}

#[test]
fn a_software_tpm_that_is_gone_is_an_error_and_stays_one() {
    let folder = Folder::new("gone");
    let root = SimulatedTpmRoot::generate(now()).unwrap();
    let Some(tpm) = OwnTpm::start(&folder, &root) else { return };
    let OwnTpm { process, attester } = tpm;
    drop(process);
    for _ in 0..2 {
        let error = attester.attest(&binding(None)).unwrap_err();
        assert!(matches!(error, CollectError::Tpm(_)), "{error}");
        assert!(error.to_string().contains("the connection to the TPM broke"), "{error}");
    }
}

#[test]
fn a_tpm_may_be_at_an_address() {
    let Some(tpm) = SoftwareTpm::start("address") else { return };
    tpm.quote(&[0], &BOUND);
    let root = SimulatedTpmRoot::generate(now()).unwrap();
    let place = TpmPlace::Address(tpm.address);
    let attester = TpmAttester::simulated(place, &root, PROGRAM, now()).unwrap();
    let roots = Roots::vendors().with_development(root.certificate().clone());
    let evidence = attester.attest(&binding(None)).unwrap();
    assert!(appraise(&evidence, &roots, &policy(), now()).unwrap().is_simulated());
}

#[test]
fn a_stored_root_is_of_its_kind_and_has_its_key() {
    let nitro = SimulatedNitroRoot::generate(now()).unwrap();
    let [one, other] = [(); 2].map(|()| SimulatedTpmRoot::generate(now()).unwrap());
    let (pem, key) = (one.certificate().to_pem(), one.key_to_pem());
    SimulatedTpmRoot::from_pem(&pem, &key).unwrap();
    for (pem, key, got) in [
        (nitro.certificate().to_pem(), nitro.key_to_pem(), "Nitro root, for development` with its"),
        (pem, other.key_to_pem(), "TPM root, for development` with another key"),
    ] {
        let error = SimulatedTpmRoot::from_pem(&pem, &key).unwrap_err().to_string();
        assert!(error.contains(got), "{error}");
    }
}
