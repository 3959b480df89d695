//! Nothing readable of a book is on disk.

use std::process::Command;

use crate::support::files;

#[test]
fn no_title_author_or_request_can_be_read_in_any_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let program = env!("CARGO_BIN_EXE_storage-test-writer");
    let status = Command::new(program).arg(&store).args(["200", "1"]).status().unwrap();
    assert!(status.success());
    let mut read_bytes = 0;
    for path in files(&store) {
        let bytes = std::fs::read(&path).unwrap();
        read_bytes += bytes.len();
        for secret in ["The Readable Title", "An Author Somebody Knows", "fiction", "writer"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {}", path.display());
        }
    }
    assert!(read_bytes > 1_000_000, "there was something to be found: {read_bytes}");
}
