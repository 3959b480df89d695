//! Shapes of JSON that the code reads or writes by hand, as types for the document alone. Shapes
//! that serde derives are described where they are. Tests hold both against real answers.
#![allow(dead_code, reason = "their fields are read by the document alone")]

use bookmesh_rpc::api::MAX_INFO_KEYS;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::openapi::{ArrayBuilder, Object, ObjectBuilder, RefOr, Type};

use super::forms;

/// What every error looks like, whatever layer it comes from.
#[derive(ToSchema)]
#[schema(as = Error, example = json!({
    "status": "error", "statusCode": 400,
    "error": {
        "code": "ERR_VALIDATION", "message": "limit: must be a whole number from 1 to 1000",
        "errors": [{"field": "limit", "message": "must be a whole number from 1 to 1000"}],
    },
    "requestId": "5f0c1d2e3a4b5c6d",
}))]
pub(crate) struct Failure {
    #[schema(schema_with = error_word)]
    status: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    #[schema(rename = "statusCode")]
    status_code: u16,
    error: ErrorParts,
    /// As in `X-Request-Id`.
    #[schema(rename = "requestId")]
    request_id: String,
}

fn error_word() -> Object {
    forms::words(["error"]).build()
}

/// What went wrong, for programs and for people.
#[derive(ToSchema)]
#[schema(as = ErrorDetail)]
pub(crate) struct ErrorParts {
    /// For programs; it does not change with the wording.
    #[schema(pattern = "^ERR_[A-Z_]+$", example = "ERR_VALIDATION")]
    code: String,
    /// For people.
    message: String,
    /// Every field that breaks a rule, 100 at most; only with `ERR_VALIDATION`.
    #[schema(required = false)]
    errors: Vec<FieldErrorJson>,
}

/// One field that breaks a rule.
#[derive(ToSchema)]
#[schema(as = FieldError)]
pub(crate) struct FieldErrorJson {
    /// Where: `info.name`, `tags[0]`, a parameter, a header, `body`.
    field: String,
    /// The rule.
    message: String,
}

/// A book as `/books` shows it.
#[derive(ToSchema)]
#[schema(as = Thing)]
pub(crate) struct Thing {
    #[schema(schema_with = forms::thing_id)]
    id: String,
    /// Unique within its rack.
    #[schema(schema_with = forms::code)]
    code: String,
    #[schema(schema_with = forms::book, rename = "type")]
    kind: String,
    #[schema(schema_with = forms::tags)]
    tags: Vec<String>,
    info: Info,
    /// The rack that holds it.
    #[schema(schema_with = forms::rack)]
    rack_id: String,
    /// 1 at first, one more with every change; what `ETag` shows.
    #[schema(minimum = 1)]
    version: u64,
    /// There, and false, once the book was withdrawn.
    #[schema(schema_with = forms::no, required = false)]
    active: bool,
}

pub(crate) fn thing() -> Value {
    json!({
        "id": "1", "code": "BOOK-0001", "type": "book", "tags": ["fiction"],
        "info": {
            "name": "Emma", "author": "Jane Austen", "status": "available", "year": 1815,
            "createdAt": "2026-01-31T09:30:00.123Z", "updatedAt": "2026-01-31T09:30:00.123Z",
        },
        "rack_id": "book-rack-001", "version": 1,
    })
}

/// `info` of an answer.
fn info() -> RefOr<Schema> {
    let info = ObjectBuilder::new()
        .property("name", forms::name())
        .property("author", forms::author())
        .property("status", forms::status())
        .property("userId", forms::shown_holder())
        .property("createdAt", forms::time())
        .property("updatedAt", forms::time())
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
        .max_properties(Some(MAX_INFO_KEYS))
        .description(Some(
            "What is known of a book. `userId` is who has it, while it is checked out and the \
             client said so; further keys are those that clients sent.",
        ));
    let always = ["name", "author", "status", "createdAt", "updatedAt"];
    always.iter().fold(info, |info, name| info.required(*name)).build().into()
}

/// `info` of a book to be.
fn new_info() -> Schema {
    given_info(&["name", "author"], forms::holder(), forms::given_status())
}

/// `info` of a request: the named keys, and any others.
fn given_info(required: &[&str], holder: Object, status: Object) -> Schema {
    let keys = forms::string().min_length(Some(1)).pattern(Some(KEY)).build();
    let info = ObjectBuilder::new()
        .property("name", forms::name())
        .property("author", forms::author())
        .property("status", status)
        .property("userId", holder)
        .property("price", forms::given_price())
        .additional_properties(Some(AdditionalProperties::RefOr(forms::anything().into())))
        .property_names(Some(Schema::Object(keys)))
        .max_properties(Some(MAX_INFO_KEYS))
        .description(Some(
            "At most 64 keys, and 16 KiB in all. Keys without a meaning of their own are kept as \
             they are, up to 32 levels deep; null removes one, or is none.",
        ));
    required.iter().fold(info, |info, name| info.required(*name)).build().into()
}

/// Of a key without control characters.
const KEY: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// An object that has no other fields than these.
fn exact(fields: &[(&str, RefOr<Schema>)], required: &[&str], about: &str) -> RefOr<Schema> {
    let object = ObjectBuilder::new()
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
        .description(Some(about));
    let add = |object: ObjectBuilder, (name, form): &(&str, RefOr<Schema>)| {
        object.property(*name, form.clone())
    };
    let object = fields.iter().fold(object, add);
    required.iter().fold(object, |object, name| object.required(*name)).build().into()
}

