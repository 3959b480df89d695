//! `/books`, `/books/{id}` and `/books/batch`.

use serde_json::{Value, json};

use super::headers::{APPLIED_INDEX, ETAG, LINK, LOCATION, MISSING_RACKS, TOTAL_COUNT};
use super::operation::Route;
use super::parameters as take;
use super::schemas::{self, BookChange, NewBatch, NewBook, Thing};
use crate::batch::ResultJson;
use crate::change_json::ChangeJson;

pub(crate) const TAG: &str = "books";
pub(crate) const ABOUT: &str =
    "Books as things: tags, free keys, a rack that holds them. Answers come in an envelope.";

pub(super) const NO_BOOK: &str = "`ERR_BOOK_NOT_FOUND`: there is no such book.";
const NO_RACK: &str = "`ERR_RACK_NOT_FOUND`: there is no such rack; `GET /racks` lists them.";
pub(super) const STALE: &str =
    "`ERR_VERSION_MISMATCH`: the book's version is not that of `If-Match`.";
const BAD_BODY: &str = "`ERR_VALIDATION`: every field that breaks a rule, at once.";
const BAD_ID: &str = "`ERR_ID_INVALID`: no id of a book. `ERR_VALIDATION`: every field or \
                      parameter that breaks a rule, at once.";
pub(super) const KEY_REUSED: &str =
    "`ERR_IDEMPOTENCY_CONFLICT`: this `Idempotency-Key` was given for another request.";

pub(crate) fn routes() -> Vec<Route> {
    vec![list(), create(), batch(), get(), history(), update(), delete()]
}

fn list() -> Route {
    Route::get("/books", TAG, "listBooks", "Lists books")
        .about(
            "A page of books in id order, over all racks. Walk on with `Link`'s `rel=\"next\"`, \
             or with `after` and the last id.",
        )
        .takes(take::page())
        .takes(take::book_filters())
        .takes(take::freshness())
        .takes([take::partial()])
        .envelope_of_many::<Thing>(
            200,
            "The page; empty when nothing matches.",
            &[TOTAL_COUNT, LINK, APPLIED_INDEX],
            json!([schemas::thing()]),
        )
        .envelope_of_many::<Thing>(
            206,
            "With `partial=true`: the page without the racks that did not answer.",
            &[TOTAL_COUNT, LINK, APPLIED_INDEX, MISSING_RACKS],
            json!([schemas::thing()]),
        )
        .fails(400, "`ERR_VALIDATION`: every parameter that breaks a rule, at once.")
        .fails(404, NO_RACK)
        .fails_with_racks()
        .fails_always()
}

fn create() -> Route {
    Route::post("/books", TAG, "createBook", "Registers a book")
        .about(
            "Text is trimmed, and white space within it collapsed. A rack may hold several copies \
             of a book: registering one never conflicts with another.",
        )
        .takes([take::idempotency_key()])
        .body::<NewBook>("The book.", new_book())
        .envelope::<Thing>(201, "The book, with its id.", &[LOCATION, ETAG], schemas::thing())
        .leads_to(201, "read", "getBook", "id", "$response.body#/data/id")
        .leads_to(201, "look back", "readHistory", "id", "$response.body#/data/id")
        .leads_to(201, "change", "updateBook", "id", "$response.body#/data/id")
        .leads_to_body(
            201,
            "check out",
            "checkout",
            json!({"id": "$response.body#/data/id", "info": {"status": "checked-out"}}),
        )
        .leads_to(201, "remove", "deleteBook", "id", "$response.body#/data/id")
        .fails(400, BAD_BODY)
        .fails(404, NO_RACK)
        .fails(409, KEY_REUSED)
        .fails_with_racks()
        .fails_always()
}

fn new_book() -> Value {
    json!({
        "type": "book", "tags": ["fiction"],
        "info": {"name": "Emma", "author": "Jane Austen", "status": "available", "year": 1815},
    })
}

