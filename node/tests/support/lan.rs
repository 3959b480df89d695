//! Hosts on a network of their own: network namespaces that a test makes, uses and removes.
//!
//! Every host has two wires. `mesh` leads to the others and can be pulled; `front` leads to the
//! hub, a namespace of its own where the test's clients run. Nothing leaves these namespaces.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::{Builder, Runtime};

/// Where namespaces have their names.
const NAMES: &str = "/run/netns";
/// The switch that all hosts are on, and the one for those that are cut off.
const SWITCHES: [&str; 2] = ["lan", "island"];
/// The hub's switch to the hosts.
const FRONT: &str = "front";

pub struct Lan {
    hub: String,
    hosts: Vec<String>,
}

impl Lan {
    /// A network of this many hosts; `None`, with a word about it, where this may not be made.
    pub fn new(hosts: usize) -> Option<Self> {
        if !is_root() {
            assert!(std::env::var_os("CI").is_none(), "CI runs as root");
            println!("network namespaces need root: not run");
            return None;
        }
        static MADE: AtomicUsize = AtomicUsize::new(0);
        sweep();
        let name = format!("bm{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let hosts = (0..hosts).map(|host| format!("{name}-{host}")).collect();
        // From here on it is removed when it is dropped, however far it came.
        let lan = Self { hub: format!("{name}-hub"), hosts };
        lan.build();
        Some(lan)
    }

    fn build(&self) {
        let hub = |words: &str| ip(&format!("-n {} {words}", self.hub));
        ip(&format!("netns add {}", self.hub));
        for switch in [SWITCHES[0], SWITCHES[1], FRONT] {
            hub(&format!("link add name {switch} type bridge"));
            hub(&format!("link set {switch} up"));
        }
        hub("link set lo up");
        hub(&format!("addr add 10.78.0.254/24 dev {FRONT}"));
        for (at, name) in self.hosts.iter().enumerate() {
            let host = |words: &str| ip(&format!("-n {name} {words}"));
            ip(&format!("netns add {name}"));
            host("link set lo up");
            let wires =
                [("mesh", SWITCHES[0], self.address(at)), (FRONT, FRONT, self.front_address(at))];
            for (wire, switch, address) in wires {
                let port = format!("{wire}{at}");
                hub(&format!("link add name {port} type veth peer name {wire} netns {name}"));
                hub(&format!("link set {port} master {switch} up"));
                host(&format!("addr add {address}/24 dev {wire}"));
                host(&format!("link set {wire} up"));
            }
            host("route add 224.0.0.0/4 dev mesh");
        }
    }

    /// A host's address on the mesh's wire.
    pub fn address(&self, host: usize) -> String {
        format!("10.77.0.{}", host + 1)
    }

    /// A host's address for clients in the hub.
    pub fn front_address(&self, host: usize) -> String {
        format!("10.78.0.{}", host + 1)
    }

    /// What runs a command on a host.
    pub fn on(&self, host: usize) -> [&str; 4] {
        ["ip", "netns", "exec", &self.hosts[host]]
    }

    /// Puts these hosts on an island: they reach each other, the others reach each other, and
    /// packets in between are lost without a word. Everyone else comes back.
    pub fn cut_off(&self, hosts: &[usize]) {
        for at in 0..self.hosts.len() {
            let switch = SWITCHES[usize::from(hosts.contains(&at))];
            ip(&format!("-n {} link set mesh{at} master {switch}", self.hub));
        }
    }

    /// One network again.
    pub fn heal(&self) {
        self.cut_off(&[]);
    }

    /// Runs a test in the hub: whatever it connects to and starts is within this network.
    pub fn run<F: Future<Output = ()> + Send>(&self, test: F) {
        let inside = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                self.runtime().block_on(test);
            });
            thread.join()
        });
        if let Err(panic) = inside {
            std::panic::resume_unwind(panic);
        }
    }

    fn runtime(&self) -> Runtime {
        let hub = self.hub.clone();
        Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .on_thread_start(move || enter(&hub))
            .build()
            .unwrap()
    }

    /// Moves the calling thread into the hub, for good.
    fn enter(&self) {
        enter(&self.hub);
    }
}

fn enter(namespace: &str) {
    let namespace = File::open(format!("{NAMES}/{namespace}")).unwrap();
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

impl Drop for Lan {
    fn drop(&mut self) {
        for name in self.hosts.iter().chain([&self.hub]) {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// Removes what tests left that were killed: namespaces named for a process that is no more.
fn sweep() {
    let Ok(names) = std::fs::read_dir(NAMES) else { return };
    for name in names.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let owner = name.strip_prefix("bm").and_then(|rest| rest.split('-').next());
        let owner = owner.and_then(|digits| digits.parse::<u32>().ok());
        if owner.is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}

fn ip(words: &str) {
    let done = Command::new("ip").args(words.split_whitespace()).output();
    let done = done.expect("this test needs `ip`: install the package iproute2");
    assert!(done.status.success(), "ip {words}: {}", String::from_utf8_lossy(&done.stderr));
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}
