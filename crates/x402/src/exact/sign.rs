use alloy_primitives::{Address, B256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};

use super::Authorization;

sol! {
    /// The message of EIP-3009.
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// Returns the EIP-712 hash that authorises a transfer of a token (EIP-3009), under the token's
/// domain.
#[must_use]
pub fn authorization_hash(
    authorization: &Authorization,
    token: Address,
    name: &str,
    version: &str,
    chain_id: u64,
) -> B256 {
    let Authorization { from, to, value, valid_after, valid_before, nonce } = *authorization;
    let domain = Eip712Domain::new(
        Some(name.to_owned().into()),
        Some(version.to_owned().into()),
        Some(chain_id.try_into().unwrap_or_default()),
        Some(token),
        None,
    );
    let message = TransferWithAuthorization {
        from,
        to,
        value,
        validAfter: valid_after,
        validBefore: valid_before,
        nonce,
    };
    message.eip712_signing_hash(&domain)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{U256, address, b256, hex};
    use assay_chain::AccountKey;

    use super::*;

    struct Vector {
        key: &'static str,
        domain: (&'static str, &'static str, u64, Address),
        authorization: Authorization,
        hash: B256,
        signature: &'static str,
    }

    /// Computed with viem 2.57.20: `hashTypedData` and `signTypedData` over the types of EIP-3009.
    fn vectors() -> [Vector; 3] {
        [
            Vector {
                key: "0917ef2e4a3d84b9d61084aae8786ae99764087363bc09d8526f9a2cfb9a1c1b",
                domain: ("USDC", "2", 84_532, address!("036CbD53842c5426634e7929541eC2318f3dCF7e")),
                authorization: Authorization {
                    from: address!("43630AAe77454A8b3AFFD1b83441E9Ad8f799464"),
                    to: address!("209693Bc6afc0C5328bA36FaF03C514EF312287C"),
                    value: U256::from(1_000),
                    valid_after: U256::ZERO,
                    valid_before: U256::from(1_795_253_460_u64),
                    nonce: B256::repeat_byte(0x11),
                },
                hash: b256!("4df7bf3630e9c89c335eca5b4478cfba6f6815df890f832d24444cc76706b0bc"),
                signature: "b5a5a023f26316c975f87fe2e8e5969285c0050ad7360f9d4145fb00598e444f\
                            32cab1baefb115723dbaeb5cac09422eff730b8075765735674fc7d25a78196f1b",
            },
            Vector {
                key: "b6023d31da98df1124db15b758d96ff1508f87272b213464831a9c0bf85ff88e",
                domain: (
                    "USD Coin",
                    "2",
                    8_453,
                    address!("833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
                ),
                authorization: Authorization {
                    from: address!("4562246Cfc2337c411c5CA3b6030429eA7059425"),
                    to: address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
                    value: U256::from(u128::MAX),
                    valid_after: U256::from(1_795_252_860_u64),
                    valid_before: U256::from(1_795_253_460_u64),
                    nonce: B256::with_last_byte(0xff),
                },
                hash: b256!("a991acdaea9bbe2e7a5059b58cb9544426bf61634b284c3e51f22416dd4a1909"),
                signature: "2a9e40291e5dd1dcb1fa27eb12ff501e37fcea54c8ad9192793eef5624da6060\
                            34b338d4c16ab9c1d9495dc8723632a45b12d1d31ec67dcff02f965e971c00631b",
            },
            Vector {
                key: "e4965bdd9f5c63099e74eeef9fcd7f8b5fde8d7ea4d7019c5bcff3c4b9c9dac1",
                domain: (
                    "Assay Development Dollar — ünï",
                    "1",
                    31_337,
                    address!("5FbDB2315678afecb367f032d93F642f64180aa3"),
                ),
                authorization: Authorization {
                    from: address!("84F9eE311DD65cbee4341DB18F839150Ebe6E455"),
                    to: Address::with_last_byte(1),
                    value: U256::from(1),
                    valid_after: U256::ZERO,
                    valid_before: U256::MAX,
                    nonce: B256::repeat_byte(0xfe),
                },
                hash: b256!("bf000a8936ce789c4bc136d0bd604fd868df6c1b6bacb6ef90973d5cd31ef6fd"),
                signature: "579c5e4ff540aeda27997c3dc71326939cedbf4534627ea7e6ef341b8635d18e\
                            3cec526f49b953fc25291400440641c33e7580922729805bce4e63c8b3b648791c",
            },
        ]
    }

    #[test]
    fn hashes_and_signatures_are_those_of_viem() {
        for vector in vectors() {
            let (name, version, chain_id, token) = vector.domain;
            let hash = authorization_hash(&vector.authorization, token, name, version, chain_id);
            assert_eq!(hash, vector.hash, "{name}");
            let key = AccountKey::from_hex(vector.key).unwrap();
            assert_eq!(key.address(), vector.authorization.from);
            let signature = crate::PaymentSigner::sign_hash(&key, &hash).unwrap();
            assert_eq!(hex::encode(signature), vector.signature, "{name}");
        }
    }
}
