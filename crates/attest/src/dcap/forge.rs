//! Makes quotes and collateral that are right in all but one thing, under a root of the tests' own.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData as _, RevokedCertParams,
    SerialNumber, date_time_ymd,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use sha2::{Digest as _, Sha256};

use super::{Collateral, pem};
use crate::{DevelopmentRoot, Evidence, EvidenceKind};

/// A day, as year, month and day.
pub(super) type Day = (i32, u8, u8);
/// From when until when.
pub(super) type Days = (Day, Day);

/// What is to be made. [`Wish::default`] is accepted in June 2026.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) kind: EvidenceKind,
    /// The quote's version; of version 5 the body is that of TDX 1.5.
    pub(super) version: u16,
    /// Of a TD, 8 bytes; of an enclave 16, of which these are the first.
    pub(super) attributes: [u8; 8],
    pub(super) service_td: u8,
    pub(super) report_data: [u8; 64],
    pub(super) mrtd: [u8; 48],
    /// Every SVN of the platform.
    pub(super) svn: u8,
    /// The TD's when it was launched, if it was another.
    pub(super) launch_svn: Option<u8>,
    pub(super) fmspc: [u8; 6],
    pub(super) pck_days: Days,
    pub(super) ca_days: Days,
    pub(super) ca_is_ca: bool,
    pub(super) root_days: Days,
    pub(super) signer_days: Days,
    /// TCB levels: the least SVN of all, and the status.
    pub(super) levels: &'static [(u8, &'static str)],
    /// Of the TDX module.
    pub(super) module_status: &'static str,
    pub(super) tcb_number: u32,
    pub(super) tcb_fmspc: &'static str,
    pub(super) tcb_id: Option<&'static str>,
    pub(super) tcb_days: Days,
    pub(super) qe_number: u32,
    pub(super) qe_id: Option<&'static str>,
    pub(super) qe_days: Days,
    pub(super) qe_status: &'static str,
    pub(super) root_crl_days: Days,
    pub(super) pck_crl_days: Days,
    /// Serial numbers: 1 the root, 2 the CA, 3 the PCK certificate, 4 the signer.
    pub(super) revoked_by_root: &'static [u64],
    pub(super) revoked_by_ca: &'static [u64],
    /// The CA of the revocation list, as another's.
    pub(super) pck_crl_of_root: bool,
    /// Sign the quote by a key that the quoting enclave has not reported.
    pub(super) other_key: bool,
}

const CENTURY: Days = ((2020, 1, 1), (2049, 12, 31));
const JUNE: Days = ((2026, 6, 1), (2026, 7, 1));

impl Default for Wish {
    fn default() -> Self {
        Self {
            kind: EvidenceKind::Tdx,
            version: 4,
            attributes: [0, 0, 0, 0x10, 0, 0, 0, 0],
            service_td: 0,
            report_data: [0xda; 64],
            mrtd: [0x3d; 48],
            svn: 3,
            launch_svn: None,
            fmspc: [0x00, 0x90, 0x6e, 0xd5, 0x00, 0x00],
            pck_days: CENTURY,
            ca_days: CENTURY,
            ca_is_ca: true,
            root_days: CENTURY,
            signer_days: CENTURY,
            levels: &[(3, "UpToDate"), (1, "OutOfDate")],
            module_status: "UpToDate",
            tcb_number: 18,
            tcb_fmspc: "00906ED50000",
            tcb_id: None,
            tcb_days: JUNE,
            qe_number: 18,
            qe_id: None,
            qe_days: JUNE,
            qe_status: "UpToDate",
            root_crl_days: JUNE,
            pck_crl_days: JUNE,
            revoked_by_root: &[],
            revoked_by_ca: &[],
            pck_crl_of_root: false,
            other_key: false,
        }
    }
}

impl Wish {
    /// The same of an enclave.
    pub(super) fn sgx() -> Self {
        let attributes = [0x05, 0, 0, 0, 0, 0, 0, 0];
        Self { kind: EvidenceKind::Sgx, version: 3, attributes, ..Self::default() }
    }
}

/// What was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) quote: Vec<u8>,
    pub(super) collateral: Collateral,
    pub(super) root: DevelopmentRoot,
}

impl Made {
    pub(super) fn evidence(&self, kind: EvidenceKind) -> Evidence {
        let (quote, collateral) = (self.quote.clone(), Box::new(self.collateral.clone()));
        match kind {
            EvidenceKind::Tdx => Evidence::Tdx { quote, collateral },
            _ => Evidence::Sgx { quote, collateral },
        }
    }
}

