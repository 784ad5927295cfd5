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

/// A software TPM, and the folder of its state, which goes with it.
#[cfg(unix)]
mod software {
    use std::path::PathBuf;

    use assay_primitives::{ModelId, Timestamp};
    use assay_receipt::{EngineUsed, EvidenceScope};

    use super::super::attester::TpmPlace;
    use super::*;
    use crate::collect::{Attester as _, CollectError};
    use crate::{
        EnclaveConfiguration, Evidence, KeyBinding, Policy, Roots, Strength, appraise,
        tpm_extra_data,
    };

    const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
    /// TPMA_NV: owner and index may write and read, outside the dictionary-attack lockout.
    const ATTRIBUTES: u32 = 1 << 1 | 1 << 2 | 1 << 17 | 1 << 18 | 1 << 25;

    struct Machine {
        // In this order they go.
        tpm: SoftwareTpm,
        place: Option<TpmPlace>,
        folder: PathBuf,
        root: SimulatedTpmRoot,
    }

    impl Machine {
        /// Starts one. Says so and returns `None` if `swtpm` is not installed.
        fn start(name: &str) -> Option<Self> {
            let name = format!("assay-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            match SoftwareTpm::start(&folder) {
                Ok((tpm, place)) => {
                    let root = SimulatedTpmRoot::generate(NOW).unwrap();
                    Some(Self { tpm, place: Some(place), folder, root })
                }
                Err(error @ CollectError::NotInstalled { .. }) => {
                    eprintln!("left out: {error}");
                    std::fs::remove_dir_all(&folder).unwrap();
                    None
                }
                Err(error) => panic!("{error}"),
            }
        }

        fn with<R>(
            &self,
            work: impl FnOnce(&mut Tpm<Box<dyn super::super::attester::Stream>>) -> R,
        ) -> R {
            self.place.as_ref().unwrap().with(|tpm| Ok(work(tpm))).unwrap()
        }

        /// Has the root certify a key of the TPM's.
        fn certify(&self, key: &Key) -> Vec<u8> {
            let key = self.with(|tpm| tpm.with_key(key, |_, _, public| public_key_of(public)));
            self.root.certify(&key.unwrap(), NOW).unwrap()
        }

        /// Defines an index of a size, and writes to its start.
        fn define(&self, index: u32, size: u16, content: &[u8]) {
            let public = [
                &index.to_be_bytes()[..],
                &SHA256,
                &ATTRIBUTES.to_be_bytes(),
                &[0, 0],
                &size.to_be_bytes(),
            ];
            let public = sized(&public.concat(), "").unwrap();
            let define = [&OWNER.to_be_bytes()[..], &EMPTY_PASSWORD, &[0, 0], &public];
            let send = |command, code, parameters: &[&[u8]]| {
                self.with(|tpm| tpm.send(command, SESSIONS, code, parameters)).unwrap();
            };
            send("TPM2_NV_DefineSpace", 0x12a, &define);
            for (at, piece) in content.chunks(512).enumerate() {
                let offset = u16::try_from(at * 512).unwrap();
                let parameters = [
                    &OWNER.to_be_bytes()[..],
                    &index.to_be_bytes(),
                    &EMPTY_PASSWORD,
                    &sized(piece, "").unwrap(),
                    &offset.to_be_bytes(),
                ];
                send("TPM2_NV_Write", 0x137, &parameters);
            }
        }

        fn open(&mut self, certificates: &[Vec<u8>]) -> Result<TpmAttester, CollectError> {
            TpmAttester::open(self.place.take().unwrap(), certificates)
        }

        fn root(&self) -> Vec<u8> {
            self.root.certificate().as_der().to_vec()
        }

