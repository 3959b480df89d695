//! Forms of values that stand in many places of the document, with the bounds that the code has.

use bookmesh_rpc::api::{
    MAX_AUTHOR_CHARS, MAX_HOLDER_CHARS, MAX_NAME_CHARS, MAX_RACKS_OF_A_TYPE, MAX_TAG_CHARS,
    MAX_TAGS, ORDER_QUANTITY, REPLACE_AFTER_MS,
};
use serde_json::json;
use utoipa::openapi::schema::{AnyOfBuilder, Schema, SchemaType};
use utoipa::openapi::{Array, ArrayBuilder, Object, ObjectBuilder, Type};

/// The last id.
pub(crate) const MAX_ID: u64 = crate::body::MAX_WHOLE;
/// Of a text that is more than white space and has no control characters. White space of any kind
/// is accepted, since it is trimmed and collapsed before anything else.
const TEXT: &str = concat!(
    "^[^\\u0000-\\u0008\\u000e-\\u001f\\u007f-\\u0084\\u0086-\\u009f]*",
    "[^\\u0000-\\u0020\\u007f-\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]",
    "[^\\u0000-\\u0008\\u000e-\\u001f\\u007f-\\u0084\\u0086-\\u009f]*$"
);
const RACK: &str = "^[a-z0-9][a-z0-9-]{0,62}$";
const ID: &str = "^[1-9][0-9]{0,15}$";
const HASH: &str = "^[0-9a-f]{64}$";
const TIME: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$";
/// 0 to 99,999,999.99.
const PRICE: &str = "^[0-9]{1,8}([.][0-9]{1,2})?$";

pub(crate) fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn pattern(pattern: &str) -> ObjectBuilder {
    string().pattern(Some(pattern))
}

fn or_null(of: Type) -> SchemaType {
    SchemaType::from_iter([of, Type::Null])
}

fn or_none(mut form: Object) -> Object {
    form.schema_type = or_null(Type::String);
    form
}

fn text(max_chars: usize) -> ObjectBuilder {
    pattern(TEXT).min_length(Some(1)).max_length(Some(max_chars))
}

pub(crate) fn integer(minimum: u64, maximum: u64) -> ObjectBuilder {
    let integer = ObjectBuilder::new().schema_type(Type::Integer);
    // Bounds are numbers of JSON, which hold integers up to 2^53 exactly.
    integer.minimum(Some(minimum as f64)).maximum(Some(maximum as f64))
}

pub(crate) fn boolean() -> Object {
    Object::with_type(Type::Boolean)
}

/// One of these words.
pub(crate) fn words<const N: usize>(words: [&str; N]) -> ObjectBuilder {
    string().enum_values(Some(words))
}

pub(crate) fn name() -> Object {
    text(MAX_NAME_CHARS).examples([json!("Emma")]).build()
}

pub(crate) fn author() -> Object {
    text(MAX_AUTHOR_CHARS).examples([json!("Jane Austen")]).build()
}

pub(crate) fn holder() -> Object {
    or_none(text(MAX_HOLDER_CHARS).examples([json!("ada")]).build())
}

/// Who has a book, as an answer shows it: there, or left out.
pub(crate) fn shown_holder() -> Object {
    text(MAX_HOLDER_CHARS).examples([json!("ada")]).build()
}

pub(crate) fn tag() -> Object {
    text(MAX_TAG_CHARS).examples([json!("fiction")]).build()
}

pub(crate) fn tags() -> Array {
    ArrayBuilder::new().items(tag()).max_items(Some(MAX_TAGS)).build()
}

/// Tags that a client sends: null is none, or no change.
pub(crate) fn given_tags() -> Array {
    let mut tags = tags();
    tags.schema_type = or_null(Type::Array);
    tags
}

pub(crate) fn rack() -> Object {
    pattern(RACK).examples([json!("book-rack-001")]).build()
}

/// A rack that a client may name.
pub(crate) fn given_rack() -> Object {
    or_none(rack())
}

/// A thing's id as JSON shows it on `/books`.
pub(crate) fn thing_id() -> Object {
    pattern(ID).examples([json!("1")]).build()
}

/// A thing's id as an integer: in paths, parameters and on `/v1`.
pub(crate) fn number_id() -> Object {
    integer(1, MAX_ID).examples([json!(1)]).build()
}

/// A thing's id as a client may write it.
pub(crate) fn given_id() -> Schema {
    Schema::AnyOf(AnyOfBuilder::new().item(number_id()).item(thing_id()).build())
}

