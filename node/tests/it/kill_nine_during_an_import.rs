//! `kill -9` in the middle of an import: what was acknowledged is there after the start, the
//! chain verifies, and the import finishes when it is run again.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::support::process::{run, run_ok};
use crate::support::{Api, Process, eventually};

const BOOKS: u64 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_and_the_import_finishes() {
    let dir = tempfile::tempdir().unwrap();
    let csv = catalogue(dir.path());
    let mesh = up(dir.path());
    let importing = {
        let (url, csv) = (mesh.http(), csv.clone());
        tokio::task::spawn_blocking(move || {
            run(&url, &["import", csv.to_str().unwrap(), "--rack", "book-rack-001"])
        })
    };
    let api = Api::new(mesh.http());
    // A book of its own, acknowledged while the import runs.
    let mine = api.add("Acknowledged").await;
    let before = eventually("the import to be under way", || async {
        let count = api.count().await;
        (count > 500).then_some(count)
    })
    .await;
    mesh.kill();
    assert!(before < BOOKS, "the import was over before it could be killed");
    assert!(!importing.await.unwrap().status.success(), "an import without a mesh fails");

    let mesh = up(dir.path());
    let api = Api::new(mesh.http());
    let kept = api.count().await;
    assert!(kept >= before, "{before} books were seen and {kept} are left");
    let book = api.get(&format!("/books/{mine}")).await;
    assert_eq!(book.body["data"]["info"]["name"], "Acknowledged");
    run_ok(&mesh.http(), &["log", "verify", "--rack", "book-rack-001"]);

    run_ok(&mesh.http(), &["import", csv.to_str().unwrap(), "--rack", "book-rack-001"]);
    assert_eq!(api.count().await, BOOKS + 1);
    run_ok(&mesh.http(), &["log", "verify", "--rack", "book-rack-001"]);
}

fn up(dir: &Path) -> Process {
    let env = [("P2P_PORT", "0"), ("LOG_LEVEL", "warn")];
    Process::start("up", dir, &["up", "--port", "0", "--data-dir", "data"], &env)
}

fn catalogue(dir: &Path) -> PathBuf {
    let path = dir.join("books.csv");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    writeln!(file, "title,author").unwrap();
    for number in 0..BOOKS {
        writeln!(file, "Book number {number},Author {}", number % 97).unwrap();
    }
    file.flush().unwrap();
    path
}
