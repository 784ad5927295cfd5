use alloy_primitives::{Address, B256, b256};
use assay_chain::recover;

/// The last 32 bytes of a signature by a wallet that is not deployed yet (ERC-6492).
pub(crate) const ERC6492_SUFFIX: B256 =
    b256!("6492649264926492649264926492649264926492649264926492649264926492");

/// Half the order of secp256k1: `s` is at most that (EIP-2).
pub(crate) const HALF_ORDER: B256 =
    b256!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

/// Who has to say whether the signature is good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SignatureCheck {
    /// Nobody any more: the key of `from` made it.
    Recovered,
    /// `from`, if it is a contract wallet (EIP-1271): the signature is not 65 bytes, or not by the
    /// key of `from`. If `from` has no code, the signature is bad.
    NeedsChain,
}

/// Why a signature is refused without asking the chain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum SignatureFault {
    /// There is none.
    Empty,
    /// It is for a wallet that this factory would still have to deploy (ERC-6492).
    Deployment { factory: Address },
    /// No contract takes it.
    Form { detail: String },
}

/// Says whose the signature of a hash is, as far as that can be said without the chain.
pub(crate) fn check_signature(
    payer: Address,
    signature: &[u8],
    hash: &B256,
) -> Result<SignatureCheck, SignatureFault> {
    if signature.is_empty() {
        return Err(SignatureFault::Empty);
    }
    if signature.ends_with(ERC6492_SUFFIX.as_slice()) {
        return Err(SignatureFault::Deployment { factory: factory_of(signature) });
    }
    let Some((r_s, odd)) = split_signature(signature) else {
        return Ok(SignatureCheck::NeedsChain);
    };
    if recover(hash, r_s, odd) != Ok(payer) {
        return Ok(SignatureCheck::NeedsChain);
    }
    // Checked last: what a contract wallet packs into 65 bytes need not be an ECDSA signature.
    let s = r_s.get(32..).unwrap_or_default();
    if s > HALF_ORDER.as_slice() {
        let s = alloy_primitives::hex::encode(s);
        let detail = format!("s is 0x{s}, above half the order, which tokens refuse");
        return Err(SignatureFault::Form { detail });
    }
    Ok(SignatureCheck::Recovered)
}

/// Splits a 65-byte ECDSA signature into `r || s` and the parity that `v` stands for.
pub(crate) fn split_signature(signature: &[u8]) -> Option<(&[u8; 64], bool)> {
    let (v, r_s) = signature.split_last()?;
    let odd = match v {
        0 | 27 => false,
        1 | 28 => true,
        _ => return None,
    };
    Some((r_s.try_into().ok()?, odd))
}

/// The first word of an ERC-6492 wrapper is the factory's address.
fn factory_of(signature: &[u8]) -> Address {
    signature.get(12..32).map_or(Address::ZERO, Address::from_slice)
}

/// Splits a 65-byte signature; contracts take a `v` of 27 or 28 alone.
pub(crate) fn v_r_s(signature: &[u8]) -> Option<(u8, B256, B256)> {
    let (r, rest) = signature.split_at_checked(32)?;
    let (s, v) = rest.split_at_checked(32)?;
    let v = match v {
        [v @ (0 | 1)] => v + 27,
        [v] => *v,
        _ => return None,
    };
    Some((v, B256::from_slice(r), B256::from_slice(s)))
}
