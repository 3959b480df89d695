//! The table of routes.

use axum::Router;

use crate::app::App;
use crate::call::Limits;
use crate::endpoint::{Endpoint, method_not_allowed, not_found};
use crate::{
    batch, books, events, history, log, mesh_settings, nodes, racks, recovery, retire, v1,
};

/// Makes a table of routes: `router(state, limits)` that serves them, and `ROUTES` that lists
/// them. Each line is one route: method, path, the handler's label in metrics, and the handler.
/// A line for every method of a path; paths may stand more than once.
macro_rules! routes {
    ($state:ty; $($method:ident $path:literal $name:literal $handler:path;)+) => {
        /// Serves the table.
        pub(crate) fn router(
            state: std::sync::Arc<$state>,
            limits: $crate::call::Limits,
        ) -> axum::Router {
            axum::Router::new()
                $(.route($path, axum::routing::$method($crate::endpoint::Endpoint::new(
                    $name, stringify!($method), limits, $handler,
                ))))+
                .with_state(state)
        }

        /// Method, in small letters, and path of every route: what `/openapi.json` has to tell of.
        #[cfg(test)]
        pub(crate) const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path)),+];
    };
}
pub(crate) use routes;

// The gateway's own routes.
routes! { App;
    get    "/books"               "books_list"     books::list;
    post   "/books"               "books_create"   books::create;
    post   "/books/batch"         "books_batch"    batch::create;
    get    "/books/{id}"          "books_get"      books::get;
    put    "/books/{id}"          "books_update"   books::update;
    delete "/books/{id}"          "books_delete"   books::delete;
    get    "/books/{id}/history"  "books_history"  history::list;
    post   "/checkout"            "checkout"       books::checkout;
    get    "/events"              "events"         events::stream;
    get    "/racks"               "racks_list"     racks::list;
    get    "/racks/{id}"          "racks_get"      racks::get;
    delete "/racks/{id}"          "racks_retire"   retire::retire;
    get    "/racks/{id}/recovery" "racks_recovery" recovery::plan;
    post   "/racks/{id}/recover"  "racks_recover"  recovery::recover;
    get    "/racks/{id}/log"      "racks_log"      log::read;
    get    "/racks/{id}/log/tail" "racks_log_tail" log::tail;
    get    "/nodes"               "nodes_list"     nodes::list;
    get    "/settings"            "settings_get"   mesh_settings::get;
    put    "/settings"            "settings_put"   mesh_settings::put;
    get    "/v1/books"            "v1_books_list"     v1::books::list;
    post   "/v1/books"            "v1_books_create"   v1::books::create;
    get    "/v1/books/{id}"       "v1_books_get"      v1::books::get;
    put    "/v1/books/{id}"       "v1_books_update"   v1::books::update;
    delete "/v1/books/{id}"       "v1_books_withdraw" v1::books::withdraw;
    get    "/v1/orders"           "v1_orders_list"    v1::orders::list;
    post   "/v1/orders"           "v1_orders_create"  v1::orders::create;
    get    "/v1/orders/{id}"      "v1_orders_get"     v1::orders::get;
}

/// Gives what a router does not know the shape of every error. Comes last: it covers the routes
/// that are there already.
pub(crate) fn closed(router: Router, limits: Limits) -> Router {
    let unknown = "none";
    router
        .method_not_allowed_fallback(Endpoint::new(unknown, "other", limits, method_not_allowed))
        .fallback(Endpoint::new(unknown, "other", limits, not_found))
}
