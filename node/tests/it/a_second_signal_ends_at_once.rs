//! The first signal stops in order, the second ends the process at once.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;

use crate::support::Process;

#[tokio::test(flavor = "multi_thread")]
async fn two_interrupts_end_a_process_whose_stop_takes_long() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("P2P_PORT", "0"), ("LOG_LEVEL", "info")];
    let mut up =
        Process::start("up", dir.path(), &["up", "--port", "0", "--data-dir", "data"], &env);
    // A client that keeps its connection open with half a request holds up the drain.
    let address = up.http().trim_start_matches("http://").to_owned();
    let mut client = std::net::TcpStream::connect(&address).unwrap();
    let half = "POST /books HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{";
    client.write_all(half.as_bytes()).unwrap();
    up.signal("INT");
    crate::support::eventually("the stop to begin", || async {
        up.log().contains("stopping").then_some(())
    })
    .await;
    up.signal("INT");
    let status = up.wait();
    assert_eq!(status.code(), Some(130), "signal {:?}", status.signal());
}
