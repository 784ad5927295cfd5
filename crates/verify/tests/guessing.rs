//! Whoever sees everything that is public about a transaction, and every other item of it with its
//! salts, still cannot tell one of ten outputs from another.

use std::collections::BTreeSet;

use assay_primitives::encoding::from_hex;
use assay_primitives::{Digest, encoding};
use assay_receipt::{
    Bundle, ItemStatement, Salt, TransactionSecret, commit_output, commit_request, merkle,
};
use assay_testkit::{SampleTransaction, sample_output, sample_request, sample_transaction};

const HIDDEN: usize = 1;

/// Four items, of which the second is kept back.
fn sold() -> SampleTransaction {
    sample_transaction(8_453).with_items(4).settled()
}

/// Everything that others get to see: the whole bundle but the one item.
fn public(sold: &SampleTransaction) -> Bundle {
    sold.bundle().disclose(|item| item.details.index as usize != HIDDEN).unwrap()
}

/// Every value of 32 bytes in what is public, in whatever place and spelling, and what stands for
/// "none": anything that could have been used as a salt.
fn candidates(bundle: &Bundle) -> Vec<Salt> {
    let file = bundle.to_bytes().unwrap();
    let mut texts = vec![file];
    let envelopes = [&bundle.receipt, &bundle.key_manifest].into_iter();
    for envelope in envelopes.chain(&bundle.settlement_records) {
        texts.push(envelope.payload.clone());
        texts.push(envelope.signatures[0].sig.clone());
    }
    for item in &bundle.items {
        texts.extend([item.statement.clone(), item.request.clone(), item.output.clone().unwrap()]);
    }
    let mut salts: BTreeSet<[u8; 32]> = BTreeSet::from([[0; 32], [0xff; 32]]);
    for text in texts {
        salts.insert(Digest::of(&text).0);
        // Hexadecimal and binary at every offset.
        salts.extend(text.windows(32).map(|window| <[u8; 32]>::try_from(window).unwrap()));
        salts.extend(text.windows(64).filter_map(|window| {
            str::from_utf8(window).ok().and_then(|text| from_hex::<32>(text).ok())
        }));
    }
    salts.into_iter().map(Salt::from).collect()
}

#[test]
fn one_of_ten_outputs_cannot_be_told_from_what_is_public() {
    let sold = sold();
    let bundle = public(&sold);
    let whole = sold.bundle();
    let hidden = &whole.items[HIDDEN];
    let statement = ItemStatement::from_bytes(&hidden.statement).unwrap();

    // The truth is among the guesses, and with the salts it would be found.
    let guesses: Vec<Vec<u8>> =
        (0..10).map(|class| sample_output(class).to_bytes().unwrap()).collect();
    assert!(guesses.contains(hidden.output.as_ref().unwrap()));
    let found = guesses
        .iter()
        .any(|guess| commit_output(&hidden.salts.output, guess) == statement.output_commitment);
    assert!(found);

    // The leaf of the hidden item is public: it stands in its neighbours' paths.
    let leaf = merkle::leaf_hash(&hidden.salts.leaf, &hidden.statement);
    assert!(bundle.items.iter().any(|item| item.path.contains(&leaf)));
    let file = bundle.to_bytes().unwrap();
    let shown = |digest: &Digest| {
        let hex = digest.to_string();
        file.windows(64).any(|window| window == hex.as_bytes())
    };
    assert!(shown(&leaf));
    // Nothing else of it is: neither salts nor commitments, in no spelling.
    for secret in [hidden.salts.leaf, hidden.salts.request, hidden.salts.output] {
        assert!(!candidates(&bundle).contains(&secret));
    }
    assert!(!shown(&statement.request_commitment) && !shown(&statement.output_commitment));

    // With every public value as salt, no guess gives the commitments, nor the leaf; for the leaf,
    // let the guesser know the whole statement but the commitments.
    let request = sample_request(1).to_bytes().unwrap();
    assert_eq!(request, hidden.request);
    for salt in candidates(&bundle) {
        assert_ne!(commit_request(&salt, &request), statement.request_commitment);
        for guess in &guesses {
            assert_ne!(commit_output(&salt, guess), statement.output_commitment);
        }
        assert_ne!(merkle::leaf_hash(&salt, &hidden.statement), leaf);
    }
}

#[test]
fn a_guess_of_the_whole_item_does_not_give_its_leaf() {
    // Every part that is not salted is known, and one salt is used for everything: still no guess.
    let sold = sold();
    let bundle = public(&sold);
    let whole = sold.bundle();
    let hidden = &whole.items[HIDDEN];
    let statement = ItemStatement::from_bytes(&hidden.statement).unwrap();
    let leaf = merkle::leaf_hash(&hidden.salts.leaf, &hidden.statement);
    // The salts of the other items, in every combination of roles.
    let salts: Vec<Salt> = bundle
        .items
        .iter()
        .flat_map(|item| [item.salts.leaf, item.salts.request, item.salts.output])
        .collect();
    for class in 0..10 {
        let output = sample_output(class).to_bytes().unwrap();
        for request_salt in &salts {
            for output_salt in &salts {
                let guess = ItemStatement {
                    request_commitment: commit_request(request_salt, &hidden.request),
                    output_commitment: commit_output(output_salt, &output),
                    ..statement.clone()
                };
                let guess = guess.to_bytes().unwrap();
                assert!(salts.iter().all(|salt| merkle::leaf_hash(salt, &guess) != leaf));
            }
        }
    }
}

#[test]
fn the_receipt_of_one_transaction_says_nothing_of_its_answer() {
    // Ten transactions that differ in nothing but the answer: the envelopes differ in the root and
    // the signature, and the roots are of leaves that nobody without the salt can make.
    let mut payloads = BTreeSet::new();
    for class in 0..10 {
        let mut sold = sample_transaction(8_453);
        sold.items[0].output = Some(sample_output(class).to_bytes().unwrap());
        let bundle = sold.bundle();
        let payload = String::from_utf8(bundle.receipt.payload).unwrap();
        let root = merkle::leaf_hash(&bundle.items[0].salts.leaf, &bundle.items[0].statement);
        let (before, after) = payload.split_once(&root.to_string()).unwrap();
        payloads.insert(format!("{before}{after}"));
    }
    assert_eq!(payloads.len(), 1);
}

#[test]
fn the_same_answer_in_two_transactions_has_two_commitments() {
    let first = sample_transaction(8_453);
    let mut second = first.clone();
    second.secret = TransactionSecret::from_bytes([8; 32]);
    let statement = |sold: &SampleTransaction| {
        ItemStatement::from_bytes(&sold.bundle().items[0].statement).unwrap()
    };
    let (a, b) = (statement(&first), statement(&second));
    assert_eq!(a.details, b.details);
    assert_ne!(a.request_commitment, b.request_commitment);
    assert_ne!(a.output_commitment, b.output_commitment);

    // Within one transaction too, of two items with the same question and the same answer.
    let mut twice = first.with_items(2);
    twice.items[1].request = twice.items[0].request.clone();
    twice.items[1].output = twice.items[0].output.clone();
    let items = twice.bundle().items;
    let read = |at: usize| ItemStatement::from_bytes(&items[at].statement).unwrap();
    assert_ne!(read(0).request_commitment, read(1).request_commitment);
    assert_ne!(read(0).output_commitment, read(1).output_commitment);
    let all = items.iter().flat_map(|i| [i.salts.leaf, i.salts.request, i.salts.output]);
    let all: BTreeSet<String> = all.map(|salt| encoding::hex(salt.as_bytes())).collect();
    assert_eq!(all.len(), 6);
}
