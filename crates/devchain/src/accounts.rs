use alloy_primitives::{Address, B256, address, keccak256};

/// A funded account of a development chain. Its key is public: it must never hold anything of
/// value on another chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DevAccount {
    /// The account's address.
    pub address: Address,
    /// Its secp256k1 secret key: keccak256("assay development account {n}").
    pub key: B256,
}

/// Returns the ten accounts that every development chain funds with 10,000 ether and
/// 1,000,000 devUSD each.
#[must_use]
pub fn dev_accounts() -> [DevAccount; 10] {
    let mut number = 0_u8;
    ADDRESSES.map(|address| {
        let key = keccak256(format!("assay development account {number}"));
        number = number.saturating_add(1);
        DevAccount { address, key }
    })
}

/// The addresses of the derived keys, in order.
const ADDRESSES: [Address; 10] = [
    address!("0xFa41ddD0311F7Ae7d85F11e364a35bd71d52317E"),
    address!("0x43630AAe77454A8b3AFFD1b83441E9Ad8f799464"),
    address!("0x4562246Cfc2337c411c5CA3b6030429eA7059425"),
    address!("0x84F9eE311DD65cbee4341DB18F839150Ebe6E455"),
    address!("0xaB77ec7129b29cC722D1fdE73108B334860482Db"),
    address!("0x2351CB19695935a5C799C991d4fd7d4bF88Cc4C6"),
    address!("0xe49f2f9a0Ba85B8cE77a7154d94De481F8bDC5aa"),
    address!("0x2C17FdF010d8c9fD4b981072AC67B3AcbA5d6b66"),
    address!("0xf2e4907899bf27Ef8BA7F9a260bb28E0969961eD"),
    address!("0xDCC2281718b9f38c7eA7584AcC3251eD78F9f306"),
];

#[cfg(test)]
mod tests {
    use secp256k1::{PublicKey, SecretKey};

    use super::*;
    use crate::transaction::address_of;

    #[test]
    fn every_address_is_its_keys() {
        for (number, account) in dev_accounts().into_iter().enumerate() {
            let text = format!("assay development account {number}");
            assert_eq!(account.key, keccak256(&text), "{text}");
            let key = SecretKey::from_secret_bytes(account.key.0).unwrap();
            assert_eq!(account.address, address_of(&PublicKey::from_secret_key(&key)), "{text}");
        }
    }
}
