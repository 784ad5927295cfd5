//! Issuing: from what ran to a signed receipt with its items.

use assay_primitives::{Digest, OperatorId, Timestamp, TransactionId};

use crate::merkle;
use crate::{
    Authorization, BundleItem, Envelope, ItemDetails, ItemError, ItemSalts, ItemStatement,
    LedgerPromise, OutcomePolicy, Receipt, ReceiptPredicate, Salt, SigningKey, StatementError,
    TransactionSecret, commit_output, commit_request,
};

/// A transaction to be certified.
#[derive(Clone, Debug)]
pub struct NewTransaction {
    /// Its id.
    pub id: TransactionId,
    /// Who sells it.
    pub operator: OperatorId,
    /// The client's nonce.
    pub nonce: Option<String>,
    /// The ledger it is promised to.
    pub ledger: Option<LedgerPromise>,
    /// What becomes of the whole if an item fails.
    pub outcome_policy: OutcomePolicy,
    /// The payment authorised for it.
    pub authorization: Authorization,
    /// What ran, in order of index.
    pub items: Vec<NewItem>,
}

/// An item to be certified.
#[derive(Clone, Debug)]
pub struct NewItem {
    /// The item's JSON; its index is set from its place.
    pub details: ItemDetails,
    /// What was asked.
    pub request: Vec<u8>,
    /// What was answered; none when it failed.
    pub output: Option<Vec<u8>>,
}

/// A certified transaction.
#[derive(Clone, Debug)]
pub struct IssuedTransaction {
    /// The signed receipt.
    pub receipt: Envelope,
    /// Its items, as a bundle holds them.
    pub items: Vec<IssuedItem>,
}

/// A certified item. The same as in a bundle.
pub type IssuedItem = BundleItem;

/// What is wrong with a transaction to be certified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// No items, or more than a tree may have.
    #[error("a transaction has 1 to {max} items: got {0}", max = merkle::MAX_LEAVES)]
    ItemCount(usize),
    /// An item cannot be written.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// The receipt cannot be written.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

/// Signs the receipt of a transaction.
///
/// Everything is an argument, so the same arguments give the same receipt, after a crash too.
///
/// # Errors
/// When there are no items or too many, or one cannot be written: its outcome is `ok` without an
/// output, or another with one.
pub fn issue(
    transaction: NewTransaction,
    secret: &TransactionSecret,
    key: &SigningKey,
    now: Timestamp,
) -> Result<IssuedTransaction, IssueError> {
    let Ok(item_count @ 1..=merkle::MAX_LEAVES) = u32::try_from(transaction.items.len()) else {
        return Err(IssueError::ItemCount(transaction.items.len()));
    };
    let mut items = (0..item_count)
        .zip(transaction.items)
        .map(|(index, item)| issue_item(index, item, secret))
        .collect::<Result<Vec<_>, _>>()?;
    let leaves: Vec<Digest> =
        items.iter().map(|item| merkle::leaf_hash(&item.salts.leaf, &item.statement)).collect();
    let (root, paths) = merkle::root_and_paths(&leaves);
    for (item, path) in items.iter_mut().zip(paths) {
        item.path = path;
    }
    let predicate = ReceiptPredicate {
        transaction_id: transaction.id,
        operator: transaction.operator,
        receipt_key: key.public().id(),
        item_count,
        issued_at: now,
        nonce: transaction.nonce,
        ledger: transaction.ledger,
        outcome_policy: transaction.outcome_policy,
        authorization: transaction.authorization,
    };
    let receipt = Receipt::new(root, predicate).sign(key)?;
    Ok(IssuedTransaction { receipt, items })
}

fn issue_item(
    index: u32,
    item: NewItem,
    secret: &TransactionSecret,
) -> Result<IssuedItem, IssueError> {
    let (output_salt, output_commitment) = match &item.output {
        Some(output) => {
            let salt = secret.output_salt(index);
            (salt, commit_output(&salt, output))
        }
        None => (Salt::ZERO, Digest::ZERO),
    };
    let salts = ItemSalts {
        leaf: secret.leaf_salt(index),
        request: secret.request_salt(index),
        output: output_salt,
    };
    let statement = ItemStatement {
        request_commitment: commit_request(&salts.request, &item.request),
        output_commitment,
        details: ItemDetails { index, ..item.details },
    };
    Ok(IssuedItem {
        statement: statement.to_bytes()?,
        salts,
        path: Vec::new(),
        request: item.request,
        output: item.output,
    })
}