/// Makes a quote and its collateral.
pub(super) fn make(wish: &Wish) -> Made {
    let keys: [KeyPair; 4] = std::array::from_fn(|_| KeyPair::generate().unwrap());
    let [root_key, ca_key, pck_key, signer_key] = &keys;
    let root_params = certificate("Root", 1, wish.root_days, true);
    let root = root_params.self_signed(root_key).unwrap();
    let by_root = Issuer::from_params(&root_params, root_key);
    let ca_params = certificate("PCK CA", 2, wish.ca_days, wish.ca_is_ca);
    let ca = ca_params.signed_by(ca_key, &by_root).unwrap();
    let by_ca = Issuer::from_params(&ca_params, ca_key);
    let mut pck_params = certificate("PCK", 3, wish.pck_days, false);
    pck_params.custom_extensions = vec![pck_extension(wish)];
    let pck = pck_params.signed_by(pck_key, &by_ca).unwrap();
    let signer = certificate("TCB Signing", 4, wish.signer_days, false);
    let signer = signer.signed_by(signer_key, &by_root).unwrap();
    let chain = |parts: &[&rcgen::Certificate]| {
        pem::write(&parts.iter().map(|part| part.der().to_vec()).collect::<Vec<_>>())
    };
    let signers = chain(&[&signer, &root]);
    let (tcb_info, qe_identity) = (tcb_info(wish), qe_identity(wish));
    let crl = |issuer: &Issuer<'_, &KeyPair>, days, revoked| crl(issuer, days, revoked);
    let of_ca = if wish.pck_crl_of_root { &by_root } else { &by_ca };
    let collateral = Collateral {
        tcb_info_signature: sign(signer_key, tcb_info.as_bytes()),
        tcb_info,
        tcb_info_issuer_chain: signers.clone(),
        qe_identity_signature: sign(signer_key, qe_identity.as_bytes()),
        qe_identity,
        qe_identity_issuer_chain: signers,
        root_ca_crl: crl(&by_root, wish.root_crl_days, wish.revoked_by_root),
        pck_crl: crl(of_ca, wish.pck_crl_days, wish.revoked_by_ca),
        pck_certificate_chain: None,
    };
    let quote = quote(wish, pck_key, chain(&[&pck, &ca, &root]).as_bytes());
    Made { quote, collateral, root: DevelopmentRoot::from_bytes(root.der()).unwrap() }
}

fn certificate(name: &str, serial: u64, (from, to): Days, is_ca: bool) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(to.0, to.1, to.2);
    params.serial_number = Some(SerialNumber::from(serial));
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if serial <= 2 {
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    }
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

fn crl(issuer: &Issuer<'_, &KeyPair>, (from, to): Days, revoked: &[u64]) -> Vec<u8> {
    let entry = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(from.0, from.1, from.2),
        next_update: date_time_ymd(to.0, to.1, to.2),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().der().to_vec()
}

/// Intel's extension of PCK certificates (Intel SGX PCK Certificate specification, section 1.3.5).
fn pck_extension(wish: &Wish) -> CustomExtension {
    const BASE: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01];
    let entry = |path: &[u8], value: Vec<u8>| {
        let oid = tlv(6, [&BASE, path].concat());
        tlv(0x30, [oid, value].concat())
    };
    let tcb =
        [entry(&[2, 17], tlv(2, vec![wish.svn])), entry(&[2, 18], tlv(4, vec![wish.svn; 16]))];
    let all = [
        entry(&[1], tlv(4, vec![0x11; 16])),
        entry(&[2], tlv(0x30, tcb.concat())),
        entry(&[3], tlv(4, vec![0, 0])),
        entry(&[4], tlv(4, wish.fmspc.to_vec())),
        entry(&[5], tlv(10, vec![1])),
    ];
    let oid = [1, 2, 840, 113_741, 1, 13, 1];
    CustomExtension::from_oid_content(&oid, tlv(0x30, all.concat()))
}

fn tlv(tag: u8, value: Vec<u8>) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap();
    let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
    [head, value].concat()
}

fn day((year, month, day): Day) -> String {
    format!("{year:04}-{month:02}-{day:02}T00:00:00Z")
}

