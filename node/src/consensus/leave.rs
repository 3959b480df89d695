//! Taking a member out of its group before it stops, so that nobody waits for it.

use std::time::{Duration, Instant};

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{ApiError, MemberId, UnseatMember, Unseated};
use bookmesh_rpc::mesh::{CallError, Context};
use bookmesh_storage::view::View;

use super::Group;
use super::elector::LEASE;
use super::membership::leader_in;
use super::proposer::{not_leader, stopped};
use super::types::Seat;

/// Between two looks at what became of a wish to leave.
const LOOK: Duration = Duration::from_millis(20);
/// How long a group that has no leader is waited for: it elects one within two seconds, if it can.
const LEADERLESS: Duration = Duration::from_secs(4);
/// How long the leader may take for one answer: another one may lead meanwhile.
const ATTEMPT: Duration = Duration::from_secs(5);

impl<V: View> Group<V> {
    /// Takes a member out, as the leader; answers once that is committed.
    ///
    /// # Errors
    /// Not the leader, or nobody's seat, or it was not done by `until`.
    pub async fn unseat(
        &self,
        member: MemberId,
        seat: &Seat,
        until: Instant,
    ) -> Result<Unseated, ApiError> {
        let leaving = self.leaving();
        let mut asked = false;
        let outcome = loop {
            match self.seat_of(member) {
                None => break Ok(Unseated::Left),
                Some(known) if known != *seat => {
                    break Err(ApiError::invalid("member", "is another one's number"));
                }
                Some(_) => {}
            }
            let metrics = self.metrics();
            let (leads, ended) = {
                let metrics = metrics.borrow();
                (metrics.current_leader == Some(metrics.id), metrics.running_state.is_err())
            };
            if ended {
                break Err(stopped());
            }
            if !leads {
                break Err(not_leader(self.name(), leader_in(&metrics.borrow())));
            }
            if !asked {
                leaving.add(member);
                asked = true;
            }
            if leaving.is_needed(member) {
                break Ok(Unseated::Needed);
            }
            if Instant::now() >= until {
                let why = "no majority has agreed to take the member out yet".to_owned();
                break Err(ApiError::Unavailable { what: self.name().to_string(), why });
            }
            tokio::time::sleep(LOOK).await;
        };
        if asked {
            leaving.remove(member);
        }
        outcome
    }

    /// Takes this member out of its group: by itself when it leads, else by asking the leader.
    /// Gives up `within` a time, or when no leader is to be had.
    ///
    /// # Errors
    /// When the group could not agree on it; the member is still one.
    pub async fn leave(&self, seat: &Seat, within: Duration) -> Result<Unseated, ApiError> {
        let until = Instant::now() + within;
        let mut led = Instant::now();
        loop {
            let leader = leader_in(&self.metrics().borrow());
            let outcome = match leader {
                None => Err(not_leader(self.name(), None)),
                Some(leader) if leader == seat.peer => {
                    self.unseat(self.member(), seat, until).await
                }
                Some(leader) => self.ask_to_leave(leader, seat, until).await,
            };
            match outcome {
                Ok(unseated) => return Ok(unseated),
                Err(ApiError::NotLeader { .. } | ApiError::NotRegistryLeader { .. }) => {}
                Err(ApiError::Unavailable { .. } | ApiError::Busy) => {}
                Err(ApiError::DeadlinePassed) => {}
                Err(error) => return Err(error),
            }
            if self.seat_of(self.member()).is_none() {
                return Ok(Unseated::Left);
            }
            if self.is_led(LEASE) {
                led = Instant::now();
            }
            if Instant::now() >= until || led.elapsed() >= LEADERLESS {
                let why = "it has no leader that could take the member out".to_owned();
                return Err(ApiError::Unavailable { what: self.name().to_string(), why });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn ask_to_leave(
        &self,
        leader: PeerId,
        seat: &Seat,
        until: Instant,
    ) -> Result<Unseated, ApiError> {
        let deadline = until.min(Instant::now() + ATTEMPT);
        let context = Context { deadline, ..Context::within(ATTEMPT) };
        let (member, incarnation) = (self.member(), seat.incarnation);
        let request = UnseatMember { group: self.name().clone(), member, incarnation };
        match self.mesh().call(leader, &context, request).await {
            Ok(unseated) => Ok(unseated),
            Err(CallError::Api(error)) => Err(error),
            Err(error) => {
                let (what, why) = (self.name().to_string(), error.to_string());
                Err(ApiError::Unavailable { what, why })
            }
        }
    }

    /// The seat of a member, by what is committed.
    pub fn seat_of(&self, member: MemberId) -> Option<Seat> {
        self.read(|shown| shown.membership.membership().get_node(&member).cloned())
    }
}
