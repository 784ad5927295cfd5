use alloy_primitives::{Address, U256, hex};
use assay_chain::AccountKey;
use assay_primitives::{Network, RandomnessError, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::{SignatureCheck, decode_sign_in, encode_sign_in};

const DOMAIN: &str = "gateway.example:8402";
const URI: &str = "https://gateway.example:8402/v1/receipts/01890a5d-ac96-774b-bcce-b302099a8057";
const STATEMENT: &str = "Open the receipt.";

fn key() -> AccountKey {
    let key = "0x0917ef2e4a3d84b9d61084aae8786ae99764087363bc09d8526f9a2cfb9a1c1b";
    AccountKey::from_hex(key).unwrap()
}

fn other_key() -> AccountKey {
    AccountKey::from_bytes(&[0x22; 32]).unwrap()
}

fn network() -> Network {
    Network::eip155(31_337)
}

fn scope<'a>(network: &'a Network, statement: Option<&'a str>) -> SignInScope<'a> {
    SignInScope { domain: DOMAIN, uri: URI, network, address: key().address(), statement }
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_rfc3339(text).unwrap()
}

fn now() -> Timestamp {
    at("2026-11-21T09:31:00Z")
}

/// Made with `createSIWxPayload` of @x402/extensions 2.27.0 and an account of viem 2.57.1, and
/// verified there with `verifySIWxSignature`.
fn foreign() -> [Value; 2] {
    let plain = json!({
        "domain": DOMAIN, "address": "0x43630AAe77454A8b3AFFD1b83441E9Ad8f799464", "uri": URI,
        "version": "1", "chainId": "eip155:31337", "type": "eip191",
        "nonce": "a1b2c3d4e5f67890a1b2c3d4e5f67890", "issuedAt": "2026-11-21T09:30:00.000Z",
        "signature": "0x46d201c20d0d5596317bb024c86b3e1b27d63f086069c1002d52b7f0e07e32d91fddda6c8c8dd0b9358e97779e7801072b39c20b5a1a4d9248b9c88ec0df310a1b",
    });
    let mut full = plain.clone();
    full["statement"] = STATEMENT.into();
    full["expirationTime"] = "2026-11-21T09:35:00.000Z".into();
    full["notBefore"] = "2026-11-21T09:29:00Z".into();
    full["requestId"] = "r-1".into();
    full["resources"] = json!(["https://gateway.example/a", "https://gateway.example/b"]);
    full["signature"] = "0xf170c7169d43d948a864d171aa19fd69f081a719e47290faa1ad1fcfb141bc6569065ba73176aac9cdb9ccdf3f69c5a66a441e7979cd2eff02e07e15aba8a2421b".into();
    [plain, full]
}

fn read(value: &Value) -> SignIn {
    decode_sign_in(&encoding::base64(value.to_string().as_bytes())).unwrap()
}

fn check(sign_in: &SignIn, now: Timestamp) -> Result<CheckedSignIn, SignInRefusal> {
    check_sign_in(sign_in, &scope(&network(), None), now)
}

/// Signs a message again after a change.
fn signed(mut sign_in: SignIn, key: &AccountKey) -> SignIn {
    sign_in.signature = format!("0x{}", hex::encode(key.sign_hash(&sign_in.hash())));
    sign_in
}

#[derive(Debug)]
struct Nines;

impl Randomness for Nines {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        bytes.fill(9);
        Ok(())
    }
}

fn own() -> SignIn {
    SignIn::sign(&scope(&network(), Some(STATEMENT)), &key(), now(), &Nines).unwrap()
}

#[test]
fn what_others_sign_is_accepted() {
    for value in foreign() {
        let mut unknown = value.clone();
        unknown["signatureScheme"] = "eip191".into();
        for sign_in in [read(&value), read(&unknown)] {
            let checked = check(&sign_in, now()).unwrap();
            assert_eq!(checked.signature_check(), SignatureCheck::Recovered);
            assert_eq!(checked.address(), key().address());
        }
        // What is signed here reads the same there: the key signs the same bytes alike.
        let again = signed(read(&value), &key());
        assert_eq!(again.signature, value["signature"]);
    }
}

