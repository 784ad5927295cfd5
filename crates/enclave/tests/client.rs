//! What a client does with enclaves that misbehave.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use assay_enclave::{Address, Answer, Ask, Client, ClientError, FailureReason, Frame, FrameError};
use assay_primitives::{Digest, KeyId, ModelId};
use assay_receipt::SignedEnclaveStatement;

use crate::frames::frame;
use crate::support::{LONG, NOW, World, digits, request, salts};

const SHORT: Duration = Duration::from_millis(50);
const MODEL: ModelId = ModelId(Digest([1; 32]));
const KEY: KeyId = KeyId(Digest([2; 32]));

/// Starts an enclave that does with each connection what a test wants, and counts them.
fn fake(run: impl Fn(&mut TcpStream) + Send + 'static) -> (Address, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            run(&mut stream.unwrap());
        }
    });
    (address, count)
}

/// Reads what is asked; `None` at the end.
fn asked(stream: &mut TcpStream) -> Option<Frame<Ask>> {
    Frame::read(stream).ok()
}

/// Starts an enclave that answers every question with the same bytes, and closes.
fn answering(bytes: Vec<u8>) -> Client {
    let (address, _) = fake(move |stream| {
        asked(stream);
        // A client that has read enough closes.
        let _ = stream.write_all(&bytes);
    });
    Client::new(address, LONG)
}

fn answer(header: &Answer) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame { header: header.clone(), body: b"body".to_vec() }.write(&mut bytes).unwrap();
    bytes
}

fn infer(client: &Client) -> Result<(), ClientError> {
    client.infer(MODEL, salts(), b"{}".to_vec()).map(|_| ())
}

#[track_caller]
fn frame_error<T: std::fmt::Debug>(result: Result<T, ClientError>) -> FrameError {
    match result {
        Err(ClientError::Frame { error, .. }) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn garbage_is_no_answer() {
    for garbage in [b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), vec![0xff; 100], vec![0; 100]] {
        let error = frame_error(answering(garbage).describe());
        assert!(matches!(error, FrameError::Length { .. } | FrameError::Header(_)), "{error}");
    }
    for header in ["", "{}", r#"{"answer":"more"}"#, r#"{"answer":"attestation","more":1}"#] {
        let error = frame_error(answering(frame(header.as_bytes(), b"")).attestation());
        assert!(matches!(error, FrameError::Header(_)), "{header}: {error}");
    }
}

#[test]
fn another_answer_is_not_taken_for_the_one_that_was_asked_for() {
    let inferred = Answer::Inferred { output_length: 1, key: KEY };
    let got = |error: ClientError| match error {
        ClientError::Answer { expected, got, .. } => (expected, got),
        other => panic!("{other}"),
    };
    let other = |header: &Answer| answering(answer(header));
    let (expected, _) = got(other(&inferred).describe().unwrap_err());
    assert_eq!(expected, "a description");
    for error in [
        other(&inferred).attestation().unwrap_err(),
        other(&inferred).attestation_of(KEY).unwrap_err(),
        other(&inferred).attest(b"nonce").unwrap_err(),
    ] {
        assert_eq!(got(error).0, "an attestation");
    }
    let (expected, text) = got(infer(&other(&Answer::Attestation)).unwrap_err());
    assert_eq!((expected, text.as_str()), ("an inference", "Attestation"));
    // However long it is, little of it is repeated.
    let description = World::new().ask(Ask::Describe, b"").header;
    let Answer::Description(mut description) = description else { panic!() };
    description.version = "\u{202e}".repeat(10_000);
    let (_, text) = got(infer(&other(&Answer::Description(description))).unwrap_err());
    assert!(text.len() < 8_192 && !text.contains('\u{202e}'), "{}", text.len());
}

#[test]
fn what_an_enclave_says_of_itself_is_shown_without_its_effects() {
    let detail = format!("\u{1b}[2Jall is well\n{}", "x".repeat(60_000));
    let header = Answer::Failed { reason: FailureReason::Engine, detail };
    let error = infer(&answering(answer(&header))).unwrap_err();
    let text = error.to_string();
    assert!(text.len() < 1_024 && !text.contains(['\u{1b}', '\n']), "{text}");
    assert!(matches!(error, ClientError::Failed { reason: FailureReason::Engine, .. }));
}

#[test]
fn lengths_that_lie_are_found_out() {
    let lengths = |header: u32, body: u32| [header.to_be_bytes(), body.to_be_bytes()].concat();
    let header = br#"{"answer":"attestation"}"#.as_slice();
    let length = u32::try_from(header.len()).unwrap();
    // As long as may be, but it does not come.
    let start = [lengths(length, 64 << 20), header.to_vec(), vec![7; 100]].concat();
    let error = frame_error(answering(start).attestation());
    assert!(matches!(error, FrameError::Io(_)), "{error}");
    // Longer.
    for (header_length, body_length) in [(length, (64 << 20) + 1), ((64 << 10) + 1, 0)] {
        let start = [lengths(header_length, body_length), header.to_vec()].concat();
        let error = frame_error(answering(start).attestation());
        assert!(matches!(error, FrameError::Length { .. }), "{error}");
    }
    // An output that is longer than what it is in.
    for output_length in [5, u64::MAX] {
        let client = answering(answer(&Answer::Inferred { output_length, key: KEY }));
        let error = infer(&client).unwrap_err();
        assert!(matches!(error, ClientError::Answer { .. }), "{error}");
    }
    let client = answering(answer(&Answer::Inferred { output_length: 4, key: KEY }));
    let inferred = client.infer(MODEL, salts(), b"{}".to_vec()).unwrap();
    assert_eq!(
        (inferred.output.as_slice(), inferred.statement.as_slice()),
        (&b"body"[..], &b""[..])
    );
}

#[test]
fn an_answer_that_breaks_off_is_none() {
    let whole = answer(&Answer::Attestation);
    for end in 1..whole.len() {
        let error = frame_error(answering(whole[..end].to_vec()).attestation());
        assert!(matches!(error, FrameError::Io(_)), "{end}: {error}");
    }
    let error = frame_error(answering(Vec::new()).attestation());
    assert!(matches!(error, FrameError::Ended), "{error}");
}

fn is_late(error: &FrameError) -> bool {
    matches!(error, FrameError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

#[test]
fn an_answer_has_to_come_in_time() {
    // Never.
    let (address, count) = fake(|stream| {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
    });
    let client = Client::new(address, SHORT);
    let error = frame_error(client.describe());
    assert!(is_late(&error), "{error}");
    assert_eq!(error.to_string(), "connection: it took too long");
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // A little at a time, for ever.
    let (address, _) = fake(|stream| {
        asked(stream);
        let start = [24_u32.to_be_bytes(), (64_u32 << 20).to_be_bytes()].concat();
        let _ = stream.write_all(&[&start, &br#"{"answer":"attestation"}"#[..]].concat());
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let error = frame_error(Client::new(address, SHORT).attestation());
    assert!(is_late(&error), "{error}");
}

#[test]
fn a_question_has_to_be_taken_in_time() {
    let (address, _) = fake(|stream| {
        // Nothing is read until the client has gone.
        let mut byte = [0];
        while stream.peek(&mut byte).is_ok_and(|count| count > 0) {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let client = Client::new(address, SHORT);
    let error = frame_error(client.infer(MODEL, salts(), vec![0; 64 << 20]));
    assert!(is_late(&error), "{error}");
}

#[test]
fn an_enclave_that_is_not_there_is_named() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    drop(listener);
    let error = Client::new(address, LONG).describe().unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()));
}

/// One that has closed meanwhile is replaced, without a word and once.
#[test]
fn a_connection_that_was_idle_is_replaced_once() {
    // Each connection answers one question.
    let (address, count) = fake(|stream| {
        asked(stream);
        stream.write_all(&answer(&Answer::Attestation)).unwrap();
    });
    let client = Client::new(address, LONG);
    for _ in 0..5 {
        assert_eq!(client.attestation().unwrap(), b"body");
    }
    assert_eq!(count.load(Ordering::SeqCst), 5);
}

#[test]
fn a_question_that_ends_connections_is_asked_twice_at_most() {
    let questions = Arc::new(AtomicUsize::new(0));
    let counted = questions.clone();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, counted) = (stream.unwrap(), counted.clone());
            thread::spawn(move || {
                while let Some(frame) = asked(&mut stream) {
                    if matches!(frame.header, Ask::Infer { .. }) {
                        counted.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                    // So that each of the threads has a connection of its own.
                    thread::sleep(SHORT);
                    stream.write_all(&answer(&Answer::Attestation)).unwrap();
                }
            });
        }
    });
    let client = Client::new(address, LONG);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| client.attestation().unwrap());
        }
    });
    assert!(matches!(frame_error(infer(&client)), FrameError::Ended));
    assert_eq!(questions.load(Ordering::SeqCst), 2);
    // With no connection that could have been closed meanwhile, once.
    assert!(matches!(frame_error(infer(&client)), FrameError::Ended));
    assert_eq!(questions.load(Ordering::SeqCst), 3);
}