fn tcb_info(wish: &Wish) -> String {
    let is_td = wish.kind == EvidenceKind::Tdx;
    let id = wish.tcb_id.unwrap_or(if is_td { "TDX" } else { "SGX" });
    let components = |svn: u8| vec![format!(r#"{{"svn":{svn}}}"#); 16].join(",");
    let level = |(svn, status): &(u8, &str)| {
        let all = components(*svn);
        format!(
            r#"{{"tcb":{{"sgxtcbcomponents":[{all}],"pcesvn":{svn},"tdxtcbcomponents":[{all}]}},"tcbDate":"2025-01-01T00:00:00Z","tcbStatus":"{status}","advisoryIDs":["INTEL-SA-0000{svn}"]}}"#
        )
    };
    let levels: Vec<String> = wish.levels.iter().map(level).collect();
    let module = r#"{"mrsigner":"SIGNER","attributes":"0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF"}"#;
    let module = module.replace("SIGNER", &"00".repeat(48));
    let identity = format!(
        r#""id":"TDX_01","tcbLevels":[{{"tcb":{{"isvsvn":3}},"tcbDate":"2025-01-01T00:00:00Z","tcbStatus":"{}"}}]"#,
        wish.module_status
    );
    let identity = module.replacen('{', &format!("{{{identity},"), 1);
    let (from, to) = (day(wish.tcb_days.0), day(wish.tcb_days.1));
    let (fmspc, number, levels) = (wish.tcb_fmspc, wish.tcb_number, levels.join(","));
    format!(
        r#"{{"id":"{id}","version":3,"issueDate":"{from}","nextUpdate":"{to}","fmspc":"{fmspc}","pceId":"0000","tcbType":0,"tcbEvaluationDataNumber":{number},"tdxModule":{module},"tdxModuleIdentities":[{identity}],"tcbLevels":[{levels}]}}"#
    )
}

fn qe_identity(wish: &Wish) -> String {
    let is_td = wish.kind == EvidenceKind::Tdx;
    let id = wish.qe_id.unwrap_or(if is_td { "TD_QE" } else { "QE" });
    let (from, to) = (day(wish.qe_days.0), day(wish.qe_days.1));
    let (number, status) = (wish.qe_number, wish.qe_status);
    let signer = "5A".repeat(32);
    format!(
        r#"{{"id":"{id}","version":2,"issueDate":"{from}","nextUpdate":"{to}","tcbEvaluationDataNumber":{number},"miscselect":"00000000","miscselectMask":"FFFFFFFF","attributes":"11000000000000000000000000000000","attributesMask":"FBFFFFFFFFFFFFFF0000000000000000","mrsigner":"{signer}","isvprodid":2,"tcbLevels":[{{"tcb":{{"isvsvn":4}},"tcbDate":"2025-01-01T00:00:00Z","tcbStatus":"{status}"}}]}}"#
    )
}

fn quote(wish: &Wish, pck_key: &KeyPair, chain: &[u8]) -> Vec<u8> {
    let attestation_key = KeyPair::generate().unwrap();
    let point = attestation_key.der_bytes()[1..].to_vec();
    let qe_data = [0x0e; 32];
    let mut qe_report = vec![0; 384];
    qe_report[48] = 0x11;
    qe_report[128..160].fill(0x5a);
    qe_report[256] = 2;
    qe_report[258] = 4;
    qe_report[320..352].copy_from_slice(&Sha256::digest([&point[..], &qe_data].concat()));
    let tee_type = if wish.kind == EvidenceKind::Tdx { 0x81 } else { 0_u8 };
    let version = u8::try_from(wish.version).unwrap();
    let mut signed = vec![version, 0, 2, 0, tee_type, 0, 0, 0, 0, 0, 0, 0];
    signed.extend_from_slice(&dcap_qvl::INTEL_QE_VENDOR_ID);
    signed.extend_from_slice(&[0; 20]);
    signed.extend_from_slice(&report(wish));
    let other = KeyPair::generate().unwrap();
    let signer = if wish.other_key { &other } else { &attestation_key };
    let signature = sign(signer, &signed);
    let certification = part(5, &[chain, b"\0"].concat());
    let qe_signature = sign(pck_key, &qe_report);
    let of_qe = [&qe_report[..], &qe_signature, &[32, 0], &qe_data, &certification].concat();
    let of_qe = if wish.version == 3 { of_qe } else { part(6, &of_qe) };
    let point = if wish.other_key { other.der_bytes()[1..].to_vec() } else { point };
    let data = [&signature[..], &point, &of_qe].concat();
    let length = u32::try_from(data.len()).unwrap().to_le_bytes();
    [&signed[..], &length, &data].concat()
}

fn part(kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_le_bytes();
    [&kind.to_le_bytes()[..], &length, data].concat()
}

fn report(wish: &Wish) -> Vec<u8> {
    if wish.kind == EvidenceKind::Sgx {
        let mut report = vec![0; 384];
        report[48..56].copy_from_slice(&wish.attributes);
        report[64..96].fill(0xe1);
        report[128..160].fill(0x51);
        report[256..260].copy_from_slice(&[7, 1, 9, 0]);
        report[320..].copy_from_slice(&wish.report_data);
        return report;
    }
    let mut report = vec![0; 584];
    report[..16].fill(wish.launch_svn.unwrap_or(wish.svn));
    // The major version of the TDX module, which has an identity of its own.
    report[1] = 1;
    report[120..128].copy_from_slice(&wish.attributes);
    report[136..184].copy_from_slice(&wish.mrtd);
    for (at, rtmr) in report[328..520].chunks_mut(48).enumerate() {
        rtmr.fill(0xa0 + u8::try_from(at).unwrap());
    }
    report[520..].copy_from_slice(&wish.report_data);
    if wish.version == 4 {
        return report;
    }
    let mut now = [wish.svn; 16];
    now[1] = 1;
    [&[3, 0, 0x88, 2, 0, 0], &report[..], &now, &[wish.service_td; 48]].concat()
}

fn sign(key: &KeyPair, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, key.serialized_der(), &random).unwrap();
    key.sign(&random, message).unwrap().as_ref().to_vec()
}
