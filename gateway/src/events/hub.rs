//! The feeds of this gateway, one for each rack that has readers, and how many of them there may
//! be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bookmesh_rpc::api::{RackId, RackRoute};
use bookmesh_rpc::routing::Routing;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::feed::{Budget, Feed};
use crate::http_error::HttpError;

/// Readers of one gateway. Each costs a connection, and a few kilobytes while it waits.
const MAX_READERS: usize = 1_000;
/// Pages of what is behind that are read at the same time: each by a stream of its own from a
/// worker, of which a worker gives 64 to one gateway, tails of logs included.
const MAX_CATCHING_UP: usize = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(super) routing: Arc<Routing>,
    feeds: Mutex<HashMap<RackId, Weak<Feed>>>,
    readers: Arc<Semaphore>,
    budget: Arc<Budget>,
    pub(super) catching_up: Semaphore,
}

impl Hub {
    pub(crate) fn new(routing: Arc<Routing>) -> Arc<Self> {
        Arc::new(Self {
            routing,
            feeds: Mutex::default(),
            readers: Arc::new(Semaphore::new(MAX_READERS)),
            budget: Arc::default(),
            catching_up: Semaphore::new(MAX_CATCHING_UP),
        })
    }

    /// A place for one more reader.
    ///
    /// # Errors
    /// 503 when all are taken.
    pub(super) fn enter(self: Arc<Self>) -> Result<OwnedSemaphorePermit, HttpError> {
        self.readers.clone().try_acquire_owned().map_err(|_| {
            HttpError::unavailable(format!("this gateway has {MAX_READERS} readers of events"))
        })
    }

    /// A rack's feed; it lives as long as somebody holds it.
    pub(super) fn feed(&self, rack: &Arc<RackRoute>) -> Arc<Feed> {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let known = feeds.get(&rack.id).and_then(Weak::upgrade);
        if let Some(feed) = known.filter(|feed| !feed.is_over()) {
            return feed;
        }
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let feed = Arc::new(Feed::start(self.routing.clone(), rack.clone(), self.budget.clone()));
        feeds.insert(rack.id.clone(), Arc::downgrade(&feed));
        feed
    }
}
