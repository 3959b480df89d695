//! A server with a router of the test's own behind the edge.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use bookmesh_gateway::{ServeConfig, serve};
use tokio::net::TcpListener;

/// Serves until the test ends.
pub(crate) async fn serving(router: Router, config: ServeConfig) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router, config, std::future::pending()));
    at
}
