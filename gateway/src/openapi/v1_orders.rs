//! `/v1/orders`.

use serde_json::{Value, json};

use super::books::KEY_REUSED;
use super::headers::{APPLIED_INDEX, ETAG, LINK, LOCATION, MISSING_RACKS, TOTAL_COUNT};
use super::operation::Route;
use super::parameters as take;
use super::schemas::NewOrder;
use crate::v1::order_json::OrderJson;

pub(crate) const TAG: &str = "v1 orders";
pub(crate) const ABOUT: &str =
    "Orders keep what their book was at that moment. They live on racks of their own.";

pub(crate) fn routes() -> Vec<Route> {
    vec![list(), create(), get()]
}

fn order() -> Value {
    json!({
        "id": 1, "book_id": 1, "book_title": "The Great Gatsby",
        "book_author": "F. Scott Fitzgerald", "quantity": 2, "unit_price": 12.99,
        "total_price": 25.98, "created_at": "2026-01-31T09:30:00.123Z",
    })
}

fn list() -> Route {
    let whole = [TOTAL_COUNT, LINK, APPLIED_INDEX];
    let partial = [TOTAL_COUNT, LINK, APPLIED_INDEX, MISSING_RACKS];
    Route::get("/v1/orders", TAG, "listOrders", "Lists orders")
        .about("A page of orders in id order, over all racks of orders.")
        .takes(take::page())
        .takes(take::freshness())
        .takes([take::partial()])
        .plain_of_many::<OrderJson<'_>>(200, "The page.", &whole, json!([order()]))
        .plain_of_many::<OrderJson<'_>>(
            206,
            "With `partial=true`: the page without the racks that did not answer.",
            &partial,
            json!([order()]),
        )
        .fails(400, "`ERR_VALIDATION`: every parameter that breaks a rule, at once.")
        .fails_with_racks()
        .fails_always()
}

fn create() -> Route {
    Route::post("/v1/orders", TAG, "createOrder", "Orders a book")
        .about(
            "Title, author and price are kept as they are at this moment. While the book's rack \
             is down the answer is a quick 503.",
        )
        .takes([take::idempotency_key()])
        .body::<NewOrder>("Which book, and how many.", json!({"book_id": 1, "quantity": 2}))
        .plain::<OrderJson<'_>>(201, "The order.", &[LOCATION, ETAG], order())
        .leads_to(201, "read", "getOrder", "id", "$response.body#/id")
        .fails(400, "`ERR_VALIDATION`: every field that breaks a rule, at once.")
        .fails(404, "`ERR_BOOK_NOT_FOUND`: there is no such book, or it was withdrawn.")
        .fails(409, &format!("`ERR_BOOK_NOT_FOR_SALE`: the book has no price. {KEY_REUSED}"))
        .fails_with_racks()
        .fails_always()
}

fn get() -> Route {
    Route::get("/v1/orders/{id}", TAG, "getOrder", "Reads an order")
        .takes([take::order_id()])
        .takes(take::freshness())
        .takes([take::if_none_match()])
        .plain::<OrderJson<'_>>(200, "The order.", &[ETAG, APPLIED_INDEX], order())
        .answers(
            304,
            "The client has it already: orders never change.",
            &[ETAG, APPLIED_INDEX],
            None,
        )
        .fails(400, "`ERR_ID_INVALID`: no id of an order. `ERR_VALIDATION`: a wrong parameter.")
        .fails(404, "`ERR_ORDER_NOT_FOUND`: there is no such order.")
        .fails_with_racks()
        .fails_always()
}
