//! The images of enclaves that an operator's key manifest lists.

use super::*;

const STANDS_BY: &str = "enclave: the operator stands by its measurements";
const UNPINNED: &str = "enclave: its measurements are as reported, no policy pins them";

/// A sale whose operator lists these images.
fn listing(images: &[&str]) -> Sale {
    let mut sale = Sale::new();
    let listed = images.iter().map(|image| (*image).to_owned()).collect();
    sale.transaction.operator.manifest.enclave_measurements = listed;
    sale
}

/// The first 48 bytes that an enclave of the tests, or another one, measured.
fn pcr0(image: [u8; 48]) -> String {
    format!("nitro:pcr0={}", encoding::hex(&image))
}

fn notes(report: &Report) -> [bool; 2] {
    [STANDS_BY, UNPINNED].map(|note| report.items[0].notes.iter().any(|one| one == note))
}

#[test]
fn an_image_that_the_operator_lists_is_said_and_pins_nothing() {
    let (own, other) = (pcr0(IMAGE), pcr0([8; 48]));
    for listed in [&[own.as_str()][..], &[&other, &own], &["of a later version", &own, "tdx:"]] {
        let sale = listing(listed);
        assert_eq!(notes(&sale.assert_holds()), [true, true], "{listed:?}");
        // A policy pins, whoever else stands by it.
        let verifier = sale.verifier_with(sale.pinning(), reference(IMAGE));
        assert_eq!(notes(&verify(&verifier, &sale.bundle())), [true, false]);
    }
}

#[test]
fn an_operator_that_lists_none_says_nothing_of_enclaves() {
    let sale = listing(&[]);
    assert_eq!(notes(&sale.assert_holds()), [false, true]);
    let verifier = sale.verifier_with(sale.pinning(), reference(IMAGE));
    assert_eq!(notes(&verify(&verifier, &sale.bundle())), [false, false]);
}

#[test]
fn an_enclave_that_its_operator_does_not_list_certifies_nothing() {
    let (own, other) = (pcr0(IMAGE), pcr0([8; 48]));
    let (expected, got) = listing(&[&other]).assert_refused();
    assert_eq!(expected, format!("an image of the key manifest: {other}"));
    assert_eq!(got, own);
    // All that an image names has to be the same.
    let both = format!("{own},pcr31=00");
    let (expected, got) = listing(&[&both]).assert_refused();
    assert_eq!((expected, got), (format!("an image of the key manifest: {both}"), own.clone()));
    // Images of another kind, texts that cannot be read, and both.
    let tpm = own.replacen("nitro", "tpm", 1);
    let (long, upper) = (format!("{own} "), own.to_uppercase());
    let mrtd = own.replacen("nitro:pcr0", "tdx:mrtd", 1);
    for listed in [&[mrtd.as_str()][..], &[&tpm], &[""], &[&long], &[&upper], &[&mrtd, "nitro:"]] {
        let (expected, got) = listing(listed).assert_refused();
        assert_eq!(expected, "an image of kind nitro in the key manifest", "{listed:?}");
        assert!(got.starts_with(&own), "{got}");
    }
    // That a policy accepts it does not help.
    let sale = listing(&[&other]);
    let verifier = sale.verifier_with(sale.pinning(), reference(IMAGE));
    assert_uncertified(&verify(&verifier, &sale.bundle()));
}

/// The list that counts is the newest that the verifier knows.
#[test]
fn a_newer_manifest_lists_for_what_was_sold_before() {
    let (own, other) = (pcr0(IMAGE), pcr0([8; 48]));
    let sale = listing(&[]);
    let bundle = sale.bundle();
    let judged = |images: &[&String]| {
        let mut newer = sale.transaction.operator.clone();
        newer.manifest.version = 2;
        let before = assay_receipt::KeyManifest::open(&bundle.key_manifest).unwrap();
        newer.manifest.previous = Some(before.digest());
        newer.manifest.enclave_measurements = images.iter().map(ToString::to_string).collect();
        let verifier = sale.verifier().with_manifest(newer.manifest_envelope()).unwrap();
        verify(&verifier, &bundle)
    };
    assert_eq!(notes(&judged(&[])), [false, true]);
    assert_eq!(notes(&judged(&[&other, &own])), [true, true]);
    assert_eq!(assert_uncertified(&judged(&[&other])).1, own);
}

/// A list of images says nothing of items that no enclave ran.
#[test]
fn what_is_signed_needs_no_image() {
    let mut transaction = sample_transaction(8_453).settled();
    transaction.operator.manifest.enclave_measurements = vec![pcr0(IMAGE)];
    let verifier = Verifier::new(Policy::default(), Methods::standard());
    let report = verify(&verifier, &transaction.bundle());
    assert_eq!(verdict(&report), "consistent", "{:?}", report.refusal);
    assert!(!report.items[0].notes.iter().any(|note| note == STANDS_BY));
}
