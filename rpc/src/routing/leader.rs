//! "Try here, else the leader": how a call finds the member that can answer it.
//!
//! Every call that goes through here may be repeated: reads change nothing, and writes carry a
//! request key that the rack applies once.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::{ApiError, Consistency, RackRoute};
use crate::mesh::{CallError, Context};
use crate::peer::PeerId;

use super::directory::Directory;

/// How long new attempts are begun. A rack that lost its leader has another within two seconds;
/// twice that and a little leaves room for a shared disk.
const PATIENCE: Duration = Duration::from_secs(5);
/// One attempt of a small call: a member that takes longer is frozen or cut off.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The same, where the member asks another rack and gives that as long as an attempt.
const RELAYED: Duration = Duration::from_secs(3);
/// How long a rack is waited for whose members' circuit breakers are all open, or whose leader's
/// disk is full: they open when all were lost at once, and it takes as long as a failover until
/// they are back, or until another leads.
const SHUT_PATIENCE: Duration = Duration::from_secs(2);
/// The first pause after all members were tried; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_millis(400);

/// Who may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The leader: writes and linearizable reads.
    Leader,
    /// Any member: eventual reads.
    Anyone,
}

/// How much time one attempt gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// One thing.
    Small,
    /// One thing, for which the rack has to ask another that may be failing over just then.
    Relayed,
    /// A batch or a long page: half of what is left of the request's time.
    Large,
}

impl Size {
    fn attempt(self, context: &Context) -> Duration {
        match self {
            Self::Small => ATTEMPT.min(context.remaining()),
            Self::Relayed => RELAYED.min(context.remaining()),
            Self::Large => ATTEMPT.max(context.remaining() / 2).min(context.remaining()),
        }
    }
}

/// How a rack is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// Who may answer.
    pub whom: Whom,
    /// How much time one attempt gets.
    pub size: Size,
    /// Give up early, while nothing can have been carried out: another rack will do as well.
    pub elsewhere: bool,
}

impl How {
    /// Writes and linearizable reads.
    pub const fn leader(size: Size) -> Self {
        Self { whom: Whom::Leader, size, elsewhere: false }
    }

    /// Reads of this consistency.
    pub const fn read(consistency: Consistency, size: Size) -> Self {
        let whom = match consistency {
            Consistency::Linearizable => Whom::Leader,
            Consistency::Eventual { .. } => Whom::Anyone,
        };
        Self { whom, size, elsewhere: false }
    }
}

/// Why a rack gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It answered: no.
    Refused(ApiError),
    /// No member could be reached, or none leads. The reason is for developers.
    Unavailable(String),
    /// The same, and nothing was sent to a member that could have carried it out.
    Untouched(String),
    /// A member was reached and did not answer.
    NoAnswer(String),
    /// A fault in the mesh itself.
    Fault(String),
}

/// Calls one rack until a member answers or patience ends.
///
/// The believed leader is tried first, a member that names another is followed, and members that
/// can't be reached are passed over. Once all were tried there is a pause, cut short by news of
/// the routes.
pub async fn ask<T, F, Fut>(
    directory: &Directory,
    rack: &Arc<RackRoute>,
    context: &Context,
    how: How,
    attempt: F,
) -> Result<T, Failure>
where
    F: Fn(PeerId, Context) -> Fut,
    Fut: Future<Output = Result<T, CallError>>,
{
    let begun = Instant::now();
    let mut patience = Patience::new(context);
    let mut sofar = SoFar::default();
    let mut round = Round::new(how.whom);
    let mut pause = MIN_PAUSE;
    loop {
        let newest = directory.table();
        let route = newest.rack(&rack.id).unwrap_or(rack);
        if let Some(peer) = round.next(route) {
            let deadline = context.deadline.min(Instant::now() + how.size.attempt(context));
            let context = Context { request_id: context.request_id.clone(), deadline };
            match attempt(peer, context).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    if is_silence(&error) {
                        patience.was_silent(how.size);
                    }
                    round.failed(peer, error, &mut sofar)?;
                }
            }
            if let Some(hint) = round.hint {
                directory.believe(&rack.id, hint);
            }
            if (how.elsewhere && !sofar.touched) || patience.is_over() {
                return Err(sofar.failure());
            }
        } else if (round.is_hopeless(route) && begun.elapsed() >= SHUT_PATIENCE)
            || patience.ends_within(pause)
        {
            return Err(sofar.failure());
        } else {
            rest(directory, pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
            round = Round::new(how.whom);
        }
    }
}

/// Waits for news of the routes, but no longer than about `pause`: callers that failed together
/// don't come back together.
async fn rest(directory: &Directory, pause: Duration) {
    let jittered = pause.mul_f64(rand::random_range(0.5..1.0));
    let mut changes = directory.changes();
    // Running out of time is the usual end of this wait.
    let _ = tokio::time::timeout(jittered, changes.changed()).await;
}

