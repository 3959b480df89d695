//! A log record as `/racks/{id}/log` shows it: the exact bytes that the chain covers, and what
//! they mean.

use std::collections::BTreeMap;

use bookmesh_rpc::api::{
    Action, Batch, Command, Hash, JsonText, LogPage, LogRecord, NewThing, OnConflict, OrderTerms,
    RackId, RecordKind, StatusRule, ThingPatch,
};
use bookmesh_rpc::codec;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::openapi::{forms, schemas};
use crate::thing_json::{Text, time};

/// One page.
#[derive(Serialize, ToSchema)]
#[schema(as = LogPage)]
pub(crate) struct PageJson<'a> {
    #[schema(schema_with = forms::rack)]
    rack_id: &'a RackId,
    committed_index: u64,
    /// The chain before the first record.
    #[schema(schema_with = forms::hash)]
    previous_hash: Text<Hash>,
    records: Vec<RecordJson>,
}

/// One record.
#[derive(Serialize, ToSchema)]
#[schema(as = LogRecord)]
pub(crate) struct RecordJson {
    index: u64,
    term: u64,
    #[schema(schema_with = forms::record_kind)]
    kind: &'static str,
    #[schema(schema_with = forms::hash)]
    hash: Text<Hash>,
    /// Hex, so that `hash = BLAKE3(previous hash ‖ commands)` can be checked by anyone.
    #[schema(schema_with = forms::hex)]
    commands: String,
    /// What the bytes mean; only with commands that this gateway understands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    batch: Option<BatchJson>,
}

/// What users did, in one entry of the log.
#[derive(Serialize, ToSchema)]
#[schema(as = LogBatch)]
struct BatchJson {
    #[schema(schema_with = forms::time)]
    time: Text<humantime::Rfc3339Timestamp>,
    #[schema(value_type = Vec<schemas::LogCommand>)]
    commands: Vec<Value>,
}

/// A page of a rack's log.
pub(crate) fn page<'a>(rack: &'a RackId, page: &LogPage) -> PageJson<'a> {
    PageJson {
        rack_id: rack,
        committed_index: page.committed_index,
        previous_hash: Text(page.previous),
        records: page.records.iter().map(record).collect(),
    }
}

/// A record; without its meaning when its bytes are no batch, which its hash still covers.
pub(crate) fn record(record: &LogRecord) -> RecordJson {
    let is_batch = record.kind == RecordKind::Commands;
    let batch = is_batch.then(|| codec::decode::<Batch>(&record.commands));
    RecordJson {
        index: record.index,
        term: record.term,
        kind: record.kind.name(),
        hash: Text(record.hash),
        commands: hex::encode(&record.commands),
        batch: batch.and_then(Result::ok).map(|batch| BatchJson {
            time: Text(time(batch.time_ms)),
            commands: batch.commands.iter().map(command).collect(),
        }),
    }
}

fn command(command: &Command) -> Value {
    let (name, detail) = action(&command.action);
    json!({ "request_id": command.request_id, "action": name, "detail": detail })
}

/// An action's name, and its parts.
fn action(action: &Action) -> (&'static str, Value) {
    match action {
        Action::FoundRack { rack, kind, number, .. } => {
            ("foundRack", json!({ "rack_id": rack, "type": kind.name(), "number": number }))
        }
        Action::Settle => ("settle", json!({})),
        Action::RecoverRack { member } => ("recoverRack", json!({ "member": member })),
        Action::CloseRack { force } => ("closeRack", json!({ "force": force })),
        Action::RetireRack { rack } => ("retireRack", json!({ "rack_id": rack })),
        Action::SetSettings { settings } => (
            "setSettings",
            json!({
                "rack_replicas": settings.rack_replicas,
                "replace_after_ms": settings.replace_after_ms,
            }),
        ),
        Action::AdmitMember { peer, .. } => ("admitMember", json!({ "peer_id": peer.to_string() })),
        Action::Register { thing, on_conflict } => (
            "register",
            json!({ "thing": new_thing(thing), "on_conflict": conflict(*on_conflict) }),
        ),
        Action::Update { id, patch: change, status_rule, if_version } => (
            "update",
            json!({
                "id": id.to_string(), "patch": patch(change), "if_version": if_version,
                "checkout": *status_rule == StatusRule::Exclusive,
            }),
        ),
        Action::Forget { ids, if_version } => {
            let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            ("forget", json!({ "ids": ids, "if_version": if_version }))
        }
        Action::Withdraw { id, if_version } => {
            ("withdraw", json!({ "id": id.to_string(), "if_version": if_version }))
        }
        Action::PlaceOrder { terms: of } => ("placeOrder", terms(of)),
        Action::RegisterRack { rack, kind, founder, charter, .. } => (
            "registerRack",
            json!({
                "rack_id": rack, "type": kind.name(), "founder": founder.to_string(),
                "number": charter.map(|charter| charter.number),
            }),
        ),
        Action::ConfirmRack { rack, founder, .. } => {
            ("confirmRack", json!({ "rack_id": rack, "founder": founder.to_string() }))
        }
        Action::BeginRegistry { founding } => {
            ("beginRegistry", json!({ "founding": founding.to_string() }))
        }
    }
}

