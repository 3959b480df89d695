//! How a new book finds its rack: the one that its client names, the one that its key chooses, or
//! the least filled.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bookmesh_rpc::api::{
    ApiError, ClientKey, Kind, NewThing, RackId, RackRoute, RegisterThing, RequestKey, SettleKey,
    Settled, Thing,
};
use bookmesh_rpc::mesh::Context;

use crate::app::App;
use crate::books::{book_rack, no_book_rack};
use crate::call::Call;
use crate::http_error::HttpError;
use crate::placement;
use bookmesh_rpc::routing::leader::{Failure, How, Size};

/// A book and its rack.
pub(crate) type Home = (Arc<RackRoute>, Arc<Thing>);

/// Registers a book.
///
/// # Errors
/// What its rack answers, or that there is none.
pub(crate) async fn register(
    app: &App,
    call: &Call,
    rack: Option<RackId>,
    key: RequestKey,
    thing: NewThing,
) -> Result<Home, HttpError> {
    let context = &call.context;
    match (rack, key) {
        (Some(id), _) => {
            let rack = book_rack(app, &id, call).await?;
            app.placement.count(&rack);
            in_rack(app, context, rack, key, thing).await
        }
        (None, RequestKey::Client(client)) => {
            let rack = match find_home(app, context, client).await? {
                Found::Registered(home) => return Ok(home),
                Found::Rack(rack) => rack,
            };
            in_rack(app, context, rack, key, thing).await
        }
        (None, RequestKey::Retry(_)) => anywhere(app, context, key, thing).await,
    }
}

async fn in_rack(
    app: &App,
    context: &Context,
    rack: Arc<RackRoute>,
    key: RequestKey,
    thing: NewThing,
) -> Result<Home, HttpError> {
    let request = RegisterThing { rack: rack.id.clone(), key, thing };
    let thing = app.ask(&rack, context, How::leader(Size::Small), request).await?;
    Ok((rack, thing))
}

enum Found {
    /// The key was used before.
    Registered(Home),
    /// The rack that it belongs to.
    Rack(Arc<RackRoute>),
}

/// The rack that a client's key chooses, so that a retry finds the same one. Where it may have
/// chosen another within the day, it is settled there first: a first attempt that is still on its
/// way is not applied then.
async fn find_home(app: &App, context: &Context, key: ClientKey) -> Result<Found, HttpError> {
    let known = app.directory().knowledge();
    if !known.told {
        let message = "which racks there are is not known: no orchestrator is in reach";
        return Err(HttpError::unavailable(message));
    }
    let racks = known.table.of_kind(Kind::Book).cloned();
    let mut homes = placement::homes(racks, &key, now_ms());
    let Some(home) = homes.pop() else { return Err(no_book_rack()) };
    for rack in homes {
        let settle = SettleKey { rack: rack.id.clone(), key };
        let how = How::leader(Size::Small);
        match app.ask(&rack, context, how, settle).await? {
            Settled::Nothing => {}
            Settled::Thing(thing) => return Ok(Found::Registered((rack, thing))),
            Settled::Order(_) => return Err(HttpError::internal("a book rack made an order")),
        }
    }
    Ok(Found::Rack(home))
}

/// The least filled rack; and when it turns out to be out of reach, before anything can have been
/// applied there, the next.
async fn anywhere(
    app: &App,
    context: &Context,
    key: RequestKey,
    thing: NewThing,
) -> Result<Home, HttpError> {
    let mut tried = Vec::new();
    loop {
        let table = app.directory().table();
        let rack = app.placement.choose(&table, Kind::Book, &tried).ok_or_else(no_book_rack)?;
        tried.push(rack.id.clone());
        let mut others = table.of_kind(Kind::Book).filter(|rack| !tried.contains(&rack.id));
        if !others.any(|rack| placement::is_healthy(rack)) {
            return in_rack(app, context, rack, key, thing).await;
        }
        let request = RegisterThing { rack: rack.id.clone(), key, thing: thing.clone() };
        let how = How { elsewhere: true, ..How::leader(Size::Small) };
        match app.routing.ask_known(&rack, context, how, &request).await {
            Ok(thing) => return Ok((rack, thing)),
            Err(Failure::Untouched(why)) => {
                tracing::debug!(rack = %rack.id, why, "another rack takes the book");
            }
            Err(Failure::Refused(ApiError::RackRetired { .. })) => {}
            Err(failure) => return Err(HttpError::of_rack(&rack.id, failure, rack.kind)),
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}
