//! Whatever is answered, by whichever layer, tells browsers and caches what it is.

use axum::http::HeaderValue;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, http::header};
use bookmesh_gateway::ServeConfig;

use crate::support::edge::serving;
use crate::support::{Reply, Request, World};

fn assert_secured(reply: &Reply) {
    let all = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    for (name, value) in all {
        assert_eq!(reply.header(name), Some(value), "{name} of {reply:?}");
    }
    assert!(reply.header("x-request-id").is_some(), "{reply:?}");
}

#[tokio::test]
async fn answers_errors_and_health_alike() {
    let world = World::start(1).await;
    let id = world.book("r0", "N").await;
    let path = format!("/books/{id}");
    for (path, status, cache) in [
        (path.as_str(), 200, "no-cache"),
        ("/live", 200, "no-cache"),
        ("/nothing", 404, "no-store"),
        ("/books/abc", 400, "no-store"),
    ] {
        let reply = world.get(path).await;
        assert_eq!((reply.status, reply.header("cache-control")), (status, Some(cache)), "{path}");
        assert_secured(&reply);
    }
    let known = Request::new("GET", path.as_str()).header("if-none-match", "*");
    let unchanged = known.send(world.at).await;
    assert_eq!((unchanged.status, unchanged.header("cache-control")), (304, Some("no-cache")));
    let patched = Request::new("PATCH", path).send(world.at).await;
    assert_eq!(patched.error(405), "ERR_METHOD_NOT_ALLOWED");
    assert!(patched.header("allow").is_some());
    assert_secured(&patched);
}

#[tokio::test]
async fn a_page_may_say_what_it_loads() {
    let policy = HeaderValue::from_static("default-src 'self'");
    let page = get(move || async { [(header::CONTENT_SECURITY_POLICY, policy)].into_response() });
    let at = serving(Router::new().route("/docs", page), ServeConfig::default()).await;
    let reply = Request::new("GET", "/docs").exchange(at).await;
    assert_eq!(reply.header("content-security-policy"), Some("default-src 'self'"));
    assert_eq!(reply.header("x-frame-options"), Some("DENY"));
}
