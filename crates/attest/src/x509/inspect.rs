//! Every field of certificates and of revocation lists.

use assay_primitives::{Digest, Timestamp};
use dcap_qvl::intel::parse_pck_extension;
use der::asn1::Ia5StringRef;
use der::oid::ObjectIdentifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};

use super::{read_up_to, window};
use crate::inspect::Section;
use crate::roots::pinned_for;
use crate::{Check, Refusal};

/// The most bytes of a certificate that is shown: some have evidence in their names.
const MAX_SHOWN: usize = 64 << 10;
/// The most certificates of a file.
const MAX_CERTIFICATES: usize = 64;
/// The most bytes of a revocation list.
const MAX_CRL: usize = 256 << 10;

/// Algorithms and curves by what they are called.
const ALGORITHMS: &[(&str, &str)] = &[
    ("1.2.840.10045.2.1", "EC"),
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.2.840.10045.4.3.2", "ECDSA with SHA-256"),
    ("1.2.840.10045.4.3.3", "ECDSA with SHA-384"),
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
    ("1.2.840.113549.1.1.11", "RSA with SHA-256"),
    ("1.2.840.113549.1.1.12", "RSA with SHA-384"),
];

/// Extensions by what their specifications call them: RFC 5280, AMD 57230, TCG DICE.
const EXTENSIONS: &[(&str, &str)] = &[
    ("2.5.29.14", "subject key identifier"),
    ("2.5.29.35", "authority key identifier"),
    ("2.5.29.31", "CRL distribution points"),
    ("2.5.29.32", "certificate policies"),
    ("1.3.6.1.5.5.7.1.1", "authority information access"),
    ("1.3.6.1.4.1.3704.1.1", "structVersion"),
    ("1.3.6.1.4.1.3704.1.2", "productName"),
    ("1.3.6.1.4.1.3704.1.3.1", "blSPL"),
    ("1.3.6.1.4.1.3704.1.3.2", "teeSPL"),
    ("1.3.6.1.4.1.3704.1.3.3", "snpSPL"),
    ("1.3.6.1.4.1.3704.1.3.4", "spl_4"),
    ("1.3.6.1.4.1.3704.1.3.5", "spl_5"),
    ("1.3.6.1.4.1.3704.1.3.6", "spl_6"),
    ("1.3.6.1.4.1.3704.1.3.7", "spl_7"),
    ("1.3.6.1.4.1.3704.1.3.8", "ucodeSPL"),
    ("1.3.6.1.4.1.3704.1.3.9", "fmcSPL"),
    ("1.3.6.1.4.1.3704.1.4", "hwID"),
    ("1.3.6.1.4.1.3704.1.5", "csp_id"),
    ("2.23.133.5.4.1", "TcbInfo (DICE)"),
];

/// Intel's extension of PCK certificates.
const SGX: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1");

