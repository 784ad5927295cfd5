//! What a policy accepts, refuses, and says that it leaves open.

use std::time::Duration;

use assay_primitives::{Amount, Network, Timestamp};
use assay_receipt::{KeyRevocation, ManifestContent};
use assay_testkit::{
    ISSUED_AT, PRICE, SampleOperator, SampleTransaction, VERIFIED_AT, sample_transaction,
};
use assay_verify::{Check, Methods, PaymentState, Policy, Report, TimeBasis, Verifier};

use crate::support::{golden, lenient, refused, strict, verdict, verify, verify_at};

fn sold() -> SampleTransaction {
    sample_transaction(8_453).with_items(3).settled()
}

/// Verifies what was sold under a policy of one line.
fn under(line: &str) -> Report {
    let policy = Policy::from_toml(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    verify(&Verifier::new(policy, Methods::standard()), &sold().bundle())
}

#[track_caller]
fn accepts(line: &str) {
    let report = under(line);
    assert_eq!(verdict(&report), "consistent", "{line}: {:?}", report.refusal);
}

#[track_caller]
fn refuses(line: &str, check: Check) {
    assert_eq!(refused(&under(line)).0, check, "{line}");
}

#[test]
fn each_field_accepts_what_it_lists_and_refuses_the_rest() {
    let other = "0".repeat(64);
    let operator = SampleOperator::new(1).id();
    let model = sold().items[0].details.model.id();
    accepts(&format!("operators = [\"{other}\", \"{operator}\"]"));
    refuses(&format!("operators = [\"{other}\"]"), Check::PolicyOperator);
    refuses("operators = []", Check::PolicyOperator);
    accepts("manifest_version = 1");
    refuses("manifest_version = 2", Check::PolicyManifestVersion);
    accepts("methods = [\"zkml\", \"signed\"]");
    refuses("methods = [\"zkml\"]", Check::PolicyMethod);
    accepts(&format!("models = {{ digits = [\"{model}\"] }}"));
    refuses(&format!("models = {{ digits = [\"{other}\"] }}"), Check::PolicyModel);
    refuses(&format!("models = {{ Digits = [\"{model}\"] }}"), Check::PolicyModel);
    refuses("[models]", Check::PolicyModel);
    accepts("networks = [\"eip155:1\", \"eip155:8453\"]");
    refuses("networks = [\"eip155:1\"]", Check::PolicyNetwork);
    accepts("pay_to = [\"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC\"]");
    accepts("pay_to = [\"0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc\"]");
    refuses("pay_to = [\"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"]", Check::PolicyPayTo);
    accepts("max_age = \"60m\"");
    refuses("max_age = \"59m\"", Check::PolicyAge);
    accepts("times = [\"settled\"]");
    refuses("times = [\"witnessed\"]", Check::PolicyTime);
    accepts("payments = [\"settled\", \"refunded\"]");
    refuses("payments = [\"refunded\"]", Check::PolicyPayment);
}

#[test]
fn prices_are_of_an_asset() {
    let price = |asset: &str, amount: u128| {
        format!("max_price = [{{ asset = \"{asset}\", amount = \"{amount}\" }}]")
    };
    let asset = "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
    accepts(&price(asset, 3 * PRICE.0));
    accepts(&price(&asset.to_lowercase(), 3 * PRICE.0));
    refuses(&price(asset, 3 * PRICE.0 - 1), Check::PolicyPrice);
    refuses(&price(&asset.replace("8453", "1"), 3 * PRICE.0), Check::PolicyPrice);
    refuses(&price(&asset.replace("0x8", "0x9"), 3 * PRICE.0), Check::PolicyPrice);
    refuses("max_price = []", Check::PolicyPrice);
    // Of two for one asset the lower counts, whichever comes first and however it is spelt.
    let low = format!("{{ asset = \"{}\", amount = \"1\" }}", asset.to_lowercase());
    let high = format!("{{ asset = \"{asset}\", amount = \"9999\" }}");
    refuses(&format!("max_price = [{low}, {high}]"), Check::PolicyPrice);
    refuses(&format!("max_price = [{high}, {low}]"), Check::PolicyPrice);
}

#[test]
fn a_policy_is_read_strictly() {
    for wrong in [
        "operator = []",
        "operators = [\"x\"]",
        "operators = \"all\"",
        "networks = [\"base\"]",
        "networks = [\"EIP155:8453\"]",
        "networks = [\"eip155:08453\"]",
        "methods = [\"Signed\"]",
        "times = [\"trusted\"]",
        "payments = [\"paid\"]",
        "max_age = \"30\"",
        "max_age = 30",
        "max_price = [{ asset = \"USDC\", amount = \"1\" }]",
        "max_price = [{ asset = \"eip155:1/erc20:0x1\", amount = \"1.5\" }]",
        "methods = [\"signed\"]\nmethods = [\"zkml\"]",
    ] {
        assert!(Policy::from_toml(wrong).is_err(), "{wrong} was read");
    }
}

#[test]
fn what_is_left_open_is_said() {
    let notes = |policy: &str| under(policy).notes;
    assert_eq!(notes("").len(), 10);
    for (line, word) in [
        ("methods = [\"signed\"]", "method:"),
        ("networks = [\"eip155:8453\"]", "network:"),
        ("manifest_version = 1", "key manifest:"),
        ("payments = [\"settled\"]", "payment:"),
    ] {
        assert_eq!(notes(line).len(), 9);
        assert!(!notes(line).iter().any(|note| note.starts_with(word)), "{line}");
    }
    assert_eq!(verify(&strict(), &sold().bundle()).notes, Vec::<String>::new());
    let unsettled = sample_transaction(31_337).bundle();
    let notes = verify(&lenient(), &unsettled).notes;
    assert!(notes.contains(&"payment: on a development chain, play money".to_owned()));
    assert!(notes.contains(&"time: as claimed by the operator".to_owned()));
}

#[test]
fn operator_and_model_have_to_be_pinned_to_be_verified() {
    let all = String::from_utf8(golden("policy.toml")).unwrap();
    let with = |change: fn(&mut Policy)| {
        let mut policy = Policy::from_toml(&all).unwrap();
        change(&mut policy);
        verify(&Verifier::new(policy, Methods::standard()), &sold().bundle())
    };
    assert_eq!(verdict(&with(|_| {})), "verified");
    assert_eq!(verdict(&with(|policy| policy.operators = None)), "consistent");
    assert_eq!(verdict(&with(|policy| policy.models = None)), "consistent");
    let only_those = |policy: &mut Policy| {
        let (operators, models) = (policy.operators.take(), policy.models.take());
        *policy = Policy::default();
        (policy.operators, policy.models) = (operators, models);
    };
    assert_eq!(verdict(&with(only_those)), "verified");
    assert!(with(|policy| policy.models = None).items.iter().all(|item| !item.model.pinned));
}

#[test]
fn a_development_network_has_one_name() {
    assert!(Network::eip155(31_337).is_development());
    for spelling in ["EIP155:31337", "eip155:031337", "Eip155:31337"] {
        assert!(spelling.parse::<Network>().is_err(), "{spelling}");
        // Nor in a file, whatever signs it.
        let payload = sample_transaction(31_337).bundle().receipt.payload;
        let payload = String::from_utf8(payload).unwrap();
        let altered = payload.replace("eip155:31337", spelling);
        assert_ne!(altered, payload);
        assert!(assay_receipt::Receipt::from_bytes(altered.as_bytes()).is_err());
    }
}

#[test]
fn age_is_counted_from_the_receipt() {
    let policy = Policy::from_toml("max_age = \"1h\"").unwrap();
    let verifier = Verifier::new(policy, Methods::standard());
    let bundle = sold().bundle();
    let late = VERIFIED_AT.plus(Duration::from_millis(1));
    assert_eq!(verdict(&verify_at(&verifier, &bundle, VERIFIED_AT)), "consistent");
    assert_eq!(refused(&verify_at(&verifier, &bundle, late)), (Check::PolicyAge, None));
    // A clock that is a little behind the operator's makes nothing older, or a receipt of the future.
    let unsettled = sample_transaction(8_453).bundle();
    let behind = Timestamp::from_millis(ISSUED_AT.as_millis() - 120_000);
    assert_eq!(verdict(&verify_at(&verifier, &unsettled, behind)), "consistent");
    let too_far = Timestamp::from_millis(ISSUED_AT.as_millis() - 120_001);
    assert_eq!(refused(&verify_at(&verifier, &unsettled, too_far)), (Check::ReceiptTime, None));
}

#[test]
fn the_time_basis_is_the_block_of_a_settlement_that_stands() {
    let basis = |bundle| verify(&lenient(), &bundle).time_basis;
    assert_eq!(basis(sample_transaction(8_453).bundle()), Some(TimeBasis::Asserted));
    assert_eq!(basis(sold().bundle()), Some(TimeBasis::Settled));
    assert_eq!(basis(sold().refunded(Amount(1)).bundle()), Some(TimeBasis::Settled));
    let reorged = sold().with_status(assay_receipt::SettlementStatus::Reorged).bundle();
    assert_eq!(basis(reorged.clone()), Some(TimeBasis::Asserted));
    let payment = verify(&lenient(), &reorged).payment.unwrap();
    assert_eq!((payment.state, payment.settled), (PaymentState::Reorged, Amount::ZERO));
}

/// The next version of a manifest.
fn next(operator: &SampleOperator, change: impl FnOnce(&mut ManifestContent)) -> SampleOperator {
    let mut next = operator.clone();
    next.manifest.version += 1;
    next.manifest.previous = Some(operator.manifest_envelope().digest());
    change(&mut next.manifest);
    next
}

fn revoking(operator: &SampleOperator) -> SampleOperator {
    let key = operator.receipt_key.public().id();
    let revocation = KeyRevocation { key, reason: "stolen".into(), time: ISSUED_AT };
    next(operator, |manifest| manifest.revocations.push(revocation))
}

#[test]
fn a_known_manifest_cannot_be_swapped_for_an_older_one() {
    let operator = SampleOperator::new(1);
    let revoking = revoking(&operator);
    let bundle = sold().bundle();
    let knows = |operator: &SampleOperator| lenient().with_manifest(operator.manifest_envelope());
    assert_eq!(verdict(&verify(&knows(&operator).unwrap(), &bundle)), "consistent");
    // The bundle carries version 1, in which its key was good.
    let report = verify(&knows(&revoking).unwrap(), &bundle);
    assert_eq!(refused(&report), (Check::ReceiptKeyRevoked, None));
    assert_eq!(report.manifest_version, Some(2));
    // Whichever of the two is remembered first.
    for (first, second) in [(&operator, &revoking), (&revoking, &operator)] {
        let verifier = knows(first).unwrap().with_manifest(second.manifest_envelope()).unwrap();
        assert_eq!(refused(&verify(&verifier, &bundle)).0, Check::ReceiptKeyRevoked);
    }
    // Other operators are other histories.
    let verifier = knows(&SampleOperator::new(2)).unwrap();
    assert_eq!(verdict(&verify(&verifier, &bundle)), "consistent");
}

#[test]
fn a_manifest_that_contradicts_the_known_one_is_refused() {
    let operator = SampleOperator::new(1);
    let known = revoking(&operator);
    let verifier = || lenient().with_manifest(known.manifest_envelope()).unwrap();
    let carried = |by: &SampleOperator| {
        let mut sold = sold();
        sold.operator = by.clone();
        verify(&verifier(), &sold.bundle())
    };
    let history = (Check::ManifestHistory, None);
    // Two of one version; a newer one that forgot a revocation, or a key, or its past.
    assert_eq!(refused(&carried(&next(&operator, |_| {}))), history);
    let forgot = next(&known, |manifest| manifest.revocations.clear());
    assert_eq!(refused(&carried(&forgot)), history);
    let lost = next(&known, |manifest| drop(manifest.keys.pop()));
    assert_eq!(refused(&carried(&lost)), history);
    // Or an image of enclaves.
    let listing = next(&known, |manifest| {
        manifest.enclave_measurements = vec!["nitro:pcr0=00".into(), "nitro:pcr0=01".into()];
    });
    let forgot_image = next(&listing, |manifest| drop(manifest.enclave_measurements.pop()));
    let knowing = lenient().with_manifest(listing.manifest_envelope()).unwrap();
    let refusal = knowing.with_manifest(forgot_image.manifest_envelope()).unwrap_err();
    assert_eq!(refusal.check, Check::ManifestHistory);
    assert!(refusal.got.contains("the enclave image `nitro:pcr0=01`"), "{refusal}");
    let unrelated = next(&known, |manifest| {
        manifest.previous = Some(assay_primitives::Digest::of(b"another"));
    });
    assert_eq!(refused(&carried(&unrelated)), history);
    let refusal = verifier().with_manifest(forgot.manifest_envelope()).unwrap_err();
    assert_eq!(refusal.check, Check::ManifestHistory);
    // One that goes on from it is taken, and what it says counts.
    let goes_on = next(&known, |manifest| manifest.gateways.clear());
    assert_eq!(refused(&carried(&goes_on)).0, Check::ReceiptKeyRevoked);
}
