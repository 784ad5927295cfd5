//! AWS Nitro attestation documents, as they are and as names in a TLS certificate.

use std::collections::BTreeSet;
use std::time::Duration;

use assay_attest::{
    Attested, Check, Claims, Evidence, EvidenceKind, Policy, Refusal, Roots, Strength, Trust,
    appraise,
};
use assay_primitives::{Timestamp, encoding};
use proptest::prelude::*;
use proptest::sample::Index;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::{Row, Samples};

/// A byte of how many in the payload's middle is flipped.
const STRIDE: usize = 15;

pub(crate) fn row(samples: &Samples, file: &str) -> Option<Row> {
    if file == "roots/aws-nitro-root.pem" {
        return Some(root(samples, file));
    }
    let name = file.strip_prefix("nitro/")?;
    let entry = samples.entry(file);
    let document = document_of(samples, file);
    let policy = Policy { allow_debug: true, ..Policy::default() };
    let time = made(&document);
    let attested = judge(&document, &policy, time).unwrap();
    assert_claims(&attested, entry, time);
    let judged = judge(&document, &Policy::default(), time);
    if let Err(refusal) = &judged {
        assert_eq!(refusal.check, Check::PolicyDebug, "{file}");
    }
    let row = Row::judged(&time.to_string(), &judged);
    let expected = entry["expected"].as_str().unwrap();
    match expected {
        "accept-at-timestamp" => assert_eq!(row.verdict, "accepted", "{file}"),
        "reject-debug" => assert_eq!(row.verdict, "refused", "{file}"),
        _ => assert_eq!(attested.debug, name.contains("-debug-mode"), "{file}"),
    }
    assert_bounds(&document, &policy, &attested);
    let is_name = !name.ends_with(".cbor");
    Some(if is_name { row.with("a name of a TLS certificate") } else { row })
}

/// Judges a document with AWS's root.
fn judge(document: &[u8], policy: &Policy, now: Timestamp) -> Result<Attested, Refusal> {
    let evidence = Evidence::Nitro { document: document.to_vec() };
    appraise(&evidence, &Roots::vendors(), policy, now)
}

/// Reads the time that a document says, to judge it then.
fn made(document: &[u8]) -> Timestamp {
    let key = b"itimestamp\x1b";
    let at = document.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    Timestamp::from_millis(u64::from_be_bytes(document[at..at + 8].try_into().unwrap()))
}

/// Asserts what the manifest says of a document; of one in a certificate it says nothing.
fn assert_claims(claims: &Claims, entry: &Value, time: Timestamp) {
    assert_eq!((claims.kind, claims.strength), (EvidenceKind::Nitro, Strength::Tee));
    assert_eq!((claims.trust, claims.time), (Trust::Vendor, Some(time)));
    assert!(claims.validity.contains(time));
    assert_eq!(claims.measurements.len(), 16);
    let Some(pcrs) = entry["pcrs"].as_object() else { return };
    assert_eq!(claims.platform, entry["module_id"].as_str().unwrap());
    assert_eq!(Some(time.as_millis()), entry["timestamp_ms"].as_u64());
    assert_eq!(Some(claims.debug), entry["debug_mode"].as_bool());
    for measurement in &claims.measurements {
        let index = measurement.name.strip_prefix("pcr").unwrap();
        // The manifest leaves out those that are zero.
        let zero = "0".repeat(96);
        let expected = pcrs.get(index).map_or(zero.as_str(), |value| value.as_str().unwrap());
        assert_eq!(encoding::hex(&measurement.value), expected, "{}", measurement.name);
    }
    for (name, got) in [
        ("public_key", &claims.public_key),
        ("user_data", &claims.user_data),
        ("nonce", &claims.nonce),
    ] {
        let expected = &entry[name];
        assert_eq!(got.is_none(), expected.is_null(), "{name}");
        let Some(got) = got else { continue };
        assert_eq!(Some(got.len() as u64), expected["len"].as_u64(), "{name}");
        assert!(encoding::hex(got).starts_with(expected["hex_prefix"].as_str().unwrap()));
    }
    let leaf = |name: &str| Timestamp::from_rfc3339(&zulu(entry[name].as_str().unwrap())).unwrap();
    assert!(claims.validity.not_before >= leaf("leaf_not_before"));
    assert_eq!(claims.validity.not_after, leaf("leaf_not_after"));
}

