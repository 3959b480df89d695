//! Damaged files: never a panic, never a log that is shorter than it was without saying so.

use std::fs;
use std::path::Path;

use bookmesh_storage::{MetaKey, OpenError, Record, Scrub, Store, StoreError};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::{config, copy_dir, group, memory_dir, open, rack, records};

const ENTRIES: u64 = 300;

/// A closed store with some segments.
fn store(dir: &Path) {
    let store = open(dir);
    let log = group(&store);
    for from in (0..ENTRIES).step_by(10) {
        log.append_blocking(records(from, from + 10, 20_000)).unwrap();
    }
    drop(log);
    store.close().unwrap();
}

/// What opening says: `Ok` when the whole log is there and verifies.
fn inspect(dir: &Path) -> Result<(), String> {
    let store = Store::open(config(dir)).map_err(|error| error.to_string())?;
    let log = store.group(&rack("book-rack-001")).map_err(|error| error.to_string())?;
    let all = log.read(0..ENTRIES, usize::MAX).map_err(|error| error.to_string())?;
    assert_eq!(all, records(0, ENTRIES, 20_000), "a log that opens is the one that was written");
    Ok(())
}

#[test]
fn damage_anywhere_in_the_database_is_survived_or_said() {
    let whole = memory_dir();
    store(whole.path());
    let seed = rand::random();
    println!("seed {seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let mut said = 0;
    for round in 0..36 {
        let dir = memory_dir();
        copy_dir(whole.path(), dir.path());
        let files = ["db/db", "db/db", "db/db", "db/conf", "high-water", "FORMAT"];
        let path = dir.path().join(files[round % files.len()]);
        let mut bytes = fs::read(&path).unwrap();
        let at = dice.random_range(0..bytes.len());
        match dice.random_range(0..5) {
            0 => bytes[at] ^= 1 << dice.random_range(0..8),
            1 => bytes.truncate(at),
            2 => bytes.iter_mut().skip(at).take(4096).for_each(|byte| *byte = 0),
            3 => bytes.iter_mut().skip(at).take(4096).for_each(|byte| *byte = dice.random()),
            _ => bytes.iter_mut().for_each(|byte| *byte = dice.random()),
        }
        fs::write(&path, bytes).unwrap();
        said += usize::from(inspect(dir.path()).is_err());
    }
    println!("{said} of 36 were said");
    assert!(said > 9, "damage to data that count has to be noticed: {said}");
}

#[test]
fn a_log_below_its_high_water_mark_does_not_open_until_it_is_wiped() {
    let dir = tempfile::tempdir().unwrap();
    let (now, before) = (dir.path().join("now"), dir.path().join("before"));
    let open_log = open(&now);
    group(&open_log).append_blocking(records(0, 10, 100)).unwrap();
    open_log.close().unwrap();
    copy_dir(&now, &before);
    let open_log = open(&now);
    group(&open_log).append_blocking(records(10, 20, 100)).unwrap();
    open_log.close().unwrap();
    // What a restored backup or sled's recovery leaves: a shorter log that verifies.
    fs::remove_dir_all(now.join("db")).unwrap();
    copy_dir(&before.join("db"), &now.join("db"));

    let store = open(&now);
    let name = rack("book-rack-001");
    let refused = store.group(&name).err().unwrap();
    assert!(
        matches!(refused, StoreError::BelowHighWater { found: Some(9), expected: 19, .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("wiped and filled again"));
    store.wipe(&name).unwrap();
    assert_eq!(store.group(&name).unwrap().last_index(), None);
}

#[test]
fn a_database_that_is_gone_is_not_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    fs::remove_dir_all(dir.path().join("db")).unwrap();
    let store = open(dir.path());
    assert_eq!(store.groups(), [rack("book-rack-001")], "the node knows what to fill again");
    let refused = store.group(&rack("book-rack-001")).err().unwrap();
    assert!(matches!(refused, StoreError::BelowHighWater { found: None, .. }), "{refused}");
}

#[test]
fn a_log_of_another_history_is_seen_by_its_hash() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    for (path, bytes) in [(&one, 100), (&two, 101)] {
        let store = open(path);
        group(&store).append_blocking(records(0, 10, bytes)).unwrap();
        store.close().unwrap();
    }
    fs::copy(two.join("high-water"), one.join("high-water")).unwrap();
    let refused = open(&one).group(&rack("book-rack-001")).err().unwrap();
    assert!(matches!(refused, StoreError::Corrupt { index: 9, .. }), "{refused}");
}

#[test]
fn a_store_without_its_format_file_is_not_taken_for_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    fs::remove_file(dir.path().join("FORMAT")).unwrap();
    assert!(matches!(Store::open(config(dir.path())), Err(OpenError::Corrupt { .. })));
}

/// What is in a store that opens: no entry, value or checkpoint that was never there. Answers
/// what could not be had.
fn survey(dir: &Path, whole: &[Record]) -> Result<(), String> {
    let store = Store::open(config(dir)).map_err(|error| error.to_string())?;
    let log = store.group(&rack("book-rack-001")).map_err(|error| error.to_string())?;
    let text = |error: StoreError| error.to_string();
    let mut scrub = Scrub::new(log.clone());
    let scrubbed = scrub.step(log.last_index(), usize::MAX);
    let mut next = 0;
    while next < whole.len() as u64 {
        let page = log.read(next..u64::MAX, 50_000).map_err(text)?;
        assert!(!page.is_empty(), "the log ends at {next} and nobody says so");
        for record in page {
            assert_eq!(record, whole[next as usize], "an entry that was never written");
            next += 1;
        }
    }
    scrubbed.map_err(text)?;
    let vote = log.get(MetaKey::Vote).map_err(text)?;
    assert_eq!(vote.as_deref(), Some(b"vote".as_slice()));
    Ok(())
}

#[test]
fn a_flipped_byte_anywhere_never_makes_a_wrong_entry() {
    const ENTRIES: u64 = 240;
    const FLIPS: usize = 200;
    let whole = memory_dir();
    let store = open(whole.path());
    let log = group(&store);
    log.put_blocking(MetaKey::Vote, Bytes::from_static(b"an earlier vote")).unwrap();
    // Of many sizes, in pages of many sizes.
    let entries: Vec<_> = (0..ENTRIES)
        .flat_map(|index| records(index, index + 1, 10 + (index as usize * 977) % 30_000))
        .collect();
    for some in entries.chunks(7) {
        log.append_blocking(some.to_vec()).unwrap();
        if some[0].index == ENTRIES / 14 * 7 {
            log.put_blocking(MetaKey::Vote, Bytes::from_static(b"vote")).unwrap();
        }
    }
    drop(log);
    store.close().unwrap();
    // Once more, so that sled has noted where its pages are, and goes by that.
    let noted = memory_dir();
    copy_dir(whole.path(), noted.path());
    open(noted.path()).close().unwrap();

    for store in [&whole, &noted] {
        let bytes = fs::read(store.path().join("db/db")).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        let mut said = 0;
        for flip in 0..FLIPS / 2 {
            let dir = memory_dir();
            copy_dir(store.path(), dir.path());
            let mut bytes = bytes.clone();
            // Spread over all that is used, the first bytes and the last among them.
            let at = used * flip / (FLIPS / 2 - 1);
            bytes[at] ^= 1 << (flip % 8);
            fs::write(dir.path().join("db/db"), bytes).unwrap();
            said += usize::from(survey(dir.path(), &entries).is_err());
        }
        println!("{said} of {} were said, in {used} bytes", FLIPS / 2);
        assert!(said > FLIPS / 8, "damage to data that count has to be noticed: {said}");
    }
}
