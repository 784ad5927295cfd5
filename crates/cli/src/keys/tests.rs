use assay_primitives::{RandomnessError, SystemRandomness};

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const SOON: Timestamp = Timestamp::from_seconds(1_800_000_060);
/// After the overlap of a rotation at `SOON`.
const LATER: Timestamp = Timestamp::from_seconds(1_800_010_000);

fn operator() -> NewOperator {
    let settlement = vec![settlement_address(PAID).unwrap()];
    NewOperator { settlement, gateways: Vec::new() }
}

const PAID: &str = "eip155:8453:0x52908400098527886E0F7030069857D2E4169EE7";

fn made() -> (tempfile::TempDir, KeyFolder) {
    let folder = tempfile::tempdir().unwrap();
    let keys = KeyFolder::new(&folder.path().join("keys"));
    keys.create(operator(), NOW, &SystemRandomness).unwrap();
    (folder, keys)
}

fn current(keys: &KeyFolder, at: Timestamp) -> KeyId {
    let (_, manifest) = keys.manifest().unwrap();
    keys.receipt_key(&manifest, at).unwrap().public().id()
}

fn content(keys: &KeyFolder) -> ManifestContent {
    keys.manifest().unwrap().1.content().clone()
}

#[test]
fn a_rotation_leaves_the_key_before_good_for_a_while() {
    let (_folder, keys) = made();
    let before = current(&keys, NOW);
    let manifest = keys.rotate(SOON, &SystemRandomness).unwrap();
    assert_eq!(manifest.content().version, 2);
    let after = current(&keys, SOON);
    assert_ne!(before, after);
    let until = |id| manifest.key(id, KeyPurpose::Receipt).unwrap().valid_to;
    assert_eq!(until(before), SOON.plus(OVERLAP));
    assert_eq!(until(after), SOON.plus(KEY_LIFE));
    // A gateway that was brought the manifest and not yet the key goes on with what it has.
    fs::remove_file(keys.receipt_path(after)).unwrap();
    assert_eq!(current(&keys, SOON), before);
    let error = keys.receipt_key(&manifest, LATER).unwrap_err().to_string();
    assert!(error.contains("not here"), "{error}");
}

/// Gives no randomness: a run that ends before it has made anything.
#[derive(Debug)]
struct Empty;

impl Randomness for Empty {
    fn fill(&self, _: &mut [u8]) -> Result<(), RandomnessError> {
        Err(RandomnessError("none".into()))
    }
}

#[test]
fn a_crash_leaves_keys_that_work() {
    let (_folder, keys) = made();
    let (before, first) = (current(&keys, NOW), content(&keys));
    // What a rotation has done when it ends before it publishes.
    let orphan = keys.new_receipt_key(SOON, &SystemRandomness).unwrap();
    assert_eq!(current(&keys, SOON), before);
    assert!(keys.rotate(SOON, &Empty).is_err());
    assert_eq!(content(&keys), first);
    assert_eq!(current(&keys, SOON), before);
    keys.rotate(SOON, &SystemRandomness).unwrap();
    let second = content(&keys);
    assert_eq!(second.version, 2);
    assert_eq!(second.keys.len(), 2);
    assert!(second.keys.iter().all(|key| key.public_key != orphan.public_key));
    assert_ne!(current(&keys, LATER), before);
}

#[test]
fn a_crash_while_making_the_first_keys_is_made_good() {
    let folder = tempfile::tempdir().unwrap();
    let keys = KeyFolder::new(folder.path());
    let identity = SigningKey::generate(&SystemRandomness).unwrap();
    write_secret(&keys.identity_path(), &identity).unwrap();
    keys.new_receipt_key(NOW, &SystemRandomness).unwrap();
    let manifest = keys.create(operator(), NOW, &SystemRandomness).unwrap();
    assert_eq!(manifest.content().operator, operator_of(&identity));
    let listed = KeyId(Digest::of(&manifest.content().keys[0].public_key));
    assert_eq!(current(&keys, NOW), listed);
    let error = keys.create(operator(), NOW, &SystemRandomness).unwrap_err().to_string();
    assert!(error.contains("holds an operator's keys already"), "{error}");
}

#[test]
fn the_last_receipt_key_is_never_revoked_without_another() {
    let (_folder, keys) = made();
    let first = current(&keys, NOW);
    let manifest = keys.revoke(first, "stolen", SOON, &SystemRandomness).unwrap();
    assert_eq!(manifest.revocation(first).unwrap().reason, "stolen");
    let second = current(&keys, SOON);
    assert_ne!(first, second);
    // With two in use, revoking one leaves the other.
    keys.rotate(SOON, &SystemRandomness).unwrap();
    let third = current(&keys, SOON);
    let manifest = keys.revoke(third, "lost", SOON, &SystemRandomness).unwrap();
    assert_eq!(manifest.content().keys.len(), 3);
    assert_eq!(current(&keys, SOON), second);
    let again = keys.revoke(first, "stolen", SOON, &SystemRandomness).unwrap_err();
    assert!(again.to_string().contains("was revoked at"), "{again}");
    let unknown = keys.revoke(KeyId(Digest::ZERO), "x", SOON, &SystemRandomness).unwrap_err();
    assert!(unknown.to_string().contains("is not in the key manifest"), "{unknown}");
}

