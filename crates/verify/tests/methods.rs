//! The set of methods is open: a fourth one from outside, here a toy whose evidence is a hash.

use std::time::Duration;

use assay_primitives::{Digest, Method, Timestamp};
use assay_receipt::{Bundle, EvidenceScope};
use assay_testkit::{DEVELOPMENT, ISSUED_AT, SampleTransaction, sample_transaction};
use assay_verify::{
    Certification, Check, MethodContext, MethodVerifier, Methods, Refusal, Verifier,
};

use crate::support::{lenient, pinning, refused, verdict, verify, verify_at};

/// Certifies an output by the SHA-256 of request and output, which anyone can make.
#[derive(Debug)]
pub(crate) struct Toy {
    /// Whether its roots are for development.
    simulated: bool,
    /// When its evidence says that it was made.
    signed_at: Option<Timestamp>,
}

impl Toy {
    pub(crate) const fn real() -> Self {
        Self { simulated: false, signed_at: None }
    }
}

const KIND: &str = "application/vnd.example.toy";

impl MethodVerifier for Toy {
    fn method(&self) -> Method {
        "toy".parse().unwrap()
    }

    fn verify(&self, context: &MethodContext<'_>) -> Result<Certification, Refusal> {
        // A method may name what check it likes: what is reported is a failed certification.
        let refusal =
            |expected: &str, got: String| Refusal::new(Check::BundleVersion, expected, got);
        let [evidence] = context.evidence else {
            return Err(refusal("one hash", context.evidence.len().to_string()));
        };
        if evidence.reference.kind != KIND || evidence.reference.scope != EvidenceScope::Model {
            return Err(refusal(KIND, evidence.reference.kind.clone()));
        }
        let expected = digest(context.request, context.output.unwrap_or_default());
        if evidence.content != expected.as_bytes() {
            return Err(refusal(&expected.to_string(), "another".to_owned()));
        }
        let Self { simulated, signed_at } = *self;
        Ok(Certification { simulated, signed_at, ..Certification::by("nobody") })
    }
}

fn digest(request: &[u8], output: &[u8]) -> Digest {
    Digest::of_parts(&[request, output])
}

/// A transaction of two items by this method, on a real network: one with its evidence, and one that
/// failed and has evidence of that.
pub(crate) fn transaction() -> SampleTransaction {
    let mut transaction = sample_transaction(8_453).with_items(2).with_last_failed().settled();
    for index in 0..2 {
        let item = &mut transaction.items[index];
        item.details.method = "toy".parse().unwrap();
        let content = digest(&item.request, item.output.as_deref().unwrap_or_default());
        transaction = transaction.with_evidence(index, KIND, content.as_bytes());
    }
    transaction
}

pub(crate) fn bundle() -> Bundle {
    transaction().bundle()
}

/// A verifier that knows the method and pins operator and model.
pub(crate) fn verifier() -> Verifier {
    Verifier::new(pinning(&transaction()), Methods::standard().with(Toy::real()))
}

#[test]
fn a_method_from_outside_certifies() {
    let report = verify(&verifier(), &bundle());
    assert_eq!(verdict(&report), "verified");
    let believe: Vec<_> = report.items.iter().map(|item| item.believe.as_str()).collect();
    assert_eq!(believe, ["nobody", "nobody"]);
    assert_eq!(report.items[0].evidence_bytes, 32);
    // Where nobody knows it, it certifies nothing.
    assert_eq!(refused(&verify(&lenient(), &bundle())), (Check::ItemMethod, Some(0)));
}

/// Who dates a receipt back, and sets his own clock back, has evidence judged as of a better day: it
/// is verified only where a settlement, or the day of verification, says that the receipt is not older.
#[test]
fn evidence_is_of_a_time_that_the_operator_cannot_choose() {
    let day = Duration::from_secs(86_400);
    let judged = |signed_at, block: Option<Duration>, later: Duration| {
        let mut transaction = transaction();
        match block {
            Some(block) => {
                let time = ISSUED_AT.plus(block);
                let record = &mut transaction.records[0];
                record.block.as_mut().unwrap().time = time;
                record.recorded_at = time;
                // The buyer signed it when it was paid.
                transaction.authorization.valid_before = time.plus(day);
            }
            None => transaction.records.clear(),
        }
        let toy = Toy { simulated: false, signed_at };
        let verifier = Verifier::new(pinning(&transaction), Methods::standard().with(toy));
        let report = verify_at(&verifier, &transaction.bundle(), ISSUED_AT.plus(later));
        let told = report.items[0].notes.iter().any(|note| note.starts_with("time: "));
        (verdict(&report), told)
    };
    let (zero, second, year) = (Duration::ZERO, Duration::from_secs(1), 365 * day);
    let made = Some(ISSUED_AT);
    for (block, later, expected) in [
        (Some(second), day, ("verified", false)),
        (Some(second), year, ("verified", false)),
        (Some(day), year, ("verified", false)),
        (Some(day + second), day + second, ("consistent", true)),
        (Some(300 * day), year, ("consistent", true)),
        (None, zero, ("verified", false)),
        (None, day, ("verified", false)),
        // Left away, a settlement helps nobody.
        (None, day + second, ("consistent", true)),
        (None, year, ("consistent", true)),
    ] {
        assert_eq!(judged(made, block, later), expected, "{block:?} {later:?}");
        // What is judged as of now is good now.
        assert_eq!(judged(None, block, later), ("verified", false), "{block:?} {later:?}");
    }
}

