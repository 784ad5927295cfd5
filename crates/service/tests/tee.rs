//! The `tee` method with enclaves that work, and with some that do not: silent, lying, or without
//! evidence.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use assay_attest::collect::{Attester, CollectError, SimulatedNitro, SimulatedNitroRoot};
use assay_attest::{Evidence, KeyAttestation, KeyBinding};
use assay_enclave::{Address, Answer, Ask, Client, Enclave, Frame, Listener, Server, Settings};
use assay_engine::Tract;
use assay_primitives::{InferenceRequest, Timestamp};
use assay_receipt::TransactionSecret;
use assay_service::{
    Catalogue, Certifier as _, CertifierError, Certifiers, Inference, Stages, Tee,
};
use assay_testkit::{FakeClock, SeededRandomness};

use crate::catalogue::package;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
/// How long a silent enclave is listened to.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);
/// More than a test needs, and no more than it can wait for at its end.
const PATIENT: Duration = Duration::from_secs(4);
const MOMENT: Duration = Duration::from_millis(50);

/// A device that can be broken.
#[derive(Debug)]
struct Device {
    nitro: SimulatedNitro,
    is_broken: Arc<AtomicBool>,
}

impl Attester for Device {
    fn attest(&self, binding: &KeyBinding) -> Result<Evidence, CollectError> {
        if self.is_broken.load(Ordering::SeqCst) {
            let (expected, got) = ("evidence".to_owned(), "an error".to_owned());
            return Err(CollectError::Answer { device: "the test's device", expected, got });
        }
        self.nitro.attest(binding)
    }
}

/// An enclave that works until its device is broken.
struct Working {
    address: Address,
    is_broken: Arc<AtomicBool>,
}

impl Working {
    fn start() -> Self {
        let clock = Arc::new(FakeClock::new(NOW));
        let root = SimulatedNitroRoot::generate(NOW).unwrap();
        let nitro = SimulatedNitro::new(root, [7; 48], clock.clone());
        let is_broken = Arc::new(AtomicBool::new(false));
        let settings = Settings {
            packages: vec![package("digits")],
            epoch: Duration::from_secs(600),
            attester: Box::new(Device { nitro, is_broken: is_broken.clone() }),
            clock,
            randomness: Arc::new(SeededRandomness::new(1)),
        };
        let enclave = Arc::new(Enclave::start(settings, &Tract).unwrap());
        let loopback = Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let listener = Listener::bind(loopback).unwrap();
        let address = listener.address().unwrap();
        thread::spawn(move || Server::new(listener, enclave).run());
        Self { address, is_broken }
    }

    fn client(&self) -> Client {
        Client::new(self.address, LONG)
    }
}

/// Something that is asked as an enclave is, and counts how often.
struct Fake {
    address: Address,
    asked: Arc<AtomicUsize>,
}

impl Fake {
    /// Takes what it is asked, and says nothing.
    fn silent() -> Self {
        let open = Mutex::new(Vec::new());
        Self::start(move |mut stream| {
            let _ = stream.read(&mut [0; 1]);
            open.lock().unwrap().push(stream);
        })
    }

    /// Answers everything with one body.
    fn answering(header: Answer, body: Vec<u8>) -> Self {
        Self::start(move |mut stream| {
            let asked: Frame<Ask> = Frame::read(&mut stream).unwrap();
            drop(asked);
            let _ = Frame { header: header.clone(), body: body.clone() }.write(&mut stream);
        })
    }

    fn start(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, answer) = (asked.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let (stream, answer) = (stream.unwrap(), answer.clone());
                thread::spawn(move || answer(stream));
            }
        });
        Self { address, asked }
    }

    fn client(&self, timeout: Duration) -> Client {
        Client::new(self.address, timeout)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn tee(enclaves: Vec<Client>) -> (Tee, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::new(NOW));
    (Tee::new(enclaves, 2, clock.clone()), clock)
}

