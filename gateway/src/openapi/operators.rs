//! What operators do: `/settings`, and racks that are retired or recovered.

use serde_json::json;

use super::forms;
use super::operation::Route;
use super::parameters as take;
use super::racks::NO_RACK;
use super::schemas::{Recovery, SettingsChange};
use crate::mesh_settings::SettingsJson;
use crate::recovery::RecoveredJson;
use crate::recovery_plan::PlanJson;
use crate::retire::RetiredJson;

pub(crate) const TAG: &str = "operators";
pub(crate) const ABOUT: &str =
    "For those who run the mesh: settings of all nodes, racks that are retired or recovered.";

const PEER: &str = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394";
const NO_REGISTRY: &str =
    "`ERR_REGISTRY_UNAVAILABLE`: no orchestrator answers for the registry; ask again.";

pub(crate) fn routes() -> Vec<Route> {
    vec![settings(), set(), retire(), plan(), recover()]
}

fn settings() -> Route {
    let shown = json!({"rack_replicas": 3, "replace_after_ms": null});
    Route::get("/settings", TAG, "getSettings", "Reads the mesh's settings")
        .about("What is null is left to each node's own configuration.")
        .envelope::<SettingsJson>(200, "The settings.", &[], shown)
        .fails(400, "`ERR_VALIDATION`: it takes no parameters.")
        .fails(503, NO_REGISTRY)
        .fails_always()
}

fn set() -> Route {
    let shown = json!({"rack_replicas": 3, "replace_after_ms": null});
    Route::put("/settings", TAG, "putSettings", "Changes the mesh's settings")
        .about(
            "Settings of the mesh stand above those of its nodes. Of two who change different \
             settings at the same moment the later one may undo the other.",
        )
        .body::<SettingsChange>("What changes.", json!({"rack_replicas": 3}))
        .envelope::<SettingsJson>(200, "The settings as they are now.", &[], shown)
        .fails(400, "`ERR_VALIDATION`: every field that breaks a rule, at once.")
        .fails(503, NO_REGISTRY)
        .fails_always()
}

fn retire() -> Route {
    let force = "Retire it although it holds things.";
    let shown = json!({"id": "book-rack-002", "number": 1, "type": "book", "retired": true});
    Route::delete("/racks/{id}", TAG, "retireRack", "Retires a rack, for good")
        .about(
            "It takes no more writes, and its name and number are never given again; what its \
             workers hold stays on their disks. Doing it again changes nothing and answers the \
             same.",
        )
        .takes([take::rack_id(), take::flag("force", force)])
        .envelope::<RetiredJson<'_>>(200, "The rack as the registry has it.", &[], shown)
        .fails(400, "`ERR_VALIDATION`: no name of a rack, or a parameter that breaks a rule.")
        .fails(404, NO_RACK)
        .fails(409, "`ERR_RACK_NOT_EMPTY`: it holds things, and was not forced.")
        .fails(503, "`ERR_REGISTRY_UNAVAILABLE`: the registry, or the rack, can't be asked.")
        .fails_always()
}

fn plan() -> Route {
    let shown = json!({
        "id": "book-rack-001", "number": 0, "type": "book", "leader": PEER, "voters": 1,
        "voters_reachable": 1, "possible": false,
        "reason": "it has a leader: there is nothing to recover", "choice": null, "losses": [],
        "members": [{
            "member": 1, "peer_id": PEER, "role": "voter", "reachable": true,
            "state": "leader", "term": 1, "last_index": 7, "last_term": 1, "applied_index": 7,
        }],
    });
    Route::get("/racks/{id}/recovery", TAG, "planRecovery", "Shows what a recovery would lose")
        .about(
            "For a rack whose majority is gone for good: what each member has, which one would go \
             on alone unless another is named, and what is lost by that. `choice` is what to send \
             to `POST /racks/{id}/recover`.",
        )
        .takes([
            take::rack_id(),
            take::query(
                "member",
                forms::integer(1, forms::MAX_ID).build(),
                "The member to go on with, instead of the one that knows most.",
            ),
        ])
        .envelope::<PlanJson>(200, "The plan.", &[], shown)
        .fails(400, "`ERR_VALIDATION`: no name of a rack, or a parameter that breaks a rule.")
        .fails(404, NO_RACK)
        .fails(503, "`ERR_RACK_UNAVAILABLE`: no orchestrator is in reach to say where it is.")
        .fails_always()
}

fn recover() -> Route {
    let shown = json!({
        "id": "book-rack-001", "member": 2, "peer_id": PEER, "state": "leader", "term": 2,
        "last_index": 18,
    });
    Route::post("/racks/{id}/recover", TAG, "recoverRack", "Recovers a rack without its majority")
        .about(
            "One member goes on alone with what it has; what only the others had is lost, and \
             when they come back they are filled anew. Refused while the rack has a leader, or \
             enough voters to elect one, and when the member is not as it was shown.",
        )
        .takes([take::rack_id()])
        .body::<Recovery>("As the plan showed it.", json!({"member": 2, "last_index": 17}))
        .envelope::<RecoveredJson<'_>>(200, "The member as it is now.", &[], shown)
        .fails(400, "`ERR_VALIDATION`: no name of a rack, no member of it, or a wrong field.")
        .fails(404, NO_RACK)
        .fails(409, "`ERR_RECOVERY_REFUSED`: not needed, or not as it was shown any more.")
        .fails_with_racks()
        .fails_always()
}
