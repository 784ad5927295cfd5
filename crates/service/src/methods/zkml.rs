use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assay_engine::{ModelPackage, TensorSpec};
use assay_primitives::{
    InferenceOutput, InferenceRequest, Method, ModelId, Randomness, Tensor, TensorData,
};
use assay_receipt::{EngineUsed, EvidenceScope, ModelUsed, commit_request};
use assay_zkml::circuit::{Circuit, CircuitError};
use assay_zkml::execute::{execute, execute_batch};
use assay_zkml::model::{
    CLAIM_MEDIA_TYPE, ClaimFile, FileError, ModelFile, PROOF_MEDIA_TYPE, ProofFile,
    VERIFYING_MEDIA_TYPE, VerifyingFile, batch_bits, context, statement,
};
use assay_zkml::program::Mode;
use assay_zkml::prover::{ProveError, ProvingModel};
use assay_zkml::statement::Instance;
use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{
    Batching, Certified, CertifiedEvidence, Certifier, CertifierError, Inference, ProofOffered,
};

/// What runs programs, as receipts name it.
const ENGINE: &str = "assay-zkml";
/// The element type of a program's input and output.
const DATATYPE: &str = "FP32";

/// The `zkml` method: the model's integer program runs, and a proof shows that it did.
///
/// What is answered is the program's output and no other: what is served is what is proven.
#[derive(Debug)]
pub struct Zkml {
    programs: BTreeMap<ModelId, Arc<Program>>,
    parallel: usize,
    memory: u64,
    permits: Arc<Semaphore>,
    /// Of programs that run without a proof, while others wait for their outputs.
    running: Arc<Semaphore>,
    randomness: Arc<dyn Randomness>,
}

/// The integer program of a package's model, ready to run and to be proven.
#[derive(Debug)]
pub struct Program {
    package: ModelId,
    key: VerifyingFile,
    model: ProvingModel,
    /// Of one inference.
    circuit: Arc<Circuit>,
    /// Of batches, by `lb`.
    batches: Mutex<BTreeMap<u32, Option<Arc<Circuit>>>>,
    output: TensorSpec,
    verifying: CertifiedEvidence,
}

/// A program that cannot be sold as a package's.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// It was compiled from another model.
    #[error("the program was compiled from another model than the package's `model.onnx`")]
    Source,
    /// The card does not have the program's input and output.
    #[error("{what}: the card says {expected}, the program has {got}")]
    Card {
        /// What was compared.
        what: &'static str,
        /// The card's.
        expected: String,
        /// The program's.
        got: String,
    },
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// No proof of it can be made.
    #[error(transparent)]
    Circuit(#[from] CircuitError),
}

impl Program {
    /// Takes the program that was compiled from a package's model.
    ///
    /// # Errors
    /// When it was compiled from another, or has other inputs and outputs than the card.
    pub fn new(package: &ModelPackage, file: ModelFile) -> Result<Self, ProgramError> {
        if !file.is_of(package.artifact()) {
            return Err(ProgramError::Source);
        }
        let card = package.card();
        let [input, output] = [("input", &card.inputs), ("output", &card.outputs)]
            .map(|(what, specs)| only(what, specs));
        let (input, output) = (input?, output?.clone());
        let (key, model) = file.into_prover()?;
        check_spec("input", input, key.input().order().dims())?;
        check_spec("output", &output, key.output().order().dims())?;
        let circuit = Arc::new(Circuit::new(model.descriptor(), 0)?);
        let (kind, scope) = (VERIFYING_MEDIA_TYPE, EvidenceScope::Model);
        let verifying = CertifiedEvidence::new(kind, key.encode(), scope, true);
        let batches = Mutex::default();
        Ok(Self { package: package.id(), key, model, circuit, batches, output, verifying })
    }

    /// Returns the package whose model it was compiled from.
    #[must_use]
    pub const fn package(&self) -> ModelId {
        self.package
    }

    /// Returns the program's id: the SHA-256 of its verifying file.
    #[must_use]
    pub const fn id(&self) -> ModelId {
        ModelId(self.verifying.reference.sha256)
    }

