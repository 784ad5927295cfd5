//! What `inspect` finds in every file: the right format, and the fields that the manifest names.

use assay_attest::inspect::{Format, InspectError, Inspection, Value, guess, inspect};
use assay_primitives::encoding::{base64, hex};
use proptest::prelude::*;
use proptest::sample::Index;

use super::Samples;

/// Kinds of the manifest, and what their files are.
const KINDS: &[(&str, Format)] = &[
    ("aws-nitro-attestation-document", Format::NitroDocument),
    ("nitro-doc-in-x509-cert", Format::Certificates),
    ("intel-dcap-quote", Format::TdxQuote),
    ("intel-tdx-quote", Format::TdxQuote),
    ("intel-dcap-collateral", Format::Collateral),
    ("intel-pck-crl", Format::RevocationList),
    ("intel-root-crl", Format::RevocationList),
    ("intel-sgx-root-ca", Format::Certificates),
    ("amd-snp-report", Format::SnpReport),
    ("amd-snp-report-hex", Format::SnpReport),
    ("amd-vek-cert", Format::Certificates),
    ("amd-ark-ask-asvk", Format::Certificates),
    ("amd-cert", Format::Certificates),
    ("azure-hcl-report-snp", Format::HclReport),
    ("azure-hcl-report-tdx", Format::HclReport),
    ("nvidia-spdm-report", Format::NvidiaReport),
    ("nvidia-cert-chain", Format::Certificates),
    ("nvidia-root", Format::Certificates),
    ("aws-nitro-root", Format::Certificates),
    ("root", Format::Certificates),
    ("tpm-ak-pub", Format::PublicKey),
    ("tpm2-quote-gcp", Format::TpmQuote),
    ("tpm2-quote-swtpm", Format::TpmQuote),
];

/// Files of kinds that have several.
const FILES: &[(&str, Format)] = &[
    ("tdx/dcap-qvl-sgx_quote.bin", Format::SgxQuote),
    ("azure/trustee-snp-hcl-report.bin", Format::HclReport),
    ("azure/trustee-snp-tpm-quote.msg", Format::TpmQuote),
    ("azure/trustee-snp-vcek-genoa.pem", Format::Certificates),
    ("azure/trustee-snp-vcek.pem", Format::Certificates),
    ("azure/trustee-tdx-hcl-report.bin", Format::HclReport),
    ("azure/trustee-tdx-td-quote.bin", Format::TdxQuote),
    ("nvidia/trustee-hopperAttestationReport.txt", Format::NvidiaReport),
    ("nvidia/trustee-hopper_coco_report1.txt", Format::NvidiaReport),
    ("nvidia/trustee-hopper_cert_chain_case1.txt", Format::Certificates),
    ("nvidia/trustee-hopper_cert_chain_case2.txt", Format::Certificates),
    ("nvidia/trustee-hopper_cert_chain_case3.txt", Format::Certificates),
    ("nvidia/trustee-hopper_cert_chain_case4.txt", Format::Certificates),
    ("nvidia/trustee-hopper_coco_certs1.txt", Format::Certificates),
    ("nvidia/trustee-hopper_signing_cert.pem", Format::Certificates),
];

/// A quote with something behind it that no zeros are.
const UNREADABLE: &str = "tdx/google-tdx_prod_quote_SPR_E4.dat";

/// Other files of a sample.
const BESIDE: &[(&str, Format)] = &[
    ("tpm/swtpm/quote.sig", Format::TpmSignature),
    ("tpm/swtpm/quote.pcrs", Format::TpmPcrs),
    ("tpm/swtpm/ak.pem", Format::PublicKey),
    ("tpm/swtpm/ekrsa.der", Format::Certificates),
    ("tpm/swtpm/issuercert.pem", Format::Certificates),
];

/// What a file of the manifest is; `None` if it is nothing that is known here.
fn expected(samples: &Samples, file: &str) -> Option<Format> {
    if let Some((_, format)) = FILES.iter().find(|(known, _)| *known == file) {
        return Some(*format);
    }
    let kind = samples.entry(file)["kind"].as_str().unwrap();
    KINDS.iter().find(|(known, _)| *known == kind).map(|(_, format)| *format)
}

