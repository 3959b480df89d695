//! The table of routes.

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post, put};

use crate::app::App;
use crate::call::Limits;
use crate::endpoint::{Endpoint, method_not_allowed, not_found};
use crate::{batch, books, log, mesh_settings, nodes, racks, recovery, retire};

/// The gateway's own routes. Each line: path, methods, and the handler's label in metrics.
#[rustfmt::skip]
pub(crate) fn router(app: Arc<App>, limits: Limits) -> Router {
    macro_rules! on {
        ($method:ident, $name:literal, $handler:path) => {
            $method(Endpoint::new($name, stringify!($method), limits, $handler))
        };
    }
    Router::new()
        .route("/books", on!(get, "books_list", books::list)
            .merge(on!(post, "books_create", books::create)))
        .route("/books/batch", on!(post, "books_batch", batch::create))
        .route("/books/{id}", on!(get, "books_get", books::get)
            .merge(on!(put, "books_update", books::update))
            .merge(on!(delete, "books_delete", books::delete)))
        .route("/checkout", on!(post, "checkout", books::checkout))
        .route("/racks", on!(get, "racks_list", racks::list))
        .route("/racks/{id}", on!(get, "racks_get", racks::get)
            .merge(on!(delete, "racks_retire", retire::retire)))
        .route("/racks/{id}/recovery", on!(get, "racks_recovery", recovery::plan))
        .route("/racks/{id}/recover", on!(post, "racks_recover", recovery::recover))
        .route("/racks/{id}/log", on!(get, "racks_log", log::read))
        .route("/racks/{id}/log/tail", on!(get, "racks_log_tail", log::tail))
        .route("/nodes", on!(get, "nodes_list", nodes::list))
        .route("/settings", on!(get, "settings_get", mesh_settings::get)
            .merge(on!(put, "settings_put", mesh_settings::put)))
        .with_state(app)
}

/// Gives what a router does not know the shape of every error. Comes last: it covers the routes
/// that are there already.
pub(crate) fn closed(router: Router, limits: Limits) -> Router {
    let unknown = "none";
    router
        .method_not_allowed_fallback(Endpoint::new(unknown, "other", limits, method_not_allowed))
        .fallback(Endpoint::new(unknown, "other", limits, not_found))
}