fn batch() -> Route {
    let example = json!({"on_conflict": "skip", "books": [new_book()]});
    let results = json!([
        {"status": "created", "id": "1"},
        {"status": "error", "error": {
            "code": "ERR_VALIDATION", "message": "info.name: is required",
            "errors": [{"field": "info.name", "message": "is required"}],
        }},
    ]);
    Route::post("/books/batch", TAG, "createBooks", "Registers many books")
        .about(
            "Up to 1,000 books for one rack, each answered on its own and in order. A conflict is \
             a book of the same name and author in that rack, whatever the case: `skip` leaves \
             the old one, `update` gives it the new one's tags and info, `fail` refuses the new \
             one.",
        )
        .takes([take::idempotency_key()])
        .body::<NewBatch>("The books.", example)
        .envelope_of_many::<ResultJson<'_>>(200, "What became of each book.", &[], results)
        .fails(400, BAD_BODY)
        .fails(404, NO_RACK)
        .fails(409, KEY_REUSED)
        .fails_with_racks()
        .fails_always()
}

fn get() -> Route {
    Route::get("/books/{id}", TAG, "getBook", "Reads a book")
        .takes([take::book_id()])
        .takes(take::freshness())
        .takes([take::if_none_match()])
        .envelope::<Thing>(200, "The book.", &[ETAG, APPLIED_INDEX], schemas::thing())
        .answers(304, "The client has this version already.", &[ETAG, APPLIED_INDEX], None)
        .fails(400, BAD_ID)
        .fails(404, NO_BOOK)
        .fails_with_racks()
        .fails_always()
}

fn history() -> Route {
    let changes = json!([{
        "index": 7, "part": 0, "time": "2026-01-31T09:30:00.123Z", "action": "checkout",
        "version": 2, "request_id": "5f0c1d2e3a4b5c6d",
        "changes": {"info": {"status": "checked-out", "userId": "ada"}},
    }]);
    Route::get("/books/{id}/history", TAG, "readHistory", "Reads what changed a book")
        .about(
            "Every log entry that touched it, oldest first, its removal included. Walk on with \
             `Link`'s `rel=\"next\"`, or with `after` and the last version.",
        )
        .takes([take::book_id(), take::after_version(), take::limit()])
        .takes(take::freshness())
        .envelope_of_many::<ChangeJson<'_>>(
            200,
            "The changes.",
            &[TOTAL_COUNT, LINK, APPLIED_INDEX],
            changes,
        )
        .fails(400, BAD_ID)
        .fails(404, NO_BOOK)
        .fails_with_racks()
        .fails_always()
}

fn update() -> Route {
    let example = json!({"tags": ["fiction", "classic"], "info": {"year": 1815, "isbn": null}});
    Route::put("/books/{id}", TAG, "updateBook", "Changes a book")
        .about(
            "Merges what is given. A change of `info.status` obeys the rules of checkout: what \
             another user has can't be checked out.",
        )
        .takes([take::book_id(), take::if_match(), take::idempotency_key()])
        .body::<BookChange>("The change.", example)
        .envelope::<Thing>(200, "The book as it is now.", &[ETAG], schemas::thing())
        .fails(400, BAD_ID)
        .fails(404, NO_BOOK)
        .fails(409, &format!("`ERR_BOOK_CHECKED_OUT`: another user has it. {KEY_REUSED}"))
        .fails(412, STALE)
        .fails_with_racks()
        .fails_always()
}

fn delete() -> Route {
    Route::delete("/books/{id}", TAG, "deleteBook", "Removes a book")
        .about("The book is gone from all lists; its history stays in the log.")
        .takes([take::book_id(), take::if_match(), take::idempotency_key()])
        .envelope::<Thing>(200, "The book as it was.", &[], schemas::thing())
        .fails(400, BAD_ID)
        .fails(404, NO_BOOK)
        .fails(409, KEY_REUSED)
        .fails(412, STALE)
        .fails_with_racks()
        .fails_always()
}
