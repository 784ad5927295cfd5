//! No input, however made, makes the verifier panic.

use std::sync::LazyLock;

use assay_primitives::encoding::base64;
use assay_primitives::{Digest, InferenceRequest, Tensor};
use assay_receipt::{
    Bundle, BundleItem, DsseSignature, Envelope, EvidenceBlob, ItemSalts, ItemStatement,
    KeyManifest, PublicKey, Receipt, SettlementRecord, SigningKey, signature_from_raw,
    signature_to_raw,
};
use assay_testkit::VERIFIED_AT;
use assay_verify::{Expectation, Policy, Verdict, Verifier};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::methods;
use crate::support::lenient;

static REAL: LazyLock<Bundle> = LazyLock::new(methods::bundle);
static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| REAL.to_bytes().unwrap());
static VERIFIER: LazyLock<Verifier> = LazyLock::new(methods::verifier);
static KEY: LazyLock<SigningKey> = LazyLock::new(|| methods::transaction().operator.identity);

/// Bytes that look more like JSON than others.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..200),
        "[\\[\\]{}\":,a-z0-9.eE+ -]{0,200}".prop_map(String::into_bytes),
    ]
}

fn salts() -> impl Strategy<Value = ItemSalts> {
    any::<[[u8; 32]; 3]>().prop_map(|[leaf, request, output]| ItemSalts {
        leaf: leaf.into(),
        request: request.into(),
        output: output.into(),
    })
}

/// One of some values that belong there, or anything.
fn or_any<T: Clone + std::fmt::Debug + 'static>(
    real: Vec<T>,
    other: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = T> {
    prop_oneof![proptest::sample::select(real), other]
}

fn envelope(real: &Bundle) -> impl Strategy<Value = Envelope> + use<> {
    let envelopes = [&real.receipt, &real.key_manifest, &real.settlement_records[0]];
    let payloads = envelopes.map(|envelope| envelope.payload.clone()).to_vec();
    let types = envelopes.map(|envelope| envelope.payload_type.clone()).to_vec();
    let signatures = envelopes.map(|envelope| envelope.signatures[0].clone()).to_vec();
    let signature = or_any(
        signatures,
        ("[0-9a-f]{0,64}", vec(any::<u8>(), 0..80))
            .prop_map(|(keyid, sig)| DsseSignature { keyid, sig }),
    );
    let parts = (or_any(payloads, text()), or_any(types, ".{0,20}"), vec(signature, 0..3));
    let anything = parts.prop_map(|(payload, payload_type, signatures)| Envelope {
        payload,
        payload_type,
        signatures,
    });
    or_any(envelopes.map(Envelope::clone).to_vec(), anything)
}

fn item(real: &Bundle) -> impl Strategy<Value = BundleItem> + use<> {
    let all = |part: fn(&BundleItem) -> Vec<u8>| real.items.iter().map(part).collect::<Vec<_>>();
    let path = vec(any::<[u8; 32]>().prop_map(Digest), 0..25);
    let real_salts = real.items.iter().map(|item| item.salts.clone()).collect();
    let anything = (
        or_any(all(|item| item.statement.clone()), vec(any::<u8>(), 0..400)),
        or_any(real_salts, salts()),
        or_any(real.items.iter().map(|item| item.path.clone()).collect(), path),
        or_any(all(|item| item.request.clone()), text()),
        proptest::option::of(text()),
    );
    let anything = anything.prop_map(|(statement, salts, path, request, output)| BundleItem {
        statement,
        salts,
        path,
        request,
        output,
    });
    or_any(real.items.clone(), anything)
}

