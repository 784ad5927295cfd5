//! Reference values: the measurements of code that is accepted.

use std::collections::BTreeMap;

use assay_primitives::encoding;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::{Claims, EvidenceKind};

/// Measurements that are accepted together, and where they come from.
///
/// They have to say which code runs. What whoever starts the machine writes into the evidence
/// (`host_data`, `mrconfigid`), and what measures its firmware alone (`mrtd`), may be named beside.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceValue {
    /// What it is, as `assay-enclave 0.1.0`.
    pub name: String,
    /// The kind of evidence that shows it.
    pub kind: EvidenceKind,
    /// The commit of the source that it was built from.
    pub source: Option<String>,
    /// Who built it.
    pub builder: Option<String>,
    /// The measurements by name, in hexadecimal. Others may have any value.
    #[serde(deserialize_with = "measurements")]
    pub measurements: BTreeMap<String, String>,
}

impl ReferenceValue {
    pub(super) fn matches(&self, claims: &Claims) -> bool {
        let same = |(name, value): (&String, &String)| {
            claims.measurement(name).is_some_and(|got| encoding::hex(got) == *value)
        };
        self.kind == claims.kind
            && self.lacks().is_none()
            && (self.names_boot() || !has_tpm(claims))
            && self.measurements.iter().all(same)
    }

    pub(super) fn shown(&self, claims: &Claims) -> String {
        let values = self.measurements.iter().map(|(name, value)| format!("{name} {value}"));
        let mut values: Vec<String> = values.collect();
        if let Some(lacking) = self.lacks() {
            values.push(format!("without {lacking}"));
        } else if has_tpm(claims) && !self.names_boot() {
            values.push("without pcr4, which says what was booted".to_owned());
        }
        format!("`{}` ({})", self.name, values.join(", "))
    }

    /// Returns what has to be named for the value to say which code runs, unless it is named.
    fn lacks(&self) -> Option<&'static str> {
        let has = |name: &str| self.measurements.contains_key(name);
        let (holds, needed) = match self.kind {
            EvidenceKind::Nitro => (has("pcr0"), "pcr0"),
            EvidenceKind::Sgx => {
                let is_signed = has("mrsigner") && has("isvprodid");
                (has("mrenclave") || is_signed, "mrenclave, or mrsigner and isvprodid")
            }
            EvidenceKind::Snp => (has("measurement"), "measurement"),
            // RTMR 0 is the firmware's configuration, 3 the guest's own to extend.
            EvidenceKind::Tdx => {
                let is_booted = has("rtmr1") && has("rtmr2") || self.names_boot();
                (has("mrtd") && is_booted, "mrtd, rtmr1 and rtmr2, or on Azure mrtd and pcr4")
            }
            EvidenceKind::Tpm => (self.names_boot(), "pcr4"),
            EvidenceKind::Nvidia => (!self.measurements.is_empty(), "a measurement"),
        };
        (!holds).then_some(needed)
    }

    /// Says whether it names PCR 4, which the firmware extends with the program that it starts, before
    /// that runs. A PCR that nothing has been measured into by then takes whatever that program says,
    /// PCR 11 as well.
    fn names_boot(&self) -> bool {
        self.measurements.keys().any(|name| name == "pcr4" || name.starts_with("pcr4-"))
    }
}

/// Says whether claims have PCRs of a TPM: the measurement of the launch then is of firmware, and they
/// say what that booted.
fn has_tpm(claims: &Claims) -> bool {
    let is_pcr = |name: &str| name.starts_with("pcr");
    claims.kind != EvidenceKind::Nitro && claims.measurements.iter().any(|one| is_pcr(&one.name))
}

/// Reads reference values, each of which says which code runs.
pub(super) fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<ReferenceValue>>, D::Error> {
    let values = Vec::<ReferenceValue>::deserialize(deserializer)?;
    for value in &values {
        if let Some(needed) = value.lacks() {
            let (name, kind) = (&value.name, value.kind);
            let what = "does not say which code runs";
            return Err(D::Error::custom(format!(
                "the reference value `{name}` {what}: one of kind {kind} has to name {needed}"
            )));
        }
    }
    Ok(Some(values))
}

