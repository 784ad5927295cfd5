//! The appraisal policy: which evidence is accepted.

mod reference;

use std::time::Duration;

use assay_primitives::{Timestamp, encoding, optional_duration};
use serde::Deserialize;
use thiserror::Error;

pub use self::reference::ReferenceValue;
use crate::refusal::Checks;
use crate::{Attested, Check, Claims, EvidenceKind, Refusal, Strength};

/// How far apart the clocks of a platform, of what is attested on it, and of who judges it may be.
pub const MAX_SKEW: Duration = Duration::from_secs(300);

/// What evidence is accepted (RFC 9334, "appraisal policy for evidence"). [`Policy::default`] accepts
/// every kind of TEE from a vendor's root without debug mode, whatever it measured; of Intel's, what
/// is up to date. AMD gives no status: of its TCB any version is accepted, with a warning.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The kinds that are accepted.
    pub kinds: Option<Vec<EvidenceKind>>,
    /// The least strength; `tee` if not given.
    pub min_strength: Option<Strength>,
    /// Accept evidence of a debug mode, in which who runs the machine can look inside.
    #[serde(default)]
    pub allow_debug: bool,
    /// The measurements that are accepted; any if not given.
    #[serde(default, deserialize_with = "reference::read")]
    pub reference_values: Option<Vec<ReferenceValue>>,
    /// The greatest age of evidence whose platform has a clock, as `1h`.
    #[serde(default, deserialize_with = "optional_duration")]
    pub max_age: Option<Duration>,
    /// The statuses of Intel's TCB that are accepted; `UpToDate` if not given.
    pub tcb_statuses: Option<Vec<TcbStatus>>,
    /// The least evaluation number of Intel's TCB information: an old one knows no newer advisories.
    pub min_tcb_evaluation_data_number: Option<u32>,
    /// What is accepted of AMD SEV-SNP.
    #[serde(default)]
    pub snp: SnpPolicy,
}

/// A status of Intel's TCB, as its collateral says it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[non_exhaustive]
pub enum TcbStatus {
    /// Nothing is to be mended.
    UpToDate,
    /// The software in the enclave has to be hardened.
    SWHardeningNeeded,
    /// The platform's configuration is to be changed.
    ConfigurationNeeded,
    /// Both.
    ConfigurationAndSWHardeningNeeded,
    /// There are updates.
    OutOfDate,
    /// There are updates, and the configuration is to be changed.
    OutOfDateConfigurationNeeded,
}

/// What is accepted of AMD SEV-SNP.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpPolicy {
    /// The least version of the boot loader.
    pub min_bootloader: Option<u8>,
    /// The least version of the TEE.
    pub min_tee: Option<u8>,
    /// The least version of the SNP firmware.
    pub min_snp: Option<u8>,
    /// The least version of the microcode.
    pub min_microcode: Option<u8>,
    /// The least version of the FMC, which Turin has.
    pub min_fmc: Option<u8>,
    /// The products that are accepted, as `Genoa`; all if not given. Milan is accepted with a warning:
    /// that its VCEK seed can be read by software is claimed (arXiv 2605.12990).
    pub products: Option<Vec<String>>,
    /// Accept a guest that may have a migration agent.
    #[serde(default)]
    pub allow_migration_agent: bool,
}

/// A policy that cannot be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("attestation policy: {0}")]
pub struct PolicyError(String);

impl Policy {
    /// Reads a policy in TOML.
    ///
    /// # Errors
    /// Names the line and the field.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        toml::from_str(text).map_err(|error| PolicyError(error.to_string().trim_end().to_owned()))
    }

    /// Returns the reference value that claims match, if the policy has one.
    #[must_use]
    pub fn reference_value(&self, claims: &Claims) -> Option<&ReferenceValue> {
        self.reference_values.iter().flatten().find(|value| value.matches(claims))
    }

    /// Says whether the policy pins what accepted claims rest on: the code, by a reference value, and the
    /// versions of a platform whose vendor gives no status of them.
    #[must_use]
    pub fn pins(&self, claims: &Claims) -> bool {
        let is_open = claims.tcb.as_ref().is_some_and(|tcb| !tcb.open.is_empty());
        self.reference_value(claims).is_some() && !is_open
    }

    /// Judges claims whose signatures hold, at a time.
    pub(crate) fn accept(
        &self,
        claims: Claims,
        now: Timestamp,
        checks: Checks,
    ) -> Result<Attested, Refusal> {
        if let Some(kinds) = &self.kinds {
            let expected = kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
            checks.require(
                Check::PolicyKind,
                kinds.contains(&claims.kind),
                expected,
                claims.kind,
            )?;
        }
        let is_open = claims.debug && !self.allow_debug;
        checks.require(Check::PolicyDebug, !is_open, "no debug mode", "debug mode")?;
        let least = self.min_strength.unwrap_or(Strength::Tee);
        let is_strong = claims.strength >= least;
        checks.require(Check::PolicyStrength, is_strong, least, claims.strength)?;
        self.check_time(&claims, now, checks)?;
        self.check_measurements(&claims, checks)?;
        Ok(Attested::assertion(claims))
    }

    /// Judges the claims of a GPU beside an accepted CPU: what it measured is not compared, so its
    /// strength does not count.
    pub(crate) fn accept_gpu(
        &self,
        claims: Claims,
        now: Timestamp,
        checks: Checks,
    ) -> Result<Attested, Refusal> {
        let policy = Self {
            kinds: None,
            min_strength: Some(Strength::SignatureOnly),
            reference_values: None,
            ..self.clone()
        };
        policy.accept(claims, now, checks)
    }

    fn check_time(&self, claims: &Claims, now: Timestamp, checks: Checks) -> Result<(), Refusal> {
        let Some(time) = claims.time else { return Ok(()) };
        let latest = now.plus(MAX_SKEW);
        checks.require(Check::EvidenceTime, time <= latest, format!("at most {latest}"), time)?;
        let Some(max_age) = self.max_age else { return Ok(()) };
        let oldest = now.minus(max_age);
        checks.require(Check::PolicyAge, time >= oldest, format!("{oldest} or later"), time)
    }

    fn check_measurements(&self, claims: &Claims, checks: Checks) -> Result<(), Refusal> {
        let Some(values) = &self.reference_values else { return Ok(()) };
        if self.reference_value(claims).is_some() {
            return Ok(());
        }
        let of_kind = || values.iter().filter(|value| value.kind == claims.kind);
        let expected: Vec<String> = of_kind().take(4).map(|value| value.shown(claims)).collect();
        let mut named = of_kind().flat_map(|value| value.measurements.keys());
        let got: Vec<String> = claims
            .measurements
            .iter()
            .filter(|measurement| named.any(|name| *name == measurement.name))
            .map(|m| format!("{} {}", m.name, encoding::hex(&m.value)))
            .collect();
        let expected = match expected.as_slice() {
            [] => format!("a reference value of kind {}", claims.kind),
            _ => expected.join(" or "),
        };
        let got = if got.is_empty() { "none of these".to_owned() } else { got.join(", ") };
        checks.fail(Refusal::new(Check::PolicyMeasurement, expected, got))
    }
}
