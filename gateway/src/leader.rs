//! "Try here, else the leader": how a call finds the member that can answer it.
//!
//! Every call that goes through here may be repeated: reads change nothing, and writes carry a
//! request key that the rack applies once.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bookmesh_rpc::api::{ApiError, RackRoute};
use bookmesh_rpc::mesh::{CallError, Context};
use bookmesh_rpc::peer::PeerId;

use crate::directory::Directory;

/// How long new attempts are begun. A rack that lost its leader has another within two seconds;
/// twice that and a little leaves room for a shared disk.
const PATIENCE: Duration = Duration::from_secs(5);
/// One attempt of a small call: a member that takes longer is frozen or cut off.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The first pause after all members were tried; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_millis(400);

/// Who may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// The leader: writes and linearizable reads.
    Leader,
    /// Any member: eventual reads.
    Anyone,
}

/// How much time one attempt gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// One thing.
    Small,
    /// A batch or a long page: half of what is left of the request's time.
    Large,
}

impl Size {
    fn attempt(self, context: &Context) -> Duration {
        match self {
            Self::Small => ATTEMPT.min(context.remaining()),
            Self::Large => ATTEMPT.max(context.remaining() / 2).min(context.remaining()),
        }
    }
}

/// Why a rack gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It answered: no.
    Refused(ApiError),
    /// No member could be reached, or none leads. The reason is for developers.
    Unavailable(String),
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
pub(crate) async fn ask<T, F, Fut>(
    directory: &Directory,
    rack: &Arc<RackRoute>,
    context: &Context,
    (whom, size): (Whom, Size),
    attempt: F,
) -> Result<T, Failure>
where
    F: Fn(PeerId, Context) -> Fut,
    Fut: Future<Output = Result<T, CallError>>,
{
    let until = context.deadline.min(Instant::now() + PATIENCE);
    let mut round = Round::new(whom);
    let mut pause = MIN_PAUSE;
    loop {
        let newest = directory.table();
        let route = newest.rack(&rack.id).unwrap_or(rack);
        if let Some(peer) = round.next(route) {
            let deadline = context.deadline.min(Instant::now() + size.attempt(context));
            let context = Context { request_id: context.request_id.clone(), deadline };
            match attempt(peer, context).await {
                Ok(answer) => return Ok(answer),
                Err(error) => round.failed(peer, error)?,
            }
            if let Some(hint) = round.hint {
                directory.believe(&rack.id, hint);
            }
            if Instant::now() >= until {
                return Err(round.failure());
            }
        } else if round.is_hopeless() || Instant::now() + pause >= until {
            return Err(round.failure());
        } else {
            rest(directory, pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
            round = Round::new(whom);
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

/// One attempt at each member.
struct Round {
    whom: Whom,
    start: u32,
    tried: Vec<PeerId>,
    hint: Option<PeerId>,
    shut: usize,
    timed_out: bool,
    last: Option<String>,
}

impl Round {
    fn new(whom: Whom) -> Self {
        Self {
            whom,
            start: rand::random(),
            tried: Vec::new(),
            hint: None,
            shut: 0,
            timed_out: false,
            last: None,
        }
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
    fn failed(&mut self, peer: PeerId, error: CallError) -> Result<(), Failure> {
        self.tried.push(peer);
        let why = error.to_string();
        match error {
            CallError::Api(ApiError::NotLeader { leader, .. }) => {
                self.hint = leader.filter(|leader| !self.tried.contains(leader));
            }
            CallError::Timeout { .. } | CallError::Api(ApiError::DeadlinePassed) => {
                self.timed_out = true;
            }
            CallError::Open { .. } => self.shut += 1,
            CallError::Unreachable { .. }
            | CallError::Broken { .. }
            | CallError::Busy { .. }
            | CallError::Api(
                ApiError::Busy | ApiError::Unavailable { .. } | ApiError::NotMember { .. },
            ) => {}
            CallError::Api(refusal) => return Err(Failure::Refused(refusal)),
            CallError::Protocol { .. } => return Err(Failure::Fault(why)),
            CallError::Closed => return Err(Failure::Unavailable(why)),
        }
        self.last = Some(why);
        Ok(())
    }

    /// Every member's circuit breaker is open: waiting is what the breaker is there to save.
    fn is_hopeless(&self) -> bool {
        !self.tried.is_empty() && self.shut == self.tried.len()
    }

    fn failure(self) -> Failure {
        let why = self.last.unwrap_or_else(|| "no member is known".to_owned());
        if self.timed_out { Failure::NoAnswer(why) } else { Failure::Unavailable(why) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bookmesh_rpc::api::{Kind, RackId, RouteTable, ThingId};

    use super::*;

    fn peer(byte: u8) -> PeerId {
        PeerId::from_bytes([byte; 32])
    }

    fn rack() -> RackId {
        "r".parse().unwrap()
    }

    fn directory(leader: Option<u8>) -> (Directory, Arc<RackRoute>) {
        let directory = Directory::new();
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
        let how = (Whom::Leader, Size::Small);
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
    }

    #[tokio::test]
    async fn open_breakers_are_answered_without_waiting() {
        let (outcome, asked) =
            run(Some(1), PATIENCE, |at| Err(CallError::Open { peer: peer(at) })).await;
        assert!(matches!(outcome, Err(Failure::Unavailable(_))));
        assert_eq!(asked.len(), 3);
    }
}
