//! Collecting from a software TPM that the test starts, if `swtpm` is installed.

use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use assay_attest::collect::tpm::{Tpm, TpmQuote};
use assay_attest::{AttestationKey, Check, Evidence, Roots, Strength, appraise};

use crate::samples::tpm::{AT, certified, policy};

/// A software TPM, and the folder of its state; both go with it.
struct SoftwareTpm {
    process: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl SoftwareTpm {
    /// Starts one. Says so and returns `None` if it is not installed.
    fn start(name: &str) -> Option<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("swtpm-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let process = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "startup-clear", "--tpmstate"])
            .arg(format!("dir={}", folder.display()))
            .args(["--server", &format!("type=tcp,port={}", port.port())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        match process {
            Ok(process) => Some(Self { process, folder, address: port }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("left out: `swtpm` is not installed");
                std::fs::remove_dir_all(&folder).unwrap();
                None
            }
            Err(error) => panic!("swtpm: {error}"),
        }
    }

    fn quote(&self, pcrs: &[u8], extra_data: &[u8]) -> TpmQuote {
        for _ in 0..100 {
            let Ok(mut tpm) = Tpm::connect(self.address) else {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            tpm.start().unwrap();
            return tpm.quote(pcrs, extra_data).unwrap();
        }
        panic!("swtpm does not listen at {}", self.address)
    }
}

impl Drop for SoftwareTpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
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
        let path = tpm.folder.join(name);
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
