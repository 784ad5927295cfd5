use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use assay_primitives::{Timestamp, encoding};
use proptest::prelude::*;
use proptest::sample::Index;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};

use super::build::{bytes, fields, head, integer, map, protected, sign, sign1, text};
use super::cose::{ES384, Sign1, sig_structure};
use super::document::Document;
use crate::refusal::Checks;
use crate::testing::{LEAF, NOW, TestChain, judge_without, set_validity};
use crate::{Attested, Check, Evidence, EvidenceKind, Policy, Roots, Strength, Trust};

const PCR: [u8; 48] = [7; 48];
const ZERO: [u8; 48] = [0; 48];
const SECOND: Duration = Duration::from_secs(1);

/// A module's keys, and whom its documents may end at.
struct Module {
    chain: TestChain,
    roots: Roots,
}

/// The parts of a COSE_Sign1, to be changed.
struct Parts {
    protected: Vec<u8>,
    unprotected: Vec<u8>,
    payload: Vec<u8>,
}

impl Module {
    fn new(chain: TestChain) -> Self {
        let roots = chain.roots();
        Self { chain, roots }
    }

    fn good() -> Self {
        Self::new(TestChain::good())
    }

    fn document(&self) -> Document<'_> {
        let certificates: Vec<&[u8]> = self.chain.certificates.iter().map(Vec::as_slice).collect();
        Document {
            module_id: "i-0123-enc4567",
            timestamp: NOW,
            pcrs: BTreeMap::from([(0, &PCR[..]), (1, &PCR), (2, &PCR), (3, &ZERO), (8, &PCR)]),
            certificate: certificates[LEAF],
            cabundle: certificates[..LEAF].to_vec(),
            public_key: Some(b"key"),
            user_data: Some(b"data"),
            nonce: None,
        }
    }

    fn sign(&self, document: &Document<'_>) -> Vec<u8> {
        sign(document, &self.chain.key, &SystemRandom::new()).unwrap()
    }

    fn parts(&self) -> Parts {
        let payload = map(&fields(&self.document()));
        Parts { protected: protected(ES384), unprotected: map(&[]), payload }
    }

    /// Signs a payload, whatever it is.
    fn sign_payload(&self, payload: Vec<u8>) -> Vec<u8> {
        self.sign_parts(&Parts { payload, ..self.parts() })
    }

    fn sign_parts(&self, parts: &Parts) -> Vec<u8> {
        let signature = self.chain.sign(&sig_structure(&parts.protected, &parts.payload));
        parts.with(&signature)
    }

    /// Signs a document whose fields were changed.
    fn sign_fields(&self, change: impl FnOnce(&mut Vec<(Vec<u8>, Vec<u8>)>)) -> Vec<u8> {
        let mut fields = fields(&self.document());
        change(&mut fields);
        self.sign_payload(map(&fields))
    }

    /// Signs a document with another value for a field.
    fn sign_with(&self, field: &str, value: Vec<u8>) -> Vec<u8> {
        self.sign_fields(|fields| {
            let found = fields.iter_mut().find(|(key, _)| *key == text(field));
            found.unwrap().1 = value;
        })
    }

    fn judge(
        &self,
        document: &[u8],
        now: Timestamp,
        without: Option<Check>,
    ) -> Result<Attested, Check> {
        let evidence = Evidence::Nitro { document: document.to_vec() };
        judge_without(&evidence, &self.roots, &Policy::default(), now, without)
            .map_err(|refusal| refusal.check)
    }

    fn accepted(&self, document: &[u8]) -> Attested {
        self.judge(document, NOW, None).unwrap()
    }

    /// Asserts that a document is refused by a check and by nothing else.
    #[track_caller]
    fn assert_refused(&self, document: &[u8], check: Check) -> Attested {
        assert_eq!(self.judge(document, NOW, None).map(|_| ()), Err(check));
        self.judge(document, NOW, Some(check)).unwrap()
    }

    /// Asserts that a document is refused by a check, and without that by another.
    #[track_caller]
    fn assert_refused_twice(&self, document: &[u8], check: Check, next: Check) {
        assert_eq!(self.judge(document, NOW, None).map(|_| ()), Err(check));
        assert_eq!(self.judge(document, NOW, Some(check)).map(|_| ()), Err(next));
    }

    /// Asserts that a document cannot be read: there is nothing to go on with.
    #[track_caller]
    fn assert_unreadable(&self, document: &[u8]) {
        self.assert_refused_twice(document, Check::EvidenceEncoding, Check::EvidenceEncoding);
    }
}

