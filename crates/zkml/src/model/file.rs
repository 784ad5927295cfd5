//! The two files of a model: what serves and proves it, and what verifies it.
//!
//! Both are `magic, version, body, BLAKE3 of all before`, little-endian, in one encoding: a reader
//! writes what it read again and compares.

use thiserror::Error;

use super::order::{Order, OrderError};
use super::quantisation::{Cut, CutError, Dequantisation, Quantisation, ScaleError};
use super::report::{MAX_TEXT, Report};
use crate::program::{
    CheckedProgram, DecodeError, Descriptor, DescriptorError, Encoded, Interval,
    MAX_DESCRIPTOR_BYTES, ModelId, Place, Program, ProgramError, Reader, Rule,
};
use crate::prover::{OtherWeights, ProvingModel};
use crate::tensor_code::{Digest, MAX_WEIGHTS};
use crate::weight_commitment::{CommitError, CommittedWeights};

const VERSION: u32 = 1;
/// How a verifying file begins.
pub const KEY_MAGIC: [u8; 16] = *b"assay-zkml-key\0\0";
/// How a model file begins.
pub const MODEL_MAGIC: [u8; 16] = *b"assay-zkml-model";
/// How a claim file begins.
pub const CLAIM_MAGIC: [u8; 16] = *b"assay-zkml-claim";
/// How a proof file begins.
pub const PROOF_MAGIC: [u8; 16] = *b"assay-zkml-proof";
const DIGEST_BYTES: usize = 32;

/// Largest verifying file, in bytes: a descriptor, a scale for each channel or `2^20` cuts, and names.
pub const MAX_KEY_BYTES: usize = MAX_DESCRIPTOR_BYTES + (9 << 20);
/// Largest model file, in bytes: a verifying file, `2^30` weights, and names.
pub const MAX_MODEL_BYTES: usize = MAX_KEY_BYTES + 2 * MAX_WEIGHTS + (16 << 20);

/// What verifies answers of a model: its program under its weight root, and how inputs become
/// integers and outputs real. No weights.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyingFile {
    name: String,
    descriptor: Descriptor,
    input: Quantisation,
    output: Dequantisation,
    digest: Digest,
}

/// What serves and proves a model: the verifying file, the weights, and where they come from.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFile {
    key: VerifyingFile,
    source: Digest,
    report: Report,
    weights: Vec<i16>,
}

