use std::path::{Path, PathBuf};
use std::process::ExitCode;

use assay_attest::inspect::{Format, guess};
use assay_attest::{
    Attested, Collateral, Evidence, EvidenceKind, Expectation, Files, FilesError, Image,
    KeyAppraiser, KeyBinding, Policy, Refusal, Roots, appraise,
};
use assay_primitives::Timestamp;
use assay_receipt::{BUNDLE_MEDIA_TYPE, Bundle, SignedEnclaveStatement};
use serde::Serialize;

use super::{MAX_FILE, show};
use crate::args::AttestVerifyArgs;
use crate::commands::verify::{MAX_BUNDLE, roots, time};
use crate::error::CliError;
use crate::files;
use crate::output::{self, Style};

/// The most bytes a policy may have.
const MAX_POLICY: u64 = 1 << 20;

/// What verification found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// `accepted`, `simulated` or `refused`.
    pub(super) verdict: &'static str,
    /// The time of verification.
    pub(super) at: Timestamp,
    /// What the evidence says, if it is accepted.
    pub(super) claims: Option<Attested>,
    /// What is bound to it, in a key attestation.
    pub(super) binding: Option<KeyBinding>,
    /// What the evidence of GPUs says, in a key attestation.
    pub(super) gpus: Vec<Attested>,
    /// The image that the evidence shows, as `assay key measure` takes it.
    pub(super) image: Option<String>,
    /// The reference value that the measurements are those of.
    pub(super) reference_value: Option<Reference>,
    /// What the policy leaves open.
    pub(super) notes: Vec<String>,
    /// The check that failed.
    pub(super) refusal: Option<Refusal>,
}

/// Where measurements come from.
#[derive(Debug, Serialize)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) source: Option<String>,
    pub(super) builder: Option<String>,
}

/// By what evidence is judged.
struct Judge {
    roots: Roots,
    policy: Policy,
    expectation: Expectation,
    now: Timestamp,
}

/// What the files are.
enum Found {
    Evidence(Box<Evidence>),
    /// A key attestation; in a bundle with the time that an item says it was signed with the key.
    Key {
        attestation: Vec<u8>,
        signed_at: Option<Timestamp>,
    },
}

pub(super) fn run(args: &AttestVerifyArgs) -> Result<ExitCode, CliError> {
    check_options(args)?;
    let found = match args.kind {
        Some(kind) => Found::Evidence(Box::new(evidence(kind.kind(), args)?)),
        None => key_attestation(&args.files)?,
    };
    let now = match (&args.at, &found) {
        (None, Found::Key { signed_at: Some(signed_at), .. }) => *signed_at,
        (at, _) => time(at.as_deref())?,
    };
    let judge = Judge {
        roots: roots(&args.development_root)?,
        policy: policy(args.policy.as_deref())?,
        expectation: Expectation {
            nonce: bytes("--nonce", args.nonce.as_deref())?,
            user_data: bytes("--report-data", args.report_data.as_deref())?,
        },
        now,
    };
    let report = match found {
        Found::Evidence(evidence) => judge.evidence(&evidence),
        Found::Key { attestation, .. } => judge.key(&attestation),
    };
    if args.json {
        output::json(&report)?;
    } else {
        show::report(&report, Style::of_stdout());
    }
    Ok(match report.verdict {
        "accepted" => ExitCode::SUCCESS,
        "refused" => ExitCode::from(1),
        _ => ExitCode::from(3),
    })
}

/// Refuses options that the kind has no use for: whoever gives them expects something of them.
fn check_options(args: &AttestVerifyArgs) -> Result<(), CliError> {
    use EvidenceKind::{Sgx, Snp, Tdx, Tpm};

    let kind = args.kind.map(|kind| kind.kind());
    let has_collateral = matches!(kind, Some(Tdx | Sgx)) || args.hcl_report.is_some();
    let wrong = if args.collateral.is_some() && !has_collateral {
        "--collateral is for --kind tdx, --kind sgx and --hcl-report"
    } else if args.collateral.is_none() && matches!(kind, Some(Tdx | Sgx)) {
        "--collateral: the collateral is missing, without which a quote says nothing"
    } else if args.hcl_report.is_some() && kind != Some(Tpm) {
        "--hcl-report is for --kind tpm"
    } else if args.nonce.is_some() && matches!(kind, Some(Tdx | Sgx | Snp)) {
        "--nonce: this kind has no nonce; compare its report data with --report-data"
    } else {
        return Ok(());
    };
    Err(CliError::Input(wrong.to_owned()))
}

fn policy(path: Option<&Path>) -> Result<Policy, CliError> {
    let Some(path) = path else { return Ok(Policy::default()) };
    Policy::from_toml(&files::read_text(path, MAX_POLICY)?)
        .map_err(|error| CliError::Input(format!("{}: {error}", path.display())))
}

fn evidence(kind: EvidenceKind, args: &AttestVerifyArgs) -> Result<Evidence, CliError> {
    let read = |path: &PathBuf| files::read(path, MAX_FILE);
    let contents = args.files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let collateral = args.collateral.as_ref().map(|path| {
        Collateral::from_json(&read(path)?)
            .map_err(|refusal| CliError::Input(format!("{}: {refusal}", path.display())))
    });
    let from = Files {
        files: &contents,
        collateral: collateral.transpose()?,
        hcl_report: args.hcl_report.as_ref().map(read).transpose()?,
    };
    Evidence::from_files(kind, from).map_err(|error| match error {
        FilesError::Unusable { at, what } => {
            let path = args.files.get(at).map(|path| path.display().to_string());
            CliError::Input(format!("{}: {what}", path.unwrap_or_default()))
        }
        other => CliError::Input(format!("--kind {kind}: {other}")),
    })
}

