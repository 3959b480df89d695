//! The books, as a worker of orders sees them: racks of another kind, asked over the mesh. Each
//! has a circuit breaker. One that gave no answer again and again is left alone: its orders are
//! refused at once, and a question in the background finds out when it is back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bookmesh_rpc::Mesh;
use bookmesh_rpc::api::{
    ApiError, Consistency, GetThing, Kind, RackId, RackRoute, Thing, ThingId, ThingRead,
};
use bookmesh_rpc::mesh::Context;
use bookmesh_rpc::orks::Orks;
use bookmesh_rpc::reliability::{Breaker, BreakerConfig, BreakerState};
use bookmesh_rpc::routing::Routing;
use bookmesh_rpc::routing::leader::{Failure, How, Size};
use futures::future::join_all;
use metrics::{Counter, counter, describe_counter};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout_at;

/// What one order waits for its book at most. A rack that loses its leader has another after 1.3 s:
/// an order that comes just then is late, and not refused.
const READ: Duration = Duration::from_secs(2);
/// A rack that had less time than this and gave no answer did not fail: its asker was in a hurry.
const FAIR: Duration = Duration::from_millis(500);
/// Three orders in a row that each waited longer than a failover takes. Orders come together, so a
/// rack that is gone opens it after about 2 s, and after 6 s if one client alone asks. It is tried
/// again twice a second at first: that is how long orders are refused for nothing at most, should
/// it open during a slow failover.
const BREAKER: BreakerConfig = BreakerConfig {
    failures: 3,
    shortest: Duration::from_millis(500),
    longest: Duration::from_secs(3),
};
/// What a question in the background gets: a rack that is well answers in milliseconds.
const PROBE: Duration = Duration::from_secs(1);
/// How often it is looked which open breaker is to be tried.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Orders that ask one rack at the same time, as many as the mesh has calls in flight between two
/// nodes: more are Busy.
const MAX_ASKING: usize = 1_024;

/// Reads books, and knows which of their racks don't answer.
pub struct Books {
    routing: Routing,
    /// Those that were asked and that the directory knows.
    racks: Mutex<BTreeMap<RackId, Arc<BookRack>>>,
    /// A breaker has opened.
    opened: Notify,
}

/// How the breaker of one rack stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which rack.
    pub rack: RackId,
    /// What it does with orders.
    pub state: BreakerState,
    /// Since when it is closed, or is not.
    pub since: SystemTime,
}

impl Books {
    /// Knows no rack until [`Books::run`] does. Whether an orchestrator still answers is known from
    /// the announcements that somebody makes through `orks`.
    pub fn new(mesh: Mesh, orks: Arc<Orks>) -> Arc<Self> {
        let routing = Routing::new(mesh, orks);
        Arc::new(Self { routing, racks: Mutex::default(), opened: Notify::new() })
    }

    /// Follows the routes, and tries racks whose breaker is open, until it is dropped or the mesh
    /// is closed.
    pub async fn run(self: Arc<Self>) {
        tokio::select! {
            () = self.routing.follow() => {}
            () = self.watch_open() => {}
        }
    }

    /// The book as it is now, by its rack's leader.
    ///
    /// # Errors
    /// No such book; its rack could not be asked, or was not; busy.
    pub async fn read(&self, id: ThingId, context: &Context) -> Result<Arc<Thing>, ApiError> {
        // What is left is for the order's own log, and the way back.
        let within = READ.min(context.remaining() / 4 * 3);
        let context = &Context { deadline: Instant::now() + within, ..context.clone() };
        let route = self.route(id, context).await?;
        let rack = self.rack(&route.id);
        let mut shown = rack.shown.subscribe();
        if shown.borrow().state != BreakerState::Closed {
            return Err(rack.refusal());
        }
        let _place = rack.places.try_acquire().map_err(|_| ApiError::Busy)?;
        let answer = tokio::select! {
            answer = self.ask(&route, id, context) => answer,
            // Others found out what this one would wait for.
            () = not_closed(&mut shown) => return Err(rack.refusal()),
        };
        if rack.note(&answer, within) {
            self.opened.notify_one();
        }
        match answer {
            Ok(read) => Ok(read.thing),
            Err(Failure::Refused(
                ApiError::ThingNotFound { .. } | ApiError::RackRetired { .. },
            )) => Err(ApiError::BookNotFound { id }),
            Err(failure) => {
                tracing::debug!(rack = %rack.id, ?failure, "it was asked for a book");
                Err(rack.refusal())
            }
        }
    }

    /// The racks whose breaker is not closed.
    pub fn blocked(&self) -> Vec<RackId> {
        let racks = lock(&self.racks);
        let blocked = racks.values().filter(|rack| rack.is_blocked());
        blocked.map(|rack| rack.id.clone()).collect()
    }

    /// How every breaker stands.
    pub fn standings(&self) -> Vec<Standing> {
        let racks = lock(&self.racks);
        let standing = |rack: &Arc<BookRack>| {
            let Shown { state, since } = *rack.shown.borrow();
            Standing { rack: rack.id.clone(), state, since }
        };
        racks.values().map(standing).collect()
    }

