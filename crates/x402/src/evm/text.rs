//! How what is signed is spelt in JSON: addresses and bytes in hexadecimal with `0x`, numbers in decimal.

use alloy_primitives::{Address, B256, Bytes, U256};

use crate::wire::shown;

/// The longest signature read, in bytes: contract wallets send certificates and several signatures.
const MAX_SIGNATURE: usize = 4 * 1024;

/// Reads an address: `0x` and 40 hexadecimal digits in any case.
pub(crate) fn address(text: &str) -> Option<Address> {
    fixed(text).map(Address::new)
}

fn fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.strip_prefix("0x")?;
    (digits.len() == 2 * N).then_some(())?;
    alloy_primitives::hex::decode_to_array(digits).ok()
}

pub(crate) mod checksummed {
    use super::{Address, address, shown};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(value: &Address, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&value.to_checksum(None))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Address, D::Error> {
        let text = String::deserialize(from)?;
        address(&text)
            .ok_or_else(|| D::Error::custom(format!("not an address: `{}`", shown(&text))))
    }
}

pub(crate) mod word {
    use super::{B256, fixed, shown};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(value: &B256, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{value:#x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<B256, D::Error> {
        let text = String::deserialize(from)?;
        fixed(&text).map(B256::new).ok_or_else(|| {
            D::Error::custom(format!("not 32 bytes in hexadecimal: `{}`", shown(&text)))
        })
    }
}

pub(crate) mod bytes {
    use super::{Bytes, MAX_SIGNATURE};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(value: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        let digits = text
            .strip_prefix("0x")
            .filter(|digits| digits.len() <= 2 * MAX_SIGNATURE)
            .ok_or_else(|| {
                D::Error::custom(format!(
                    "not a signature: expected `0x` and at most {MAX_SIGNATURE} bytes, got {} characters",
                    text.len()
                ))
            })?;
        alloy_primitives::hex::decode(digits)
            .map(Bytes::from)
            .map_err(|_| D::Error::custom("not a signature: not hexadecimal"))
    }
}

pub(crate) mod decimal {
    use super::{U256, shown};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    /// The digits of 2^256 - 1.
    const MAX_DIGITS: usize = 78;

    pub(crate) fn serialize<S: Serializer>(value: &U256, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<U256, D::Error> {
        let text = String::deserialize(from)?;
        let canonical = (1..=MAX_DIGITS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        canonical.then(|| U256::from_str_radix(&text, 10).ok()).flatten().ok_or_else(|| {
            D::Error::custom(format!("not a decimal number of 256 bits: `{}`", shown(&text)))
        })
    }
}
