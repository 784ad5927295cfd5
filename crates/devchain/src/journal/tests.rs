use std::fs;

use tempfile::TempDir;

use super::*;
use crate::block::Block;

const GENESIS: B256 = B256::repeat_byte(0xaa);

/// Makes a file with three empty blocks and returns the length of the file after each.
fn filled(folder: &TempDir) -> Vec<usize> {
    let mut head = Block::genesis(B256::ZERO).head();
    let mut journal = Journal::open(folder.path(), GENESIS, false, |_| Ok(())).unwrap();
    let mut lengths = vec![length(folder)];
    for timestamp in [10, 10, 20] {
        let block = Block::after(head, timestamp, None);
        head = block.head();
        journal.append(&block).unwrap();
        lengths.push(length(folder));
    }
    lengths
}

fn blocks(folder: &TempDir) -> PathBuf {
    folder.path().join("blocks")
}

fn length(folder: &TempDir) -> usize {
    fs::read(blocks(folder)).unwrap().len()
}

/// Returns the times of the records in the file.
fn reopen(folder: &TempDir) -> Result<Vec<u64>, JournalError> {
    let mut times = Vec::new();
    Journal::open(folder.path(), GENESIS, false, |record| {
        times.push(record.timestamp);
        Ok(())
    })?;
    Ok(times)
}

#[test]
fn records_come_back_in_order() {
    let folder = TempDir::new().unwrap();
    filled(&folder);
    assert_eq!(reopen(&folder).unwrap(), [10, 10, 20]);
}

#[test]
fn an_incomplete_last_record_is_cut_off_wherever_the_write_stopped() {
    let folder = TempDir::new().unwrap();
    let lengths = filled(&folder);
    let whole = fs::read(blocks(&folder)).unwrap();
    let (start, end) = (lengths[2], lengths[3]);
    assert_eq!(end, whole.len());
    for stop in start + 1..end {
        fs::write(blocks(&folder), &whole[..stop]).unwrap();
        assert_eq!(reopen(&folder).unwrap(), [10, 10], "stopped at byte {stop}");
        assert_eq!(length(&folder), lengths[2]);
        let zeros = [&whole[..stop], &vec![0; end - stop]].concat();
        if zeros != whole {
            fs::write(blocks(&folder), zeros).unwrap();
            assert_eq!(reopen(&folder).unwrap(), [10, 10], "zeros from byte {stop}");
        }
    }
    fs::write(blocks(&folder), [&whole[..start], &[0; 5000]].concat()).unwrap();
    assert_eq!(reopen(&folder).unwrap(), [10, 10]);
}

#[test]
fn a_file_can_be_written_on_after_a_cut() {
    let folder = TempDir::new().unwrap();
    let lengths = filled(&folder);
    let file = OpenOptions::new().write(true).open(blocks(&folder)).unwrap();
    file.set_len(lengths[3] as u64 - 1).unwrap();
    let mut journal = Journal::open(folder.path(), GENESIS, true, |_| Ok(())).unwrap();
    journal.append(&Block::after(Block::genesis(B256::ZERO).head(), 99, None)).unwrap();
    drop(journal);
    assert_eq!(reopen(&folder).unwrap(), [10, 10, 99]);
}

#[test]
fn every_flipped_bit_before_the_last_record_is_an_error() {
    let folder = TempDir::new().unwrap();
    let lengths = filled(&folder);
    let whole = fs::read(blocks(&folder)).unwrap();
    for byte in 0..lengths[2] {
        let mut damaged = whole.clone();
        damaged[byte] ^= 1 << (byte % 8);
        fs::write(blocks(&folder), &damaged).unwrap();
        let error = reopen(&folder).expect_err(&format!("byte {byte} was flipped"));
        let text = error.to_string();
        if byte >= HEADER_LENGTH {
            assert!(matches!(error, JournalError::Damaged { .. }), "byte {byte}: {text}");
        }
        assert_eq!(fs::read(blocks(&folder)).unwrap(), damaged, "byte {byte}: the file changed");
    }
}

#[test]
fn another_chains_file_is_refused() {
    let folder = TempDir::new().unwrap();
    filled(&folder);
    let other = Journal::open(folder.path(), B256::ZERO, false, |_| Ok(()));
    assert!(matches!(other, Err(JournalError::Genesis { found: GENESIS, .. })));
    let mut bytes = fs::read(blocks(&folder)).unwrap();
    bytes[MAGIC.len() + 3] = 9;
    fs::write(blocks(&folder), &bytes).unwrap();
    assert!(matches!(reopen(&folder), Err(JournalError::Version { found: 9, .. })));
    fs::write(blocks(&folder), "something else").unwrap();
    assert!(matches!(reopen(&folder), Err(JournalError::NotAJournal { .. })));
    assert_eq!(fs::read(blocks(&folder)).unwrap(), b"something else");
}

#[test]
fn a_folder_is_opened_once() {
    let folder = TempDir::new().unwrap();
    let journal = Journal::open(folder.path(), GENESIS, false, |_| Ok(())).unwrap();
    assert!(matches!(reopen(&folder), Err(JournalError::Locked { .. })));
    drop(journal);
    assert!(reopen(&folder).unwrap().is_empty());
}

#[test]
fn a_header_that_was_not_completely_written_is_written_again() {
    let folder = TempDir::new().unwrap();
    fs::write(blocks(&folder), &MAGIC[..7]).unwrap();
    assert!(reopen(&folder).unwrap().is_empty());
    assert!(reopen(&folder).unwrap().is_empty());
}

#[test]
fn after_a_write_that_cannot_be_undone_nothing_more_is_written() {
    let folder = TempDir::new().unwrap();
    let lengths = filled(&folder);
    let block = Block::after(Block::genesis(B256::ZERO).head(), 99, None);
    let mut journal = Journal::open(folder.path(), GENESIS, false, |_| Ok(())).unwrap();
    journal.fail();
    assert!(matches!(journal.append(&block), Err(JournalError::Io { .. })));
    assert!(matches!(journal.append(&block), Err(JournalError::Broken { .. })));
    assert_eq!(length(&folder), lengths[3]);
}