#[test]
fn a_list_of_images_only_grows() {
    let (_folder, keys) = made();
    let image = |at: u32| format!("nitro:pcr0={at:08x}").parse::<Image>().unwrap();
    let listed = |from, to| {
        let images: Vec<Image> = (from..to).map(image).collect();
        let (manifest, known) = keys.measure(&images, SOON).unwrap();
        (manifest.content().enclave_measurements.len(), known.len())
    };
    let first = keys.manifest().unwrap().1;
    assert_eq!(listed(0, 3), (3, 0));
    assert_eq!(listed(1, 5), (5, 2));
    let before = content(&keys);
    assert_eq!((listed(0, 5), content(&keys)), ((5, 5), before));
    let twice = [image(9), image(9)];
    assert_eq!(keys.measure(&twice, SOON).unwrap().1, [&twice[0]]);
    let last = keys.manifest().unwrap().1;
    assert_eq!((last.content().version, last.check_follows(&first)), (4, Ok(())));
    assert_eq!(current(&keys, SOON), current(&keys, NOW));
    // A manifest that nobody would read is not put in place of one that is read.
    let long = |at: u32| {
        let values = (0..10).map(|pcr| format!("pcr{pcr}={at:0128x}"));
        format!("tpm:{}", values.collect::<Vec<_>>().join(",")).parse::<Image>().unwrap()
    };
    let many: Vec<Image> = (0..800).map(long).collect();
    let error = keys.measure(&many, SOON).unwrap_err().to_string();
    assert!(error.contains("at most 1048576 bytes"), "{error}");
    assert_eq!(keys.manifest().unwrap().1, last);
}

#[test]
fn only_the_identity_changes_keys() {
    let (_folder, keys) = made();
    let offline = fs::read(keys.identity_path()).unwrap();
    fs::remove_file(keys.identity_path()).unwrap();
    let error = keys.rotate(SOON, &SystemRandomness).unwrap_err().to_string();
    assert!(error.contains("identity.pem is not here"), "{error}");
    let other = SigningKey::generate(&SystemRandomness).unwrap();
    write_secret(&keys.identity_path(), &other).unwrap();
    let error = keys.rotate(SOON, &SystemRandomness).unwrap_err().to_string();
    assert!(error.contains("another operator's identity"), "{error}");
    assert_eq!(content(&keys).version, 1);
    fs::write(keys.identity_path(), offline).unwrap();
    assert_eq!(keys.rotate(SOON, &SystemRandomness).unwrap().content().version, 2);
}

#[test]
fn one_process_changes_keys_at_a_time() {
    let (_folder, keys) = made();
    let held = keys.lock().unwrap();
    let error = keys.rotate(SOON, &SystemRandomness).unwrap_err().to_string();
    assert!(error.contains("another process"), "{error}");
    drop(held);
    keys.rotate(SOON, &SystemRandomness).unwrap();
}

#[test]
fn a_key_file_is_the_one_it_is_named_for() {
    let (_folder, keys) = made();
    let (_, manifest) = keys.manifest().unwrap();
    let path = keys.receipt_path(current(&keys, NOW));
    fs::remove_file(&path).unwrap();
    write_secret(&path, &SigningKey::generate(&SystemRandomness).unwrap()).unwrap();
    let error = keys.receipt_key(&manifest, NOW).unwrap_err().to_string();
    assert!(error.contains("expected key"), "{error}");
}

#[test]
fn settlement_addresses_are_accounts_on_a_network() {
    assert_eq!(settlement_address(PAID).unwrap().network, Network::eip155(8_453));
    let known = assay_devchain::dev_accounts()[1].address;
    for (wrong, why) in [
        ("0x52908400098527886E0F7030069857D2E4169EE7", "CAIP-10"),
        ("eip155:8453:0x52908400098527886E0F7030069857D2E4169EE", "EVM address"),
        ("eip155:8453:0x52908400098527886E0F7030069857d2E4169EE7", "EIP-55"),
        (&format!("eip155:8453:{known}"), "public development key"),
    ] {
        let error = settlement_address(wrong).unwrap_err().to_string();
        assert!(error.contains(why), "{wrong}: {error}");
    }
}
