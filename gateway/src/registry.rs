//! Calls that the registry's leader answers, whichever orchestrator is found first.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use bookmesh_rpc::api::{ApiError, Kind, Method};
use bookmesh_rpc::mesh::{CallError, Context};
use bookmesh_rpc::orks::Orks;

use crate::http_error::HttpError;

/// How long new attempts are begun: a registry that lost its leader has another by then.
const PATIENCE: Duration = Duration::from_secs(8);
/// One attempt: an orchestrator may have to ask a rack's leader in turn.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Calls the registry's leader until it answers or patience ends. The call may be sent again, so
/// it has to be one that changes nothing the second time.
///
/// # Errors
/// What the registry refuses; 503 while nobody can be asked.
pub(crate) async fn ask<M: Method + Clone>(
    orks: &Orks,
    context: &Context,
    request: M,
) -> Result<M::Reply, HttpError> {
    let deadline = context.deadline.min(Instant::now() + PATIENCE);
    let context = Context { deadline, ..context.clone() };
    orks.call_within(ATTEMPT, &context, request).await.map_err(refused)
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