/// How long new attempts are begun.
struct Patience {
    until: Instant,
    /// The request's own deadline.
    most: Instant,
}

impl Patience {
    fn new(context: &Context) -> Self {
        let most = context.deadline;
        Self { until: most.min(Instant::now() + PATIENCE), most }
    }

    /// One long attempt without an answer may have taken all of it; another member has its turn.
    fn was_silent(&mut self, size: Size) {
        if size == Size::Large {
            self.until = self.most.min(Instant::now() + ATTEMPT).max(self.until);
        }
    }

    fn is_over(&self) -> bool {
        self.ends_within(Duration::ZERO)
    }

    fn ends_within(&self, time: Duration) -> bool {
        Instant::now() + time >= self.until
    }
}

/// One attempt at each member.
struct Round {
    whom: Whom,
    start: u32,
    tried: Vec<PeerId>,
    hint: Option<PeerId>,
    shut: usize,
}

/// What all attempts came to.
#[derive(Debug, Default)]
struct SoFar {
    /// One was sent to a member that may have carried it out.
    touched: bool,
    /// A member was reached and did not answer in time.
    silent: bool,
    /// The member that was least behind what a read takes.
    behind: Option<ApiError>,
    last: Option<String>,
}

impl SoFar {
    fn failure(self) -> Failure {
        let why = self.last.unwrap_or_else(|| "no member is known".to_owned());
        match self.behind {
            _ if self.silent => Failure::NoAnswer(why),
            Some(behind) => Failure::Refused(behind),
            None if self.touched => Failure::Unavailable(why),
            None => Failure::Untouched(why),
        }
    }

    /// Keeps the smallest lag; an unknown one is the largest.
    fn is_behind(&mut self, news: ApiError) {
        let lag = |error: &ApiError| match error {
            ApiError::TooFarBehind { lag_ms, .. } => lag_ms.unwrap_or(u64::MAX),
            _ => u64::MAX,
        };
        if self.behind.as_ref().is_none_or(|known| lag(&news) < lag(known)) {
            self.behind = Some(news);
        }
    }
}

impl Round {
    fn new(whom: Whom) -> Self {
        Self { whom, start: rand::random(), tried: Vec::new(), hint: None, shut: 0 }
    }

    fn next(&mut self, route: &RackRoute) -> Option<PeerId> {
        let count = route.members.len();
        let start = self.start as usize;
        let rotated = (0..count).map(|at| route.members[(start % count + at) % count]);
        let leader = route.leader.filter(|_| self.whom == Whom::Leader);
        let mut candidates = self.hint.take().into_iter().chain(leader).chain(rotated);
        candidates.find(|peer| !self.tried.contains(peer))
    }

    /// Notes a failure; an error that no other member would change comes back.
    fn failed(&mut self, peer: PeerId, error: CallError, sofar: &mut SoFar) -> Result<(), Failure> {
        self.tried.push(peer);
        sofar.last = Some(error.to_string());
        sofar.touched |= may_have_been_carried_out(&error);
        sofar.silent |= is_silence(&error);
        match error {
            CallError::Api(ApiError::NotLeader { leader, .. }) => {
                self.hint = leader.filter(|leader| !self.tried.contains(leader));
            }
            CallError::Api(behind @ ApiError::TooFarBehind { .. }) => sofar.is_behind(behind),
            CallError::Open { .. } => self.shut += 1,
            CallError::Unreachable { .. }
            | CallError::Broken { .. }
            | CallError::Timeout { .. }
            | CallError::Busy { .. }
            | CallError::Api(
                ApiError::Busy
                | ApiError::DeadlinePassed
                | ApiError::Unavailable { .. }
                | ApiError::NotMember { .. },
            ) => {}
            CallError::Api(refusal) => return Err(Failure::Refused(refusal)),
            CallError::Protocol { .. } => return Err(Failure::Fault(error.to_string())),
            CallError::Closed => return Err(Failure::Unavailable(error.to_string())),
        }
        Ok(())
    }

    /// Every member's circuit breaker is open: waiting for long is what it is there to save. Or the
    /// leader's disk is full, and no member with room has taken the lead.
    fn is_hopeless(&self, route: &RackRoute) -> bool {
        let is_full = self.whom == Whom::Leader && route.leader.is_some() && !route.writable;
        !self.tried.is_empty() && (is_full || self.shut == self.tried.len())
    }
}

const fn is_silence(error: &CallError) -> bool {
    matches!(error, CallError::Timeout { .. } | CallError::Api(ApiError::DeadlinePassed))
}

