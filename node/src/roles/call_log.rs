//! One line for each call that a user's request led to, so that a request can be followed by its id
//! from the gateway's log into those of the workers that took part: writes at `info`, reads at
//! `debug`. What nodes say to each other on their own behalf has no lines.

use std::time::Instant;

use bookmesh_rpc::api::{ApiError, RackId, Reply, Request, RequestId};

/// What a call's line says before its outcome is known.
pub(super) struct CallLine {
    began: Instant,
    request_id: RequestId,
    method: &'static str,
    rack: RackId,
    is_write: bool,
}

impl CallLine {
    /// The line of a call; `None` for one that gets none.
    pub(super) fn of(request: &Request, request_id: &RequestId) -> Option<Self> {
        let (rack, is_write) = about(request)?;
        let wanted = if is_write {
            tracing::enabled!(tracing::Level::INFO)
        } else {
            tracing::enabled!(tracing::Level::DEBUG)
        };
        wanted.then(|| Self {
            began: Instant::now(),
            request_id: request_id.clone(),
            method: request.method(),
            rack: rack.clone(),
            is_write,
        })
    }

    /// Logs it.
    pub(super) fn log(self, outcome: &Result<Reply, ApiError>) {
        let Self { began, request_id, method, rack, is_write } = self;
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let error = outcome.as_ref().err().map(tracing::field::display);
        if is_write {
            tracing::info!(method, %rack, duration_ms, %request_id, error, "answered");
        } else {
            tracing::debug!(method, %rack, duration_ms, %request_id, error, "answered");
        }
    }
}

/// The rack that a user's request is about, and whether it writes.
fn about(request: &Request) -> Option<(&RackId, bool)> {
    Some(match request {
        Request::RegisterThing(request) => (&request.rack, true),
        Request::RegisterThings(request) => (&request.rack, true),
        Request::UpdateThing(request) => (&request.rack, true),
        Request::WithdrawThing(request) => (&request.rack, true),
        Request::ForgetThings(request) => (&request.rack, true),
        Request::SettleKey(request) => (&request.rack, true),
        Request::PlaceOrder(request) => (&request.rack, true),
        Request::CloseRack(request) => (&request.rack, true),
        Request::RecoverRack(request) => (&request.rack, true),
        Request::GetThing(request) => (&request.rack, false),
        Request::ListThings(request) => (&request.rack, false),
        Request::ReadHistory(request) => (&request.rack, false),
        Request::GetOrder(request) => (&request.rack, false),
        Request::ListOrders(request) => (&request.rack, false),
        Request::ReadLog(request) => (&request.rack, false),
        _ => return None,
    })
}
