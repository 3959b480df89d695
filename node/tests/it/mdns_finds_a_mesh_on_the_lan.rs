//! With no bootstrap address at all, nodes on one LAN find each other by mDNS. The LAN is a pair
//! of network namespaces that the test makes; nothing leaves them.

use std::process::Command;

use crate::support::{Process, eventually, mesh};

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_without_any_address_become_a_mesh() {
    if !is_root() {
        assert!(std::env::var_os("CI").is_none(), "CI runs as root");
        println!("network namespaces need root: not run");
        return;
    }
    let lan = Lan::new();
    let dir = tempfile::tempdir().unwrap();
    let start = |host: usize, name: &str, args: &[&str], extra: &[(&str, &str)]| {
        let address = lan.address(host);
        let mut env = vec![
            ("HOST", address.as_str()),
            ("PORT", "3000"),
            ("P2P_HOST", address.as_str()),
            ("P2P_PORT", "0"),
            ("MESH_KEY", mesh::MESH_KEY),
        ];
        env.extend_from_slice(extra);
        let inside = ["ip", "netns", "exec", &lan.hosts[host]];
        Process::start_under(&inside, name, dir.path(), args, &env)
    };
    let _ork = start(0, "ork", &["ork"], &[("DATA_DIR", "ork-data")]);
    let worker = [("DATA_DIR", "worker-data"), ("RACK_ID", mesh::RACK), ("PORT", "3001")];
    let _worker = start(1, "worker", &["worker"], &worker);
    let gateway = start(1, "gateway", &["gateway"], &[]);

    eventually("a book in the mesh", || async {
        let add = ["book", "add", "--name", "Emma", "--author", "Jane Austen"];
        let added = Command::new("ip")
            .args(["netns", "exec", &lan.hosts[1], crate::support::process::BOOKMESH])
            .args(add)
            .env("BOOKMESH_URL", gateway.http())
            .output()
            .unwrap();
        added.status.success().then_some(())
    })
    .await;
}

/// Two hosts on one wire.
struct Lan {
    hosts: [String; 2],
    subnet: String,
}

impl Lan {
    fn new() -> Self {
        let pid = std::process::id();
        let lan = Self {
            hosts: [format!("bm{pid}a"), format!("bm{pid}b")],
            subnet: "10.77.0".to_owned(),
        };
        let wires = [format!("bm{pid}x"), format!("bm{pid}y")];
        ip(&["link", "add", &wires[0], "type", "veth", "peer", "name", &wires[1]]);
        for (host, wire) in [0, 1].into_iter().zip(&wires) {
            let (name, address) = (&lan.hosts[host], format!("{}/24", lan.address(host)));
            ip(&["netns", "add", name]);
            ip(&["link", "set", wire, "netns", name]);
            ip(&["-n", name, "addr", "add", &address, "dev", wire]);
            ip(&["-n", name, "link", "set", "lo", "up"]);
            ip(&["-n", name, "link", "set", wire, "up"]);
            ip(&["-n", name, "route", "add", "224.0.0.0/4", "dev", wire]);
        }
        lan
    }

    fn address(&self, host: usize) -> String {
        format!("{}.{}", self.subnet, host + 1)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for host in &self.hosts {
            let _ = Command::new("ip").args(["netns", "del", host]).status();
        }
    }
}

fn ip(args: &[&str]) {
    let done = Command::new("ip").args(args).status();
    let done = done.expect("this test needs `ip`: install the package iproute2");
    assert!(done.success(), "ip {args:?}");
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}