/// A file, or the parts of one, that cannot be used.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum FileError {
    /// There are too many bytes, or too few for any file.
    #[error("file has {got} bytes, expected {low} to {high}")]
    Size {
        /// Fewest.
        low: usize,
        /// Most.
        high: usize,
        /// Bytes given.
        got: usize,
    },
    /// The file is of another kind.
    #[error("this is {}, not {}", kind(got), kind(expected))]
    Magic {
        /// First bytes of such a file.
        expected: [u8; 16],
        /// The bytes found.
        got: [u8; 16],
    },
    /// The file is of another version.
    #[error("file has version {got}, expected {expected}")]
    Version {
        /// The version of this code.
        expected: u32,
        /// The version found.
        got: u32,
    },
    /// The file was damaged.
    #[error("file has the digest {got:?}, its end says {expected:?}")]
    Checksum {
        /// The digest at the end.
        expected: Digest,
        /// The digest of the rest.
        got: Digest,
    },
    /// The bytes do not encode a file.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The bytes are not the one encoding of what they say, or go on behind it.
    #[error("file of {got} bytes is not canonical: its encoding has {expected} bytes")]
    NotCanonical {
        /// Bytes of the encoding.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// A text is too long.
    #[error("text has {got} bytes, at most {MAX_TEXT} are allowed")]
    Text {
        /// Its bytes.
        got: usize,
    },
    /// The descriptor is none.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// The order of the input or the output is none.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A scale is none.
    #[error(transparent)]
    Scale(#[from] ScaleError),
    /// A cut of the input is none.
    #[error(transparent)]
    Cut(#[from] CutError),
    /// The quantisation is not that of the program's tensor.
    #[error("{what} is {got}, that of the program is {expected}")]
    Tensor {
        /// What was compared.
        what: &'static str,
        /// The program's.
        expected: i64,
        /// That of the quantisation.
        got: i64,
    },
    /// A batch that no proof has.
    #[error("{instances} inferences in a batch of 2^{lb}, which has at most 2^10 places")]
    Batch {
        /// `lb`.
        lb: u32,
        /// Inferences in it.
        instances: u32,
    },
    /// N1, N2 or N3 does not hold for the weights.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The weights do not fit the program's matrix.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The weights are not those of the key.
    #[error(transparent)]
    Root(#[from] OtherWeights),
}

impl VerifyingFile {
    /// Returns the file of a program under its weight root.
    ///
    /// # Errors
    ///
    /// Returns [`FileError`] if the name is longer than 1 KiB, or if input or output are not those of
    /// the program.
    pub fn new(
        name: String,
        descriptor: Descriptor,
        input: Quantisation,
        output: Dequantisation,
    ) -> Result<Self, FileError> {
        check_text(&name)?;
        check_ends(&descriptor, &input, &output)?;
        let digest = Digest::from([0; DIGEST_BYTES]);
        let file = Self { name, descriptor, input, output, digest };
        let digest = self::digest(&file.body());
        Ok(Self { digest, ..file })
    }

    /// Returns the model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the verifying key.
    #[must_use]
    pub const fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Returns the model's id.
    #[must_use]
    pub fn model_id(&self) -> ModelId {
        self.descriptor.model_id()
    }

    /// Returns how real inputs become the program's.
    #[must_use]
    pub const fn input(&self) -> &Quantisation {
        &self.input
    }

    /// Returns how raw outputs become real.
    #[must_use]
    pub const fn output(&self) -> &Dequantisation {
        &self.output
    }

    /// Returns the digest at the end of the file, which fixes everything in it: the model id says
    /// nothing of quantisation.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.body();
        out.extend_from_slice(self.digest.as_bytes());
        out
    }

    fn body(&self) -> Vec<u8> {
        let mut out = KEY_MAGIC.to_vec();
        VERSION.write(&mut out);
        self.name.write(&mut out);
        let descriptor = self.descriptor.encode();
        length(descriptor.len()).write(&mut out);
        out.extend_from_slice(&descriptor);
        write_order(self.input.order(), &mut out);
        write_scales(self.input.scales(), &mut out);
        self.input.interval().write(&mut out);
        if self.input.scales().is_empty() {
            self.input.cuts().to_vec().write(&mut out);
        }
        write_order(self.output.order(), &mut out);
        write_scales(&[self.output.scale()], &mut out);
        out
    }

    /// Reads a file and checks everything that [`new`](Self::new) and a key's loading check.
    ///
    /// # Errors
    ///
    /// Returns [`FileError`] with the first thing that does not hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, FileError> {
        let body = open(bytes, KEY_MAGIC, MAX_KEY_BYTES)?;
        let mut reader = Reader::new(body);
        let name = read_text(&mut reader)?;
        let descriptor = Descriptor::decode(read_bytes(&mut reader)?)?;
        let order = read_order(&mut reader)?;
        let (scales, interval) = (read_scales(&mut reader)?, Interval::read(&mut reader)?);
        // No scales: cuts follow. Their interval is always the same, or the bytes are not canonical.
        let input = match scales.is_empty() {
            true => Quantisation::by_cuts(order, Vec::read(&mut reader)?)?,
            false => Quantisation::new(order, scales, interval)?,
        };
        let order = read_order(&mut reader)?;
        let scales = read_scales(&mut reader)?;
        let [scale] = *scales.as_slice() else {
            return Err(ScaleError::Count { values: 1, got: scales.len() }.into());
        };
        let output = Dequantisation::new(order, scale)?;
        let file = Self::new(name, descriptor, input, output)?;
        canonical(&file.encode(), bytes)?;
        Ok(file)
    }
}

impl ModelFile {
    /// Commits to the weights of a program and returns its file. `source` is the BLAKE3 digest of
    /// the file that it was compiled from.
    ///
    /// # Errors
    ///
    /// Returns [`FileError`] if N1, N2 or N3 does not hold, a text is too long, or input or output
    /// are not those of the program.
    pub fn new(
        name: String,
        program: CheckedProgram,
        weights: Vec<i16>,
        input: Quantisation,
        output: Dequantisation,
        source: Digest,
        report: Report,
    ) -> Result<Self, FileError> {
        check_filled(&program, &weights)?;
        program.check_weights(&weights)?;
        let (Program { mode, weights: shape, .. }, count) = (program.program(), weights.len());
        let committed = CommittedWeights::commit(*mode, *shape, weights)?;
        let descriptor = Descriptor::new(program, committed.commitment())?;
        let mut weights = committed.into_weights();
        weights.truncate(count);
        let key = VerifyingFile::new(name, descriptor, input, output)?;
        check_report(&report)?;
        Ok(Self { key, source, report, weights })
    }

    /// Returns the verifying file.
    #[must_use]
    pub const fn key(&self) -> &VerifyingFile {
        &self.key
    }

    /// Returns the program.
    #[must_use]
    pub const fn program(&self) -> &CheckedProgram {
        self.key.descriptor.program()
    }

    /// Returns the weight vector; places behind its end are zero.
    #[must_use]
    pub fn weights(&self) -> &[i16] {
        &self.weights
    }

    /// Returns the BLAKE3 digest of the file that the model was compiled from.
    #[must_use]
    pub const fn source(&self) -> Digest {
        self.source
    }

    /// Says whether the model was compiled from the file `onnx`.
    #[must_use]
    pub fn is_of(&self, onnx: &[u8]) -> bool {
        Digest::from(*blake3::hash(onnx).as_bytes()) == self.source
    }

    /// Returns what was measured when the model was compiled.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Commits to the weights again: what makes proofs, and the verifying file.
    ///
    /// # Errors
    ///
    /// Returns [`FileError::Root`] if the weights are not those of the key.
    pub fn into_prover(self) -> Result<(VerifyingFile, ProvingModel), FileError> {
        let Self { key, weights, .. } = self;
        let Program { mode, weights: shape, .. } = *key.descriptor.program().program();
        let committed = CommittedWeights::commit(mode, shape, weights)?;
        let model = ProvingModel::load(key.descriptor.clone(), committed)?;
        Ok((key, model))
    }

    /// Returns the bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let key = self.key.encode();
        let mut out = Vec::with_capacity(key.len() + 2 * self.weights.len() + (1 << 16));
        out.extend_from_slice(&MODEL_MAGIC);
        VERSION.write(&mut out);
        length(key.len()).write(&mut out);
        out.extend_from_slice(&key);
        self.source.write(&mut out);
        self.report.write(&mut out);
        length(self.weights.len()).write(&mut out);
        out.extend(self.weights.iter().flat_map(|weight| weight.to_le_bytes()));
        seal(out)
    }

    /// Reads a file and checks what [`new`](Self::new) checks, but for the root, which
    /// [`into_prover`](Self::into_prover) does.
    ///
    /// # Errors
    ///
    /// Returns [`FileError`] with the first thing that does not hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, FileError> {
        let body = open(bytes, MODEL_MAGIC, MAX_MODEL_BYTES)?;
        let mut reader = Reader::new(body);
        let key = VerifyingFile::decode(read_bytes(&mut reader)?)?;
        let source = Digest::read(&mut reader)?;
        let report = Report::read(&mut reader)?;
        check_report(&report)?;
        let count = u32::read(&mut reader)? as usize;
        let words = reader.bytes("weights", count.saturating_mul(2))?;
        let weights: Vec<i16> =
            words.as_chunks().0.iter().map(|&w| i16::from_le_bytes(w)).collect();
        if reader.left() > 0 {
            let (got, left) = (bytes.len(), reader.left());
            return Err(FileError::NotCanonical { expected: got - left, got });
        }
        check_filled(key.descriptor.program(), &weights)?;
        key.descriptor.program().check_weights(&weights)?;
        Ok(Self { key, source, report, weights })
    }
}

