//! With no bootstrap address at all, nodes on one LAN find each other by mDNS. The LAN is made of
//! network namespaces; nothing leaves them.

use std::process::Command;

use crate::support::{Lan, Process, eventually, mesh};

#[test]
fn two_hosts_without_any_address_become_a_mesh() {
    if let Some(lan) = Lan::new(2) {
        lan.run(become_a_mesh(&lan));
    }
}

async fn become_a_mesh(lan: &Lan) {
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
        Process::start_under(&lan.on(host), name, dir.path(), args, &env)
    };
    let _ork = start(0, "ork", &["ork"], &[("DATA_DIR", "ork-data")]);
    let worker = [("DATA_DIR", "worker-data"), ("RACK_ID", mesh::RACK), ("PORT", "3001")];
    let _worker = start(1, "worker", &["worker"], &worker);
    let gateway = start(1, "gateway", &["gateway"], &[]);

    eventually("a book in the mesh", || async {
        let [ip, inside @ ..] = lan.on(1);
        let added = Command::new(ip)
            .args(inside)
            .arg(crate::support::process::BOOKMESH)
            .args(["book", "add", "--name", "Emma", "--author", "Jane Austen"])
            .env("BOOKMESH_URL", gateway.http())
            .output()
            .unwrap();
        added.status.success().then_some(())
    })
    .await;
}
