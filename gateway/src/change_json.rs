//! A change of a rack's log as clients see it: in a book's history, and in the stream of events.

use bookmesh_rpc::api::{Action, Change, RackId, RequestId, Status, StatusRule};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::log_json;
use crate::openapi::{forms, schemas};
use crate::thing_json::{Text, time};

/// A change, as it stands in a history.
#[derive(Serialize, ToSchema)]
#[schema(as = Change)]
pub(crate) struct ChangeJson<'a> {
    /// The log entry.
    index: u64,
    /// The command's place in the entry.
    part: u32,
    #[schema(schema_with = forms::time)]
    time: Text<humantime::Rfc3339Timestamp>,
    #[schema(schema_with = forms::action)]
    action: &'static str,
    /// The version that it made, one above the last for a removal.
    version: u64,
    #[schema(value_type = String)]
    request_id: &'a RequestId,
    /// What was given, by field; null where a key was removed.
    #[schema(schema_with = schemas::changes)]
    changes: Value,
}

impl<'a> From<&'a Change> for ChangeJson<'a> {
    fn from(change: &'a Change) -> Self {
        Self {
            index: change.at.index,
            part: change.at.part,
            time: Text(time(change.time_ms)),
            action: name(&change.action),
            version: change.version,
            request_id: &change.request_id,
            changes: changes(&change.action),
        }
    }
}

/// A change, as an event tells it.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventJson<'a> {
    #[schema(schema_with = forms::rack)]
    rack_id: &'a RackId,
    #[serde(rename = "type")]
    #[schema(schema_with = forms::rack_kind)]
    kind: &'static str,
    /// Of the thing that changed.
    #[schema(schema_with = forms::thing_id)]
    id: String,
    #[serde(flatten)]
    change: ChangeJson<'a>,
}

impl<'a> EventJson<'a> {
    pub(crate) fn new(rack: &'a RackId, change: &'a Change) -> Self {
        let kind = match change.action {
            Action::PlaceOrder { .. } => bookmesh_rpc::api::Kind::Order,
            _ => bookmesh_rpc::api::Kind::Book,
        };
        let (kind, id) = (kind.name(), change.id.to_string());
        Self { rack_id: rack, kind, id, change: change.into() }
    }
}

/// What users call it.
pub(crate) fn name(action: &Action) -> &'static str {
    match action {
        Action::Register { .. } => "register",
        Action::Update { patch, status_rule: StatusRule::Exclusive, .. } => match patch.status {
            Some(Status::CheckedOut) => "checkout",
            Some(Status::Available) => "return",
            None => "update",
        },
        Action::Update { .. } => "update",
        Action::Withdraw { .. } => "withdraw",
        Action::Forget { .. } => "remove",
        Action::PlaceOrder { .. } => "order",
        // None of these changes a thing.
        _ => "other",
    }
}

fn changes(action: &Action) -> Value {
    match action {
        Action::Register { thing, .. } => log_json::new_thing(thing),
        Action::Update { patch, .. } => log_json::patch(patch),
        Action::Withdraw { .. } => json!({ "active": false }),
        Action::PlaceOrder { terms } => log_json::terms(terms),
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use bookmesh_rpc::api::{Position, ThingId, ThingPatch};

    use super::*;

    fn change(action: Action) -> Change {
        Change {
            at: Position { index: 7, part: 2 },
            time_ms: 0,
            request_id: "r-1".parse().unwrap(),
            action,
            id: ThingId::new(0, 1).unwrap(),
            version: 3,
        }
    }

    fn checkout(status: Status, status_rule: StatusRule) -> Action {
        let patch = ThingPatch { status: Some(status), ..ThingPatch::default() };
        Action::Update { id: ThingId::new(0, 1).unwrap(), patch, status_rule, if_version: None }
    }

    #[test]
    fn a_change_says_what_where_when_and_who_asked() {
        let change = change(checkout(Status::CheckedOut, StatusRule::Exclusive));
        let shown = serde_json::to_value(EventJson::new(&"r0".parse().unwrap(), &change)).unwrap();
        let expected = json!({
            "rack_id": "r0", "type": "book", "id": "1", "index": 7, "part": 2,
            "time": "1970-01-01T00:00:00.000Z", "action": "checkout", "version": 3,
            "request_id": "r-1", "changes": {"info": {"status": "checked-out"}},
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn checkouts_returns_and_edits_are_told_apart() {
        let exclusive = |status| checkout(status, StatusRule::Exclusive);
        assert_eq!(name(&exclusive(Status::CheckedOut)), "checkout");
        assert_eq!(name(&exclusive(Status::Available)), "return");
        assert_eq!(name(&checkout(Status::Available, StatusRule::Edit)), "update");
    }
}
