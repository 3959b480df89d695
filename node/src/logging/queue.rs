//! Lines that wait to be written. Whoever logs never waits for a pipe that nobody reads or a disk
//! that is slow: what does not fit is dropped, counted, and said as soon as there is room.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that wait or are being written: some ten thousand lines, of half a second under
/// full load. A disk's hiccup is shorter.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// What a line takes beside its text.
const LINE_BYTES: usize = 64;

const DROPPED: &str = "log_lines_dropped_total";

/// One line, with its end.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) bytes: Vec<u8>,
    pub(super) is_error: bool,
}

impl Line {
    fn cost(&self) -> usize {
        self.bytes.len() + LINE_BYTES
    }
}

/// Where lines end up. Called on a thread of its own, which may block.
pub(super) trait Sink: Send + 'static {
    /// Writes a line; what fails is the sink's to tell.
    fn write(&mut self, line: &Line);
}

/// Standard error, whoever reads it.
#[derive(Debug)]
pub(super) struct StandardError;

impl Sink for StandardError {
    fn write(&mut self, line: &Line) {
        // Nobody is left to tell.
        let _ = io::stderr().write_all(&line.bytes);
    }
}

/// Lines on their way to one sink.
#[derive(Clone, Debug)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Where the lines go, as metrics and lines call it.
    name: &'static str,
    state: Mutex<State>,
    filled: Condvar,
    drained: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Line>,
    /// Of these, and of those that are being written.
    bytes: usize,
    dropped: u64,
}

impl Queue {
    /// Starts the thread that writes; it lives as long as the process.
    pub(super) fn start(name: &'static str, sink: impl Sink) -> io::Result<Self> {
        let (filled, drained) = (Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { name, state: Mutex::default(), filled, drained });
        let queue = Self(shared.clone());
        thread::Builder::new().name(format!("log-{name}")).spawn(move || shared.run(sink))?;
        Ok(queue)
    }

    fn push(&self, line: Line) {
        let mut state = self.0.lock();
        if state.bytes + line.cost() > MAX_BYTES {
            state.dropped += 1;
            drop(state);
            count_dropped(self.0.name, 1);
            return;
        }
        state.bytes += line.cost();
        state.lines.push_back(line);
        self.0.filled.notify_one();
    }

    /// From now on what it drops is counted, beginning with 0.
    pub(super) fn count(&self) {
        metrics::describe_counter!(DROPPED, "Log lines that could not be written in time.");
        count_dropped(self.0.name, 0);
    }

    /// Waits until nothing is left to write, or until then.
    pub(super) fn flush(&self, until: Instant) {
        let state = self.0.lock();
        let wait = until.saturating_duration_since(Instant::now());
        // What is not written by then is not written.
        let _ = self.0.drained.wait_timeout_while(state, wait, |state| state.bytes > 0);
    }
}

/// Lines that nobody will read.
pub(super) fn count_dropped(to: &'static str, lines: u64) {
    metrics::counter!(DROPPED, "to" => to).increment(lines);
}

impl Shared {
    /// A queue is never left half changed: what panics while it is locked has not begun.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut sink: impl Sink) {
        loop {
            let state = self.lock();
            let waiting = self.filled.wait_while(state, |state| state.lines.is_empty());
            let lines = mem::take(&mut waiting.unwrap_or_else(PoisonError::into_inner).lines);
            for line in lines {
                sink.write(&line);
                self.written(&line);
            }
        }
    }

    fn written(&self, line: &Line) {
        let mut state = self.lock();
        state.bytes -= line.cost();
        if state.bytes > 0 {
            return;
        }
        let dropped = mem::take(&mut state.dropped);
        self.drained.notify_all();
        drop(state);
        if dropped > 0 {
            let to = self.name;
            tracing::warn!(
                dropped,
                to,
                "log lines were dropped: they could not be written in time"
            );
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> LineWriter {
        LineWriter { bytes: Vec::new(), is_error: false, queue: self.clone() }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> LineWriter {
        let is_error = *about.level() == Level::ERROR;
        LineWriter { bytes: Vec::new(), is_error, queue: self.clone() }
    }
}

/// A line in the making; it waits to be written once it is dropped.
#[derive(Debug)]
pub(super) struct LineWriter {
    bytes: Vec<u8>,
    is_error: bool,
    queue: Queue,
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        let bytes = mem::take(&mut self.bytes);
        if !bytes.is_empty() {
            self.queue.push(Line { bytes, is_error: self.is_error });
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::time::Duration;

    use super::*;

    /// What was written.
    #[derive(Clone, Debug, Default)]
    pub(in super::super) struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Kept {
        pub(in super::super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Sink for Kept {
        fn write(&mut self, line: &Line) {
            self.0.lock().unwrap().extend_from_slice(&line.bytes);
        }
    }

    /// Writes nothing before it is let.
    struct Stuck(Kept, SyncSender<()>, Receiver<()>);

    impl Sink for Stuck {
        fn write(&mut self, line: &Line) {
            let _ = self.1.try_send(());
            let _ = self.2.recv();
            self.0.write(line);
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[test]
    fn a_sink_that_is_stuck_holds_up_nobody_and_memory_is_bounded() {
        let kept = Kept::default();
        let (begun, has_begun) = sync_channel(1);
        let (open, opened) = sync_channel(0);
        let queue = Queue::start("test", Stuck(kept.clone(), begun, opened)).unwrap();
        let say = |number: usize| {
            let line = format!("{number:01000}\n").into_bytes();
            queue.push(Line { bytes: line, is_error: false });
        };
        say(0);
        has_begun.recv().unwrap();
        let fit = MAX_BYTES / (1_001 + LINE_BYTES);
        (1..fit + 10).for_each(say);
        assert_eq!(queue.0.lock().dropped, 10);
        queue.flush(Instant::now());
        drop(open);
        queue.flush(soon());
        assert_eq!(kept.text().lines().count(), fit);
        // There is room again, and what was dropped is forgotten once it was told.
        assert_eq!(queue.0.lock().dropped, 0);
        say(1);
        queue.flush(soon());
        assert_eq!(kept.text().lines().count(), fit + 1);
    }
}