/// Makes a named schema of a function.
macro_rules! schema {
    ($($(#[$about:meta])* $name:ident = $schema:expr;)+) => {$(
        $(#[$about])*
        pub(crate) struct $name;
        impl utoipa::PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema
            }
        }
        impl ToSchema for $name {}
    )+};
}

schema! {
    /// What is known of a book.
    Info = info();
    /// The body of `POST /books`.
    NewBook = exact(
        &[
            ("type", forms::given_book().into()),
            ("tags", forms::given_tags().into()),
            ("info", new_info().into()),
            ("rack_id", forms::given_rack().into()),
        ],
        &["info"],
        "A book to be. Without a `rack_id` the least filled rack that is healthy takes it.",
    );
    /// One book of a batch.
    BatchBook = exact(
        &[
            ("type", forms::given_book().into()),
            ("tags", forms::given_tags().into()),
            ("info", new_info().into()),
        ],
        &["info"],
        "A book to be, in the batch's rack.",
    );
    /// The body of `PUT /books/{id}`.
    BookChange = exact(
        &[
            ("tags", forms::given_tags().into()),
            ("info", given_info(&[], forms::holder(), forms::status()).into()),
        ],
        &[],
        "What is given changes: `tags` are replaced, `info` is merged key by key. What can't be \
         changed (`id`, `code`, `type`, `rack_id`, `version`, the times) may be sent back as it \
         is.",
    );
    /// The body of `POST /checkout`.
    Checkout = exact(
        &[
            ("id", forms::given_id().into()),
            ("info", given_info(&["status"], forms::holder(), forms::status()).into()),
        ],
        &["id", "info"],
        "Which book, and its new status.",
    );
    /// The body of `POST /books/batch`.
    NewBatch = exact(
        &[
            ("rack_id", forms::given_rack().into()),
            ("on_conflict", forms::on_conflict().into()),
            ("books", books_of_a_batch()),
        ],
        &["books"],
        "Up to 1,000 books. Without a `rack_id` they go to the first rack, always the same.",
    );
    /// The body of `POST /v1/books`.
    NewV1Book = exact(
        &[
            ("title", forms::name().into()),
            ("author", forms::author().into()),
            ("price", forms::given_price().into()),
        ],
        &["title", "author", "price"],
        "A book to be.",
    );
    /// The body of `PUT /v1/books/{id}`.
    V1BookChange = v1_book_change();
    /// The body of `POST /v1/orders`.
    NewOrder = exact(
        &[("book_id", forms::given_id().into()), ("quantity", forms::quantity().into())],
        &["book_id", "quantity"],
        "Which book, and how many.",
    );
    /// The body of `PUT /settings`.
    SettingsChange = settings_change();
    /// The body of `POST /racks/{id}/recover`.
    Recovery = exact(
        &[
            ("member", forms::integer(1, forms::MAX_ID).build().into()),
            ("last_index", forms::integer(0, forms::MAX_ID).build().into()),
        ],
        &["member", "last_index"],
        "The member to go on with, and where its log ends, as the recovery was shown.",
    );
}

/// Books are looked at one by one: what is wrong about one is its own result, not the batch's. So
/// the batch takes any value there.
fn books_of_a_batch() -> RefOr<Schema> {
    let books = ArrayBuilder::new().items(RefOr::T(forms::anything()));
    let books = books.min_items(Some(1)).max_items(Some(bookmesh_rpc::api::MAX_BATCH));
    let about = "Each as `BatchBook`; one that is not is answered as an error of its own.";
    books.description(Some(about)).build().into()
}

fn v1_book_change() -> RefOr<Schema> {
    let object = ObjectBuilder::new()
        .property("title", forms::name())
        .property("author", forms::author())
        .property("price", forms::given_price())
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
        .min_properties(Some(1));
    let about = "What is given changes. What can't be changed (`id`, `active`, the times) may be \
                 sent back as it is.";
    object.description(Some(about)).build().into()
}

fn settings_change() -> RefOr<Schema> {
    let object = ObjectBuilder::new()
        .property("rack_replicas", forms::replicas())
        .property("replace_after_ms", forms::replace_after())
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
        .min_properties(Some(1));
    let about = "What is given changes; null leaves it to each node's own configuration again.";
    object.description(Some(about)).build().into()
}

/// What one user did.
#[derive(ToSchema)]
pub(crate) struct LogCommand {
    /// The request that asked for it.
    request_id: String,
    /// Its name, such as `register`, `update`, `forget`.
    action: String,
    #[schema(schema_with = detail)]
    detail: (),
}

/// What was given, of a change.
pub(crate) fn changes() -> Object {
    let about = "What was given, by field; null where a key was removed.";
    ObjectBuilder::new().schema_type(Type::Object).description(Some(about)).build()
}

/// `detail` of a logged command: what it holds depends on the action.
pub(crate) fn detail() -> Object {
    let about = "The parts of the action, such as `thing` of `register`, or `id` and `patch` of \
                 `update`.";
    ObjectBuilder::new().schema_type(Type::Object).description(Some(about)).build()
}