pub(crate) fn code() -> Object {
    pattern("^BOOK-[0-9]{4,}$").examples([json!("BOOK-0001")]).build()
}

pub(crate) fn hash() -> Object {
    let example = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    pattern(HASH).examples([json!(example)]).build()
}

pub(crate) fn hash_or_none() -> Object {
    or_none(hash())
}

/// A node's peer id.
pub(crate) fn peer() -> Object {
    let example = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394";
    pattern(HASH).examples([json!(example)]).build()
}

pub(crate) fn peer_or_none() -> Object {
    or_none(peer())
}

pub(crate) fn hex() -> Object {
    pattern("^([0-9a-f]{2})*$").build()
}

/// RFC 3339, UTC, to the millisecond.
pub(crate) fn time() -> Object {
    let example = "2026-01-31T09:30:00.123Z";
    pattern(TIME).examples([json!(example)]).build()
}

pub(crate) fn status() -> Object {
    words(["available", "checked-out"]).build()
}

pub(crate) fn given_status() -> Object {
    let mut status = or_none(status());
    status.enum_values.get_or_insert_default().push(serde_json::Value::Null);
    status
}

/// `book`, or nothing.
pub(crate) fn given_book() -> Object {
    let mut kind = or_none(book());
    kind.enum_values.get_or_insert_default().push(serde_json::Value::Null);
    kind
}

pub(crate) fn book() -> Object {
    words(["book"]).build()
}

pub(crate) fn rack_kind() -> Object {
    words(["book", "order"]).build()
}

pub(crate) fn rack_number() -> Object {
    integer(0, u64::from(MAX_RACKS_OF_A_TYPE) - 1).build()
}

pub(crate) fn member_role() -> Object {
    let mut role = or_none(words(["voter", "learner"]).build());
    role.enum_values.get_or_insert_default().push(serde_json::Value::Null);
    role
}

pub(crate) fn member_state() -> Object {
    let known = ["leader", "follower", "learner", "joining", "failed", "unreachable"];
    words(known).build()
}

pub(crate) fn node_role() -> Object {
    words(["ork", "worker", "gateway"]).build()
}

/// A price as a client writes it.
pub(crate) fn given_price() -> Schema {
    let number = ObjectBuilder::new().schema_type(Type::Number);
    let number = number.minimum(Some(0)).maximum(Some(99_999_999.99)).multiple_of(Some(0.01));
    let text = pattern(PRICE).examples([json!("12.99")]);
    Schema::AnyOf(AnyOfBuilder::new().item(text).item(number).build())
}

pub(crate) fn replicas() -> Object {
    let voters = bookmesh_rpc::api::RACK_REPLICAS.map(|voters| json!(voters));
    let values = voters.into_iter().chain([serde_json::Value::Null]);
    let form = ObjectBuilder::new().schema_type(or_null(Type::Integer));
    form.enum_values(Some(values)).build()
}

pub(crate) fn replace_after() -> Object {
    let (low, high) = REPLACE_AFTER_MS.into_inner();
    integer(low, high).schema_type(or_null(Type::Integer)).build()
}

/// Any JSON at all.
pub(crate) fn anything() -> Schema {
    utoipa::openapi::schema::empty()
}

/// What a book that is there already does to one of a batch.
pub(crate) fn on_conflict() -> Object {
    let mut rule = or_none(words(["skip", "update", "fail"]).default(Some(json!("skip"))).build());
    rule.enum_values.get_or_insert_default().push(serde_json::Value::Null);
    rule
}

pub(crate) fn record_kind() -> Object {
    words(["blank", "commands", "membership"]).build()
}

/// What became of one book of a batch.
pub(crate) fn batch_status() -> Object {
    words(["created", "skipped", "updated", "error"]).build()
}

/// False, and nothing else.
pub(crate) fn no() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([false])).build()
}

/// A price as an answer shows it; null when the book has none.
pub(crate) fn price() -> Object {
    or_none(pattern("^[0-9]{1,8}[.][0-9]{2}$").examples([json!("12.99")]).build())
}

/// An amount as orders show it, a number with two decimals.
pub(crate) fn amount() -> Object {
    let number = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0));
    number.examples([json!(12.99)]).build()
}

pub(crate) fn quantity() -> Object {
    let (least, most) = ORDER_QUANTITY.into_inner();
    integer(least.into(), most.into()).examples([json!(2)]).build()
}

/// What users call a change.
pub(crate) fn action() -> Object {
    let known = ["register", "update", "checkout", "return", "withdraw", "remove", "order"];
    words(known).build()
}
