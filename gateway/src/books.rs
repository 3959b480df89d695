//! `/books`, `/books/{id}` and `/checkout`.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use bookmesh_rpc::api::{
    Consistency, ForgetThings, GetThing, Kind, ListThings, RackId, RackRoute, RequestKey,
    StatusRule, Thing, ThingId, ThingPatch, UpdateThing,
};

use crate::answer::{envelope, success};
use crate::app::App;
use crate::call::Call;
use crate::endpoint::Answer;
use crate::http_error::HttpError;
use crate::listing::{self, Page};
use crate::query::{self, ListQuery};
use crate::register::register;
use crate::thing_json::ThingJson;
use crate::{etag, thing_parse, write_key};
use bookmesh_rpc::routing::leader::{How, Size};

/// Matching things in all racks.
const X_TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
/// The log index that an answer shows: a number, or `rack=number` for each rack of a list.
const X_APPLIED_INDEX: HeaderName = HeaderName::from_static("x-applied-index");
/// The racks that a partial list lacks.
const X_MISSING_RACKS: HeaderName = HeaderName::from_static("x-missing-racks");

/// `GET /books`.
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    let query = ListQuery::of(call.uri()).map_err(invalid)?;
    let racks = listed_racks(&app, &query, &call).await?;
    let how = How::read(query.consistency, Size::Large);
    let context = &call.context;
    let fetch = |rack: Arc<RackRoute>, part: ListThings| {
        let app = &app;
        async move { app.ask(&rack, context, how, part).await }
    };
    let page = listing::page(&racks, &query, fetch).await?;
    let links = listing::links(call.uri().path(), call.uri().query(), &query, &page);
    Ok(page_answer(&page, &query, &links))
}

/// The racks that a list covers: the named one, or all that are founded.
async fn listed_racks(
    app: &App,
    query: &ListQuery,
    call: &Call,
) -> Result<Vec<Arc<RackRoute>>, HttpError> {
    if let Some(id) = &query.rack {
        return Ok(vec![book_rack(app, id, call).await?]);
    }
    let known = app.directory().knowledge();
    if !known.live && known.table.all().is_empty() {
        return Err(HttpError::unavailable("no orchestrator is in reach, and no rack is known"));
    }
    // Nothing was acknowledged in a rack whose founding is not confirmed.
    let founded = known.table.of_kind(Kind::Book).filter(|rack| rack.confirmed);
    Ok(founded.cloned().collect())
}

fn page_answer(page: &Page, query: &ListQuery, links: &str) -> Response<Body> {
    let things: Vec<_> = page.things.iter().map(|(rack, thing)| json(thing, &rack.id)).collect();
    let mut response = if page.missing.is_empty() {
        success(things)
    } else {
        let message = format!("Partial: no answer from {}", names(&page.missing));
        envelope(StatusCode::PARTIAL_CONTENT, things, &message)
    };
    set(&mut response, X_TOTAL_COUNT, &page.total.to_string());
    set(&mut response, header::LINK, links);
    set(&mut response, X_MISSING_RACKS, &names(&page.missing));
    if query.consistency != Consistency::Linearizable {
        let applied = page.applied.iter().map(|(rack, index)| format!("{}={index}", rack.id));
        set(&mut response, X_APPLIED_INDEX, &applied.collect::<Vec<_>>().join(", "));
    }
    response
}

fn names(racks: &[Arc<RackRoute>]) -> String {
    racks.iter().map(|rack| rack.id.as_str()).collect::<Vec<_>>().join(", ")
}

/// `GET /books/{id}`.
pub(crate) async fn get(app: Arc<App>, mut call: Call) -> Answer {
    let consistency = query::consistency(call.uri()).map_err(invalid)?;
    let id = call.path_thing_id().await?;
    let rack = app.rack_of(Kind::Book, id)?;
    let request = GetThing { rack: rack.id.clone(), id, consistency };
    let how = How::read(consistency, Size::Small);
    let read = app.ask(&rack, &call.context, how, request).await?;
    let mut response = if etag::is_known(&call, read.thing.version) {
        not_modified()
    } else {
        success(json(&read.thing, &rack.id))
    };
    set_etag(&mut response, &read.thing);
    if consistency != Consistency::Linearizable {
        response.headers_mut().insert(X_APPLIED_INDEX, HeaderValue::from(read.applied_index));
    }
    Ok(response)
}

/// `POST /books`.
pub(crate) async fn create(app: Arc<App>, mut call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let body = call.body().await?;
    let key = write_key::of(&app, &call, &body)?;
    let (rack, thing) = thing_parse::new_thing(&body).map_err(invalid)?;
    let (rack, thing) = register(&app, &call, rack, key, thing).await?;
    let mut response = envelope(StatusCode::CREATED, json(&thing, &rack.id), "Success");
    set(&mut response, header::LOCATION, &format!("/books/{}", thing.id));
    set_etag(&mut response, &thing);
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
    (rack, id): (&Arc<RackRoute>, ThingId),
    key: RequestKey,
    patch: ThingPatch,
    status_rule: StatusRule,
) -> Answer {
    let if_version = etag::wanted(call)?;
    let rack_id = rack.id.clone();
    let request = UpdateThing { rack: rack_id, key, id, patch, status_rule, if_version };
    let thing = app.ask(rack, &call.context, How::leader(Size::Small), request).await?;
    let mut response = success(json(&thing, &rack.id));
    set_etag(&mut response, &thing);
    Ok(response)
}

/// `DELETE /books/{id}`.
pub(crate) async fn delete(app: Arc<App>, mut call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let id = call.path_thing_id().await?;
    let rack = app.rack_of(Kind::Book, id)?;
    let if_version = etag::wanted(&call)?;
    let (rack_id, key) = (rack.id.clone(), write_key::of(&app, &call, &[])?);
    let request = ForgetThings { rack: rack_id, key, ids: vec![id], if_version };
    let gone = app.ask(&rack, &call.context, How::leader(Size::Small), request).await?;
    match gone.first() {
        Some(thing) => Ok(success(json(thing, &rack.id))),
        None => Err(HttpError::internal("a rack removed a thing and answered without it")),
    }
}

/// The rack with this name, if it is for books.
pub(crate) async fn book_rack(
    app: &App,
    id: &RackId,
    call: &Call,
) -> Result<Arc<RackRoute>, HttpError> {
    let rack = app.rack(id, &call.context).await?;
    if rack.kind == Kind::Book {
        return Ok(rack);
    }
    let message = format!("is a rack of type {}, not book", rack.kind);
    Err(invalid(bookmesh_rpc::api::ApiError::invalid("rack_id", message)))
}

pub(crate) fn no_book_rack() -> HttpError {
    HttpError::unavailable("there is no book rack yet: start a worker with --type book --rack NAME")
}

pub(crate) fn invalid(error: bookmesh_rpc::api::ApiError) -> HttpError {
    HttpError::of_api(error, Kind::Book)
}

fn json<'a>(thing: &'a Thing, rack: &'a RackId) -> ThingJson<'a> {
    ThingJson { thing, rack: rack.as_str() }
}

fn not_modified() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

fn set_etag(response: &mut Response<Body>, thing: &Thing) {
    if let Some(tag) = etag::of(thing.version) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}

/// Sets a header, unless it would be empty.
fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Some(value) = HeaderValue::from_str(value).ok().filter(|value| !value.is_empty()) {
        response.headers_mut().insert(name, value);
    }
}
