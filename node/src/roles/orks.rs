//! Finds the orchestrators, and keeps to one that answers.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bookmesh_rpc::api::{ApiError, DHT_ORKS, Method};
use bookmesh_rpc::mesh::{CallError, Context};
use bookmesh_rpc::{Mesh, PeerId};

/// How long one orchestrator may take before another is asked.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The pause between rounds over all of them; the first rounds of a starting mesh are short.
const PAUSES_MS: [u64; 6] = [20, 40, 80, 160, 320, 640];

/// The orchestrators, as one node sees them.
#[derive(Debug)]
pub struct Orks {
    mesh: Mesh,
    current: Mutex<Option<PeerId>>,
}

impl Orks {
    /// Those that `mesh` can find.
    pub fn new(mesh: Mesh) -> Self {
        Self { mesh, current: Mutex::new(None) }
    }

    /// Calls whichever orchestrator answers, until the context's deadline.
    ///
    /// Requests to the registry may be repeated: registering and confirming answer the same
    /// again.
    ///
    /// # Errors
    /// What the orchestrator answered, or the last reason why none did.
    pub async fn call<M: Method + Clone>(
        &self,
        context: &Context,
        request: M,
    ) -> Result<M::Reply, CallError> {
        let mut last = nobody();
        for round in 0.. {
            for ork in self.candidates(context).await {
                match self.attempt(ork, context, request.clone()).await {
                    Ok(reply) => return Ok(reply),
                    Err(error) if is_final(&error) => return Err(error),
                    Err(error) => last = error,
                }
            }
            let pause = PAUSES_MS[PAUSES_MS.len().min(round + 1) - 1];
            let pause = Duration::from_millis(pause);
            if context.remaining() <= pause {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        Err(last)
    }

    /// The orchestrator that answered last, if any did.
    pub fn current(&self) -> Option<PeerId> {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, ork: Option<PeerId>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = ork;
    }

    async fn candidates(&self, context: &Context) -> Vec<PeerId> {
        match self.current() {
            Some(ork) => vec![ork],
            None => self.mesh.providers(DHT_ORKS, context).await,
        }
    }

    async fn attempt<M: Method>(
        &self,
        ork: PeerId,
        context: &Context,
        request: M,
    ) -> Result<M::Reply, CallError> {
        let deadline = context.deadline.min(Instant::now() + ATTEMPT);
        let context = Context { deadline, ..context.clone() };
        let result = self.mesh.call(ork, &context, request).await;
        match &result {
            Ok(_) => self.keep(Some(ork)),
            Err(CallError::Api(ApiError::NotRegistryLeader { leader })) => self.keep(*leader),
            Err(error) if is_final(error) => {}
            Err(_) => self.keep(None),
        }
        result
    }
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