impl Parts {
    fn with(&self, signature: &[u8]) -> Vec<u8> {
        let (protected, payload) = (bytes(&self.protected), bytes(&self.payload));
        sign1(&[&protected, &self.unprotected, &payload, &bytes(signature)])
    }
}

#[test]
fn a_simulated_document_is_accepted_and_says_so() {
    let module = Module::good();
    let nonce = [1; 512];
    let document = Document { nonce: Some(&nonce), public_key: None, ..module.document() };
    let attested = module.accepted(&module.sign(&document));
    assert!(attested.is_simulated());
    assert_eq!((attested.kind, attested.strength), (EvidenceKind::Nitro, Strength::Tee));
    assert_eq!((attested.time, attested.debug), (Some(NOW), false));
    assert_eq!(attested.platform, "i-0123-enc4567");
    assert_eq!(attested.user_data.as_deref(), Some(&b"data"[..]));
    assert_eq!((&attested.public_key, attested.nonce.as_deref()), (&None, Some(&nonce[..])));
    let names: Vec<&str> = attested.measurements.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["pcr0", "pcr1", "pcr2", "pcr3", "pcr8"]);
    assert_eq!(attested.measurement("pcr3"), Some(&ZERO[..]));
    assert_eq!(attested.validity.not_after, NOW.plus(3600 * SECOND));
}

/// Pitfall 1: PCRs of the image that are zero are debug mode, each of them.
#[test]
fn debug_mode_is_refused() {
    let module = Module::good();
    for index in 0..3 {
        let mut document = module.document();
        document.pcrs.insert(index, &ZERO);
        let attested = module.assert_refused(&module.sign(&document), Check::PolicyDebug);
        assert!(attested.debug);
    }
}

/// Pitfall 2: time is the caller's, for every certificate.
#[test]
fn every_certificate_has_to_be_valid() {
    for of in 0..=LEAF {
        let narrow = |level, params: &mut _| {
            if level == of {
                set_validity(params, NOW.minus(60 * SECOND), NOW.plus(60 * SECOND));
            }
        };
        let module = Module::new(TestChain::new(narrow));
        let document = module.sign(&module.document());
        for (now, expected) in [
            (NOW.minus(61 * SECOND), Err(Check::ChainValidity)),
            (NOW.minus(60 * SECOND), Ok(())),
            (NOW.plus(60 * SECOND), Ok(())),
            (NOW.plus(61 * SECOND), Err(Check::ChainValidity)),
        ] {
            let verdict = module.judge(&document, now, None);
            assert_eq!(verdict.map(|_| ()), expected, "certificate {of} at {now}");
        }
        let late = NOW.plus(61 * SECOND);
        module.judge(&document, late, Some(Check::ChainValidity)).unwrap();
    }
}

#[test]
fn a_document_from_outside_its_certificates_validity_is_refused() {
    let module = Module::good();
    let hour = 3600 * SECOND;
    for timestamp in [NOW.minus(hour + SECOND), NOW.plus(hour + SECOND)] {
        let document = Document { timestamp, ..module.document() };
        module.assert_refused(&module.sign(&document), Check::EvidenceTime);
    }
    for timestamp in [NOW.minus(hour), NOW.plus(SECOND)] {
        module.accepted(&module.sign(&Document { timestamp, ..module.document() }));
    }
}