fn inspected(samples: &Samples, file: &str) -> Inspection {
    inspect(&samples.read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Finds a field by the names of its section and its own.
fn field<'a>(inspection: &'a Inspection, section: &str, name: &str) -> &'a Value {
    let of = |section: &str| inspection.sections.iter().find(|one| one.name == section);
    let fields = &of(section).unwrap_or_else(|| panic!("no section {section}")).fields;
    let found = fields.iter().find(|field| field.name == name);
    &found.unwrap_or_else(|| panic!("no field {name}")).value
}

fn hex_of(inspection: &Inspection, section: &str, name: &str) -> String {
    match field(inspection, section, name) {
        Value::Hex(bytes) => hex(bytes),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn every_file_of_the_manifest_is_told() {
    let Some(samples) = Samples::open() else { return };
    let mut count = 0;
    for file in samples.files().chain(BESIDE.iter().map(|(file, _)| *file)) {
        let beside = BESIDE.iter().find(|(known, _)| *known == file);
        let expected = match beside {
            Some((_, format)) => Some(*format),
            None => expected(&samples, file),
        };
        let bytes = samples.read(file);
        assert_eq!(guess(&bytes), expected, "{file}");
        match (expected, inspect(&bytes)) {
            (Some(format), Err(InspectError::Unreadable { format: got, .. })) => {
                assert_eq!((file, format), (UNREADABLE, got));
            }
            (Some(format), Ok(inspection)) => {
                assert_eq!(inspection.format, format, "{file}");
                let fields = inspection.sections.iter().map(|section| section.fields.len());
                assert!(fields.sum::<usize>() > 4, "{file}");
                count += 1;
            }
            (None, Err(InspectError::Unknown)) => {}
            (expected, got) => panic!("{file}: expected {expected:?}, got {got:?}"),
        }
    }
    assert!(count > 70, "{count}");
}

#[test]
fn a_file_is_told_in_text_as_well() {
    let Some(samples) = Samples::open() else { return };
    for file in ["nitro/base-sample_attestation.cbor", "tdx/dcap-qvl-tdx_quote.bin"] {
        let bytes = samples.read(file);
        let plain = inspect(&bytes).unwrap();
        let lines = |text: String| {
            let lines: Vec<&str> =
                text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
            lines.join("\r\n") + "\n"
        };
        let url = base64(&bytes).replace('+', "-").replace('/', "_");
        for text in [
            hex(&bytes),
            hex(&bytes).to_uppercase(),
            format!("0x{}", hex(&bytes)),
            base64(&bytes),
            lines(base64(&bytes)),
            url.trim_end_matches('=').to_owned(),
        ] {
            let of_text = inspect(text.as_bytes()).unwrap();
            assert_eq!(of_text.format, plain.format);
            assert_eq!(of_text.sections[1..], plain.sections[1..]);
            assert_ne!(of_text.sections[0], plain.sections[0]);
        }
    }
}

#[test]
fn the_fields_are_those_of_the_manifest() {
    let Some(samples) = Samples::open() else { return };
    let nitro = "nitro/base-sample_attestation.cbor";
    let (entry, found) = (samples.entry(nitro), inspected(&samples, nitro));
    assert_eq!(hex_of(&found, "document", "pcr0"), entry["pcr0"]);
    let module = field(&found, "document", "module_id");
    assert_eq!(*module, Value::Text(entry["module_id"].as_str().unwrap().to_owned()));
    assert_eq!(*field(&found, "document", "nonce"), Value::Text("none".to_owned()));
    assert_eq!(
        *field(&found, "cabundle 0", "pinned"),
        Value::Text("as a root of nitro".to_owned())
    );
    let tdx = "tdx/dcap-qvl-tdx_quote.bin";
    let (entry, found) = (samples.entry(tdx), inspected(&samples, tdx));
    for name in ["mrtd", "rtmr0", "rtmr3", "report_data"] {
        assert_eq!(hex_of(&found, "TD report", name), entry[name], "{name}");
    }
    assert_eq!(hex_of(&found, "PCK certificate, chain 0", "FMSPC"), "b0c06f000000");
    let sgx = inspected(&samples, "tdx/dcap-qvl-sgx_quote.bin");
    assert_eq!(*field(&sgx, "header", "version"), Value::Number(3));
    let bytes = samples.read("tdx/dcap-qvl-sgx_quote.bin");
    assert_eq!(hex_of(&sgx, "enclave report", "mrenclave"), hex(&bytes[112..144]));
    let snp = "snp/trustee-test-report.bin";
    let (entry, found) = (samples.entry(snp), inspected(&samples, snp));
    assert_eq!(hex_of(&found, "report", "measurement"), entry["measurement"]);
    let tcb = Value::Text("bootloader 3, tee 0, snp 8, microcode 115".to_owned());
    assert_eq!(*field(&found, "report", "reported_tcb"), tcb);
    let gpu = inspected(&samples, "nvidia/nvtrust-hopperAttestationReport.txt");
    let oracle = samples.read("nvidia/trustee-hopperAttestationReport-claims.txt");
    let oracle: serde_json::Value = serde_json::from_slice(&oracle).unwrap();
    for (name, theirs) in [("chip SKU", "chip_sku"), ("project", "project")] {
        let theirs = oracle["config"][theirs].as_str().unwrap().to_owned();
        assert_eq!(*field(&gpu, "opaque data", name), Value::Text(theirs));
    }
    assert_eq!(hex_of(&gpu, "opaque data", "board id"), oracle["config"]["board_id"]);
    let vcek = inspected(&samples, "snp/trustee-test-vcek.der");
    assert_eq!(*field(&vcek, "certificate 0", "ucodeSPL"), Value::Number(115));
}

#[test]
fn values_are_whole_in_json_and_named_by_their_type() {
    let Some(samples) = Samples::open() else { return };
    let found = inspected(&samples, "tpm/swtpm/quote.msg");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["format"], "tpm-quote");
    let fields = json["sections"][1]["fields"].as_array().unwrap();
    let field = |name| fields.iter().find(|field| field["name"] == name).unwrap();
    assert_eq!(field("resetCount")["number"], 2);
    assert_eq!(field("safe")["text"], "yes");
    let bound = field("extraData")["hex"].as_str().unwrap();
    assert!(bound.starts_with("ee005d05") && bound.len() == 64, "{bound}");
}

#[test]
fn nothing_is_found_in_nothing() {
    for file in [&b""[..], b"{}", b"hello", &[0; 1184], &[0xff; 64], b"-----BEGIN CERTIFICATE-----"]
    {
        let error = inspect(file).unwrap_err();
        let is_pem = file.starts_with(b"-----");
        assert_eq!(error == InspectError::Unknown, !is_pem, "{error}");
    }
    let error = inspect(&vec![0; (1 << 20) + 1]).unwrap_err();
    assert_eq!(error, InspectError::TooLong((1 << 20) + 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_inspected_without_panic(
        begin in any::<Index>(),
        rest in prop::collection::vec(any::<u8>(), 0..2_000),
    ) {
        let begins: &[&[u8]] = &[
            b"", b"HCLA\x01\0\0\0", b"\xffTCG\x80\x18", b"\x11\xe0\x01\xff", b"\x84\x44\xa1\x01\x38\x22",
            b"\xd2\x84\x40", b"\x03\0\x02\0\0\0\0\0", b"\x04\0\x02\0\x81\0\0\0", b"\x05\0\x02\0\x81\0\0\0",
            b"\x30\x82\x01\x00", b"\0\x14\0\x0b", b"\0\x18\0\x0b\0\x20", b"\x01\0\0\0\x0b\0\x03",
            b"{\"tcb_info\":", b"-----BEGIN CERTIFICATE-----\n", b"sha256:\n 0 : 0x",
        ];
        let file = [begin.get::<&[u8]>(begins), &rest[..]].concat();
        let _ = inspect(&file);
        let mut report = file;
        report.resize(1184, 0);
        report.splice(..4, [2, 0, 0, 0]);
        let _ = inspect(&report);
    }

    #[test]
    fn samples_that_were_cut_or_changed_are_inspected_without_panic(
        of in any::<Index>(),
        at in any::<Index>(),
        removed in 0..512_usize,
        inserted in prop::collection::vec(any::<u8>(), 0..32),
        cut in any::<bool>(),
    ) {
        let Some(samples) = Samples::open() else { return Ok(()) };
        let files: Vec<&str> =
            samples.files().filter(|file| expected(&samples, file).is_some()).collect();
        let bytes = samples.read(of.get::<&str>(&files));
        let at = at.index(bytes.len());
        let end = if cut { bytes.len() } else { bytes.len().min(at + removed) };
        let _ = inspect(&[&bytes[..at], &inserted, &bytes[end..]].concat());
    }
}
