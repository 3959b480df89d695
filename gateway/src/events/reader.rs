//! One reader's way through one rack: what is behind it by a watch of its own, then what all
//! readers share.

use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::api::{ChangePage, Position, RackRoute, Since};
use bookmesh_rpc::mesh::Items;
use futures::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, watch};

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

/// Reads a rack from a place on, for ever. It does nothing while it is not polled.
pub(super) fn read(
    hub: Arc<Hub>,
    rack: Arc<RackRoute>,
    from: Since,
) -> impl Stream<Item = Told> + Send {
    let feed = hub.feed(&rack);
    let grown = feed.grown();
    let reader = Reader { hub, rack, feed, grown, from, own: None };
    stream::unfold(reader, |mut reader| async move { Some((reader.next().await, reader)) })
}

struct Reader {
    hub: Arc<Hub>,
    rack: Arc<RackRoute>,
    feed: Arc<Feed>,
    grown: watch::Receiver<()>,
    from: Since,
    own: Option<Own>,
}

/// A watch of its own, while it catches up.
struct Own {
    items: Items<ChangePage>,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    async fn next(&mut self) -> Told {
        loop {
            if self.own.is_some() {
                if let Some(told) = self.catch_up().await {
                    return told;
                }
                continue;
            }
            match self.from {
                Since::Beginning => self.fall_back().await,
                Since::Now => match self.feed.end() {
                    Some(through) => {
                        self.from = Since::After(through);
                        let page = Page { events: Vec::new(), through };
                        return Told::new(&self.rack, Arc::new(page), None);
                    }
                    None => self.wait().await,
                },
                Since::After(after) => match self.feed.next(after) {
                    Next::Page(page) => {
                        self.from = Since::After(page.through);
                        return Told::new(&self.rack, page, Some(after));
                    }
                    Next::Nothing => self.wait().await,
                    Next::Behind => self.fall_back().await,
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

    /// Begins a watch of its own.
    async fn fall_back(&mut self) {
        // Nobody closes the semaphore.
        let Ok(place) = self.hub.catching_up.clone().acquire_owned().await else { return };
        match feed::open(&self.hub.routing, &self.rack, self.from).await {
            Ok(items) => self.own = Some(Own { items, _place: place }),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }

    /// The next page of its own watch, which ends once the feed has what follows.
    async fn catch_up(&mut self) -> Option<Told> {
        let own = self.own.as_mut()?;
        let Some(Ok(page)) = own.items.next().await else {
            self.own = None;
            tokio::time::sleep(PAUSE).await;
            return None;
        };
        let after = match self.from {
            Since::After(after) => Some(after),
            Since::Beginning | Since::Now => None,
        };
        let page = Arc::new(Page::new(&self.rack.id, &page));
        self.from = Since::After(page.through);
        let has_more = self.feed.end().is_some_and(|end| end >= page.through);
        if has_more && !matches!(self.feed.next(page.through), Next::Behind) {
            self.own = None;
        }
        Some(Told::new(&self.rack, page, after))
    }
}
