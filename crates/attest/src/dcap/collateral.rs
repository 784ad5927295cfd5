//! Intel's collateral: TCB information, QE identity, their signer, and revocation lists, as the
//! Provisioning Certification Service gives them (API version 4).

use assay_primitives::{Timestamp, encoding};
use dcap_qvl::{QeIdentity, QuoteCollateralV3, TcbInfo};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode as _;

use super::pem;
use crate::evidence::Context;
use crate::{Check, EvidenceKind, Refusal, Validity, x509};

/// The most bytes of collateral, in JSON.
const MAX_JSON: usize = 1 << 20;
/// The most bytes of TCB information, and of a QE identity.
const MAX_STATEMENT: usize = 64 << 10;
/// The most bytes of a revocation list.
const MAX_CRL: usize = 256 << 10;

/// What Intel says of platforms of a kind at a time, without which a quote says nothing.
///
/// The issuer chain of the PCK certificates' revocation list is not part of it: that list is signed
/// by the CA of the PCK certificate itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Collateral {
    /// The TCB information: the JSON to the byte that is signed.
    pub tcb_info: String,
    /// Its signature: ECDSA with P-256 and SHA-256, r and s of 32 bytes each.
    #[serde(with = "encoding::base64_bytes")]
    pub tcb_info_signature: Vec<u8>,
    /// Who signed it, and the root, in PEM.
    pub tcb_info_issuer_chain: String,
    /// The identity of the quoting enclave: the JSON to the byte that is signed.
    pub qe_identity: String,
    /// Its signature, likewise.
    #[serde(with = "encoding::base64_bytes")]
    pub qe_identity_signature: Vec<u8>,
    /// Who signed it, and the root, in PEM.
    pub qe_identity_issuer_chain: String,
    /// The revocation list of the root, in DER.
    #[serde(with = "encoding::base64_bytes")]
    pub root_ca_crl: Vec<u8>,
    /// The revocation list of the CA of the PCK certificate, in DER.
    #[serde(with = "encoding::base64_bytes")]
    pub pck_crl: Vec<u8>,
    /// The chain of the PCK certificate in PEM, where the quote has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pck_certificate_chain: Option<String>,
}

impl Collateral {
    /// Reads the JSON in which collateral is mostly kept: `tcb_info`, `pck_crl` and so on, with bytes
    /// in hexadecimal; or this project's: `tcbInfo`, `pckCrl`, with bytes in base64.
    ///
    /// # Errors
    /// When it is too long, or not such JSON.
    pub fn from_json(json: &[u8]) -> Result<Self, Refusal> {
        if json.len() > MAX_JSON {
            let expected = format!("at most {MAX_JSON} bytes of collateral");
            return Err(Refusal::new(Check::EvidenceSize, expected, json.len()));
        }
        let wrong = |error| Refusal::new(Check::CollateralSignature, "collateral", error);
        let spelling: Spelling = serde_json::from_slice(json).map_err(wrong)?;
        if spelling.tcb_info.is_some() {
            return serde_json::from_slice(json).map_err(wrong);
        }
        let read: QuoteCollateralV3 = serde_json::from_slice(json).map_err(wrong)?;
        Ok(Self {
            tcb_info: read.tcb_info,
            tcb_info_signature: read.tcb_info_signature,
            tcb_info_issuer_chain: read.tcb_info_issuer_chain,
            qe_identity: read.qe_identity,
            qe_identity_signature: read.qe_identity_signature,
            qe_identity_issuer_chain: read.qe_identity_issuer_chain,
            root_ca_crl: read.root_ca_crl,
            pck_crl: read.pck_crl,
            pck_certificate_chain: read.pck_certificate_chain,
        })
    }
}

/// Which of the two JSON spellings a file has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spelling {
    tcb_info: Option<IgnoredAny>,
}

/// Collateral that was read; nothing of it is verified.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    from: &'a Collateral,
    /// The TCB information.
    pub(super) tcb_info: TcbInfo,
    /// The identity of the quoting enclave.
    pub(super) qe_identity: QeIdentity,
    /// Who signed the TCB information, then the root.
    pub(super) tcb_chain: Vec<Vec<u8>>,
    /// Who signed the QE identity, then the root.
    pub(super) qe_chain: Vec<Vec<u8>>,
    root_crl: CertificateList,
    pck_crl: CertificateList,
}

impl<'a> Parsed<'a> {
    pub(super) fn read(from: &'a Collateral, context: &Context<'_>) -> Result<Self, Refusal> {
        let sizes = [
            ("TCB information", from.tcb_info.len(), MAX_STATEMENT),
            ("QE identity", from.qe_identity.len(), MAX_STATEMENT),
            ("revocation list of the root", from.root_ca_crl.len(), MAX_CRL),
            ("revocation list of PCK certificates", from.pck_crl.len(), MAX_CRL),
        ];
        for (what, size, most) in sizes {
            let expected = format!("{what} of at most {most} bytes");
            context.checks.require(Check::EvidenceSize, size <= most, expected, size)?;
        }
        Ok(Self {
            from,
            tcb_info: serde_json::from_str(&from.tcb_info)
                .map_err(|error| unreadable("TCB information", &error))?,
            qe_identity: serde_json::from_str(&from.qe_identity)
                .map_err(|error| unreadable("a QE identity", &error))?,
            tcb_chain: pem::read(from.tcb_info_issuer_chain.as_bytes(), "TCB information")?,
            qe_chain: pem::read(from.qe_identity_issuer_chain.as_bytes(), "QE identity")?,
            root_crl: CertificateList::from_der(&from.root_ca_crl)
                .map_err(|error| unreadable("a revocation list of the root", &error))?,
            pck_crl: CertificateList::from_der(&from.pck_crl)
                .map_err(|error| unreadable("a revocation list of PCK certificates", &error))?,
        })
    }