/// What a file is, by its first bytes.
fn kind(magic: &[u8; 16]) -> &'static str {
    match *magic {
        KEY_MAGIC => "a verifying file",
        MODEL_MAGIC => "a compiled model",
        PROOF_MAGIC => "a proof",
        CLAIM_MAGIC => "a claim",
        _ => "a file of another kind",
    }
}

/// Checks that the last row of the matrix has a weight: a file of few bytes must not make a prover
/// commit to `2^30` zeros.
fn check_filled(program: &CheckedProgram, weights: &[i16]) -> Result<(), ProgramError> {
    let shape = program.program().weights;
    let filled = weights.len().div_ceil(shape.columns()).max(1);
    Place::Program.at_most(Rule::RowsFilled, filled, shape.rows_used())
}

/// Checks that input and output have the shapes, and the input the interval, of the program's.
fn check_ends(
    descriptor: &Descriptor,
    input: &Quantisation,
    output: &Dequantisation,
) -> Result<(), FileError> {
    let tensors = &descriptor.program().program().tensors;
    let number = |values: usize| i64::try_from(values).unwrap_or(i64::MAX);
    let equal = |what, expected: i64, got: i64| {
        if expected == got { Ok(()) } else { Err(FileError::Tensor { what, expected, got }) }
    };
    let (Some(first), Some(last)) = (tensors.first(), tensors.last()) else { return Ok(()) };
    equal("number of input values", number(first.shape.cells()), number(input.cells()))?;
    let outputs = number(output.order().values());
    equal("number of output values", number(last.shape.cells()), outputs)?;
    let (expected, got) = (first.interval, input.interval());
    equal("low end of the input's interval", expected.lo.into(), got.lo.into())?;
    equal("high end of the input's interval", expected.hi.into(), got.hi.into())?;
    match input.scales().len() {
        0 | 1 => Ok(()),
        scales => equal("number of scales", first.shape.c.into(), number(scales)),
    }
}

