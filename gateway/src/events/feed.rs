//! One rack's latest changes. A task watches the rack as long as there are readers, and keeps the
//! last of what came; a reader that is further behind reads the rack's log on its own until it has
//! caught up.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bookmesh_rpc::api::{
    ApiError, Change, ChangePage, Position, RackId, RackRoute, Since, WatchChanges,
};
use bookmesh_rpc::mesh::{CallError, Context, Items};
use bookmesh_rpc::reliability::Backoff;
use bookmesh_rpc::routing::Routing;
use bookmesh_rpc::routing::leader::{Failure, How, Size};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::text;
use crate::answer::json_bytes;
use crate::change_json::{EventJson, name};

/// Bytes of events that are kept of one rack at most.
const KEPT_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of events that are kept of all racks together, about: with many each keeps less.
const ALL_KEPT_BYTES: usize = 64 * 1024 * 1024;
/// How long a watch may take to be opened, and to tell its first page.
pub(super) const OPEN: Duration = Duration::from_secs(5);
/// Times in a row that a rack may say that its log has not come to where it was told up to.
const MAX_REFUSALS: u32 = 5;
/// Pauses between attempts double from one to the other.
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// One event, without its id.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) at: Position,
    pub(super) text: String,
}

/// What a rack told in one go.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) events: Vec<Event>,
    /// Everything up to here was told.
    pub(super) through: Position,
}

impl Page {
    pub(super) fn new(rack: &RackId, page: &ChangePage) -> Self {
        let event = |change: &Change| Event {
            at: change.at,
            text: text::event(name(&change.action), &json_bytes(&EventJson::new(rack, change))),
        };
        Self { events: page.changes.iter().map(event).collect(), through: page.through }
    }

    fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.text.len()).sum()
    }
}

/// What the feeds of a gateway may keep: each of them the same.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicUsize);

impl Budget {
    fn of_one(&self) -> usize {
        (ALL_KEPT_BYTES / self.0.load(Ordering::Relaxed).max(1)).min(KEPT_BYTES)
    }
}

/// The last pages of a rack.
#[derive(Debug, Default)]
struct Kept {
    pages: VecDeque<Arc<Page>>,
    bytes: usize,
    /// What came before the first page: its end. `None` until the watch has begun.
    from: Option<Position>,
    /// The rack's log is shorter than what was told of it: it was recovered from a member that had
    /// less, and its places mean something else now.
    over: bool,
}

/// What a feed has for a reader.
pub(super) enum Next {
    /// The next page, of which it may know the beginning.
    Page(Arc<Page>),
    /// Nothing yet: it is at the end, or the watch has not begun.
    Nothing,
    /// It is further behind than what is kept.
    Behind,
}

/// One rack's feed; its watch ends when it is dropped.
#[derive(Debug)]
pub(super) struct Feed {
    kept: Arc<Mutex<Kept>>,
    grown: watch::Receiver<()>,
    task: AbortHandle,
    budget: Arc<Budget>,
}

impl Feed {
    /// Begins to watch a rack. Needs a tokio runtime.
    pub(super) fn start(routing: Arc<Routing>, rack: Arc<RackRoute>, budget: Arc<Budget>) -> Self {
        budget.0.fetch_add(1, Ordering::Relaxed);
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (growing, grown) = watch::channel(());
        let running = run(routing, rack, kept.clone(), growing, budget.clone());
        let task = tokio::spawn(running).abort_handle();
        Self { kept, grown, task, budget }
    }