#[test]
fn a_document_from_the_future_is_refused() {
    let module = Module::good();
    let document =
        module.sign(&Document { timestamp: NOW.plus(301 * SECOND), ..module.document() });
    module.assert_refused(&document, Check::EvidenceTime);
}

/// Pitfall 5: what is first in `cabundle` is no root because it is first.
#[test]
fn the_root_has_to_be_pinned() {
    let module = Module { roots: Roots::vendors(), ..Module::good() };
    let document = module.sign(&module.document());
    let attested = module.assert_refused(&document, Check::ChainRoot);
    assert_eq!(attested.trust, Trust::Vendor, "only because the check was left out");
}

#[test]
fn the_root_comes_first_and_the_others_in_any_order() {
    let module = Module::good();
    let mut document = module.document();
    document.cabundle.reverse();
    module.assert_refused(&module.sign(&document), Check::ChainRoot);
    let mut document = module.document();
    document.cabundle[1..].reverse();
    module.accepted(&module.sign(&document));
}

#[test]
fn every_intermediate_has_to_be_there() {
    let module = Module::good();
    for missing in 1..LEAF {
        let mut document = module.document();
        document.cabundle.remove(missing);
        module.assert_refused(&module.sign(&document), Check::ChainPath);
    }
    let document = Document { cabundle: Vec::new(), ..module.document() };
    module.assert_refused_twice(&module.sign(&document), Check::ChainRoot, Check::ChainRoot);
}

#[test]
fn a_missing_certificate_skips_no_signature() {
    let module = Module::good();
    module.assert_unreadable(&module.sign_fields(|fields| drop(fields.remove(4))));
    module.assert_unreadable(&module.sign_with("certificate", vec![0xf6]));
    let empty = module.sign_with("certificate", bytes(b""));
    module.assert_refused_twice(&empty, Check::ChainEncoding, Check::ChainEncoding);
}

#[test]
fn certificates_are_used_as_they_may_be() {
    type Change = fn(usize, &mut rcgen::CertificateParams);
    let cases: [Change; 6] = [
        // A CA without basic constraints, and one that says that it is none.
        |level, params| params.is_ca = if level == 1 { IsCa::NoCa } else { params.is_ca },
        |level, params| params.is_ca = if level == 2 { IsCa::ExplicitNoCa } else { params.is_ca },
        |level, params| {
            if level == 1 {
                params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            }
        },
        |level, params| {
            if level == 2 {
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            }
        },
        |level, params| {
            if level == LEAF {
                params.key_usages = vec![KeyUsagePurpose::KeyAgreement];
            }
        },
        |level, params| {
            if level == LEAF {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
            }
        },
    ];
    for (at, change) in cases.into_iter().enumerate() {
        let module = Module::new(TestChain::new(change));
        let document = module.sign(&module.document());
        let check = module.judge(&document, NOW, None).unwrap_err();
        assert_eq!(check, Check::ChainUsage, "case {at}");
        module.judge(&document, NOW, Some(check)).unwrap();
    }
}

