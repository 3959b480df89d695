//! `bookmesh import`: rows are read on a thread, gathered into batches, and sent one batch after
//! the other while the next ones are read. So ids follow the file: a rack numbers its books in the
//! order in which they come. Several batches at a time gained nothing that could be measured, since
//! one leader orders them all.
//!
//! | file | idea |
//! |---|---|
//! | `reader` | the file becomes batches, each within the limits of one request |
//! | `sender` | a batch becomes answers, however often the way breaks |
//! | `tally` | what became of the rows |

mod reader;
mod sender;
mod tally;

use std::time::{Duration, Instant};

use bookmesh_rpc::api::RackId;
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use reader::Read;
use sender::{Outcome, Sender};
use tally::Tally;

use super::failure::Failure;
use super::http::Api;
use super::terminal::{counted, grouped, progress};
use super::views::Rack;
use crate::cli::ImportArgs;

/// Batches that wait: the reader stays that much ahead.
const READ_AHEAD: usize = 4;
const BAR: &str = "{elapsed:>4} {bar:40.green} {percent:>3}%  {msg}";
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// Brings the books of a file into one rack.
pub(super) async fn run(args: ImportArgs) -> Result<(), Failure> {
    let api = Api::new(&args.server.url)?;
    // A file that can't be read is told before a mesh that is not there.
    let file = reader::open(&args.file)?;
    let rack = match args.rack.clone() {
        Some(rack) => rack,
        None => first_book_rack(&api).await?,
    };
    let mut tally = Tally::new(args.rejects.as_deref())?;
    let started = Instant::now();
    let bar = progress(file.bytes(), BAR);
    bar.enable_steady_tick(BAR_INTERVAL);
    let unrecognised = file.unrecognised().to_vec();
    let stopped = carry(file, Sender::new(api, rack), &mut tally, &bar).await;
    bar.finish_and_clear();
    tally.finish(&unrecognised, started.elapsed())?;
    if let Err(failure) = stopped {
        let again = "; run the same import again: it adds nothing twice";
        return Err(Failure::Failed(format!("stopped early: {failure}{again}")));
    }
    if tally.is_clean() { Ok(()) } else { Err(Failure::Reported) }
}

/// Without `--rack` a file always goes to the same rack, so that importing it again finds its
/// books: the one with the lowest number, which is never given anew.
async fn first_book_rack(api: &Api) -> Result<RackId, Failure> {
    let racks: Vec<Rack> = api.get("/racks", &[]).await?.typed()?;
    let books = racks.into_iter().filter(|rack| rack.kind == "book");
    let first = books.min_by_key(|rack| (rack.number.unwrap_or(u32::MAX), rack.id.clone()));
    let id = first.and_then(|rack| rack.id.parse().ok());
    id.ok_or_else(|| {
        let what =
            "there is no book rack yet: start one with `bookmesh worker --rack book-rack-001`";
        Failure::Failed(what.into())
    })
}

async fn carry(
    file: reader::File,
    sender: Sender,
    tally: &mut Tally,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let (batches, mut waiting) = mpsc::channel(READ_AHEAD);
    let reading = tokio::task::spawn_blocking(move || file.read(&batches));
    let started = Instant::now();
    while let Some(read) = waiting.recv().await {
        let outcome = match read {
            Read::Batch(batch) => sender.send(batch).await?,
            Read::Refused(refused) => Outcome::refused(refused),
        };
        bar.inc(outcome.bytes);
        tally.add(outcome)?;
        bar.set_message(rate(tally.rows(), started.elapsed()));
    }
    reading.await.map_err(|error| Failure::Failed(format!("the reader stopped: {error}")))?
}

fn rate(rows: u64, time: Duration) -> String {
    let per_second = u128::from(rows) * 1_000 / time.as_millis().max(1);
    let per_second = grouped(u64::try_from(per_second).unwrap_or(u64::MAX));
    format!("{}, {per_second}/s", counted(rows, "book"))
}
