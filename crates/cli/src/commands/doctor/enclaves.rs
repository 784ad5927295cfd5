//! The enclaves that run elsewhere: whether they answer, whether their evidence would be accepted, and
//! whether they are of an image that the operator lists.

use std::sync::Arc;
use std::time::Duration;

use assay_attest::{Images, KeyAppraiser, Roots};
use assay_enclave::{Address, Client};
use assay_primitives::Timestamp;
use tokio::task::spawn_blocking;

use super::Patient;
use super::report::Report;
use crate::node;

/// How long an enclave may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How it is mended that none answers, and that its image is not listed.
const START: &str = "start `assay enclave` there, or mend tee.enclaves (ASSAY_TEE_ENCLAVES)";
const LIST: &str = "run the image that is listed there; or, where identity.pem is, list this one by \
                    `assay key measure`, bring manifest.json here, and restart the gateway";

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
    let listed = patient.manifest.as_ref().map(|manifest| &manifest.content().enclave_measurements);
    let images = listed.map(|listed| Images::from_texts(listed)).unwrap_or_default();
    let judge = Arc::new(Judge { appraiser: KeyAppraiser::new(Roots::vendors(), policy), images });
    for address in addresses {
        let (judge, now) = (judge.clone(), patient.clock.now());
        let looked = spawn_blocking(move || judge.look(address, now)).await;
        match looked.unwrap_or_else(|error| Err((error.to_string(), START))) {
            Ok(found) => report.ok("enclaves", found),
            Err((found, mend)) => report.wrong("enclaves", found, mend),
        }
    }
}

/// How evidence is judged.
struct Judge {
    appraiser: KeyAppraiser,
    images: Images,
}

/// What was found, or what is wrong and how it is mended.
type Looked = Result<String, (String, &'static str)>;

impl Judge {
    fn look(&self, address: Address, now: Timestamp) -> Looked {
        let file = Client::new(address, ANSWER).attestation();
        self.judge(address, &file.map_err(|error| (error.to_string(), START))?, now)
    }

    fn judge(&self, address: Address, file: &[u8], now: Timestamp) -> Looked {
        let key = self.appraiser.appraise(file, now).map_err(|refusal| {
            (format!("enclave {address}: its evidence is refused: {refusal}"), START)
        })?;
        self.images.find(key.attested()).map_err(|unlisted| {
            (format!("enclave {address}: it is not in the key manifest: {unlisted}"), LIST)
        })?;
        let (binding, claims) = (key.binding(), key.attested());
        let (kind, models, until) =
            (claims.kind, binding.configuration.models.len(), binding.not_after);
        Ok(format!("{address}: {kind}, {models} models, its key is used until {until}"))
    }
}

#[cfg(test)]
mod tests {
    use assay_attest::collect::{Attester as _, SimulatedNitro, SimulatedNitroRoot};
    use assay_attest::{EnclaveConfiguration, KeyAttestation, KeyBinding, Policy};
    use assay_primitives::{SystemRandomness, encoding};
    use assay_receipt::{EngineUsed, EvidenceScope, SigningKey};
    use assay_testkit::FakeClock;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const IMAGE: [u8; 48] = [0xab; 48];

    #[test]
    fn an_enclave_of_another_image_is_told() {
        let root = SimulatedNitroRoot::generate(NOW).unwrap();
        let roots = Roots::vendors().with_development(root.certificate().clone());
        let module = SimulatedNitro::new(root, IMAGE, Arc::new(FakeClock::new(NOW)));
        let key = SigningKey::generate(&SystemRandomness).unwrap();
        let engine = EngineUsed { name: "tract".to_owned(), version: "1".to_owned() };
        let configuration =
            EnclaveConfiguration { engine, models: Vec::new(), scope: EvidenceScope::Model };
        let epoch = (NOW, NOW.plus(Duration::from_secs(1_800)));
        let binding = KeyBinding::new(key.public(), epoch, configuration);
        let evidence = module.attest(&binding).unwrap();
        let file = KeyAttestation::new(binding, evidence).to_bytes().unwrap();
        let judged = |roots: &Roots, images: &[String]| {
            let appraiser = KeyAppraiser::new(roots.clone(), Policy::default());
            let judge = Judge { appraiser, images: Images::from_texts(images) };
            judge.judge("tcp:127.0.0.1:1".parse().unwrap(), &file, NOW)
        };
        let pcr0 = |image: &[u8]| format!("nitro:pcr0={}", encoding::hex(image));
        let (own, other) = (pcr0(&IMAGE), pcr0(&[0; 48]));
        assert!(judged(&roots, &[]).is_ok());
        let both = [other.clone(), own.clone()];
        assert!(judged(&roots, &both).unwrap().contains("nitro, 0 models"));
        let (found, mend) = judged(&roots, std::slice::from_ref(&other)).unwrap_err();
        assert!(found.contains("not in the key manifest") && mend == LIST, "{found}");
        assert!(found.contains(&other) && found.contains(&own), "{found}");
        let (found, mend) = judged(&Roots::vendors(), &[]).unwrap_err();
        assert!(found.contains("its evidence is refused: chain.root") && mend == START, "{found}");
    }
}
