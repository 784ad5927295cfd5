//! What the tests of this crate share: an enclave with the models of this repository, whose attester
//! and clock the tests hold.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use assay_attest::collect::{Attester, CollectError, SimulatedNitro, SimulatedNitroRoot};
use assay_attest::{AttestedKey, Evidence, KeyAppraiser, KeyBinding, Policy, Refusal, Roots};
use assay_enclave::{
    Address, Answer, Ask, Client, Enclave, EnclaveError, Frame, Limits, Listener, Server, Settings,
};
use assay_engine::{Engine, ModelPackage, Tract};
use assay_primitives::{InferenceRequest, KeyId, Timestamp};
use assay_receipt::{Salt, SignedEnclaveStatement, TransactionSecret};
use assay_testkit::{FakeClock, SeededRandomness};

/// When the enclaves of the tests start.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
/// How long their epochs are.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_800);
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
/// How long an answer may take that is to come.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The salts of a request and an output, where it does not matter which.
pub(crate) fn salts() -> [Salt; 2] {
    let secret = TransactionSecret::from_bytes([7; 32]);
    [secret.request_salt(0), secret.output_salt(0)]
}

/// The models of this repository.
pub(crate) static PACKAGES: LazyLock<[ModelPackage; 2]> = LazyLock::new(|| {
    ["digits", "tumour"].map(|name| {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        ModelPackage::open(&models.join(name)).unwrap()
    })
});

pub(crate) fn digits() -> &'static ModelPackage {
    &PACKAGES[0]
}

/// Returns a request of a model: its first sample.
pub(crate) fn request(package: &ModelPackage) -> InferenceRequest {
    let sample = package.samples().get(0).unwrap();
    package.card().request(vec![sample.input.clone()]).unwrap()
}

/// An attester that counts, and fails when it is told to.
#[derive(Debug)]
pub(crate) struct Gate {
    nitro: SimulatedNitro,
    pub(crate) is_closed: AtomicBool,
    pub(crate) asked: AtomicUsize,
}

#[derive(Debug)]
struct Shared(Arc<Gate>);

impl Attester for Shared {
    fn attest(&self, binding: &KeyBinding) -> Result<Evidence, CollectError> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        if self.0.is_closed.load(Ordering::SeqCst) {
            let (expected, got) = ("evidence".to_owned(), "an error".to_owned());
            return Err(CollectError::Answer { device: "the test's device", expected, got });
        }
        self.0.nitro.attest(binding)
    }
}

impl Gate {
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn set_closed(&self, is_closed: bool) {
        self.is_closed.store(is_closed, Ordering::SeqCst);
    }
}

/// An enclave, and what surrounds it.
pub(crate) struct World {
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) enclave: Arc<Enclave>,
    pub(crate) roots: Roots,
}

/// What an enclave is started with.
pub(crate) struct Start {
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) gate: Arc<Gate>,
    roots: Roots,
}

impl Start {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(FakeClock::new(NOW));
        let root = SimulatedNitroRoot::generate(NOW.minus(48 * EPOCH)).unwrap();
        let roots = Roots::vendors().with_development(root.certificate().clone());
        let nitro = SimulatedNitro::new(root, [7; 48], clock.clone());
        let (is_closed, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
        Self { clock, gate: Arc::new(Gate { nitro, is_closed, asked }), roots }
    }

    pub(crate) fn enclave(
        &self,
        epoch: Duration,
        packages: &[ModelPackage],
        engine: &dyn Engine,
    ) -> Result<Enclave, EnclaveError> {
        let settings = Settings {
            packages: packages.to_vec(),
            epoch,
            attester: Box::new(Shared(self.gate.clone())),
            clock: self.clock.clone(),
            randomness: Arc::new(SeededRandomness::new(1)),
        };
        Enclave::start(settings, engine)
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&Tract)
    }

    /// An enclave with an engine of the test's.
    pub(crate) fn with(engine: &dyn Engine) -> Self {
        let start = Start::new();
        let enclave = Arc::new(start.enclave(EPOCH, PACKAGES.as_slice(), engine).unwrap());
        let Start { clock, gate, roots } = start;
        Self { clock, gate, enclave, roots }
    }

    /// Asks the enclave without a socket.
    pub(crate) fn ask(&self, header: Ask, body: &[u8]) -> Frame<Answer> {
        self.enclave.answer(&Frame { header, body: body.to_vec() })
    }

    /// Has it run a model, and returns its statement and the key's attestation.
    pub(crate) fn sign(&self) -> Signed {
        let (model, [request_salt, output_salt]) = (digits().id(), salts());
        let ask = Ask::Infer { model, request_salt, output_salt };
        let answer = self.ask(ask, &request(digits()).to_bytes().unwrap());
        let Answer::Inferred { output_length, key } = answer.header else {
            panic!("not run: {:?}", answer.header)
        };
        let statement = &answer.body[usize::try_from(output_length).unwrap()..];
        let attestation = self.ask(Ask::AttestationOf { key }, b"");
        assert_eq!(attestation.header, Answer::Attestation);
        let statement = SignedEnclaveStatement::from_bytes(statement).unwrap();
        Signed { key, statement, attestation: attestation.body }
    }

    /// Judges the file of an attestation as of a time.
    pub(crate) fn appraise(&self, file: &[u8], now: Timestamp) -> Result<AttestedKey, Refusal> {
        KeyAppraiser::new(self.roots.clone(), Policy::default()).appraise(file, now)
    }

    /// Asserts that a statement is signed by a key that was attested when it was signed.
    pub(crate) fn assert_attested(&self, signed: &Signed) {
        let at = signed.statement.claimed_time();
        let key = self.appraise(&signed.attestation, at).unwrap();
        assert_eq!(key.key().id(), signed.key);
        signed.statement.verify(key.key()).unwrap();
    }

    /// Lets it be talked to.
    pub(crate) fn serve(&self) -> Address {
        self.serve_with(Limits::default())
    }

    pub(crate) fn serve_with(&self, limits: Limits) -> Address {
        let loopback = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = Listener::bind(loopback).unwrap();
        let address = listener.address().unwrap();
        let server = Server::new(listener, self.enclave.clone()).with_limits(limits);
        thread::spawn(move || server.run());
        address
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.serve(), LONG)
    }
}

/// A statement with the attestation of the key that signed it.
pub(crate) struct Signed {
    pub(crate) key: KeyId,
    pub(crate) statement: SignedEnclaveStatement,
    pub(crate) attestation: Vec<u8>,
}

pub(crate) fn socket(address: Address) -> SocketAddr {
    let Address::Tcp(address) = address else { panic!("not TCP") };
    address
}
