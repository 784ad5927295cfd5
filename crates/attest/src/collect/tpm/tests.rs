use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// Answers each command with the next response, in pieces, and keeps what it was sent.
struct Script {
    responses: VecDeque<Vec<u8>>,
    reading: VecDeque<u8>,
    piece: usize,
    sent: Vec<Vec<u8>>,
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.piece.min(buffer.len()).min(self.reading.len());
        for (to, from) in buffer.iter_mut().zip(self.reading.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent.push(bytes.to_vec());
        self.reading = self.responses.pop_front().unwrap_or_default().into();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tpm(responses: &[Vec<u8>], piece: usize) -> Tpm<Script> {
    let responses = responses.iter().cloned().collect();
    Tpm::new(Script { responses, reading: VecDeque::new(), piece, sent: Vec::new() })
}

fn response(code: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(10 + body.len()).unwrap();
    [&[0x80, 1], &size.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

#[test]
fn a_command_is_one_write_and_a_response_any_number_of_reads() {
    for piece in [1, 9, 10, 4096] {
        let mut tpm = tpm(&[response(0, &[])], piece);
        tpm.start().unwrap();
        let sent = [0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0];
        assert_eq!(tpm.connection.sent, [sent]);
    }
}

#[test]
fn a_tpm_that_was_started_is_started() {
    assert!(tpm(&[response(IS_STARTED, &[])], 10).start().is_ok());
    let error = tpm(&[response(0x101, &[])], 10).start().unwrap_err();
    assert_eq!(error.to_string(), "TPM2_Startup: the TPM answered with 0x101");
}

#[test]
fn responses_are_bounded() {
    let short = response(0, &[])[..9].to_vec();
    let mut longer = response(0, &[]);
    longer.push(0);
    let mut huge = response(0, &[0; 10]);
    huge[3] = 1;
    let mut small = response(0, &[]);
    small[5] = 9;
    for wrong in [Vec::new(), short, longer, huge, small] {
        let error = tpm(&[wrong], 4096).start().unwrap_err();
        assert!(matches!(error, TpmError::Broken { command: "TPM2_Startup", .. }), "{error}");
    }
}

#[test]
fn what_was_looked_for_is_named() {
    let error = Tpm::open(Path::new("/nowhere/tpmrm0")).unwrap_err();
    assert!(error.to_string().starts_with("no TPM at /nowhere/tpmrm0: "), "{error}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Tpm::connect(nobody).unwrap_err();
    assert!(error.to_string().starts_with(&format!("no TPM at {nobody}: ")), "{error}");
}

#[test]
fn pcrs_that_are_none_are_refused() {
    for pcrs in [&[][..], &[24], &[0, 255]] {
        let error = tpm(&[], 1).quote(pcrs, b"").unwrap_err();
        assert!(matches!(error, TpmError::Pcrs { .. }), "{error}");
    }
}

#[test]
fn pcrs_that_the_tpm_does_not_give_are_named() {
    let none = [&[0; 4][..], &[0, 0, 0, 0], &[0, 0, 0, 0]].concat();
    let other = [&[0; 4][..], &[0, 0, 0, 1, 0, 0x0b, 3, 2, 0, 0], &[0, 0, 0, 1, 0, 1, 0]].concat();
    for answer in [none, other] {
        let selection = Selection::of(&[0]).unwrap();
        let error = tpm(&[response(0, &answer)], 4096).read_pcrs(&selection).unwrap_err();
        assert_eq!(error.to_string(), "PCRs [0] of SHA-256: the TPM does not have them");
    }
}

#[test]
fn a_selection_is_as_the_specification_writes_it() {
    let selection = Selection::of(&[7, 0, 16, 7]).unwrap();
    assert_eq!(selection.list(), [0, 0, 0, 1, 0, 0x0b, 3, 0x81, 0, 1]);
    let list = selection.list();
    assert_eq!(Selection::parse(&mut Reader::new(&list)).unwrap().pcrs, [0, 7, 16]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn answers_never_panic(
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 4),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let responses: Vec<Vec<u8>> = bodies.iter().map(|body| response(0, body)).collect();
        let _ = tpm(&responses, 4096).quote(&[0, 7], b"data");
        let _ = tpm(&responses, 4096).read_pcrs(&Selection::of(&[0, 7]).unwrap());
        let _ = tpm(&[bytes], 4096).quote(&[0], b"data");
    }
}