#[test]
fn what_is_signed_here_is_accepted() {
    let header = encode_sign_in(&own()).unwrap();
    let sign_in = decode_sign_in(&header).unwrap();
    assert_eq!(sign_in, own());
    let network = network();
    check_sign_in(&sign_in, &scope(&network, Some(STATEMENT)), now()).unwrap();
    let refusal = check_sign_in(&sign_in, &scope(&network, Some("Erase it.")), now()).unwrap_err();
    assert_eq!(refusal.to_string(), "statement: expected `Erase it.`, got `Open the receipt.`");
}

/// Each of these is signed by the right key: what is refused is what it says.
#[test]
fn what_is_for_something_else_is_refused() {
    type Change = fn(&mut SignIn);
    let cases: [(Change, &str); 18] = [
        (
            |s| s.domain = "evil.example".into(),
            "domain: expected `gateway.example:8402`, got `evil.example`",
        ),
        (|s| s.domain = "gateway.example".into(), "domain: expected"),
        (|s| s.domain.push_str("\nx"), "domain: expected"),
        (|s| s.uri = URI.replace("8057", "8058"), "uri: expected"),
        (|s| s.uri = URI.replace("https", "http"), "uri: expected"),
        (|s| s.uri.push('?'), "uri: expected"),
        (|s| s.version = "2".into(), "version: expected `1`, got `2`"),
        (|s| s.chain_id = "eip155:8453".into(), "chainId: expected `eip155:31337`, got"),
        (|s| s.chain_id = "solana:31337".into(), "chainId: expected"),
        (|s| s.kind = "ed25519".into(), "type: expected `eip191`, got `ed25519`"),
        (|s| s.address = s.address.to_lowercase(), "address: expected"),
        (|s| s.address = other_key().address().to_checksum(None), "address: expected"),
        (|s| s.nonce = "short".into(), "nonce: expected 8 to 128 letters and digits, got `short`"),
        (|s| s.nonce = "n".repeat(129), "nonce: expected"),
        (|s| s.nonce = "0123456\n8".into(), "nonce: expected"),
        (|s| s.statement = Some("Read it.\n\nURI: x".into()), "statement: expected one line"),
        (|s| s.resources = Some(vec!["x\n- y".into()]), "resources: expected one line"),
        (|s| s.resources = Some(vec!["x".into(); 17]), "resources: expected at most 16, got `17`"),
    ];
    for (change, expected) in cases {
        let mut sign_in = own();
        change(&mut sign_in);
        let refusal = check(&signed(sign_in, &key()), now()).unwrap_err().to_string();
        assert!(refusal.starts_with(expected), "{expected}: {refusal}");
    }
}

#[test]
fn what_is_out_of_its_time_is_refused() {
    let checked = |change: fn(&mut SignIn), now: &str| {
        let mut sign_in = own();
        sign_in.expiration_time = None;
        change(&mut sign_in);
        check(&signed(sign_in, &key()), at(now)).err().map(|refusal| refusal.to_string())
    };
    let fresh = |_: &mut SignIn| {};
    assert_eq!(checked(fresh, "2026-11-21T09:36:00Z"), None);
    let refusal = checked(fresh, "2026-11-21T09:36:00.001Z").unwrap();
    assert_eq!(
        refusal,
        "issuedAt: expected within the 5 minutes before 2026-11-21T09:36:00.001Z, got 2026-11-21T09:31:00.000Z"
    );
    assert_eq!(checked(fresh, "2026-11-21T09:30:30Z"), None, "clocks differ a little");
    assert!(checked(fresh, "2026-11-21T09:30:29.999Z").unwrap().starts_with("issuedAt"));
    let until = |s: &mut SignIn| s.expiration_time = Some("2026-11-21T09:32:00Z".into());
    assert_eq!(checked(until, "2026-11-21T09:31:59.999Z"), None);
    assert!(
        checked(until, "2026-11-21T09:32:00Z")
            .unwrap()
            .starts_with("expirationTime: expected later")
    );
    let from = |s: &mut SignIn| s.not_before = Some("2026-11-21T09:32:00+00:00".into());
    assert!(checked(from, "2026-11-21T09:31:59.999Z").unwrap().starts_with("notBefore: expected"));
    assert_eq!(checked(from, "2026-11-21T09:32:00Z"), None);
    let odd: [fn(&mut SignIn); 5] = [
        |s| s.issued_at = "yesterday".into(),
        |s| s.issued_at = "2026-11-21T09:31:00Z[UTC]".into(),
        |s| s.issued_at = "2026-11-21T09:31:00Z\nNot Before: 2026-11-21T09:31:00Z".into(),
        |s| s.expiration_time = Some("2026-11-21".into()),
        |s| s.not_before = Some(String::new()),
    ];
    for change in odd {
        let refusal = checked(change, "2026-11-21T09:31:00Z").unwrap();
        assert!(refusal.contains("expected RFC 3339, got"), "{refusal}");
    }
}

