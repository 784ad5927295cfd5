use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// A file, and whom it ends at.
static FILE: LazyLock<(Roots, Vec<u8>)> = LazyLock::new(|| {
    let machine = Machine::new();
    let binding = KeyBinding { nonce: Some(b"nonce".to_vec()), ..sample() };
    let file = machine.attest(binding).to_bytes().unwrap();
    (machine.roots, file)
});

fn text() -> String {
    String::from_utf8(FILE.1.clone()).unwrap()
}

fn judge_file(file: &[u8], without: Option<Check>) -> Result<AttestedKey, Refusal> {
    let (checks, policy) = (Checks { without }, Policy::default());
    let context = Context { now: NOW, roots: &FILE.0, policy: &policy, checks };
    let attestation = KeyAttestation::read(file, checks)?;
    attestation.accept(attestation.claims(&context)?, &context)
}

#[track_caller]
fn refused(file: &str, check: Check) {
    let appraiser = KeyAppraiser::new(FILE.0.clone(), Policy::default());
    let refusal = appraiser.appraise(file.as_bytes(), NOW).unwrap_err();
    assert_eq!(refusal.check, check, "{refusal}");
    assert_eq!(KeyAttestation::from_bytes(file.as_bytes()).unwrap_err().check, check);
}

/// Replaces what stands in the file once.
#[track_caller]
fn altered(from: &str, to: &str) -> String {
    let text = text();
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replacen(from, to, 1)
}

