use assay_primitives::Timestamp;
use dcap_qvl::quote::{AuthData, Header, Report, TDReport10};
use dcap_qvl::{QeIdentity, TcbInfo};

use super::collateral::{Collateral, Parsed};
use super::pem;
use super::quote::Quote;
use crate::evidence::Context;
use crate::inspect::Section;
use crate::refusal::Checks;
use crate::{EvidenceKind, Policy, Refusal, Roots, x509};

/// The bytes of a quote's header.
const HEADER: usize = 48;

/// Returns the fields of a quote of a kind.
pub(crate) fn inspect_quote(bytes: &[u8], kind: EvidenceKind) -> Result<Vec<Section>, Refusal> {
    let quote = Quote::read(bytes, kind)?;
    let mut sections = vec![of_header(&quote.fields.header)];
    let report = &quote.fields.report;
    sections.push(match quote.bytes.get(HEADER..).filter(|_| report.is_sgx()) {
        Some(enclave) => of_enclave("enclave report", enclave),
        None => of_td_report(report),
    });
    let data = match &quote.fields.auth_data {
        AuthData::V3(data) => data.clone(),
        AuthData::V4(data) => data.clone().into_v3(),
    };
    let signature = Section::new("signature")
        .hex("signature", &data.ecdsa_signature)
        .hex("attestation key", &data.ecdsa_attestation_key)
        .hex("QE report signature", &data.qe_report_signature)
        .hex("QE authentication data", &data.qe_auth_data.data)
        .number("certification data type", data.certification_data.cert_type);
    sections.push(signature);
    sections.push(of_enclave("QE report", &data.qe_report));
    match quote.pck_chain() {
        Some(chain) => sections.extend(of_chain("PCK certificate", chain)?),
        None => {
            let section = Section::new("certification data");
            sections.push(section.hex("bytes", &data.certification_data.body.data));
        }
    }
    Ok(sections)
}

fn of_header(header: &Header) -> Section {
    Section::new("header")
        .number("version", header.version)
        .number("attestation key type", header.attestation_key_type)
        .text("TEE type", format!("{:#x}", header.tee_type))
        .number("QE SVN", header.qe_svn)
        .number("PCE SVN", header.pce_svn)
        .hex("QE vendor", &header.qe_vendor_id)
        .hex("user data", &header.user_data)
}

fn of_td_report(report: &Report) -> Section {
    let mut section = Section::new("TD report");
    if let Some(td) = report.as_td10() {
        section = of_td(section, td);
    }
    if let Some(td) = report.as_td15() {
        section =
            section.hex("tee_tcb_svn_2", &td.tee_tcb_svn2).hex("mrservicetd", &td.mr_service_td);
    }
    if let Some(td) = report.as_td15_ex() {
        section = section
            .number("vmid", td.vmid)
            .hex("td_id", &td.td_id)
            .hex("dev_info", &td.dev_info)
            .hex("init_servtd_hash", &td.init_service_td_hash)
            .hex("init_servtd_attributes", &td.init_service_td_attributes)
            .hex("init_cpusvn", &td.init_cpu_svn)
            .hex("init_tee_tcb_svn", &td.init_tee_tcb_svn)
            .hex("init_tee_fmspc", &td.init_tee_fmspc)
            .hex("cur_servtd_hash", &td.cur_service_td_hash)
            .hex("cur_servtd_attributes", &td.cur_service_td_attributes);
    }
    section
}

fn of_td(section: Section, td: &TDReport10) -> Section {
    section
        .hex("tee_tcb_svn", &td.tee_tcb_svn)
        .hex("mrseam", &td.mr_seam)
        .hex("mrsignerseam", &td.mr_signer_seam)
        .hex("seamattributes", &td.seam_attributes)
        .hex("tdattributes", &td.td_attributes)
        .hex("xfam", &td.xfam)
        .hex("mrtd", &td.mr_td)
        .hex("mrconfigid", &td.mr_config_id)
        .hex("mrowner", &td.mr_owner)
        .hex("mrownerconfig", &td.mr_owner_config)
        .hex("rtmr0", &td.rt_mr0)
        .hex("rtmr1", &td.rt_mr1)
        .hex("rtmr2", &td.rt_mr2)
        .hex("rtmr3", &td.rt_mr3)
        .hex("report_data", &td.report_data)
}

/// Returns the fields of an enclave's report (Intel SDM volume 3D, table "REPORT").
fn of_enclave(name: &str, report: &[u8]) -> Section {
    let at = |from: usize, length: usize| report.get(from..from + length).unwrap_or_default();
    let number = |from, length| {
        at(from, length).iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte))
    };
    Section::new(name)
        .hex("cpusvn", at(0, 16))
        .text("miscselect", format!("{:#x}", number(16, 4)))
        .hex("attributes", at(48, 16))
        .hex("mrenclave", at(64, 32))
        .hex("mrsigner", at(128, 32))
        .number("isvprodid", number(256, 2))
        .number("isvsvn", number(258, 2))
        .hex("report_data", at(320, 64))
}

