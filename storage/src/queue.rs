//! The jobs that wait for the writer thread: bounded in number and in bytes, in one order.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::engine::{Engine, Fault};
use crate::error::StoreError;

/// Jobs that may wait. A consensus group has few in flight; this is for many groups at once.
pub(crate) const MAX_JOBS: usize = 1024;
/// Bytes that may wait; one job may pass it, so that every allowed entry can be written.
pub(crate) const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Told once when a job is durable, or that it will not be.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// What a job does to the database, on the writer thread.
pub(crate) type Work = Box<dyn FnOnce(&Engine) -> Result<(), Fault> + Send>;

/// When a job's callback runs, and what may share a commit with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// After the commit that it shares with all that wait.
    Commit,
    /// As [`Sync::Commit`], but only after all before it are durable and told so.
    Fence,
    /// As soon as sled has it; it becomes durable with some later commit.
    Lazy,
}

/// One write.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) bytes: usize,
    pub(crate) sync: Sync,
    pub(crate) done: Done,
}

/// Room for one job, taken before its group is locked: nobody waits with a lock held.
#[must_use]
pub(crate) struct Permit {
    bytes: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Given as permits, waiting jobs included.
    reserved_jobs: usize,
    reserved_bytes: usize,
    closed: bool,
    failed: Option<String>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// A job came, or the queue was closed.
    filled: Condvar,
    /// Room was made.
    drained: Condvar,
}

impl Queue {
    /// Waits for room.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<Permit, StoreError> {
        let mut state = self.lock();
        loop {
            state.usable()?;
            let fits = state.reserved_bytes == 0 || state.reserved_bytes + bytes <= MAX_BYTES;
            if fits && state.reserved_jobs < MAX_JOBS {
                state.reserved_jobs += 1;
                state.reserved_bytes += bytes;
                return Ok(Permit { bytes });
            }
            state = self.drained.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives room back unused.
    pub(crate) fn release(&self, permit: Permit) {
        let mut state = self.lock();
        state.reserved_jobs -= 1;
        state.reserved_bytes -= permit.bytes;
        self.drained.notify_all();
    }

    /// Queues a job. Once this has answered `Ok`, its callback is called, whatever happens.
    pub(crate) fn push(&self, permit: Permit, job: Job) -> Result<(), StoreError> {
        let mut state = self.lock();
        if let Err(error) = state.usable() {
            drop(state);
            self.release(permit);
            return Err(error);
        }
        // What was reserved and what comes may differ by a seal or two.
        state.reserved_bytes = state.reserved_bytes - permit.bytes + job.bytes;
        state.jobs.push_back(job);
        self.filled.notify_one();
        Ok(())
    }

    /// The next jobs that may share a commit, at least one; `None` when closed and empty.
    pub(crate) fn take(&self, max_bytes: usize) -> Option<Vec<Job>> {
        let mut state = self.lock();
        while state.jobs.is_empty() {
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut taken: Vec<Job> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = state.jobs.front() {
            let fits = bytes + next.bytes <= max_bytes && next.sync != Sync::Fence;
            if !taken.is_empty() && !fits {
                break;
            }
            bytes += next.bytes;
            taken.extend(state.jobs.pop_front());
        }
        state.reserved_jobs -= taken.len();
        state.reserved_bytes -= bytes;
        self.drained.notify_all();
        Some(taken)
    }

    /// Refuses what comes from now on; what waits is still written.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.drained.notify_all();
    }

    /// Refuses what comes from now on, for good.
    pub(crate) fn fail(&self, why: &str) {
        self.lock().failed.get_or_insert_with(|| why.to_owned());
        self.drained.notify_all();
    }

    /// Whether writing has failed, and why.
    pub(crate) fn failure(&self) -> Option<String> {
        self.lock().failed.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn usable(&self) -> Result<(), StoreError> {
        if let Some(why) = &self.failed {
            return Err(StoreError::Failed { why: why.clone() });
        }
        if self.closed { Err(StoreError::Closed) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &Queue, bytes: usize, sync: Sync) {
        let permit = queue.reserve(bytes).unwrap();
        let job = Job { work: Box::new(|_| Ok(())), bytes, sync, done: Box::new(|_| ()) };
        queue.push(permit, job).unwrap();
    }

    #[test]
    fn a_commit_is_shared_up_to_its_bytes_and_never_across_a_fence() {
        let queue = Queue::default();
        for sync in [Sync::Commit, Sync::Lazy, Sync::Commit, Sync::Fence, Sync::Commit] {
            push(&queue, 10, sync);
        }
        let sizes: Vec<_> = (0..3).map(|_| queue.take(25).unwrap().len()).collect();
        assert_eq!(sizes, [2, 1, 2]);
        queue.close();
        assert!(queue.take(25).is_none());
    }

    #[test]
    fn a_job_over_the_bound_is_taken_alone() {
        let queue = Queue::default();
        push(&queue, MAX_BYTES * 2, Sync::Commit);
        assert_eq!(queue.take(1).unwrap().len(), 1);
    }

    #[test]
    fn who_waits_for_room_is_told_when_the_store_fails() {
        let queue = Queue::default();
        push(&queue, MAX_BYTES, Sync::Commit);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.reserve(1).map(drop));
            queue.fail("disk");
            assert!(matches!(waiting.join().unwrap(), Err(StoreError::Failed { .. })));
        });
    }

    #[test]
    fn what_was_accepted_before_closing_is_still_handed_out() {
        let queue = Queue::default();
        push(&queue, 1, Sync::Commit);
        queue.close();
        assert!(matches!(queue.reserve(1), Err(StoreError::Closed)));
        assert_eq!(queue.take(1).unwrap().len(), 1);
    }
}
