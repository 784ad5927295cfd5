use assay_attest::{
    AttestedKey, Claims, EvidenceKind, KEY_ATTESTATION_MEDIA_TYPE, KeyAppraiser, MAX_SKEW, Policy,
    Roots,
};
use assay_primitives::{Digest, Method, Timestamp};
use assay_receipt::{DSSE_MEDIA_TYPE, EnclaveStatement, EvidenceScope, SignedEnclaveStatement};

use super::{Certification, ItemEvidence, MAX_WAIT, MethodContext, MethodVerifier};
use crate::{Check, Refusal};

/// The status of a TCB that leaves nothing to say.
const UP_TO_DATE: &str = "UpToDate";

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
    /// Makes the verifier: whom evidence may end at, and what is accepted of it where the policy of the
    /// [`crate::Verifier`] does not say.
    #[must_use]
    pub fn new(roots: Roots, policy: Policy) -> Self {
        Self { appraiser: KeyAppraiser::new(roots, policy) }
    }

    fn check(&self, context: &MethodContext<'_>) -> Result<Certification, Refusal> {
        let [attestation, statement] = evidence(context)?;
        let signed = SignedEnclaveStatement::from_bytes(statement.content)
            .map_err(|error| refusal("an enclave's statement", error))?;
        let at = signed.claimed_time();
        let issued_at = context.receipt.predicate().issued_at;
        // A key that leaks when its epoch is over certifies nothing that is sold later.
        let (oldest, latest) = (issued_at.minus(MAX_WAIT), issued_at.plus(MAX_SKEW));
        if at < oldest || at > latest {
            return Err(refusal(format!("a statement signed from {oldest} to {latest}"), at));
        }
        let key = self.appraiser.appraise(attestation.content, at);
        let key = key.map_err(|why| {
            let expected = format!("{}: {}", why.check, why.expected);
            refusal(expected, format!("{} (as of {at})", why.got))
        })?;
        let statement =
            signed.verify(key.key()).map_err(|error| refusal("the enclave's signature", error))?;
        check_statement(context, statement, &key)?;
        let image = context.images.find(key.attested());
        let image = image.map_err(|unlisted| refusal(unlisted.expected, unlisted.got))?;
        let signer = Signer::new(&key, image.is_some(), self.appraiser.policy());
        Ok(Certification { signed_at: Some(at), ..signer.certification(context.now) })
    }
}

/// What a certification says of a key that signed.
#[derive(Clone, Debug)]
struct Signer {
    kind: EvidenceKind,
    scope: EvidenceScope,
    is_simulated: bool,
    /// Whether it is in a debug mode, which the policy then accepts.
    is_debug: bool,
    /// Whether the operator lists its enclave's image.
    is_listed: bool,
    /// Whether a policy says what its enclave has to have measured.
    is_measured: bool,
    /// Whether a policy pins all that its evidence rests on.
    is_pinned: bool,
    /// The last moment of its epoch.
    not_after: Timestamp,
    /// What a reader should know of its enclave and the GPUs of that.
    warnings: Vec<String>,
}

impl Signer {
    fn new(key: &AttestedKey, is_listed: bool, policy: &Policy) -> Self {
        let configuration = &key.binding().configuration;
        let of_enclave = told(key.attested()).into_iter();
        let of_gpus = key.gpus().iter().flat_map(|gpu| told(gpu));
        let mut warnings: Vec<String> = of_enclave.map(|one| format!("enclave: {one}")).collect();
        for warning in of_gpus.map(|one| format!("GPU: {one}")) {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        Self {
            kind: key.attested().kind,
            scope: configuration.scope,
            is_simulated: key.is_simulated(),
            is_debug: key.attested().debug,
            is_listed,
            is_measured: policy.reference_value(key.attested()).is_some(),
            is_pinned: policy.pins(key.attested()),
            not_after: key.binding().not_after,
            warnings,
        }
    }

    /// Says what its signature certifies as of a time.
    fn certification(self, now: Timestamp) -> Certification {
        let mut notes = Vec::new();
        if self.is_simulated {
            notes.push("enclave: simulated, its evidence ends at a development root".to_owned());
        }
        if !self.is_measured {
            notes.push("enclave: its measurements are as reported, no policy pins them".to_owned());
        }
        // Who sells vouches for what is sold: that pins nothing.
        if self.is_listed {
            notes.push("enclave: the operator stands by its measurements".to_owned());
        }
        if self.scope != EvidenceScope::Model {
            notes.push("scope: the enclave asked a provider, the model ran elsewhere".to_owned());
        }
        if now > self.not_after {
            let end = self.not_after;
            notes.push(format!(
                "enclave: its key was in use until {end}, and was judged as of then"
            ));
        }
        notes.extend(self.warnings);
        let believe = if self.is_simulated {
            "nobody: its enclave is simulated".to_owned()
        } else {
            let provider = if self.scope == EvidenceScope::Model {
                ""
            } else {
                ", and the provider that ran the model"
            };
            let vendor = vendor(self.kind);
            let debugger = if self.is_debug { ", whoever runs the machine" } else { "" };
            let measured = match self.kind {
                EvidenceKind::Tpm => "what was measured when it booted",
                _ => "the code that was measured in the enclave",
            };
            format!("{vendor}{debugger}, and {measured}{provider}")
        };
        let (simulated, is_pinned) = (self.is_simulated, self.is_pinned);
        Certification { believe, simulated, is_pinned, signed_at: None, notes }
    }
}

impl MethodVerifier for Tee {
    fn method(&self) -> Method {
        Method::TEE
    }

