//! Envelopes whose payload is whole and whose signature is not what it should be.

use assay_primitives::Digest;
use assay_receipt::{
    Bundle, DsseSignature, Envelope, MANIFEST_PAYLOAD_TYPE, SigningKey, signature_to_raw,
};
use assay_testkit::{SampleOperator, SeededRandomness};

use super::outcome;
use crate::methods;

/// The order of P-256's group (SEC 2 section 2.4.2).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// Gives one of the bundle's envelopes.
type Which = fn(&mut Bundle) -> &mut Envelope;

/// The three envelopes of a bundle, with the check that their signatures are for.
const ENVELOPES: [(Which, &str); 3] = [
    (|bundle| &mut bundle.receipt, "receipt.signature"),
    (|bundle| &mut bundle.settlement_records[0], "settlement.signature"),
    (|bundle| &mut bundle.key_manifest, "manifest.signature"),
];

fn after(alter: impl FnOnce(&mut Bundle)) -> &'static str {
    let mut bundle = methods::bundle();
    alter(&mut bundle);
    outcome(&methods::verifier(), &bundle.to_bytes().unwrap())
}

/// Alters each envelope in turn, and expects its own check to refuse it.
fn each_is_refused(what: &str, alter: &dyn Fn(&mut Envelope)) {
    for (envelope, expected) in ENVELOPES {
        assert_eq!(after(|bundle| alter(envelope(bundle))), expected, "{what}");
    }
}

fn stranger() -> SigningKey {
    SigningKey::generate(&SeededRandomness::new(99)).unwrap()
}

/// DER of two integers of any size and sign.
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| [&[2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let integers = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(integers.len()).unwrap()], integers.as_slice()].concat()
}

/// An integer as DER has it: without leading zeros but one before a high bit.
fn trimmed(word: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = word.iter().copied().skip_while(|byte| *byte == 0).collect();
    if digits[0] >= 0x80 { [&[0], digits.as_slice()].concat() } else { digits }
}

fn split(sig: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let raw = signature_to_raw(sig).unwrap();
    (raw[..32].to_vec(), raw[32..].to_vec())
}

/// Makes the other signature of a signature: the one with the high S.
pub(crate) fn twin(sig: &[u8]) -> Vec<u8> {
    let (r, s) = split(sig);
    let mut twin = [0; 32];
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(ORDER[at]) - i16::from(s[at]) - borrow;
        borrow = i16::from(difference < 0);
        twin[at] = u8::try_from(difference + 256 * borrow).unwrap();
    }
    assert!(twin[0] >= 0x7f, "the twin of a low S is high");
    der(&trimmed(&r), &trimmed(&twin))
}

#[test]
fn the_key_id_is_not_signed_and_is_compared() {
    each_is_refused("no key id", &|envelope| envelope.signatures[0].keyid.clear());
    each_is_refused("another key id", &|envelope| {
        envelope.signatures[0].keyid = stranger().public().id().to_string();
    });
    each_is_refused("a key id in capitals", &|envelope| {
        let keyid = &mut envelope.signatures[0].keyid;
        *keyid = keyid.to_uppercase();
    });
}

#[test]
fn there_is_exactly_one_signature() {
    each_is_refused("none", &|envelope| envelope.signatures.clear());
    each_is_refused("the same twice", &|envelope| {
        let again = envelope.signatures[0].clone();
        envelope.signatures.push(again);
    });
    each_is_refused("another's too", &|envelope| {
        let sig = stranger().sign(b"anything");
        envelope.signatures.push(DsseSignature { keyid: String::new(), sig });
    });
    each_is_refused("another's first", &|envelope| {
        let sig = stranger().sign(b"anything");
        envelope.signatures.insert(0, DsseSignature { keyid: String::new(), sig });
    });
}