    /// Checks that every part is valid at the time of the context, and returns when they are.
    pub(super) fn check_validity(&self, context: &Context<'_>) -> Result<Validity, Refusal> {
        let (tcb, qe) = (&self.tcb_info, &self.qe_identity);
        let windows = [
            ("TCB information", stated(&tcb.issue_date, &tcb.next_update)?),
            ("QE identity", stated(&qe.issue_date, &qe.next_update)?),
            ("revocation list of the root", listed(&self.root_crl)?),
            ("revocation list of PCK certificates", listed(&self.pck_crl)?),
        ];
        let mut validity = Validity::ALWAYS;
        for (what, window) in windows {
            let (from, to) = (window.not_before, window.not_after);
            let expected = format!("a time from {from} to {to}, when the {what} is valid");
            let holds = window.contains(context.now);
            context.checks.require(Check::CollateralValidity, holds, expected, context.now)?;
            validity = validity.and(window);
        }
        Ok(validity)
    }

    /// Checks that it is about the platform of a PCK certificate and its CA.
    pub(super) fn check_match(
        &self,
        kind: EvidenceKind,
        pck: &super::Pck,
        context: &Context<'_>,
    ) -> Result<(), Refusal> {
        let (tcb_id, qe_id) = match kind {
            EvidenceKind::Tdx => ("TDX", "TD_QE"),
            _ => ("SGX", "QE"),
        };
        let fmspc = encoding::hex(&pck.extension.fmspc);
        let pce = encoding::hex(&pck.extension.pce_id);
        let issuer = |list: &CertificateList| list.tbs_cert_list.issuer.to_string();
        let subject = |of: &Certificate| of.tbs_certificate().subject().to_string();
        let pairs = [
            ("TCB information of", tcb_id.to_owned(), self.tcb_info.id.clone()),
            ("QE identity of", qe_id.to_owned(), self.qe_identity.id.clone()),
            ("TCB information of FMSPC", fmspc, self.tcb_info.fmspc.to_ascii_lowercase()),
            ("TCB information of PCE", pce, self.tcb_info.pce_id.to_ascii_lowercase()),
            ("a revocation list by", subject(&pck.ca), issuer(&self.pck_crl)),
            ("a revocation list by", subject(&pck.root), issuer(&self.root_crl)),
        ];
        for (what, expected, got) in pairs {
            let holds = expected == got;
            let expected = format!("{what} {expected}");
            context.checks.require(Check::CollateralMatch, holds, expected, got)?;
        }
        Ok(())
    }

    /// Checks that none of the certificates is revoked.
    pub(super) fn check_revocation(
        &self,
        pck: &super::Pck,
        signers: &[&Certificate],
        context: &Context<'_>,
    ) -> Result<(), Refusal> {
        let by_root = signers.iter().copied().chain([&pck.ca, &pck.root]);
        let all = by_root.map(|of| (of, &self.root_crl)).chain([(&pck.leaf, &self.pck_crl)]);
        for (certificate, list) in all {
            let serial = certificate.tbs_certificate().serial_number();
            let mut revoked = list.tbs_cert_list.revoked_certificates.iter().flatten();
            let found = revoked.find(|entry| entry.serial_number == *serial);
            let expected = format!("`{}` not to be revoked", x509::name(certificate));
            let got = found.map(|entry| format!("revoked at {}", entry.revocation_date));
            let got = got.unwrap_or_default();
            context.checks.require(Check::CollateralRevocation, found.is_none(), expected, got)?;
        }
        Ok(())
    }

    /// Returns it in the library's form, with chains in the one spelling that was read here.
    pub(super) fn for_library(&self, pck_chain: &[Vec<u8>]) -> QuoteCollateralV3 {
        QuoteCollateralV3 {
            // Read by nobody: the list is signed by the CA of the PCK certificate.
            pck_crl_issuer_chain: String::new(),
            root_ca_crl: self.from.root_ca_crl.clone(),
            pck_crl: self.from.pck_crl.clone(),
            tcb_info_issuer_chain: pem::write(&self.tcb_chain),
            tcb_info: self.from.tcb_info.clone(),
            tcb_info_signature: self.from.tcb_info_signature.clone(),
            qe_identity_issuer_chain: pem::write(&self.qe_chain),
            qe_identity: self.from.qe_identity.clone(),
            qe_identity_signature: self.from.qe_identity_signature.clone(),
            pck_certificate_chain: Some(pem::write(pck_chain)),
        }
    }
}

fn unreadable(what: &str, error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Check::CollateralSignature, what, error)
}

fn stated(issue_date: &str, next_update: &str) -> Result<Validity, Refusal> {
    let time = |text: &str| {
        Timestamp::from_rfc3339(text).map_err(|error| unreadable("a time (RFC 3339)", &error))
    };
    Ok(Validity { not_before: time(issue_date)?, not_after: time(next_update)? })
}

fn listed(list: &CertificateList) -> Result<Validity, Refusal> {
    let seconds =
        |time: &x509_cert::time::Time| Timestamp::from_seconds(time.to_unix_duration().as_secs());
    let Some(next) = &list.tbs_cert_list.next_update else {
        let expected = "a revocation list that says when the next one comes";
        return Err(Refusal::new(Check::CollateralValidity, expected, "none"));
    };
    Ok(Validity {
        not_before: seconds(&list.tbs_cert_list.this_update),
        // The next list is there by then (RFC 5280 section 5.1.2.5): this one is not valid any more.
        not_after: seconds(next).minus(std::time::Duration::from_millis(1)),
    })
}