    /// Whether the log that it told of is no more.
    pub(super) fn is_over(&self) -> bool {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).over
    }

    /// Sees every page that comes.
    pub(super) fn grown(&self) -> watch::Receiver<()> {
        self.grown.clone()
    }

    /// The end of what was told, once the watch has begun.
    pub(super) fn end(&self) -> Option<Position> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pages.back().map(|page| page.through).or(kept.from)
    }

    /// What comes behind a position.
    pub(super) fn next(&self, after: Position) -> Next {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.from {
            None => return Next::Nothing,
            Some(from) if after < from => return Next::Behind,
            Some(_) => {}
        }
        let at = kept.pages.partition_point(|page| page.through <= after);
        kept.pages.get(at).map_or(Next::Nothing, |page| Next::Page(page.clone()))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
        self.budget.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Kept {
    fn push(&mut self, page: Page, most_bytes: usize) {
        if self.from.is_none() {
            self.from = Some(page.through);
            if page.events.is_empty() {
                return;
            }
        }
        self.bytes += page.bytes();
        self.pages.push_back(Arc::new(page));
        while self.bytes > most_bytes && self.pages.len() > 1 {
            let Some(oldest) = self.pages.pop_front() else { break };
            self.bytes -= oldest.bytes();
            self.from = Some(oldest.through);
        }
    }
}

async fn run(
    routing: Arc<Routing>,
    rack: Arc<RackRoute>,
    kept: Arc<Mutex<Kept>>,
    growing: watch::Sender<()>,
    budget: Arc<Budget>,
) {
    let mut pauses = Backoff::new(MIN_PAUSE, MAX_PAUSE);
    let (mut from, mut refusals) = (Since::Now, 0);
    loop {
        // A refusal may come before the stream is open or, from further away, just after.
        let refusal = match open(&routing, &rack, from).await {
            Ok(mut items) => loop {
                match items.next().await {
                    Some(Ok(page)) => {
                        pauses.reset();
                        refusals = 0;
                        from = Since::After(page.through);
                        let page = Page::new(&rack.id, &page);
                        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                        kept.push(page, budget.of_one());
                        drop(kept);
                        growing.send_replace(());
                    }
                    Some(Err(CallError::Api(error))) => break Some(error),
                    Some(Err(_)) | None => break None,
                }
            },
            Err(Failure::Refused(error)) => Some(error),
            Err(failure) => {
                tracing::debug!(rack = %rack.id, ?failure, "its changes are not told");
                None
            }
        };
        // A member may be behind for a moment; a rack whose leader knows less was recovered.
        if matches!(refusal, Some(ApiError::Invalid(_))) && from != Since::Now {
            refusals += 1;
            if refusals >= MAX_REFUSALS {
                tracing::warn!(rack = %rack.id, "its log is another one now");
                kept.lock().unwrap_or_else(PoisonError::into_inner).over = true;
                growing.send_replace(());
                return;
            }
        }
        tokio::time::sleep(pauses.wait()).await;
    }
}

/// Watches a rack from a place on, at its leader where one is known: it is the first to know.
pub(super) async fn open(
    routing: &Routing,
    rack: &Arc<RackRoute>,
    from: Since,
) -> Result<Items<ChangePage>, Failure> {
    let request = WatchChanges { rack: rack.id.clone(), from };
    routing.open(rack, &Context::within(OPEN), How::leader(Size::Small), &request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64) -> Position {
        Position { index, part: 0 }
    }

    fn page(indexes: &[u64], bytes: usize) -> Page {
        let event = |index: &u64| Event { at: at(*index), text: "x".repeat(bytes) };
        let through = at(indexes.last().copied().unwrap_or(9));
        Page { events: indexes.iter().map(event).collect(), through }
    }

    fn feed(pages: Vec<Page>) -> Feed {
        let mut kept = Kept::default();
        pages.into_iter().for_each(|page| kept.push(page, KEPT_BYTES));
        let (_, grown) = watch::channel(());
        let task = tokio::spawn(async {}).abort_handle();
        Feed {
            kept: Arc::new(Mutex::new(kept)),
            grown,
            task,
            budget: Arc::new(Budget(AtomicUsize::new(1))),
        }
    }

    #[tokio::test]
    async fn a_reader_goes_from_page_to_page_and_then_waits() {
        let feed = feed(vec![page(&[], 0), page(&[10, 11], 1), page(&[14], 1)]);
        assert!(matches!(feed.next(at(8)), Next::Behind));
        for (after, through) in [(9, 11), (10, 11), (11, 14), (13, 14)] {
            let Next::Page(page) = feed.next(at(after)) else { panic!("{after}") };
            assert_eq!(page.through, at(through));
        }
        assert!(matches!(feed.next(at(14)), Next::Nothing));
        assert_eq!(feed.end(), Some(at(14)));
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_and_a_slow_reader_is_told_that_it_is_behind() {
        let pages = (10..20).map(|index| page(&[index], KEPT_BYTES / 4));
        let feed = feed([page(&[], 0)].into_iter().chain(pages).collect());
        assert!(feed.kept.lock().unwrap().bytes <= KEPT_BYTES);
        assert!(matches!(feed.next(at(10)), Next::Behind));
        assert!(matches!(feed.next(at(18)), Next::Page(_)));
    }

    #[tokio::test]
    async fn nothing_is_known_before_the_watch_has_begun() {
        let feed = feed(Vec::new());
        assert!(matches!(feed.next(at(0)), Next::Nothing));
        assert_eq!(feed.end(), None);
    }
}
