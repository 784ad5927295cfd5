//! Real evidence: every file of its manifest has its verdict here, and the table of verdicts is what
//! `docs/attestation-verdicts.md` shows.

mod azure;
mod files;
mod inspect;
mod nitro;
mod nvidia;
mod snp;
mod tdx;
pub(crate) mod tpm;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assay_attest::{Attested, Evidence, EvidenceKind, Image, Measurement, Refusal};
use assay_primitives::{Timestamp, encoding, printable};
use assay_testkit::reference;
use serde_json::Value;

/// The samples, where they are.
pub(crate) struct Samples {
    folder: PathBuf,
    manifest: Value,
}

/// What a file of the manifest comes to.
#[derive(Debug)]
pub(crate) struct Row {
    /// The time it is judged at, if it is.
    at: Option<Timestamp>,
    /// `accepted`, `simulated` or `refused`; of a file that is not judged one of [`PARTS`].
    pub(crate) verdict: &'static str,
    /// What of it, in words; of a refusal the check and what was found.
    pub(crate) why: String,
}

/// What files are for that are no evidence by themselves: a root, what a vendor says of a platform, a
/// piece of evidence, and something else.
const PARTS: [&str; 4] = ["root", "endorsement", "part", "other"];
/// The most characters of what a refusal found.
const MAX_FOUND: usize = 72;
/// The most characters of a row's words: it has to be read beside the others.
const MAX_WHY: usize = 120;

impl Row {
    /// Of evidence that is judged at a time.
    pub(crate) fn judged(at: &str, result: &Result<Attested, Refusal>) -> Self {
        let at = Some(Timestamp::from_rfc3339(at).unwrap());
        let (verdict, why) = match result {
            Ok(claims) => {
                assert_image(claims);
                let verdict = if claims.is_simulated() { "simulated" } else { "accepted" };
                let status = claims.tcb.as_ref().and_then(|tcb| tcb.status.as_deref());
                let status = status.map(|status| format!(", {status}")).unwrap_or_default();
                (verdict, format!("{}: {}{status}", claims.strength, claims.platform))
            }
            Err(refusal) => {
                let found = printable(&refusal.got, MAX_FOUND);
                ("refused", format!("`{}`: {found}", refusal.check))
            }
        };
        Self { at, verdict, why }
    }

    /// Of a file that is not judged by itself.
    pub(crate) fn file(part: &'static str, why: &str) -> Self {
        assert!(PARTS.contains(&part), "{part}");
        Self { at: None, verdict: part, why: why.to_owned() }
    }

    /// Adds a remark.
    pub(crate) fn with(mut self, remark: &str) -> Self {
        self.why.push_str(&format!("; {remark}"));
        self
    }
}

/// Asserts that what was measured can be published under its names, and is the same when it is read.
fn assert_image(claims: &Attested) {
    let kind = claims.kind;
    for Measurement { name, value } in claims.measurements.iter().filter(|m| m.value.len() <= 64) {
        let text = format!("{kind}:{name}={}", encoding::hex(value));
        let image: Image = text.parse().unwrap();
        assert!(image.to_string() == text && image.matches(claims), "{text}");
    }
    let Some(image) = Image::of(claims) else {
        return assert!(claims.debug || kind == EvidenceKind::Nvidia, "{kind} has no image");
    };
    assert!(image.matches(claims) && image.to_string().parse() == Ok(image), "{kind}");
}

impl Samples {
    /// Opens the samples. Says so and returns `None` if they are not there.
    pub(crate) fn open() -> Option<Self> {
        let folder = reference("data/attestation")?;
        let manifest = std::fs::read(folder.join("manifest.json")).unwrap();
        let manifest = serde_json::from_slice(&manifest).unwrap();
        Some(Self { folder, manifest })
    }

    /// Reads a file.
    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        let path = self.folder.join(file);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Returns what the manifest says of a file.
    pub(crate) fn entry(&self, file: &str) -> &Value {
        let items = self.manifest["items"].as_array().unwrap();
        items.iter().find(|item| item["file"] == file).unwrap_or_else(|| panic!("no {file}"))
    }

    fn files(&self) -> impl Iterator<Item = &str> {
        self.manifest["items"].as_array().unwrap().iter().map(|item| item["file"].as_str().unwrap())
    }
}

/// Changes each `step`th byte of each part of evidence, one at a time, and asserts that it is refused.
#[track_caller]
fn change_bytes(
    evidence: &Evidence,
    part_of: fn(&mut Evidence, usize) -> Option<&mut Vec<u8>>,
    step: usize,
    is_refused: impl Fn(&Evidence) -> bool,
) {
    let mut changed = evidence.clone();
    let mut count = 0;
    for part in 0.. {
        let Some(length) = part_of(&mut changed, part).map(|bytes| bytes.len()) else { break };
        for at in (0..length).step_by(step) {
            let flip = |evidence: &mut _| part_of(evidence, part).unwrap()[at] ^= 1 << (at % 8);
            flip(&mut changed);
            assert!(is_refused(&changed), "part {part}, byte {at}");
            flip(&mut changed);
            count += 1;
        }
    }
    assert!(count >= 400, "{count}");
}

pub(crate) fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Judges a file of the manifest; `None` if nobody here knows it.
fn row(samples: &Samples, file: &str) -> Option<Row> {
    nitro::row(samples, file)
        .or_else(|| tdx::row(samples, file))
        .or_else(|| snp::row(samples, file))
        .or_else(|| nvidia::row(samples, file))
        .or_else(|| tpm::row(samples, file))
        .or_else(|| azure::row(samples, file))
}

#[test]
fn every_file_of_the_manifest_has_its_verdict() {
    let Some(samples) = Samples::open() else { return };
    let mut table = BTreeMap::new();
    for file in samples.files() {
        let row = row(&samples, file).unwrap_or_else(|| panic!("{file} has no verdict here"));
        table.insert(file.to_owned(), row);
    }
    let path = workspace().join("docs/attestation-verdicts.md");
    let text = shown(&table);
    if std::env::var_os("ASSAY_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "run with ASSAY_BLESS=1 to accept");
}

fn shown(table: &BTreeMap<String, Row>) -> String {
    let mut text = String::from(
        "# Verdicts on real evidence\n\n\
         Made by `ASSAY_BLESS=1 cargo test -p assay-attest --test main samples` from the verdicts of the\n\
         verifiers, under the default policy. The files are of the vendors' and others' public\n\
         repositories; none of them is in this one.\n\n\
         A refusal has its check and what was found. A file that is no evidence by itself is a `root`,\n\
         an `endorsement` (certificates, collateral, reference values), a `part` of evidence, or\n\
         `other`.\n\n\
         | file | at | verdict | why |\n|---|---|---|---|\n",
    );
    for (file, row) in table {
        assert!(row.why.chars().count() <= MAX_WHY, "{file}: {}", row.why);
        let at = row.at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        text.push_str(&format!("| {file} | {at} | {} | {} |\n", row.verdict, row.why));
    }
    text
}
