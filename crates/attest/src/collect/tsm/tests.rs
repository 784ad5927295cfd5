use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use assay_primitives::{ModelId, Timestamp};
use assay_receipt::{EngineUsed, EvidenceScope};

use super::*;
use crate::EnclaveConfiguration;

const VCEK: [u8; 16] = [
    0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd,
];
const ASK: [u8; 16] = [
    0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82,
];
const ARK: [u8; 16] = [
    0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae,
];

/// A kernel that answers as Linux does.
#[derive(Debug, Default)]
struct Fake(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    provider: &'static str,
    auxblob: Option<Vec<u8>>,
    /// `outblob` does not end.
    endless: bool,
    /// How many names are taken.
    taken: u32,
    /// How often somebody else writes to the entry before its report is read.
    intrusions: u32,
    /// The generation and `inblob` of each entry.
    entries: BTreeMap<String, (u64, Vec<u8>)>,
    made: u32,
}

impl Fake {
    fn new(provider: &'static str, auxblob: Option<Vec<u8>>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { provider, auxblob, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Asserts that the entries that were made are gone.
    #[track_caller]
    fn assert_left_clean(&self, made: u32) {
        let state = self.state();
        assert_eq!((state.made, state.entries.len()), (made, 0));
    }
}

impl ConfigFs for Fake {
    fn path(&self, name: &str) -> PathBuf {
        Path::new("/tsm").join(name)
    }