fn check_text(text: &str) -> Result<(), FileError> {
    if text.len() <= MAX_TEXT { Ok(()) } else { Err(FileError::Text { got: text.len() }) }
}

fn check_report(report: &Report) -> Result<(), FileError> {
    let texts = report.nodes.iter().flat_map(|name| [&name.node, &name.operator]);
    texts.into_iter().try_for_each(|text| check_text(text))
}

fn digest(body: &[u8]) -> Digest {
    Digest::from(*blake3::hash(body).as_bytes())
}

fn seal(mut body: Vec<u8>) -> Vec<u8> {
    let digest = digest(&body);
    body.extend_from_slice(digest.as_bytes());
    body
}

/// Returns what stands behind magic and version of a file that no digest ends.
pub(super) fn begin(
    bytes: &[u8],
    magic: [u8; 16],
    version: u32,
    high: usize,
) -> Result<Reader<'_>, FileError> {
    let got = bytes.len();
    if got > high {
        return Err(FileError::Size { low: magic.len(), high, got });
    }
    let mut reader = Reader::new(bytes);
    let got: [u8; 16] = reader.array("magic")?;
    if got != magic {
        return Err(FileError::Magic { expected: magic, got });
    }
    let got = u32::read(&mut reader)?;
    if got != version {
        return Err(FileError::Version { expected: version, got });
    }
    Ok(reader)
}

/// Returns what stands between the version and the digest, after checking both ends.
fn open(bytes: &[u8], magic: [u8; 16], high: usize) -> Result<&[u8], FileError> {
    let low = magic.len() + 4 + DIGEST_BYTES;
    let size = FileError::Size { low, high, got: bytes.len() };
    if bytes.len() > high {
        return Err(size);
    }
    let Some((body, end)) = bytes.split_last_chunk::<DIGEST_BYTES>() else { return Err(size) };
    let Some((&got, rest)) = body.split_first_chunk() else { return Err(size) };
    let Some((&version, rest)) = rest.split_first_chunk() else { return Err(size) };
    if got != magic {
        return Err(FileError::Magic { expected: magic, got });
    }
    let version = u32::from_le_bytes(version);
    if version != VERSION {
        return Err(FileError::Version { expected: VERSION, got: version });
    }
    let (expected, got) = (Digest::from(*end), digest(body));
    if expected == got { Ok(rest) } else { Err(FileError::Checksum { expected, got }) }
}

fn canonical(encoding: &[u8], bytes: &[u8]) -> Result<(), FileError> {
    if encoding == bytes {
        Ok(())
    } else {
        Err(FileError::NotCanonical { expected: encoding.len(), got: bytes.len() })
    }
}

/// Lengths are below `2^32` by the caps on weights and descriptors.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn read_bytes<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let length = u32::read(reader)? as usize;
    reader.bytes("bytes", length)
}

fn read_text(reader: &mut Reader<'_>) -> Result<String, FileError> {
    Ok(String::read(reader)?)
}

fn write_order(order: &Order, out: &mut Vec<u8>) {
    for list in [order.dims(), order.extents(), order.axes()] {
        list.to_vec().write(out);
    }
}

fn read_order(reader: &mut Reader<'_>) -> Result<Order, FileError> {
    Ok(Order::new(Vec::read(reader)?, Vec::read(reader)?, Vec::read(reader)?)?)
}

impl Encoded for Cut {
    const LEAST: usize = 8;

    fn write(&self, out: &mut Vec<u8>) {
        self.feature.write(out);
        self.value.to_bits().write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { feature: u32::read(from)?, value: f32::from_bits(u32::read(from)?) })
    }
}

fn write_scales(scales: &[f64], out: &mut Vec<u8>) {
    scales.iter().map(|scale| scale.to_bits()).collect::<Vec<u64>>().write(out);
}

fn read_scales(reader: &mut Reader<'_>) -> Result<Vec<f64>, FileError> {
    Ok(Vec::<u64>::read(reader)?.into_iter().map(f64::from_bits).collect())
}
