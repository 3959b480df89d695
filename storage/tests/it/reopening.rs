//! Groups that are dropped, opened again and wiped while others write: each handle sees all that
//! was queued before it, and a wipe is neither damage nor the end of the store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bookmesh_storage::{Group, Health, MetaKey, Scrub, Store, StoreError};
use bytes::Bytes;

use crate::support::{group, memory_dir, open, rack, record, records};

#[test]
fn a_group_that_is_opened_again_knows_what_was_still_queued() {
    let dir = memory_dir();
    let store = open(dir.path());
    group(&store).append_blocking(records(0, 1000, 50)).unwrap();
    let busy = store.group(&rack("busy")).unwrap();
    for round in 0..30_u64 {
        let from = 1000 - (round + 1) * 20;
        let vote = Bytes::from(round.to_string());
        // What the writer has in its hands for a while.
        busy.append(records(round * 50, round * 50 + 50, 20_000), Box::new(|_| ())).unwrap();
        let log = group(&store);
        log.truncate(from, Box::new(|_| ())).unwrap();
        log.put(MetaKey::Vote, vote.clone(), Box::new(|_| ())).unwrap();
        drop(log);
        let log = group(&store);
        assert_eq!(log.last_index(), Some(from - 1), "round {round}");
        assert_eq!(log.get(MetaKey::Vote).unwrap(), Some(vote), "round {round}");
    }
}

/// Appends to a group as long as it is there, and reads all of it.
fn use_up(log: &Group, over: &AtomicBool) -> Result<(), StoreError> {
    let mut scrub = Scrub::new(log.clone());
    // More than is kept in memory, so that reads and wipes meet on the disk.
    log.append_blocking(records(0, 80, 30_000))?;
    while !over.load(Ordering::Relaxed) {
        let next = log.last_index().map_or(0, |last| last + 1);
        log.append(vec![record(next, next.to_string())], Box::new(|_| ()))
            .and_then(|()| log.read(0..u64::MAX, usize::MAX))
            .and_then(|read| {
                let right = (0..).zip(&read).all(|(index, record)| record.index == index);
                assert!(right && !read.is_empty());
                scrub.step(Some(next), usize::MAX)
            })
            .and_then(|_| log.put_lazy(MetaKey::Committed, Bytes::from(next.to_string())))?;
    }
    Ok(())
}

#[test]
fn groups_are_wiped_and_made_again_while_they_are_written() {
    let dir = memory_dir();
    let store = open(dir.path());
    let over = AtomicBool::new(false);
    let appended = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Two at once step on each other's feet, which is no damage either.
                    match use_up(&group(&store), &over) {
                        Ok(()) => {}
                        Err(StoreError::Wiped { .. } | StoreError::NotConsecutive { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        let other = scope.spawn(|| {
            let log = store.group(&rack("other")).unwrap();
            let mut next = 0;
            while !over.load(Ordering::Relaxed) {
                log.append_blocking(records(next, next + 1, 300)).unwrap();
                next += 1;
            }
            next
        });
        for round in 0..20 {
            let wipe = if round % 2 == 0 { Store::wipe } else { Store::rebuild };
            let begun = Instant::now();
            while group(&store).last_index() < Some(85) {
                assert!(begun.elapsed() < Duration::from_secs(60), "nobody appends any more");
                std::thread::yield_now();
            }
            wipe(&store, &rack("book-rack-001")).unwrap();
        }
        over.store(true, Ordering::Relaxed);
        other.join().unwrap()
    });
    assert_eq!(store.health(), Health::Healthy);
    store.close().unwrap();
    let store = open(dir.path());
    assert_eq!(store.group(&rack("other")).unwrap().last_index(), Some(appended - 1));
    let log = group(&store);
    Scrub::new(log.clone()).step(log.last_index(), usize::MAX).unwrap();
}
