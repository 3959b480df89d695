//! A worker whose disk is full says so, goes on answering, and lets the others take the writes;
//! when there is room again it takes part again, without anybody's help.

use std::path::PathBuf;

use crate::support::metrics::Metrics;
use crate::support::rack::{agreement, leader};
use crate::support::{Api, PATIENCE, Process, eventually, mesh};

/// More than the watermark below which a store says that it is full, and a store besides.
const DISK: &str = "200m";
const DISK_BYTES: f64 = 200.0 * 1024.0 * 1024.0;

/// A worker on a small disk of its own, which only it sees.
struct SmallDisk {
    worker: Process,
    dir: PathBuf,
}

impl SmallDisk {
    fn start(name: &str, dir: &std::path::Path, bootstrap: &str) -> Self {
        let data = dir.join(format!("{name}-data"));
        std::fs::create_dir(&data).unwrap();
        let mount =
            format!("mount -t tmpfs -o size={DISK} tmpfs {} && exec \"$@\"", data.display());
        let data_dir = data.to_str().unwrap();
        let extra = [("DATA_DIR", data_dir), ("BOOTSTRAP", bootstrap), ("RACK_ID", mesh::RACK)];
        let prefix = ["unshare", "--mount", "sh", "-c", &mount, "sh"];
        let env = mesh::env(&extra);
        let worker = Process::start_under(&prefix, name, dir, &["worker"], &env);
        // The disk as it looks from here.
        let dir = PathBuf::from(format!("/proc/{}/root{data_dir}/ballast", worker.pid()));
        Self { worker, dir }
    }

    fn fill(&self) {
        let mut ballast = std::fs::File::create(&self.dir).unwrap();
        let block = vec![0; 1024 * 1024];
        // Until there is no room for anything.
        while std::io::Write::write_all(&mut ballast, &block).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(&self.dir).unwrap();
    }

    fn peer(&self) -> &str {
        &self.worker.ready["peer"]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_and_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let disks: Vec<_> = (0..3)
        .map(|at| SmallDisk::start(&format!("worker-{at}"), dir.path(), &ork.p2p()))
        .collect();
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    agreement(&api, mesh::RACK, 3).await;
    let before = api.add("Before").await;

    let led = leader(&api, mesh::RACK).await;
    let full = disks.iter().find(|disk| disk.peer() == led).unwrap();
    full.fill();
    let health = Api::new(full.worker.http());
    eventually("it says so", || async {
        let answer = health.get("/health").await;
        answer.body.to_string().contains("free").then_some(())
    })
    .await;
    let told = Metrics::of(&health).await;
    assert_eq!(told.get("storage_full", &[]), Some(1.0));
    let bytes = |name| told.get(name, &[]).unwrap();
    assert_eq!(bytes("storage_total_bytes"), DISK_BYTES);
    assert!(bytes("storage_free_bytes") < 1024.0 * 1024.0, "it was filled");
    eventually("another leader", || async {
        (leader(&api, mesh::RACK).await != led).then_some(())
    })
    .await;
    for number in 0..10 {
        eventually("a write without it", || async {
            let answer =
                api.post("/books", crate::support::api::book(&format!("Meanwhile {number}"))).await;
            (answer.status == 201).then_some(())
        })
        .await;
    }
    assert_eq!(api.get(&format!("/books/{before}?consistency=eventual")).await.status, 200);

    full.make_room();
    agreement(&api, mesh::RACK, 3).await;
    let healthy = tokio::time::timeout(PATIENCE, async {
        while health.get("/ready").await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    assert!(healthy.await.is_ok(), "{}", full.worker.log());
    assert_eq!(Metrics::of(&health).await.get("storage_full", &[]), Some(0.0));
}
