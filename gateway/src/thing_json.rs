//! A thing as `/books` shows it.

use std::time::{Duration, UNIX_EPOCH};

use bookmesh_rpc::api::{Info, JsonText, Thing};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

/// The last millisecond that RFC 3339 can write: the end of the year 9999.
const MAX_TIME_MS: u64 = 253_402_300_799_999;

/// A thing, and the rack that holds it.
pub(crate) struct ThingJson<'a> {
    pub(crate) thing: &'a Thing,
    pub(crate) rack: &'a str,
}

impl Serialize for ThingJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let thing = self.thing;
        let mut map = serializer.serialize_map(Some(7))?;
        map.serialize_entry("id", &Text(thing.id))?;
        map.serialize_entry("code", &thing.id.code(thing.kind))?;
        map.serialize_entry("type", thing.kind.name())?;
        map.serialize_entry("tags", &thing.tags)?;
        map.serialize_entry("info", &InfoJson(&thing.info))?;
        map.serialize_entry("rack_id", self.rack)?;
        map.serialize_entry("version", &thing.version)?;
        if !thing.active {
            map.serialize_entry("active", &false)?;
        }
        map.end()
    }
}

struct InfoJson<'a>(&'a Info);

impl Serialize for InfoJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let info = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &info.name)?;
        map.serialize_entry("author", &info.author)?;
        map.serialize_entry("status", info.status.name())?;
        if let Some(holder) = &info.holder {
            map.serialize_entry("userId", holder)?;
        }
        for (key, value) in &info.extra {
            map.serialize_entry(key, &json_value(value))?;
        }
        map.serialize_entry("createdAt", &Text(time(info.created_at_ms)))?;
        map.serialize_entry("updatedAt", &Text(time(info.updated_at_ms)))?;
        map.end()
    }
}

/// A stored value as it stands. A text that is no JSON, which only a faulty peer can send, is
/// shown as a string, so that one bad value never breaks an answer.
pub(crate) fn json_value(value: &JsonText) -> impl Serialize + '_ {
    struct Value<'a>(&'a str);
    impl Serialize for Value<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match serde_json::from_str::<&RawValue>(self.0) {
                Ok(raw) => raw.serialize(serializer),
                Err(_) => self.0.serialize(serializer),
            }
        }
    }
    Value(value.as_str())
}

/// RFC 3339, UTC, to the millisecond.
pub(crate) fn time(ms: u64) -> humantime::Rfc3339Timestamp {
    let since_epoch = Duration::from_millis(ms.min(MAX_TIME_MS));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_epoch)
}

/// Anything that can be displayed, as a JSON string.
#[derive(Debug)]
pub(crate) struct Text<T>(pub(crate) T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bookmesh_rpc::api::{Kind, Status, ThingId};
    use serde_json::json;

    fn thing(extra: &[(&str, &str)]) -> Thing {
        let extra = extra
            .iter()
            .map(|(key, text)| ((*key).to_owned(), JsonText::from_compact((*text).to_owned())));
        Thing {
            id: ThingId::new(0, 1).unwrap(),
            kind: Kind::Book,
            tags: vec!["fiction".into()],
            info: Info {
                name: "Title \"quoted\"".into(),
                author: "Author".into(),
                status: Status::CheckedOut,
                holder: Some("u1".into()),
                created_at_ms: 0,
                updated_at_ms: 1_700_000_000_123,
                extra: extra.collect(),
            },
            version: 2,
            active: true,
        }
    }

    fn shown(thing: &Thing) -> serde_json::Value {
        let bytes = crate::answer::json_bytes(&ThingJson { thing, rack: "book-rack-001" });
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_thing_has_the_shape_of_the_design() {
        let expected = json!({
            "id": "1", "code": "BOOK-0001", "type": "book", "tags": ["fiction"],
            "info": {
                "name": "Title \"quoted\"", "author": "Author", "status": "checked-out",
                "userId": "u1", "year": 1999, "nested": {"a": [1, null]},
                "createdAt": "1970-01-01T00:00:00.000Z", "updatedAt": "2023-11-14T22:13:20.123Z",
            },
            "rack_id": "book-rack-001", "version": 2,
        });
        assert_eq!(shown(&thing(&[("year", "1999"), ("nested", r#"{"a":[1,null]}"#)])), expected);
    }

    #[test]
    fn a_value_that_a_peer_spoiled_does_not_break_the_answer() {
        let mut spoiled = thing(&[("bad", "{oops")]);
        spoiled.info.updated_at_ms = u64::MAX;
        let shown = shown(&spoiled);
        assert_eq!(shown["info"]["bad"], "{oops");
        assert_eq!(shown["info"]["updatedAt"], "9999-12-31T23:59:59.999Z");
    }
}
