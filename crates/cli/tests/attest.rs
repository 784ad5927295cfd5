//! `assay attest` as its users see it, on real evidence where it is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use assay_attest::collect::{Attester as _, SimulatedNitro, SimulatedNitroRoot};
use assay_attest::{EnclaveConfiguration, KeyAttestation, KeyBinding, Policy};
use assay_primitives::{Digest, ModelId, Timestamp, encoding};
use assay_receipt::{
    Bundle, EnclaveStatement, EngineUsed, EvidenceBlob, EvidenceScope, ModelUsed, SigningKey, Usage,
};
use assay_testkit::{FakeClock, SeededRandomness, reference};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, date_time_ymd,
};
use serde_json::Value;

use crate::support::{Place, Ran, golden};

/// The samples, where they are.
struct Samples(PathBuf);

impl Samples {
    /// Opens the samples. Says so and returns `None` if they are not there.
    fn open() -> Option<Self> {
        reference("data/attestation").map(Self)
    }

    fn arg(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }
}

/// Evidence of the samples that is accepted, as it is verified.
struct Case {
    kind: &'static str,
    files: &'static [&'static str],
    at: &'static str,
    collateral: Option<&'static str>,
    policy: Option<&'static str>,
}

const NITRO: Case = Case {
    kind: "nitro",
    files: &["nitro/base-sample_attestation.cbor"],
    at: "2024-02-26T07:02:01.439Z",
    collateral: None,
    policy: None,
};
const TDX: Case = Case {
    kind: "tdx",
    files: &["tdx/dcap-qvl-tdx_quote.bin"],
    at: "2025-06-21T10:00:00.000Z",
    collateral: Some("tdx/dcap-qvl-tdx_quote_collateral.json"),
    policy: None,
};
const SGX: Case = Case {
    kind: "sgx",
    files: &["tdx/dcap-qvl-sgx_quote.bin"],
    at: "2025-06-21T10:00:00.000Z",
    collateral: Some("tdx/dcap-qvl-sgx_quote_collateral.json"),
    policy: Some("tcb_statuses = [\"ConfigurationAndSWHardeningNeeded\"]"),
};
const SNP: Case = Case {
    kind: "snp",
    files: &[
        "roots/amd-milan_ask_ark_asvk.pem",
        "snp/trustee-test-report.bin",
        "snp/trustee-test-vcek.der",
    ],
    at: "2026-07-01T00:00:00.000Z",
    collateral: None,
    policy: None,
};
const NVIDIA: Case = Case {
    kind: "nvidia",
    files: &["nvidia/nvtrust-hopperAttestationReport.txt", "nvidia/nvtrust-hopperCertChain.txt"],
    at: "2026-01-01T00:00:00.000Z",
    collateral: None,
    policy: Some("min_strength = \"signature-only\""),
};
const ACCEPTED: &[Case] = &[NITRO, TDX, SGX, SNP, NVIDIA];

impl Case {
    fn verify(&self, samples: &Samples, more: &[&str]) -> Ran {
        self.verify_at(samples, self.at, self.policy, more)
    }

