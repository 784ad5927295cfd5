//! The enclaves that run elsewhere: whether they answer, and whether their evidence would be accepted.

use std::time::Duration;

use assay_attest::KeyAppraiser;
use assay_enclave::{Address, Client};
use assay_primitives::Timestamp;
use tokio::task::spawn_blocking;

use super::Patient;
use super::report::Report;
use crate::node;

/// How long an enclave may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Asks each enclave of `tee.enclaves` for its evidence, and judges that as the gateway will.
pub(super) async fn all(patient: &Patient, report: &mut Report) {
    let Ok(addresses) = patient.config.tee.enclaves() else { return };
    let policy = match node::attestation_policy(patient.config.tee.policy.as_deref()) {
        Ok(policy) => policy,
        Err(error) => {
            let mend = "tee.policy (ASSAY_TEE_POLICY): a file with an attestation policy";
            return report.wrong("enclaves", error.to_string(), mend);
        }
    };
    for address in addresses {
        let (policy, now) = (policy.clone(), patient.clock.now());
        let looked = spawn_blocking(move || look(address, policy, now)).await;
        let mend = "start `assay enclave` there, or mend tee.enclaves (ASSAY_TEE_ENCLAVES)";
        match looked.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(found) => report.ok("enclaves", found),
            Err(error) => report.wrong("enclaves", error, mend),
        }
    }
}

fn look(address: Address, policy: assay_attest::Policy, now: Timestamp) -> Result<String, String> {
    let file = Client::new(address, ANSWER).attestation().map_err(|error| error.to_string())?;
    let appraiser = KeyAppraiser::new(assay_attest::Roots::vendors(), policy);
    let key = appraiser
        .appraise(&file, now)
        .map_err(|refusal| format!("enclave {address}: its evidence is refused: {refusal}"))?;
    let (binding, claims) = (key.binding(), key.attested());
    let (kind, models, until) =
        (claims.kind, binding.configuration.models.len(), binding.not_after);
    Ok(format!("{address}: {kind}, {models} models, its key is used until {until}"))
}
