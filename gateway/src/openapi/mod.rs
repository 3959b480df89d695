//! The API's document, OpenAPI 3.1, at `/openapi.json`, and the page at `/docs`.
//!
//! | module | job |
//! |---|---|
//! | `books`, `checkout`, `v1_books`, `v1_orders`, `events` | operations, by group of routes |
//! | `racks`, `operators`, `health`, `meta` | more of them |
//! | `operation` | an operation in the making |
//! | `parameters`, `headers` | what operations take and answer beside bodies |
//! | `forms` | forms of values, bounded as the code bounds them |
//! | `schemas` | shapes that the code reads and writes by hand |
//! | `ui` | the page |
//!
//! Shapes that serde derives are described where they are, in the handlers' modules. Tests compare
//! the document with the table of routes, and real answers with the document.

mod books;
mod checkout;
mod events;
pub(crate) mod forms;
mod headers;
mod health;
mod meta;
mod operation;
mod operators;
mod parameters;
mod racks;
pub(crate) mod schemas;
mod ui;
mod v1_books;
mod v1_orders;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, header};
use bytes::Bytes;
use utoipa::openapi::info::{InfoBuilder, LicenseBuilder};
use utoipa::openapi::path::PathsBuilder;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, OpenApi, OpenApiBuilder, PathItem, ServerBuilder};

use crate::answer::{JSON, json_bytes};
use crate::call::Call;
use crate::endpoint::Answer;
use crate::routes;

/// Where the document is.
const PATH: &str = "/openapi.json";

const ABOUT: &str = "\
A peer-to-peer mesh of worker nodes that manage books.

Requests and answers are JSON in UTF-8. Unknown parameters and fields are refused, and all faults \
of a request are reported at once. Every error, whatever layer it comes from, has the shape of \
`Error`: a path that is not there is 404 `ERR_NOT_FOUND`, a method that a path does not take 405 \
`ERR_METHOD_NOT_ALLOWED` with `Allow`, a URL of more than 8 KiB 414 `ERR_URI_TOO_LONG`, and a head \
of more than 64 KiB 431 `ERR_HEAD_TOO_LARGE`.";

/// The document as it is sent.
pub(crate) struct Document(Bytes);

impl Document {
    pub(crate) fn new(version: &str) -> Arc<Self> {
        Arc::new(Self(json_bytes(&document(version)).into()))
    }
}

routes::routes! { Document;
    get "/openapi.json" "openapi" json;
    get "/docs"         "docs"    ui::page;
    get "/docs/{file}"  "docs"    ui::asset;
}

/// `GET /openapi.json`.
async fn json(document: Arc<Document>, _call: Call) -> Answer {
    let mut response = Response::new(Body::from(document.0.clone()));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    Ok(response)
}

fn document(version: &str) -> OpenApi {
    let groups = [
        (books::TAG, books::ABOUT, books::routes()),
        (checkout::TAG, checkout::ABOUT, checkout::routes()),
        (v1_books::TAG, v1_books::ABOUT, v1_books::routes()),
        (v1_orders::TAG, v1_orders::ABOUT, v1_orders::routes()),
        (events::TAG, events::ABOUT, events::routes()),
        (racks::TAG, racks::ABOUT, racks::routes()),
        (operators::TAG, operators::ABOUT, operators::routes()),
        (health::TAG, health::ABOUT, health::routes()),
        (meta::TAG, meta::ABOUT, meta::routes()),
    ];
    let (id, parameter) = headers::request_id_parameter();
    let mut components = ComponentsBuilder::new().parameter(id, parameter);
    for (name, header) in headers::all() {
        components = components.header(name, header);
    }
    let (mut paths, mut tags) = (PathsBuilder::new(), Vec::new());
    for (tag, about, routes) in groups {
        tags.push(TagBuilder::new().name(tag).description(Some(about)).build());
        for mut route in routes {
            components = components.schemas_from_iter(std::mem::take(&mut route.schemas));
            let (path, method) = (route.path, route.method.clone());
            paths = paths.path(path, PathItem::new(method, route.build()));
        }
    }
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0"));
    let info = InfoBuilder::new()
        .title("Bookmesh")
        .version(version)
        .description(Some(ABOUT))
        .license(Some(license.build()));
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([ServerBuilder::new().url("/").build()]))
        .paths(paths.build())
        .components(Some(components.build()))
        .tags(Some(tags))
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ops;

    #[test]
    fn every_route_is_in_the_document_and_nothing_else() {
        let tables = [routes::ROUTES, ops::ROUTES, ROUTES];
        let served: BTreeSet<_> = tables
            .into_iter()
            .flatten()
            .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        let json = serde_json::to_value(document("1")).unwrap();
        let paths = json["paths"].as_object().unwrap().iter();
        let documented: BTreeSet<_> = paths
            .flat_map(|(path, item)| {
                item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))
            })
            .collect();
        assert_eq!(documented, served);
    }
}
