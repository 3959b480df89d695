//! What a client sent, as the mesh's types. The rules of content are `rpc::api`'s; here is what
//! only JSON can break: types, unknown keys, nulls.

use std::collections::BTreeMap;

use bookmesh_rpc::api::{
    ApiError, Faults, FieldError, JsonText, Kind, NewThing, RackId, RackRoute, Status, ThingId,
    ThingPatch,
};
use serde_json::value::RawValue;

use crate::body::{Field, Fields, Object};
use crate::{json_text, price};

const THING_FIELDS: &str = "type, tags, info, rack_id";
const PATCH_FIELDS: &str = "tags, info";

/// The body of `POST /books`: where, if the client cares, and what.
pub(crate) fn new_thing(body: &[u8]) -> Result<(Option<RackId>, NewThing), ApiError> {
    let mut fields = Fields::new(crate::body::object(body)?, "");
    let rack = fields.rack();
    let thing = read_thing(&mut fields);
    fields.finish(THING_FIELDS)?;
    Ok((rack, thing))
}

/// One of a batch's books: as [`new_thing`], without a rack of its own.
pub(crate) fn item(object: Object<'_>) -> Result<NewThing, ApiError> {
    let mut fields = Fields::new(object, "");
    let thing = read_thing(&mut fields);
    fields.finish("type, tags, info; rack_id stands beside books")?;
    Ok(thing)
}

fn read_thing(fields: &mut Fields<'_>) -> NewThing {
    read_kind(fields);
    let tags = read_tags(fields).unwrap_or_default();
    let info = read_info(fields).unwrap_or_default();
    for (name, field) in [("info.name", &info.name), ("info.author", &info.author)] {
        if !matches!(field, Field::Value(_)) && !fields.has_fault(name) {
            fields.fault(name, "is required");
        }
    }
    let thing = NewThing {
        tags,
        name: info.name.value().unwrap_or_default(),
        author: info.author.value().unwrap_or_default(),
        status: info.status.value().unwrap_or_default(),
        holder: info.holder.value(),
        // A null is how a client says that it has none.
        extra: info.extra.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
    };
    add_rules(fields, thing.faults());
    thing
}

/// The body of `PUT /books/{id}`. What a client may not change it may still send back unchanged,
/// as it stands in an answer.
pub(crate) fn patch(body: &[u8], id: ThingId, rack: &RackRoute) -> Result<ThingPatch, ApiError> {
    let mut fields = Fields::new(crate::body::object(body)?, "");
    if read_id(&mut fields).is_some_and(|given| given != id) {
        fields.fault("id", "must be the id of the path, or left out");
    }
    if fields.rack().is_some_and(|given| given != rack.id) {
        fields.fault("rack_id", format!("can't be changed: the book is in {}", rack.id));
    }
    for read_only in ["code", "version"] {
        fields.raw(read_only);
    }
    read_kind(&mut fields);
    let patch = read_patch(&mut fields);
    fields.finish(PATCH_FIELDS)?;
    Ok(patch)
}

/// The body of `POST /checkout`: which book, and its new status.
pub(crate) fn checkout(body: &[u8]) -> Result<(ThingId, ThingPatch), ApiError> {
    let object = crate::body::object(body)?;
    let no_id = object.get("id").is_none_or(|raw| raw.get() == "null");
    let mut fields = Fields::new(object, "");
    let id = read_id(&mut fields);
    if no_id {
        fields.fault("id", "is required");
    }
    let mut patch = read_patch(&mut fields);
    if patch.status.is_none() && !fields.has_fault("info.status") {
        fields.fault("info.status", "is required: checked-out or available");
    }
    if patch.holder.is_none() || patch.status == Some(Status::Available) {
        patch.holder = Some(None);
    }
    fields.finish("id, info")?;
    let id = id.ok_or_else(|| ApiError::invalid("id", "is required"))?;
    Ok((id, patch))
}

