use assay_primitives::encoding::{base64, hex};
use proptest::prelude::*;

use super::text::Spelling;
use super::*;
use crate::TpmHash;
use crate::testing::TestChain;

fn of_gpu(files: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, FilesError> {
    let from = Files { files, ..Files::default() };
    match Evidence::from_files(EvidenceKind::Nvidia, from)? {
        Evidence::Nvidia { certificates, .. } => Ok(certificates),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_chain_is_in_order_whatever_the_order_of_the_files() {
    let good = TestChain::good();
    let mut ordered = good.certificates.clone();
    ordered.reverse();
    for turn in 0..ordered.len() {
        let mut files = ordered.clone();
        files.rotate_left(turn);
        files.insert(turn, b"a report".to_vec());
        files.push(ordered[1].clone());
        assert_eq!(of_gpu(&files).unwrap(), ordered);
    }
}

#[test]
fn certificates_that_do_not_belong_to_the_chain_are_left_out() {
    let (good, other) = (
        TestChain::good(),
        TestChain::new(|level, params| {
            params.distinguished_name.push(rcgen::DnType::CommonName, format!("other {level}"));
        }),
    );
    let mut ordered = good.certificates.clone();
    ordered.reverse();
    let files = [&[b"a report".to_vec()], &ordered[..], &other.certificates[..3]].concat();
    // Two certificates sign no other: the first is the leaf.
    assert_eq!(of_gpu(&files).unwrap(), ordered);
}

#[test]
fn a_chain_with_a_gap_is_kept_for_the_verifier_to_refuse() {
    let chain = TestChain::good().certificates;
    let files = [b"a report".to_vec(), chain[3].clone(), chain[0].clone(), chain[1].clone()];
    let found = of_gpu(&files).unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!((&found[0], found.last().unwrap()), (&chain[3], &chain[0]));
}

#[test]
fn files_that_are_none_are_named() {
    let wrong = |files: &[Vec<u8>]| match of_gpu(files).unwrap_err() {
        FilesError::Unusable { at, .. } => at,
        other => panic!("{other:?}"),
    };
    let pem = b"-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n".to_vec();
    assert_eq!(wrong(&[b"a report".to_vec(), pem]), 1);
    assert_eq!(wrong(&[vec![0x30, 0x82, 0, 0]]), 0);
    assert_eq!(wrong(&[b"a report".to_vec(), b"another".to_vec()]), 1);
}

#[test]
fn short_words_and_other_texts_are_raw() {
    for raw in [&b"deadbeef"[..], b"", b"a text with spaces and dots.", b"\xff\xff", b"0x"] {
        assert_eq!(unwrapped(raw).1, Spelling::Raw, "{raw:?}");
    }
    assert_eq!(unwrapped(b"00112233 44556677\n8899aabb").1, Spelling::Hexadecimal);
    // An odd number of digits is base64, if that.
    assert_eq!(unwrapped(b"00112233445566778899aab").1, Spelling::Raw);
}

#[test]
fn printed_values_are_read_or_refused() {
    let value = "11".repeat(32);
    let read = |text: &str| pcrs(text.as_bytes());
    let one = read(&format!("sha256:\n  7 : 0x{value}\nsha1:\n  0 : 0x00\n")).unwrap();
    assert_eq!(one, [Pcr::new(TpmHash::Sha256, 7, vec![0x11; 32])]);
    let two =
        format!("pcrs:\n  sha256:\n    0: {value}\n  sha384:\n    0: {value}\ncalcDigest: ab\n");
    assert_eq!(read(&two).unwrap().len(), 2);
    for wrong in [
        format!("7 : 0x{value}"),
        format!("sha256:\n 7 : 0x{value}\n 7 : 0x{value}\n"),
        "sha256:\n 7 : 0xno\n".to_owned(),
        format!("sha256:\n 300 : 0x{value}\n"),
        "sha256:\n".to_owned(),
    ] {
        assert_eq!(read(&wrong), None, "{wrong}");
    }
}

#[test]
fn bare_values_are_as_long_as_what_is_selected() {
    let selected = [(TpmHash::Sha256, 1), (TpmHash::Sha384, 2)];
    let read = |len: usize| pcrs::bare(&vec![7; len], &selected);
    assert_eq!(read(80).unwrap()[1], Pcr::new(TpmHash::Sha384, 2, vec![7; 48]));
    assert_eq!((read(79), read(81), read(0)), (None, None, None));
    assert_eq!(pcrs::bare(&[], &[]), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_come_out_of_text_as_they_went_in(bytes in prop::collection::vec(any::<u8>(), 12..200)) {
        for (text, spelling) in
            [(hex(&bytes), Spelling::Hexadecimal), (base64(&bytes), Spelling::Base64)]
        {
            let (read, found) = unwrapped(text.as_bytes());
            prop_assume!(found == spelling);
            prop_assert_eq!(&*read, &bytes[..]);
        }
    }

    #[test]
    fn arbitrary_files_never_panic(
        files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..4),
        selection in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut files = files;
        if let Some(first) = files.first_mut() {
            // Close to the structures of tpm2-tools.
            first.resize(668, 0);
            first.splice(..selection.len(), selection);
            first.splice(132..140, [1, 0, 0, 0, 2, 0, 0, 0]);
        }
        for kind in EvidenceKind::ALL {
            let _ = Evidence::from_files(*kind, Files { files: &files, ..Files::default() });
        }
        files.iter().for_each(|file| drop(pcrs(file)));
    }
}
