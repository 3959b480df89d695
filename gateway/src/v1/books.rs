//! `/v1/books` and `/v1/books/{id}`.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use bookmesh_rpc::api::{Kind, RegisterThing, StatusRule, Thing, WithdrawThing};
use bookmesh_rpc::routing::leader::{How, Size};

use super::array;
use super::book_json::BookJson;
use super::parse;
use crate::answer::{json, set};
use crate::app::App;
use crate::books::invalid;
use crate::call::Call;
use crate::endpoint::Answer;
use crate::query::{self, ListQuery};
use crate::{etag, lists, one, register, write_key};

/// `GET /v1/books`: an array; only active ones unless `include_inactive=true`.
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    let query = ListQuery::of(call.uri()).map_err(invalid)?;
    let page = lists::books(&app, &call, &query).await?;
    let mut response = array::<BookJson<'_>, _>(&page);
    lists::set_page(&mut response, call.uri(), &query.page, &page);
    Ok(response)
}

/// `GET /v1/books/{id}`.
pub(crate) async fn get(app: Arc<App>, mut call: Call) -> Answer {
    let one = one::book(&app, &mut call).await?;
    let (thing, applied_index) = (&one.read.thing, one.read.applied_index);
    Ok(one.answer(&call, thing.version, applied_index, || book(StatusCode::OK, thing)))
}

/// `POST /v1/books`.
pub(crate) async fn create(app: Arc<App>, mut call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let body = call.body().await?;
    let key = write_key::of(&app, &call, &body)?;
    let thing = parse::new_book(&body).map_err(invalid)?;
    let make = |rack| RegisterThing { rack, key, thing: thing.clone() };
    let (_, thing) = register::register(&app, &call, None, key, make).await?;
    let mut response = book(StatusCode::CREATED, &thing);
    set(&mut response, header::LOCATION, &format!("/v1/books/{}", thing.id));
    Ok(response)
}

/// `PUT /v1/books/{id}`.
pub(crate) async fn update(app: Arc<App>, mut call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let id = call.path_thing_id().await?;
    let rack = app.rack_of(Kind::Book, id)?;
    let body = call.body().await?;
    let key = write_key::of(&app, &call, &body)?;
    let patch = parse::patch(&body, id).map_err(invalid)?;
    let at = (&rack, id);
    let thing = one::change(&app, &call, at, key, patch, StatusRule::Edit).await?;
    Ok(book(StatusCode::OK, &thing))
}

/// `DELETE /v1/books/{id}`: withdraws the book.
pub(crate) async fn withdraw(app: Arc<App>, mut call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let id = call.path_thing_id().await?;
    let rack = app.rack_of(Kind::Book, id)?;
    let key = write_key::of(&app, &call, &[])?;
    let if_version = one::if_version(&app, &call, &rack, id).await?;
    let request = WithdrawThing { rack: rack.id.clone(), key, id, if_version };
    let thing = app.ask(&rack, &call.context, How::leader(Size::Small), request).await?;
    Ok(book(StatusCode::OK, &thing))
}

fn book(status: StatusCode, thing: &Thing) -> Response<Body> {
    let mut response = json(status, &BookJson::from(thing));
    etag::set(&mut response, thing.version);
    response
}