/// Returns the fields of every certificate of a file, PEM or DER.
pub(crate) fn inspect_all(file: &[u8]) -> Result<Vec<Section>, Refusal> {
    let ders: Vec<Vec<u8>> = match file {
        [0x30, ..] => vec![file.to_vec()],
        _ => CertificateDer::pem_slice_iter(file)
            .take(MAX_CERTIFICATES)
            .map(|der| der.map(|der| der.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|error| Refusal::new(Check::ChainEncoding, "certificates in PEM", error))?,
    };
    let named = ders.iter().enumerate();
    named.map(|(at, der)| read_section(&format!("certificate {at}"), der)).collect()
}

/// Returns the fields of a certificate in evidence; of one that cannot be read its bytes.
pub(crate) fn inspect(name: &str, der: &[u8]) -> Section {
    read_section(name, der)
        .unwrap_or_else(|refusal| Section::new(name).text("unreadable", refusal).hex("bytes", der))
}

fn read_section(name: &str, der: &[u8]) -> Result<Section, Refusal> {
    let certificate = read_up_to(der, MAX_SHOWN)?;
    let tbs = certificate.tbs_certificate();
    let key = tbs.subject_public_key_info();
    let curve = key.algorithm.parameters.as_ref();
    let curve = curve.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
    let curve = curve.map(|curve| format!(" {}", algorithm(curve))).unwrap_or_default();
    let window = window(&certificate);
    let section = Section::new(name)
        .text("subject", tbs.subject())
        .text("issuer", tbs.issuer())
        .hex("serial number", tbs.serial_number().as_bytes())
        .text("not before", window.not_before)
        .text("not after", window.not_after)
        .text("key", format!("{}{curve}", algorithm(key.algorithm.oid)))
        .hex("public key", key.subject_public_key.raw_bytes());
    let extensions = tbs.extensions().into_iter().flatten();
    let section =
        extensions.fold(section, |section, one| of_extension(section, one, &certificate, der));
    let section = section
        .text("signed with", algorithm(certificate.signature_algorithm().oid))
        .hex("signature", certificate.signature().raw_bytes())
        .hex("sha256", Digest::of(der).as_bytes());
    let pinned: Vec<&str> = pinned_for(der).iter().map(|kind| kind.as_str()).collect();
    Ok(match pinned.as_slice() {
        [] => section,
        kinds => section.text("pinned", format!("as a root of {}", kinds.join(" and "))),
    })
}

fn of_extension(section: Section, one: &Extension, of: &Certificate, der: &[u8]) -> Section {
    let value = one.extn_value.as_bytes();
    let shown = match one.extn_id {
        SGX => return of_pck(section, value, der),
        KeyUsage::OID => {
            super::extension::<KeyUsage>(of).ok().flatten().map(|usage| usages(&usage))
        }
        BasicConstraints::OID => decode(value).map(|basic: BasicConstraints| {
            let most = basic.path_len_constraint;
            let most = most.map(|most| format!(", at most {most} CAs below")).unwrap_or_default();
            if basic.ca { format!("a CA{most}") } else { "no CA".to_owned() }
        }),
        ExtendedKeyUsage::OID => decode(value).map(|usage: ExtendedKeyUsage| {
            let all: Vec<String> = usage.0.iter().map(ToString::to_string).collect();
            all.join(", ")
        }),
        SubjectAltName::OID => decode(value).map(|names: SubjectAltName| {
            let all: Vec<String> = names.0.iter().map(general_name).collect();
            all.join(", ")
        }),
        _ => return of_other(section, one),
    };
    let name = match one.extn_id {
        KeyUsage::OID => "key usage",
        BasicConstraints::OID => "basic constraints",
        ExtendedKeyUsage::OID => "extended key usage",
        _ => "subject alternative names",
    };
    match shown {
        Some(shown) => section.text(name, shown),
        None => section.hex(name, value),
    }
}

fn of_other(section: Section, one: &Extension) -> Section {
    let (oid, value) = (one.extn_id.to_string(), one.extn_value.as_bytes());
    let known = EXTENSIONS.iter().find(|(known, _)| *known == oid);
    let name = known.map_or(oid.as_str(), |(_, name)| name);
    if let Ok(number) = u8::from_der(value) {
        return section.number(name, number);
    }
    match Ia5StringRef::from_der(value) {
        Ok(text) => section.text(name, text.as_str()),
        Err(_) => section.hex(name, value),
    }
}

fn of_pck(section: Section, value: &[u8], der: &[u8]) -> Section {
    let Ok(pck) = parse_pck_extension(der) else { return section.hex("SGX extension", value) };
    let flag = |flag: Option<bool>| match flag {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not said",
    };
    section
        .hex("PPID", &pck.ppid)
        .hex("CPUSVN", &pck.cpu_svn)
        .number("PCESVN", pck.pce_svn)
        .hex("PCE-ID", &pck.pce_id)
        .hex("FMSPC", &pck.fmspc)
        .number("SGX type", pck.sgx_type)
        .optional_hex("platform instance id", pck.platform_instance_id.as_deref())
        .text("dynamic platform", flag(pck.dynamic_platform))
        .text("cached keys", flag(pck.cached_keys))
        .text("SMT enabled", flag(pck.smt_enabled))
}

fn usages(usage: &KeyUsage) -> String {
    let all = [
        (usage.digital_signature(), "digital signature"),
        (usage.non_repudiation(), "non-repudiation"),
        (usage.key_encipherment(), "key encipherment"),
        (usage.data_encipherment(), "data encipherment"),
        (usage.key_agreement(), "key agreement"),
        (usage.key_cert_sign(), "certificates"),
        (usage.crl_sign(), "revocation lists"),
    ];
    let set = all.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name);
    set.collect::<Vec<_>>().join(", ")
}

fn general_name(name: &GeneralName) -> String {
    match name {
        GeneralName::DnsName(name) => format!("DNS {}", name.as_str()),
        GeneralName::Rfc822Name(name) => format!("mail {}", name.as_str()),
        GeneralName::UniformResourceIdentifier(name) => format!("URI {}", name.as_str()),
        GeneralName::DirectoryName(name) => name.to_string(),
        other => format!("{other:?}"),
    }
}

/// Returns the fields of a revocation list.
pub(crate) fn inspect_crl(name: &str, der: &[u8]) -> Result<Section, Refusal> {
    if der.len() > MAX_CRL {
        let expected = format!("a revocation list of at most {MAX_CRL} bytes");
        return Err(Refusal::new(Check::EvidenceSize, expected, der.len()));
    }
    let list = <CertificateList>::from_der(der)
        .map_err(|error| Refusal::new(Check::ChainEncoding, "a revocation list", error))?;
    let tbs = &list.tbs_cert_list;
    let time =
        |time: &x509_cert::time::Time| Timestamp::from_seconds(time.to_unix_duration().as_secs());
    let section =
        Section::new(name).text("issuer", &tbs.issuer).text("this update", time(&tbs.this_update));
    let section = match &tbs.next_update {
        Some(next) => section.text("next update", time(next)),
        None => section.text("next update", "not said"),
    };
    let revoked = tbs.revoked_certificates.as_deref().unwrap_or_default();
    let serials: Vec<String> = revoked.iter().map(|one| one.serial_number.to_string()).collect();
    Ok(section
        .number("revoked certificates", revoked.len())
        .text(
            "serial numbers",
            if serials.is_empty() { "none".to_owned() } else { serials.join(", ") },
        )
        .text("signed with", algorithm(list.signature_algorithm.oid))
        .hex("signature", list.signature.raw_bytes())
        .hex("sha256", Digest::of(der).as_bytes()))
}

fn algorithm(oid: ObjectIdentifier) -> String {
    let oid = oid.to_string();
    let known = ALGORITHMS.iter().find(|(known, _)| *known == oid);
    known.map_or(oid, |(_, name)| (*name).to_owned())
}

fn decode<'a, T: Decode<'a>>(value: &'a [u8]) -> Option<T> {
    T::from_der(value).ok()
}
