//! One worker process: its output, line by line, and how it is asked to stop.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bytes of a line that are passed on at once; a longer one becomes several.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// How long what a process wrote last may take to be passed on.
const DRAIN: Duration = Duration::from_secs(2);

/// What a worker says of itself once it listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) http: String,
    pub(super) p2p: String,
    pub(super) peer: String,
    pub(super) pid: u32,
}

impl Ready {
    /// From the line `ready key=value …`.
    fn parse(line: &str, pid: u32) -> Option<Self> {
        let mut ready = Self { pid, ..Self::default() };
        for word in line.strip_prefix("ready ")?.split_whitespace() {
            match word.split_once('=') {
                Some(("http", text)) => ready.http = text.to_owned(),
                Some(("p2p", text)) => ready.p2p = text.to_owned(),
                Some(("peer", text)) => ready.peer = text.to_owned(),
                _ => {}
            }
        }
        Some(ready)
    }
}

/// A process that runs.
pub(super) struct Child {
    process: tokio::process::Child,
    /// Its standard input. Waiting for a process would close it, were it not taken out.
    tie: Option<ChildStdin>,
    output: JoinSet<()>,
    ready: watch::Receiver<Option<Ready>>,
}

impl Child {
    /// Starts a process whose lines are passed on with its name before them.
    pub(super) fn start(name: &str, mut command: Command) -> io::Result<Self> {
        let mut process = command.spawn()?;
        let pid = process.id().unwrap_or_default();
        let (said, ready) = watch::channel(None);
        let mut output = JoinSet::new();
        if let Some(out) = process.stdout.take() {
            let listen = move |line: &str| {
                if let Some(ready) = Ready::parse(line, pid) {
                    said.send_replace(Some(ready));
                }
            };
            output.spawn(pass_on(name.to_owned(), out, tokio::io::stdout(), listen));
        }
        if let Some(err) = process.stderr.take() {
            output.spawn(pass_on(name.to_owned(), err, tokio::io::stderr(), |_| {}));
        }
        let tie = process.stdin.take();
        Ok(Self { process, tie, output, ready })
    }

    /// What it says of itself, once it does.
    pub(super) fn ready(&self) -> watch::Receiver<Option<Ready>> {
        self.ready.clone()
    }

    /// Asks it to stop.
    pub(super) fn ask_to_stop(&mut self) {
        self.tie = None;
    }

    /// Ends it at once.
    pub(super) fn kill(&mut self) {
        // One that has ended already needs no killing.
        let _ = self.process.start_kill();
    }

    /// Waits until it has ended. What ties it stays open meanwhile.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Passes on what it wrote last.
    pub(super) async fn drain(mut self) {
        let all = async { while self.output.join_next().await.is_some() {} };
        // Something that it started may hold its output open.
        let _ = tokio::time::timeout(DRAIN, all).await;
    }
}

/// Passes lines on with a name before each, until there are no more.
async fn pass_on(
    name: String,
    from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    listen: impl Fn(&str),
) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut from).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await;
        if !read.is_ok_and(|bytes| bytes > 0) {
            return;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        listen(text);
        // Whoever read this output may have gone: the workers go on, and must not be held up.
        let _ = to.write_all(format!("{name} | {text}\n").as_bytes()).await;
        let _ = to.flush().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_line_is_known_by_its_first_word() {
        let line = "ready role=worker http=http://127.0.0.1:1 p2p=/ip4/1,/ip4/2 peer=ab x";
        let ready = Ready::parse(line, 7).unwrap();
        assert_eq!(
            (ready.http.as_str(), ready.p2p.as_str()),
            ("http://127.0.0.1:1", "/ip4/1,/ip4/2")
        );
        assert_eq!((ready.peer.as_str(), ready.pid), ("ab", 7));
        assert_eq!(Ready::parse("already up", 7), None);
    }

    #[tokio::test]
    async fn every_line_has_its_name_and_long_ones_are_cut() {
        let long = "x".repeat(MAX_LINE_BYTES as usize + 1);
        let text = format!("one\r\ntwo\n\n{long}\nlast");
        let mut out = Vec::new();
        pass_on("worker-1".into(), text.as_bytes(), &mut out, |_| {}).await;
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<_> =
            out.lines().map(|line| line.strip_prefix("worker-1 | ").unwrap()).collect();
        assert_eq!((&lines[..3], lines.len()), (&["one", "two", ""][..], 6));
        assert_eq!((lines[4], lines[5]), ("x", "last"));
    }
}
