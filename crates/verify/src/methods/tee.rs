use assay_attest::{
    AttestedKey, EvidenceKind, KEY_ATTESTATION_MEDIA_TYPE, KeyAppraiser, Policy, Roots,
};
use assay_primitives::{Digest, Method};
use assay_receipt::{DSSE_MEDIA_TYPE, EnclaveStatement, EvidenceScope, SignedEnclaveStatement};

use super::{Certification, ItemEvidence, MethodContext, MethodVerifier};
use crate::{Check, Refusal};

/// How much the receipt's clock may be behind the enclave's.
const MAX_SKEW: std::time::Duration = std::time::Duration::from_secs(300);

/// The `tee` method: a key that lives in an attested enclave signed the item.
///
/// Two pieces of evidence: the key attestation of the epoch, and the enclave's statement, signed with
/// its key. The attestation is judged as of the time of the statement: evidence of an enclave expires
/// within hours, and what was signed while it was good stays good.
#[derive(Debug)]
pub struct Tee {
    appraiser: KeyAppraiser,
}

impl Tee {
    /// Makes the verifier: whom evidence may end at, and what is accepted of it.
    #[must_use]
    pub fn new(roots: Roots, policy: Policy) -> Self {
        Self { appraiser: KeyAppraiser::new(roots, policy) }
    }

    fn check(&self, context: &MethodContext<'_>) -> Result<Certification, Refusal> {
        let [attestation, statement] = evidence(context)?;
        let signed = SignedEnclaveStatement::from_bytes(statement.content)
            .map_err(|error| refusal("an enclave's statement", error))?;
        let at = signed.claimed_time();
        let latest = context.receipt.predicate().issued_at.plus(MAX_SKEW);
        if at > latest {
            return Err(refusal(format!("a statement signed at {latest} or before"), at));
        }
        let key = self.appraiser.appraise(attestation.content, at);
        let key = key.map_err(|why| {
            let expected = format!("{}: {}", why.check, why.expected);
            refusal(expected, format!("{} (as of {at})", why.got))
        })?;
        let statement =
            signed.verify(key.key()).map_err(|error| refusal("the enclave's signature", error))?;
        check_statement(context, statement, &key)?;
        Ok(self.certification(context, &key))
    }

    fn certification(&self, context: &MethodContext<'_>, key: &AttestedKey) -> Certification {
        let claims = key.attested();
        let is_pinned = self.appraiser.policy().reference_values.is_some();
        let mut notes = Vec::new();
        if key.is_simulated() {
            notes.push("enclave: simulated, its evidence ends at a development root".to_owned());
        }
        if !is_pinned {
            notes.push("enclave: its measurements are as reported, no policy pins them".to_owned());
        }
        if key.binding().configuration.scope == EvidenceScope::Gateway {
            notes.push("scope: the enclave asked a provider, the model ran elsewhere".to_owned());
        }
        if key.is_rotated_away(context.now) {
            let end = key.binding().not_after;
            notes.push(format!(
                "enclave: its key was in use until {end}, and was judged as of then"
            ));
        }
        notes.extend(claims.warnings.iter().map(|warning| format!("enclave: {warning}")));
        let believe = if key.is_simulated() {
            "nobody: its enclave is simulated".to_owned()
        } else {
            format!("{}, and the code that was measured in the enclave", vendor(claims.kind))
        };
        Certification { believe, simulated: key.is_simulated(), is_pinned, notes }
    }
}

impl MethodVerifier for Tee {
    fn method(&self) -> Method {
        Method::TEE
    }

    fn verify(&self, context: &MethodContext<'_>) -> Result<Certification, Refusal> {
        self.check(context)
    }
}

/// Returns the attestation and the statement, which are all the evidence there is.
fn evidence<'a>(context: &MethodContext<'a>) -> Result<[&'a ItemEvidence<'a>; 2], Refusal> {
    let kinds: Vec<&str> =
        context.evidence.iter().map(|one| one.reference.kind.as_str()).take(4).collect();
    match context.evidence {
        [attestation, statement] if kinds == [KEY_ATTESTATION_MEDIA_TYPE, DSSE_MEDIA_TYPE] => {
            Ok([attestation, statement])
        }
        _ => {
            let expected = format!("`{KEY_ATTESTATION_MEDIA_TYPE}` and `{DSSE_MEDIA_TYPE}`");
            Err(refusal(expected, format!("[{}]", kinds.join(", "))))
        }
    }
}

/// Checks that the enclave's statement is about this item, and within what its key was attested for.
fn check_statement(
    context: &MethodContext<'_>,
    statement: &EnclaveStatement,
    key: &AttestedKey,
) -> Result<(), Refusal> {
    let (item, details) = (context.item, &context.item.details);
    let commitment = |what: &str, expected: Digest, got: Digest| match expected == got {
        true => Ok(()),
        false => Err(refusal(format!("the item's {what} commitment {expected}"), got)),
    };
    commitment("request", item.request_commitment, statement.request_commitment)?;
    commitment("output", item.output_commitment, statement.output_commitment)?;
    if statement.model != details.model {
        let shown = |model: &assay_receipt::ModelUsed| {
            let engine = &model.engine;
            let (name, version, id) = (&model.name, &model.version, model.id());
            format!("{name} {version} {id} by {} {}", engine.name, engine.version)
        };
        return Err(refusal(shown(&details.model), shown(&statement.model)));
    }
    if statement.usage != details.usage {
        let (expected, got) = (details.usage.inferences, statement.usage.inferences);
        return Err(refusal(format!("{expected} inferences"), got));
    }
    let configuration = &key.binding().configuration;
    if !configuration.models.contains(&details.model.package) {
        let got = details.model.package;
        return Err(refusal("a model that the enclave was attested with", got));
    }
    if configuration.engine != details.model.engine {
        let (expected, got) = (&configuration.engine, &details.model.engine);
        let expected = format!("engine {} {}", expected.name, expected.version);
        return Err(refusal(expected, format!("{} {}", got.name, got.version)));
    }
    let scopes = context.evidence.iter().map(|one| one.reference.scope);
    for scope in scopes.chain([statement.scope]) {
        if scope != configuration.scope {
            return Err(refusal(format!("scope {:?}", configuration.scope), format!("{scope:?}")));
        }
    }
    Ok(())
}

/// Who vouches for the hardware of a kind.
const fn vendor(kind: EvidenceKind) -> &'static str {
    match kind {
        EvidenceKind::Nitro => "Amazon",
        EvidenceKind::Tdx | EvidenceKind::Sgx => "Intel",
        EvidenceKind::Snp => "AMD",
        EvidenceKind::Nvidia => "NVIDIA",
        _ => "the maker of the TPM",
    }
}

fn refusal(expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Refusal {
    Refusal::new(Check::ItemCertification, expected, got)
}