#[test]
fn a_signature_is_of_one_key_over_one_payload_of_one_type() {
    each_is_refused("a stranger's under the right key id", &|envelope| {
        let forged = Envelope::sign(&envelope.payload_type, envelope.payload.clone(), &stranger());
        envelope.signatures[0].sig.clone_from(&forged.signatures[0].sig);
    });
    let operator = SampleOperator::new(1);
    each_is_refused("over the bare payload", &|envelope| {
        let is_manifest = envelope.payload_type == MANIFEST_PAYLOAD_TYPE;
        let key = if is_manifest { &operator.identity } else { &operator.receipt_key };
        envelope.signatures[0].sig = key.sign(&envelope.payload);
    });
    each_is_refused("over another type", &|envelope| {
        let is_manifest = envelope.payload_type == MANIFEST_PAYLOAD_TYPE;
        let key = if is_manifest { &operator.identity } else { &operator.receipt_key };
        *envelope = Envelope::sign("application/json", envelope.payload.clone(), key);
    });
    each_is_refused("nothing", &|envelope| envelope.signatures[0].sig.clear());
    let swapped = after(|bundle| {
        let record = &mut bundle.settlement_records[0];
        std::mem::swap(&mut bundle.receipt.signatures, &mut record.signatures);
    });
    assert_eq!(swapped, "receipt.signature");
    let swapped = after(|bundle| {
        let manifest = &mut bundle.key_manifest;
        std::mem::swap(&mut bundle.receipt.signatures, &mut manifest.signatures);
    });
    assert_eq!(swapped, "manifest.signature");
}

#[test]
fn an_envelope_is_nothing_else_in_another_place() {
    let receipt_as_record = after(|b| b.settlement_records = vec![b.receipt.clone()]);
    assert_eq!(receipt_as_record, "settlement.content");
    let record_as_receipt = after(|b| b.receipt = b.settlement_records[0].clone());
    assert_eq!(record_as_receipt, "receipt.content");
    let manifest_as_receipt = after(|b| b.receipt = b.key_manifest.clone());
    assert_eq!(manifest_as_receipt, "receipt.content");
    let receipt_as_manifest = after(|b| b.key_manifest = b.receipt.clone());
    assert_eq!(receipt_as_manifest, "manifest.content");
}

#[test]
fn nobody_makes_a_second_signature_out_of_a_first() {
    each_is_refused("the other value of S", &|envelope| {
        envelope.signatures[0].sig = twin(&envelope.signatures[0].sig);
    });
    type Respell = fn(&[u8], &[u8]) -> Vec<u8>;
    let spellings: [(&str, Respell); 9] = [
        ("a leading zero in r", |r, s| der(&[&[0], trimmed(r).as_slice()].concat(), &trimmed(s))),
        ("a leading zero in s", |r, s| der(&trimmed(r), &[&[0], trimmed(s).as_slice()].concat())),
        ("a long-form length", |r, s| {
            let der = der(&trimmed(r), &trimmed(s));
            [&[0x30, 0x81], &der[1..]].concat()
        }),
        ("a longer long-form length", |r, s| {
            let der = der(&trimmed(r), &trimmed(s));
            [&[0x30, 0x82, 0], &der[1..]].concat()
        }),
        ("an indefinite length", |r, s| {
            let der = der(&trimmed(r), &trimmed(s));
            [&[0x30, 0x80], &der[2..], &[0, 0]].concat()
        }),
        ("a byte after it", |r, s| [der(&trimmed(r), &trimmed(s)), vec![0]].concat()),
        ("r and s exchanged", |r, s| der(&trimmed(s), &trimmed(r))),
        ("raw r and s", |r, s| [r, s].concat()),
        ("unsigned integers", |r, s| der(&[&[0x80], &r[1..]].concat(), s)),
    ];
    for (what, respell) in spellings {
        each_is_refused(what, &|envelope| {
            let (r, s) = split(&envelope.signatures[0].sig);
            envelope.signatures[0].sig = respell(&r, &s);
        });
    }
    // The signature is not part of what the receipt is known by.
    let mut bundle = methods::bundle();
    let digest: Digest = bundle.receipt.digest();
    bundle.receipt.signatures.clear();
    assert_eq!(bundle.receipt.digest(), digest);
}
