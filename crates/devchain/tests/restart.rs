//! Chains that are closed and opened again.

use std::fs::{self, OpenOptions};
use std::path::Path;

use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, U256};
use alloy::rpc::types::TransactionRequest;
use assay_devchain::{Config, DevChain, Head, JournalError, OpenError, PERMIT2, dev_accounts};
use tempfile::TempDir;

use crate::support::{START, TestClock, address, sign, transfer};

fn open(folder: &Path, fsync: bool) -> Result<DevChain, OpenError> {
    DevChain::open(Config::persistent(folder).with_fsync(fsync), TestClock::new())
}

/// Makes a chain of three transfers and an empty block, and returns its head.
async fn filled(folder: &Path, fsync: bool) -> Head {
    let clock = TestClock::new();
    let config = Config::persistent(folder).with_fsync(fsync);
    let chain = DevChain::open(config, clock.clone()).unwrap();
    for nonce in 0..3 {
        clock.set(START + 10 * nonce);
        chain.submit(&sign(0, transfer(nonce)).await).unwrap();
    }
    chain.mine().unwrap();
    chain.head()
}

#[tokio::test]
async fn a_chain_resumes_at_the_same_head() {
    for fsync in [false, true] {
        let folder = TempDir::new().unwrap();
        let head = filled(folder.path(), fsync).await;
        assert_eq!((head.number, head.timestamp), (4, START + 20));
        let chain = open(folder.path(), fsync).unwrap();
        assert_eq!(chain.head(), head);
        assert_eq!(chain.nonce(address(0)), 3);
        assert_eq!(chain.balance(Address::repeat_byte(0x77)), U256::from(3));
        chain.submit(&sign(0, transfer(3)).await).unwrap();
        let head = chain.head();
        drop(chain);
        assert_eq!(open(folder.path(), fsync).unwrap().head(), head);
    }
}

#[tokio::test]
async fn an_incomplete_last_block_is_dropped() {
    let folder = TempDir::new().unwrap();
    filled(folder.path(), false).await;
    let path = folder.path().join("blocks");
    let length = fs::metadata(&path).unwrap().len();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    let chain = open(folder.path(), false).unwrap();
    assert_eq!(chain.head().number, 3);
    chain.submit(&sign(0, transfer(3)).await).unwrap();
    drop(chain);
    assert_eq!(open(folder.path(), false).unwrap().head().number, 4);
}

#[tokio::test]
async fn damage_before_the_last_block_is_an_error() {
    let folder = TempDir::new().unwrap();
    filled(folder.path(), false).await;
    let path = folder.path().join("blocks");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = open(folder.path(), false).unwrap_err();
    assert!(
        matches!(error, OpenError::Journal(JournalError::Damaged { offset: 51, .. })),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// The file holds two transfers of devUSD, made when chains started without Permit2.
#[tokio::test]
async fn a_chain_goes_on_with_what_it_started_with() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("blocks"), include_bytes!("first-edition.blocks")).unwrap();
    let chain = open(folder.path(), false).unwrap();
    let head = chain.head();
    let last = "688d420bfa77cfa22f0fdef39157139afda2ce17b7494f9febcac1c94f3c5e51";
    assert_eq!((head.number, head.hash), (2, last.parse().unwrap()));
    let permit2 = || TransactionRequest::default().with_to(PERMIT2);
    assert!(chain.call(&permit2()).unwrap().is_empty(), "there is code");
    chain.submit(&sign(0, transfer(2)).await).unwrap();
    let head = chain.head();
    drop(chain);
    assert_eq!(open(folder.path(), false).unwrap().head(), head);

    let new = DevChain::open(Config::in_memory(), TestClock::new()).unwrap();
    assert!(new.call(&permit2()).is_err(), "there is no code");
}

#[tokio::test]
async fn a_folder_belongs_to_one_chain_at_a_time() {
    let folder = TempDir::new().unwrap();
    let chain = open(folder.path(), false).unwrap();
    let handle = chain.clone();
    drop(chain);
    let second = open(folder.path(), false);
    assert!(matches!(second, Err(OpenError::Journal(JournalError::Locked { .. }))));
    drop(handle);
    open(folder.path(), false).unwrap();
}

#[tokio::test]
async fn blocks_that_do_not_replay_are_an_error() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    filled(first.path(), false).await;
    let chain = open(second.path(), false).unwrap();
    chain.mine().unwrap();
    drop(chain);
    // The records of one file after those of another: whole, but of a different chain.
    let header = 51;
    let records = fs::read(first.path().join("blocks")).unwrap()[header..].to_vec();
    let path = second.path().join("blocks");
    fs::write(&path, [fs::read(&path).unwrap(), records].concat()).unwrap();
    let error = open(second.path(), false).unwrap_err();
    assert!(matches!(error, OpenError::Journal(JournalError::Replay { .. })), "{error}");
    assert!(error.to_string().contains("block 2 was recorded as"), "{error}");
}

#[test]
fn the_accounts_are_the_same_in_every_chain() {
    let chain = DevChain::open(Config::in_memory(), TestClock::new()).unwrap();
    for account in dev_accounts() {
        assert!(chain.balance(account.address) > U256::ZERO);
    }
}
