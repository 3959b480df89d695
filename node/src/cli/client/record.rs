//! One record of a rack's log, as the gateway writes it.

use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use bookmesh_rpc::api::{Action, Batch, Command, Hash, OrderTerms, ThingPatch};
use bookmesh_rpc::codec;
use serde::{Deserialize, Deserializer};

use super::terminal::{harmless, short};

/// One committed entry.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Record {
    /// Its place, from 0.
    pub(super) index: u64,
    /// The term it was proposed in.
    pub(super) term: u64,
    /// `commands`, `blank` or `membership`.
    pub(super) kind: String,
    /// The chain after it.
    #[serde(deserialize_with = "hash")]
    pub(super) hash: Hash,
    /// Exactly the bytes that the chain covers.
    #[serde(default, deserialize_with = "bytes")]
    pub(super) commands: Vec<u8>,
}

/// A hash of 64 hex digits.
pub(super) fn hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
    let text = String::deserialize(deserializer)?;
    let mut hash = Hash::ZERO;
    hex::decode_to_slice(&text, &mut hash.0).map_err(serde::de::Error::custom)?;
    Ok(hash)
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    hex::decode(&text).map_err(serde::de::Error::custom)
}

impl Record {
    /// Whether it holds users' commands.
    pub(super) fn has_commands(&self) -> bool {
        self.kind == "commands"
    }

    /// One line for each command: index, hash, time, what, by which request.
    pub(super) fn render(&self, out: &mut impl Write) -> io::Result<()> {
        let head = format!("{:>8}  {}", self.index, short(&self.hash.to_string()));
        if !self.has_commands() {
            let (kind, term) = (harmless(&self.kind), self.term);
            return writeln!(out, "{head}  {:<20}  {kind}, term {term}", "");
        }
        let Ok(batch) = codec::decode::<Batch>(&self.commands) else {
            let what = "commands of another version";
            return writeln!(out, "{head}  {:<20}  {what}", "");
        };
        let time = UNIX_EPOCH.checked_add(Duration::from_millis(batch.time_ms));
        // 9999-12-31, past which there is no four-digit year to write.
        let time = time.filter(|_| batch.time_ms < 253_402_300_800_000).unwrap_or(UNIX_EPOCH);
        let time = humantime::format_rfc3339_seconds(time);
        for command in &batch.commands {
            let request = short(command.request_id.as_str());
            writeln!(out, "{head}  {time}  {}  [{request}]", harmless(&sentence(command)))?;
        }
        Ok(())
    }
}

/// What a command does, in a few words.
fn sentence(command: &Command) -> String {
    match &command.action {
        Action::FoundRack { rack, number, .. } => format!("found     {rack}, number {number}"),
        Action::AdmitMember { peer, .. } => format!("admit     {}", peer.short()),
        Action::Register { thing, .. } => format!("register  {} / {}", thing.name, thing.author),
        Action::Update { id, patch, .. } => format!("update    {id}{}", changes(patch)),
        Action::Forget { ids, .. } => {
            let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            format!("forget    {}", ids.join(", "))
        }
        Action::Withdraw { id, .. } => format!("withdraw  {id}"),
        Action::PlaceOrder { terms } => {
            let OrderTerms { book, title, quantity, unit_price, .. } = terms;
            format!("order     {quantity} of {book} / {title} at {unit_price}")
        }
        Action::Settle => "settle    a key, taken by another rack".to_owned(),
        Action::RecoverRack { member } => format!("recover   member {member} goes on alone"),
        Action::CloseRack { .. } => "close     no more writes".to_owned(),
        Action::RetireRack { rack } => format!("retire    {rack}"),
        Action::SetSettings { .. } => "settings  of the mesh".to_owned(),
        Action::RegisterRack { rack, .. } => format!("rack      {rack}"),
        Action::ConfirmRack { rack, .. } => format!("confirm   {rack}"),
        Action::BeginRegistry { founding } => format!("begin     {founding}"),
    }
}

fn changes(patch: &ThingPatch) -> String {
    let mut text = String::new();
    let mut add = |key: &str, value: &str| text.push_str(&format!(" {key}={value}"));
    if let Some(status) = patch.status {
        add("status", status.name());
    }
    if let Some(holder) = &patch.holder {
        add("userId", holder.as_deref().unwrap_or("-"));
    }
    if let Some(name) = &patch.name {
        add("name", name);
    }
    if let Some(author) = &patch.author {
        add("author", author);
    }
    if let Some(tags) = &patch.tags {
        add("tags", &tags.join(","));
    }
    for (key, value) in &patch.extra {
        add(key, value.as_ref().map_or("-", |value| value.as_str()));
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use bookmesh_rpc::api::{RequestId, Status, StatusRule, ThingId};

    use super::*;

    /// The bytes of an entry that checks a book out.
    pub(crate) fn checkout(id: u64) -> Vec<u8> {
        let patch = ThingPatch { status: Some(Status::CheckedOut), ..ThingPatch::default() };
        let command = Command {
            key: None,
            request_id: RequestId::generate(),
            action: Action::Update {
                id: ThingId::from_u64(id).unwrap(),
                patch,
                status_rule: StatusRule::Exclusive,
                if_version: None,
            },
        };
        codec::encode(&Batch { time_ms: 1_700_000_000_000, commands: vec![command] }).unwrap()
    }

    fn render(kind: &str, commands: &[u8]) -> String {
        let json = serde_json::json!({
            "index": 7, "term": 1, "kind": kind, "hash": "ab".repeat(32),
            "commands": hex::encode(commands), "batch": null,
        });
        let record: Record = serde_json::from_value(json).unwrap();
        let mut out = Vec::new();
        record.render(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_is_told_in_one_line_a_command() {
        let line = render("commands", &checkout(1));
        let start = "       7  abababab  2023-11-14T22:13:20Z  update    1 status=checked-out  [";
        assert!(line.starts_with(start), "{line}");
        assert!(render("blank", b"").trim_end().ends_with("blank, term 1"));
        assert!(render("commands", b"\xff").contains("another version"));
    }
}