/// What was changed after it was signed is not by the account any more, unless a wallet takes it.
#[test]
fn what_was_changed_after_it_was_signed_is_not_the_accounts() {
    let changes: [fn(&mut SignIn); 8] = [
        |s| s.nonce = "0123456789abcdef".into(),
        |s| s.issued_at = "2026-11-21T09:31:01.000Z".into(),
        |s| s.expiration_time = None,
        |s| s.expiration_time = Some("2027-11-21T09:31:01.000Z".into()),
        |s| s.not_before = Some("2026-11-21T09:30:01.000Z".into()),
        |s| s.statement = None,
        |s| s.request_id = Some("1".into()),
        |s| s.resources = Some(vec!["https://evil.example".into()]),
    ];
    for change in changes {
        let mut sign_in = own();
        change(&mut sign_in);
        let checked = check(&sign_in, now()).unwrap();
        assert_eq!(checked.signature_check(), SignatureCheck::NeedsChain, "{sign_in:?}");
    }
    let by_other = check(&signed(own(), &other_key()), now()).unwrap();
    assert_eq!(by_other.signature_check(), SignatureCheck::NeedsChain);
    let refusal = by_other.not_by_wallet().to_string();
    assert!(refusal.starts_with("signature: expected one by 0x43630AAe"), "{refusal}");
}

#[test]
fn a_signature_has_one_form() {
    let good = own().signature;
    let bytes = hex::decode(&good).unwrap();
    let with = |signature: &str| check(&SignIn { signature: signature.into(), ..own() }, now());
    let needs_chain = |signature: &str| {
        let checked = with(signature).unwrap();
        assert_eq!(checked.signature_check(), SignatureCheck::NeedsChain, "{signature}");
    };
    // The other half of the order makes a second signature of a first.
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let order = U256::from_str_radix(order, 16).unwrap();
    let s = order - U256::from_be_slice(&bytes[32..64]);
    let v = if bytes[64] == 27 { 28 } else { 27 };
    let high = [&bytes[..32], &s.to_be_bytes::<32>(), &[v]].concat();
    let refusal = with(&format!("0x{}", hex::encode(high))).unwrap_err().to_string();
    assert!(refusal.ends_with("the same with s above half the order"), "{refusal}");
    // Not 65 bytes, or no parity: what a wallet may take.
    let r_s = good.get(..130).unwrap();
    needs_chain(r_s);
    needs_chain(&format!("{good}00"));
    needs_chain(&format!("{r_s}1d"));
    needs_chain(&format!("0x{}", "00".repeat(65)));
    for wrong in [
        "",
        "0x",
        "0x0",
        "0xzz",
        good.trim_start_matches("0x"),
        &format!("0x{good}"),
        &format!("0x{}", "00".repeat(4_097)),
    ] {
        let refusal = with(wrong).unwrap_err();
        assert!(matches!(refusal, SignInRefusal::Form { field: "signature", .. }), "{refusal}");
    }
    let wrapped = format!("{good}{}", "6492".repeat(16));
    assert_eq!(with(&wrapped).unwrap_err(), SignInRefusal::NotDeployed);
}