    fn verify(&self, context: &MethodContext<'_>) -> Result<Certification, Refusal> {
        self.check(context)
    }

    fn adopt(&mut self, policy: &crate::Policy) {
        if let Some(attestation) = &policy.attestation {
            let roots = self.appraiser.roots().clone();
            self.appraiser = KeyAppraiser::new(roots, attestation.clone());
        }
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

/// Returns what a reader should know of evidence that the policy accepts.
fn told(claims: &Claims) -> Vec<String> {
    let mut told = Vec::new();
    if claims.debug {
        told.push("debug mode, in which who runs the machine can look inside".to_owned());
    }
    if let Some(tcb) = &claims.tcb {
        if let Some(status) = tcb.status.as_ref().filter(|status| *status != UP_TO_DATE) {
            told.push(format!("TCB: {status}, by its vendor"));
        }
        if !tcb.advisories.is_empty() {
            told.push(format!("TCB: concerned by {}", tcb.advisories.join(", ")));
        }
    }
    told.extend(claims.warnings.iter().cloned());
    told
}

/// Who vouches for the hardware of a kind.
const fn vendor(kind: EvidenceKind) -> &'static str {
    match kind {
        EvidenceKind::Nitro => "Amazon",
        EvidenceKind::Tdx | EvidenceKind::Sgx => "Intel",
        EvidenceKind::Snp => "AMD",
        EvidenceKind::Nvidia => "NVIDIA",
        // It measures what was booted, and isolates nothing.
        _ => "the maker of the TPM, whoever runs the machine",
    }
}

fn refusal(expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Refusal {
    Refusal::new(Check::ItemCertification, expected, got)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const END: Timestamp = Timestamp::from_seconds(1_800_000_000);

    /// What a key is that a vendor's root vouches for. There is no such evidence for a key of the
    /// tests: only a vendor's hardware makes it. So the tests go as far as evidence of simulated
    /// modules on one side (`tests/tee.rs`) and of vendors for other data on the other (those of
    /// `assay-attest`); from here on it is this function and [`crate::Policy`], and what the latter
    /// makes of a certification is tested with a method of the tests' own (`tests/methods.rs`).
    fn vouched_for(kind: EvidenceKind) -> Signer {
        let warnings = vec!["enclave: a warning".to_owned(), "GPU: another".to_owned()];
        Signer {
            kind,
            scope: EvidenceScope::Model,
            is_simulated: false,
            is_debug: false,
            is_listed: false,
            is_measured: true,
            is_pinned: true,
            not_after: END,
            warnings,
        }
    }

    #[test]
    fn a_vendor_is_believed_and_the_code_that_was_measured() {
        let code = "the code that was measured in the enclave";
        for (kind, vendor) in [
            (EvidenceKind::Nitro, "Amazon"),
            (EvidenceKind::Tdx, "Intel"),
            (EvidenceKind::Sgx, "Intel"),
            (EvidenceKind::Snp, "AMD"),
            (EvidenceKind::Nvidia, "NVIDIA"),
        ] {
            let certification = vouched_for(kind).certification(END);
            assert_eq!(certification.believe, format!("{vendor}, and {code}"));
            assert!(certification.is_pinned && !certification.simulated);
            assert_eq!(certification.notes, ["enclave: a warning", "GPU: another"]);
        }
        let believe = |signer: Signer| signer.certification(END).believe;
        // A TPM has no enclave, and a debug mode none that is closed.
        assert_eq!(
            believe(vouched_for(EvidenceKind::Tpm)),
            "the maker of the TPM, whoever runs the machine, and what was measured when it booted"
        );
        let open = Signer { is_debug: true, ..vouched_for(EvidenceKind::Sgx) };
        assert_eq!(believe(open), format!("Intel, whoever runs the machine, and {code}"));
    }

    /// What a policy accepts beyond the default is in the report.
    #[test]
    fn a_debug_mode_and_a_tcb_with_faults_are_told() {
        let mut claims = Claims {
            kind: EvidenceKind::Tdx,
            strength: assay_attest::Strength::Tee,
            trust: assay_attest::Trust::Vendor,
            platform: String::new(),
            measurements: Vec::new(),
            debug: false,
            user_data: None,
            public_key: None,
            nonce: None,
            time: None,
            validity: assay_attest::Validity::ALWAYS,
            tcb: None,
            warnings: vec!["a warning".to_owned()],
        };
        assert_eq!(told(&claims), ["a warning"]);
        let status = |status: &str, advisories: &[&str]| assay_attest::Tcb {
            status: Some(status.to_owned()),
            versions: String::new(),
            advisories: advisories.iter().map(|&advisory| advisory.to_owned()).collect(),
            open: Vec::new(),
        };
        claims.tcb = Some(status("UpToDate", &[]));
        assert_eq!(told(&claims), ["a warning"]);
        claims.tcb = Some(status("OutOfDate", &["INTEL-SA-00289", "INTEL-SA-00615"]));
        claims.debug = true;
        assert_eq!(
            told(&claims),
            [
                "debug mode, in which who runs the machine can look inside",
                "TCB: OutOfDate, by its vendor",
                "TCB: concerned by INTEL-SA-00289, INTEL-SA-00615",
                "a warning"
            ]
        );
    }

    /// Pitfall 12: what a gateway in an enclave sent is not what a model in one answered.
    #[test]
    fn of_a_gateway_the_provider_is_believed_as_well() {
        let signer = Signer { scope: EvidenceScope::Gateway, ..vouched_for(EvidenceKind::Nitro) };
        let certification = signer.certification(END);
        assert!(certification.believe.ends_with(", and the provider that ran the model"));
        assert!(certification.notes[0].starts_with("scope: "));
    }

    #[test]
    fn what_is_simulated_is_believed_of_nobody() {
        for scope in [EvidenceScope::Model, EvidenceScope::Gateway] {
            let signer = Signer { scope, is_simulated: true, ..vouched_for(EvidenceKind::Nitro) };
            let certification = signer.certification(END);
            assert_eq!(certification.believe, "nobody: its enclave is simulated");
            assert!(certification.simulated);
        }
    }

    #[test]
    fn what_no_policy_pins_and_an_epoch_that_is_over_are_said() {
        let certify = |is_measured, now| {
            let signer = Signer { is_measured, ..vouched_for(EvidenceKind::Tdx) };
            signer.certification(now).notes
        };
        assert_eq!(certify(true, END).len(), 2);
        let open = certify(false, END);
        assert!(open[0].contains("no policy pins them"));
        let signer = Signer { is_listed: true, ..vouched_for(EvidenceKind::Tdx) };
        let listed = Signer { is_measured: false, is_pinned: false, ..signer }.certification(END);
        assert!(listed.notes[1].contains("the operator stands by") && !listed.is_pinned);
        let late = certify(true, END.plus(Duration::from_millis(1)));
        assert!(late[0].contains(&END.to_string()));
        assert_eq!(certify(false, END.plus(MAX_WAIT)).len(), 4);
    }

    /// Code that is known on a platform of any age is not pinned.
    #[test]
    fn all_that_evidence_rests_on_has_to_be_pinned() {
        for (is_measured, is_pinned) in [(true, true), (true, false), (false, false)] {
            let signer = Signer { is_measured, is_pinned, ..vouched_for(EvidenceKind::Snp) };
            assert_eq!(signer.certification(END).is_pinned, is_pinned);
        }
    }
}
