//! What the nodes of this test process logged.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use tracing_subscriber::fmt::MakeWriter;

use crate::support::until;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn lines() -> &'static Lines {
    static LINES: OnceLock<Lines> = OnceLock::new();
    LINES.get_or_init(|| {
        let lines = Lines::default();
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::WARN)
            .with_writer(lines.clone())
            .init();
        lines
    })
}

/// Begins to record.
pub(crate) fn record() {
    lines();
}

/// Waits for a warning that has all these parts.
pub(crate) async fn warned(parts: &[&str]) {
    until(&format!("a log line with {parts:?}"), async || {
        let text = String::from_utf8_lossy(&lines().0.lock().unwrap()).into_owned();
        text.lines().any(|line| parts.iter().all(|part| line.contains(part)))
    })
    .await;
}
