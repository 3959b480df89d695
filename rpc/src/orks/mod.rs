//! Finds the orchestrators, keeps to one that answers, and follows hints to the one that leads.
//!
//! | file | idea |
//! |---|---|
//! | `mod` | who they are, and calls to the registry |
//! | `announcer` | tells all of them how this node stands |
//! | `heeded` | of two registries, whose answers count |

mod announcer;
mod heeded;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;

use crate::api::{ApiError, DHT_ORKS, Method};
use crate::context::Context;
use crate::error::CallError;
use crate::mesh::Mesh;
use crate::peer::PeerId;
use crate::reliability::Backoff;

/// How long one orchestrator may take before another is asked.
pub const ATTEMPT: Duration = Duration::from_secs(2);
/// How long one look into the DHT may take; it comes back sooner once somebody was found.
const LOOK: Duration = Duration::from_secs(3);
/// The pause between rounds over all of them; the first rounds of a starting mesh are short.
const FIRST_PAUSE: Duration = Duration::from_millis(40);
const LONGEST_PAUSE: Duration = Duration::from_millis(640);
/// Orchestrators that are known at a time: far more than a registry has members.
const MAX_KNOWN: usize = 16;
/// Orchestrators that one round asks, those that hints lead to among them.
const MAX_ASKED: usize = 2 * MAX_KNOWN;
/// One that neither the DHT names nor answers is forgotten after so long.
const FORGET: Duration = Duration::from_secs(60);
/// So many announcements in a row without an answer, and an orchestrator counts as gone.
const SILENT_AFTER: u32 = 3;

/// The orchestrators, as one node sees them.
#[derive(Debug)]
pub struct Orks {
    mesh: Mesh,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The one that answered for the registry last.
    current: Option<PeerId>,
    all: BTreeMap<PeerId, Seen>,
}

/// What is known of one orchestrator.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// When it was named, or answered, last.
    at: Instant,
    /// Announcements in a row that it did not answer; `None` before it has answered any.
    unanswered: Option<u32>,
}

impl Seen {
    fn answers(&self) -> bool {
        self.unanswered.is_some_and(|unanswered| unanswered < SILENT_AFTER)
    }
}

impl Orks {
    /// Those that `mesh` can find.
    pub fn new(mesh: Mesh) -> Self {
        Self { mesh, known: Mutex::default() }
    }

    /// Calls the registry through whichever orchestrator answers, following hints to its leader,
    /// until the context's deadline. Rounds over all of them are apart by pauses with jitter.
    ///
    /// What is asked of the registry may be repeated: it is answered the same again.
    ///
    /// # Errors
    /// What the orchestrator answered, or the last reason why none did.
    pub async fn call<M: Method + Clone>(
        &self,
        context: &Context,
        request: M,
    ) -> Result<M::Reply, CallError> {
        self.call_within(ATTEMPT, context, request).await
    }

    /// As [`Orks::call`], for what one orchestrator may take longer for: so long.
    ///
    /// # Errors
    /// As [`Orks::call`].
    pub async fn call_within<M: Method + Clone>(
        &self,
        attempt: Duration,
        context: &Context,
        request: M,
    ) -> Result<M::Reply, CallError> {
        let mut pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut candidates = self.known();
        loop {
            if candidates.is_empty() {
                candidates = self.look(context).await;
            }
            let asked = to_leader(&self.mesh, candidates, attempt, context, request.clone());
            let failure = match asked.await {
                Ok((ork, reply)) => {
                    self.keep(Some(ork));
                    return Ok(reply);
                }
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => error,
            };
            self.keep(None);
            let pause = pauses.wait();
            if context.remaining() <= pause {
                return Err(failure);
            }
            tokio::time::sleep(pause).await;
            // Nobody who was known helped: there may be others by now.
            candidates = self.look(context).await;
            if context.remaining().is_zero() {
                // What was said before tells more than that nobody was asked since.
                return Err(failure);
            }
        }
    }

    /// The orchestrator that answered for the registry last, if any did.
    pub fn current(&self) -> Option<PeerId> {
        crate::lock(&self.known).current
    }

    /// All that are known, the one that answered last first, then those that answer, each part in
    /// random order so that nodes spread.
    pub fn known(&self) -> Vec<PeerId> {
        let known = crate::lock(&self.known);
        let mut all: Vec<_> = known.all.iter().map(|(ork, seen)| (*ork, *seen)).collect();
        all.shuffle(&mut rand::rng());
        all.sort_by_key(|(ork, seen)| (known.current != Some(*ork), !seen.answers()));
        all.into_iter().map(|(ork, _)| ork).collect()
    }

