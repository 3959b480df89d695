//! `/v1/books`.

use serde_json::{Value, json};

use super::books::{KEY_REUSED, NO_BOOK, STALE};
use super::headers::{APPLIED_INDEX, ETAG, LINK, LOCATION, MISSING_RACKS, TOTAL_COUNT};
use super::operation::Route;
use super::parameters as take;
use super::schemas::{NewV1Book, V1BookChange};
use crate::v1::book_json::BookJson;

pub(crate) const TAG: &str = "v1 books";
pub(crate) const ABOUT: &str =
    "The same books as plain resources: `title` is `info.name`, `price` is `info.price`.";

const BAD_BODY: &str = "`ERR_VALIDATION`: every field that breaks a rule, at once.";
const BAD_ID: &str = "`ERR_ID_INVALID`: no id of a book. `ERR_VALIDATION`: every field or \
                      parameter that breaks a rule, at once.";

pub(crate) fn routes() -> Vec<Route> {
    vec![list(), create(), get(), update(), withdraw()]
}

fn book() -> Value {
    json!({
        "id": 1, "title": "The Great Gatsby", "author": "F. Scott Fitzgerald", "price": "12.99",
        "active": true, "created_at": "2026-01-31T09:30:00.123Z",
        "updated_at": "2026-01-31T09:30:00.123Z",
    })
}

fn list() -> Route {
    let (whole, partial) =
        ([TOTAL_COUNT, LINK, APPLIED_INDEX], [TOTAL_COUNT, LINK, APPLIED_INDEX, MISSING_RACKS]);
    Route::get("/v1/books", TAG, "listV1Books", "Lists books")
        .about("A page of books in id order, over all racks; as `GET /books`.")
        .takes(take::page())
        .takes(take::book_filters())
        .takes(take::freshness())
        .takes([take::partial()])
        .plain_of_many::<BookJson<'_>>(200, "The page.", &whole, json!([book()]))
        .plain_of_many::<BookJson<'_>>(
            206,
            "With `partial=true`: the page without the racks that did not answer.",
            &partial,
            json!([book()]),
        )
        .fails(400, "`ERR_VALIDATION`: every parameter that breaks a rule, at once.")
        .fails(404, "`ERR_RACK_NOT_FOUND`: there is no such rack.")
        .fails_with_racks()
        .fails_always()
}

fn create() -> Route {
    let new = json!({
        "title": "The Great Gatsby", "author": "F. Scott Fitzgerald", "price": "12.99",
    });
    Route::post("/v1/books", TAG, "createV1Book", "Registers a book")
        .about("The least filled rack that is healthy takes it.")
        .takes([take::idempotency_key()])
        .body::<NewV1Book>("The book.", new)
        .plain::<BookJson<'_>>(201, "The book, with its id.", &[LOCATION, ETAG], book())
        .leads_to(201, "read", "getV1Book", "id", "$response.body#/id")
        .leads_to(201, "change", "updateV1Book", "id", "$response.body#/id")
        .leads_to(201, "withdraw", "withdrawV1Book", "id", "$response.body#/id")
        .leads_to_body(
            201,
            "order",
            "createOrder",
            json!({"book_id": "$response.body#/id", "quantity": 1}),
        )
        .fails(400, BAD_BODY)
        .fails(409, KEY_REUSED)
        .fails_with_racks()
        .fails_always()
}

fn get() -> Route {
    Route::get("/v1/books/{id}", TAG, "getV1Book", "Reads a book")
        .takes([take::book_id()])
        .takes(take::freshness())
        .takes([take::if_none_match()])
        .plain::<BookJson<'_>>(200, "The book.", &[ETAG, APPLIED_INDEX], book())
        .answers(304, "The client has this version already.", &[ETAG, APPLIED_INDEX], None)
        .fails(400, BAD_ID)
        .fails(404, NO_BOOK)
        .fails_with_racks()
        .fails_always()
}

fn update() -> Route {
    Route::put("/v1/books/{id}", TAG, "updateV1Book", "Changes a book")
        .about("Changes what is given, which has to be something.")
        .takes([take::book_id(), take::if_match(), take::idempotency_key()])
        .body::<V1BookChange>("The change.", json!({"price": "10.00"}))
        .plain::<BookJson<'_>>(200, "The book as it is now.", &[ETAG], book())
        .fails(400, BAD_ID)
        .fails(404, NO_BOOK)
        .fails(409, KEY_REUSED)
        .fails(412, STALE)
        .fails_with_racks()
        .fails_always()
}

fn withdraw() -> Route {
    let mut withdrawn = book();
    withdrawn["active"] = json!(false);
    Route::delete("/v1/books/{id}", TAG, "withdrawV1Book", "Withdraws a book")
        .about(
            "It stays, inactive: it is in no list unless `include_inactive=true`, and else not \
             found.",
        )
        .takes([take::book_id(), take::if_match(), take::idempotency_key()])
        .plain::<BookJson<'_>>(200, "The book, not active any more.", &[ETAG], withdrawn)
        .fails(400, BAD_ID)
        .fails(404, NO_BOOK)
        .fails(409, KEY_REUSED)
        .fails(412, STALE)
        .fails_with_racks()
        .fails_always()
}
