//! What reads of one book or one order, and changes of a book, share, on all surfaces.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response};
use bookmesh_rpc::api::{
    Consistency, GetThing, Kind, Method, RackRoute, RequestKey, StatusRule, Thing, ThingId,
    ThingPatch, ThingRead, UpdateThing,
};
use bookmesh_rpc::routing::leader::{How, Size};

use crate::answer::not_modified;
use crate::app::App;
use crate::call::Call;
use crate::etag;
use crate::http_error::HttpError;
use crate::lists::X_APPLIED_INDEX;
use crate::query;

/// What a rack answered, and what was asked for.
pub(crate) struct One<T> {
    pub(crate) rack: Arc<RackRoute>,
    pub(crate) read: T,
    consistency: Consistency,
}

/// Reads the one whose id is in the path, by the request that `ask` makes of it.
///
/// # Errors
/// A wrong id or query, and what its rack answers.
pub(crate) async fn read<M: Method + Clone>(
    app: &App,
    call: &mut Call,
    kind: Kind,
    ask: impl FnOnce(&RackRoute, ThingId, Consistency) -> M,
) -> Result<One<M::Reply>, HttpError> {
    let consistency = query::consistency(call.uri());
    let consistency = consistency.map_err(|error| HttpError::of_api(error, kind))?;
    let id = call.path_thing_id().await?;
    let rack = app.rack_of(kind, id)?;
    let request = ask(&rack, id, consistency);
    let how = How::read(consistency, Size::Small);
    let read = app.ask(&rack, &call.context, how, request).await?;
    Ok(One { rack, read, consistency })
}

/// Reads the book whose id is in the path.
///
/// # Errors
/// As [`read`].
pub(crate) async fn book(app: &App, call: &mut Call) -> Result<One<ThingRead>, HttpError> {
    read(app, call, Kind::Book, |rack, id, consistency| {
        let rack = rack.id.clone();
        GetThing { rack, id, consistency }
    })
    .await
}

/// Changes a book, if it is at a version that the client takes.
///
/// # Errors
/// 412, and what its rack answers.
pub(crate) async fn change(
    app: &App,
    call: &Call,
    (rack, id): (&Arc<RackRoute>, ThingId),
    key: RequestKey,
    patch: ThingPatch,
    status_rule: StatusRule,
) -> Result<Arc<Thing>, HttpError> {
    let if_version = if_version(app, call, rack, id).await?;
    let rack_id = rack.id.clone();
    let request = UpdateThing { rack: rack_id, key, id, patch, status_rule, if_version };
    app.ask(rack, &call.context, How::leader(Size::Small), request).await
}

/// The version that a write insists on, for its rack to compare. Of several that it would take the
/// one that is there now is meant.
///
/// # Errors
/// 412 when none of them can be, and what the rack answers.
pub(crate) async fn if_version(
    app: &App,
    call: &Call,
    rack: &Arc<RackRoute>,
    id: ThingId,
) -> Result<Option<u64>, HttpError> {
    let Some(versions) = etag::wanted(call) else { return Ok(None) };
    if versions.len() <= 1 {
        return versions.first().copied().map(Some).ok_or_else(HttpError::version_mismatch);
    }
    let consistency = Consistency::Linearizable;
    let request = GetThing { rack: rack.id.clone(), id, consistency };
    let now = app.ask(rack, &call.context, How::leader(Size::Small), request).await?;
    let version = versions.get(&now.thing.version).copied();
    version.map(Some).ok_or_else(HttpError::version_mismatch)
}

impl<T> One<T> {
    /// The answer: nothing anew for who has this version, and the tag and the place in the log
    /// either way.
    pub(crate) fn answer(
        &self,
        call: &Call,
        version: u64,
        applied_index: u64,
        whole: impl FnOnce() -> Response<Body>,
    ) -> Response<Body> {
        let mut response = if etag::is_known(call, version) { not_modified() } else { whole() };
        etag::set(&mut response, version);
        if self.consistency != Consistency::Linearizable {
            response.headers_mut().insert(X_APPLIED_INDEX, HeaderValue::from(applied_index));
        }
        response
    }
}