    /// Whether one has left several announcements in a row unanswered. A frozen orchestrator
    /// keeps its connections, so they alone would never tell.
    pub fn is_silent(&self, ork: PeerId) -> bool {
        let known = crate::lock(&self.known);
        known.all.get(&ork).is_some_and(|seen| seen.unanswered >= Some(SILENT_AFTER))
    }

    /// Asks the DHT who they are; answers all that are known then, as [`Orks::known`].
    pub async fn look(&self, context: &Context) -> Vec<PeerId> {
        let deadline = context.deadline.min(Instant::now() + LOOK);
        let context = Context { deadline, ..context.clone() };
        let named = self.mesh.providers(DHT_ORKS, &context).await;
        self.name(&named, Instant::now());
        self.known()
    }

    /// Somebody said that these are orchestrators.
    pub fn name(&self, named: &[PeerId], now: Instant) {
        let mut known = crate::lock(&self.known);
        let me = self.mesh.peer_id();
        for ork in named.iter().filter(|ork| **ork != me) {
            known.all.entry(*ork).or_insert(Seen { at: now, unanswered: None }).at = now;
        }
        known.all.retain(|_, seen| now.saturating_duration_since(seen.at) < FORGET);
        while known.all.len() > MAX_KNOWN {
            let order = |seen: &Seen| (seen.answers(), seen.at);
            let least = known.all.iter().min_by_key(|(_, seen)| order(seen));
            let Some(least) = least.map(|(ork, _)| *ork) else { return };
            known.all.remove(&least);
        }
    }

    /// Whether one answered an announcement.
    fn note(&self, ork: PeerId, answered: bool, now: Instant) {
        let mut known = crate::lock(&self.known);
        let Some(seen) = known.all.get_mut(&ork) else { return };
        if answered {
            *seen = Seen { at: now, unanswered: Some(0) };
        } else if let Some(unanswered) = &mut seen.unanswered {
            *unanswered = unanswered.saturating_add(1);
        }
    }

    fn keep(&self, ork: Option<PeerId>) {
        crate::lock(&self.known).current = ork;
        if let Some(ork) = ork {
            self.name(&[ork], Instant::now());
        }
    }
}

/// Asks these orchestrators, one after the other, until one answers for the registry; one that
/// does not lead it names the one that does, which is asked next. Each is asked once, and may take
/// as long as one `attempt`.
///
/// # Errors
/// What would be answered the same again, else the last reason why none answered.
pub async fn to_leader<M: Method + Clone>(
    mesh: &Mesh,
    candidates: impl IntoIterator<Item = PeerId>,
    attempt: Duration,
    context: &Context,
    request: M,
) -> Result<(PeerId, M::Reply), CallError> {
    let mut last = nobody();
    let mut waiting: VecDeque<_> = candidates.into_iter().collect();
    let mut asked = Vec::new();
    while let Some(ork) = waiting.pop_front() {
        if asked.contains(&ork) || asked.len() >= MAX_ASKED {
            continue;
        }
        if context.remaining().is_zero() {
            break;
        }
        asked.push(ork);
        let deadline = context.deadline.min(Instant::now() + attempt);
        let within = Context { deadline, ..context.clone() };
        match mesh.call(ork, &within, request.clone()).await {
            Ok(reply) => return Ok((ork, reply)),
            Err(error) if is_final(&error) => return Err(error),
            Err(error) => {
                // Asked before those that would only name the same.
                if let CallError::Api(ApiError::NotRegistryLeader { leader: Some(leader) }) = error
                {
                    waiting.push_front(leader);
                }
                last = error;
            }
        }
    }
    Err(last)
}

/// Whether asking again would be answered the same.
const fn is_final(error: &CallError) -> bool {
    use ApiError::{Busy, DeadlinePassed, Internal, NotRegistryLeader, NotServed, Unavailable};
    match error {
        CallError::Api(error) => !matches!(
            error,
            Busy | DeadlinePassed
                | Internal { .. }
                | NotRegistryLeader { .. }
                | NotServed { .. }
                | Unavailable { .. }
        ),
        CallError::Closed => true,
        _ => false,
    }
}

fn nobody() -> CallError {
    CallError::Api(ApiError::Unavailable {
        what: "the registry".into(),
        why: "no orchestrator was found yet".into(),
    })
}
