use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::*;
use crate::{Measurement, testing};

const PCR0: &str = "nitro:pcr0=00";

fn image(text: &str) -> Image {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn images(texts: &[&str]) -> Images {
    Images::from_texts(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
}

/// What evidence of a kind says that measured this.
fn claims(kind: EvidenceKind, measured: &[(&str, u8)]) -> Claims {
    let measurement =
        |(name, value): &(&str, u8)| Measurement { name: (*name).to_owned(), value: vec![*value] };
    let measurements = measured.iter().map(measurement).collect();
    Claims { measurements, ..testing::claims(kind) }
}

fn nitro() -> Claims {
    let measured = [("pcr0", 0), ("pcr1", 1), ("pcr2", 2), ("pcr3", 3), ("pcr8", 8)];
    claims(EvidenceKind::Nitro, &measured)
}

#[test]
fn an_image_has_one_text() {
    for text in [
        PCR0,
        "nitro:pcr0=00,pcr1=ff,pcr10=01,pcr2=02",
        "tdx:mrtd=00ff,rtmr0=01,rtmr3=02",
        "snp:measurement=00,pcr4=01,pcr4-sha384=02",
        "sgx:isvprodid=0001,mrsigner=00",
        "tpm:pcr0=00,pcr23-sha512=01",
        "nvidia:m0=00,m253=01",
        &format!("nitro:pcr31={}", "ab".repeat(64)),
    ] {
        assert_eq!(image(text).to_string(), text);
    }
}

#[test]
fn what_is_no_image_is_named() {
    let long = format!("nitro:pcr0={}", "0".repeat(MAX_TEXT));
    let wide = format!("nitro:pcr0={}", "00".repeat(MAX_VALUE + 1));
    for (text, expected, got) in [
        ("", "KIND:NAME=HEX", "``"),
        ("nitro", "KIND:NAME=HEX", "`nitro`"),
        ("pcr0=00", "KIND:NAME=HEX", "`pcr0=00`"),
        ("Nitro:pcr0=00", "one of the kinds nitro, tdx, sgx, snp, nvidia, tpm", "`Nitro`"),
        (" nitro:pcr0=00", "one of the kinds", "` nitro`"),
        ("nitro:", "NAME=HEX", "``"),
        ("nitro:pcr0", "NAME=HEX", "`pcr0`"),
        ("nitro:pcr0=00,", "NAME=HEX", "``"),
        ("nitro:pcr0=00,,pcr1=00", "NAME=HEX", "``"),
        ("nitro:prc0=00", "the name of a measurement of kind nitro", "`prc0`"),
        ("nitro:PCR0=00", "the name of a measurement", "`PCR0`"),
        ("nitro:pcr00=00", "the name of a measurement", "`pcr00`"),
        ("nitro:pcr+1=00", "the name of a measurement", "`pcr+1`"),
        ("nitro:pcr32=00", "the name of a measurement", "`pcr32`"),
        ("nitro: pcr0=00", "the name of a measurement", "` pcr0`"),
        ("nitro:pcr0-sha384=00", "the name of a measurement", "`pcr0-sha384`"),
        ("nitro:mrtd=00", "the name of a measurement", "`mrtd`"),
        ("tpm:pcr0-sha256=00", "the name of a measurement", "`pcr0-sha256`"),
        ("tpm:pcr0-sha384-sha384=00", "the name of a measurement", "`pcr0-sha384-sha384`"),
        ("sgx:pcr0=00", "the name of a measurement", "`pcr0`"),
        ("nvidia:m254=00", "the name of a measurement", "`m254`"),
        ("nitro:pcr0=", "1 to 64 bytes in lower-case hexadecimal for `pcr0`", "``"),
        ("nitro:pcr0=0", "1 to 64 bytes", "`0`"),
        ("nitro:pcr0=FF", "1 to 64 bytes", "`FF`"),
        ("nitro:pcr0=0x00", "1 to 64 bytes", "`0x00`"),
        ("nitro:pcr0=00 ", "1 to 64 bytes", "`00 `"),
        ("nitro:pcr0=00=00", "1 to 64 bytes", "`00=00`"),
        (&wide, "1 to 64 bytes", "`0000"),
        ("nitro:pcr1=00,pcr0=00", "a name after `pcr1`", "`pcr0`"),
        ("nitro:pcr0=00,pcr0=00", "a name after `pcr0`", "`pcr0`"),
        ("nitro:pcr2=00,pcr10=00", "a name after `pcr2`", "`pcr10`"),
        (&long, "at most 4096 characters", "4107 bytes"),
    ] {
        let error = text.parse::<Image>().unwrap_err();
        assert!(error.expected.starts_with(expected), "{text}: {error}");
        assert!(error.got.starts_with(got) && error.got.len() < 80, "{text}: {error}");
    }
}

#[test]
fn an_image_names_what_has_to_be_the_same() {
    let nitro = nitro();
    for (text, matches) in [
        (PCR0, true),
        ("nitro:pcr0=00,pcr1=01,pcr2=02", true),
        ("nitro:pcr8=08", true),
        ("nitro:pcr0=01", false),
        ("nitro:pcr0=0000", false),
        ("nitro:pcr0=00,pcr1=02", false),
        // It was not measured.
        ("nitro:pcr0=00,pcr4=00", false),
        // Of another kind.
        ("tpm:pcr0=00", false),
    ] {
        assert_eq!(image(text).matches(&nitro), matches, "{text}");
    }
}

#[test]
fn what_identifies_the_code_is_told_of_each_kind() {
    let of = |kind, measured: &[&str]| {
        let measured: Vec<(&str, u8)> = measured.iter().map(|name| (*name, 7)).collect();
        let claims = claims(kind, &measured);
        let image = Image::of(&claims);
        assert!(image.as_ref().is_none_or(|image| image.matches(&claims)));
        image.map(|image| image.to_string())
    };
    let told = |text: &str| Some(text.to_owned());
    assert_eq!(Image::of(&nitro()).unwrap().to_string(), "nitro:pcr0=00,pcr1=01,pcr2=02");
    let td = ["mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mrowner", "mrseam", "xfam"];
    let code = "tdx:mrtd=07,rtmr0=07,rtmr1=07,rtmr2=07,rtmr3=07";
    assert_eq!(of(EvidenceKind::Tdx, &td), told(code));
    assert_eq!(of(EvidenceKind::Sgx, &["mrenclave", "mrsigner"]), told("sgx:mrenclave=07"));
    let guest = ["measurement", "host_data", "image_id"];
    assert_eq!(of(EvidenceKind::Snp, &guest), told("snp:measurement=07"));
    // With a TPM in the firmware, as Azure has it.
    let azure = ["measurement", "host_data", "pcr0", "pcr4"];
    assert_eq!(of(EvidenceKind::Snp, &azure), told("snp:measurement=07,pcr0=07,pcr4=07"));
    let boot = ["pcr0", "pcr4-sha384"];
    assert_eq!(of(EvidenceKind::Tpm, &boot), told("tpm:pcr0=07,pcr4-sha384=07"));
    assert_eq!(of(EvidenceKind::Nvidia, &["m0", "m1"]), None);
    assert_eq!(of(EvidenceKind::Nitro, &["pcr8"]), None);
    // Whoever runs the machine can change what runs.
    assert_eq!(Image::of(&Claims { debug: true, ..nitro() }), None);
}

#[test]
fn evidence_is_of_a_listed_image_or_refused() {
    let nitro = nitro();
    assert_eq!(images(&[]).find(&nitro), Ok(None));
    assert_eq!(Images::default().find(&nitro), Ok(None));
    let both = images(&["nitro:pcr0=01", PCR0]);
    assert_eq!(both.find(&nitro), Ok(Some(&image(PCR0))));

    let refused = |texts: &[&str]| {
        let UnlistedImage { expected, got } = images(texts).find(&nitro).unwrap_err();
        (expected, got)
    };
    let code = "nitro:pcr0=00,pcr1=01,pcr2=02";
    let (expected, got) = refused(&["nitro:pcr0=01", "tdx:mrtd=00", "nitro:pcr8=09"]);
    assert_eq!(expected, "an image of the key manifest: nitro:pcr8=09 or nitro:pcr0=01");
    assert_eq!(got, "nitro:pcr0=00,pcr8=08");
    // One that it has not measured.
    assert_eq!(refused(&["nitro:pcr4=00"]).1, "nitro without these");
    // None of its kind, and none that can be read: what it is is told, and what it should be not.
    for other in ["tdx:mrtd=00", "tpm:pcr0=00", "", "nitro:pcr0=00 ", "NITRO:pcr0=00", "pcr0"] {
        let (expected, got) = refused(&[other]);
        assert_eq!(expected, "an image of kind nitro in the key manifest", "{other}");
        assert_eq!(got, code, "{other}");
    }
    // The newest are named, and not all.
    let many: Vec<String> = (1..=9).map(|at| format!("nitro:pcr0=0{at}")).collect();
    let (expected, _) = refused(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(expected.contains("pcr0=09") && expected.contains("pcr0=06"), "{expected}");
    assert!(!expected.contains("pcr0=05"), "{expected}");
}

/// Names of measurements that evidence of a kind has.
fn names(kind: EvidenceKind) -> Vec<String> {
    let numbered = |prefix: &str, end: u8| (0..end).map(|at| format!("{prefix}{at}")).collect();
    let listed = |names: &[&[&str]]| names.concat().iter().map(ToString::to_string).collect();
    match kind {
        EvidenceKind::Nitro => numbered("pcr", PCRS),
        EvidenceKind::Tdx => listed(&[TD_CODE, TD]),
        EvidenceKind::Sgx => listed(&[SGX]),
        EvidenceKind::Snp => listed(&[SNP]),
        EvidenceKind::Nvidia => numbered("m", GPU_MEASUREMENTS),
        EvidenceKind::Tpm => numbered("pcr", PCRS)
            .into_iter()
            .flat_map(|pcr: String| [pcr.clone(), format!("{pcr}-sha384"), format!("{pcr}-sha512")])
            .collect(),
    }
}

fn any_image() -> impl Strategy<Value = Image> {
    let value = prop::collection::vec(any::<u8>(), 1..=48);
    select(EvidenceKind::ALL).prop_flat_map(move |kind| {
        let names = subsequence(names(kind), 1..=5);
        (names, prop::collection::vec(value.clone(), 5)).prop_map(move |(names, values)| {
            let measurements = names.into_iter().zip(values).collect();
            Image { kind, measurements }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_image_is_read_from_its_text(image in any_image()) {
        let text = image.to_string();
        prop_assert_eq!(text.parse::<Image>(), Ok(image));
    }

    /// Whatever is done to a text: what is read is written just so.
    #[test]
    fn no_other_text_is_read(
        image in any_image(),
        at in any::<Index>(),
        removed in 0..12_usize,
        put in "[ ,:=0-9a-fA-Fpcrmx-]{0,8}",
    ) {
        let text = image.to_string();
        let (start, rest) = text.split_at(at.index(text.len() + 1));
        let (_, end) = rest.split_at(removed.min(rest.len()));
        let changed = [start, &put, end].concat();
        if let Ok(read) = changed.parse::<Image>() {
            prop_assert_eq!(read.to_string(), changed);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        if let Ok(read) = text.parse::<Image>() {
            prop_assert_eq!(read.to_string(), text);
        }
    }
}
