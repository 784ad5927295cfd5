use super::*;
use crate::key::appraiser::MAX_KNOWN;

fn count(appraiser: &KeyAppraiser) -> usize {
    appraiser.known_count()
}

fn check<T>(judged: Result<T, Refusal>) -> Option<Check> {
    judged.err().map(|refusal| refusal.check)
}

#[test]
fn a_file_is_verified_once_and_judged_each_time() {
    let machine = Machine::new();
    let appraiser = KeyAppraiser::new(machine.roots.clone(), Policy::default());
    let file = machine.attest(sample()).to_bytes().unwrap();
    for _ in 0..2 {
        appraiser.appraise(&file, NOW).unwrap();
        appraiser.appraise(&file, sample().not_after).unwrap();
        assert_eq!(count(&appraiser), 1);
    }
    // What is remembered is that signatures hold: the epoch is looked at each time.
    for outside in [NOW.minus(SECOND), sample().not_after.plus(SECOND)] {
        assert_eq!(check(appraiser.appraise(&file, outside)), Some(Check::BindingEpoch));
    }
    assert_eq!(count(&appraiser), 1);
    let policy = Policy { max_age: Some(SECOND), ..Policy::default() };
    let strict = KeyAppraiser::new(machine.roots.clone(), policy);
    strict.appraise(&file, NOW.plus(SECOND)).unwrap();
    let late = NOW.plus(SECOND).plus(SECOND);
    assert_eq!(check(strict.appraise(&file, late)), Some(Check::PolicyAge));
}

/// A time at which a certificate is not valid: the signatures are verified anew, and do not hold.
#[test]
fn what_is_remembered_holds_while_its_certificates_do() {
    let machine = Machine::new();
    let appraiser = KeyAppraiser::new(machine.roots.clone(), Policy::default());
    let file = machine.attest(sample()).to_bytes().unwrap();
    let never_seen = KeyAppraiser::new(machine.roots.clone(), Policy::default());
    let claims = appraiser.appraise(&file, NOW).unwrap();
    let validity = claims.attested().validity;
    for outside in [validity.not_before.minus(SECOND), validity.not_after.plus(SECOND)] {
        let refused = appraiser.appraise(&file, outside).unwrap_err();
        assert_eq!(refused.check, Check::ChainValidity);
        assert_eq!(refused, never_seen.appraise(&file, outside).unwrap_err());
    }
    appraiser.appraise(&file, NOW).unwrap();
}

#[test]
fn what_one_policy_accepted_another_judges_itself() {
    let machine = Machine::new();
    let file = machine.attest(sample()).to_bytes().unwrap();
    let lenient = KeyAppraiser::new(machine.roots.clone(), Policy::default());
    lenient.appraise(&file, NOW).unwrap();
    let policy = Policy { kinds: Some(vec![EvidenceKind::Snp]), ..Policy::default() };
    let strict = KeyAppraiser::new(machine.roots.clone(), policy);
    assert_eq!(check(strict.appraise(&file, NOW)), Some(Check::PolicyKind));
    let vendors = KeyAppraiser::new(Roots::vendors(), Policy::default());
    assert_eq!(check(vendors.appraise(&file, NOW)), Some(Check::ChainRoot));
    assert_eq!((count(&lenient), count(&strict), count(&vendors)), (1, 0, 0));
}

/// Genuine evidence is public, and any binding can be put beside it: nothing of that is kept.
#[test]
fn only_what_was_accepted_is_remembered() {
    let machine = Machine::new();
    let appraiser = KeyAppraiser::new(machine.roots.clone(), Policy::default());
    let mut attestation = machine.attest(sample());
    for number in 0..4_u8 {
        attestation.binding.configuration.engine.version = "x".repeat(1_000 * usize::from(number));
        let file = attestation.to_bytes().unwrap();
        assert_eq!(check(appraiser.appraise(&file, NOW)), Some(Check::BindingKey));
    }
    assert_eq!(count(&appraiser), 0);
}

#[test]
fn no_more_than_so_many_are_remembered() {
    let machine = Machine::new();
    let appraiser = KeyAppraiser::new(machine.roots.clone(), Policy::default());
    let files: Vec<Vec<u8>> = (0..MAX_KNOWN + 1)
        .map(|number| {
            let not_after = sample().not_after.minus(Duration::from_millis(number as u64));
            machine.attest(KeyBinding { not_after, ..sample() }).to_bytes().unwrap()
        })
        .collect();
    for file in &files {
        appraiser.appraise(file, NOW).unwrap();
        assert!(count(&appraiser) <= MAX_KNOWN);
    }
    // The forgotten are verified again.
    appraiser.appraise(&files[0], NOW).unwrap();
}

#[test]
fn threads_share_what_is_remembered() {
    let machine = Machine::new();
    let appraiser = KeyAppraiser::new(machine.roots.clone(), Policy::default());
    let file = machine.attest(sample()).to_bytes().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| appraiser.appraise(&file, NOW).unwrap());
        }
    });
    assert_eq!(count(&appraiser), 1);
}
