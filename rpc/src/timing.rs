//! Where the time of one request goes, over all nodes that take part in it.
//!
//! Whoever begins a request measures it: what is waited for within its future, calls to other
//! nodes among it, is noted with it. A node that answers a call measures its own part, and says in
//! its reply what it came to. Times of calls that run side by side add up.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// What a request has spent so far, in microseconds.
#[derive(Debug, Default)]
pub struct Timing {
    asked: AtomicU64,
    network: AtomicU64,
    majority: AtomicU64,
    apply: AtomicU64,
}

/// What a request has spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// On calls to other nodes, all of the below and their own work included.
    pub asked: Duration,
    /// On the way to other nodes and back, and in the queues between.
    pub network: Duration,
    /// Waiting for a majority: to commit a write, or to confirm who leads for a read.
    pub majority: Duration,
    /// Applying what was committed.
    pub apply: Duration,
}

/// What a node has spent on a call, as its reply says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// From the call's arrival to its reply.
    pub served_us: u32,
    /// Of that, on the way to nodes that it asked in turn.
    pub network_us: u32,
    /// Of that, waiting for a majority.
    pub majority_us: u32,
    /// Of that, applying.
    pub apply_us: u32,
}

thread_local! {
    /// The request that is being polled on this thread.
    static CURRENT: RefCell<Option<Arc<Timing>>> = const { RefCell::new(None) };
}

impl Timing {
    /// Notes what `future` waits for.
    pub fn measure<F>(self: &Arc<Self>, future: F) -> Measured<F> {
        Measured { future, timing: self.clone() }
    }

    /// What it came to so far.
    pub fn parts(&self) -> Parts {
        let of = |part: &AtomicU64| Duration::from_micros(part.load(Ordering::Relaxed));
        Parts {
            asked: of(&self.asked),
            network: of(&self.network),
            majority: of(&self.majority),
            apply: of(&self.apply),
        }
    }

    /// What the reply to a call says, which took so long to serve.
    pub(crate) fn spent(&self, served: Duration) -> Spent {
        let Parts { network, majority, apply, .. } = self.parts();
        Spent {
            served_us: micros(served),
            network_us: micros(network),
            majority_us: micros(majority),
            apply_us: micros(apply),
        }
    }
}

/// The request in hand waited so long for a majority, and then for what was committed to be
/// applied. Noted nowhere outside of a request.
pub fn note_commit(waited: Duration, applied: Duration) {
    with_current(|timing| {
        add(&timing.majority, waited.saturating_sub(applied).as_micros());
        add(&timing.apply, applied.as_micros());
    });
}

/// The request in hand waited so long for a call's reply, which says this.
pub(crate) fn note_call(waited: Duration, spent: Spent) {
    with_current(|timing| {
        let served = Duration::from_micros(spent.served_us.into());
        let network = waited.saturating_sub(served).as_micros();
        add(&timing.asked, waited.as_micros());
        add(&timing.network, network + u128::from(spent.network_us));
        add(&timing.majority, spent.majority_us.into());
        add(&timing.apply, spent.apply_us.into());
    });
}

fn with_current(note: impl FnOnce(&Timing)) {
    CURRENT.with_borrow(|current| {
        if let Some(timing) = current {
            note(timing);
        }
    });
}

fn add(part: &AtomicU64, micros: u128) {
    part.fetch_add(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// A future whose waits are noted.
#[derive(Debug)]
pub struct Measured<F> {
    future: F,
    timing: Arc<Timing>,
}

impl<F: Future + Unpin> Future for Measured<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _current = Current::enter(self.timing.clone());
        Pin::new(&mut self.future).poll(context)
    }
}

/// Puts a request in hand for as long as it lives, a panic included.
struct Current(Option<Arc<Timing>>);

impl Current {
    fn enter(timing: Arc<Timing>) -> Self {
        Self(CURRENT.replace(Some(timing)))
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn what_is_waited_for_is_noted_with_its_own_request() {
        let (one, other) = (Arc::new(Timing::default()), Arc::new(Timing::default()));
        let work = |times: u32| {
            Box::pin(async move {
                for _ in 0..times {
                    note_commit(5 * MS, 2 * MS);
                    tokio::task::yield_now().await;
                }
            })
        };
        futures::join!(one.measure(work(1)), other.measure(work(3)));
        note_commit(MS, MS);
        assert_eq!((one.parts().majority, one.parts().apply), (3 * MS, 2 * MS));
        assert_eq!((other.parts().majority, other.parts().apply), (9 * MS, 6 * MS));
    }

    #[tokio::test]
    async fn a_call_is_split_into_the_way_and_what_the_other_did() {
        let timing = Arc::new(Timing::default());
        let spent =
            Spent { served_us: 7_000, network_us: 1_000, majority_us: 4_000, apply_us: 500 };
        timing.measure(Box::pin(async { note_call(10 * MS, spent) })).await;
        let parts = timing.parts();
        assert_eq!((parts.asked, parts.network), (10 * MS, 4 * MS));
        assert_eq!((parts.majority, parts.apply), (4 * MS, MS / 2));
        assert_eq!(timing.spent(9 * MS).network_us, 4_000);
    }
}