    /// Returns the verifying file, which anybody may have.
    #[must_use]
    pub const fn verifying(&self) -> &Bytes {
        &self.verifying.content
    }

    /// Returns the bytes of memory that a proof of one inference takes at most.
    #[must_use]
    pub fn prover_memory(&self) -> u64 {
        self.circuit.prover_memory()
    }

    /// Says whether so many proofs at a time stay within so many bytes of memory.
    ///
    /// # Errors
    /// With both numbers, if they may not.
    pub fn check_memory(&self, proofs: usize, memory: u64) -> Result<(), String> {
        let needed = self.prover_memory().saturating_mul(proofs as u64);
        if needed <= memory {
            return Ok(());
        }
        let [needed, allowed] = [needed.div_ceil(1 << 20), memory >> 20];
        Err(format!("its proofs may take {needed} MiB of memory, {allowed} MiB are allowed"))
    }

    /// Returns the most bytes that a proof of one inference has.
    #[must_use]
    pub fn max_proof_bytes(&self) -> usize {
        self.circuit.max_proof_bytes()
    }

    /// Returns the mode of its proofs, which its id fixes.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.circuit.mode()
    }

    fn offered(&self) -> ProofOffered {
        let max_bytes = u64::try_from(self.max_proof_bytes()).unwrap_or(u64::MAX);
        ProofOffered { mode: self.mode().as_str(), max_bytes }
    }

    fn input(&self, request: &InferenceRequest) -> Result<Vec<i32>, String> {
        let values = match request.inputs.as_slice() {
            [tensor] => match tensor.data() {
                TensorData::Fp32(values) => values,
                other => return Err(format!("expected {DATATYPE}, got {}", other.datatype())),
            },
            tensors => return Err(format!("expected 1 input, got {}", tensors.len())),
        };
        self.key.input().quantise_within(values).map_err(|error| error.to_string())
    }

    fn used(&self, of_float: &ModelUsed) -> ModelUsed {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let engine = EngineUsed { name: ENGINE.to_owned(), version };
        ModelUsed { program: Some(self.id()), engine, ..of_float.clone() }
    }

    /// Runs the program, without a proof.
    fn run(&self, inference: &Inference) -> Result<InferenceOutput, CertifierError> {
        let input = self.input(&inference.request).map_err(failed)?;
        let run = execute(self.circuit.program(), self.model.weights(), &input);
        self.output(run.map_err(|error| failed(error.to_string()))?.output())
    }

    /// Returns the circuits for so many inferences: of one batch, or of several where one proof of all
    /// might take more than so many bytes of memory, or there can be none of so many.
    fn batch(&self, inferences: usize, memory: u64) -> Arc<Circuit> {
        let larger = (1..=batch_bits(inferences)).rev();
        let largest = larger.filter_map(|lb| self.of_batch(lb, memory)).next();
        largest.unwrap_or_else(|| Arc::clone(&self.circuit))
    }

    /// Returns the circuit of batches of `2^lb`, if there can be one and a proof takes no more than so many
    /// bytes of memory.
    fn of_batch(&self, lb: u32, memory: u64) -> Option<Arc<Circuit>> {
        let known = || self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(circuit) = known().get(&lb) {
            return circuit.clone();
        }
        let circuit = Circuit::new(self.model.descriptor(), lb).ok();
        let circuit = circuit.filter(|circuit| circuit.prover_memory() <= memory).map(Arc::new);
        known().insert(lb, circuit.clone());
        circuit
    }

    /// Proves inferences in as few batches as there may be.
    fn certify(
        &self,
        inferences: &[Inference],
        memory: u64,
        unwanted: &CancellationToken,
        randomness: &dyn Randomness,
    ) -> Result<Vec<Certified>, CertifierError> {
        let circuit = self.batch(inferences.len(), memory);
        let mut certified = Vec::with_capacity(inferences.len());
        for batch in inferences.chunks(1 << circuit.sizes().lb) {
            // The last may be smaller.
            let circuit = self.batch(batch.len(), memory);
            certified.extend(self.prove(&circuit, batch, unwanted, randomness)?);
        }
        Ok(certified)
    }

    /// Proves inferences, all in one batch.
    fn prove(
        &self,
        circuit: &Circuit,
        inferences: &[Inference],
        unwanted: &CancellationToken,
        randomness: &dyn Randomness,
    ) -> Result<Vec<Certified>, CertifierError> {
        let inputs = inferences.iter().map(|inference| self.input(&inference.request));
        let inputs = inputs.collect::<Result<Vec<_>, String>>().map_err(failed)?;
        let lb = circuit.sizes().lb;
        let runs = execute_batch(circuit.program(), self.model.weights(), lb, &inputs);
        let runs = runs.map_err(|error| failed(error.to_string()))?;
        let mut instances = Vec::with_capacity(inferences.len());
        for ((inference, input), run) in inferences.iter().zip(&inputs).zip(&runs) {
            let request = inference.request.as_bytes();
            let request = request.map_err(|error| failed(error.to_string()))?;
            let [request_salt, _] = &inference.salts;
            let commitment = commit_request(request_salt, request);
            let mut salt = [0; 32];
            randomness.fill(&mut salt).map_err(|error| failed(error.to_string()))?;
            let context = context(&self.key.digest(), &commitment.0);
            instances.push(Instance { context, salt, input, output: run.output() });
        }
        let (said, claims) =
            statement(circuit, &instances).map_err(|error| failed(error.to_string()))?;
        let watch = |stage: assay_zkml::prover::Stage| {
            inferences.iter().for_each(|inference| inference.stages.tell(stage.as_str()));
            match unwanted.is_cancelled() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let proof = self.model.prove_watched(circuit, &said, &runs, &watch);
        let proof = proof.map_err(|error| match error {
            ProveError::Stopped(_) => CertifierError::Interrupted,
            error => failed(error.to_string()),
        })?;
        let proof = ProofFile::new(said.model, said.lb, Vec::new(), proof.encode()).encode();
        let own =
            |kind, content| CertifiedEvidence::new(kind, content, EvidenceScope::Model, false);
        let proof = own(PROOF_MEDIA_TYPE, proof);
        let certified =
            inferences.iter().zip(&runs).zip(&claims).map(|((inference, run), claim)| {
                let claim = own(CLAIM_MEDIA_TYPE, ClaimFile::of(claim).encode());
                let evidence = vec![self.verifying.clone(), proof.clone(), claim];
                let output = self.output(run.output())?;
                Ok(Certified { output, model: self.used(inference.entry.used()), evidence })
            });
        certified.collect()
    }

    /// Returns what the program's raw output stands for.
    fn output(&self, raw: &[i32]) -> Result<InferenceOutput, CertifierError> {
        let values =
            self.key.output().dequantise(raw).map_err(|error| failed(error.to_string()))?;
        let TensorSpec { name, shape, .. } = &self.output;
        let tensor = Tensor::new(name.clone(), shape.clone(), TensorData::Fp32(values));
        Ok(InferenceOutput { outputs: vec![tensor.map_err(|error| failed(error.to_string()))?] })
    }
}

