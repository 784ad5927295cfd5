use alloy_primitives::{Address, B256, address, keccak256};

use crate::AccountKey;

/// How many development accounts there are.
const ACCOUNTS: u8 = 10;

/// The first ten accounts of the mnemonic `test test test test test test test test test test test
/// junk`, which development chains fund by custom and whose keys everybody knows.
const JUNK_MNEMONIC: [Address; 10] = [
    address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];

/// Returns the secret key of development account `n`: the Keccak-256 of
/// `assay development account {n}`. Everybody can compute it.
#[must_use]
pub fn development_key(n: u8) -> B256 {
    keccak256(format!("assay development account {n}"))
}

/// Says whether the key of `address` is one that everybody knows.
#[must_use]
pub fn is_development_address(address: Address) -> bool {
    let is_own = |n| AccountKey::from_bytes(&development_key(n).0).map(|key| key.address());
    JUNK_MNEMONIC.contains(&address) || (0..ACCOUNTS).any(|n| is_own(n) == Ok(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn development_accounts_are_known() {
        for n in 0..ACCOUNTS {
            let key = AccountKey::from_bytes(&development_key(n).0).unwrap();
            assert!(is_development_address(key.address()), "account {n}");
        }
        let first = address!("Fa41ddD0311F7Ae7d85F11e364a35bd71d52317E");
        assert!(is_development_address(first));
        assert!(is_development_address(JUNK_MNEMONIC[9]));
        assert!(!is_development_address(Address::repeat_byte(7)));
    }
}
