//! Appraising evidence of every kind on real samples, and the attestation of a key.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a bench that cannot go on says so by panicking"
)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assay_attest::collect::{Attester as _, SimulatedNitro, SimulatedNitroRoot};
use assay_attest::{
    Collateral, EnclaveConfiguration, Evidence, KeyAppraiser, KeyAttestation, KeyBinding, Pcr,
    Policy, Roots, Strength, TcbStatus, TpmHash, appraise,
};
use assay_primitives::{Digest, ModelId, Timestamp};
use assay_receipt::{EngineUsed, EvidenceScope, SigningKey};
use assay_testkit::{FakeClock, SeededRandomness, reference};
use criterion::{Criterion, criterion_group, criterion_main};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

fn pem(bytes: &[u8]) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(bytes).map(|der| der.unwrap().to_vec()).collect()
}

fn unhex(digits: &[u8]) -> Vec<u8> {
    let digit = |digit: &u8| u8::try_from(char::from(*digit).to_digit(16).unwrap()).unwrap();
    let digits: Vec<u8> = digits.iter().map(digit).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Real evidence: its name, the time it is judged at.
fn real(folder: &Path) -> Vec<(&'static str, Evidence, &'static str)> {
    let read = |file: &str| std::fs::read(folder.join(file)).unwrap();
    let collateral = |file| Box::new(Collateral::from_json(&read(file)).unwrap());
    let milan = pem(&read("roots/amd-milan_ask_ark_asvk.pem"));
    let vcek = read("snp/trustee-test-vcek.der");
    let nitro = Evidence::Nitro { document: read("nitro/base-sample_attestation.cbor") };
    let tdx = Evidence::Tdx {
        quote: read("tdx/dcap-qvl-tdx_quote.bin"),
        collateral: collateral("tdx/dcap-qvl-tdx_quote_collateral.json"),
    };
    let sgx = Evidence::Sgx {
        quote: read("tdx/dcap-qvl-sgx_quote.bin"),
        collateral: collateral("tdx/dcap-qvl-sgx_quote_collateral.json"),
    };
    let snp = Evidence::Snp {
        report: read("snp/trustee-test-report.bin"),
        certificates: vec![vcek, milan[0].clone(), milan[1].clone()],
    };
    let nvidia = Evidence::Nvidia {
        report: unhex(&read("nvidia/trustee-hopperAttestationReport.txt")),
        certificates: pem(&read("nvidia/trustee-hopper_cert_chain_case1.txt")),
    };
    vec![
        ("Nitro document", nitro, "2024-02-26T07:02:01.439Z"),
        ("TDX quote", tdx, "2025-06-21T10:00:00.000Z"),
        ("SGX quote", sgx, "2025-06-21T10:00:00.000Z"),
        ("SEV-SNP report", snp, "2026-07-01T00:00:00.000Z"),
        ("NVIDIA report", nvidia, "2026-01-01T00:00:00.000Z"),
        ("TPM quote of Azure's over SEV-SNP", azure(&read), "2026-07-01T00:00:00.000Z"),
    ]
}

/// A quote as az-cvm-vtpm keeps it: signature, message and 24 PCRs behind their counts.
fn azure(read: &impl Fn(&str) -> Vec<u8>) -> Evidence {
    let hcl_report = read("azure/trustee-snp-hcl-report.bin");
    let kept = read("azure/trustee-snp-quote.bin");
    let count = |bytes: &[u8]| usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    let (signature, rest) = kept[8..].split_at(count(&kept));
    let (quote, rest) = rest[8..].split_at(count(rest));
    let pcr = |(value, index): (&[u8], u8)| Pcr::new(TpmHash::Sha256, index, value.to_vec());
    let hardware = Evidence::Snp {
        report: hcl_report[32..1216].to_vec(),
        certificates: pem(&read("azure/trustee-snp-vcek.pem")),
    };
    Evidence::AzureVtpm {
        quote: quote.to_vec(),
        signature: [&[0, 0x14, 0, 0x0b, 1, 0], signature].concat(),
        pcrs: rest[8..].chunks(32).zip(0..).map(pcr).collect(),
        hardware: Box::new(hardware),
        hcl_report,
    }
}

/// Each kind up to the vendor's root.
fn kinds(criterion: &mut Criterion) {
    let Some(folder) = reference("data/attestation") else { return };
    let roots = Roots::vendors();
    let policy = Policy {
        min_strength: Some(Strength::SignatureOnly),
        tcb_statuses: Some(vec![TcbStatus::UpToDate, TcbStatus::ConfigurationAndSWHardeningNeeded]),
        ..Policy::default()
    };
    let mut group = criterion.benchmark_group("evidence");
    for (name, evidence, at) in real(&folder) {
        let at = at.parse().unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| appraise(black_box(&evidence), &roots, &policy, at).unwrap());
        });
    }
}

/// The attestation of a key by a simulated Nitro module, of an epoch that the appraiser does not know,
/// and of one that it knows.
fn keys(criterion: &mut Criterion) {
    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    let root = SimulatedNitroRoot::generate(NOW).unwrap();
    let roots = Roots::vendors().with_development(root.certificate().clone());
    let nitro = SimulatedNitro::new(root, [7; 48], Arc::new(FakeClock::new(NOW)));
    let key = SigningKey::generate(&SeededRandomness::new(1)).unwrap();
    let configuration = EnclaveConfiguration {
        engine: EngineUsed { name: "tract-onnx".to_owned(), version: "0.23.9".to_owned() },
        models: vec![ModelId(Digest::of(b"digits"))],
        scope: EvidenceScope::Model,
    };
    let epoch = (NOW, NOW.plus(Duration::from_secs(1_800)));
    let binding = KeyBinding::new(key.public(), epoch, configuration);
    let evidence = nitro.attest(&binding).unwrap();
    let file = KeyAttestation::new(binding, evidence).to_bytes().unwrap();
    let mut group = criterion.benchmark_group("key attestation");
    let new = || KeyAppraiser::new(roots.clone(), Policy::default());
    group.bench_function("unknown", |bencher| {
        bencher.iter(|| new().appraise(black_box(&file), NOW).unwrap());
    });
    let appraiser = new();
    group.bench_function("known", |bencher| {
        bencher.iter(|| appraiser.appraise(black_box(&file), NOW).unwrap());
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| KeyAttestation::from_bytes(black_box(&file)).unwrap());
    });
}

criterion_group!(benches, kinds, keys);
criterion_main!(benches);