fn read_patch(fields: &mut Fields<'_>) -> ThingPatch {
    let tags = read_tags(fields);
    let info = read_info(fields).unwrap_or_default();
    let kept = [
        ("info.name", matches!(info.name, Field::Null)),
        ("info.author", matches!(info.author, Field::Null)),
        ("info.status", matches!(info.status, Field::Null)),
    ];
    for (name, _) in kept.into_iter().filter(|(_, removed)| *removed) {
        fields.fault(name, "can't be removed");
    }
    let patch = ThingPatch {
        tags,
        name: info.name.value(),
        author: info.author.value(),
        status: info.status.value(),
        holder: match info.holder {
            Field::Absent => None,
            Field::Null => Some(None),
            Field::Value(holder) => Some(Some(holder)),
        },
        extra: info.extra,
    };
    add_rules(fields, patch.faults());
    patch
}

/// The rules' faults, but none for a field that has one of its own already.
fn add_rules(fields: &mut Fields<'_>, rules: Faults) {
    let news = rules.into_vec().into_iter().filter(|fault| !fields.has_fault(&fault.field));
    let news: Vec<FieldError> = news.collect();
    fields.merge(ApiError::Invalid(news));
}

/// An id as a string or as a number.
fn read_id(fields: &mut Fields<'_>) -> Option<ThingId> {
    let raw = fields.raw("id").value()?;
    let id = match crate::body::whole(raw) {
        Some(number) => ThingId::from_u64(number),
        None => serde_json::from_str::<String>(raw.get())
            .unwrap_or_else(|_| raw.get().to_owned())
            .parse(),
    };
    id.map_err(|error| fields.merge(error)).ok()
}

fn read_kind(fields: &mut Fields<'_>) {
    let kind = fields.typed::<String>("type", "a string").value();
    if kind.is_some_and(|kind| kind != Kind::Book.name()) {
        fields.fault("type", "must be book");
    }
}

fn read_tags(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    let tags = fields.typed::<Vec<String>>("tags", "an array of strings").value()?;
    Some(tags.iter().map(|tag| bookmesh_rpc::api::collapse_white_space(tag)).collect())
}

/// `info`, its named keys typed.
struct InfoFields {
    name: Field<String>,
    author: Field<String>,
    status: Field<Status>,
    holder: Field<String>,
    extra: BTreeMap<String, Option<JsonText>>,
}

impl Default for InfoFields {
    fn default() -> Self {
        let extra = BTreeMap::new();
        let (name, author, holder) = (Field::Absent, Field::Absent, Field::Absent);
        Self { name, author, status: Field::Absent, holder, extra }
    }
}

fn read_info(fields: &mut Fields<'_>) -> Option<InfoFields> {
    let raw = fields.raw("info").value()?;
    let Ok(object) = serde_json::from_str::<Object<'_>>(raw.get()) else {
        fields.fault("info", "must be an object");
        return None;
    };
    let mut info = Fields::new(object, "info.");
    let (name, author, holder) = (info.text("name"), info.text("author"), info.text("userId"));
    let status = read_status(&mut info);
    for stamped in ["createdAt", "updatedAt"] {
        info.raw(stamped);
    }
    let (rest, faults) = info.into_rest();
    fields.merge(ApiError::Invalid(faults));
    let mut extra = BTreeMap::new();
    for (key, raw) in rest {
        match read_extra(&key, raw) {
            Ok(value) => drop(extra.insert(key, value)),
            Err(rule) => {
                let key: String = key.chars().take(64).collect();
                fields.fault(&format!("info.{key}"), rule);
            }
        }
    }
    Some(InfoFields { name, author, status, holder, extra })
}

fn read_status(info: &mut Fields<'_>) -> Field<Status> {
    match info.typed::<String>("status", "a string") {
        Field::Absent => Field::Absent,
        Field::Null => Field::Null,
        Field::Value(name) => match Status::from_name(&name) {
            Some(status) => Field::Value(status),
            None => {
                info.fault("status", "must be available or checked-out");
                Field::Absent
            }
        },
    }
}

