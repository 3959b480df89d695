//! Nodes that share a file for their mesh key, and find none there, are one mesh: the first makes
//! the key and says so, since with a mistyped path it would begin a mesh of its own.

use crate::support::{Api, Process, mesh, rack};

const MADE: &str = "a mesh key was made";

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_share_a_key_file_are_one_mesh_and_the_first_says_that_it_began() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shared/mesh.key");
    let key = [("MESH_KEY_FILE", file.to_str().unwrap()), ("MESH_KEY_CREATE", "on")];
    let start = |name: &str, arguments: &[&str], extra: &[(&str, &str)]| {
        let env: Vec<_> = mesh::env(&[&key, extra].concat())
            .into_iter()
            .filter(|(name, _)| *name != "MESH_KEY")
            .collect();
        Process::start(name, dir.path(), arguments, &env)
    };
    let begin = |name| start(name, &["ork"], &[("DATA_DIR", "ork-data")]);
    let ork = begin("ork");
    let p2p = ork.p2p();
    let held = [("DATA_DIR", "data"), ("BOOTSTRAP", p2p.as_str()), ("RACK_ID", mesh::RACK)];
    let worker = start("worker", &["worker", "--type", "book"], &held);
    let gateway = start("gateway", &["gateway"], &[("BOOTSTRAP", p2p.as_str())]);
    let api = Api::new(gateway.http());
    rack::agreement(&api, mesh::RACK, 1).await;
    api.add("One mesh").await;

    let made = |process: &Process| process.log().contains(MADE);
    assert!(made(&ork), "{}", ork.log());
    assert!(!made(&worker) && !made(&gateway), "the key was there");
    let before = std::fs::read(&file).unwrap();
    ork.kill();
    assert!(!made(&begin("ork-again")), "the mesh goes on");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}