/// Returns the fields of collateral.
pub(crate) fn inspect_collateral(collateral: &Collateral) -> Result<Vec<Section>, Refusal> {
    // Reading asks for no time, root or policy.
    let (roots, policy) = (Roots::vendors(), Policy::default());
    let now = Timestamp::from_millis(0);
    let context = Context { now, roots: &roots, policy: &policy, checks: Checks::default() };
    let parsed = Parsed::read(collateral, &context)?;
    let mut sections = vec![of_tcb_info(&parsed.tcb_info, &collateral.tcb_info_signature)];
    sections.extend(of_chain("TCB signer", collateral.tcb_info_issuer_chain.as_bytes())?);
    sections.push(of_qe_identity(&parsed.qe_identity, &collateral.qe_identity_signature));
    sections.extend(of_chain("QE signer", collateral.qe_identity_issuer_chain.as_bytes())?);
    if let Some(chain) = &collateral.pck_certificate_chain {
        sections.extend(of_chain("PCK certificate", chain.as_bytes())?);
    }
    sections.push(x509::inspect_crl("revocation list of the root", &collateral.root_ca_crl)?);
    let name = "revocation list of PCK certificates";
    sections.push(x509::inspect_crl(name, &collateral.pck_crl)?);
    Ok(sections)
}

fn of_tcb_info(tcb: &TcbInfo, signature: &[u8]) -> Section {
    let section = Section::new("TCB information")
        .text("id", &tcb.id)
        .number("version", tcb.version)
        .text("issueDate", &tcb.issue_date)
        .text("nextUpdate", &tcb.next_update)
        .text("fmspc", &tcb.fmspc)
        .text("pceId", &tcb.pce_id)
        .number("tcbType", tcb.tcb_type)
        .number("tcbEvaluationDataNumber", tcb.tcb_evaluation_data_number);
    let section = match &tcb.tdx_module {
        Some(module) => section
            .text("tdxModule mrsigner", &module.mrsigner)
            .text("tdxModule attributes", &module.attributes)
            .text("tdxModule attributesMask", &module.attributes_mask),
        None => section,
    };
    let section = section.all(&tcb.tdx_module_identities, |section, module| {
        let section = section
            .text(format!("{} mrsigner", module.id), &module.mrsigner)
            .text(format!("{} attributes", module.id), &module.attributes)
            .text(format!("{} attributesMask", module.id), &module.attributes_mask);
        section.all(&module.tcb_levels, |section, level| {
            let name = format!("{} isvsvn {}", module.id, level.tcb.isvsvn);
            let status = level.tcb_status.to_string();
            section.text(name, of_level(&status, &level.tcb_date, &level.advisory_ids))
        })
    });
    let svns = |parts: &[dcap_qvl::tcb_info::TcbComponents]| {
        let svns: Vec<String> = parts.iter().map(|part| part.svn.to_string()).collect();
        svns.join(" ")
    };
    let levels = tcb.tcb_levels.iter().enumerate();
    let section = section.all(levels, |section, (at, level)| {
        let status = level.tcb_status.to_string();
        let said = of_level(&status, &level.tcb_date, &level.advisory_ids);
        let parts = &level.tcb;
        let tdx = match parts.tdx_components.as_slice() {
            [] => String::new(),
            tdx => format!("; TDX {}", svns(tdx)),
        };
        let sgx = svns(&parts.sgx_components);
        section
            .text(format!("level {at}"), format!("{said}; PCE {}; SGX {sgx}{tdx}", parts.pce_svn))
    });
    section.hex("signature", signature)
}

fn of_qe_identity(qe: &QeIdentity, signature: &[u8]) -> Section {
    Section::new("QE identity")
        .text("id", &qe.id)
        .number("version", qe.version)
        .text("issueDate", &qe.issue_date)
        .text("nextUpdate", &qe.next_update)
        .number("tcbEvaluationDataNumber", qe.tcb_evaluation_data_number)
        .hex("miscselect", &qe.miscselect)
        .hex("miscselectMask", &qe.miscselect_mask)
        .hex("attributes", &qe.attributes)
        .hex("attributesMask", &qe.attributes_mask)
        .hex("mrsigner", &qe.mrsigner)
        .number("isvprodid", qe.isvprodid)
        .all(&qe.tcb_levels, |section, level| {
            let name = format!("isvsvn {}", level.tcb.isvsvn);
            let status = level.tcb_status.to_string();
            section.text(name, of_level(&status, &level.tcb_date, &level.advisory_ids))
        })
        .hex("signature", signature)
}

fn of_level(status: &str, date: &str, advisories: &[String]) -> String {
    match advisories {
        [] => format!("{status}, {date}"),
        _ => format!("{status}, {date}, {}", advisories.join(" ")),
    }
}

fn of_chain(what: &str, chain: &[u8]) -> Result<Vec<Section>, Refusal> {
    let chain = pem::read(chain, what)?;
    let named = chain.iter().enumerate();
    Ok(named.map(|(at, der)| x509::inspect(&format!("{what}, chain {at}"), der)).collect())
}
