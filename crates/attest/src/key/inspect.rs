use assay_receipt::EvidenceScope;

use super::{KeyAttestation, KeyBinding};
use crate::inspect::Section;
use crate::tpm::{self, AttestationKey};
use crate::{Evidence, EvidenceKind, Pcr, Refusal};
use crate::{dcap, nitro, nvidia, snp, x509};

/// Returns the fields of a key attestation, and of all evidence in it.
pub(crate) fn inspect(attestation: &KeyAttestation) -> Result<Vec<Section>, Refusal> {
    let mut sections = vec![of_binding(&attestation.binding)];
    sections.extend(of_evidence(&attestation.evidence)?);
    for (at, gpu) in attestation.gpus.iter().enumerate() {
        let name = format!("GPU {at}");
        sections.extend(of_evidence(gpu)?.into_iter().map(|section| section.of(&name)));
    }
    Ok(sections)
}

fn of_binding(binding: &KeyBinding) -> Section {
    let configuration = &binding.configuration;
    let tls = binding.tls_key.as_ref().map(|digest| digest.as_bytes().as_slice());
    let section = Section::new("binding")
        .hex("digest", &binding.digest())
        .hex("epoch key", &binding.epoch_key)
        .optional_hex("HPKE key", binding.hpke_key.as_deref())
        .optional_hex("TLS key", tls)
        .text("epoch from", binding.not_before)
        .text("epoch to", binding.not_after)
        .text("engine", format!("{} {}", configuration.engine.name, configuration.engine.version))
        .all(&configuration.models, |section, model| section.text("model", model))
        .text("scope", scope(configuration.scope));
    let section = match &binding.beacon {
        Some(beacon) => section.text(
            "beacon",
            format!("block {} of {}, {}", beacon.number, beacon.network, beacon.hash),
        ),
        None => section.text("beacon", "none"),
    };
    section.optional_hex("nonce", binding.nonce.as_deref())
}

const fn scope(scope: EvidenceScope) -> &'static str {
    match scope {
        EvidenceScope::Gateway => "gateway",
        EvidenceScope::Model => "model",
        _ => "unknown",
    }
}

/// Returns the fields of evidence and of the endorsements with it.
fn of_evidence(evidence: &Evidence) -> Result<Vec<Section>, Refusal> {
    match evidence {
        Evidence::Nitro { document } => nitro::inspect(document),
        Evidence::Tdx { quote, collateral } => of_quote(quote, EvidenceKind::Tdx, collateral),
        Evidence::Sgx { quote, collateral } => of_quote(quote, EvidenceKind::Sgx, collateral),
        Evidence::Snp { report, certificates } => {
            Ok(with_certificates(snp::inspect(report)?, certificates))
        }
        Evidence::Nvidia { report, certificates } => {
            Ok(with_certificates(nvidia::inspect(report)?, certificates))
        }
        Evidence::Tpm { quote, signature, pcrs, ak } => {
            let sections = of_tpm(quote, signature, pcrs)?;
            match ak {
                AttestationKey::Certificates(all) => Ok(with_certificates(sections, all)),
                AttestationKey::PublicKey(der) => {
                    let key = tpm::inspect_public_key("attestation key", der)?;
                    Ok(sections.into_iter().chain([key]).collect())
                }
            }
        }
        Evidence::AzureVtpm { hcl_report, quote, signature, pcrs, hardware } => {
            let mut sections = of_tpm(quote, signature, pcrs)?;
            sections.extend(tpm::inspect_hcl_report(hcl_report)?);
            // One level: evidence in evidence in evidence is refused by the verifier.
            if !matches!(**hardware, Evidence::AzureVtpm { .. }) {
                let hardware = of_evidence(hardware)?;
                sections.extend(hardware.into_iter().map(|section| section.of("hardware")));
            }
            Ok(sections)
        }
    }
}

fn of_quote(
    quote: &[u8],
    kind: EvidenceKind,
    collateral: &crate::Collateral,
) -> Result<Vec<Section>, Refusal> {
    let mut sections = dcap::inspect_quote(quote, kind)?;
    sections.extend(dcap::inspect_collateral(collateral)?);
    Ok(sections)
}

fn of_tpm(quote: &[u8], signature: &[u8], pcrs: &[Pcr]) -> Result<Vec<Section>, Refusal> {
    let mut sections = tpm::inspect_quote(quote)?;
    sections.extend(tpm::inspect_signature(signature)?);
    sections.push(tpm::inspect_pcrs(pcrs));
    Ok(sections)
}

fn with_certificates(mut sections: Vec<Section>, ders: &[Vec<u8>]) -> Vec<Section> {
    let named = ders.iter().enumerate();
    sections.extend(named.map(|(at, der)| x509::inspect(&format!("certificate {at}"), der)));
    sections
}