fn zulu(time: &str) -> String {
    time.replace("+00:00", "Z")
}

fn assert_bounds(document: &[u8], policy: &Policy, claims: &Claims) {
    let validity = claims.validity;
    let at = |time| judge(document, policy, time).map(|_| ()).map_err(|refusal| refusal.check);
    for (time, expected) in [
        (validity.not_before.minus(Duration::from_millis(1)), Err(Check::ChainValidity)),
        (validity.not_before.minus(Duration::from_secs(1)), Err(Check::ChainValidity)),
        (validity.not_after, Ok(())),
        (validity.not_after.plus(Duration::from_millis(1)), Err(Check::ChainValidity)),
        (validity.not_after.plus(Duration::from_secs(1)), Err(Check::ChainValidity)),
    ] {
        assert_eq!(at(time), expected, "{time}");
    }
}

/// Every byte of both ends of the document and one of [`STRIDE`] between, with a bit flipped: no byte
/// is without meaning.
fn assert_flips(document: &[u8]) {
    let policy = Policy { allow_debug: true, ..Policy::default() };
    let time = made(document);
    let is_chosen =
        |at: &usize| *at < 32 || document.len() - at <= 104 || at.is_multiple_of(STRIDE);
    let mut flipped = document.to_vec();
    judge(document, &policy, time).unwrap();
    let mut positions = 0;
    for at in (0..document.len()).filter(is_chosen) {
        let bit = 1 << (at % 8);
        flipped[at] ^= bit;
        let verdict = judge(&flipped, &policy, time);
        assert!(verdict.is_err(), "byte {at} of {} may change", document.len());
        flipped[at] ^= bit;
        positions += 1;
    }
    assert!(positions >= 400);
}

fn document_of(samples: &Samples, file: &str) -> Vec<u8> {
    let bytes = samples.read(file);
    if file.ends_with(".cbor") { bytes } else { document_in(&bytes) }
}

/// Takes the document out of a TLS certificate, where it is the first label of a DNS name, in
/// hexadecimal.
fn document_in(certificate: &[u8]) -> Vec<u8> {
    let der = match CertificateDer::from_pem_slice(certificate) {
        Ok(der) => der.to_vec(),
        Err(_) => certificate.to_vec(),
    };
    let certificate = Certificate::from_der(&der).unwrap();
    let (_, names) =
        certificate.tbs_certificate().get_extension::<SubjectAltName>().unwrap().unwrap();
    let labels: Vec<&str> = names
        .0
        .iter()
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str()),
            _ => None,
        })
        .filter_map(|name| name.split('.').next())
        .filter(|label| label.starts_with("8444"))
        .collect();
    let [label] = labels.as_slice() else { panic!("{} documents", labels.len()) };
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
    label.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn root(samples: &Samples, file: &str) -> Row {
    let der = CertificateDer::from_pem_slice(&samples.read(file)).unwrap();
    let document = samples.read("nitro/base-sample_attestation.cbor");
    let is_in = document.windows(der.len()).any(|window| window == der.as_ref());
    assert!(is_in, "the documents bring this root");
    let digest = encoding::hex(&Sha256::digest(&der));
    Row::file("root", &format!("pinned: SHA-256 {digest}"))
}

#[test]
fn no_byte_of_a_document_may_change() {
    let Some(samples) = Samples::open() else { return };
    let files = samples.files().filter(|file| file.starts_with("nitro/"));
    let documents: BTreeSet<Vec<u8>> = files.map(|file| document_of(&samples, file)).collect();
    assert_eq!(documents.len(), 8);
    std::thread::scope(|scope| {
        for document in &documents {
            scope.spawn(move || assert_flips(document));
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_document_that_was_cut_or_changed_is_refused(
        of in any::<Index>(),
        at in any::<Index>(),
        removed in 0..512_usize,
        inserted in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let Some(samples) = Samples::open() else { return Ok(()) };
        let files = samples.files().filter(|file| file.ends_with(".cbor"));
        let files: Vec<&str> = files.collect();
        let document = samples.read(of.get::<&str>(&files));
        let at = at.index(document.len());
        let end = document.len().min(at + removed);
        let changed = [&document[..at], &inserted, &document[end..]].concat();
        prop_assume!(changed != document);
        prop_assert!(judge(&changed, &Policy::default(), made(&document)).is_err());
    }
}
