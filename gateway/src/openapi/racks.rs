//! `/racks`, `/nodes` and the racks' logs.

use serde_json::{Value, json};
use utoipa::openapi::ContentBuilder;

use super::forms;
use super::operation::Route;
use super::parameters as take;
use crate::log_json::{PageJson, RecordJson};
use crate::nodes::NodeJson;
use crate::racks::RackJson;

pub(crate) const TAG: &str = "racks";
pub(crate) const ABOUT: &str =
    "What the mesh is made of: racks, their members and logs, and all nodes.";

const BAD_ID: &str = "`ERR_VALIDATION`: no name of a rack, or a parameter that breaks a rule.";
pub(super) const NO_RACK: &str =
    "`ERR_RACK_NOT_FOUND`: there is no such rack; `GET /racks` lists them.";
const PEER: &str = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394";
const HASH: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

pub(crate) fn routes() -> Vec<Route> {
    vec![list(), get(), log(), tail(), nodes()]
}

fn rack() -> Value {
    json!({
        "id": "book-rack-001", "number": 0, "type": "book", "leader": PEER, "term": 1,
        "things": 1, "last_index": 7, "head_hash": HASH, "wanted": 1, "writable": true,
        "members": [{
            "member": 1, "peer_id": PEER, "role": "voter", "state": "leader", "last_index": 7,
            "committed_index": 7, "applied_index": 7, "head_hash": HASH, "writable": true,
        }],
    })
}

fn list() -> Route {
    Route::get("/racks", TAG, "listRacks", "Lists racks")
        .about("All racks, each as its leader shows it, or the member that is furthest.")
        .envelope_of_many::<RackJson>(200, "The racks.", &[], json!([rack()]))
        .fails(400, "`ERR_VALIDATION`: it takes no parameters.")
        .fails_always()
}

fn get() -> Route {
    Route::get("/racks/{id}", TAG, "getRack", "Reads a rack")
        .takes([take::rack_id()])
        .envelope::<RackJson>(200, "The rack and its members.", &[], rack())
        .fails(400, BAD_ID)
        .fails(404, NO_RACK)
        .fails(503, "`ERR_RACK_UNAVAILABLE`: no orchestrator is in reach to say whether there is.")
        .fails_always()
}

fn record() -> Value {
    json!({
        "index": 5, "term": 1, "kind": "commands", "hash": HASH, "commands": "0a1b",
        "batch": {
            "time": "2026-01-31T09:30:00.123Z",
            "commands": [{
                "request_id": "5f0c1d2e3a4b5c6d", "action": "forget",
                "detail": {"ids": ["1"], "if_version": null},
            }],
        },
    })
}

fn from() -> utoipa::openapi::path::Parameter {
    let from = forms::integer(0, forms::MAX_ID).default(Some(json!(0)));
    take::query("from", from.build(), "The index of the first record.")
}

fn log() -> Route {
    let page = json!({
        "rack_id": "book-rack-001", "committed_index": 5, "previous_hash": HASH,
        "records": [record()],
    });
    Route::get("/racks/{id}/log", TAG, "readLog", "Reads a rack's log")
        .about(
            "A page of committed records, oldest first; empty when `from` is not committed yet. \
             `commands` is the hex of the bytes that the chain covers: for a record of kind \
             `commands`, `hash = BLAKE3(the hash before it ‖ those bytes)`; other kinds pass the \
             hash on. `previous_hash` is the chain before the first record. A page may end before \
             its limit when it is as large as an answer may be.",
        )
        .takes([take::rack_id(), from(), take::limit()])
        .envelope::<PageJson<'_>>(200, "The page.", &[], page)
        .fails(400, BAD_ID)
        .fails(404, NO_RACK)
        .fails_with_racks()
        .fails_always()
}

fn tail() -> Route {
    let mut route = Route::get("/racks/{id}/log/tail", TAG, "tailLog", "Follows a rack's log")
        .about(
            "The records from `from` on, one JSON object a line, and then each as it commits, \
             until the client goes. It ends when the member that feeds it or the gateway does: \
             ask again from the index after the last one that came.",
        )
        .takes([take::rack_id(), from()]);
    let line = route.named::<RecordJson>();
    let content = ContentBuilder::new().schema(Some(line)).example(Some(record())).build();
    let kind = "application/x-ndjson";
    route
        .answers(200, "Records, one a line, without an end.", &[], Some((kind, content)))
        .fails(400, BAD_ID)
        .fails(404, NO_RACK)
        .fails_with_racks()
        .fails_always()
}

fn nodes() -> Route {
    let node = json!({
        "peer_id": PEER, "role": "worker", "version": "0.1.0",
        "addresses": ["/ip4/127.0.0.1/tcp/4001"], "racks": ["book-rack-001"],
        "last_seen": "2026-01-31T09:30:00.123Z",
    });
    Route::get("/nodes", TAG, "listNodes", "Lists nodes")
        .about("Every node that the orchestrators heard of in the last ten minutes.")
        .envelope_of_many::<NodeJson<'_>>(200, "The nodes.", &[], json!([node]))
        .fails(400, "`ERR_VALIDATION`: it takes no parameters.")
        .fails(503, "`ERR_REGISTRY_UNAVAILABLE`: no orchestrator answers.")
        .fails_always()
}
