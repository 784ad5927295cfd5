use std::borrow::Cow;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};
use assay_chain::PERMIT2;

use super::UptoPermit;

sol! {
    struct TokenPermissions {
        address token;
        uint256 amount;
    }

    struct Witness {
        address to;
        address facilitator;
        uint256 validAfter;
    }

    /// The message of Permit2 with the witness of x402's `upto`.
    struct PermitWitnessTransferFrom {
        TokenPermissions permitted;
        address spender;
        uint256 nonce;
        uint256 deadline;
        Witness witness;
    }

    /// The message of EIP-2612.
    struct Permit {
        address owner;
        address spender;
        uint256 value;
        uint256 nonce;
        uint256 deadline;
    }
}

/// Returns the EIP-712 hash of a permit, under Permit2's domain.
#[must_use]
pub fn permit_hash(permit: &UptoPermit, chain_id: u64) -> B256 {
    let UptoPermit { permitted, spender, nonce, deadline, witness, .. } = *permit;
    let domain = Eip712Domain::new(
        Some(Cow::Borrowed("Permit2")),
        None,
        Some(U256::from(chain_id)),
        Some(PERMIT2),
        None,
    );
    let message = PermitWitnessTransferFrom {
        permitted: TokenPermissions { token: permitted.token, amount: permitted.amount },
        spender,
        nonce,
        deadline,
        witness: Witness {
            to: witness.to,
            facilitator: witness.facilitator,
            validAfter: witness.valid_after,
        },
    };
    message.eip712_signing_hash(&domain)
}

/// Returns the EIP-712 hash by which an owner gives Permit2 an allowance of a token (EIP-2612), under
/// the token's domain: its name and version.
#[must_use]
pub fn token_permit_hash(
    (owner, value): (Address, U256),
    (nonce, deadline): (U256, U256),
    token: Address,
    (name, version): (&str, &str),
    chain_id: u64,
) -> B256 {
    let domain = Eip712Domain::new(
        Some(name.to_owned().into()),
        Some(version.to_owned().into()),
        Some(U256::from(chain_id)),
        Some(token),
        None,
    );
    Permit { owner, spender: PERMIT2, value, nonce, deadline }.eip712_signing_hash(&domain)
}