/// A bundle of parts of a real one and of anything.
fn bundle() -> impl Strategy<Value = Bundle> {
    let real = &*REAL;
    let blob = (any::<[u8; 32]>(), vec(any::<u8>(), 0..40))
        .prop_map(|(sha256, content)| EvidenceBlob { sha256: Digest(sha256), content });
    let parts = (
        or_any(vec![real.media_type.clone()], ".{0,20}"),
        envelope(real),
        vec(envelope(real), 0..4),
        envelope(real),
        vec(item(real), 0..4),
        vec(or_any(real.evidence.clone(), blob), 0..4),
    );
    parts.prop_map(|(media_type, receipt, settlement_records, key_manifest, items, evidence)| {
        Bundle { media_type, receipt, settlement_records, key_manifest, items, evidence }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn parsers_take_anything(bytes in text()) {
        let _ = Bundle::from_bytes(&bytes);
        let _ = Receipt::from_bytes(&bytes);
        let _ = SettlementRecord::from_bytes(&bytes);
        let _ = ItemStatement::from_bytes(&bytes);
        let _ = InferenceRequest::from_bytes(&bytes);
        let _ = PublicKey::from_der(&bytes);
        let _ = signature_to_raw(&bytes);
        let _ = serde_json::from_slice::<Tensor>(&bytes);
        let _ = Policy::from_toml(&String::from_utf8_lossy(&bytes));
        let _ = lenient().verify(&bytes, &Expectation::default(), VERIFIED_AT);
    }

    #[test]
    fn a_real_file_cut_and_joined_anywhere_is_read_or_refused(
        from in 0_usize..9_000, to in 0_usize..9_000, between in text()
    ) {
        let file = FILE.as_slice();
        let cut = [&file[..from.min(file.len())], &between, &file[to.min(file.len())..]].concat();
        if let Ok(report) = VERIFIER.verify(&cut, &Expectation::default(), VERIFIED_AT) {
            prop_assert!(cut == file || matches!(report.verdict, Verdict::Refused(_)));
        }
    }

    #[test]
    fn public_keys_and_signatures_of_the_right_size_are_read_or_refused(
        point in vec(any::<u8>(), 65), raw in any::<[[u8; 32]; 2]>()
    ) {
        let real = KEY.public().as_der();
        let _ = PublicKey::from_der(&[&real[..26], &point].concat());
        let _ = PublicKey::from_der(&[&real[..27], &point[1..]].concat());
        let raw: [u8; 64] = raw.as_flattened().try_into().unwrap();
        if let Ok(der) = signature_from_raw(&raw) {
            let low = signature_to_raw(&der);
            prop_assert!(low.is_ok_and(|low| low[..32] == raw[..32]));
        }
    }

    #[test]
    fn tensors_are_read_or_refused(
        shape in vec(prop_oneof![0_u64..4, any::<u64>()], 0..10),
        datatype in "BOOL|UINT8|INT8|INT32|INT64|FP32|FP64|FP16",
        data in "[\\[\\]0-9,.eE+ tfn-]{0,60}",
    ) {
        let text = format!(
            r#"{{"name":"x","shape":{shape:?},"datatype":"{datatype}","data":{data}}}"#
        );
        if let Ok(tensor) = serde_json::from_str::<Tensor>(&text) {
            let written = serde_json::to_string(&tensor).unwrap();
            prop_assert_eq!(serde_json::from_str::<Tensor>(&written).unwrap(), tensor);
        }
    }

    #[test]
    fn envelopes_of_anything_are_opened_or_refused(bytes in text(), of_type in ".{0,20}") {
        let envelope = Envelope::sign(&of_type, bytes, &KEY);
        prop_assert!(envelope.verify(&of_type, KEY.public()).is_ok());
        let _ = KeyManifest::open(&envelope);
        let text = serde_json::to_string(&envelope).unwrap();
        prop_assert!(text.contains(&base64(&envelope.payload)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn only_parts_of_the_real_bundle_verify(bundle in bundle()) {
        let file = bundle.to_bytes().unwrap();
        let report = VERIFIER.verify(&file, &Expectation::default(), VERIFIED_AT).unwrap();
        // Fewer records or items are the real bundle with less shown.
        let is_real = bundle.receipt == REAL.receipt
            && bundle.key_manifest == REAL.key_manifest
            && bundle.settlement_records.iter().all(|r| REAL.settlement_records.contains(r))
            && bundle.items.iter().all(|item| REAL.items.contains(item))
            && bundle.evidence.iter().all(|blob| REAL.evidence.contains(blob));
        prop_assert!(is_real || matches!(report.verdict, Verdict::Refused(_)));
    }
}