    fn verify_at(&self, samples: &Samples, at: &str, policy: Option<&str>, more: &[&str]) -> Ran {
        let place = Place::new();
        let mut args: Vec<String> = ["attest", "verify", "--kind", self.kind, "--at", at]
            .iter()
            .map(|arg| (*arg).to_owned())
            .collect();
        args.extend(self.files.iter().map(|file| samples.arg(file)));
        if let Some(collateral) = self.collateral {
            args.extend(["--collateral".to_owned(), samples.arg(collateral)]);
        }
        if let Some(policy) = policy {
            args.extend(["--policy".to_owned(), place.file("policy.toml", policy)]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
        place.run(&args)
    }
}

#[test]
fn real_evidence_of_every_kind_is_accepted_in_its_time() {
    let Some(samples) = Samples::open() else { return };
    for case in ACCEPTED {
        let told = case.verify(&samples, &[]).expect(0).stdout;
        assert!(told.starts_with("accepted    every check held\n"), "{told}");
        assert!(told.contains("measurements: any"), "{told}");
        assert!(told.contains(&format!("evidence    {}: ", case.kind)), "{told}");
        let json = case.verify(&samples, &["--json"]).expect(0).json();
        assert_eq!(json["verdict"], "accepted");
        assert_eq!(json["at"], case.at);
        assert_eq!(json["claims"]["kind"], case.kind);
        assert_eq!(json["claims"]["trust"], "vendor");
        assert_eq!((&json["refusal"], &json["binding"]), (&Value::Null, &Value::Null));
        assert!(json["notes"][0].as_str().unwrap().starts_with("measurements: any"));
        let late = case.verify_at(&samples, "2200-01-01T00:00:00Z", case.policy, &["--json"]);
        match case.kind {
            // NVIDIA's certificates have no end.
            "nvidia" => assert_eq!(late.expect(0).json()["verdict"], "accepted"),
            _ => assert_eq!(late.expect(1).json()["refusal"]["check"], "chain.validity"),
        }
    }
}

#[test]
fn what_a_policy_does_not_accept_is_refused() {
    let Some(samples) = Samples::open() else { return };
    let check = |case: &Case, policy: Option<&str>| {
        let ran = case.verify_at(&samples, case.at, policy, &["--json"]).expect(1);
        let json = ran.json();
        assert_eq!((&json["verdict"], &json["claims"]), (&"refused".into(), &Value::Null));
        for value in ["expected", "got"] {
            assert!(json["refusal"][value].is_string(), "{json}");
        }
        json["refusal"]["check"].as_str().unwrap().to_owned()
    };
    for case in ACCEPTED {
        let other = if case.kind == "nitro" { "tdx" } else { "nitro" };
        let own = case.policy.unwrap_or_default();
        assert_eq!(check(case, Some(&format!("kinds = [\"{other}\"]\n{own}"))), "policy.kind");
    }
    assert_eq!(check(&SGX, None), "policy.tcb-status");
    assert_eq!(check(&NVIDIA, None), "policy.strength");
    assert_eq!(check(&SNP, Some("[snp]\nmin_microcode = 200")), "policy.tcb-minimum");
    let reference = |value: &str| {
        format!(
            "[[reference_values]]\nname = \"image 1\"\nkind = \"nitro\"\nsource = \"0a1b\"\nmeasurements = {{ pcr0 = \"{value}\" }}\n"
        )
    };
    assert_eq!(check(&NITRO, Some(&reference("00"))), "policy.measurement");
    let found = NITRO.verify(&samples, &["--json"]).expect(0).json();
    let pcr0 = found["claims"]["measurements"][0]["value"].as_str().unwrap();
    let pinned = NITRO.verify_at(&samples, NITRO.at, Some(&reference(pcr0)), &["--json"]);
    let json = pinned.expect(0).json();
    assert_eq!(json["referenceValue"]["name"], "image 1");
    assert_eq!(json["referenceValue"]["source"], "0a1b");
    assert!(!json["notes"].to_string().contains("measurements: any"), "{json}");
    let told = NITRO.verify_at(&samples, NITRO.at, Some(&reference(pcr0)), &[]).expect(0).stdout;
    assert!(told.contains("measured as image 1\n"), "{told}");
}

#[test]
fn a_nonce_and_report_data_are_compared() {
    let Some(samples) = Samples::open() else { return };
    let user_data = |case: &Case| {
        let json = case.verify(&samples, &["--json"]).expect(0).json();
        json["claims"]["userData"].as_str().unwrap().to_owned()
    };
    for case in ACCEPTED {
        let data = user_data(case);
        case.verify(&samples, &["--report-data", &data]).expect(0);
        case.verify(&samples, &["--report-data", &format!("0x{}", data.to_uppercase())]).expect(0);
        case.verify(&samples, &["--report-data", "00"]).expect_shown(1, "binding.user-data");
    }
    NVIDIA.verify(&samples, &["--nonce", &user_data(&NVIDIA)]).expect(0);
    NVIDIA.verify(&samples, &["--nonce", "00"]).expect_shown(1, "binding.nonce");
    // The document answers no nonce.
    NITRO.verify(&samples, &["--nonce", "00"]).expect_shown(1, "binding.nonce");
    for case in [TDX, SGX, SNP] {
        case.verify(&samples, &["--nonce", "00"]).expect_told(2, "--report-data");
    }
}

#[test]
fn files_and_options_that_cannot_be_used_are_said() {
    let Some(samples) = Samples::open() else { return };
    let place = Place::new();
    let report = samples.arg("snp/trustee-test-report.bin");
    let quote = samples.arg(TDX.files[0]);
    let garbage = place.file("garbage", "this is no evidence");
    for (args, told) in [
        (&["--kind", "snp", &report][..], "the certificate of the VCEK or VLEK is missing"),
        (&["--kind", "tdx", &quote], "the collateral is missing"),
        (&["--kind", "tdx", &quote, "--collateral", &garbage], "garbage: collateral.signature"),
        (&["--kind", "nitro", "none"], "none: there is no such file"),
        (&["--kind", "nitro", &quote, &quote], "the attestation document alone"),
        (&["--kind", "tpm", &garbage], "the quote (TPMS_ATTEST) is missing"),
        (
            &["--kind", "tpm", &samples.arg("tpm/swtpm/quote.msg"), &garbage],
            "garbage: neither a quote",
        ),
        (&["--kind", "nvidia", &garbage], "the certificate of the GPU is missing"),
        (&["--kind", "arm", &quote], "invalid value 'arm'"),
        (&["--kind", "nitro", &quote, "--collateral", &quote], "--collateral is for"),
        (&["--kind", "snp", &report, "--hcl-report", &report], "--hcl-report is for --kind tpm"),
        (&["--kind", "nitro", &quote, "--nonce", "xyz"], "--nonce: expected bytes in hexadecimal"),
        (&["--kind", "nitro", &quote, "--at", "noon"], "--at"),
        (&["--kind", "nitro", &quote, "--policy", &garbage], "attestation policy"),
        (&["--kind", "nitro", &quote, "--development-root", &garbage], "development root"),
        (&[&quote], "Intel TDX quote (--kind tdx)"),
        (&[&garbage], "expected a key attestation"),
        (&[&report, &quote], "several files"),
        (&[], "<FILE>..."),
    ] {
        place.run(&[&["attest", "verify"], args].concat()).expect_told(2, told);
    }
    // What may be evidence, and is none, is refused.
    place
        .run(&["attest", "verify", "--kind", "nitro", &garbage])
        .expect_shown(1, "evidence.encoding");
    let json =
        place.run(&["attest", "verify", "--kind", "snp", &report, "--json"]).expect(2).json();
    assert_eq!(json["exitCode"], 2);
}

/// A key attestation of a simulated enclave, and its root.
struct Simulated {
    place: Place,
    attestation: Vec<u8>,
    binding: KeyBinding,
}

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

impl Simulated {
    fn new() -> Self {
        let root = SimulatedNitroRoot::generate(NOW).unwrap();
        let place = Place::new();
        place.file("root.pem", root.certificate().to_pem());
        let module = SimulatedNitro::new(root, [0xab; 48], Arc::new(FakeClock::new(NOW)));
        let key = SigningKey::generate(&SeededRandomness::new(7)).unwrap();
        let configuration = EnclaveConfiguration {
            engine: EngineUsed { name: "tract".to_owned(), version: "1".to_owned() },
            models: vec![ModelId(Digest::of(b"a model"))],
            scope: EvidenceScope::Model,
        };
        let epoch = (NOW, NOW.plus(Duration::from_secs(1_800)));
        let mut binding = KeyBinding::new(key.public(), epoch, configuration);
        binding.nonce = Some(vec![1, 2, 3, 4]);
        let attestation = KeyAttestation::new(binding.clone(), module.attest(&binding).unwrap());
        let attestation = attestation.to_bytes().unwrap();
        place.file("attestation.json", &attestation);
        Self { place, attestation, binding }
    }

    /// Returns what an enclave says of an item that it ran at a time.
    fn statement(&self, signed_at: Timestamp) -> Vec<u8> {
        let configuration = &self.binding.configuration;
        let statement = EnclaveStatement {
            model: ModelUsed {
                name: "digits".to_owned(),
                version: "1".to_owned(),
                package: configuration.models[0],
                program: None,
                engine: configuration.engine.clone(),
            },
            usage: Usage { inferences: 1 },
            request_commitment: Digest::ZERO,
            output_commitment: Digest::ZERO,
            scope: configuration.scope,
            signed_at,
        };
        statement.sign(&SigningKey::generate(&SeededRandomness::new(7)).unwrap()).unwrap()
    }

    fn verify(&self, file: &str, more: &[&str]) -> Ran {
        let at = NOW.plus(Duration::from_secs(60)).to_string();
        let args = ["attest", "verify", file, "--at", &at];
        self.place.run(&[&args[..], more].concat())
    }
}

const ROOT: [&str; 2] = ["--development-root", "root.pem"];

#[test]
fn a_key_attestation_under_a_development_root_is_simulated() {
    let simulated = Simulated::new();
    let verify = |more: &[&str]| simulated.verify("attestation.json", more);
    verify(&[]).expect_shown(1, "chain.root");
    let told = verify(&ROOT).expect(3).stdout;
    assert!(
        told.starts_with("simulated   every check held, but under a development root"),
        "{told}"
    );
    for part in [
        "engine      tract 1\n",
        "scope       model: ",
        "answers     01020304\n",
        "root        for",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let json = verify(&[&ROOT[..], &["--json", "--nonce", "01020304"]].concat()).expect(3).json();
    assert_eq!(
        (&json["verdict"], &json["claims"]["trust"]),
        (&"simulated".into(), &"development".into())
    );
    assert_eq!(json["binding"], serde_json::to_value(&simulated.binding).unwrap());
    let bound = encoding::hex(&simulated.binding.digest());
    verify(&[&ROOT[..], &["--report-data", &bound]].concat()).expect(3);
    verify(&[&ROOT[..], &["--report-data", "00"]].concat()).expect_shown(1, "binding.user-data");
    verify(&[&ROOT[..], &["--nonce", "00"]].concat()).expect_shown(1, "binding.nonce");
    let mut changed = simulated.attestation.clone();
    let at = changed.windows(7).position(|window| window == b"\"tract\"").unwrap();
    changed[at + 1] = b'T';
    simulated.place.file("changed.json", changed);
    simulated.verify("changed.json", &ROOT).expect_shown(1, "binding.key");
    let late = NOW.plus(Duration::from_secs(3_600)).to_string();
    let args = ["attest", "verify", "attestation.json", "--at", &late];
    simulated.place.run(&[&args[..], &ROOT].concat()).expect_shown(1, "binding.epoch");
}

#[test]
fn a_key_attestation_is_found_in_a_bundle() {
    let simulated = Simulated::new();
    let mut bundle = Bundle::from_bytes(&golden("single.assay")).unwrap();
    let of =
        |content: &[u8]| EvidenceBlob { sha256: Digest::of(content), content: content.to_vec() };
    simulated.place.file("none.assay", bundle.to_bytes().unwrap());
    bundle.evidence.push(of(b"something else"));
    bundle.evidence.push(of(&simulated.attestation));
    simulated.place.file("one.assay", bundle.to_bytes().unwrap());
    bundle.evidence.push(of(&simulated.attestation));
    simulated.place.file("two.assay", bundle.to_bytes().unwrap());
    simulated.verify("one.assay", &ROOT).expect_shown(3, "simulated");
    // Without a time it is judged as of when the item says that it was signed.
    let untimed =
        |file| simulated.place.run(&[&["attest", "verify", file, "--json"], &ROOT[..]].concat());
    assert_eq!(untimed("one.assay").expect(1).json()["refusal"]["check"], "chain.validity");
    let signed_at = NOW.plus(Duration::from_secs(60));
    bundle.evidence.truncate(2);
    bundle.evidence.push(of(&simulated.statement(signed_at)));
    simulated.place.file("signed.assay", bundle.to_bytes().unwrap());
    assert_eq!(untimed("signed.assay").expect(3).json()["at"], signed_at.to_string());
    simulated.verify("none.assay", &ROOT).expect_told(2, "one key attestation, got 0");
    simulated.verify("two.assay", &ROOT).expect_told(2, "one key attestation, got 2");
}

#[test]
fn a_key_attestation_is_inspected_with_what_is_in_it() {
    let simulated = Simulated::new();
    let inspected = simulated.place.run(&["attest", "inspect", "attestation.json", "--json"]);
    let json = inspected.expect(0).json();
    assert_eq!((&json["format"], &json["verified"]), (&"key-attestation".into(), &false.into()));
    let names: Vec<&str> = json["sections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|section| section["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["file", "binding", "document", "signature", "certificate", "cabundle 0"]);
    assert_eq!(json["sections"][1]["fields"][0]["hex"], encoding::hex(&simulated.binding.digest()));
}

/// A public key that rcgen puts into a certificate.
struct Key(Vec<u8>);

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// Has a development root certify the attestation key of the software TPM; writes both.
fn certify(samples: &Samples, place: &Place) {
    let pem = String::from_utf8(samples.read("tpm/swtpm/ak.pem")).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    // The point is what a P-256 key's SubjectPublicKeyInfo ends with.
    let key = Key(encoding::from_base64(&base64).unwrap().split_off(26));
    let params = |usage| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("{usage:?}"));
        params.key_usages = vec![usage];
        params.not_before = date_time_ymd(2026, 11, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        params
    };
    let mut ca = params(KeyUsagePurpose::KeyCertSign);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let root = ca.self_signed(&ca_key).unwrap();
    let leaf = params(KeyUsagePurpose::DigitalSignature);
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    place.file("root.pem", root.pem());
    place.file("chain.pem", root.pem() + &leaf.pem());
}

#[test]
fn a_software_tpms_quote_is_simulated_measured_boot() {
    let Some(samples) = Samples::open() else { return };
    let place = Place::new();
    certify(&samples, &place);
    let policy = place.file("policy.toml", "min_strength = \"measured-boot\"");
    let quote = ["quote.msg", "quote.sig", "quote.pcrs"]
        .map(|file| samples.arg(&format!("tpm/swtpm/{file}")));
    let [message, signature, pcrs] = &quote;
    let verify = |more: &[&str]| {
        let at = ["--at", "2026-11-22T00:00:00Z", "--policy", &policy];
        let args = ["attest", "verify", "--kind", "tpm", message, signature, pcrs];
        place.run(&[&args[..], &at, more].concat())
    };
    let bare = samples.arg("tpm/swtpm/ak.pem");
    verify(&[&bare]).expect_shown(1, "binding.attestation-key");
    verify(&["chain.pem"]).expect_shown(1, "chain.root");
    let json = verify(&[&["chain.pem", "--json"], &ROOT[..]].concat()).expect(3).json();
    assert_eq!(json["claims"]["strength"], "measured-boot");
    let nonce = json["claims"]["userData"].as_str().unwrap();
    verify(&[&["chain.pem", "--nonce", nonce], &ROOT[..]].concat()).expect(3);
    verify(&[&["chain.pem", "--nonce", "00"], &ROOT[..]].concat()).expect_shown(1, "binding.nonce");
    verify(&[]).expect_told(2, "the certificate of the attestation key is missing");
}

#[test]
fn azures_virtual_tpm_is_verified_with_its_hardware() {
    let Some(samples) = Samples::open() else { return };
    let place = Place::new();
    let file = samples.read("azure/trustee-snp-tpm-quote-v1.json");
    let quote: Value = serde_json::from_slice(&file).unwrap();
    let number = quote["signature"].as_str().unwrap();
    place.file("quote.msg", quote["message"].as_str().unwrap());
    // RSASSA with SHA-256.
    place.file("quote.sig", format!("0014000b0100{number}"));
    let values = quote["pcrs"].as_array().unwrap().iter().enumerate();
    let values: Vec<String> =
        values.map(|(at, value)| format!("  {at:<2}: 0x{}\n", value.as_str().unwrap())).collect();
    place.file("quote.pcrs", format!("sha256:\n{}", values.concat()));
    let (hcl, vcek) = (
        samples.arg("azure/trustee-snp-hcl-report.bin"),
        samples.arg("azure/trustee-snp-vcek.pem"),
    );
    let verify = |files: &[&str]| {
        let args = ["attest", "verify", "--kind", "tpm", "--hcl-report", &hcl, "--json"];
        let at = ["--at", "2026-07-01T00:00:00Z"];
        place.run(&[&args[..], &at, files].concat())
    };
    let files = ["quote.msg", "quote.sig", "quote.pcrs"];
    let json = verify(&[&files[..], &[&vcek]].concat()).expect(0).json();
    assert_eq!(
        (&json["claims"]["kind"], &json["claims"]["strength"]),
        (&"snp".into(), &"tee".into())
    );
    verify(&files).expect_told(2, "the certificate of the VCEK or VLEK is missing");
    let other = samples.arg("snp/trustee-test-vcek.der");
    let milan = samples.arg("roots/amd-milan_ask_ark_asvk.pem");
    let refused = verify(&[&files[..], &[&other, &milan]].concat()).expect(1).json();
    assert_eq!(refused["refusal"]["check"], "evidence.signature");
}

#[test]
fn every_file_of_the_manifest_is_inspected_or_unusable() {
    let Some(samples) = Samples::open() else { return };
    let place = Place::new();
    let manifest: Value = serde_json::from_slice(&samples.read("manifest.json")).unwrap();
    let mut read = 0;
    for item in manifest["items"].as_array().unwrap() {
        let file = samples.arg(item["file"].as_str().unwrap());
        let ran = place.run(&["attest", "inspect", &file]);
        match ran.status.code() {
            Some(0) => {
                assert!(ran.stdout.contains("\nNothing of it is verified.\n"), "{file}");
                read += 1;
            }
            Some(2) => assert!(ran.stdout.is_empty() && ran.stderr.contains(&file), "{ran:?}"),
            code => panic!("{file}: {code:?}"),
        }
    }
    assert!(read >= 70, "{read}");
}

#[test]
fn long_values_are_shortened_for_people_alone() {
    let Some(samples) = Samples::open() else { return };
    let place = Place::new();
    let file = samples.arg(NITRO.files[0]);
    let told = place.run(&["attest", "inspect", &file]).expect(0).stdout;
    assert!(told.contains("… (97 bytes)\n") && told.contains("zeros (48 bytes)\n"), "{told}");
    let json = place.run(&["attest", "inspect", &file, "--json"]).expect(0).json();
    assert!(!json.to_string().contains('…'));
    place.run(&["attest", "inspect", "none"]).expect_told(2, "there is no such file");
    let text = place.file("text", "a text");
    place.run(&["attest", "inspect", &text]).expect_told(2, "neither evidence nor");
    let json = place.run(&["attest", "inspect", &text, "--json"]).expect(2).json();
    assert_eq!(json["exitCode"], 2);
}

#[test]
fn the_policy_in_the_documentation_is_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/attestation.md");
    let text = std::fs::read_to_string(path).unwrap();
    let examples: Vec<&str> =
        text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 2);
    for example in &examples {
        Policy::from_toml(example).unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
    // The first has every field, and the table tells of it.
    for wrong in ["?", "[snp]\n?", "[[reference_values]]\n?"] {
        let wrong = wrong.replace('?', "nothing = 1");
        let error = Policy::from_toml(&wrong).unwrap_err().to_string();
        let (_, known) = error.split_once("expected one of ").unwrap();
        let names: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        assert!(names.len() > 4, "{error}");
        for name in names {
            let is_in_example = examples[0].lines().any(|line| {
                let line = line.trim_start_matches('[');
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '.', ']']))
            });
            assert!(is_in_example, "{name} is in no example");
            assert!(text.contains(&format!("{name}`")), "{name} is not in the text");
        }
    }
}
