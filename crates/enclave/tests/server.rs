//! What a server does with those who misbehave.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use assay_enclave::{Address, Answer, Client, ClientError, FailureReason, Frame, Limits};
use assay_engine::{Engine, EngineError, LoadedModel, ModelPackage};
use assay_primitives::{InferenceOutput, InferenceRequest, Tensor, TensorData};

use crate::frames::frame;
use crate::support::{LONG, World, digits, request, salts, socket};

const SHORT: Duration = Duration::from_millis(50);

fn connect(address: Address) -> TcpStream {
    let stream = TcpStream::connect(socket(address)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Waits until the server has closed the connection, and returns what it said before.
fn ended(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let mut bytes = [0; 1_024];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return said,
            Ok(count) => said.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return said,
            Err(error) => panic!("the server does not close: {error}"),
        }
    }
}

fn describe() -> Vec<u8> {
    frame(br#"{"ask":"describe"}"#, b"")
}

fn answer(stream: &mut TcpStream) -> Answer {
    Frame::<Answer>::read(stream).unwrap().header
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    let world = World::new();
    let address = world.serve();
    let client = Client::new(address, LONG);
    client.describe().unwrap();
    for garbage in [
        b"GET / HTTP/1.1\r\nHost: enclave\r\n\r\n".to_vec(),
        vec![0xff; 64],
        [&[0, 1, 0, 1, 0, 0, 0, 0][..], &[0; 100]].concat(),
        [&[0, 0, 0, 2, 4, 0, 0, 1][..], b"{}"].concat(),
    ] {
        let mut stream = connect(address);
        stream.write_all(&garbage).unwrap();
        assert_eq!(ended(stream), b"");
        client.describe().unwrap();
    }
}

#[test]
fn who_breaks_off_is_forgotten() {
    let world = World::new();
    let address = world.serve();
    let whole = describe();
    for end in 0..whole.len() {
        let mut stream = connect(address);
        stream.write_all(&whole[..end]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(ended(stream), b"");
    }
    // Who asks and does not wait for the answer.
    for _ in 0..20 {
        let mut stream = connect(address);
        stream.write_all(&whole).unwrap();
    }
    Client::new(address, LONG).describe().unwrap();
}

/// A gateway of another version is told what is not understood, and can go on.
#[test]
fn what_is_not_understood_is_said() {
    let world = World::new();
    let mut stream = connect(world.serve());
    for header in ["{}", r#"{"ask":"more"}"#, r#"{"ask":"describe","more":1}"#, "\u{1b}[2J"] {
        stream.write_all(&frame(header.as_bytes(), b"body")).unwrap();
        let Answer::Failed { reason, detail } = answer(&mut stream) else { panic!("{header}") };
        assert_eq!(reason, FailureReason::Request);
        assert!(detail.starts_with("frame header: ") && !detail.contains('\u{1b}'), "{detail}");
        stream.write_all(&describe()).unwrap();
        assert!(matches!(answer(&mut stream), Answer::Description(_)));
    }
}

#[test]
fn questions_may_come_before_their_answers() {
    let world = World::new();
    let mut stream = connect(world.serve());
    let asked = [describe(), frame(br#"{"ask":"attestation"}"#, b""), describe()].concat();
    stream.write_all(&asked).unwrap();
    assert!(matches!(answer(&mut stream), Answer::Description(_)));
    assert!(matches!(answer(&mut stream), Answer::Attestation));
    assert!(matches!(answer(&mut stream), Answer::Description(_)));
}

#[test]
fn a_frame_has_to_come_in_time() {
    let world = World::new();
    let address = world.serve_with(Limits { frame: SHORT, ..Limits::default() });
    let whole = describe();
    // Begun, and then nothing.
    for end in [1, 8, whole.len() - 1] {
        let mut stream = connect(address);
        stream.write_all(&whole[..end]).unwrap();
        assert_eq!(ended(stream), b"");
    }
    // A little at a time, for ever.
    let mut stream = connect(address);
    let start = [18_u32.to_be_bytes(), (64_u32 << 20).to_be_bytes()].concat();
    stream.write_all(&[&start, &whole[8..]].concat()).unwrap();
    let mut count = 0;
    while stream.write_all(b"x").is_ok() {
        thread::sleep(Duration::from_millis(1));
        count += 1;
        assert!(count < 100_000, "it is still listened to");
    }
}

#[test]
fn an_answer_has_to_be_taken_in_time() {
    let world = World::new();
    let address = world.serve_with(Limits { frame: SHORT, ..Limits::default() });
    let mut stream = connect(address);
    // More answers than fit into the buffers between, and nobody who reads them.
    let ask = frame(br#"{"ask":"attestation"}"#, b"");
    let mut count = 0;
    while stream.write_all(&ask).is_ok() {
        count += 1;
        assert!(count < 1_000_000, "it is still answered");
    }
}

#[test]
fn an_idle_connection_is_closed_and_a_client_does_not_mind() {
    let world = World::new();
    let address = world.serve_with(Limits { idle: 6 * SHORT, ..Limits::default() });
    let client = Client::new(address, LONG);
    for _ in 0..3 {
        client.describe().unwrap();
        // Opened after the client's, which is closed before it.
        let mut stream = connect(address);
        stream.write_all(&describe()).unwrap();
        assert!(!ended(stream).is_empty());
    }
    let request = request(digits()).to_bytes().unwrap();
    client.infer(digits().id(), salts(), request).unwrap();
}

#[test]
fn there_are_so_many_connections_and_no_more() {
    const MOST: usize = 32;
    let world = World::new();
    let address = world.serve_with(Limits { connections: MOST, ..Limits::default() });
    for _ in 0..2 {
        let mut kept = Vec::new();
        for _ in 0..1_000 {
            let mut stream = connect(address);
            // One that is refused may be closed before this is written.
            let answered =
                stream.write_all(&describe()).is_ok() && Frame::<Answer>::read(&mut stream).is_ok();
            if answered {
                kept.push(stream);
            }
            assert!(kept.len() <= MOST);
        }
        assert_eq!(kept.len(), MOST);
        // Those that are there are answered as before.
        for stream in &mut kept {
            stream.write_all(&describe()).unwrap();
            assert!(matches!(answer(stream), Answer::Description(_)));
        }
        drop(kept);
        // And their places are free when their threads have ended.
        let client = Client::new(address, LONG);
        let tries = (0..10_000).take_while(|_| {
            thread::sleep(Duration::from_millis(1));
            client.describe().is_err()
        });
        assert!(tries.count() < 10_000);
    }
}

/// An engine that does what a test wants, and counts.
#[derive(Debug)]
struct Odd {
    run: fn() -> InferenceOutput,
    count: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct OddModel(fn() -> InferenceOutput, Arc<AtomicUsize>);

impl Engine for Odd {
    fn name(&self) -> &'static str {
        "odd"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn load(&self, _: &ModelPackage) -> Result<Arc<dyn LoadedModel>, EngineError> {
        Ok(Arc::new(OddModel(self.run, self.count.clone())))
    }
}

impl LoadedModel for OddModel {
    fn run(&self, _: &InferenceRequest) -> Result<InferenceOutput, EngineError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok((self.0)())
    }
}

fn odd(run: fn() -> InferenceOutput) -> (Client, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let world = World::with(&Odd { run, count: count.clone() });
    (world.client(), count)
}

/// An output that is longer than a frame may be: 4 Mi times 20 digits.
fn long() -> InferenceOutput {
    let data = TensorData::Int64(vec![i64::MIN; 4 << 20]);
    InferenceOutput { outputs: vec![Tensor::new("long".to_owned(), vec![4 << 20], data).unwrap()] }
}

#[test]
fn an_answer_that_is_too_long_is_said_to_be() {
    let (client, count) = odd(long);
    let request = request(digits()).to_bytes().unwrap();
    client.describe().unwrap();
    match client.infer(digits().id(), salts(), request) {
        Err(ClientError::Failed { reason, detail, .. }) => {
            assert_eq!(reason, FailureReason::Internal);
            assert!(detail.contains("frame body"), "{detail}");
        }
        other => panic!("{:?}", other.map(|inferred| inferred.output.len())),
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// What breaks a connection is not run on each that a client has.
#[test]
fn a_model_that_panics_ends_one_connection() {
    let (client, count) = odd(|| panic!("of the test"));
    // Several connections, all idle.
    let ask = || client.describe().unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(ask);
        }
    });
    let request = request(digits()).to_bytes().unwrap();
    let failed = client.infer(digits().id(), salts(), request).unwrap_err();
    assert!(matches!(failed, ClientError::Frame { .. }), "{failed}");
    assert!(count.load(Ordering::SeqCst) <= 2);
    ask();
}