/// Reads what is to be compared: a policy whose values nothing can match would refuse everything.
fn measurements<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let measurements = BTreeMap::<String, String>::deserialize(deserializer)?;
    for (name, value) in &measurements {
        let is_hex = value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if value.is_empty() || value.len() % 2 != 0 || !is_hex {
            return Err(D::Error::custom(format!("`{name}` is not lower-case hexadecimal")));
        }
    }
    Ok(measurements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Measurement, Policy, testing};

    fn toml(kind: EvidenceKind, names: &[&str]) -> String {
        let named: Vec<String> = names.iter().map(|name| format!("{name} = \"00\"")).collect();
        let named = named.join(", ");
        format!(
            "[[reference_values]]\nname = \"a\"\nkind = \"{kind}\"\nmeasurements = {{ {named} }}"
        )
    }

    fn claims(kind: EvidenceKind, names: &[&str]) -> Claims {
        let of = |name: &&str| Measurement { name: (*name).to_owned(), value: vec![0] };
        Claims { measurements: names.iter().map(of).collect(), ..testing::claims(kind) }
    }

    /// What the host, the guest or the firmware alone decides pins nobody's code.
    #[test]
    fn a_reference_value_says_which_code_runs() {
        use EvidenceKind::{Nitro, Nvidia, Sgx, Snp, Tdx, Tpm};
        let cases: &[(EvidenceKind, &[&str], bool)] = &[
            (Nitro, &["pcr0"], true),
            (Nitro, &["pcr1", "pcr2", "pcr3", "pcr4", "pcr8", "pcr16"], false),
            (Tdx, &["mrtd", "rtmr1", "rtmr2"], true),
            (Tdx, &["mrtd", "pcr4"], true),
            (Tdx, &["mrtd", "pcr4-sha384"], true),
            (Tdx, &["mrtd"], false),
            (Tdx, &["mrtd", "rtmr0", "rtmr1", "rtmr3"], false),
            (Tdx, &["mrtd", "rtmr2", "pcr7", "pcr11", "pcr40"], false),
            (Tdx, &["rtmr1", "rtmr2", "pcr4"], false),
            (Tdx, &["mrconfigid", "mrowner", "mrownerconfig", "xfam", "tdattributes"], false),
            (Snp, &["measurement", "host_data"], true),
            (Snp, &["host_data", "image_id", "family_id", "id_key_digest", "pcr4"], false),
            (Sgx, &["mrenclave"], true),
            (Sgx, &["mrsigner", "isvprodid"], true),
            (Sgx, &["mrsigner"], false),
            (Sgx, &["isvprodid", "isvsvn", "attributes"], false),
            (Tpm, &["pcr4"], true),
            (Tpm, &["pcr4-sha384", "pcr11"], true),
            (Tpm, &["pcr0", "pcr7", "pcr11", "pcr16", "pcr23"], false),
            (Nvidia, &["m3"], true),
            (Nvidia, &[], false),
        ];
        for (kind, names, says) in cases {
            let read = Policy::from_toml(&toml(*kind, names));
            assert_eq!(read.is_ok(), *says, "{kind} {names:?}");
            // Made by hand it matches nothing.
            let value = ReferenceValue {
                name: "a".to_owned(),
                kind: *kind,
                source: None,
                builder: None,
                measurements: names.iter().map(|n| ((*n).to_owned(), "00".to_owned())).collect(),
            };
            assert_eq!(value.matches(&claims(*kind, names)), *says, "{kind} {names:?}");
            if let Err(error) = read {
                let lacking = format!("one of kind {kind} has to name {}", value.lacks().unwrap());
                assert!(error.to_string().contains(&lacking), "{error}");
            }
        }
    }

    /// The hardware measured a TPM's firmware alone: the PCRs say what that booted.
    #[test]
    fn where_there_is_a_tpm_the_launch_alone_says_nothing() {
        let value = |kind, names: &[&str]| {
            Policy::from_toml(&toml(kind, names)).unwrap().reference_values.unwrap().remove(0)
        };
        for (kind, launch) in [
            (EvidenceKind::Snp, &["measurement"][..]),
            (EvidenceKind::Tdx, &["mrtd", "rtmr1", "rtmr2"]),
        ] {
            let guest = claims(kind, launch);
            let azure = claims(kind, &[launch, &["pcr4", "pcr7"]].concat());
            let of_launch = value(kind, launch);
            assert!(of_launch.matches(&guest) && !of_launch.matches(&azure));
            assert!(of_launch.shown(&azure).contains("without pcr4"));
            assert!(!of_launch.shown(&guest).contains("without"));
            let of_boot = value(kind, &[launch, &["pcr4"]].concat());
            assert!(of_boot.matches(&azure) && !of_boot.matches(&guest));
        }
    }
}
