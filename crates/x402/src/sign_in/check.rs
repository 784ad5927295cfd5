use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, hex};
use assay_chain::recover;
use assay_primitives::{Network, Timestamp};
use thiserror::Error;

use super::{EIP191, SignIn, VERSION};
use crate::SignatureCheck;
use crate::evm::{ERC6492_SUFFIX, HALF_ORDER, split_signature};
use crate::wire::shown;

/// How old a sign-in may be.
pub const MAX_SIGN_IN_AGE: Duration = Duration::from_secs(5 * 60);
/// How far a payer's clock may be ahead.
const AHEAD: Duration = Duration::from_secs(30);
/// Bounds of a nonce: EIP-4361 asks for 8 letters and digits at least.
const NONCE: std::ops::RangeInclusive<usize> = 8..=128;
/// The longest text of a field, in bytes.
const MAX_TEXT: usize = 2_048;
/// The most resources.
const MAX_RESOURCES: usize = 16;
/// The longest signature, in bytes.
const MAX_SIGNATURE: usize = 4 * 1024;

/// What a sign-in has to be for, by the server's own word: nothing of it comes from the request's
/// `Host`.
#[derive(Clone, Copy, Debug)]
pub struct SignInScope<'a> {
    /// Host, and port where it is not the scheme's own, of the server.
    pub domain: &'a str,
    /// What is asked for.
    pub uri: &'a str,
    /// The network of the account.
    pub network: &'a Network,
    /// Who has to have signed.
    pub address: Address,
    /// What has to be signed in words; without it any words will do.
    pub statement: Option<&'a str>,
}

/// A sign-in for a scope, in its time, whose signature is the account's, or a contract wallet's to
/// judge. Made by [`check_sign_in`] alone.
#[derive(Clone, Debug)]
pub struct CheckedSignIn {
    pub(super) address: Address,
    pub(super) nonce: String,
    pub(super) issued_at: Timestamp,
    hash: B256,
    signature: Bytes,
    check: SignatureCheck,
}

/// Why a sign-in is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SignInRefusal {
    /// A field says something else than it has to.
    #[error("{field}: expected `{expected}`, got `{got}`")]
    Field {
        /// The field.
        field: &'static str,
        /// What it has to say.
        expected: String,
        /// What it says.
        got: String,
    },
    /// A field cannot stand in a message.
    #[error("{field}: expected {expected}, got `{got}`")]
    Form {
        /// The field.
        field: &'static str,
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// It was signed too long ago, or will be.
    #[error("issuedAt: expected within the 5 minutes before {now}, got {issued_at}")]
    Stale {
        /// When it was signed, by its word.
        issued_at: Timestamp,
        /// The time.
        now: Timestamp,
    },
    /// It has ended.
    #[error("expirationTime: expected later than {now}, got {expiration}")]
    Expired {
        /// When it ended.
        expiration: Timestamp,
        /// The time.
        now: Timestamp,
    },
    /// It has not begun.
    #[error("notBefore: expected {now} or earlier, got {not_before}")]
    NotYet {
        /// When it begins.
        not_before: Timestamp,
        /// The time.
        now: Timestamp,
    },
    /// The signature is not one of the account.
    #[error("signature: expected one by {expected}, got {got}")]
    Signature {
        /// Who has to have signed.
        expected: Address,
        /// Who did, as far as that is known.
        got: String,
    },
    /// A wallet that is not deployed yet cannot be asked (ERC-6492).
    #[error("signature: expected one by a key or a deployed wallet, got one of ERC-6492")]
    NotDeployed,
    /// It was used before.
    #[error("nonce: expected one that was not used, got `{nonce}` again")]
    Replayed {
        /// The nonce.
        nonce: String,
    },
    /// It is older than the memory of what was used.
    #[error("issuedAt: expected after the start of this server at {since}, got {issued_at}")]
    BeforeStart {
        /// When the memory begins.
        since: Timestamp,
        /// When it was signed, by its word.
        issued_at: Timestamp,
    },
    /// Too many were used within their time.
    #[error("expected at most {limit} sign-ins within 5 minutes, got more")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
}

/// Checks a sign-in with no look at the chain: that it is for this server, this resource, this
/// network, this account and, if asked for, this purpose; that it is in its time; and that its
/// signature is the account's.
///
/// # Errors
/// The first of these that does not hold, with both values.
pub fn check_sign_in(
    sign_in: &SignIn,
    scope: &SignInScope<'_>,
    now: Timestamp,
) -> Result<CheckedSignIn, SignInRefusal> {
    check_form(sign_in)?;
    let address = scope.address.to_checksum(None);
    let network = scope.network.to_string();
    for (field, expected, got) in [
        ("domain", scope.domain, &sign_in.domain),
        ("uri", scope.uri, &sign_in.uri),
        ("version", VERSION, &sign_in.version),
        ("chainId", &network, &sign_in.chain_id),
        ("type", EIP191, &sign_in.kind),
        ("address", &address, &sign_in.address),
    ] {
        same(field, expected, got)?;
    }
    if let Some(expected) = scope.statement {
        same("statement", expected, sign_in.statement.as_deref().unwrap_or_default())?;
    }
    let issued_at = check_time(sign_in, now)?;
    let hash = sign_in.hash();
    let (signature, check) = check_signature(&sign_in.signature, &hash, scope.address)?;
    let nonce = sign_in.nonce.clone();
    Ok(CheckedSignIn { address: scope.address, nonce, issued_at, hash, signature, check })
}