fn read_extra(key: &str, raw: &RawValue) -> Result<Option<JsonText>, &'static str> {
    if raw.get() == "null" {
        return Ok(None);
    }
    if key == "price" {
        price::read(raw)?;
    }
    json_text::compact(raw).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(error: ApiError) -> Vec<(String, String)> {
        match error {
            ApiError::Invalid(faults) => {
                faults.into_iter().map(|fault| (fault.field, fault.message)).collect()
            }
            other => panic!("{other}"),
        }
    }

    fn fields(error: ApiError) -> Vec<String> {
        faults(error).into_iter().map(|(field, _)| field).collect()
    }

    fn rack() -> RackRoute {
        RackRoute {
            id: "book-rack-001".parse().unwrap(),
            kind: Kind::Book,
            number: 0,
            confirmed: true,
            leader: None,
            term: 1,
            members: Vec::new(),
            things: 0,
            writable: true,
            since_ms: 0,
        }
    }

    #[test]
    fn a_book_is_normalised() {
        let body = br#"{"type":"book","tags":[" a  b "],"rack_id":"r1","info":{
            "name":"  The \n Hobbit ","author":"Tolkien","createdAt":"x","year":1937,
            "isbn":null,"price":"12.50"}}"#;
        let (rack, thing) = new_thing(body).unwrap();
        assert_eq!(rack.unwrap().as_str(), "r1");
        assert_eq!((thing.name.as_str(), thing.tags[0].as_str()), ("The Hobbit", "a b"));
        assert_eq!(thing.status, Status::Available);
        let extra: Vec<_> = thing.extra.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(extra, [("price", "\"12.50\""), ("year", "1937")]);
    }

    #[test]
    fn all_faults_of_a_book_are_found_at_once() {
        let body = br#"{"type":"car","tags":"x","colour":1,"rack_id":"No!","info":{
            "name":7,"status":"lost","price":-1,"deep":"\ud800"}}"#;
        let mut found = fields(new_thing(body).unwrap_err());
        found.sort();
        let expected = [
            "colour",
            "info.author",
            "info.deep",
            "info.name",
            "info.price",
            "info.status",
            "rack_id",
            "tags",
            "type",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn malformed_json_says_where() {
        let found = faults(new_thing(b"{\"info\": {,}}").unwrap_err());
        assert_eq!(found[0].0, "body");
        assert!(found[0].1.contains("line 1 column 11"), "{found:?}");
        for body in [&b"[]"[..], b"7", b"\"x\""] {
            assert_eq!(faults(new_thing(body).unwrap_err())[0].1, "must be a JSON object");
        }
        assert!(new_thing(b"\xff").is_err() && new_thing(b"").is_err());
    }

    #[test]
    fn a_thing_may_be_sent_back_as_it_was_answered() {
        let body = br#"{"id":"1","code":"BOOK-0001","type":"book","rack_id":"book-rack-001",
            "version":3,"info":{"name":"N","isbn":null,"userId":null}}"#;
        let patch = patch(body, ThingId::new(0, 1).unwrap(), &rack()).unwrap();
        assert_eq!(patch.name.as_deref(), Some("N"));
        assert_eq!(patch.holder, Some(None));
        assert_eq!(patch.extra.get("isbn"), Some(&None));
        assert_eq!((patch.tags, patch.status), (None, None));
    }

    #[test]
    fn a_change_can_move_or_unname_nothing() {
        let body = br#"{"id":2,"rack_id":"other","info":{"name":null,"status":null}}"#;
        let error = patch(body, ThingId::new(0, 1).unwrap(), &rack()).unwrap_err();
        assert_eq!(fields(error), ["id", "rack_id", "info.name", "info.status"]);
    }

    #[test]
    fn a_checkout_names_book_and_status() {
        let body = br#"{"id":1,"info":{"status":"checked-out","userId":"u"}}"#;
        let (id, patch) = checkout(body).unwrap();
        assert_eq!((id.get(), patch.holder), (1, Some(Some("u".into()))));
        let back = br#"{"id":"1","info":{"status":"available","userId":"u"}}"#;
        assert_eq!(checkout(back).unwrap().1.holder, Some(None));
        assert_eq!(fields(checkout(b"{}").unwrap_err()), ["id", "info.status"]);
        assert_eq!(fields(checkout(br#"{"id":"x","info":{}}"#).unwrap_err()).len(), 2);
    }
}