fn inference() -> Inference {
    let certifiers = Certifiers::standard(1);
    let packages = vec![package("digits")];
    let catalogue =
        Catalogue::new(packages, &assay_service::PriceList::default(), &Tract, &certifiers);
    let entry = catalogue.unwrap().find("digits").unwrap().clone();
    let sample = entry.package().samples().get(0).unwrap();
    let request = Arc::new(InferenceRequest { inputs: vec![sample.input.clone()] }.into());
    let secret = TransactionSecret::from_bytes([3; 32]);
    let salts = [secret.request_salt(0), secret.output_salt(0)];
    Inference { entry, request, salts, stages: Stages::default() }
}

/// One that does not answer is waited for once, not each time that its turn comes.
#[tokio::test(flavor = "multi_thread")]
async fn an_enclave_that_does_not_answer_comes_after_the_others() {
    let (silent, working) = (Fake::silent(), Working::start());
    let (tee, clock) = tee(vec![silent.client(SHORT), working.client()]);
    let inference = inference();
    for _ in 0..6 {
        tee.certify(&inference).await.unwrap();
        tee.attestation(None).await.unwrap().unwrap();
    }
    assert_eq!(silent.asked(), 1);
    // After a while it is tried again.
    clock.advance(LONG);
    for _ in 0..2 {
        tee.certify(&inference).await.unwrap();
    }
    assert_eq!(silent.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enclave_without_evidence_is_not_the_last_word() {
    let (one, other) = (Working::start(), Working::start());
    one.is_broken.store(true, Ordering::SeqCst);
    let (tee, _) = tee(vec![one.client(), other.client()]);
    for nonce in [b"nonce one", b"nonce two"] {
        let file = tee.attestation(Some(nonce.to_vec())).await.unwrap().unwrap();
        let attestation = KeyAttestation::from_bytes(&file).unwrap();
        assert_eq!(attestation.binding.nonce.as_deref(), Some(nonce.as_slice()));
    }
    other.is_broken.store(true, Ordering::SeqCst);
    let refused = tee.attestation(Some(b"nonce one".to_vec())).await;
    assert!(matches!(refused, Err(CertifierError::Unavailable { .. })));
}

/// What is no attestation, or the answer to another's nonce, is not passed on.
#[tokio::test(flavor = "multi_thread")]
async fn attestations_are_looked_at_before_they_are_passed_on() {
    let epochs = Working::start().client().attestation().unwrap();
    let of_another = Working::start().client().attest(b"another").unwrap();
    for (file, nonce) in [
        (vec![0; 1 << 20], None),
        (b"{}".to_vec(), None),
        (epochs, Some(b"my nonce".to_vec())),
        (of_another.clone(), Some(b"my nonce".to_vec())),
        (of_another, None),
    ] {
        let fake = Fake::answering(Answer::Attestation, file);
        let (tee, _) = tee(vec![fake.client(LONG)]);
        let refused = tee.attestation(nonce).await;
        assert!(matches!(refused, Err(CertifierError::Unavailable { .. })), "{refused:?}");
        assert_eq!(fake.asked(), 1);
    }
}

/// Who asks and goes away does not let others ask more of a device.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_asked_by_few_at_a_time_whoever_goes_away() {
    let silent = Fake::silent();
    let (tee, _) = tee(vec![silent.client(PATIENT)]);
    for nonce in [Some(b"a nonce".to_vec()), None] {
        let before = silent.asked();
        for _ in 0..8 {
            // Dropped after a moment, as when a client hangs up.
            let asked = tokio::time::timeout(MOMENT, tee.attestation(nonce.clone())).await;
            assert!(matches!(asked, Err(_) | Ok(Err(CertifierError::Busy))), "{asked:?}");
        }
        assert_eq!(silent.asked() - before, 2, "{nonce:?}");
    }
    assert_eq!(tee.attestation(Some(b"a nonce".to_vec())).await, Err(CertifierError::Busy));
}
