//! The parts of a bundle, each checked on its own.

use std::time::Duration;

use assay_primitives::{Digest, KeyId, Timestamp};
use assay_receipt::{
    BundleItem, DsseError, Envelope, ItemStatement, KeyManifest, KeyPurpose, ManifestError,
    ManifestKey, PublicKey, Receipt, SettlementRecord, Statement, StatementError, commit_output,
    commit_request, merkle,
};

use crate::{Check, Refusal, Verified};

/// How far an operator's clock may run ahead of the verifier's.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(120);

/// Checks a key manifest's signature against the identity key it names.
///
/// # Errors
/// [`Check::ManifestSignature`] or [`Check::ManifestContent`].
pub fn open_manifest(envelope: &Envelope) -> Result<Verified<KeyManifest>, Refusal> {
    let manifest = KeyManifest::open(envelope).map_err(|error| match error {
        ManifestError::Envelope(error) => envelope_refusal(Check::ManifestSignature, &error),
        other => Refusal::new(Check::ManifestContent, "a key manifest", other),
    })?;
    Ok(Verified::assertion(manifest))
}

/// Checks a receipt: its key is the manifest operator's and in use, it signed it, and it is not from
/// the future of `now`.
///
/// # Errors
/// One of the `receipt.*` checks.
pub fn open_receipt(
    envelope: &Envelope,
    manifest: &Verified<KeyManifest>,
    now: Timestamp,
) -> Result<Verified<Receipt>, Refusal> {
    // What the payload says of its key is only a claim until the signature holds under that key.
    let claimed = Receipt::from_bytes(&envelope.payload)
        .map_err(|error| Refusal::new(Check::ReceiptContent, "a receipt", error))?;
    let predicate = claimed.predicate();
    let operator = manifest.content().operator;
    if predicate.operator != operator {
        return Err(Refusal::new(Check::ReceiptOperator, operator, predicate.operator));
    }
    let key = receipt_key(manifest, predicate.receipt_key, Check::ReceiptKey)?;
    let receipt: Receipt =
        open_statement(envelope, key, Check::ReceiptSignature, Check::ReceiptContent)?;
    check_key_use(manifest, key, predicate.receipt_key, predicate.issued_at)?;
    if predicate.issued_at > now.plus(CLOCK_TOLERANCE) {
        let expected = format!("a time up to {now}");
        return Err(Refusal::new(Check::ReceiptTime, expected, predicate.issued_at));
    }
    let paid = &predicate.authorization;
    let listed =
        manifest.content().settlement_addresses.iter().any(|address| {
            address.network == paid.network && address.account.is_same(&paid.pay_to)
        });
    if !listed {
        let expected = format!("a settlement address of the manifest on {}", paid.network);
        return Err(Refusal::new(Check::ReceiptPayTo, expected, &paid.pay_to));
    }
    Ok(Verified::assertion(receipt))
}

/// Checks an item: its statement is in the receipt's tree, and request and output are the ones it
/// commits to.
///
/// # Errors
/// One of the `item.*` checks.
pub fn open_item(
    item: &BundleItem,
    receipt: &Verified<Receipt>,
) -> Result<Verified<ItemStatement>, Refusal> {
    let statement = ItemStatement::from_bytes(&item.statement)
        .map_err(|error| Refusal::new(Check::ItemStatement, "an item statement", error))?;
    let (index, count) = (statement.details.index, receipt.predicate().item_count);
    let refusal = |check, expected: String, got: String| {
        Err(Refusal::new(check, expected, got).in_item(index))
    };
    let leaf = merkle::leaf_hash(&item.salts.leaf, &item.statement);
    let root = merkle::root_from_path(index, count, leaf, &item.path);
    if root != Some(receipt.subject()) {
        let got = root.map_or_else(
            || format!("a path of {} for leaf {index} of {count}", item.path.len()),
            |root| root.to_string(),
        );
        return refusal(Check::ItemInclusion, receipt.subject().to_string(), got);
    }
    let request = commit_request(&item.salts.request, &item.request);
    if request != statement.request_commitment {
        let expected = statement.request_commitment.to_string();
        return refusal(Check::ItemRequest, expected, request.to_string());
    }
    let output = match &item.output {
        Some(output) => commit_output(&item.salts.output, output),
        None => Digest::ZERO,
    };
    if output != statement.output_commitment {
        let expected = statement.output_commitment.to_string();
        return refusal(Check::ItemOutput, expected, output.to_string());
    }
    if let Some(other) = statement.details.depends_on.iter().find(|i| **i >= count || **i == index)
    {
        let expected = format!("another item below {count}");
        return refusal(Check::ItemDependency, expected, other.to_string());
    }
    Ok(Verified::assertion(statement))
}

