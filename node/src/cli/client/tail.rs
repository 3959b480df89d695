//! `bookmesh log tail`.

use std::io::{self, Write};
use std::time::Duration;

use bookmesh_rpc::api::RackId;
use reqwest::Response;

use super::failure::Failure;
use super::http::Api;
use super::record::Record;
use super::views::Rack;
use crate::cli::Server;

/// Records before the end that are shown first.
const LOOK_BACK: u64 = 10;
/// The longest line: an entry of 64 KiB twice, as hex digits and as JSON with escapes.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Prints records until Ctrl-C.
pub(super) async fn run(
    rack: &RackId,
    from: Option<u64>,
    json: bool,
    server: &Server,
) -> Result<(), Failure> {
    let api = Api::new(&server.url)?;
    tokio::select! {
        result = follow(&api, rack, from, json) => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn follow(api: &Api, rack: &RackId, from: Option<u64>, json: bool) -> Result<(), Failure> {
    let mut next = match from {
        Some(from) => from,
        None => near_the_end(api, rack).await?,
    };
    let mut pause = FIRST_PAUSE;
    let path = format!("/racks/{rack}/log/tail");
    let mut response = api.stream(&path, &[("from", next.to_string())]).await?;
    loop {
        let first = next;
        let ended = print(api, response, &mut next, json).await;
        if let Err(failure) = ended {
            if !failure.is_passing() {
                return Err(failure);
            }
            writeln!(io::stderr(), "{failure}")?;
        }
        if next > first {
            pause = FIRST_PAUSE;
        }
        response = loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match api.stream(&path, &[("from", next.to_string())]).await {
                Err(failure) if failure.is_passing() => {}
                other => break other?,
            }
        };
    }
}

async fn near_the_end(api: &Api, rack: &RackId) -> Result<u64, Failure> {
    let rack: Rack = api.get(&format!("/racks/{rack}"), &[]).await?.typed()?;
    Ok(rack.last_index.map_or(0, |last| (last + 1).saturating_sub(LOOK_BACK)))
}

/// Prints records until the stream ends; `next` is the index after the last one.
async fn print(
    api: &Api,
    mut response: Response,
    next: &mut u64,
    json: bool,
) -> Result<(), Failure> {
    let mut lines = Lines::default();
    while let Some(chunk) = response.chunk().await.map_err(|error| api.broken(&error))? {
        let mut out = io::stdout().lock();
        for line in lines.feed(&chunk)? {
            let record: Record = serde_json::from_slice(&line).map_err(|error| {
                Failure::Failed(format!("the gateway sent a line that is no record: {error}"))
            })?;
            if json {
                out.write_all(&line)?;
                writeln!(out)?;
            } else {
                record.render(&mut out)?;
            }
            *next = record.index + 1;
        }
        out.flush()?;
    }
    Ok(())
}

/// Bytes as they arrive become lines.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// The lines that these bytes complete; empty ones keep a connection alive and are left out.
    fn feed(&mut self, mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let mut lines = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.begun);
            if !line.trim_ascii().is_empty() {
                lines.push(line);
            }
        }
        self.begun.extend_from_slice(bytes);
        if self.begun.len() > MAX_LINE_BYTES {
            let what = format!("the gateway sent a line of more than {MAX_LINE_BYTES} bytes");
            return Err(Failure::Failed(what));
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let text = b"one\n\ntwo\nthr";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let found: Vec<_> =
                text.chunks(size).flat_map(|chunk| lines.feed(chunk).unwrap()).collect();
            assert_eq!(found, [b"one", b"two"], "in chunks of {size}");
        }
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; 1024 * 1024];
        let results: Vec<_> = (0..5).map(|_| lines.feed(&chunk).is_ok()).collect();
        assert_eq!(results, [true, true, true, true, false]);
    }
}
