use std::sync::LazyLock;

use assay_primitives::Timestamp;
use proptest::prelude::*;

use super::forge::{Made, Wish, make};
use super::quote::Quote;
use super::{Collateral, pem};
use crate::{EvidenceKind, Policy, Roots, appraise};

static MADE: LazyLock<Made> = LazyLock::new(|| make(&Wish::default()));

/// What may happen to bytes on their way.
#[derive(Clone, Debug)]
enum Change {
    Cut(usize),
    Drop(usize, usize),
    Flip(usize, u8),
    Insert(usize, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), 1..64_usize).prop_map(|(at, count)| Change::Drop(at, count)),
        (any::<usize>(), 1..=255_u8).prop_map(|(at, bits)| Change::Flip(at, bits)),
        (any::<usize>(), proptest::collection::vec(any::<u8>(), 1..64))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
    ]
}

fn changed(bytes: &[u8], change: &Change) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.is_empty() {
        return bytes;
    }
    match change {
        Change::Cut(at) => bytes.truncate(at % bytes.len()),
        Change::Drop(at, count) => {
            let from = at % bytes.len();
            let to = (from + count).min(bytes.len());
            bytes.drain(from..to);
        }
        Change::Flip(at, bits) => {
            let at = at % bytes.len();
            bytes[at] ^= bits;
        }
        Change::Insert(at, more) => {
            let at = at % bytes.len();
            bytes.splice(at..at, more.iter().copied());
        }
    }
    bytes
}

fn is_accepted(made: &Made) -> bool {
    let roots = Roots::vendors().with_development(made.root.clone());
    let now = Timestamp::from_rfc3339("2026-06-15T12:00:00Z").unwrap();
    appraise(&made.evidence(EvidenceKind::Tdx), &roots, &Policy::default(), now).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn anything_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        for kind in [EvidenceKind::Tdx, EvidenceKind::Sgx] {
            let _ = Quote::read(&bytes, kind);
        }
        let _ = pem::read(&bytes, "a");
        let _ = Collateral::from_json(&bytes);
    }

    #[test]
    fn a_header_with_anything_after_it_is_read_without_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..6000),
        version in 3..=5_u8,
    ) {
        let tee = if version == 3 { 0 } else { 0x81 };
        let kind = if version == 3 { EvidenceKind::Sgx } else { EvidenceKind::Tdx };
        let head = [&[version, 0, 2, 0, tee, 0, 0, 0, 0, 0, 0, 0], &dcap_qvl::INTEL_QE_VENDOR_ID[..]];
        let _ = Quote::read(&[&head.concat(), &bytes[..]].concat(), kind);
    }

    #[test]
    fn a_quote_that_was_changed_is_refused(change in change()) {
        let mut made = MADE.clone();
        made.quote = changed(&made.quote, &change);
        // Zeros may follow.
        if is_accepted(&made) {
            let quote = Quote::read(&made.quote, EvidenceKind::Tdx).unwrap();
            prop_assert_eq!(quote.bytes, &MADE.quote[..]);
        }
    }

    #[test]
    fn collateral_that_was_changed_is_refused(change in change(), part in 0..8_u8) {
        let mut made = MADE.clone();
        let text = |of: &mut String| {
            *of = String::from_utf8_lossy(&changed(of.as_bytes(), &change)).into_owned();
        };
        let collateral = &mut made.collateral;
        match part {
            0 => text(&mut collateral.tcb_info),
            1 => collateral.tcb_info_signature = changed(&collateral.tcb_info_signature, &change),
            2 => text(&mut collateral.tcb_info_issuer_chain),
            3 => text(&mut collateral.qe_identity),
            4 => {
                let signature = &collateral.qe_identity_signature;
                collateral.qe_identity_signature = changed(signature, &change);
            }
            5 => text(&mut collateral.qe_identity_issuer_chain),
            6 => collateral.root_ca_crl = changed(&collateral.root_ca_crl, &change),
            _ => collateral.pck_crl = changed(&collateral.pck_crl, &change),
        }
        // The last line of a chain may lack its end.
        if is_accepted(&made) {
            let trimmed = |of: &Collateral| Collateral {
                tcb_info_issuer_chain: of.tcb_info_issuer_chain.trim_end().to_owned(),
                qe_identity_issuer_chain: of.qe_identity_issuer_chain.trim_end().to_owned(),
                ..of.clone()
            };
            prop_assert_eq!(trimmed(&made.collateral), trimmed(&MADE.collateral));
        }
    }
}