    /// Where the book with this id is.
    async fn route(&self, id: ThingId, context: &Context) -> Result<Arc<RackRoute>, ApiError> {
        let number = id.rack_number();
        let directory = self.routing.directory();
        // A worker that has just started has heard of no rack yet.
        let mut changes = directory.changes();
        let told = changes
            .wait_for(|known| known.told || known.table.numbered(Kind::Book, number).is_some());
        // Running out of time is found below.
        let _ = timeout_at(context.deadline.into(), told).await;
        let known = directory.knowledge();
        match known.table.numbered(Kind::Book, number) {
            Some(route) => Ok(route.clone()),
            None if known.live => Err(ApiError::BookNotFound { id }),
            None => Err(ApiError::BooksUnavailable {
                rack: format!("number-{number}").parse()?,
                why: "no orchestrator has told where it is".into(),
                retry_after_s: 1,
            }),
        }
    }

    /// The rack's breaker and places. Those of racks that the directory knows no more go.
    fn rack(&self, id: &RackId) -> Arc<BookRack> {
        let mut racks = lock(&self.racks);
        if let Some(rack) = racks.get(id) {
            return rack.clone();
        }
        let table = self.routing.directory().table();
        racks.retain(|known, _| table.rack(known).is_some());
        racks.entry(id.clone()).or_insert_with(|| Arc::new(BookRack::new(id.clone()))).clone()
    }

    async fn ask(
        &self,
        route: &Arc<RackRoute>,
        id: ThingId,
        context: &Context,
    ) -> Result<ThingRead, Failure> {
        let request =
            GetThing { rack: route.id.clone(), id, consistency: Consistency::Linearizable };
        self.routing.ask(route, context, How::leader(Size::Small), request).await
    }