const fn conflict(rule: OnConflict) -> &'static str {
    match rule {
        OnConflict::Allow => "allow",
        OnConflict::Skip => "skip",
        OnConflict::Update => "update",
        OnConflict::Fail => "fail",
    }
}

pub(crate) fn new_thing(thing: &NewThing) -> Value {
    let extra = thing.extra.iter().map(|(key, value)| (key.clone(), extra(Some(value))));
    let mut info: Map<_, _> = extra.collect();
    info.insert("name".into(), thing.name.clone().into());
    info.insert("author".into(), thing.author.clone().into());
    info.insert("status".into(), thing.status.name().into());
    if let Some(holder) = &thing.holder {
        info.insert("userId".into(), holder.clone().into());
    }
    json!({ "tags": thing.tags, "info": info })
}

/// What was ordered.
pub(crate) fn terms(terms: &OrderTerms) -> Value {
    json!({
        "book_id": terms.book.to_string(), "book_title": terms.title,
        "book_author": terms.author, "quantity": terms.quantity,
        "unit_price": terms.unit_price.to_string(),
    })
}

/// A change as a client would send it.
pub(crate) fn patch(patch: &ThingPatch) -> Value {
    let mut info = patch_extra(&patch.extra);
    let named = [
        ("name", patch.name.clone().map(Value::from)),
        ("author", patch.author.clone().map(Value::from)),
        ("status", patch.status.map(|status| status.name().into())),
        ("userId", patch.holder.clone().map(Value::from)),
    ];
    info.extend(named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    let mut shown = Map::new();
    if let Some(tags) = &patch.tags {
        shown.insert("tags".into(), json!(tags));
    }
    shown.insert("info".into(), info.into());
    shown.into()
}

fn patch_extra(extras: &BTreeMap<String, Option<JsonText>>) -> Map<String, Value> {
    extras.iter().map(|(key, value)| (key.clone(), extra(value.as_ref()))).collect()
}

fn extra(value: Option<&JsonText>) -> Value {
    value.map_or(Value::Null, |text| {
        serde_json::from_str(text.as_str()).unwrap_or_else(|_| text.as_str().into())
    })
}

#[cfg(test)]
mod tests {
    use bookmesh_rpc::api::{RequestId, Status, ThingId};
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_record_shows_its_bytes_and_their_meaning() {
        let patch = ThingPatch {
            status: Some(Status::CheckedOut),
            holder: Some(Some("u".into())),
            extra: [("isbn".to_owned(), None)].into(),
            ..ThingPatch::default()
        };
        let update = Action::Update {
            id: ThingId::new(0, 1).unwrap(),
            patch,
            status_rule: StatusRule::Exclusive,
            if_version: None,
        };
        let request_id: RequestId = "req-1".parse().unwrap();
        let commands = vec![Command { key: None, request_id, action: update }];
        let bytes = codec::encode(&Batch { time_ms: 1_000, commands }).unwrap();
        let hash = Hash::ZERO.extend(&bytes);
        let shown = LogRecord {
            index: 4,
            term: 2,
            kind: RecordKind::Commands,
            hash,
            commands: Bytes::from(bytes.clone()),
        };
        let shown = serde_json::to_value(record(&shown)).unwrap();
        assert_eq!(hex::decode(shown["commands"].as_str().unwrap()).unwrap(), bytes);
        assert_eq!(shown["hash"], hash.to_string());
        assert_eq!(shown["batch"]["time"], "1970-01-01T00:00:01.000Z");
        let command = &shown["batch"]["commands"][0];
        assert_eq!(
            (&command["request_id"], &command["action"]),
            (&json!("req-1"), &json!("update"))
        );
        let info = json!({"status": "checked-out", "userId": "u", "isbn": null});
        assert_eq!(command["detail"]["patch"]["info"], info);
    }

    #[test]
    fn bytes_that_are_no_batch_are_shown_without_a_meaning() {
        let broken = LogRecord {
            index: 0,
            term: 1,
            kind: RecordKind::Commands,
            hash: Hash::ZERO,
            commands: Bytes::from_static(b"\xff\xff\xff"),
        };
        let shown = serde_json::to_value(record(&broken)).unwrap();
        assert_eq!(shown["commands"], "ffffff");
        assert!(shown.get("batch").is_none());
    }
}
