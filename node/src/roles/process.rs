//! One role as one process: from settings to an ordered stop.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bookmesh_gateway::{
    EdgeConfig, Gateway, GatewayConfig, HealthSource, RateLimit, Router, ServeConfig, ops_router,
    serve,
};
use bookmesh_rpc::Mesh;
use bookmesh_rpc::api::Kind;
use bookmesh_storage::{Slot, StoreKey};
use tokio::net::TcpListener;

use super::base::{BaseConfig, StartError, bind};
use super::gauges::{NodeGauges, Observed};
use super::health::{OrkHealth, WorkerHealth};
use super::mesh_key;
use super::nodes::{GatewayNode, OrkNode, WorkerConfig, WorkerNode};
use super::ork_life::OrkConfig;
use crate::config::{Environment, Role, Settings};
use crate::logging;
use crate::signals::{Tie, stop_requested};
use crate::up::{Up, UpConfig, banner, voters};

/// How long an orchestrator whose registry is empty listens for racks that exist: workers
/// announce every second, and first have to find it.
const ADOPT_FOR: Duration = Duration::from_secs(3);

/// Runs an orchestrator until it is told to stop.
///
/// # Errors
/// [`StartError`].
pub async fn ork(settings: &Settings) -> Result<(), StartError> {
    let base = base(settings)?;
    let listener = bind(http(settings)).await?;
    let slot = Slot::take_series(&settings.data_dir, "ork")?;
    let config = OrkConfig {
        replicas: settings.ork_replicas,
        replace_after: settings.replace_after,
        adopt_for: ADOPT_FOR,
        first: base.bootstrap.is_empty() && !base.looks_on_lan(),
    };
    let node = starting(&Tie::NONE, Box::pin(OrkNode::start(&base, slot, config))).await?;
    let health = OrkHealth::new(node.mesh.clone(), node.ork.clone());
    let about = About { mesh: &node.mesh, health: Arc::new(health), node: node.observed() };
    serve_ops("ork", settings, &Tie::NONE, listener, about).await?;
    node.stop().await;
    Ok(())
}

/// Runs a worker until it is told to stop; with `stop_with_stdin` also until its standard input, a
/// pipe, is closed.
///
/// # Errors
/// [`StartError`].
pub async fn worker(
    settings: &Settings,
    kind: Kind,
    stop_with_stdin: bool,
) -> Result<(), StartError> {
    let tie = &if stop_with_stdin { tie_to_stdin()? } else { Tie::NONE };
    let base = base(settings)?;
    let listener = bind(http(settings)).await?;
    let slot = Slot::take(&settings.data_dir)?;
    let config = WorkerConfig {
        kind,
        racks: settings.racks.clone(),
        replicas: settings.replicas,
        replace_after: settings.replace_after,
    };
    let node = starting(tie, Box::pin(WorkerNode::start(&base, slot, &config))).await?;
    let health = WorkerHealth::new(&node);
    let about = About { mesh: &node.mesh, health: Arc::new(health), node: node.observed() };
    serve_ops("worker", settings, tie, listener, about).await?;
    node.stop().await;
    Ok(())
}

/// Runs a gateway until it is told to stop.
///
/// # Errors
/// [`StartError`].
pub async fn gateway(settings: &Settings) -> Result<(), StartError> {
    let base = base(settings)?;
    let listener = bind(http(settings)).await?;
    let config = gateway_config(settings, settings.replicas);
    let (node, gateway) = starting(&Tie::NONE, Box::pin(GatewayNode::start(&base, config))).await?;
    let router = gateway.router();
    announce("gateway", &listener, &node.mesh)?;
    serve_gateway(settings, listener, gateway, router).await;
    node.stop().await;
    Ok(())
}

/// Runs a whole mesh until it is told to stop.
///
/// # Errors
/// [`StartError`].
pub async fn up(settings: &Settings, workers: usize) -> Result<(), StartError> {
    let began = Instant::now();
    let listener = bind(http(settings)).await?;
    let config = UpConfig {
        workers,
        data_dir: settings.data_dir.clone(),
        p2p_port: settings.p2p_port,
        mesh_key: mesh_key::of(settings)?,
        store_key: store_key(settings),
        max_connections: settings.max_connections,
        bootstrap_timeout: settings.bootstrap_timeout,
    };
    let start = Box::pin(Up::start(&config, gateway_config(settings, voters(workers))));
    let (up, gateway) = starting(&Tie::NONE, start).await?;
    // Before it is announced: whoever is told may ask it to stop at once, and is to be heard.
    let router = gateway.router_with(NodeGauges::of(up.observed()));
    let person = std::io::stdout().is_terminal();
    if person {
        let address = address(&listener)?;
        println!("{}", banner(&up, address, &settings.data_dir, began.elapsed()));
    } else {
        announce("up", &listener, &up.gateway.mesh)?;
    }
    serve_gateway(settings, listener, gateway, router).await;
    up.stop().await;
    if person {
        println!("\n  stopped; everything is kept in {}", settings.data_dir.display());
    }
    Ok(())
}