    async fn watch_open(&self) {
        loop {
            let open: Vec<_> =
                lock(&self.racks).values().filter(|rack| rack.is_blocked()).cloned().collect();
            if open.is_empty() {
                self.opened.notified().await;
                continue;
            }
            let now = Instant::now();
            let due = open.iter().filter(|rack| rack.breaker.allows(now));
            // As many as there are book racks that fail, each asked once.
            join_all(due.map(|rack| self.probe(rack))).await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks for the rack's first book: whether it is there or not, the answer is its leader's.
    async fn probe(&self, rack: &BookRack) {
        rack.show();
        let table = self.routing.directory().table();
        let Some(route) = table.rack(&rack.id) else {
            lock(&self.racks).remove(&rack.id);
            return;
        };
        let Ok(first) = ThingId::new(route.number, 1) else { return };
        let answer = self.ask(route, first, &Context::within(PROBE)).await;
        rack.note(&answer, PROBE);
    }
}

/// What is shown of a breaker.
#[derive(Clone, Copy, Debug)]
struct Shown {
    state: BreakerState,
    since: SystemTime,
}

/// One rack of books.
struct BookRack {
    id: RackId,
    breaker: Breaker,
    shown: watch::Sender<Shown>,
    /// For orders that ask it.
    places: Semaphore,
    opened: Counter,
}

impl BookRack {
    fn new(id: RackId) -> Self {
        let dependency = id.to_string();
        describe_counter!(
            "circuit_breaker_opened_total",
            "How often the circuit breaker towards a rack has opened."
        );
        let opened = counter!("circuit_breaker_opened_total", "dependency" => dependency);
        opened.absolute(0);
        let shown = Shown { state: BreakerState::Closed, since: SystemTime::now() };
        Self {
            id,
            breaker: Breaker::new(BREAKER),
            shown: watch::Sender::new(shown),
            places: Semaphore::new(MAX_ASKING),
            opened,
        }
    }

    fn is_blocked(&self) -> bool {
        self.shown.borrow().state != BreakerState::Closed
    }

    /// Teaches the breaker what came of asking the rack, which had so much time; true when that
    /// opened it.
    fn note(&self, answer: &Result<ThingRead, Failure>, within: Duration) -> bool {
        let opened = if is_answer(answer) {
            if self.breaker.succeeded() {
                tracing::info!(rack = %self.id, "it answers again: orders of its books are taken");
            }
            false
        } else {
            within >= FAIR && self.breaker.failed(Instant::now())
        };
        if opened {
            let why = answer.as_ref().err();
            tracing::warn!(
                rack = %self.id, ?why,
                "it does not answer: orders of its books are refused until it does"
            );
            self.opened.increment(1);
        }
        self.show();
        opened
    }

    /// Shows the breaker's state where it is looked at.
    fn show(&self) {
        self.shown.send_if_modified(|shown| {
            let state = self.breaker.state();
            if state == shown.state {
                return false;
            }
            let closed = |state| state == BreakerState::Closed;
            if closed(state) != closed(shown.state) {
                shown.since = SystemTime::now();
            }
            shown.state = state;
            true
        });
    }

    fn refusal(&self) -> ApiError {
        let why = match self.shown.borrow().state {
            BreakerState::Closed => "it did not answer in time",
            BreakerState::HalfOpen | BreakerState::Open => "it did not answer of late",
        };
        let wait = self.breaker.wait(Instant::now());
        let retry_after_s = wait.as_secs() + 1;
        ApiError::BooksUnavailable { rack: self.id.clone(), why: why.into(), retry_after_s }
    }
}

/// Whether the rack answered: a "no" is an answer.
const fn is_answer(answer: &Result<ThingRead, Failure>) -> bool {
    match answer {
        Ok(_) => true,
        Err(Failure::Refused(error)) => !matches!(error, ApiError::Internal { .. }),
        Err(
            Failure::Unavailable(_)
            | Failure::Untouched(_)
            | Failure::NoAnswer(_)
            | Failure::Fault(_),
        ) => false,
    }
}

/// As the metric has it.
pub(super) const fn level(state: BreakerState) -> f64 {
    match state {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends once the breaker is not closed. What is seen then is let go at once: it is a lock, and who
/// looks again while a writer waits for it would wait for ever.
async fn not_closed(shown: &mut watch::Receiver<Shown>) {
    if shown.wait_for(|shown| shown.state != BreakerState::Closed).await.is_err() {
        // The rack lives as long as its reader.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use bookmesh_rpc::api::{Info, Status};

    use super::*;

    fn rack() -> BookRack {
        BookRack::new("book-rack-001".parse().unwrap())
    }

    fn id() -> ThingId {
        ThingId::from_u64(7).unwrap()
    }

    fn silence() -> Result<ThingRead, Failure> {
        Err(Failure::Unavailable("no member leads".into()))
    }

    fn book() -> Result<ThingRead, Failure> {
        let info = Info {
            name: "Emma".into(),
            author: "Jane Austen".into(),
            status: Status::Available,
            holder: None,
            created_at_ms: 0,
            updated_at_ms: 0,
            extra: [].into(),
        };
        let (kind, tags) = (Kind::Book, Vec::new());
        let thing = Thing { id: id(), kind, tags, info, version: 1, active: true };
        Ok(ThingRead { thing: Arc::new(thing), applied_index: 1 })
    }

    fn open() -> BookRack {
        let rack = rack();
        let opened: Vec<_> = (0..BREAKER.failures).map(|_| rack.note(&silence(), READ)).collect();
        assert!(opened.last().unwrap() & !opened[..opened.len() - 1].contains(&true));
        rack
    }

    #[test]
    fn silence_of_every_sort_opens_it_and_an_answer_closes_it() {
        let failures = [
            Failure::Unavailable(String::new()),
            Failure::Untouched(String::new()),
            Failure::NoAnswer(String::new()),
            Failure::Fault(String::new()),
            Failure::Refused(ApiError::internal("a fault")),
        ];
        for failure in failures {
            let rack = rack();
            for _ in 0..BREAKER.failures {
                assert!(!rack.is_blocked());
                rack.note(&Err(failure.clone()), READ);
            }
            assert!(rack.is_blocked(), "{failure:?}");
            rack.note(&book(), READ);
            assert!(!rack.is_blocked());
        }
    }

    #[test]
    fn what_a_rack_refuses_never_opens_it() {
        let rack = rack();
        let refusals = [
            ApiError::ThingNotFound { id: id() },
            ApiError::CheckedOut { id: id() },
            ApiError::invalid("id", "is no id"),
            ApiError::RackRetired { rack: rack.id.clone() },
        ];
        for refusal in refusals.iter().cycle().take(40) {
            rack.note(&silence(), READ);
            assert!(!rack.note(&Err(Failure::Refused(refusal.clone())), READ));
        }
        assert!(!rack.is_blocked());
    }

    #[test]
    fn those_in_a_hurry_open_nothing() {
        let rack = rack();
        for _ in 0..10 * BREAKER.failures {
            assert!(!rack.note(&silence(), FAIR / 2));
        }
        assert!(!rack.is_blocked());
        assert!(!open().note(&silence(), READ), "it was open");
    }

    #[test]
    fn a_refusal_says_when_to_try_again() {
        let when = |rack: &BookRack| match rack.refusal() {
            ApiError::BooksUnavailable { rack, retry_after_s, .. } => {
                assert_eq!(rack.as_str(), "book-rack-001");
                retry_after_s
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(when(&rack()), 1);
        let rack = open();
        let mut longest = 0;
        for _ in 0..8 {
            longest = longest.max(when(&rack));
            assert!(rack.breaker.allows(Instant::now() + BREAKER.longest));
            rack.note(&silence(), PROBE);
        }
        assert!(longest > 1 && longest <= BREAKER.longest.as_secs() + 1, "{longest}");
    }

    #[test]
    fn while_it_is_tried_it_stays_blocked_since_it_opened() {
        let rack = open();
        let since = rack.shown.borrow().since;
        assert!(rack.breaker.allows(Instant::now() + BREAKER.longest));
        rack.show();
        assert_eq!(rack.shown.borrow().state, BreakerState::HalfOpen);
        assert!(rack.is_blocked());
        rack.note(&silence(), PROBE);
        assert_eq!(rack.shown.borrow().state, BreakerState::Open);
        assert_eq!(rack.shown.borrow().since, since);
        rack.note(&book(), PROBE);
        assert!(rack.shown.borrow().since > since);
    }
}