#[test]
fn a_header_that_is_cut_off_or_odd_is_refused() {
    let header = encode_sign_in(&own()).unwrap();
    for length in 0..header.len() {
        let cut = decode_sign_in(header.get(..length).unwrap());
        assert!(cut.is_err(), "{length}: {cut:?}");
    }
    let [plain, _] = foreign();
    for field in
        ["domain", "address", "uri", "version", "chainId", "type", "nonce", "issuedAt", "signature"]
    {
        let mut without = plain.clone();
        without.as_object_mut().unwrap().remove(field);
        assert!(decode_sign_in(&encoding::base64(without.to_string().as_bytes())).is_err());
    }
    let twice = plain.to_string().replacen('{', "{\"nonce\":\"0123456789\",", 1);
    assert!(decode_sign_in(&encoding::base64(twice.as_bytes())).is_err());
    assert!(decode_sign_in(&"A".repeat(17 * 1024)).is_err());
}

fn spendable(key: &AccountKey, nonce: &str, issued_at: Timestamp) -> CheckedSignIn {
    let sign_in = SignIn {
        address: key.address().to_checksum(None),
        nonce: nonce.to_owned(),
        issued_at: issued_at.to_string(),
        ..own()
    };
    let network = network();
    let scope = SignInScope { address: key.address(), ..scope(&network, None) };
    check_sign_in(&signed(SignIn { expiration_time: None, ..sign_in }, key), &scope, issued_at)
        .unwrap()
}

#[test]
fn each_is_used_once() {
    let spent = SpentSignIns::since(now());
    let one = spendable(&key(), "nonce0001", now());
    spent.spend(&one, now()).unwrap();
    let again = SignInRefusal::Replayed { nonce: "nonce0001".to_owned() };
    assert_eq!(spent.spend(&one, now()), Err(again.clone()));
    // As long as it would be accepted; signed again with another time or not.
    assert_eq!(spent.spend(&one, at("2026-11-21T09:36:00Z")), Err(again.clone()));
    let later = spendable(&key(), "nonce0001", at("2026-11-21T09:33:00Z"));
    assert_eq!(spent.spend(&later, at("2026-11-21T09:34:00Z")), Err(again));
    // A nonce is its account's.
    spent.spend(&spendable(&other_key(), "nonce0001", now()), now()).unwrap();
}

#[test]
fn what_was_signed_before_the_memory_began_is_refused() {
    let spent = SpentSignIns::since(now());
    let before = spendable(&key(), "nonce0001", at("2026-11-21T09:30:59.999Z"));
    let refusal = spent.spend(&before, now()).unwrap_err();
    assert!(matches!(refusal, SignInRefusal::BeforeStart { .. }), "{refusal}");
    spent.spend(&spendable(&key(), "nonce0002", now()), now()).unwrap();
}

#[test]
fn the_memory_is_bounded_and_forgets() {
    let spent = SpentSignIns::since(now());
    for n in 0..64 {
        spent.spend(&spendable(&key(), &format!("nonce{n:04}"), now()), now()).unwrap();
    }
    let one_more = spendable(&key(), "nonce9999", now());
    assert_eq!(spent.spend(&one_more, now()), Err(SignInRefusal::TooMany { limit: 64 }));
    // Somebody else is not kept out, and after five minutes nobody is.
    spent.spend(&spendable(&other_key(), "nonce9999", now()), now()).unwrap();
    let later = at("2026-11-21T09:36:00.001Z");
    spent.spend(&spendable(&key(), "nonce9999", later), later).unwrap();
}

#[test]
fn an_account_is_a_key_or_a_wallet() {
    // Nobody's address: recovery gives another, and only the chain can say whether it is a wallet.
    let network = network();
    let scope = SignInScope { address: Address::repeat_byte(7), ..scope(&network, None) };
    let sign_in = SignIn { address: scope.address.to_checksum(None), ..own() };
    let checked = check_sign_in(&signed(sign_in, &key()), &scope, now()).unwrap();
    assert_eq!(checked.signature_check(), SignatureCheck::NeedsChain);
    assert_eq!(checked.signature().len(), 65);
}