/// Whether a write that failed so may be in the rack's log all the same. A leader that was deposed
/// says that it leads no more: what it was given may be with its successor.
const fn may_have_been_carried_out(error: &CallError) -> bool {
    !matches!(
        error,
        CallError::Unreachable { .. }
            | CallError::Busy { .. }
            | CallError::Open { .. }
            | CallError::Api(ApiError::NotMember { .. })
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use crate::api::{Kind, RackId, RouteTable, ThingId};

    use super::*;

    fn peer(byte: u8) -> PeerId {
        PeerId::from_bytes([byte; 32])
    }

    fn rack() -> RackId {
        "r".parse().unwrap()
    }

    fn directory(leader: Option<u8>) -> (Directory, Arc<RackRoute>) {
        let directory = Directory::default();
        let route = RackRoute {
            id: rack(),
            kind: Kind::Book,
            number: 0,
            confirmed: true,
            leader: leader.map(peer),
            term: 1,
            members: vec![peer(1), peer(2), peer(3)],
            things: 0,
            writable: true,
            since_ms: 0,
        };
        directory.replace(RouteTable { racks: vec![route], retired: Vec::new() });
        let route = directory.table().rack(&rack()).unwrap().clone();
        (directory, route)
    }

    /// Asks with a script for each peer; gives the outcome and who was asked, in order.
    async fn run(
        leader: Option<u8>,
        within: Duration,
        script: impl Fn(u8) -> Result<u8, CallError>,
    ) -> (Result<u8, Failure>, Vec<u8>) {
        let (directory, route) = directory(leader);
        let asked = Mutex::new(Vec::new());
        let context = Context::within(within);
        let how = How::leader(Size::Small);
        let outcome = ask(&directory, &route, &context, how, |peer, _| {
            let byte = peer.as_bytes()[0];
            asked.lock().unwrap().push(byte);
            let answer = script(byte);
            async move { answer }
        })
        .await;
        (outcome, asked.into_inner().unwrap())
    }

    fn not_leader(leader: u8) -> CallError {
        ApiError::NotLeader { rack: rack(), leader: Some(peer(leader)) }.into()
    }

    #[tokio::test]
    async fn a_member_that_names_the_leader_is_followed() {
        let (outcome, asked) = run(Some(1), PATIENCE, |at| match at {
            1 => Err(not_leader(3)),
            at => Ok(at),
        })
        .await;
        assert_eq!((outcome, asked), (Ok(3), vec![1, 3]));
    }

    #[tokio::test]
    async fn two_members_that_name_each_other_are_asked_once_a_round() {
        let (outcome, asked) = run(Some(1), Duration::from_millis(1), |at| match at {
            1 => Err(not_leader(2)),
            _ => Err(not_leader(1)),
        })
        .await;
        assert!(matches!(outcome, Err(Failure::Unavailable(_))));
        assert!(asked.len() <= 3, "{asked:?}");
    }

    #[tokio::test]
    async fn a_leader_that_is_gone_does_not_hide_the_one_that_follows() {
        let (outcome, asked) = run(Some(2), PATIENCE, |at| match at {
            2 => Err(CallError::Unreachable { peer: peer(2), why: String::new() }),
            1 => Err(not_leader(3)),
            at => Ok(at),
        })
        .await;
        assert_eq!(outcome, Ok(3));
        assert_eq!(asked[0], 2);
    }

    #[tokio::test]
    async fn a_rack_without_leader_is_asked_again_until_it_has_one() {
        let calls = Mutex::new(0);
        let (outcome, _) = run(None, PATIENCE, |at| {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            let unavailable = ApiError::Unavailable { what: "r".into(), why: "no leader".into() };
            if *calls > 7 { Ok(at) } else { Err(unavailable.into()) }
        })
        .await;
        assert!(outcome.is_ok());
    }

    #[tokio::test]
    async fn a_refusal_is_final() {
        let id = ThingId::new(0, 1).unwrap();
        let (outcome, asked) =
            run(Some(1), PATIENCE, |_| Err(ApiError::CheckedOut { id }.into())).await;
        assert_eq!(outcome, Err(Failure::Refused(ApiError::CheckedOut { id })));
        assert_eq!(asked, [1]);
    }

    #[tokio::test]
    async fn silence_and_absence_are_told_apart() {
        let short = Duration::from_millis(1);
        let (silent, _) =
            run(Some(1), short, |at| Err(CallError::Timeout { peer: peer(at) })).await;
        assert!(matches!(silent, Err(Failure::NoAnswer(_))));
        let (absent, _) = run(Some(1), short, |at| Err(CallError::Broken { peer: peer(at) })).await;
        assert!(matches!(absent, Err(Failure::Unavailable(_))));
        let (mixed, _) = run(Some(1), Duration::from_millis(300), |at| match at {
            1 => Err(CallError::Timeout { peer: peer(at) }),
            _ => Err(CallError::Unreachable { peer: peer(at), why: String::new() }),
        })
        .await;
        assert!(matches!(mixed, Err(Failure::NoAnswer(_))), "{mixed:?}");
    }

    /// Asks as one that another rack would do for.
    async fn run_elsewhere(error: impl Fn(u8) -> CallError) -> (Failure, usize) {
        let (directory, route) = directory(Some(1));
        let asked = Mutex::new(0);
        let context = Context::within(Duration::from_millis(300));
        let how = How { elsewhere: true, ..How::leader(Size::Small) };
        let outcome: Result<(), _> = ask(&directory, &route, &context, how, |peer, _| {
            *asked.lock().unwrap() += 1;
            let error = error(peer.as_bytes()[0]);
            async move { Err(error) }
        })
        .await;
        (outcome.unwrap_err(), asked.into_inner().unwrap())
    }

    #[tokio::test]
    async fn a_rack_is_given_up_for_another_only_while_nothing_can_have_been_applied() {
        let (gone, asked) =
            run_elsewhere(|at| CallError::Unreachable { peer: peer(at), why: String::new() }).await;
        assert!(matches!(gone, Failure::Untouched(_)) && asked == 1, "{gone:?} {asked}");
        let ambiguous: [fn(u8) -> CallError; 4] = [
            |at| CallError::Broken { peer: peer(at) },
            |at| CallError::Timeout { peer: peer(at) },
            |_| ApiError::Unavailable { what: "r".into(), why: "no majority".into() }.into(),
            |_| not_leader(9),
        ];
        for error in ambiguous {
            let (failure, asked) = run_elsewhere(error).await;
            assert!(!matches!(failure, Failure::Untouched(_)), "{failure:?}");
            assert!(asked >= 3, "the rack was given up after {asked} attempts: {failure:?}");
        }
        // What came before counts: the first may have been sent, the rest was not.
        let (failure, _) = run_elsewhere(|at| match at {
            1 => CallError::Broken { peer: peer(at) },
            at => CallError::Unreachable { peer: peer(at), why: String::new() },
        })
        .await;
        assert!(matches!(failure, Failure::Unavailable(_)));
    }

    #[tokio::test]
    async fn a_read_goes_on_to_a_member_that_is_fresh_enough() {
        let behind = |lag| ApiError::TooFarBehind { rack: rack(), lag_ms: lag };
        let (outcome, _) = run(Some(1), PATIENCE, |at| match at {
            1 => Ok(at),
            _ => Err(behind(None).into()),
        })
        .await;
        assert_eq!(outcome, Ok(1));
        let (outcome, _) = run(None, Duration::from_millis(300), |at| match at {
            1 => Err(CallError::Unreachable { peer: peer(1), why: String::new() }),
            2 => Err(behind(Some(700)).into()),
            _ => Err(behind(None).into()),
        })
        .await;
        assert_eq!(outcome, Err(Failure::Refused(behind(Some(700)))));
    }

    /// A leader that froze under a batch took all of the patience, and no other was asked.
    #[test]
    fn a_long_call_that_a_member_swallowed_is_sent_to_another() {
        let now = Instant::now();
        let spent = |most| Patience { until: now, most: now + most };
        let mut patience = spent(Duration::from_secs(8));
        patience.was_silent(Size::Small);
        assert!(patience.is_over());
        patience.was_silent(Size::Large);
        assert!(!patience.is_over());
        let mut patience = spent(Duration::ZERO);
        patience.was_silent(Size::Large);
        assert!(patience.is_over(), "the request's own deadline stands");
    }

    #[tokio::test]
    async fn a_leader_without_room_is_waited_for_as_long_as_another_may_take_over() {
        let (directory, route) = directory(Some(1));
        let full = RackRoute { writable: false, ..RackRoute::clone(&route) };
        directory.replace(RouteTable { racks: vec![full], retired: Vec::new() });
        let asked = Mutex::new(0);
        let context = Context::within(PATIENCE * 2);
        let outcome: Result<(), _> =
            ask(&directory, &route, &context, How::leader(Size::Small), |_, _| {
                *asked.lock().unwrap() += 1;
                let unavailable = ApiError::Unavailable { what: "r".into(), why: "full".into() };
                async move { Err(unavailable.into()) }
            })
            .await;
        assert!(matches!(outcome, Err(Failure::Unavailable(why)) if why.contains("full")));
        assert!(context.remaining() > PATIENCE, "it gave up while others may still be patient");
        assert!(*asked.lock().unwrap() > 3, "it was asked again");
    }

    #[tokio::test]
    async fn open_breakers_are_answered_before_patience_ends() {
        let (outcome, asked) =
            run(Some(1), PATIENCE, |at| Err(CallError::Open { peer: peer(at) })).await;
        assert!(matches!(outcome, Err(Failure::Untouched(_))));
        assert!(asked.len() > 3, "a rack that was lost for a moment is asked again: {asked:?}");
    }
}
