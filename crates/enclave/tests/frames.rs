//! What goes between the two ends.

use std::io::{self, Read};

use assay_enclave::{Answer, Ask, Description, FailureReason, Frame, FrameError};
use assay_primitives::{Digest, KeyId, ModelId};
use assay_receipt::TransactionSecret;
use proptest::prelude::*;

use crate::support::World;

pub(crate) fn frame(header: &[u8], body: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length(header)[..], &length(body), header, body].concat()
}

fn written<T: serde::Serialize>(frame: &Frame<T>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.write(&mut bytes).unwrap();
    bytes
}

fn read<T: serde::de::DeserializeOwned + serde::Serialize>(
    bytes: &[u8],
) -> Result<Frame<T>, FrameError> {
    Frame::read(&mut &bytes[..])
}

#[test]
fn the_bytes_of_a_frame() {
    let asked = Frame { header: Ask::Describe, body: b"body".to_vec() };
    let expected = frame(br#"{"ask":"describe"}"#, b"body");
    assert_eq!(written(&asked), expected);
    assert_eq!(expected[..8], [0, 0, 0, 18, 0, 0, 0, 4]);
    let key = KeyId(Digest([3; 32]));
    let hex = "03".repeat(32);
    let answer = Frame { header: Answer::Inferred { output_length: 5, key }, body: Vec::new() };
    let header = format!(r#"{{"answer":"inferred","outputLength":5,"key":"{hex}"}}"#);
    assert_eq!(written(&answer), frame(header.as_bytes(), b""));
    let asked = Frame { header: Ask::AttestationOf { key }, body: Vec::new() };
    let header = format!(r#"{{"ask":"attestationOf","key":"{hex}"}}"#);
    assert_eq!(written(&asked), frame(header.as_bytes(), b""));
}

#[test]
fn headers_have_one_spelling() {
    for header in [
        "",
        "{}",
        "null",
        r#"{"ask":"more"}"#,
        r#"{"ask":"describe","more":1}"#,
        r#"{"ask":"describe","ask":"describe"}"#,
        r#"{"ask":"describe"} "#,
        r#"{"ask": "describe"}"#,
        r#"{"answer":"attestation"}"#,
        r#"{"ask":"infer"}"#,
        r#"{"ask":"attestationOf","key":""}"#,
    ] {
        let read = read::<Ask>(&frame(header.as_bytes(), b"body"));
        assert!(matches!(read, Err(FrameError::Header(_))), "{header}: {read:?}");
    }
    // What comes after one that is not understood is.
    let mut two = &[frame(b"{}", b"body"), frame(br#"{"ask":"describe"}"#, b"")].concat()[..];
    assert!(matches!(Frame::<Ask>::read(&mut two), Err(FrameError::Header(_))));
    assert_eq!(Frame::<Ask>::read(&mut two).unwrap().header, Ask::Describe);
    assert!(matches!(Frame::<Ask>::read(&mut two), Err(FrameError::Ended)));
}

#[test]
fn a_frame_that_breaks_off_is_none() {
    let whole = frame(br#"{"ask":"describe"}"#, b"body");
    assert!(matches!(read::<Ask>(b""), Err(FrameError::Ended)));
    for end in 1..whole.len() {
        match read::<Ask>(&whole[..end]) {
            Err(FrameError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof),
            other => panic!("{end}: {other:?}"),
        }
    }
}

/// Gives a few bytes, then nothing, and remembers how much room it was offered.
struct Liar<'a> {
    bytes: &'a [u8],
    offered: usize,
}

impl Read for Liar<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.offered = self.offered.max(to.len());
        self.bytes.read(to)
    }
}

#[test]
fn lengths_that_lie_cost_nothing() {
    let (header, body) = (64 << 10, 64 << 20);
    let start = |header: u32, body: u32| [header.to_be_bytes(), body.to_be_bytes()].concat();
    for (lengths, part) in [
        ((header + 1, 0), "header"),
        ((u32::MAX, u32::MAX), "header"),
        ((2, body + 1), "body"),
        ((2, u32::MAX), "body"),
    ] {
        let bytes = [start(lengths.0, lengths.1), b"{}".to_vec()].concat();
        match read::<Ask>(&bytes) {
            Err(FrameError::Length { part: got, .. }) => assert_eq!(got, part),
            other => panic!("{lengths:?}: {other:?}"),
        }
    }
    // As long as they may be: what comes decides what is allocated.
    let ask = br#"{"ask":"describe"}"#;
    let bytes = [start(u32::try_from(ask.len()).unwrap(), body), ask.to_vec(), vec![7; 1_000]];
    let bytes = bytes.concat();
    let mut liar = Liar { bytes: &bytes, offered: 0 };
    assert!(matches!(Frame::<Ask>::read(&mut liar), Err(FrameError::Io(_))));
    assert!(liar.offered <= 64 << 10, "{}", liar.offered);
}

#[test]
fn what_is_too_long_is_not_written() {
    let mut to = Vec::new();
    let asked = Frame { header: Ask::Describe, body: vec![0; (64 << 20) + 1] };
    let error = asked.write(&mut to).unwrap_err();
    assert!(matches!(error, FrameError::Length { part: "body", got: 67_108_865, .. }), "{error}");
    let detail = "x".repeat(64 << 10);
    let header = Answer::Failed { reason: FailureReason::Internal, detail };
    let error = Frame { header, body: Vec::new() }.write(&mut to).unwrap_err();
    assert!(matches!(error, FrameError::Length { part: "header", .. }), "{error}");
    assert!(to.is_empty());
    // To the last byte.
    let asked = Frame { header: Ask::Describe, body: vec![0; 64 << 20] };
    assert!(read::<Ask>(&written(&asked)).unwrap() == asked);
}

#[test]
fn what_is_said_of_an_error_is_short() {
    let world = World::new();
    for body in
        [vec![b'['; 1 << 20], vec![0x1b; 1 << 20], format!("\"{}\"", "x".repeat(1 << 20)).into()]
    {
        let model = crate::support::digits().id();
        let [request_salt, output_salt] = crate::support::salts();
        let answer = world.ask(Ask::Infer { model, request_salt, output_salt }, &body);
        let Answer::Failed { detail, .. } = answer.header else { panic!() };
        assert!(detail.len() < 1_024, "{}", detail.len());
    }
}

fn asks() -> impl Strategy<Value = Ask> {
    let digests = || any::<[u8; 32]>();
    prop_oneof![
        Just(Ask::Describe),
        Just(Ask::Attestation),
        Just(Ask::Attest),
        digests().prop_map(|key| Ask::AttestationOf { key: KeyId(Digest(key)) }),
        (digests(), digests()).prop_map(|(model, secret)| {
            let secret = TransactionSecret::from_bytes(secret);
            Ask::Infer {
                model: ModelId(Digest(model)),
                request_salt: secret.request_salt(0),
                output_salt: secret.output_salt(0),
            }
        }),
    ]
}

fn answers() -> impl Strategy<Value = Answer> {
    let description = World::new().ask(Ask::Describe, b"").header;
    let Answer::Description(Description { configuration, .. }) = description else { panic!() };
    let described = move |version| {
        Answer::Description(Description { configuration: configuration.clone(), version })
    };
    prop_oneof![
        ".*".prop_map(described),
        Just(Answer::Attestation),
        (any::<u64>(), any::<[u8; 32]>()).prop_map(|(output_length, key)| Answer::Inferred {
            output_length,
            key: KeyId(Digest(key)),
        }),
        ".*".prop_map(|detail| Answer::Failed { reason: FailureReason::Engine, detail }),
    ]
}

/// A reader that gives what it has in pieces of any length.
struct Pieces<'a>(&'a [u8], Vec<usize>);

impl Read for Pieces<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let most = self.1.pop().unwrap_or(usize::MAX).clamp(1, to.len().max(1)).min(to.len());
        self.0.read(&mut to[..most])
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        header in asks(),
        body in prop::collection::vec(any::<u8>(), 0..256),
        pieces in prop::collection::vec(1..9_usize, 0..64),
    ) {
        let asked = Frame { header, body };
        let bytes = [written(&asked), b"next".to_vec()].concat();
        let mut from = Pieces(&bytes, pieces);
        prop_assert_eq!(Frame::<Ask>::read(&mut from).unwrap(), asked);
        prop_assert_eq!(from.0, b"next");
    }

    #[test]
    fn what_is_answered_is_read(answers in prop::collection::vec(answers(), 1..4)) {
        let frames: Vec<Frame<Answer>> =
            answers.into_iter().map(|header| Frame { header, body: vec![1, 2] }).collect();
        let bytes: Vec<u8> = frames.iter().flat_map(written).collect();
        let mut from = &bytes[..];
        for frame in frames {
            prop_assert_eq!(Frame::<Answer>::read(&mut from).unwrap(), frame);
        }
        prop_assert!(from.is_empty());
    }

    #[test]
    fn arbitrary_bytes_are_no_frame(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(read::<Ask>(&bytes).is_err());
        prop_assert!(read::<Answer>(&bytes).is_err());
    }

    #[test]
    fn arbitrary_headers_are_refused_or_spelt_so(header in "\\{\"ask\":\"[a-zA-Z]{0,9}\"[,:\"a-z0-9]{0,9}\\}") {
        if let Ok(asked) = read::<Ask>(&frame(header.as_bytes(), b"")) {
            prop_assert_eq!(written(&asked), frame(header.as_bytes(), b""));
        }
    }

    #[test]
    fn a_frame_that_was_changed_is_refused_or_another(
        header in asks(),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let asked = Frame { header, body: b"body".to_vec() };
        let mut bytes = written(&asked);
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        if let Ok(read) = read::<Ask>(&bytes) {
            prop_assert_ne!(read, asked);
        }
    }
}