#[test]
fn a_ca_signs_no_document() {
    let ca = |level, params: &mut rcgen::CertificateParams| {
        if level == LEAF {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
    };
    let module = Module::new(TestChain::new(ca));
    module.assert_refused(&module.sign(&module.document()), Check::ChainUsage);
}

/// Pitfall 6: the algorithm is ES384, and the protected header says so.
#[test]
fn the_algorithm_is_es384_in_the_protected_header() {
    let module = Module::good();
    let algorithm = |value| map(&[(integer(1), integer(value))]);
    for protected in [algorithm(-7), algorithm(-36), algorithm(35), map(&[]), Vec::new()] {
        let parts = Parts { protected, ..module.parts() };
        module.assert_refused(&module.sign_parts(&parts), Check::EvidenceAlgorithm);
    }
    let parts = Parts { protected: Vec::new(), unprotected: algorithm(ES384), ..module.parts() };
    let document = module.sign_parts(&parts);
    module.assert_refused_twice(&document, Check::EvidenceAlgorithm, Check::EvidenceEncoding);
}

#[test]
fn headers_hold_nothing_else() {
    let module = Module::good();
    let es384 = (integer(1), integer(ES384));
    let key_id = (integer(4), bytes(b"key"));
    let critical = (integer(2), [head(4, 1), integer(1)].concat());
    let only = |pair: &(Vec<u8>, Vec<u8>)| map(std::slice::from_ref(pair));
    for unprotected in [only(&es384), only(&key_id)] {
        let parts = Parts { unprotected, ..module.parts() };
        module.assert_refused(&module.sign_parts(&parts), Check::EvidenceEncoding);
    }
    for protected in [map(&[es384.clone(), critical]), map(&[key_id, es384.clone()])] {
        let parts = Parts { protected, ..module.parts() };
        module.assert_refused(&module.sign_parts(&parts), Check::EvidenceEncoding);
    }
    let many: Vec<_> = (4..14).map(|label| (integer(label), integer(0))).collect();
    let deep = [head(4, 1).repeat(8), integer(0)].concat();
    for protected in [
        map(&[es384.clone(), es384.clone()]),
        map(&[es384.clone(), (integer(4), integer(0)), (integer(4), integer(0))]),
        [only(&es384), integer(0)].concat(),
        map(&[(text("alg"), integer(ES384))]),
        map(&[(integer(1), text("ES384"))]),
        map(&[es384, (integer(4), deep)]),
        map(&many),
        integer(1),
    ] {
        let parts = Parts { protected, ..module.parts() };
        module.assert_unreadable(&module.sign_parts(&parts));
    }
}

#[test]
fn a_signature_is_r_and_s() {
    let module = Module::good();
    let parts = module.parts();
    let signed = sig_structure(&parts.protected, &parts.payload);
    let signature = module.chain.sign(&signed);
    module.accepted(&parts.with(&signature));
    let (random, pkcs8) = (SystemRandom::new(), &module.chain.pkcs8);
    let der = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, pkcs8, &random).unwrap();
    let der = der.sign(&random, &signed).unwrap();
    let zero_first = [&[0], signature.as_slice()].concat();
    for wrong in [der.as_ref(), &signature[..95], &zero_first, b""] {
        let (check, next) = (Check::EvidenceEncoding, Check::EvidenceSignature);
        module.assert_refused_twice(&parts.with(wrong), check, next);
    }
    let other = module.chain.sign(b"another document");
    for wrong in [&[0; 96][..], &[0xff; 96], &other] {
        module.assert_refused(&parts.with(wrong), Check::EvidenceSignature);
    }
}

/// Of s and n - s either is a signature, and COSE has no rule for which.
#[test]
fn a_high_s_is_accepted() {
    let module = Module::good();
    let parts = module.parts();
    let low_or_high = module.chain.sign(&sig_structure(&parts.protected, &parts.payload));
    let (r, s) = low_or_high.split_at(48);
    let order: [u8; 48] = encoding::from_hex(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf\
         581a0db248b0a77aecec196accc52973",
    )
    .unwrap();
    let mut borrow = false;
    let mut negated = vec![0; 48];
    for at in (0..48).rev() {
        let (less, first) = order[at].overflowing_sub(s[at]);
        let (less, second) = less.overflowing_sub(u8::from(borrow));
        (negated[at], borrow) = (less, first || second);
    }
    assert_ne!(negated, s);
    module.accepted(&parts.with(&low_or_high));
    module.accepted(&parts.with(&[r, &negated].concat()));
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let (module, other) = (Module::good(), Module::good());
    let document = sign(&module.document(), &other.chain.key, &SystemRandom::new()).unwrap();
    module.assert_refused(&document, Check::EvidenceSignature);
}

