//! The parts of a bundle, each checked on its own.

use std::time::Duration;

use assay_primitives::{Digest, KeyId, Timestamp};
use assay_receipt::{
    BundleItem, DsseError, Envelope, IN_TOTO_PAYLOAD_TYPE, ItemDetails, ItemStatement, KeyManifest,
    ManifestError, Receipt, Reference, Salt, commit_output, commit_request, merkle,
};

use crate::{Check, Refusal, Verified};

/// How far the clocks of operator, network and verifier may differ.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(120);

/// Checks a key manifest's signature against the identity key it names.
///
/// # Errors
/// [`Check::ManifestContent`] or [`Check::ManifestSignature`].
pub fn open_manifest(envelope: &Envelope) -> Result<Verified<KeyManifest>, Refusal> {
    let manifest = KeyManifest::open(envelope).map_err(|error| match error {
        ManifestError::Envelope(error) => envelope_refusal(Check::ManifestSignature, &error),
        other => Refusal::new(Check::ManifestContent, "a key manifest", other),
    })?;
    Ok(Verified::assertion(manifest))
}

/// Checks a receipt: its key is the manifest operator's and in use, it signed it, it is not from the
/// future of `now`, and the money goes to the operator.
///
/// # Errors
/// One of the `receipt.*` checks.
pub fn open_receipt(
    envelope: &Envelope,
    manifest: &Verified<KeyManifest>,
    now: Timestamp,
) -> Result<Verified<Receipt>, Refusal> {
    // What the payload says of its key is only a claim until the signature holds under that key.
    let receipt = Receipt::from_bytes(&envelope.payload)
        .map_err(|error| Refusal::new(Check::ReceiptContent, "a receipt", error))?;
    let predicate = receipt.predicate();
    let operator = manifest.content().operator;
    if predicate.operator != operator {
        return Err(Refusal::new(Check::ReceiptOperator, operator, predicate.operator));
    }
    RECEIPT_SIGNER.check(envelope, manifest, predicate.receipt_key, predicate.issued_at)?;
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

/// Checks an item: its statement is in the receipt's tree, request and output are the ones it
/// commits to, and it depends on earlier items only. What certifies it is not looked at.
///
/// # Errors
/// One of the `item.*` checks.
pub fn open_item(
    item: &BundleItem,
    receipt: &Verified<Receipt>,
) -> Result<Verified<ItemStatement>, Refusal> {
    open_item_from(item, receipt, 0)
}

/// As [`open_item`], of an item whose index has to be `least` or more.
pub(crate) fn open_item_from(
    item: &BundleItem,
    receipt: &Verified<Receipt>,
    least: u32,
) -> Result<Verified<ItemStatement>, Refusal> {
    let statement = ItemStatement::from_bytes(&item.statement)
        .map_err(|error| Refusal::new(Check::ItemStatement, "an item statement", error))?;
    let index = statement.details.index;
    check_inclusion(item, receipt, index, least)
        .and_then(|()| check_commitments(item, &statement))
        .and_then(|()| check_dependencies(&statement.details))
        .map_err(|refusal| refusal.in_item(index))?;
    Ok(Verified::assertion(statement))
}

fn check_inclusion(
    item: &BundleItem,
    receipt: &Receipt,
    index: u32,
    least: u32,
) -> Result<(), Refusal> {
    if index < least {
        let expected = format!("an index of {least} or more");
        return Err(Refusal::new(Check::ItemIndex, expected, index));
    }
    let count = receipt.predicate().item_count;
    let leaf = merkle::leaf_hash(&item.salts.leaf, &item.statement);
    let root = merkle::root_from_path(index, count, leaf, &item.path);
    if root == Some(receipt.subject()) {
        return Ok(());
    }
    let got = root.map_or_else(
        || format!("a path of {} for leaf {index} of {count}", item.path.len()),
        |root| root.to_string(),
    );
    Err(Refusal::new(Check::ItemInclusion, receipt.subject(), got))
}

fn check_commitments(item: &BundleItem, statement: &ItemStatement) -> Result<(), Refusal> {
    let same = |check, expected: Digest, got: Digest| {
        if got == expected { Ok(()) } else { Err(Refusal::new(check, expected, got)) }
    };
    let request = commit_request(&item.salts.request, &item.request);
    same(Check::ItemRequest, statement.request_commitment, request)?;
    let output = match &item.output {
        Some(output) => commit_output(&item.salts.output, output),
        None if item.salts.output == Salt::ZERO => Digest::ZERO,
        None => {
            return Err(Refusal::new(Check::ItemOutput, "no salt where no output is", "a salt"));
        }
    };
    same(Check::ItemOutput, statement.output_commitment, output)
}

fn check_dependencies(item: &ItemDetails) -> Result<(), Refusal> {
    let mut least = 0;
    for other in &item.depends_on {
        if !(least..item.index).contains(other) {
            let expected = format!("an index from {least} to below {}", item.index);
            return Err(Refusal::new(Check::ItemDependency, expected, other));
        }
        least = other.saturating_add(1);
    }
    if item.id.is_none() {
        return Ok(());
    }
    check_places(&item.references)?;
    let named = Reference::items(&item.references);
    if named == item.depends_on {
        return Ok(());
    }
    let expected = format!("the items of its references, {named:?}");
    Err(Refusal::new(Check::ItemDependency, expected, format!("{:?}", item.depends_on)))
}

/// Checks that references stand in the order of where they point to, and no two of them at one element.
fn check_places(references: &[Reference]) -> Result<(), Refusal> {
    for pair in references.windows(2) {
        let [one, next] = pair else { continue };
        if one.at >= next.at || one.at.overlaps(&next.at) {
            let expected = format!("a reference for what comes after {}", one.at);
            return Err(Refusal::new(Check::ItemDependency, expected, next.at));
        }
    }
    Ok(())
}

/// The checks that a signature by a receipt key can fail.
pub(crate) struct SignerChecks {
    known: Check,
    signature: Check,
    revoked: Check,
    validity: Check,
}

const RECEIPT_SIGNER: SignerChecks = SignerChecks {
    known: Check::ReceiptKey,
    signature: Check::ReceiptSignature,
    revoked: Check::ReceiptKeyRevoked,
    validity: Check::ReceiptKeyValidity,
};

pub(crate) const SETTLEMENT_SIGNER: SignerChecks = SignerChecks {
    known: Check::SettlementKey,
    signature: Check::SettlementSignature,
    revoked: Check::SettlementKeyRevoked,
    validity: Check::SettlementKeyValidity,
};

impl SignerChecks {
    /// Checks that key `id` of the manifest signed the envelope, and could at the time it states.
    pub(crate) fn check(
        &self,
        envelope: &Envelope,
        manifest: &Verified<KeyManifest>,
        id: KeyId,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        let (key, listed) = manifest
            .receipt_key(id)
            .ok_or_else(|| Refusal::new(self.known, "a receipt key of the manifest", id))?;
        envelope
            .verify(IN_TOTO_PAYLOAD_TYPE, key)
            .map_err(|error| envelope_refusal(self.signature, &error))?;
        // Whoever holds a stolen key writes any time he likes, so without a witness of the time a
        // revocation reaches everything the key ever signed.
        if let Some(revocation) = manifest.revocation(id) {
            let got = format!("{id}, revoked at {} ({})", revocation.time, revocation.reason);
            return Err(Refusal::new(self.revoked, "a key that is not revoked", got));
        }
        if at < listed.valid_from || at > listed.valid_to {
            let expected = format!("a time from {} to {}", listed.valid_from, listed.valid_to);
            return Err(Refusal::new(self.validity, expected, at));
        }
        Ok(())
    }
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