    fn make(&self, entry: &str) -> io::Result<()> {
        let mut state = self.state();
        if state.taken > 0 {
            state.taken -= 1;
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.made += 1;
        let before = state.entries.insert(entry.to_owned(), (7, Vec::new()));
        assert!(before.is_none());
        Ok(())
    }

    fn remove(&self, entry: &str) -> io::Result<()> {
        self.state().entries.remove(entry).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn write(&self, attribute: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let entry = attribute.strip_suffix("/inblob").unwrap();
        let is_intruded = state.intrusions > 0;
        state.intrusions = state.intrusions.saturating_sub(1);
        let (generation, inblob) = state.entries.get_mut(entry).unwrap();
        (*generation, *inblob) = (*generation + 1, bytes.to_vec());
        if is_intruded {
            (*generation, *inblob) = (*generation + 1, vec![0xee; 64]);
        }
        Ok(())
    }

    fn open(&self, attribute: &str) -> io::Result<Box<dyn Read>> {
        let state = self.state();
        let (entry, attribute) = attribute.split_once('/').unwrap();
        let (generation, inblob) = state.entries.get(entry).ok_or(io::ErrorKind::NotFound)?;
        let content = match attribute {
            "generation" => format!("{generation}\n").into_bytes(),
            "provider" => format!("{}\n", state.provider).into_bytes(),
            "outblob" if state.endless => return Ok(Box::new(io::repeat(1))),
            "outblob" => [b"report of ", inblob.as_slice()].concat(),
            "auxblob" => state.auxblob.clone().ok_or(io::ErrorKind::NotFound)?,
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Box::new(Cursor::new(content)))
    }
}

fn binding() -> KeyBinding {
    KeyBinding {
        epoch_key: vec![1, 2, 3],
        hpke_key: None,
        tls_key: None,
        not_before: Timestamp::from_seconds(1),
        not_after: Timestamp::from_seconds(2),
        configuration: EnclaveConfiguration {
            engine: EngineUsed { name: "tract".to_owned(), version: "0".to_owned() },
            models: Vec::<ModelId>::new(),
            scope: EvidenceScope::Model,
        },
        beacon: None,
        nonce: None,
    }
}

/// What the fake reports on the binding.
fn expected() -> Vec<u8> {
    [b"report of ".as_slice(), &binding().digest()].concat()
}

/// A host's table: what each entry says of its place, then the certificates.
fn table(entries: &[([u8; 16], u32, u32)], contents: &[u8]) -> Vec<u8> {
    let mut table = Vec::new();
    for (guid, offset, length) in entries {
        table.extend([&guid[..], &offset.to_le_bytes(), &length.to_le_bytes()].concat());
    }
    table.extend([0; 24]);
    table.extend(contents);
    table
}

/// A table with the certificates `v`, `ss` and `rrr`, the root first, and something unknown.
fn whole_table() -> Vec<u8> {
    let entries = [(ARK, 120, 3), (ASK, 123, 2), ([9; 16], 0, 4), (VCEK, 125, 1)];
    table(&entries, b"rrrssv")
}

fn shown(attested: Result<Evidence, CollectError>) -> String {
    attested.unwrap_err().to_string()
}

#[test]
fn an_snp_report_comes_with_the_hosts_certificates() {
    let kernel = Fake::new("sev_guest", Some(whole_table()));
    // The host's count before those of the file.
    let tsm = Tsm::over(kernel.clone()).with_certificates(vec![vec![0]; 3]);
    let certificates = vec![b"v".to_vec(), b"ss".to_vec(), b"rrr".to_vec()];
    let evidence = tsm.attest(&binding()).unwrap();
    assert_eq!(evidence, Evidence::Snp { report: expected(), certificates });
    kernel.assert_left_clean(1);
}

#[test]
fn certificates_may_come_from_a_file() {
    let some = table(&[(ASK, 48, 2)], b"ss");
    for auxblob in [None, Some(Vec::new()), Some(some)] {
        let kernel = Fake::new("sev_guest", auxblob);
        let tsm = Tsm::over(kernel.clone());
        let error = shown(tsm.attest(&binding()));
        assert!(
            error.starts_with("certificates of the SEV-SNP guest: expected those of"),
            "{error}"
        );
        assert!(error.ends_with("0 in a file"), "{error}");
        let error = shown(tsm.clone().with_certificates(vec![vec![1]; 2]).attest(&binding()));
        assert!(error.ends_with("2 in a file"), "{error}");
        let certificates = vec![vec![1], vec![2], vec![3]];
        let evidence = tsm.with_certificates(certificates.clone()).attest(&binding()).unwrap();
        assert_eq!(evidence, Evidence::Snp { report: expected(), certificates });
        kernel.assert_left_clean(3);
    }
}

#[test]
fn a_tables_places_are_in_it() {
    for (offset, length) in
        [(48, 3), (50, 1), (u32::MAX, 1), (48, u32::MAX), (u32::MAX, u32::MAX), (51, 0)]
    {
        let kernel = Fake::new("sev_guest", Some(table(&[(VCEK, offset, length)], b"ab")));
        let error = shown(Tsm::over(kernel.clone()).attest(&binding()));
        let got = format!("got {length} bytes at {offset}");
        assert!(error.starts_with("configfs-tsm: expected a table"), "{error}");
        assert!(error.ends_with(&got), "{error}");
        kernel.assert_left_clean(1);
    }
}

#[test]
fn what_somebody_else_asked_for_is_not_taken() {
    for intrusions in 0..5 {
        let kernel = Fake::new("tdx_guest", None);
        kernel.state().intrusions = intrusions;
        let report = configfs::report(kernel.as_ref(), &binding().digest());
        match intrusions {
            0..=2 => assert_eq!(report.unwrap().report, expected()),
            _ => {
                let error = report.unwrap_err().to_string();
                assert_eq!(error, "configfs-tsm: expected generation 12, got 13");
            }
        }
        kernel.assert_left_clean(1);
    }
}

#[test]
fn what_does_not_end_is_not_read_to_its_end() {
    let kernel = Fake::new("sev_guest", None);
    kernel.state().endless = true;
    let error = shown(Tsm::over(kernel.clone()).attest(&binding()));
    assert!(error.ends_with("/outblob: expected at most 32768 bytes, got more"), "{error}");
    kernel.assert_left_clean(1);
    let kernel = Fake::new("sev_guest", Some(vec![0; 32 << 10 | 1]));
    let error = shown(Tsm::over(kernel.clone()).attest(&binding()));
    assert!(error.ends_with("/auxblob: expected at most 32768 bytes, got more"), "{error}");
    kernel.assert_left_clean(1);
}

#[test]
fn entries_of_others_are_left_to_them() {
    for (taken, is_there) in [(1, true), (64, true), (65, false)] {
        let kernel = Fake::new("tdx_guest", None);
        kernel.state().taken = taken;
        let report = configfs::report(kernel.as_ref(), &[0; 64]);
        assert_eq!(report.is_ok(), is_there, "{report:?}");
        kernel.assert_left_clean(u32::from(is_there));
    }
}

#[test]
fn an_unknown_provider_is_named() {
    let kernel = Fake::new("sev\u{1b}_guest", None);
    let error = shown(Tsm::over(kernel).attest(&binding()));
    assert!(error.ends_with("got `sev\\u{1b}_guest`"), "{error}");
}

#[test]
fn a_tdx_quote_takes_collateral_that_is_read_each_time() {
    let kernel = Fake::new("tdx_guest", None);
    let error = shown(Tsm::over(kernel.clone()).attest(&binding()));
    assert!(error.starts_with("configfs-tsm: expected a file with Intel's collateral"), "{error}");
    let folder = std::env::temp_dir().join(format!("assay-tsm-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("collateral.json");
    let tsm = Tsm::over(kernel.clone()).with_collateral(path.clone());
    let error = shown(tsm.attest(&binding()));
    assert!(error.starts_with(&path.display().to_string()), "{error}");
    for tcb_info in ["old", "new"] {
        let json = serde_json::json!({
            "pck_crl_issuer_chain": "", "root_ca_crl": "00", "pck_crl": "01",
            "tcb_info_issuer_chain": "", "tcb_info": tcb_info, "tcb_info_signature": "02",
            "qe_identity_issuer_chain": "", "qe_identity": "", "qe_identity_signature": "03",
        });
        std::fs::write(&path, json.to_string()).unwrap();
        let Evidence::Tdx { quote, collateral } = tsm.attest(&binding()).unwrap() else { panic!() };
        assert_eq!((quote, collateral.tcb_info.as_str()), (expected(), tcb_info));
    }
    for wrong in [b"{}".to_vec(), vec![b' '; (1 << 20) + 1]] {
        std::fs::write(&path, wrong).unwrap();
        let error = shown(tsm.attest(&binding()));
        assert!(error.starts_with(&path.display().to_string()), "{error}");
    }
    kernel.assert_left_clean(6);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_running_kernels_entries_are_folders() {
    let folder = std::env::temp_dir().join(format!("assay-configfs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let kernel = Kernel::at(&folder);
    kernel.make("a").unwrap();
    assert_eq!(kernel.make("a").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    kernel.write("a/inblob", b"data").unwrap();
    let mut read = String::new();
    kernel.open("a/inblob").unwrap().read_to_string(&mut read).unwrap();
    assert_eq!(read, "data");
    std::fs::remove_file(folder.join("a/inblob")).unwrap();
    kernel.remove("a").unwrap();
    // A folder that is no kernel's has no attributes: what is missing is named, nothing is left.
    let error = configfs::report(&kernel, &[0; 64]).unwrap_err().to_string();
    assert!(error.contains("/generation: "), "{error}");
    std::fs::remove_dir(&folder).unwrap();
}