/// Checks a settlement record: signed by a receipt key of the manifest's, about this receipt, and
/// moving the money as that authorises.
///
/// # Errors
/// One of the `settlement.*` checks.
pub fn open_settlement(
    envelope: &Envelope,
    manifest: &Verified<KeyManifest>,
    receipt: &Verified<Receipt>,
    receipt_digest: Digest,
) -> Result<Verified<SettlementRecord>, Refusal> {
    let claimed = SettlementRecord::from_bytes(&envelope.payload)
        .map_err(|error| Refusal::new(Check::SettlementContent, "a settlement record", error))?;
    let key_id = claimed.predicate().receipt_key;
    let key = receipt_key(manifest, key_id, Check::SettlementSignature)?;
    let record: SettlementRecord =
        open_statement(envelope, key, Check::SettlementSignature, Check::SettlementContent)?;
    check_key_use(manifest, key, key_id, record.predicate().recorded_at)?;
    if record.subject() != receipt_digest {
        return Err(Refusal::new(Check::SettlementReceipt, receipt_digest, record.subject()));
    }
    crate::payment::check_terms(record.predicate(), receipt.predicate())?;
    Ok(Verified::assertion(record))
}

fn receipt_key(
    manifest: &Verified<KeyManifest>,
    id: KeyId,
    check: Check,
) -> Result<&ManifestKey, Refusal> {
    manifest
        .key(id, KeyPurpose::Receipt)
        .ok_or_else(|| Refusal::new(check, "a receipt key of the manifest", id))
}

fn open_statement<P: assay_receipt::Predicate>(
    envelope: &Envelope,
    key: &ManifestKey,
    signature: Check,
    content: Check,
) -> Result<Statement<P>, Refusal> {
    let key = PublicKey::from_der(&key.public_key)
        .map_err(|error| Refusal::new(Check::ManifestContent, "a P-256 key", error))?;
    Statement::open(envelope, &key).map_err(|error| match error {
        StatementError::Envelope(error) => envelope_refusal(signature, &error),
        other => Refusal::new(content, P::TYPE, other),
    })
}

fn check_key_use(
    manifest: &Verified<KeyManifest>,
    key: &ManifestKey,
    id: KeyId,
    at: Timestamp,
) -> Result<(), Refusal> {
    // Whoever holds a stolen key writes any time he likes, so without a witness of the time a
    // revocation reaches everything the key ever signed.
    if let Some(revocation) = manifest.revocation(id) {
        let got = format!("{id}, revoked at {} ({})", revocation.time, revocation.reason);
        return Err(Refusal::new(Check::ReceiptKeyRevoked, "a key that is not revoked", got));
    }
    if at < key.valid_from || at > key.valid_to {
        let expected = format!("a time from {} to {}", key.valid_from, key.valid_to);
        return Err(Refusal::new(Check::ReceiptKeyValidity, expected, at));
    }
    Ok(())
}

fn envelope_refusal(check: Check, error: &DsseError) -> Refusal {
    match error {
        DsseError::PayloadType { expected, got } => Refusal::new(check, expected, got),
        DsseError::SignatureCount(got) => Refusal::new(check, "1 signature", got),
        DsseError::KeyId { expected, got } => {
            Refusal::new(check, format!("keyid {expected}"), format!("`{got}`"))
        }
        DsseError::Signature(error) => Refusal::new(check, "a valid signature", error),
    }
}