/// Reads the file of a key attestation, or the one that is in a bundle.
fn key_attestation(paths: &[PathBuf]) -> Result<Found, CliError> {
    let [path] = paths else {
        let message = "--kind: several files are evidence of a kind that has to be named";
        return Err(CliError::Input(message.to_owned()));
    };
    let wrong = |what: String| CliError::Input(format!("{}: {what}", path.display()));
    let content = files::read(path, MAX_BUNDLE)?;
    if is_bundle(&content) {
        let bundle = Bundle::from_bytes(&content).map_err(|error| wrong(error.to_string()))?;
        let statements = bundle.evidence.iter();
        let signed_at = statements
            .filter_map(|one| SignedEnclaveStatement::from_bytes(&one.content).ok())
            .map(|statement| statement.claimed_time())
            .next();
        let evidence = bundle.evidence.into_iter().map(|one| one.content);
        let found: Vec<Vec<u8>> = evidence.filter(|one| is_key_attestation(one)).collect();
        return match <[Vec<u8>; 1]>::try_from(found) {
            Ok([attestation]) => Ok(Found::Key { attestation, signed_at }),
            Err(found) => {
                let count = found.len();
                Err(wrong(format!("expected a bundle with one key attestation, got {count}")))
            }
        };
    }
    match guess(&content) {
        Some(Format::KeyAttestation) => Ok(Found::Key { attestation: content, signed_at: None }),
        Some(other) => {
            let kind = other.kind().map(|kind| format!(" (--kind {kind})")).unwrap_or_default();
            let what = other.describe();
            Err(wrong(format!("expected a key attestation, got what may be: {what}{kind}")))
        }
        None => Err(wrong("expected a key attestation, got something else".to_owned())),
    }
}

fn is_bundle(content: &[u8]) -> bool {
    let begin = format!(r#"{{"mediaType":"{BUNDLE_MEDIA_TYPE}""#);
    content.starts_with(begin.as_bytes())
}

fn is_key_attestation(content: &[u8]) -> bool {
    guess(content) == Some(Format::KeyAttestation)
}

fn bytes(option: &str, text: Option<&str>) -> Result<Option<Vec<u8>>, CliError> {
    let Some(text) = text else { return Ok(None) };
    let digits: Option<Vec<u8>> = text.trim_start_matches("0x").chars().map(digit).collect();
    let bytes = digits.filter(|digits| digits.len() % 2 == 0).map(|digits| {
        let pairs = digits.chunks(2);
        pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
    });
    let wrong = || CliError::Input(format!("{option}: expected bytes in hexadecimal"));
    bytes.map(Some).ok_or_else(wrong)
}

fn digit(digit: char) -> Option<u8> {
    digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl Judge {
    fn evidence(&self, evidence: &Evidence) -> Report {
        let attested = appraise(evidence, &self.roots, &self.policy, self.now);
        let attested = attested.and_then(|claims| {
            self.expectation.check(&claims)?;
            Ok(claims)
        });
        match attested {
            Ok(claims) => self.held(claims, None, Vec::new()),
            Err(refusal) => self.refused(refusal),
        }
    }

    fn key(&self, file: &[u8]) -> Report {
        let appraiser = KeyAppraiser::new(self.roots.clone(), self.policy.clone());
        let key = appraiser.appraise(file, self.now).and_then(|key| {
            self.expectation.check_key(&key)?;
            Ok(key)
        });
        match key {
            Ok(key) => {
                let binding = Some(key.binding().clone());
                self.held(key.attested().clone(), binding, key.gpus().to_vec())
            }
            Err(refusal) => self.refused(refusal),
        }
    }

    fn held(&self, claims: Attested, binding: Option<KeyBinding>, gpus: Vec<Attested>) -> Report {
        let simulated = claims.is_simulated() || gpus.iter().any(Attested::is_simulated);
        let reference = self.policy.reference_value(&claims).map(|value| Reference {
            name: value.name.clone(),
            source: value.source.clone(),
            builder: value.builder.clone(),
        });
        let mut notes = Vec::new();
        if self.policy.reference_values.is_none() {
            notes.push("measurements: any, as no policy pins them".to_owned());
        }
        if self.expectation == Expectation::default() && binding.is_none() {
            notes.push("user data and nonce: any, as none was given to compare with".to_owned());
        }
        let warnings = claims.warnings.iter().chain(gpus.iter().flat_map(|gpu| &gpu.warnings));
        notes.extend(warnings.cloned());
        Report {
            verdict: if simulated { "simulated" } else { "accepted" },
            image: Image::of(&claims).map(|image| image.to_string()),
            claims: Some(claims),
            binding,
            gpus,
            reference_value: reference,
            notes,
            ..self.refused_nothing()
        }
    }

    fn refused(&self, refusal: Refusal) -> Report {
        Report { verdict: "refused", refusal: Some(refusal), ..self.refused_nothing() }
    }

    fn refused_nothing(&self) -> Report {
        Report {
            verdict: "refused",
            at: self.now,
            claims: None,
            binding: None,
            gpus: Vec::new(),
            image: None,
            reference_value: None,
            notes: Vec::new(),
            refusal: None,
        }
    }
}
