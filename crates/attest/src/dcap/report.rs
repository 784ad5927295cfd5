//! What reports measure.

use dcap_qvl::quote::{EnclaveReport, Report, TDReport10, TDReport15};

use crate::Measurement;

/// Bits 7 to 0 of a TD's attributes: whoever sets one of them opens the TD to debuggers or profilers
/// (Intel TDX Module ABI, "ATTRIBUTES").
const TD_UNDER_DEBUG: u8 = 0xff;
/// Bit 1 of an enclave's attributes (Intel SDM volume 3D, "ATTRIBUTES").
const ENCLAVE_DEBUG: u8 = 0x02;

/// Says whether who runs the machine can look inside.
pub(super) fn is_debug(report: &Report) -> bool {
    let (attributes, bits) = match (report.as_td10(), report.as_sgx()) {
        (Some(td), _) => (td.td_attributes.first(), TD_UNDER_DEBUG),
        (None, Some(enclave)) => (enclave.attributes.first(), ENCLAVE_DEBUG),
        (None, None) => (None, 0),
    };
    attributes.is_none_or(|first| first & bits != 0)
}

/// Returns the 64 bytes that the attested software chose.
pub(super) fn data(report: &Report) -> &[u8] {
    let of_td = report.as_td10().map(|td| &td.report_data);
    of_td.or_else(|| report.as_sgx().map(|enclave| &enclave.report_data)).map_or(&[], |data| data)
}

/// Returns what was measured or set before the software ran, and what it extended since. What the
/// software chose is not among it.
pub(super) fn measurements(report: &Report) -> Vec<Measurement> {
    let mut all = Vec::new();
    if let Some(td) = report.as_td10() {
        all.extend(of_td(td));
    }
    if let Some(td) = report.as_td15() {
        all.extend(of_service(td));
    }
    if let Some(enclave) = report.as_sgx() {
        all.extend(of_enclave(enclave));
    }
    all
}

fn of_td(td: &TDReport10) -> impl Iterator<Item = Measurement> {
    let values: [(&str, &[u8]); 13] = [
        ("mrtd", &td.mr_td),
        ("rtmr0", &td.rt_mr0),
        ("rtmr1", &td.rt_mr1),
        ("rtmr2", &td.rt_mr2),
        ("rtmr3", &td.rt_mr3),
        ("mrconfigid", &td.mr_config_id),
        ("mrowner", &td.mr_owner),
        ("mrownerconfig", &td.mr_owner_config),
        ("mrseam", &td.mr_seam),
        ("mrsignerseam", &td.mr_signer_seam),
        ("seamattributes", &td.seam_attributes),
        ("tdattributes", &td.td_attributes),
        ("xfam", &td.xfam),
    ];
    values.map(named).into_iter()
}

fn of_service(td: &TDReport15) -> impl Iterator<Item = Measurement> {
    [named(("mrservicetd", &td.mr_service_td))].into_iter()
}

/// Numbers have their most significant byte first.
fn of_enclave(enclave: &EnclaveReport) -> impl Iterator<Item = Measurement> {
    let (product, version) = (enclave.isv_prod_id.to_be_bytes(), enclave.isv_svn.to_be_bytes());
    let values: [(&str, &[u8]); 5] = [
        ("mrenclave", &enclave.mr_enclave),
        ("mrsigner", &enclave.mr_signer),
        ("isvprodid", &product),
        ("isvsvn", &version),
        ("attributes", &enclave.attributes),
    ];
    values.map(named).into_iter()
}

fn named((name, value): (&str, &[u8])) -> Measurement {
    Measurement { name: name.to_owned(), value: value.to_vec() }
}
