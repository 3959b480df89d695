//! Frames that wait to be written to one lane.

use std::sync::Mutex;
use std::task::{Context, Waker};

use bytes::BytesMut;
use tokio::sync::Notify;

use crate::flow::OUTBOX_BYTES;
use crate::frame::Frame;
use crate::lock;

/// A buffer that grew above this is given back once it is written.
const KEPT_BYTES: usize = 256 * 1024;

/// The lane's pump has ended; nothing will be written any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

/// Whoever has a frame appends its bytes here; the pump takes all of them at once. So a call costs
/// one copy and no queue node, and what waits together is written together.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: BytesMut,
    /// Taken by the pump and not yet written.
    in_writing: usize,
    pump: Option<Waker>,
    closed: bool,
}

impl Outbox {
    /// Appends a frame and wakes the pump.
    pub(crate) fn push<B: AsRef<[u8]>>(&self, frame: &Frame<B>) -> Result<(), Closed> {
        let pump = {
            let mut state = lock(&self.state);
            if state.closed {
                return Err(Closed);
            }
            frame.put(&mut state.waiting);
            state.pump.take()
        };
        if let Some(pump) = pump {
            pump.wake();
        }
        Ok(())
    }

    /// Whether there is room for what can be refused.
    pub(crate) fn has_room(&self) -> bool {
        let state = lock(&self.state);
        state.waiting.len() + state.in_writing < OUTBOX_BYTES
    }

    /// Waits until there is room, or nothing will be written any more.
    pub(crate) async fn room(&self) -> Result<(), Closed> {
        loop {
            let notified = self.room.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if lock(&self.state).closed {
                return Err(Closed);
            }
            if self.has_room() {
                return Ok(());
            }
            notified.await;
        }
    }

    /// Whether something waits; if not, the pump is woken when something comes.
    pub(crate) fn poll_waiting(&self, cx: &Context<'_>) -> bool {
        let mut state = lock(&self.state);
        if state.waiting.is_empty() {
            state.pump = Some(cx.waker().clone());
            return false;
        }
        true
    }

    /// Moves all that waits into `writing`, which is empty.
    pub(crate) fn take(&self, writing: &mut BytesMut) {
        if writing.capacity() > KEPT_BYTES {
            *writing = BytesMut::new();
        }
        writing.clear();
        let mut state = lock(&self.state);
        std::mem::swap(&mut state.waiting, writing);
        state.in_writing = writing.len();
    }

    /// Notes that so many of the taken bytes were written.
    pub(crate) fn wrote(&self, bytes: usize) {
        let room = {
            let mut state = lock(&self.state);
            let before = state.waiting.len() + state.in_writing;
            state.in_writing = state.in_writing.saturating_sub(bytes);
            before >= OUTBOX_BYTES && before - bytes < OUTBOX_BYTES
        };
        if room {
            self.room.notify_waiters();
        }
    }

    /// Refuses all further frames and drops those that wait.
    pub(crate) fn close(&self) {
        {
            let mut state = lock(&self.state);
            state.closed = true;
            state.waiting = BytesMut::new();
            state.pump = None;
        }
        self.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::Spent;

    fn frame(bytes: usize) -> Frame<Vec<u8>> {
        Frame::Reply { id: 1, spent: Spent::default(), body: vec![0; bytes] }
    }

    #[test]
    fn what_waits_together_is_taken_together() {
        let outbox = Outbox::default();
        outbox.push(&frame(10)).unwrap();
        outbox.push(&frame(20)).unwrap();
        let mut writing = BytesMut::new();
        outbox.take(&mut writing);
        // Of each frame its length, its kind, its id and what it took.
        assert_eq!(writing.len(), 30 + 2 * (4 + 1 + 8 + 16));
    }

    #[tokio::test]
    async fn a_full_outbox_has_room_again_once_it_was_written() {
        let outbox = Outbox::default();
        outbox.push(&frame(OUTBOX_BYTES)).unwrap();
        assert!(!outbox.has_room());
        let mut writing = BytesMut::new();
        outbox.take(&mut writing);
        assert!(!outbox.has_room(), "what is in writing is still in memory");
        let (room, ()) = tokio::join!(outbox.room(), async { outbox.wrote(writing.len()) });
        assert_eq!(room, Ok(()));
    }

    #[tokio::test]
    async fn a_closed_outbox_refuses_and_wakes_who_waits_for_room() {
        let outbox = Outbox::default();
        outbox.push(&frame(OUTBOX_BYTES)).unwrap();
        let (room, ()) = tokio::join!(outbox.room(), async { outbox.close() });
        assert_eq!(room, Err(Closed));
        assert_eq!(outbox.push(&frame(1)), Err(Closed));
    }
}