/// What comes unasked is not taken for the answer to the next question.
#[test]
fn a_connection_on_which_more_came_is_not_used_again() {
    let mut twice = answer(&Answer::Attestation);
    twice.extend(answer(&Answer::Failed { reason: FailureReason::Engine, detail: String::new() }));
    let (address, count) = fake(move |stream| {
        asked(stream);
        stream.write_all(&twice).unwrap();
    });
    let client = Client::new(address, LONG);
    for number in 1..=3 {
        assert_eq!(client.attestation().unwrap(), b"body");
        assert_eq!(count.load(Ordering::SeqCst), number);
    }
}

/// The client carries bytes: it is the key that the attestation is for that decides.
#[test]
fn an_attestation_of_another_key_does_not_stand_for_the_statement() {
    let (world, other) = (World::new(), World::new());
    other.clock.set(NOW.plus(Duration::from_secs(1_801)));
    let bytes = request(digits()).to_bytes().unwrap();
    let inferred = world.client().infer(digits().id(), salts(), bytes).unwrap();
    let (address, _) = fake({
        let file = other.client().attestation().unwrap();
        move |stream| {
            asked(stream);
            Frame { header: Answer::Attestation, body: file.clone() }.write(stream).unwrap();
        }
    });
    let file = Client::new(address, LONG).attestation_of(inferred.key).unwrap();
    let key = other.appraise(&file, NOW.plus(Duration::from_secs(1_801))).unwrap();
    assert_ne!(key.key().id(), inferred.key);
    let statement = SignedEnclaveStatement::from_bytes(&inferred.statement).unwrap();
    assert!(statement.verify(key.key()).is_err());
    // Nor does it under the root of its own enclave.
    assert!(world.appraise(&file, NOW).is_err());
}