#[test]
fn a_document_may_be_tagged_and_maps_may_be_indefinite() {
    let module = Module::good();
    let document = module.sign(&module.document());
    module.accepted(&[&[0xd2], document.as_slice()].concat());
    for tag in [&[0xd1][..], &[0xd8, 0x3d], &[0xd2, 0xd2]] {
        module.assert_unreadable(&[tag, document.as_slice()].concat());
    }
    let mut indefinite = vec![0xbf];
    indefinite.extend_from_slice(&map(&fields(&module.document()))[1..]);
    module.assert_unreadable(&module.sign_payload(indefinite.clone()));
    indefinite.push(0xff);
    module.accepted(&module.sign_payload(indefinite));
    let mut open = document.clone();
    open[0] = 0x9f;
    module.assert_unreadable(&open);
    open.push(0xff);
    module.accepted(&open);
}

#[test]
fn nothing_is_left_over_and_nothing_is_missing() {
    let module = Module::good();
    let parts = module.parts();
    let document = module.sign_parts(&parts);
    module.assert_unreadable(&[document.as_slice(), &[0]].concat());
    let payload = [parts.payload.as_slice(), &[0]].concat();
    module.assert_unreadable(&module.sign_payload(payload));
    module.assert_unreadable(&document[..document.len() - 1]);
    module.assert_unreadable(b"");
    let items = [bytes(&parts.protected), parts.unprotected, bytes(&parts.payload), bytes(b"")];
    let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    module.assert_unreadable(&sign1(&items[..3]));
    module.assert_unreadable(&sign1(&[items.as_slice(), &[&[0]]].concat()));
    // A payload that is elsewhere.
    module.assert_unreadable(&sign1(&[items[0], items[1], &[0xf6], items[3]]));
    // One that is no byte string but the document itself.
    module.assert_unreadable(&sign1(&[items[0], items[1], &parts.payload, items[3]]));
}

#[test]
fn every_field_comes_once() {
    let module = Module::good();
    for at in 0..9 {
        let twice = module.sign_fields(|fields| fields.push(fields[at].clone()));
        module.assert_refused(&twice, Check::EvidenceEncoding);
        let missing = module.sign_fields(|fields| drop(fields.remove(at)));
        if at < 6 {
            module.assert_unreadable(&missing);
        } else {
            module.accepted(&missing);
        }
    }
    module.assert_unreadable(&module.sign_fields(|fields| fields.push((text("x"), integer(0)))));
    module.assert_unreadable(&module.sign_fields(|fields| fields.push((integer(1), integer(0)))));
}

#[test]
fn pcrs_come_once_and_are_digests() {
    let module = Module::good();
    let image: Vec<_> = (0..3).map(|index| (integer(index), bytes(&PCR))).collect();
    let with = |more: &[(Vec<u8>, Vec<u8>)]| map(&[image.as_slice(), more].concat());
    let twice = module.sign_with("pcrs", with(&[(integer(0), bytes(&[9; 48]))]));
    let attested = module.assert_refused(&twice, Check::EvidenceEncoding);
    assert_eq!(attested.measurement("pcr0"), Some(&[9; 48][..]));
    for length in [0, 31, 33, 47, 49, 63, 65] {
        let wrong = module.sign_with("pcrs", with(&[(integer(4), bytes(&vec![1; length]))]));
        module.assert_refused(&wrong, Check::EvidenceEncoding);
    }
    for length in [32, 48, 64] {
        let pcr = bytes(&vec![1; length]);
        module.accepted(&module.sign_with("pcrs", with(&[(integer(31), pcr)])));
    }
    for index in [integer(32), integer(-1), text("4"), vec![0x1b, 0, 0, 0, 0, 0, 0, 0, 4]] {
        module.assert_unreadable(&module.sign_with("pcrs", with(&[(index, bytes(&PCR))])));
    }
    for missing in 0..3 {
        let mut document = module.document();
        document.pcrs.remove(&missing);
        module.assert_refused(&module.sign(&document), Check::EvidenceEncoding);
    }
    // Three pairs are announced and four follow, so that a key is read as a value.
    let mut short = with(&[(integer(3), bytes(&PCR))]);
    short[0] -= 1;
    module.assert_unreadable(&module.sign_with("pcrs", short));
}

