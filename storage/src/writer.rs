//! The one thread that writes: everything that waits goes into sled, is committed once, and is
//! told so in its order.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::engine::{Engine, Fault};
use crate::error::StoreError;
use crate::queue::{Done, Job, Queue, Sync};

/// What one commit takes. It is also the most that is ever in sled and not on disk: sled writes
/// over a segment once what replaced it was "flushed", which is not yet durable, and with less
/// than a segment between two commits that replacement is always durable by then.
const MAX_COMMIT_BYTES: usize = 1024 * 1024;

/// Runs until the queue is closed and empty.
pub(crate) fn run(engine: &Engine, queue: &Queue) {
    let mut lazy_bytes = 0;
    while let Some(jobs) = queue.take(MAX_COMMIT_BYTES) {
        lazy_bytes = round(engine, queue, jobs, lazy_bytes);
    }
    if lazy_bytes > 0
        && let Err(fault) = engine.commit()
    {
        fail(queue, &fault);
    }
}

/// Writes some jobs; answers how many bytes wait for a later commit.
fn round(engine: &Engine, queue: &Queue, jobs: Vec<Job>, lazy_bytes: usize) -> usize {
    let bytes = lazy_bytes + jobs.iter().map(|job| job.bytes).sum::<usize>();
    let commit = bytes >= MAX_COMMIT_BYTES || jobs.iter().any(|job| job.sync != Sync::Lazy);
    let mut told: Vec<Done> = Vec::with_capacity(jobs.len());
    let mut result = match queue.failure() {
        Some(why) => Err(Fault(why)),
        None => Ok(()),
    };
    for job in jobs {
        result = result.and_then(|()| (job.work)(engine));
        told.push(job.done);
    }
    if commit {
        result = result.and_then(|()| engine.commit());
    }
    if let Err(fault) = &result {
        fail(queue, fault);
    }
    for done in told {
        let result = result.clone().map_err(|Fault(why)| StoreError::Failed { why });
        // A fault of one caller's must not end the thread that writes for all.
        if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
            tracing::error!("a callback panicked");
        }
    }
    if commit { 0 } else { bytes }
}

/// A write or sync that failed may or may not be on disk, and the next one would not tell: nothing
/// is written after it.
fn fail(queue: &Queue, Fault(why): &Fault) {
    if queue.failure().is_none() {
        tracing::error!(%why, "the store can't be written any more; restart when the disk is well");
    }
    queue.fail(why);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, sync_channel};

    type Told = Receiver<Result<(), StoreError>>;

    fn job(sync: Sync, work: Result<(), Fault>) -> (Job, Told) {
        let (tell, told) = sync_channel(1);
        let done = Box::new(move |result| drop(tell.send(result)));
        (Job { work: Box::new(move |_| work), bytes: 10, sync, done }, told)
    }

    #[test]
    fn after_one_fault_nothing_is_said_to_be_durable() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), 1024 * 1024).unwrap();
        let queue = Queue::default();
        let (good, good_told) = job(Sync::Commit, Ok(()));
        let (bad, bad_told) = job(Sync::Commit, Err(Fault("no space".into())));
        round(&engine, &queue, vec![good, bad], 0);
        for told in [good_told, bad_told] {
            assert!(matches!(told.recv().unwrap(), Err(StoreError::Failed { .. })));
        }
        let (later, later_told) = job(Sync::Commit, Ok(()));
        round(&engine, &queue, vec![later], 0);
        assert!(matches!(later_told.recv().unwrap(), Err(StoreError::Failed { .. })));
        assert!(queue.reserve(1).is_err());
    }

    #[test]
    fn lazy_writes_are_committed_once_they_are_many() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), 1024 * 1024).unwrap();
        let queue = Queue::default();
        let lazy = || vec![job(Sync::Lazy, Ok(())).0];
        assert_eq!(round(&engine, &queue, lazy(), 100), 110);
        assert_eq!(round(&engine, &queue, lazy(), MAX_COMMIT_BYTES), 0);
        assert_eq!(round(&engine, &queue, vec![job(Sync::Commit, Ok(())).0], 100), 0);
    }

    #[test]
    fn a_callback_that_panics_takes_nobody_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), 1024 * 1024).unwrap();
        let (bad, _) = job(Sync::Commit, Ok(()));
        let bad = Job { done: Box::new(|_| panic!("in a callback")), ..bad };
        let (good, told) = job(Sync::Commit, Ok(()));
        round(&engine, &Queue::default(), vec![bad, good], 0);
        assert!(told.recv().unwrap().is_ok());
    }
}