#[test]
fn a_file_has_one_spelling() {
    assert!(judge_file(&FILE.1, None).is_ok());
    let encoding = Check::EvidenceEncoding;
    let text = text();
    let head = format!(r#"{{"mediaType":"{KEY_ATTESTATION_MEDIA_TYPE}","#);
    for wrong in [
        // White space, before, between and after.
        format!(" {text}"),
        format!("{text}\n"),
        altered(r#","gpus":[]"#, r#", "gpus":[]"#),
        // Keys twice, unknown, left out, in another order.
        altered(&head, &format!("{head}{}", head.trim_start_matches('{'))),
        altered(r#","gpus":[]"#, r#","gpus":[],"gpus":[]"#),
        altered(r#""kind":"nitro","#, r#""kind":"nitro","kind":"nitro","#),
        altered(r#""gpus":[]"#, r#""gpus":[],"more":0"#),
        altered(r#""kind":"nitro","#, r#""kind":"nitro","more":0,"#),
        altered(r#","gpus":[]"#, ""),
        altered(r#","beacon":null"#, ""),
        altered(r#""hpkeKey":null,"tlsKey":null"#, r#""tlsKey":null,"hpkeKey":null"#),
        // Escapes, numbers and base64 in other forms.
        altered(r#""nitro""#, r#""nitr\u006f""#),
        altered(r#""nonce":"bm9uY2U=""#, r#""nonce":"bm9uY2U""#),
        altered(r#""nonce":"bm9uY2U=""#, r#""nonce":"bm9uY2V=""#),
        altered(r#""nonce":"bm9uY2U=""#, r#""nonce":"bm9u Y2U=""#),
        // More after the end.
        format!("{text}{text}"),
        format!("{text}\0"),
        text.trim_end_matches('}').to_owned(),
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
    ] {
        refused(&wrong, encoding);
    }
}

#[test]
fn a_kind_is_read_as_itself_alone() {
    for other in ["tdx", "sgx", "snp", "nvidia", "tpm", "azureVtpm", "Nitro", "none", ""] {
        let wrong = altered(r#""kind":"nitro""#, &format!(r#""kind":"{other}""#));
        refused(&wrong, Check::EvidenceEncoding);
    }
    refused(&altered(r#""kind":"nitro","#, ""), Check::EvidenceEncoding);
}

#[test]
fn another_version_is_refused_by_name() {
    let next = KEY_ATTESTATION_MEDIA_TYPE.replace("v1", "v2");
    refused(&altered(KEY_ATTESTATION_MEDIA_TYPE, &next), Check::EvidenceVersion);
}

#[test]
fn a_file_that_is_too_long_is_not_read() {
    let long = format!("{}{}", text(), " ".repeat(MAX_BYTES));
    refused(&long, Check::EvidenceSize);
    // It is the length that refused it: the file that is read says more.
    let without = judge_file(long.as_bytes(), Some(Check::EvidenceSize)).unwrap_err();
    assert_eq!(without.check, Check::EvidenceEncoding);
    let mut binding = sample();
    binding.configuration.engine.version = "x".repeat(MAX_BYTES);
    let machine = Machine::new();
    machine.refuses(&machine.attest(binding), NOW, Check::EvidenceSize);
}

#[test]
fn nesting_has_an_end() {
    let encoding = Check::EvidenceEncoding;
    let azure =
        r#"{"kind":"azureVtpm","hclReport":"","quote":"","signature":"","pcrs":[],"hardware":"#;
    for levels in [2, 20, 100, 150, 3_000] {
        let nitro = r#"{"kind":"nitro","document":""}"#;
        let nested = format!("{}{nitro}{}", azure.repeat(levels), "}".repeat(levels));
        let document = text();
        let (start, rest) = document.split_once(r#"{"kind":"nitro""#).unwrap();
        let (_, end) = rest.split_once('}').unwrap();
        let nested = format!("{start}{nested}{end}");
        assert!(nested.len() < MAX_BYTES);
        let refusal = judge_file(nested.as_bytes(), None).unwrap_err();
        // In the hardware's place is the hardware's evidence, and nothing below it.
        assert_eq!(refusal.check, encoding, "{levels}: {refusal}");
    }
    for open in ["[", r#"{"kind":"#, r#"{"mediaType":"#] {
        refused(&open.repeat(20_000), encoding);
    }
}

/// Models are a set, and have one spelling: in ascending order, each once.
#[test]
fn models_are_in_order_and_each_once() {
    let machine = Machine::new();
    let of = |models: &[ModelId]| {
        let mut binding = sample();
        binding.configuration.models = models.to_vec();
        machine.attest(binding)
    };
    let models = sample().configuration.models;
    machine.accepts(&of(&models), NOW);
    machine.accepts(&of(&models[..1]), NOW);
    machine.accepts(&of(&[]), NOW);
    for wrong in [
        [models[1], models[0]].as_slice(),
        &[models[0], models[0]],
        &[models[0], models[1], models[1]],
        &[models[0], models[1], models[0]],
    ] {
        machine.refuses(&of(wrong), NOW, Check::EvidenceEncoding);
    }
}

/// Of what is not there and what is empty there is one digest: the latter is not accepted.
#[test]
fn nothing_that_is_there_is_empty() {
    let machine = Machine::new();
    let nonce = |length: usize| KeyBinding { nonce: Some(vec![7; length]), ..sample() };
    assert_eq!(nonce(0).digest(), sample().digest());
    machine.refuses(&machine.attest(nonce(0)), NOW, Check::EvidenceEncoding);
    machine.accepts(&machine.attest(nonce(1)), NOW);
    machine.accepts(&machine.attest(nonce(MAX_NONCE)), NOW);
    machine.refuses(&machine.attest(nonce(MAX_NONCE + 1)), NOW, Check::EvidenceEncoding);
    let hpke = |length: usize| KeyBinding { hpke_key: Some(vec![7; length]), ..sample() };
    assert_eq!(hpke(0).digest(), sample().digest());
    machine.refuses(&machine.attest(hpke(0)), NOW, Check::EvidenceEncoding);
    machine.accepts(&machine.attest(hpke(32)), NOW);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_that_was_cut_or_changed_is_refused(
        at in any::<Index>(),
        removed in 0..8_usize,
        inserted in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let (_, file) = &*FILE;
        let at = at.index(file.len());
        let end = file.len().min(at + removed);
        let changed = [&file[..at], &inserted, &file[end..]].concat();
        prop_assume!(changed != *file);
        prop_assert!(judge_file(&changed, None).is_err());
        // Also where nothing is bound reading ends, whatever it says.
        let _ = judge_file(&changed, Some(Check::BindingKey));
    }

    /// Changes that leave the JSON as it should be reach the binding and the evidence.
    #[test]
    fn a_changed_character_of_a_text_is_refused(at in any::<Index>(), to in "[0-9a-zA-Z+/]") {
        let (_, file) = &*FILE;
        let places: Vec<usize> =
            (0..file.len()).filter(|at| file[*at].is_ascii_alphanumeric()).collect();
        let mut changed = file.clone();
        changed[*at.get(&places)] = to.as_bytes()[0];
        prop_assume!(changed != *file);
        prop_assert!(judge_file(&changed, None).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_refused(file in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(KeyAttestation::from_bytes(&file).is_err());
    }
}
