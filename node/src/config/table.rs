//! Every setting once. Environment, file, flags, `config show` and `--help` are made from this.

use super::{Environment, LogFormat, Role, Secret32, Settings, parse};
use bookmesh_rpc::api::REPLACE_AFTER_MS;
use bookmesh_rpc::mesh::MeshKey;

/// The variable that names the TOML file.
pub const CONFIG_ENV: &str = "BOOKMESH_CONFIG";

/// What holds when nobody says anything.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// Nothing, which means this.
    Absent(&'static str),
    /// The same for every role.
    Fixed(&'static str),
    /// By role.
    ByRole(fn(Role) -> &'static str),
    /// By the role and what the other settings turned out to be.
    Derived(fn(Role, &Settings) -> &'static str),
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// In the file.
    pub key: &'static str,
    /// In the environment; the first that is set counts.
    pub env: &'static [&'static str],
    /// On the command line, without dashes.
    pub flag: &'static str,
    /// What stands for the value in `--help`.
    pub value: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// What is allowed: "must be …".
    pub allowed: &'static str,
    /// What holds without it.
    pub default: Default,
    /// Never shown.
    pub secret: bool,
    /// The value is the name of a file that holds the value of the setting with this key.
    pub file_of: Option<&'static str>,
    /// Checks a text and takes it over; `None` when it breaks the rule.
    pub set: fn(&mut Settings, &str) -> Option<()>,
}

impl Setting {
    /// The name in messages: the variable.
    pub fn name(&self) -> &'static str {
        self.env.first().copied().unwrap_or(self.key)
    }

    /// The setting with this key.
    pub fn by_key(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }
}

/// A setting that is not secret and stands for itself.
const fn plain(
    [key, flag, value]: [&'static str; 3],
    env: &'static [&'static str],
    default: Default,
    [allowed, doc]: [&'static str; 2],
    set: fn(&mut Settings, &str) -> Option<()>,
) -> Setting {
    Setting { key, env, flag, value, doc, allowed, default, secret: false, file_of: None, set }
}

/// A secret of 32 bytes.
const fn secret(
    [key, flag]: [&'static str; 2],
    env: &'static [&'static str],
    default: &'static str,
    doc: &'static str,
    set: fn(&mut Settings, &str) -> Option<()>,
) -> Setting {
    let allowed = "64 hex digits (32 bytes)";
    let default = Default::Absent(default);
    let value = "HEX";
    Setting { key, env, flag, value, doc, allowed, default, secret: true, file_of: None, set }
}

/// The name of a file that holds a secret.
const fn secret_file(
    [key, flag, of]: [&'static str; 3],
    env: &'static [&'static str],
    [allowed, doc]: [&'static str; 2],
) -> Setting {
    Setting {
        key,
        env,
        flag,
        value: "FILE",
        doc,
        allowed,
        default: Default::Absent("none"),
        secret: false,
        file_of: Some(of),
        set: |_, _| Some(()),
    }
}

/// All settings, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    plain(
        ["environment", "env", "NAME"],
        &["BOOKMESH_ENV", "NODE_ENV"],
        Default::Fixed("development"),
        ["development, test, staging or production", "Where it runs: log format, detail of errors"],
        |s, text| parse::environment(text).map(|value| s.environment = value),
    ),
    plain(
        ["port", "port", "PORT"],
        &["PORT"],
        Default::ByRole(|role| match role {
            Role::Up | Role::Gateway => "3000",
            Role::Ork => "8080",
            Role::Worker => "8081",
        }),
        ["a port, 0 to 65535 (0 takes any free one)", "HTTP port"],
        |s, text| parse::within(text, 0..=u16::MAX).map(|value| s.http_port = value),
    ),
    plain(
        ["host", "host", "IP"],
        &["HOST"],
        Default::ByRole(|role| if role == Role::Up { "127.0.0.1" } else { "0.0.0.0" }),
        ["an IP address such as 127.0.0.1 or 0.0.0.0", "HTTP bind address"],
        |s, text| parse::host(text).map(|value| s.http_host = value),
    ),
    plain(
        ["p2p_port", "p2p-port", "PORT"],
        &["P2P_PORT"],
        Default::Fixed("4001"),
        ["a port, 0 to 65535 (0 takes any free one)", "Mesh port, TCP and UDP (QUIC)"],
        |s, text| parse::within(text, 0..=u16::MAX).map(|value| s.p2p_port = value),
    ),
    plain(
        ["p2p_host", "p2p-host", "IP"],
        &["P2P_HOST"],
        Default::Derived(|role, settings| {
            let strangers = !settings.is_keyed() || role == Role::Up;
            if strangers { "127.0.0.1" } else { "0.0.0.0" }
        }),
        [
            "an IP address such as 10.0.0.5 or 0.0.0.0, and a loopback one without MESH_KEY",
            "Mesh bind address; loopback without a mesh key",
        ],
        |s, text| parse::host(text).map(|value| s.p2p_host = value),
    ),
    plain(
        ["bootstrap", "bootstrap", "ADDRESSES"],
        &["BOOTSTRAP"],
        Default::Absent("none (mDNS alone)"),
        [
            "at most 64 addresses separated by commas, each host:port or a multiaddress such as \
             /ip4/10.0.0.1/tcp/4001",
            "Addresses of any known nodes, separated by commas",
        ],
        |s, text| parse::bootstrap(text).map(|value| s.bootstrap = value),
    ),
    plain(
        ["dht_bootstrap_timeout", "dht-bootstrap-timeout", "MS"],
        &["DHT_BOOTSTRAP_TIMEOUT"],
        Default::Fixed("15000"),
        ["milliseconds, 100 to 600000", "Milliseconds until a node reports that it met nobody"],
        |s, text| parse::millis(text, 100..=600_000).map(|value| s.bootstrap_timeout = value),
    ),
    plain(
        ["rack_id", "rack", "RACK"],
        &["RACK_ID"],
        Default::Absent("none"),
        [
            "1 to 64 different rack names separated by commas, each 1 to 63 of a-z, 0-9 and -, \
             not starting with -, and not `registry`",
            "The worker's racks, separated by commas or given several times",
        ],
        |s, text| parse::racks(text).map(|value| s.racks = value),
    ),
    plain(
        ["mdns", "mdns", "on|off"],
        &["MDNS"],
        // After `p2p_host`, which stands above and is derived too.
        Default::Derived(|_, settings| if settings.p2p_host.is_loopback() { "off" } else { "on" }),
        ["on or off", "Look for nodes on the LAN; always off on loopback"],
        |s, text| parse::switch(text).map(|value| s.mdns = value),
    ),
    plain(
        ["rack_replicas", "rack-replicas", "VOTERS"],
        &["RACK_REPLICAS"],
        Default::Fixed("3"),
        [
            "1, 3, 5 or 7: an even number can lose no more voters than the odd one below it",
            "Voters that a rack aims for",
        ],
        |s, text| parse::replicas(text).map(|value| s.replicas = value),
    ),
    plain(
        ["rack_replace_after_ms", "rack-replace-after-ms", "MS"],
        &["RACK_REPLACE_AFTER_MS"],
        Default::Fixed("60000"),
        [
            "milliseconds, 1000 to 86400000",
            "How long a voter may be silent before another worker takes its place",
        ],
        |s, text| parse::millis(text, REPLACE_AFTER_MS).map(|value| s.replace_after = value),
    ),
    plain(
        ["ork_replicas", "ork-replicas", "COUNT"],
        &["ORK_REPLICAS"],
        Default::Fixed("1"),
        [
            "1, 3 or 5, the same for all orchestrators",
            "Orchestrators that form the registry; with 3 or 5 it begins once all are there",
        ],
        |s, text| parse::orks(text).map(|value| s.ork_replicas = value),
    ),
    plain(
        ["data_dir", "data-dir", "DIR"],
        &["DATA_DIR"],
        Default::Fixed("./bookmesh-data"),
        ["a directory", "Where keys and logs are kept"],
        |s, text| parse::path(text).map(|value| s.data_dir = value),
    ),
    secret(
        ["mesh_key", "mesh-key"],
        &["MESH_KEY"],
        "none: loopback only",
        "What admits a node to the mesh; `bookmesh keys mesh` makes one",
        |s, text| MeshKey::from_hex(text).ok().map(|value| s.mesh_key = Some(value)),
    ),
    // Before the file, which may be missing with it.
    plain(
        ["mesh_key_create", "mesh-key-create", "on|off"],
        &["MESH_KEY_CREATE"],
        Default::Fixed("off"),
        [
            "on or off, and on only with MESH_KEY_FILE, the file to make",
            "Make MESH_KEY_FILE with a new key when there is none",
        ],
        |s, text| parse::switch(text).map(|value| s.mesh_key_create = value),
    ),
    secret_file(
        ["mesh_key_file", "mesh-key-file", "mesh_key"],
        &["MESH_KEY_FILE"],
        [
            "a readable file of 64 hex digits (32 bytes); MESH_KEY_CREATE=on makes it",
            "A file that holds the mesh key",
        ],
    ),
    secret(
        ["store_primary_key", "store-primary-key"],
        &["STORE_PRIMARY_KEY"],
        "made at first start, kept in the data directory",
        "What encrypts logs and views at rest",
        |s, text| Secret32::from_hex(text).map(|value| s.store_key = Some(value)),
    ),
    secret_file(
        ["store_primary_key_file", "store-primary-key-file", "store_primary_key"],
        &["STORE_PRIMARY_KEY_FILE"],
        ["a readable file of 64 hex digits (32 bytes)", "A file that holds the storage key"],
    ),
    plain(
        ["log_level", "log-level", "LEVEL"],
        &["LOG_LEVEL"],
        // `up` has a person before it, who wants to see what went wrong and nothing else.
        Default::ByRole(|role| if role == Role::Up { "warn" } else { "info" }),
        [
            "off, error, warn, info, debug or trace, or a list such as info,bookmesh_rpc=debug",
            "How much is logged",
        ],
        |s, text| parse::log_level(text).map(|value| s.log_level = value),
    ),
    plain(
        ["log_format", "log-format", "FORMAT"],
        &["LOG_FORMAT"],
        Default::Derived(|_, settings| match settings.environment {
            Environment::Development | Environment::Test => LogFormat::Pretty.name(),
            Environment::Staging | Environment::Production => LogFormat::Json.name(),
        }),
        ["pretty or json", "How log lines look; json in staging and production"],
        |s, text| parse::log_format(text).map(|value| s.log_format = value),
    ),
    plain(
        ["log_dir", "log-dir", "DIR"],
        &["LOG_DIR"],
        Default::Absent("none: standard error alone"),
        ["a directory", "Where log files are kept"],
        |s, text| parse::path(text).map(|value| s.log_dir = Some(value)),
    ),
    plain(
        ["log_file_max_mb", "log-file-max-mb", "MIB"],
        &["LOG_FILE_MAX_MB"],
        Default::Fixed("64"),
        ["mebibytes, 1 to 10240", "The largest log file; also rotated every day"],
        |s, text| parse::mebibytes(text, 1..=10_240).map(|value| s.log_file_max_bytes = value),
    ),
    plain(
        ["log_keep_files", "log-keep-files", "COUNT"],
        &["LOG_KEEP_FILES"],
        Default::Fixed("14"),
        ["a number, 1 to 1000", "Rotated log files that are kept, compressed"],
        |s, text| parse::within(text, 1..=1_000).map(|value| s.log_keep_files = value),
    ),
    plain(
        ["log_keep_days", "log-keep-days", "DAYS"],
        &["LOG_KEEP_DAYS"],
        Default::Fixed("30"),
        ["days, 1 to 3650", "How long rotated log files are kept at most"],
        |s, text| parse::days(text, 1..=3_650).map(|value| s.log_keep_for = value),
    ),
    plain(
        ["max_payload_size", "max-payload-size", "BYTES"],
        &["MAX_PAYLOAD_SIZE"],
        Default::Fixed("1048576"),
        ["bytes, 1024 to 4194304", "The largest HTTP body"],
        |s, text| parse::within(text, 1_024..=4_194_304).map(|value| s.max_payload_bytes = value),
    ),
    plain(
        ["request_timeout_ms", "request-timeout-ms", "MS"],
        &["REQUEST_TIMEOUT_MS"],
        Default::Fixed("15000"),
        ["milliseconds, 100 to 300000", "How long an HTTP request may take"],
        |s, text| parse::millis(text, 100..=300_000).map(|value| s.request_timeout = value),
    ),
    plain(
        ["slow_request_ms", "slow-request-ms", "MS"],
        &["SLOW_REQUEST_MS"],
        Default::Fixed("1000"),
        ["milliseconds, 1 to 300000", "Requests that take as long are logged with their parts"],
        |s, text| parse::millis(text, 1..=300_000).map(|value| s.slow_request = value),
    ),
    plain(
        ["max_connections", "max-connections", "COUNT"],
        &["MAX_CONNECTIONS"],
        Default::Fixed("10000"),
        ["a number, 16 to 1000000", "Connections at most, of HTTP and of the mesh each"],
        |s, text| parse::within(text, 16..=1_000_000).map(|value| s.max_connections = value),
    ),
    plain(
        ["max_connections_per_client", "max-connections-per-client", "COUNT"],
        &["MAX_CONNECTIONS_PER_CLIENT"],
        Default::Absent("off"),
        ["a number, 1 to 1000000, or off", "HTTP connections of one client address at most"],
        |s, text| {
            parse::or_off(text, 1..=1_000_000).map(|value| s.max_connections_per_client = value)
        },
    ),
    plain(
        ["cors_origin", "cors-origin", "ORIGINS"],
        &["CORS_ORIGIN"],
        Default::Absent("none"),
        [
            "* or at most 64 origins such as https://books.example separated by commas",
            "Pages that may call from a browser",
        ],
        |s, text| text.parse().ok().map(|value| s.cors_origin = Some(value)),
    ),
    plain(
        ["rate_limit_rps", "rate-limit-rps", "REQUESTS"],
        &["RATE_LIMIT_RPS"],
        Default::Absent("off"),
        ["a number, 1 to 1000000, or off", "Requests a second of one client in the long run"],
        |s, text| parse::rate(text).map(|value| s.rate_limit_rps = value),
    ),
    plain(
        ["rate_limit_burst", "rate-limit-burst", "REQUESTS"],
        &["RATE_LIMIT_BURST"],
        Default::Absent("as RATE_LIMIT_RPS"),
        [
            "a number, 1 to 1000000, or off, and RATE_LIMIT_RPS given too",
            "Requests of one client at once after a pause",
        ],
        |s, text| parse::rate(text).map(|value| s.rate_limit_burst = value),
    ),
    plain(
        ["trusted_proxies", "trusted-proxies", "PROXIES"],
        &["TRUSTED_PROXIES"],
        Default::Absent("none"),
        [
            "at most 64 addresses, networks or names of hosts separated by commas, such as \
             10.0.0.7, fd00::/8 or proxy",
            "Proxies whose X-Forwarded-For says who the client is",
        ],
        |s, text| text.parse().ok().map(|value| s.trusted_proxies = value),
    ),
];
