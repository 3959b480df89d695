//! `/v1/orders` and `/v1/orders/{id}`.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use bookmesh_rpc::api::{ApiError, GetOrder, Kind, ListOrders, PlaceOrder, RackRoute};
use bookmesh_rpc::routing::leader::{How, Size};

use super::array;
use super::order_json::OrderJson;
use super::parse;
use crate::answer::{json, set};
use crate::app::App;
use crate::call::Call;
use crate::endpoint::Answer;
use crate::http_error::HttpError;
use crate::listing::{self, Slice};
use crate::query::{self, PageQuery};
use crate::{etag, lists, one, register, write_key};

/// The version of every order: none is ever changed.
const VERSION: u64 = 1;

/// `GET /v1/orders`: an array.
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    let query = PageQuery::of(call.uri()).map_err(invalid)?;
    let racks = lists::racks(&app, Kind::Order)?;
    let (how, consistency) = (How::read(query.consistency, Size::Large), query.consistency);
    let page = listing::page(&racks, &query, |rack: Arc<RackRoute>, slice: Slice| {
        let (app, context) = (&app, &call.context);
        async move {
            let Slice { after, offset, limit } = slice;
            let part = ListOrders { rack: rack.id.clone(), after, offset, limit, consistency };
            app.ask(&rack, context, how, part).await.map(Into::into)
        }
    })
    .await?;
    let mut response = array::<OrderJson<'_>, _>(&page);
    lists::set_page(&mut response, call.uri(), &query, &page);
    Ok(response)
}

/// `GET /v1/orders/{id}`.
pub(crate) async fn get(app: Arc<App>, mut call: Call) -> Answer {
    let one = one::read(&app, &mut call, Kind::Order, |rack, id, consistency| {
        let rack = rack.id.clone();
        GetOrder { rack, id, consistency }
    })
    .await?;
    let (order, applied_index) = (&one.read.order, one.read.applied_index);
    let whole = || json(StatusCode::OK, &OrderJson::from(&**order));
    Ok(one.answer(&call, VERSION, applied_index, whole))
}

/// `POST /v1/orders`.
pub(crate) async fn create(app: Arc<App>, mut call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let body = call.body().await?;
    let key = write_key::of(&app, &call, &body)?;
    let (book, quantity) = parse::new_order(&body).map_err(invalid)?;
    let make = |rack| PlaceOrder { rack, key, book, quantity };
    let (_, order) = register::register(&app, &call, None, key, make).await?;
    let mut response = json(StatusCode::CREATED, &OrderJson::from(&*order));
    set(&mut response, header::LOCATION, &format!("/v1/orders/{}", order.id));
    etag::set(&mut response, VERSION);
    Ok(response)
}

fn invalid(error: ApiError) -> HttpError {
    HttpError::of_api(error, Kind::Order)
}