#[test]
fn fields_are_within_their_limits() {
    let module = Module::good();
    for (field, most) in
        [("public_key", 1024), ("user_data", 512), ("nonce", 512), ("certificate", 1024)]
    {
        let long = module.sign_with(field, bytes(&vec![1; most + 1]));
        assert_eq!(module.judge(&long, NOW, None).unwrap_err(), Check::EvidenceSize, "{field}");
        if field != "certificate" {
            module.assert_refused(&long, Check::EvidenceSize);
            let longest = vec![1; most];
            module.accepted(&module.sign_with(field, bytes(&longest)));
            module.accepted(&module.sign_with(field, bytes(b"")));
        }
    }
    let mut document = module.document();
    document.cabundle.resize(9, &module.chain.certificates[1]);
    module.accepted(&module.sign(&document));
    document.cabundle.push(&module.chain.certificates[1]);
    let refused = module.sign(&document);
    module.assert_refused_twice(&refused, Check::EvidenceSize, Check::EvidenceSize);
    let long = [1; 1025];
    document.cabundle[5] = &long;
    document.cabundle.truncate(9);
    let refused = module.sign(&document);
    module.assert_refused_twice(&refused, Check::EvidenceSize, Check::ChainEncoding);
    for (field, value) in [("module_id", text("")), ("timestamp", integer(0))] {
        let check = if field == "timestamp" { Check::EvidenceTime } else { Check::EvidenceSize };
        let document = module.sign_with(field, value);
        assert_eq!(module.judge(&document, NOW, None).unwrap_err(), Check::EvidenceEncoding);
        let next = module.judge(&document, NOW, Some(Check::EvidenceEncoding));
        assert_eq!(next.is_ok(), check == Check::EvidenceSize);
    }
    module.assert_refused(&module.sign_with("digest", text("SHA256")), Check::EvidenceEncoding);
}

#[test]
fn a_document_is_at_most_sixteen_kibibytes() {
    let module = Module::good();
    let unsigned = |length: usize| {
        // A document that is long enough by a field that is too long.
        module.sign_with("user_data", bytes(&vec![1; length]))
    };
    let base = unsigned(16000).len() - 16000;
    let longest = unsigned((16 << 10) - base);
    assert_eq!(longest.len(), 16 << 10);
    let evidence = Evidence::Nitro { document: longest };
    let judge = |evidence: &Evidence| {
        judge_without(evidence, &module.roots, &Policy::default(), NOW, None).unwrap_err()
    };
    assert!(judge(&evidence).expected.starts_with("`user_data`"));
    let longer = unsigned((16 << 10) - base + 1);
    let refusal = judge(&Evidence::Nitro { document: longer.clone() });
    assert_eq!((refusal.check, refusal.got.as_str()), (Check::EvidenceSize, "16385"));
    assert!(refusal.expected.starts_with("a document"));
    module.judge(&longer, NOW, Some(Check::EvidenceSize)).unwrap();
}

