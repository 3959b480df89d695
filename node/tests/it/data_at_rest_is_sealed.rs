//! Nothing readable of a book is in the files; a wrong key is refused with what to do.

use std::path::Path;

use crate::support::{Api, Process};

const TITLE: &str = "A title that must not be readable on disk";

#[tokio::test(flavor = "multi_thread")]
async fn no_file_shows_a_title_and_a_wrong_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["up", "--port", "0", "--data-dir", "data", "--workers", "1"];
    let env = [("P2P_PORT", "0")];
    let mesh = Process::start("up", dir.path(), &args, &env);
    Api::new(mesh.http()).add(TITLE).await;
    assert!(mesh.terminate().success());
    let mut files = 0;
    search(&dir.path().join("data"), &mut files);
    assert!(files > 3, "only {files} files were looked at");

    let key = "ab".repeat(32);
    let env = [("P2P_PORT", "0"), ("STORE_PRIMARY_KEY", key.as_str())];
    let mut wrong = Process::spawn_under(&[], "wrong", dir.path(), &args, &env);
    assert_eq!(wrong.wait().code(), Some(1));
    let log = wrong.log();
    assert!(log.contains("STORE_PRIMARY_KEY"), "{log}");
}

fn search(dir: &Path, files: &mut usize) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, files);
            continue;
        }
        *files += 1;
        let bytes = std::fs::read(&path).unwrap();
        for needle in [TITLE.as_bytes(), b"readable on disk", b"Somebody"] {
            let found = bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "{} shows a book", path.display());
        }
    }
}