impl CheckedSignIn {
    /// Returns who signed in.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Returns who has to say whether the signature is good.
    #[must_use]
    pub const fn signature_check(&self) -> SignatureCheck {
        self.check
    }

    /// Returns the hash that is signed.
    #[must_use]
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// Returns the signature.
    #[must_use]
    pub const fn signature(&self) -> &Bytes {
        &self.signature
    }

    /// Returns the refusal of a signature that is neither the key's nor the wallet's.
    #[must_use]
    pub fn not_by_wallet(&self) -> SignInRefusal {
        let got = "one that neither its key made nor its code, if it has any, takes".to_owned();
        SignInRefusal::Signature { expected: self.address, got }
    }
}

fn same(field: &'static str, expected: &str, got: &str) -> Result<(), SignInRefusal> {
    if expected == got {
        return Ok(());
    }
    Err(SignInRefusal::Field { field, expected: expected.to_owned(), got: shown(got) })
}

/// A line break in a field would let it pass for other fields: two readings of one signature.
fn check_form(sign_in: &SignIn) -> Result<(), SignInRefusal> {
    let wrong =
        |field, expected, got: &str| Err(SignInRefusal::Form { field, expected, got: shown(got) });
    let SignIn { nonce, statement, request_id, resources, .. } = sign_in;
    if !NONCE.contains(&nonce.len()) || !nonce.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return wrong("nonce", "8 to 128 letters and digits", nonce);
    }
    let resources = resources.as_deref().unwrap_or_default();
    if resources.len() > MAX_RESOURCES {
        return wrong("resources", "at most 16", &resources.len().to_string());
    }
    let texts = [("statement", statement), ("requestId", request_id)];
    let texts = texts.into_iter().filter_map(|(field, text)| Some((field, text.as_ref()?)));
    for (field, text) in texts.chain(resources.iter().map(|text| ("resources", text))) {
        if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            return wrong(field, "one line of at most 2048 bytes", text);
        }
    }
    Ok(())
}

fn check_time(sign_in: &SignIn, now: Timestamp) -> Result<Timestamp, SignInRefusal> {
    let issued_at = time("issuedAt", &sign_in.issued_at)?;
    if now.since(issued_at) > MAX_SIGN_IN_AGE || issued_at.since(now) > AHEAD {
        return Err(SignInRefusal::Stale { issued_at, now });
    }
    if let Some(text) = &sign_in.expiration_time {
        let expiration = time("expirationTime", text)?;
        if expiration <= now {
            return Err(SignInRefusal::Expired { expiration, now });
        }
    }
    if let Some(text) = &sign_in.not_before {
        let not_before = time("notBefore", text)?;
        if not_before > now {
            return Err(SignInRefusal::NotYet { not_before, now });
        }
    }
    Ok(issued_at)
}

fn time(field: &'static str, text: &str) -> Result<Timestamp, SignInRefusal> {
    // Without the annotations that some readers of times take.
    let plain = text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"TZtz:.+-".contains(&byte));
    let read = plain.then(|| Timestamp::from_rfc3339(text).ok()).flatten();
    let wrong = || SignInRefusal::Form { field, expected: "RFC 3339", got: shown(text) };
    read.ok_or_else(wrong)
}

fn check_signature(
    text: &str,
    hash: &B256,
    expected: Address,
) -> Result<(Bytes, SignatureCheck), SignInRefusal> {
    let digits = text.strip_prefix("0x").filter(|digits| {
        (2..=2 * MAX_SIGNATURE).contains(&digits.len()) && !digits.starts_with("0x")
    });
    let signature = digits.and_then(|digits| hex::decode(digits).ok()).map(Bytes::from);
    let wrong = || SignInRefusal::Form {
        field: "signature",
        expected: "hexadecimal with 0x, of at most 4096 bytes",
        got: shown(text),
    };
    let signature = signature.ok_or_else(wrong)?;
    if signature.ends_with(ERC6492_SUFFIX.as_slice()) {
        return Err(SignInRefusal::NotDeployed);
    }
    let signer = split_signature(&signature)
        .map(|(r_s, odd)| (recover(hash, r_s, odd), r_s.get(32..).unwrap_or_default()));
    match signer {
        Some((Ok(signer), s)) if signer == expected => {
            if s > HALF_ORDER.as_slice() {
                let got = "the same with s above half the order".to_owned();
                return Err(SignInRefusal::Signature { expected, got });
            }
            Ok((signature, SignatureCheck::Recovered))
        }
        // Another key's, or whatever a contract wallet takes.
        _ => Ok((signature, SignatureCheck::NeedsChain)),
    }
}