#[test]
fn strings_come_in_one_piece_and_heads_are_short() {
    let module = Module::good();
    let chunks = [&[0x5f][..], &bytes(b"da"), &bytes(b"ta"), &[0xff]].concat();
    let text_chunks = [&[0x7f][..], &text("SHA"), &text("384"), &[0xff]].concat();
    let long_head = [&[0x58, 4][..], b"data"].concat();
    let too_long = [&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], b"data"].concat();
    let not_utf8 = [head(3, 6), b"SHA\xff84".to_vec()].concat();
    for (field, value) in [
        ("user_data", chunks),
        ("digest", text_chunks),
        ("user_data", long_head),
        ("user_data", too_long),
        ("digest", not_utf8),
        ("user_data", text("data")),
        ("digest", bytes(b"SHA384")),
        // Undefined is not null.
        ("user_data", vec![0xf7]),
        ("cabundle", [&[0x9b][..], &[0xff; 8]].concat()),
        ("pcrs", [&[0xbb][..], &[0xff; 8]].concat()),
        ("cabundle", vec![0x80 | 28]),
        ("timestamp", vec![0x1a, 0, 0, 0, 1]),
        ("timestamp", [&[0xfb][..], &1.8e12_f64.to_be_bytes()].concat()),
        ("timestamp", [&[0xc1][..], &head(0, NOW.as_millis())].concat()),
    ] {
        module.assert_unreadable(&module.sign_with(field, value));
    }
}

/// Pitfall 7: the nonce is what was signed; evidence has no other place for one.
#[test]
fn a_nonce_beside_the_document_counts_for_nothing() {
    let module = Module::good();
    let nonce = [1; 32];
    let document = module.sign(&Document { nonce: Some(&nonce), ..module.document() });
    let at = document.windows(32).position(|window| *window == nonce).unwrap();
    let mut echoed = document.clone();
    echoed[at..at + 32].copy_from_slice(&[2; 32]);
    let attested = module.assert_refused(&echoed, Check::EvidenceSignature);
    assert_eq!(attested.nonce.as_deref(), Some(&[2; 32][..]));
    let mut json = serde_json::to_value(Evidence::Nitro { document }).unwrap();
    assert_eq!(json["kind"], "nitro");
    serde_json::from_value::<Evidence>(json.clone()).unwrap();
    json["nonce"] = "AgICAg==".into();
    serde_json::from_value::<Evidence>(json).unwrap_err();
}

/// Pitfall 9: the enclave chooses `user_data`, `public_key` and `nonce`; nothing that stands there
/// becomes the platform's word.
#[test]
fn what_the_enclave_chose_is_no_measurement() {
    let module = Module::good();
    let plain = module.accepted(&module.sign(&module.document()));
    let pcrs: Vec<_> = (0..3).map(|index| (integer(index), bytes(&[9; 48]))).collect();
    let forged = map(&[(text("pcrs"), map(&pcrs)), (text("timestamp"), integer(1))]);
    let document = Document { user_data: Some(&forged), nonce: Some(&forged), ..module.document() };
    let attested = module.accepted(&module.sign(&document));
    assert_eq!(attested.measurements, plain.measurements);
    assert_eq!((attested.time, attested.debug), (plain.time, plain.debug));
    assert_eq!(attested.user_data, Some(forged));
}

/// A module and a document of it.
static DOCUMENT: LazyLock<(Module, Vec<u8>)> = LazyLock::new(|| {
    let module = Module::good();
    let document = module.sign(&module.document());
    (module, document)
});

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_refused(document in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(Sign1::read(&document).is_err());
        prop_assert!(Document::read(&document, Checks::default()).is_err());
    }

    #[test]
    fn a_document_that_was_cut_or_changed_is_refused(
        cut in any::<Index>(),
        length in 0..64_usize,
        inserted in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let document = DOCUMENT.1.as_slice();
        let at = cut.index(document.len());
        let end = document.len().min(at + length);
        let changed = [&document[..at], &inserted, &document[end..]].concat();
        prop_assume!(changed != document);
        prop_assert!(DOCUMENT.0.judge(&changed, NOW, None).is_err());
        // Also without the signature reading it ends, whatever it says.
        let _ = DOCUMENT.0.judge(&changed, NOW, Some(Check::EvidenceSignature));
    }
}
