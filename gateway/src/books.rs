//! `/books`, `/books/{id}` and `/checkout`.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use bookmesh_rpc::api::{
    ForgetThings, Kind, RackId, RackRoute, RegisterThing, RequestKey, StatusRule, Thing, ThingId,
    ThingPatch,
};
use bookmesh_rpc::routing::leader::{How, Size};

use crate::answer::{envelope, set, success};
use crate::app::App;
use crate::call::Call;
use crate::endpoint::Answer;
use crate::http_error::HttpError;
use crate::query::{self, ListQuery};
use crate::thing_json::ThingJson;
use crate::{etag, lists, one, register, thing_parse, write_key};

/// `GET /books`.
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    let query = ListQuery::of(call.uri()).map_err(invalid)?;
    let page = lists::books(&app, &call, &query).await?;
    let things: Vec<_> = page.items.iter().map(|(rack, thing)| json(thing, &rack.id)).collect();
    let mut response = if page.missing.is_empty() {
        success(things)
    } else {
        let message = format!("Partial: no answer from {}", lists::names(&page.missing));
        envelope(StatusCode::PARTIAL_CONTENT, things, &message)
    };
    lists::set_page(&mut response, call.uri(), &query.page, &page);
    Ok(response)
}

/// `GET /books/{id}`.
pub(crate) async fn get(app: Arc<App>, mut call: Call) -> Answer {
    let one = one::book(&app, &mut call).await?;
    let (thing, applied_index) = (&one.read.thing, one.read.applied_index);
    Ok(one.answer(&call, thing.version, applied_index, || success(json(thing, &one.rack.id))))
}

/// `POST /books`.
pub(crate) async fn create(app: Arc<App>, mut call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let body = call.body().await?;
    let key = write_key::of(&app, &call, &body)?;
    let (rack, thing) = thing_parse::new_thing(&body).map_err(invalid)?;
    let make = |rack| RegisterThing { rack, key, thing: thing.clone() };
    let (rack, thing) = register::register(&app, &call, rack, key, make).await?;
    let mut response = envelope(StatusCode::CREATED, json(&thing, &rack.id), "Success");
    set(&mut response, header::LOCATION, &format!("/books/{}", thing.id));
    etag::set(&mut response, thing.version);
    Ok(response)
}

/// `PUT /books/{id}`.
pub(crate) async fn update(app: Arc<App>, mut call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let id = call.path_thing_id().await?;
    let rack = app.rack_of(Kind::Book, id)?;
    let body = call.body().await?;
    let key = write_key::of(&app, &call, &body)?;
    let patch = thing_parse::patch(&body, id, &rack).map_err(invalid)?;
    change(&app, &call, (&rack, id), key, patch, StatusRule::Edit).await
}

/// `POST /checkout`.
pub(crate) async fn checkout(app: Arc<App>, mut call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let body = call.body().await?;
    let key = write_key::of(&app, &call, &body)?;
    let (id, patch) = thing_parse::checkout(&body).map_err(invalid)?;
    let rack = app.rack_of(Kind::Book, id)?;
    change(&app, &call, (&rack, id), key, patch, StatusRule::Exclusive).await
}

async fn change(
    app: &App,
    call: &Call,
    at: (&Arc<RackRoute>, ThingId),
    key: RequestKey,
    patch: ThingPatch,
    status_rule: StatusRule,
) -> Answer {
    let thing = one::change(app, call, at, key, patch, status_rule).await?;
    let mut response = success(json(&thing, &at.0.id));
    etag::set(&mut response, thing.version);
    Ok(response)
}

/// `DELETE /books/{id}`.
pub(crate) async fn delete(app: Arc<App>, mut call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let id = call.path_thing_id().await?;
    let rack = app.rack_of(Kind::Book, id)?;
    let if_version = one::if_version(&app, &call, &rack, id).await?;
    let (rack_id, key) = (rack.id.clone(), write_key::of(&app, &call, &[])?);
    let request = ForgetThings { rack: rack_id, key, ids: vec![id], if_version };
    let gone = app.ask(&rack, &call.context, How::leader(Size::Small), request).await?;
    match gone.first() {
        Some(thing) => Ok(success(json(thing, &rack.id))),
        None => Err(HttpError::internal("a rack removed a thing and answered without it")),
    }
}

pub(crate) fn invalid(error: bookmesh_rpc::api::ApiError) -> HttpError {
    HttpError::of_api(error, Kind::Book)
}

fn json<'a>(thing: &'a Thing, rack: &'a RackId) -> ThingJson<'a> {
    ThingJson { thing, rack: rack.as_str() }
}
