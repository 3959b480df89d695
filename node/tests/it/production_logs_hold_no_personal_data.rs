//! A whole mesh in production, telling as much as it can: who holds a book is in none of its
//! lines, on standard output and error or in files, and all lines are there when it has stopped.

use std::fs;
use std::path::Path;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Api, Process};

const READER: &str = "reader-7f3a";
const MANY: &str =
    "debug,multistream_select=info,bookmesh_node=trace,bookmesh_gateway=trace,bookmesh_rpc=trace";

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_leaves_no_trace_of_who_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let env = [
        ("BOOKMESH_ENV", "production"),
        ("LOG_LEVEL", MANY),
        ("LOG_DIR", "logs"),
        ("P2P_PORT", "0"),
    ];
    let args = ["up", "--port", "0", "--data-dir", "data", "--workers", "1"];
    let up = Process::start("up", dir.path(), &args, &env);
    let api = Api::new(up.http());
    let id = api.add("Moby-Dick").await;
    let hold = || json!({"id": id, "info": {"status": "checked-out", "userId": READER}});
    assert_eq!(api.post("/checkout", hold()).await.status, StatusCode::OK);
    assert_eq!(api.post("/checkout", hold()).await.status, StatusCode::CONFLICT);
    // It was taken: what is looked for is there to be found.
    let shown = api.get(&format!("/books/{id}")).await;
    assert_eq!(shown.body["data"]["info"]["userId"], READER);
    for path in [
        format!("/books?userId={READER}"),
        format!("/books/{READER}?token={READER}"),
        format!("/checkout?user%49d={READER}"),
    ] {
        api.get(&path).await;
    }
    let (out, err) = (dir.path().join("up.out"), dir.path().join("up.err"));
    assert!(up.terminate().success());

    let (file, errors) = (dir.path().join("logs/up.log"), dir.path().join("logs/up-error.log"));
    let (written, said) = (lines(&read(&file)), lines(&read(&err)));
    for line in written.iter().chain(&said) {
        for name in ["time", "level", "target", "node", "role"] {
            assert!(line[name].is_string(), "{name} in {line}");
        }
    }
    let checkout = written.iter().find(|line| line["path"] == "/checkout").unwrap();
    assert_eq!((&checkout["method"], &checkout["status"]), (&"POST".into(), &200.into()));
    assert!(checkout["request_id"].is_string() && checkout["duration_ms"].is_number());
    for lines in [&written, &said] {
        let stopping = lines.iter().any(|line| line["message"] == "stopping");
        assert!(stopping, "what was said last is written before the process ends");
    }

    for path in [out, err, file] {
        // A path that names the reader where a book's id belongs is logged as it is.
        let text = read(&path).replace(&format!("/books/{READER}"), "");
        let found = text.lines().find(|line| line.contains(READER));
        assert_eq!(found, None, "{}", path.display());
    }
    assert!(!errors.exists() || !read(&errors).contains(READER));
}
