//! The typed result.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use bookmesh_gateway::{Origins, TrustedProxies};
use bookmesh_rpc::api::RackId;
use bookmesh_rpc::mesh::MeshKey;

use super::{Loaded, Mistakes, Overrides, Secret32};

/// What a process is started as; some defaults differ by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// The whole mesh in one process, on loopback.
    Up,
    /// An orchestrator.
    Ork,
    /// A worker.
    Worker,
    /// A gateway.
    Gateway,
}

impl Role {
    /// All of them, in the order of the command table.
    pub const ALL: [Self; 4] = [Self::Up, Self::Ork, Self::Worker, Self::Gateway];

    /// The subcommand that starts it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Ork => "ork",
            Self::Worker => "worker",
            Self::Gateway => "gateway",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a node runs, which decides its log format and how much an error tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// On a developer's machine.
    Development,
    /// Under a test.
    Test,
    /// As production, for trial.
    Staging,
    /// For users.
    Production,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The name in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pretty => "pretty",
            Self::Json => "json",
        }
    }
}

/// Everything a node is told, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it runs.
    pub environment: Environment,
    /// HTTP port; 0 takes any free one.
    pub http_port: u16,
    /// HTTP bind address.
    pub http_host: IpAddr,
    /// Mesh port, TCP and UDP; 0 takes any free one.
    pub p2p_port: u16,
    /// Mesh bind address; loopback without a mesh key.
    pub p2p_host: IpAddr,
    /// Known nodes: multiaddresses, or `host:port`.
    pub bootstrap: Vec<String>,
    /// How long the first contact may take before it is reported as missing.
    pub bootstrap_timeout: Duration,
    /// The worker's racks, at least one for a worker.
    pub racks: Vec<RackId>,
    /// Look for nodes on the LAN; never on loopback.
    pub mdns: bool,
    /// Voters that a rack aims for: 1, 3, 5 or 7.
    pub replicas: usize,
    /// How long a voter may be silent before another worker takes its place.
    pub replace_after: Duration,
    /// Orchestrators that form the registry: 1, 3 or 5.
    pub ork_replicas: usize,
    /// Where slots live.
    pub data_dir: PathBuf,
    /// What admits a node to the mesh.
    pub mesh_key: Option<MeshKey>,
    /// A mesh key's file that is not there is made.
    pub mesh_key_create: bool,
    /// The file that was not there and is to be made, by whoever starts a node: loading settings
    /// makes nothing.
    pub mesh_key_to_make: Option<PathBuf>,
    /// What encrypts logs and views at rest; `None`: the data directory's own.
    pub store_key: Option<Secret32>,
    /// A level, or a list of `target=level`.
    pub log_level: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Where log files are kept, if anywhere.
    pub log_dir: Option<PathBuf>,
    /// Bytes after which a log file is rotated.
    pub log_file_max_bytes: u64,
    /// Rotated log files that are kept, of each kind.
    pub log_keep_files: usize,
    /// How long they are kept at most.
    pub log_keep_for: Duration,
    /// The largest HTTP body, in bytes.
    pub max_payload_bytes: usize,
    /// How long an HTTP request may take.
    pub request_timeout: Duration,
    /// HTTP requests that take as long are logged as warnings.
    pub slow_request: Duration,
    /// Connections at most, of HTTP and of the mesh each.
    pub max_connections: u32,
    /// HTTP connections of one client at most.
    pub max_connections_per_client: Option<u32>,
    /// Pages that may call from a browser.
    pub cors_origin: Option<Origins>,
    /// Requests a second of one client, in the long run.
    pub rate_limit_rps: Option<NonZeroU32>,
    /// Requests of one client at once; `None`: as many as a second's.
    pub rate_limit_burst: Option<NonZeroU32>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
}

impl Settings {
    /// Reads all four layers. Touches nothing but `env` and the files that are named in them.
    ///
    /// # Errors
    /// [`Mistakes`], all of them at once.
    pub fn load(
        role: Role,
        flags: &Overrides,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Mistakes> {
        Loaded::load(role, flags, env).map(|loaded| loaded.settings)
    }

    /// Whether nodes need a key to be admitted.
    pub const fn is_keyed(&self) -> bool {
        self.mesh_key.is_some() || self.mesh_key_to_make.is_some()
    }

    /// What stands before the defaults of the table are put over it, which replace every value
    /// that is not optional.
    pub(super) fn blank() -> Self {
        let nowhere = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            environment: Environment::Development,
            http_port: 0,
            http_host: nowhere,
            p2p_port: 0,
            p2p_host: nowhere,
            bootstrap: Vec::new(),
            bootstrap_timeout: Duration::ZERO,
            racks: Vec::new(),
            mdns: false,
            replicas: 0,
            replace_after: Duration::ZERO,
            ork_replicas: 0,
            data_dir: PathBuf::new(),
            mesh_key: None,
            mesh_key_create: false,
            mesh_key_to_make: None,
            store_key: None,
            log_level: String::new(),
            log_format: LogFormat::Pretty,
            log_dir: None,
            log_file_max_bytes: 0,
            log_keep_files: 0,
            log_keep_for: Duration::ZERO,
            max_payload_bytes: 0,
            request_timeout: Duration::ZERO,
            slow_request: Duration::ZERO,
            max_connections: 0,
            max_connections_per_client: None,
            cors_origin: None,
            rate_limit_rps: None,
            rate_limit_burst: None,
            trusted_proxies: TrustedProxies::default(),
        }
    }
}
