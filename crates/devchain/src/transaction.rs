//! From the bytes of a transaction to what the EVM runs.

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{Transaction, TxEnvelope, TxType};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Signature, keccak256};
use revm::context::TxEnv;
use secp256k1::PublicKey;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

use crate::config::{BASE_FEE, CHAIN_ID, TRANSACTION_SIZE_LIMIT};
use crate::error::SubmitError;

/// Decodes a signed transaction, recovers its sender, and checks all that needs no state.
pub(crate) fn decode(raw: &[u8]) -> Result<Recovered<TxEnvelope>, SubmitError> {
    if raw.len() > TRANSACTION_SIZE_LIMIT {
        return Err(SubmitError::TooLarge { size: raw.len(), limit: TRANSACTION_SIZE_LIMIT });
    }
    let transaction = TxEnvelope::decode_2718_exact(raw)
        .map_err(|error| SubmitError::Malformed(error.to_string()))?;
    let kind = transaction.tx_type();
    if !matches!(kind, TxType::Legacy | TxType::Eip2930 | TxType::Eip1559) {
        return Err(SubmitError::Type(kind.into()));
    }
    // A legacy transaction without a chain id is valid everywhere, here too.
    if let Some(signed) = transaction.chain_id()
        && signed != CHAIN_ID
    {
        return Err(SubmitError::WrongChain { signed, expected: CHAIN_ID });
    }
    let offered = transaction.max_fee_per_gas();
    if offered < u128::from(BASE_FEE) {
        return Err(SubmitError::Underpriced { offered, base: BASE_FEE });
    }
    let sender = recover(transaction.signature(), transaction.signature_hash())?;
    Ok(Recovered::new_unchecked(transaction, sender))
}

/// Returns what the EVM runs for a transaction that [`decode`] accepted.
pub(crate) fn environment(transaction: &Recovered<TxEnvelope>) -> TxEnv {
    TxEnv {
        tx_type: transaction.tx_type().into(),
        caller: transaction.signer(),
        gas_limit: transaction.gas_limit(),
        gas_price: transaction.max_fee_per_gas(),
        gas_priority_fee: transaction.max_priority_fee_per_gas(),
        kind: transaction.kind(),
        value: transaction.value(),
        data: transaction.input().clone(),
        nonce: transaction.nonce(),
        chain_id: transaction.chain_id(),
        access_list: transaction.access_list().cloned().unwrap_or_default(),
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: Vec::new(),
    }
}

/// Returns the address of a public key.
pub(crate) fn address_of(key: &PublicKey) -> Address {
    let [_tag, point @ ..] = key.serialize_uncompressed();
    Address::from_word(keccak256(point))
}

fn recover(signature: &Signature, hash: B256) -> Result<Address, SubmitError> {
    if signature.normalize_s().is_some() {
        return Err(SubmitError::Sender);
    }
    let mut compact = [0_u8; 64];
    let (r, s) = compact.split_at_mut(32);
    r.copy_from_slice(&signature.r().to_be_bytes::<32>());
    s.copy_from_slice(&signature.s().to_be_bytes::<32>());
    let parity = RecoveryId::from_u8_masked(u8::from(signature.v()));
    RecoverableSignature::from_compact(&compact, parity)
        .and_then(|signature| signature.recover_ecdsa(secp256k1::Message::from_digest(hash.0)))
        .map(|key| address_of(&key))
        .map_err(|_| SubmitError::Sender)
}

#[cfg(test)]
mod tests {
    use alloy::network::TxSignerSync;
    use alloy::signers::local::PrivateKeySigner;
    use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
    use alloy_eips::eip2718::Encodable2718;
    use alloy_primitives::{TxKind, U256, uint};

    use super::*;
    use crate::accounts::dev_accounts;

    fn signed(change: impl FnOnce(&mut TxEip1559)) -> Vec<u8> {
        let mut transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            gas_limit: 21_000,
            max_fee_per_gas: BASE_FEE.into(),
            to: TxKind::Call(Address::ZERO),
            ..Default::default()
        };
        change(&mut transaction);
        let signer = PrivateKeySigner::from_bytes(&dev_accounts()[0].key).unwrap();
        let signature = signer.sign_transaction_sync(&mut transaction).unwrap();
        TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
    }

    #[test]
    fn the_sender_is_recovered() {
        let transaction = decode(&signed(|_| ())).unwrap();
        assert_eq!(transaction.signer(), dev_accounts()[0].address);
    }

    #[test]
    fn what_needs_no_state_is_checked() {
        let error = |raw: &[u8]| decode(raw).unwrap_err().to_string();
        assert!(error(&[]).contains("cannot be decoded"));
        assert!(error(&[0xff; 40]).contains("cannot be decoded"));
        let trailing = [signed(|_| ()), vec![0]].concat();
        assert!(error(&trailing).contains("cannot be decoded"), "a trailing byte was accepted");
        assert!(error(&signed(|tx| tx.chain_id = 1)).contains("invalid chain id"));
        assert!(error(&signed(|tx| tx.max_fee_per_gas = 1)).contains("max fee per gas less"));
        let large = signed(|tx| tx.input = vec![0; TRANSACTION_SIZE_LIMIT].into());
        assert!(error(&large).contains("oversized data"));
    }

    #[test]
    fn a_signature_with_a_high_s_is_refused() {
        let transaction = TxLegacy { gas_price: BASE_FEE.into(), ..Default::default() };
        let order = uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);
        let signature = Signature::new(U256::ONE, order - U256::ONE, false);
        let raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
        assert!(matches!(decode(&raw), Err(SubmitError::Sender)));
    }
}