impl Zkml {
    /// Makes the certifier of programs, which proves at most `parallel` inferences at a time, and none
    /// whose proofs may then take more than `memory` bytes.
    #[must_use]
    pub fn new(
        programs: Vec<Program>,
        parallel: usize,
        memory: u64,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        let parallel = parallel.max(1);
        let of_package = |program: Program| (program.package, Arc::new(program));
        Self {
            programs: programs.into_iter().map(of_package).collect(),
            parallel,
            memory,
            permits: Arc::new(Semaphore::new(parallel)),
            running: Arc::new(Semaphore::new(parallel)),
            randomness,
        }
    }

    fn program(&self, package: &ModelPackage) -> Result<&Arc<Program>, String> {
        let program = self.programs.get(&package.id());
        program.ok_or_else(|| "there is no program of it".to_owned())
    }
}

#[async_trait]
impl Certifier for Zkml {
    fn method(&self) -> Method {
        Method::ZKML
    }

    fn believe(&self) -> &'static str {
        "mathematics and a hash function"
    }

    /// Each takes memory and every processor while it runs.
    fn slots(&self) -> usize {
        self.parallel
    }

    fn accepts(&self, package: &ModelPackage) -> Result<(), String> {
        self.program(package)?.check_memory(self.parallel, self.memory)
    }

    fn check(&self, package: &ModelPackage, request: &InferenceRequest) -> Result<(), String> {
        self.program(package)?.input(request).map(|_| ())
    }

    fn model(&self, package: &ModelPackage) -> Option<ModelId> {
        self.programs.get(&package.id()).map(|program| program.id())
    }

    fn proof(&self, package: &ModelPackage) -> Option<ProofOffered> {
        self.programs.get(&package.id()).map(|program| program.offered())
    }

    async fn certify(&self, inference: &Inference) -> Result<Certified, CertifierError> {
        let certified = self.certify_all(vec![inference.clone()]).await?;
        certified.into_iter().next().ok_or_else(|| failed("no proof".to_owned()))
    }

    fn timeout_floor(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn batching(&self) -> Option<&dyn Batching> {
        Some(self)
    }
}

