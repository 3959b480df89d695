//! A disk that fills up: said in time, refused before it hurts, and over when there is room.

use std::process::Command;

const BYTES: &str = "64m";

#[test]
fn a_full_disk_is_said_refused_and_got_over() {
    let dir = tempfile::tempdir().unwrap();
    // In a mount namespace of its own, which ends with it.
    let script = r#"mount -t tmpfs -o size="$2" tmpfs "$1" && exec "$0" "$1""#;
    let ended = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_storage-test-full"))
        .arg(dir.path())
        .arg(BYTES)
        .output()
        .expect("this test needs unshare: apt-get install util-linux");
    let said = String::from_utf8_lossy(&ended.stdout);
    let complained = String::from_utf8_lossy(&ended.stderr);
    println!("{said}");
    assert!(ended.status.success() && said.contains("done"), "{complained}");
}
