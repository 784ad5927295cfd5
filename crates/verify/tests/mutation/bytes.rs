//! Every byte of the file: changed in two ways, left out, and with a space before it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::thread;

use assay_primitives::encoding::from_base64;
use assay_receipt::Bundle;
use assay_verify::Verifier;

use super::outcome;
use super::tree::Node;
use crate::methods;
use crate::support::{golden, strict};

/// What may become of a file of which a byte in this region is changed. Any may be `unusable` too:
/// not JSON any more, or not base64, or not hexadecimal.
fn allowed(region: &str) -> &'static [&'static str] {
    match region {
        "structure" => &["bundle.encoding"],
        "mediaType" => &["bundle.version"],

        // Of a signed payload, a byte of a field leaves it unreadable or breaks the signature; of the
        // ids that say which signature is to be checked, it names another operator or key.
        "keyManifest.payload/identityKey" | "keyManifest.payload/operator" => &["manifest.content"],
        "receipt.payload/predicate.operator" => &["receipt.content", "receipt.operator"],
        "receipt.payload/predicate.receiptKey" => &["receipt.content", "receipt.key"],
        "settlementRecords[].payload/predicate.receiptKey" => {
            &["settlement.content", "settlement.key"]
        }
        // What is fixed, or is no field at all.
        "keyManifest.payload/structure" => &["manifest.content"],
        "receipt.payload/structure"
        | "receipt.payload/_type"
        | "receipt.payload/predicateType"
        | "receipt.payload/subject[].name" => &["receipt.content"],
        "settlementRecords[].payload/structure"
        | "settlementRecords[].payload/_type"
        | "settlementRecords[].payload/predicateType"
        | "settlementRecords[].payload/subject[].name" => &["settlement.content"],
        _ if region.starts_with("keyManifest.payload/") => {
            &["manifest.content", "manifest.signature"]
        }
        _ if region.starts_with("receipt.payload/") => &["receipt.content", "receipt.signature"],
        _ if region.starts_with("settlementRecords[].payload/") => {
            &["settlement.content", "settlement.signature"]
        }
        _ if region.starts_with("keyManifest.") => &["manifest.signature"],
        _ if region.starts_with("receipt.") => &["receipt.signature"],
        _ if region.starts_with("settlementRecords[].") => &["settlement.signature"],

        // The commitments are the one part of an item that is checked by nothing but the tree.
        "items[].statement/commitments" => &["item.inclusion", "item.statement"],
        "items[].statement/other" => &["item.statement"],
        "items[].salts.leaf" | "items[].path[]" => &["item.inclusion"],
        "items[].salts.request" | "items[].request" => &["item.request"],
        "items[].salts.output" | "items[].output" => &["item.output"],
        "evidence[].sha256" | "evidence[].content" => &["item.evidence"],
        _ => panic!("nothing is said of {region}"),
    }
}

type Outcomes = BTreeMap<String, BTreeSet<&'static str>>;

#[test]
fn no_byte_can_be_changed() {
    let known = |file: &[u8]| Bundle::from_bytes(file).unwrap().key_manifest;
    let disclosed = golden("disclosed.assay");
    check_every_byte(&disclosed, 0, &strict().with_manifest(known(&disclosed)).unwrap());
    // What is not in that one: the salts and path of an item that failed, and evidence.
    let other = methods::bundle().to_bytes().unwrap();
    let from = other.windows(8).rposition(|bytes| bytes == b"\"salts\":").unwrap();
    check_every_byte(&other, from, &methods::verifier().with_manifest(known(&other)).unwrap());
}

fn check_every_byte(file: &[u8], from: usize, verifier: &Verifier) {
    assert_eq!(outcome(verifier, file), "verified");
    let regions = regions(file);
    let outcomes = thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            let regions = &regions;
            scope.spawn(move || mutate(file, verifier, regions, from + half))
        });
        halves.map(|half| half.join().unwrap()).into_iter().fold(Outcomes::new(), merged)
    });
    for (region, mut outcomes) in outcomes {
        outcomes.remove("unusable");
        let allowed: BTreeSet<&str> = allowed(&region).iter().copied().collect();
        // Not every field of a payload has a byte for each.
        let fits =
            if region.contains('/') { outcomes.is_subset(&allowed) } else { outcomes == allowed };
        assert!(fits, "{region}: expected {allowed:?}, got {outcomes:?}");
    }
}

/// Returns the region of each byte.
fn regions(file: &[u8]) -> Vec<String> {
    let text = str::from_utf8(file).unwrap();
    let mut regions = vec!["structure".to_owned(); file.len()];
    let tree = Node::parse(text);
    assert_eq!(tree.write(), text);
    for (name, span) in tree.spans() {
        if file[span.end] != b'"' {
            continue;
        }
        let inner = match name.rsplit('.').next() {
            Some("payload") => of_payload(&text[span.clone()], &name),
            Some("statement") => of_statement(&text[span.clone()], &name),
            _ => vec![name.clone(); span.len()],
        };
        regions[span.clone()].clone_from_slice(&inner);
        // The closing quote too: a space before it is one at the end of the string.
        regions[span.end].clone_from(inner.last().unwrap_or(&name));
    }
    regions
}

/// Returns the field that each character of a payload's base64 is part of.
fn of_payload(base64: &str, name: &str) -> Vec<String> {
    let payload = String::from_utf8(from_base64(base64).unwrap()).unwrap();
    let mut fields = vec!["structure".to_owned(); payload.len()];
    for (field, span) in Node::parse(&payload).spans() {
        fields[span].fill(field);
    }
    // A character may hold bits of a field's last byte and of the quote after it.
    let region = |bytes: &[String]| {
        let field = bytes.iter().find(|field| *field != "structure");
        format!("{name}/{}", field.map_or("structure", String::as_str))
    };
    (0..base64.len()).map(|at| region(&fields[bytes_of(at, fields.len())])).collect()
}

fn of_statement(base64: &str, name: &str) -> Vec<String> {
    let length = from_base64(base64).unwrap().len();
    let commitments = 96..160;
    let region = |at| {
        let bytes = bytes_of(at, length);
        let within = commitments.contains(&bytes.start) || commitments.contains(&(bytes.end - 1));
        format!("{name}/{}", if within { "commitments" } else { "other" })
    };
    (0..base64.len()).map(region).collect()
}

/// Returns the bytes that a character of base64 holds bits of.
fn bytes_of(at: usize, length: usize) -> Range<usize> {
    let start = (at * 6 / 8).min(length - 1);
    start..((at * 6 + 5) / 8 + 1).clamp(start + 1, length)
}

fn mutate(file: &[u8], verifier: &Verifier, regions: &[String], from: usize) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for (at, region) in regions.iter().enumerate().skip(from).step_by(2) {
        let (before, rest) = file.split_at(at);
        let (byte, after) = (rest[0], &rest[1..]);
        let swapped = match byte {
            b'0'..=b'9' => b'a',
            b'a'..=b'z' | b'A'..=b'Z' => b'7',
            _ => b'x',
        };
        for changed in [
            [before, &[byte ^ 1], after].concat(),
            [before, &[swapped], after].concat(),
            [before, after].concat(),
            [before, b" ", rest].concat(),
        ] {
            let outcome = outcome(verifier, &changed);
            outcomes.entry(region.clone()).or_default().insert(outcome);
        }
    }
    outcomes
}

fn merged(mut all: Outcomes, some: Outcomes) -> Outcomes {
    for (region, outcomes) in some {
        all.entry(region).or_default().extend(outcomes);
    }
    all
}
