//! One reader's way through one rack: what is behind it by a watch of its own, then what all
//! readers share.

use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::api::{ChangePage, Position, RackRoute, Since};
use futures::{Stream, stream};
use tokio::sync::watch;

use super::feed::{self, Event, Feed, Next, Page};
use super::hub::Hub;

/// Between two attempts to read what is behind.
const PAUSE: Duration = Duration::from_millis(250);

/// What a rack told a reader.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) rack: Arc<RackRoute>,
    page: Arc<Page>,
    /// Where its news begin in the page.
    first: usize,
}

impl Told {
    fn new(rack: &Arc<RackRoute>, page: Arc<Page>, after: Option<Position>) -> Self {
        let known = |event: &Event| after.is_some_and(|after| event.at <= after);
        let first = page.events.partition_point(known);
        Self { rack: rack.clone(), page, first }
    }

    pub(super) fn events(&self) -> &[Event] {
        self.page.events.get(self.first..).unwrap_or_default()
    }

    /// Everything up to here was told.
    pub(super) fn through(&self) -> Position {
        self.page.through
    }
}

/// The log that was read is no more: another one bears the rack's name.
#[derive(Debug)]
pub(super) struct Over;

/// Reads a rack from a place on, for ever or until its log is over. It does nothing while it is not
/// polled.
pub(super) fn read(
    hub: Arc<Hub>,
    rack: Arc<RackRoute>,
    from: Since,
) -> impl Stream<Item = Result<Told, Over>> + Send {
    let feed = hub.feed(&rack);
    let grown = feed.grown();
    let reader = Reader { hub, rack, feed, grown, from };
    stream::unfold(reader, |mut reader| async move { Some((reader.next().await, reader)) })
}

struct Reader {
    hub: Arc<Hub>,
    rack: Arc<RackRoute>,
    feed: Arc<Feed>,
    grown: watch::Receiver<()>,
    from: Since,
}

impl Reader {
    /// What comes next.
    async fn next(&mut self) -> Result<Told, Over> {
        loop {
            if self.feed.is_over() {
                return Err(Over);
            }
            match self.from {
                Since::Beginning => {
                    if let Some(told) = self.catch_up(None).await {
                        return Ok(told);
                    }
                }
                Since::Now => match self.feed.end() {
                    Some(through) => {
                        self.from = Since::After(through);
                        let page = Page { events: Vec::new(), through };
                        return Ok(Told::new(&self.rack, Arc::new(page), None));
                    }
                    None => self.wait().await,
                },
                Since::After(after) => match self.feed.next(after) {
                    Next::Page(page) => {
                        self.from = Since::After(page.through);
                        return Ok(Told::new(&self.rack, page, Some(after)));
                    }
                    Next::Nothing => self.wait().await,
                    Next::Behind => {
                        if let Some(told) = self.catch_up(Some(after)).await {
                            return Ok(told);
                        }
                    }
                },
            }
        }
    }

    /// Waits until the feed has grown.
    async fn wait(&mut self) {
        if self.grown.changed().await.is_err() {
            // The feed's task never ends before the feed is dropped, and this one holds it.
            std::future::pending::<()>().await;
        }
    }

    /// One page of what is behind, by a watch that ends with it: a client that takes its time holds
    /// nothing that others wait for.
    async fn catch_up(&mut self, after: Option<Position>) -> Option<Told> {
        let page = self.one_page().await;
        let Some(page) = page.filter(|page| after.is_none_or(|after| page.through > after)) else {
            tokio::time::sleep(PAUSE).await;
            return None;
        };
        let page = Arc::new(Page::new(&self.rack.id, &page));
        self.from = Since::After(page.through);
        Some(Told::new(&self.rack, page, after))
    }

    async fn one_page(&self) -> Option<ChangePage> {
        // Nobody closes the semaphore.
        let _place = self.hub.catching_up.acquire().await.ok()?;
        let mut items = feed::open(&self.hub.routing, &self.rack, self.from).await.ok()?;
        let first = tokio::time::timeout(feed::OPEN, items.next()).await;
        first.ok().flatten().and_then(Result::ok)
    }
}