async fn serve_gateway(
    settings: &Settings,
    listener: TcpListener,
    gateway: Gateway,
    router: Router,
) {
    let closing = async {
        stop(&Tie::NONE).await;
        gateway.close().await;
    };
    serve(listener, router, serve_config(settings), closing).await;
}

/// What a node says of itself over HTTP.
struct About<'a> {
    mesh: &'a Mesh,
    health: Arc<dyn HealthSource>,
    node: Observed,
}

async fn serve_ops(
    role: &str,
    settings: &Settings,
    tie: &Tie,
    listener: TcpListener,
    about: About<'_>,
) -> Result<(), StartError> {
    let About { mesh, health, node } = about;
    let router: Router = ops_router(health, NodeGauges::of([node]), env!("CARGO_PKG_VERSION"));
    announce(role, &listener, mesh)?;
    serve(listener, router, serve_config(settings), stop(tie)).await;
    Ok(())
}

/// Prints one line for whatever started the process, where no person looks on.
fn announce(role: &str, listener: &TcpListener, mesh: &Mesh) -> Result<(), StartError> {
    let (http, peer) = (address(listener)?, mesh.peer_id());
    let p2p = mesh.addresses().join(",");
    if role != Role::Up.name() {
        logging::name_node(peer);
    }
    println!("ready role={role} http=http://{http} p2p={p2p} peer={peer}");
    Ok(())
}

/// Starts a node, unless the process is told to stop before it is up: then what was begun is
/// dropped, which every start has to cope with after a crash as well.
async fn starting<T>(
    tie: &Tie,
    start: impl Future<Output = Result<T, StartError>>,
) -> Result<T, StartError> {
    tokio::select! {
        started = start => started,
        () = stop(tie) => Err(StartError::Stopped),
    }
}

/// Waits until the process is told to stop.
async fn stop(tie: &Tie) {
    if let Err(error) = stop_requested(tie).await {
        tracing::error!(%error, "no signal handlers: only kill -9 stops this process");
        std::future::pending::<()>().await;
    }
    tracing::info!("stopping");
}

fn tie_to_stdin() -> Result<Tie, StartError> {
    let what = "--stop-with-stdin wants a pipe for standard input".to_owned();
    Tie::to_stdin().map_err(|source| StartError::Io { what, source })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Io { what: "the HTTP port".into(), source })
}

const fn http(settings: &Settings) -> SocketAddr {
    SocketAddr::new(settings.http_host, settings.http_port)
}

fn base(settings: &Settings) -> Result<BaseConfig, StartError> {
    Ok(BaseConfig {
        data_dir: settings.data_dir.clone(),
        store_key: store_key(settings),
        mesh_key: mesh_key::of(settings)?,
        p2p_host: settings.p2p_host,
        p2p_port: settings.p2p_port,
        bootstrap: settings.bootstrap.clone(),
        bootstrap_timeout: settings.bootstrap_timeout,
        mdns: settings.mdns,
        max_connections: settings.max_connections,
    })
}

fn gateway_config(settings: &Settings, replicas: usize) -> GatewayConfig {
    GatewayConfig {
        max_payload_bytes: settings.max_payload_bytes,
        request_timeout: settings.request_timeout,
        slow_after: settings.slow_request,
        replicas,
        detailed_errors: settings.environment != Environment::Production,
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

fn serve_config(settings: &Settings) -> ServeConfig {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let rate_limit = settings.rate_limit_rps.map(|per_second| RateLimit {
        per_second,
        burst: settings.rate_limit_burst.unwrap_or(per_second),
    });
    ServeConfig {
        max_connections: count(settings.max_connections),
        max_connections_per_client: settings.max_connections_per_client.map(count),
        edge: EdgeConfig {
            cors: settings.cors_origin.clone(),
            rate_limit,
            trusted_proxies: settings.trusted_proxies.clone(),
        },
        ..ServeConfig::default()
    }
}

fn store_key(settings: &Settings) -> Option<StoreKey> {
    settings.store_key.as_ref().map(|key| StoreKey::from_bytes(*key.as_bytes()))
}
