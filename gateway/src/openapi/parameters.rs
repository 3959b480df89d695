//! The parameters of operations, each described once, with the bounds that the code has.

use bookmesh_rpc::api::{MAX_KEY_CHARS, MAX_TAGS};
use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, RefOr, Required, Type};

use super::forms;
use crate::query::{DEFAULT_LIMIT, MAX_LAG_MS, MAX_LIMIT};

fn parameter(
    place: ParameterIn,
    name: &str,
    schema: impl Into<RefOr<Schema>>,
    about: &str,
) -> Parameter {
    let required = match place {
        ParameterIn::Path => Required::True,
        _ => Required::False,
    };
    let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(required);
    parameter.schema(Some(schema)).description(Some(about)).build()
}

pub(crate) fn query(name: &str, schema: impl Into<RefOr<Schema>>, about: &str) -> Parameter {
    parameter(ParameterIn::Query, name, schema, about)
}

fn header(name: &str, schema: impl Into<RefOr<Schema>>, about: &str) -> Parameter {
    parameter(ParameterIn::Header, name, schema, about)
}

/// The `{id}` of a book's path.
pub(crate) fn book_id() -> Parameter {
    let about = "The book's id: 1 to 2^53 - 1, without leading zeros. Its upper bits are the \
                 number of its rack.";
    parameter(ParameterIn::Path, "id", forms::number_id(), about)
}

/// The `{id}` of an order's path.
pub(crate) fn order_id() -> Parameter {
    parameter(ParameterIn::Path, "id", forms::number_id(), "The order's id.")
}

/// Where a page of a history begins.
pub(crate) fn after_version() -> Parameter {
    let after = forms::integer(0, forms::MAX_ID).default(Some(json!(0)));
    query("after", after.build(), "Only changes that made a later version than this.")
}

/// Where a stream of events goes on.
pub(crate) fn last_event_id() -> Parameter {
    let id = forms::string().examples([json!("b0:412.0")]).build();
    header("Last-Event-ID", id, "The id of the last event that came; empty is none.")
}

/// The `{id}` of a rack's path.
pub(crate) fn rack_id() -> Parameter {
    parameter(ParameterIn::Path, "id", forms::rack(), "The rack's name.")
}

pub(crate) fn flag(name: &str, about: &str) -> Parameter {
    query(name, forms::boolean(), about)
}

/// How many at most.
pub(crate) fn limit() -> Parameter {
    let limit = forms::integer(1, MAX_LIMIT).default(Some(json!(DEFAULT_LIMIT)));
    query("limit", limit.build(), "How many at most.")
}

/// Which page: `limit`, and one of `offset` and `after`.
pub(crate) fn page() -> [Parameter; 3] {
    [
        limit(),
        query(
            "offset",
            forms::integer(0, forms::MAX_ID).build(),
            "How many to pass over. Can't be combined with `after`.",
        ),
        query(
            "after",
            forms::number_id(),
            "A cursor: only ids above this one. Can't be combined with `offset`.",
        ),
    ]
}

pub(crate) fn rack_filter() -> Parameter {
    query("rack_id", forms::rack(), "Only this rack's.")
}

/// Which books.
pub(crate) fn book_filters() -> [Parameter; 6] {
    let tag = ObjectBuilder::new().schema_type(Type::String);
    let tags = ArrayBuilder::new().items(tag).max_items(Some(MAX_TAGS));
    [
        rack_filter(),
        query("tag", tags.build(), "Only books with all of these tags; repeat the parameter."),
        query("status", forms::status(), "Only books with this status."),
        query("author", forms::string().build(), "Only this author's, whatever the case."),
        query(
            "q",
            forms::string().examples([json!("machine time")]).build(),
            "Up to 16 words, each of which has to occur in the name or the author, whatever the \
             case; words are what lies between characters that are neither letters nor digits.",
        ),
        flag("include_inactive", "Also books that were withdrawn."),
    ]
}

/// How fresh a read has to be.
pub(crate) fn freshness() -> [Parameter; 2] {
    let default = Some(json!("linearizable"));
    [
        query(
            "consistency",
            forms::words(["linearizable", "eventual"]).default(default).build(),
            "`linearizable` sees every write that was answered before it; `eventual` is what any \
             replica has, and says how old that is in `X-Applied-Index`.",
        ),
        query(
            "max_lag_ms",
            forms::integer(0, MAX_LAG_MS).build(),
            "With `consistency=eventual` alone: how many milliseconds the answer may be behind. \
             503 when no replica is that fresh.",
        ),
    ]
}

pub(crate) fn partial() -> Parameter {
    flag(
        "partial",
        "Answer 206 with what can be had when a rack is unavailable, instead of 503; \
         `X-Missing-Racks` names what is missing.",
    )
}

pub(crate) fn if_none_match() -> Parameter {
    let value = forms::string().examples([json!("\"1\"")]).build();
    header("If-None-Match", value, "Versions that the client has: 304 when it is one of these.")
}

pub(crate) fn if_match() -> Parameter {
    let value = forms::string().examples([json!("\"1\"")]).build();
    let about = "The version that the write insists on, or `*` for any: 412 when it is another.";
    header("If-Match", value, about)
}

pub(crate) fn idempotency_key() -> Parameter {
    // HTTP takes spaces at a value's ends away.
    let key = forms::string().pattern(Some("^[!-~]([ -~]*[!-~])?$"));
    let key = key.min_length(Some(1)).max_length(Some(MAX_KEY_CHARS));
    let about = "Makes the write safe to send again: the same key with the same request gives the \
                 first answer again for 24 hours, with another request 409.";
    header("Idempotency-Key", key.build(), about)
}

/// The `{file}` of the page's files.
pub(crate) fn docs_file() -> Parameter {
    let files = forms::words(super::ui::FILES.map(|(name, _)| name));
    parameter(ParameterIn::Path, "file", files.build(), "The file's name.")
}