#[async_trait]
impl Batching for Zkml {
    async fn run(&self, inference: &Inference) -> Result<InferenceOutput, CertifierError> {
        let program = self.program(inference.entry.package()).map_err(failed)?.clone();
        let permit = self.running.clone().acquire_owned().await;
        let permit = permit.map_err(|_| CertifierError::Interrupted)?;
        let inference = inference.clone();
        // Not on the prover's threads: one that waits for a part of it would take up a whole proof meanwhile.
        let run = spawn_blocking(move || {
            inference.stages.begin()?;
            let output = program.run(&inference);
            drop(permit);
            output
        });
        run.await.map_err(|_| CertifierError::Interrupted)?
    }

    async fn certify_all(
        &self,
        inferences: Vec<Inference>,
    ) -> Result<Vec<Certified>, CertifierError> {
        let Some(first) = inferences.first() else { return Ok(Vec::new()) };
        let program = self.program(first.entry.package()).map_err(failed)?.clone();
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| CertifierError::Interrupted)?;
        // Dropped with this future: nobody waits for the proof any more.
        let unwanted = CancellationToken::new();
        let _wanted = unwanted.clone().drop_guard();
        let (randomness, memory) = (self.randomness.clone(), self.memory / self.parallel as u64);
        let certified = spawn_blocking(move || {
            let certified = among_provers(|| {
                inferences.iter().try_for_each(|inference| inference.stages.begin())?;
                program.certify(&inferences, memory, &unwanted, randomness.as_ref())
            });
            drop(permit);
            certified
        });
        certified.await.map_err(|_| CertifierError::Interrupted)?
    }
}

/// Does a prover's work on its own threads, all of it: which other work comes before theirs is for who starts them to
/// say, and what is done between two parallel steps is as much in its way.
fn among_provers<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}

/// Returns the only input or output of a card.
fn only<'a>(what: &'static str, specs: &'a [TensorSpec]) -> Result<&'a TensorSpec, ProgramError> {
    match specs {
        [spec] => Ok(spec),
        _ => {
            let (expected, got) = (format!("{} of them", specs.len()), "1".to_owned());
            Err(ProgramError::Card { what, expected, got })
        }
    }
}

fn check_spec(what: &'static str, spec: &TensorSpec, dims: &[u32]) -> Result<(), ProgramError> {
    let is_same = spec.shape.iter().copied().eq(dims.iter().map(|&dim| u64::from(dim)));
    if is_same && spec.datatype == DATATYPE {
        return Ok(());
    }
    let expected = format!("{} {:?}", spec.datatype, spec.shape);
    Err(ProgramError::Card { what, expected, got: format!("{DATATYPE} {dims:?}") })
}

fn failed(reason: String) -> CertifierError {
    CertifierError::Method { method: Method::ZKML, reason }
}