#[test]
fn what_it_finds_wrong_is_a_failed_certification() {
    let mut transaction = transaction();
    transaction.items[1].details.evidence[0].kind.push('x');
    let report = verify(&verifier(), &transaction.bundle());
    assert_eq!(refused(&report), (Check::ItemCertification, Some(1)));
    // The other item stands; what is known of the payment is said all the same.
    assert_eq!(report.items[0].verdict.as_str(), "verified");
    assert_eq!(report.items[1].verdict.as_str(), "refused");
    assert_eq!(report.items[1].believe, "");
    assert_eq!(report.payment.unwrap().state.as_str(), "settled");

    // Evidence of another output: true, content-addressed, and about something else.
    let mut transaction = self::transaction();
    transaction.items[0].details.evidence.clear();
    transaction.evidence.remove(0);
    let other = digest(b"another", b"output");
    let transaction = transaction.with_evidence(0, KIND, other.as_bytes());
    let mut bundle = transaction.bundle();
    bundle.evidence.rotate_right(1);
    let report = verify(&verifier(), &bundle);
    assert_eq!(refused(&report), (Check::ItemCertification, Some(0)));
}

#[test]
fn nothing_wrong_with_the_whole_leaves_an_item_verified() {
    let mut transaction = transaction();
    transaction.records[0].transaction = None;
    let report = verify(&verifier(), &transaction.bundle());
    assert_eq!(refused(&report), (Check::SettlementTerms, None));
    assert!(report.payment.is_none());
    for item in report.items {
        assert_eq!(item.verdict.refusal().unwrap().check, Check::SettlementTerms);
        assert_eq!(item.believe, "nobody");
    }
}

#[test]
fn simulated_never_becomes_verified() {
    // Development roots on a real network, under a policy that pins everything.
    let simulating = || {
        Verifier::new(
            pinning(&transaction()),
            Methods::standard().with(Toy { simulated: true, signed_at: None }),
        )
    };
    let report = verify(&simulating(), &bundle());
    assert_eq!(verdict(&report), "simulated");
    assert!(report.items.iter().all(|item| item.verdict.as_str() == "simulated"));

    // One such item among others decides for the whole.
    let mut mixed = transaction();
    mixed.items[1].details.method = Method::SIGNED;
    mixed.items[1].details.evidence.clear();
    mixed.evidence.truncate(1);
    assert_eq!(verdict(&verify(&verifier(), &mixed.bundle())), "verified");
    let report = verify(&simulating(), &mixed.bundle());
    assert_eq!(verdict(&report), "simulated");
    assert_eq!(report.items[1].verdict.as_str(), "verified");

    // Real roots on a development chain.
    let mut play = transaction();
    let terms = sample_transaction(DEVELOPMENT).authorization;
    play.authorization.network = terms.network.clone();
    for item in &mut play.items {
        let asset = terms.asset.clone();
        item.details.price.asset = assay_primitives::AssetId::erc20(terms.network.clone(), asset);
    }
    play.records[0].network = terms.network;
    let report = verify(&verifier(), &play.bundle());
    assert_eq!(verdict(&report), "simulated");
    assert!(report.items.iter().all(|item| item.verdict.as_str() == "simulated"));
}

#[test]
fn of_two_verifiers_of_one_method_the_later_counts() {
    let methods =
        Methods::standard().with(Toy { simulated: true, signed_at: None }).with(Toy::real());
    assert_eq!(
        verdict(&verify(&Verifier::new(pinning(&transaction()), methods), &bundle())),
        "verified"
    );
}

#[test]
fn signed_takes_no_evidence() {
    let transaction = sample_transaction(8_453).with_evidence(0, KIND, b"looks like more");
    let report = verify(&lenient(), &transaction.bundle());
    assert_eq!(refused(&report), (Check::ItemCertification, Some(0)));
}
