//! How what is new finds its rack: the one that its client names, the one that its key chooses, or
//! the least filled. The same for books and for orders.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bookmesh_rpc::api::{
    ApiError, ClientKey, Kind, Method, Order, PlaceOrder, RackId, RackRoute, RegisterThing,
    RequestKey, SettleKey, Settled, Thing,
};
use bookmesh_rpc::mesh::Context;
use bookmesh_rpc::routing::leader::{Failure, How, Size};

use crate::app::App;
use crate::call::Call;
use crate::http_error::HttpError;
use crate::placement;

/// A request that makes something.
pub(crate) trait Make: Method<Reply = Arc<Self::Made>> + Clone {
    /// What it makes.
    type Made: Send + Sync + 'static;
    /// The racks that take it.
    const KIND: Kind;
    /// One attempt's time: an order's rack asks another before it answers.
    const SIZE: Size;
    /// What was made under a key before.
    fn made(settled: Settled) -> Option<Arc<Self::Made>>;
}

impl Make for RegisterThing {
    type Made = Thing;
    const KIND: Kind = Kind::Book;
    const SIZE: Size = Size::Small;
    fn made(settled: Settled) -> Option<Arc<Thing>> {
        if let Settled::Thing(thing) = settled { Some(thing) } else { None }
    }
}

impl Make for PlaceOrder {
    type Made = Order;
    const KIND: Kind = Kind::Order;
    const SIZE: Size = Size::Relayed;
    fn made(settled: Settled) -> Option<Arc<Order>> {
        if let Settled::Order(order) = settled { Some(order) } else { None }
    }
}

/// What was made, and its rack.
pub(crate) type Home<M> = (Arc<RackRoute>, Arc<<M as Make>::Made>);

/// Makes what `request` asks the given rack for, in the rack that takes it.
///
/// # Errors
/// What its rack answers, or that there is none.
pub(crate) async fn register<M: Make>(
    app: &App,
    call: &Call,
    rack: Option<RackId>,
    key: RequestKey,
    request: impl Fn(RackId) -> M,
) -> Result<Home<M>, HttpError> {
    let context = &call.context;
    match (rack, key) {
        (Some(id), _) => {
            let rack = app.rack_for(&id, M::KIND, context).await?;
            app.placement.count(&rack);
            in_rack(app, context, rack, &request).await
        }
        (None, RequestKey::Client(client)) => match find_home::<M>(app, context, client).await? {
            Found::Made(home) => Ok(home),
            Found::Rack(rack) => in_rack(app, context, rack, &request).await,
        },
        (None, RequestKey::Retry(_)) => anywhere(app, context, &request).await,
    }
}

async fn in_rack<M: Make>(
    app: &App,
    context: &Context,
    rack: Arc<RackRoute>,
    request: &impl Fn(RackId) -> M,
) -> Result<Home<M>, HttpError> {
    let made = app.ask(&rack, context, How::leader(M::SIZE), request(rack.id.clone())).await?;
    Ok((rack, made))
}

enum Found<M: Make> {
    /// The key was used before.
    Made(Home<M>),
    /// The rack that it belongs to.
    Rack(Arc<RackRoute>),
}

/// The rack that a client's key chooses, so that a retry finds the same one. Where it may have
/// chosen another within the day, it is settled there first: a first attempt that is still on its
/// way is not applied then.
async fn find_home<M: Make>(
    app: &App,
    context: &Context,
    key: ClientKey,
) -> Result<Found<M>, HttpError> {
    let known = app.directory().knowledge();
    if !known.told {
        let message = "which racks there are is not known: no orchestrator is in reach";
        return Err(HttpError::unavailable(message));
    }
    let racks = known.table.of_kind(M::KIND).cloned();
    let mut homes = placement::homes(racks, &key, now_ms());
    let Some(home) = homes.pop() else { return Err(no_rack(M::KIND)) };
    for rack in homes {
        let settle = SettleKey { rack: rack.id.clone(), key };
        match app.ask(&rack, context, How::leader(Size::Small), settle).await? {
            Settled::Nothing => {}
            other => {
                let made = M::made(other);
                let made = made.ok_or_else(|| HttpError::internal("a rack of another kind"))?;
                return Ok(Found::Made((rack, made)));
            }
        }
    }
    Ok(Found::Rack(home))
}

/// The least filled rack; and when it turns out to be out of reach, before anything can have been
/// applied there, the next.
async fn anywhere<M: Make>(
    app: &App,
    context: &Context,
    request: &impl Fn(RackId) -> M,
) -> Result<Home<M>, HttpError> {
    let mut tried = Vec::new();
    loop {
        let table = app.directory().table();
        let rack = app.placement.choose(&table, M::KIND, &tried);
        let rack = rack.ok_or_else(|| no_rack(M::KIND))?;
        tried.push(rack.id.clone());
        let mut others = table.of_kind(M::KIND).filter(|rack| !tried.contains(&rack.id));
        if !others.any(|rack| placement::is_healthy(rack)) {
            return in_rack(app, context, rack, request).await;
        }
        let how = How { elsewhere: true, ..How::leader(M::SIZE) };
        match app.routing.ask_known(&rack, context, how, &request(rack.id.clone())).await {
            Ok(made) => return Ok((rack, made)),
            Err(Failure::Untouched(why)) => {
                tracing::debug!(rack = %rack.id, why, "another rack takes it");
            }
            Err(Failure::Refused(ApiError::RackRetired { .. })) => {}
            Err(failure) => return Err(HttpError::of_rack(&rack.id, failure, rack.kind)),
        }
    }
}

/// 503: nothing takes it yet.
pub(crate) fn no_rack(kind: Kind) -> HttpError {
    let start = format!("start a worker with --type {kind} --rack NAME");
    HttpError::unavailable(format!("there is no {kind} rack yet: {start}"))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}
