//! Calls that the registry's leader answers: one orchestrator after the other is asked, and one
//! that names the leader is followed.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use bookmesh_rpc::Mesh;
use bookmesh_rpc::api::{ApiError, Kind, Method};
use bookmesh_rpc::mesh::{CallError, Context};
use bookmesh_rpc::peer::PeerId;

use crate::follower;
use crate::http_error::HttpError;

/// How long new attempts are begun: a registry that lost its leader has another by then.
const PATIENCE: Duration = Duration::from_secs(8);
/// One attempt: an orchestrator may have to ask a rack's leader in turn.
const ATTEMPT: Duration = Duration::from_secs(5);
/// The pause after all orchestrators were asked; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_millis(800);

/// Calls the registry's leader until it answers or patience ends. The call may be sent again, so
/// it has to be one that changes nothing the second time.
///
/// # Errors
/// What the registry refuses; 503 while nobody can be asked.
pub(crate) async fn ask<M: Method + Clone>(
    mesh: &Mesh,
    context: &Context,
    request: M,
) -> Result<M::Reply, HttpError> {
    let until = context.deadline.min(Instant::now() + PATIENCE);
    let mut pause = MIN_PAUSE;
    let mut last = None;
    loop {
        let mut waiting = follower::orchestrators(mesh, context).await;
        let mut tried = Vec::new();
        while let Some(ork) = waiting.pop().filter(|_| Instant::now() < until) {
            tried.push(ork);
            let deadline = context.deadline.min(Instant::now() + ATTEMPT);
            let attempt = Context { deadline, ..context.clone() };
            match mesh.call(ork, &attempt, request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) if is_final(&error) => return Err(refused(error)),
                Err(error) => {
                    if let Some(leader) = hint(&error).filter(|leader| !tried.contains(leader)) {
                        waiting.retain(|other| *other != leader);
                        waiting.push(leader);
                    }
                    last = Some(error);
                }
            }
        }
        if Instant::now() + pause >= until {
            return Err(last.map_or_else(|| unavailable(None), refused));
        }
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

const fn hint(error: &CallError) -> Option<PeerId> {
    match error {
        CallError::Api(ApiError::NotRegistryLeader { leader }) => *leader,
        _ => None,
    }
}

/// Whether another orchestrator, or the same one a little later, would say the same.
const fn is_final(error: &CallError) -> bool {
    use ApiError::{Busy, DeadlinePassed, NotRegistryLeader, NotServed, Unavailable};
    match error {
        CallError::Api(
            Busy
            | DeadlinePassed
            | NotRegistryLeader { .. }
            // A node that the DHT still takes for the orchestrator it was.
            | NotServed { .. }
            | Unavailable { .. },
        ) => false,
        CallError::Api(_) | CallError::Closed | CallError::Protocol { .. } => true,
        _ => false,
    }
}

fn refused(error: CallError) -> HttpError {
    match error {
        // Its text says what is missing: the registry's majority, or the rack that it asked.
        CallError::Api(error @ ApiError::Unavailable { .. }) => {
            HttpError { message: error.to_string(), ..unavailable(None) }
        }
        CallError::Api(
            error @ (ApiError::NotRegistryLeader { .. }
            | ApiError::NotServed { .. }
            | ApiError::Busy
            | ApiError::DeadlinePassed),
        ) => unavailable(Some(error.to_string())),
        CallError::Api(error) => HttpError::of_api(error, Kind::Book),
        CallError::Protocol { .. } => HttpError::internal(error),
        other => unavailable(Some(other.to_string())),
    }
}

fn unavailable(detail: Option<String>) -> HttpError {
    let message = "no orchestrator answers for the registry; try again shortly";
    let error =
        HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "ERR_REGISTRY_UNAVAILABLE", message);
    HttpError { detail, ..error }
}