        /// Asserts that an attester's evidence holds and ends at the root, and that its leaf is this.
        fn assert_attests(&self, attester: &TpmAttester, leaf: &[u8]) {
            let binding = binding();
            let evidence = attester.attest(&binding).unwrap();
            let Evidence::Tpm { ak: crate::AttestationKey::Certificates(chain), .. } = &evidence
            else {
                panic!("{evidence:?}")
            };
            assert_eq!(chain[0], leaf);
            let roots = Roots::vendors().with_development(self.root.certificate().clone());
            let policy = Policy { min_strength: Some(Strength::MeasuredBoot), ..Policy::default() };
            let attested = appraise(&evidence, &roots, &policy, NOW).unwrap();
            let extra_data = tpm_extra_data(&binding.digest());
            assert_eq!(attested.user_data.as_deref(), Some(&extra_data[..]));
            assert!(attested.is_simulated());
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            drop(self.place.take());
            let _ = self.tpm.wait();
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    fn binding() -> KeyBinding {
        KeyBinding {
            epoch_key: vec![1, 2, 3],
            hpke_key: None,
            tls_key: None,
            not_before: NOW,
            not_after: NOW,
            configuration: EnclaveConfiguration {
                engine: EngineUsed { name: "tract".to_owned(), version: "0".to_owned() },
                models: Vec::<ModelId>::new(),
                scope: EvidenceScope::Model,
            },
            beacon: None,
            nonce: None,
        }
    }

    #[test]
    fn googles_key_is_made_of_its_template() {
        let Some(mut machine) = Machine::start("google") else { return };
        let key = Key::Endorsement(TEMPLATE.to_vec());
        let leaf = machine.certify(&key);
        assert_ne!(leaf, machine.certify(&Key::Own));
        // Longer than is read at a time, and zeros behind the certificate.
        machine.define(0x01c1_0002, 1200, &[&leaf[..], &[0; 1200]].concat()[..1200]);
        machine.define(0x01c1_0003, 24, &TEMPLATE);
        let attester = machine.open(&[machine.root()]).unwrap();
        assert_eq!(attester.key, key);
        machine.assert_attests(&attester, &leaf);
    }

    #[test]
    fn azures_key_stays_in_the_tpm() {
        let Some(mut machine) = Machine::start("azure") else { return };
        let leaf = machine.certify(&Key::Own);
        machine.define(0x01c1_01d0, 2048, &[&leaf[..], &[0; 2048]].concat()[..2048]);
        machine
            .with(|tpm| {
                tpm.with_key(&Key::Own, |tpm, handle, _| {
                    let handle = handle.to_be_bytes();
                    let persistent = 0x8100_0003_u32.to_be_bytes();
                    let owner = OWNER.to_be_bytes();
                    let parameters = [&owner[..], &handle, &EMPTY_PASSWORD, &persistent];
                    tpm.send("TPM2_EvictControl", SESSIONS, 0x120, &parameters)
                })
            })
            .unwrap();
        let attester = machine.open(&[machine.root()]).unwrap();
        assert_eq!(attester.key, Key::Persistent(0x8100_0003));
        machine.assert_attests(&attester, &leaf);
    }

    #[test]
    fn a_key_without_a_certificate_is_shown_to_be_certified() {
        let Some(mut machine) = Machine::start("bare") else { return };
        let key = machine.with(Tpm::own_key).unwrap();
        let place = machine.place.as_ref().unwrap();
        let TpmPlace::Connection(stream) = place else { panic!("{place:?}") };
        let again = TpmPlace::Connection(stream.try_clone().unwrap());
        // An index that nothing was written to is none.
        machine.define(0x01c1_0002, 1200, &[]);
        for given in [Vec::new(), vec![machine.root()]] {
            let TpmPlace::Connection(stream) = &again else { panic!("{again:?}") };
            let place = TpmPlace::Connection(stream.try_clone().unwrap());
            let error = TpmAttester::open(place, &given).unwrap_err().to_string();
            assert!(error.contains(&assay_primitives::encoding::base64(&key)), "{error}");
        }
        drop(again);
        let leaf = machine.certify(&Key::Own);
        let attester = machine.open(&[leaf.clone(), machine.root()]).unwrap();
        machine.assert_attests(&attester, &leaf);
    }

    #[test]
    fn certificates_of_another_key_are_refused() {
        let Some(mut machine) = Machine::start("another") else { return };
        let leaf = machine.certify(&Key::Endorsement(TEMPLATE.to_vec()));
        let error = machine.open(&[leaf, machine.root()]).unwrap_err().to_string();
        assert!(error.contains("expected the first to be of the key that signs"), "{error}");
        assert!(error.contains("evidence.signature"), "{error}");
    }

    #[test]
    fn the_certificates_above_the_makers_are_missed() {
        let Some(mut machine) = Machine::start("above") else { return };
        let leaf = machine.certify(&Key::Endorsement(TEMPLATE.to_vec()));
        machine.define(0x01c1_0000, 1200, &leaf);
        machine.define(0x01c1_0001, 24, &TEMPLATE);
        let error = machine.open(&[]).unwrap_err().to_string();
        assert!(error.contains("expected those above `CN=Attestation key"), "{error}");
    }

    #[test]
    fn indexes_that_are_longer_than_any_certificate_are_not_read() {
        let long = u16::try_from((8 << 10) + 1).unwrap();
        let public = [&[0x01, 0xc1, 0, 2, 0, 0x0b, 0x20, 0x02, 0, 0][..], &[0, 0]].concat();
        let public = [&public[..], &long.to_be_bytes()].concat();
        let answer = [&sized(&public, "").unwrap()[..], &[0, 0]].concat();
        let error = tpm(&[response(0, &answer)], 4096).makers_key().unwrap_err().to_string();
        assert!(error.ends_with("index 0x01c10002 has 8193 bytes, of at most 8192"), "{error}");
    }
}
